// SPDX-License-Identifier: Apache-2.0
// The policy of an OpenSandbox egress sidecar. Its rules for names are enforced by its DNS proxy
// and never reach the kernel.
#ifndef SANDPIPER_USERSPACE_RULESET_OPENSANDBOX_POLICY_H_
#define SANDPIPER_USERSPACE_RULESET_OPENSANDBOX_POLICY_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "userspace/ruleset/ruleset.h"

namespace sandpiper {

struct OpenSandboxPolicy {
  std::string source;  // the attribute rules.source: environment, file, default
  // The rules in the order of the policy. A target is a name, *.suffix, an address or a prefix.
  absl::StatusOr<Ruleset> rules;
  bool has_settings = false;  // the process has variables of the sidecar
  // Where the sidecar keeps its policy, as the process sees it. Empty if it keeps no file.
  std::string file;
  std::string extra_attributes;  // the text of OPENSANDBOX_EGRESS_METRICS_EXTRA_ATTRS
};

// Parses {"defaultAction":"deny","egress":[{"action":"allow","target":"example.org"}]}. Accepts
// what the sidecar accepts, which is more than its documents say: spaces and upper case in an
// action, keys in any case, no action (deny), and any other default action (deny). An empty policy
// denies all. InvalidArgument names the fault without quoting the text, which may contain secrets.
absl::StatusOr<Ruleset> ParseOpenSandboxPolicy(std::string_view json);

// Whether the program has the name of the sidecar's program.
bool IsOpenSandboxEgress(std::string_view executable);

// Reads the policy that the process's environment names: the file OPENSANDBOX_EGRESS_POLICY_FILE
// below the process's own root, else the text of OPENSANDBOX_EGRESS_RULES, else the default of the
// sidecar. nullopt if the process has exited.
std::optional<OpenSandboxPolicy> ReadOpenSandboxPolicy(pid_t pid,
                                                       const std::string& proc = "/proc");

// Reads and parses `file` as the process sees it. NotFound if it does not exist there.
absl::StatusOr<Ruleset> ReadOpenSandboxPolicyFile(pid_t pid, const std::string& file,
                                                  const std::string& proc = "/proc");

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_OPENSANDBOX_POLICY_H_
