// SPDX-License-Identifier: Apache-2.0
// The policy of an OpenSandbox egress sidecar as it was started with. Rules for names never reach
// the kernel: its DNS proxy keeps them.
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
  // Its rules in the order of the policy, their targets as they are written there: a name,
  // *.suffix, an address or a prefix.
  absl::StatusOr<Ruleset> rules;
};

// {"defaultAction":"deny","egress":[{"action":"allow","target":"example.org"}]}; anything empty
// denies all, as the sidecar reads it. InvalidArgument names what is wrong, and repeats nothing of
// the text.
absl::StatusOr<Ruleset> ParseOpenSandboxPolicy(std::string_view json);

// True for the program of the sidecar.
bool IsOpenSandboxEgress(std::string_view executable);

// From the process's environment: the file that OPENSANDBOX_EGRESS_POLICY_FILE names, within its
// own root, else OPENSANDBOX_EGRESS_RULES. Nothing if neither variable is there, or the process is
// gone.
std::optional<OpenSandboxPolicy> ReadOpenSandboxPolicy(pid_t pid,
                                                       const std::string& proc = "/proc");

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_OPENSANDBOX_POLICY_H_
