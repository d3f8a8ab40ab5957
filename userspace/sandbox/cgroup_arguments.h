// SPDX-License-Identifier: Apache-2.0
// Resolves --cgroup PATH[=ID[:sidecar]] to existing cgroups, and parses --device.
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
  std::string netns;  // file of its network namespace, as made by ip-netns(8); empty: our own
  std::string name;   // may contain the wildcards * and ?
  std::string id;     // id of its sandbox, escaped; empty: the device's name
};

// A sandbox that the user named with --cgroup.
struct Sandbox {
  std::string id;                     // escaped
  std::string cgroup;                 // absolute path of its topmost cgroup
  std::vector<std::string> sidecars;  // further cgroups of it that are not its application
};

// PATH is absolute below the cgroup mount, or relative to it, and may contain glob(7) patterns. ID
// defaults to the last component of the path. With :sidecar the cgroup joins the sandbox that
// another argument gives this ID, usually as the enforcer of its policy. A selected cgroup below
// another selected one is a sandbox of its own. The result is sorted by path, so that ancestors
// come first. Errors quote the argument: NotFound if nothing matches, InvalidArgument for one ID
// for several cgroups or for the same ID twice.
absl::StatusOr<std::vector<Sandbox>> SelectCgroups(const std::vector<std::string>& arguments,
                                                   const std::string& mount);

// The rule that selects later cgroups for a PATH with wildcards and without an ID; nullopt for any
// other argument.
std::optional<SelectionRule> PatternRule(const std::string& argument, const std::string& mount);

// Parses [NETNS:]NAME[=ID]. InvalidArgument quotes the argument.
absl::StatusOr<std::vector<Device>> ParseDevices(const std::vector<std::string>& arguments);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_CGROUP_ARGUMENTS_H_
