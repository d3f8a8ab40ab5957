// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_ATTRIBUTION_CGROUP_HIERARCHY_H_
#define SANDPIPER_USERSPACE_ATTRIBUTION_CGROUP_HIERARCHY_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {

// The cgroup v2 hierarchy: its mount point, and how the id of a cgroup is read. Tests use an
// ordinary folder, which needs another way to read ids.
struct CgroupHierarchy {
  std::string mount;
  std::function<absl::StatusOr<uint64_t>(const std::string& path)> id_of = CgroupId;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_ATTRIBUTION_CGROUP_HIERARCHY_H_
