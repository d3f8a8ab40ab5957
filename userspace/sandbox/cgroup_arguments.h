// SPDX-License-Identifier: Apache-2.0
// --cgroup PATH[=ID[:sidecar]]: from what the user writes to the cgroups that exist.
#ifndef SANDPIPER_USERSPACE_SANDBOX_CGROUP_ARGUMENTS_H_
#define SANDPIPER_USERSPACE_SANDBOX_CGROUP_ARGUMENTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/sandbox/selection_rules.h"

namespace sandpiper {

struct Device {
  std::string netns;  // file that names its network namespace, as of ip-netns(8); empty: our own
  std::string name;   // with * and ? it matches any that fit
  std::string id;     // of its sandbox, escaped; empty: the device's name
};

// One that the user named.
struct Sandbox {
  std::string id;                     // escaped
  std::string cgroup;                 // absolute path of its topmost cgroup
  std::vector<std::string> sidecars;  // cgroups that belong to it and are not its application
};

// PATH is absolute, below the cgroup mount or relative to it, and may hold glob(7) patterns; ID
// defaults to the last component. Errors name the argument: nothing matches (NotFound), one id for
// several cgroups or the same id twice (InvalidArgument). With :sidecar the cgroup is one more of
// the sandbox that another argument gives this ID: who enforces its policy, as a rule. Where one
// selected cgroup lies below another it is a sandbox of its own. Sorted by path, so that ancestors
// come first.
absl::StatusOr<std::vector<Sandbox>> SelectCgroups(const std::vector<std::string>& arguments,
                                                   const std::string& mount);

// A PATH with a pattern and without an ID goes on to match what is made later: the rule for that,
// nothing for any other argument.
std::optional<SelectionRule> PatternRule(const std::string& argument, const std::string& mount);

// [NETNS:]NAME[=ID]. InvalidArgument names the argument.
absl::StatusOr<std::vector<Device>> ParseDevices(const std::vector<std::string>& arguments);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_CGROUP_ARGUMENTS_H_
