// SPDX-License-Identifier: Apache-2.0
// The policy with which an OpenSandbox egress sidecar was started. Its rules for names are enforced
// by its DNS proxy and never reach the kernel.
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
  std::string source;  // the attribute rules.source: environment, file
  // The rules in the order of the policy. A target is copied as it is: a name, *.suffix, an address
  // or a prefix.
  absl::StatusOr<Ruleset> rules;
};

// Parses {"defaultAction":"deny","egress":[{"action":"allow","target":"example.org"}]}. An empty
// policy denies all, as in the sidecar. InvalidArgument names the fault without quoting the text,
// which may contain secrets.
absl::StatusOr<Ruleset> ParseOpenSandboxPolicy(std::string_view json);

// Whether this is the path of the sidecar's program.
bool IsOpenSandboxEgress(std::string_view executable);

// Reads the policy that the process's environment names: the file OPENSANDBOX_EGRESS_POLICY_FILE
// below the process's own root, else the text of OPENSANDBOX_EGRESS_RULES. nullopt if neither
// variable exists or the process has exited.
std::optional<OpenSandboxPolicy> ReadOpenSandboxPolicy(pid_t pid,
                                                       const std::string& proc = "/proc");

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_OPENSANDBOX_POLICY_H_
