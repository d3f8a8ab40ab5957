// SPDX-License-Identifier: Apache-2.0
// What a cgroup takes of the host: cgroup v2 files (Documentation/admin-guide/cgroup-v2.rst), and
// what stands in for them where a controller is not on the cgroup.
#ifndef SANDPIPER_USERSPACE_SANDBOX_RESOURCES_H_
#define SANDPIPER_USERSPACE_SANDBOX_RESOURCES_H_

#include <cstdint>
#include <optional>
#include <string>

namespace sandpiper {

struct ResourceUse {
  double user_seconds = 0, system_seconds = 0;  // CPU time since the cgroup was made
  uint64_t memory_bytes = 0, processes = 0;     // now

  ResourceUse& operator+=(const ResourceUse& other);
};

// Where memory is read, best first.
enum class MemorySource {
  kController,    // memory.current
  kControllerV1,  // memory.usage_in_bytes of the same cgroup in the v1 hierarchy: a hybrid host
  kProcesses,     // the sum of its processes' shares of memory that no file is behind; walks their
                  // page tables
};
const char* Name(MemorySource source);

class ResourceReader {
 public:
  // `mount`: of cgroup v2.
  explicit ResourceReader(const std::string& mount, const std::string& proc = "/proc");

  // Of the cgroup at this path and all below it; nothing if it is gone.
  std::optional<ResourceUse> Read(const std::string& path) const;

  // The best that this host has. A cgroup without it is read from the next.
  MemorySource source() const { return source_; }
  // Why that is not memory.current; empty if it is.
  std::string reason() const;

 private:
  std::string mount_, proc_, mount_v1_;
  MemorySource source_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_RESOURCES_H_
