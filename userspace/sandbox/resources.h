// SPDX-License-Identifier: Apache-2.0
// Reads the CPU time, memory and processes of a cgroup from its cgroup v2 files
// (Documentation/admin-guide/cgroup-v2.rst). Where the memory controller is missing, it falls back
// to cgroup v1 or to /proc.
#ifndef SANDPIPER_USERSPACE_SANDBOX_RESOURCES_H_
#define SANDPIPER_USERSPACE_SANDBOX_RESOURCES_H_

#include <cstdint>
#include <optional>
#include <string>

namespace sandpiper {

struct ResourceUse {
  // CPU time since the cgroup was created.
  double user_seconds = 0;
  double system_seconds = 0;
  // Current values.
  uint64_t memory_bytes = 0;
  uint64_t processes = 0;

  ResourceUse& operator+=(const ResourceUse& other);
};

// Where memory is read from, best first.
enum class MemorySource {
  kController,    // memory.current
  kControllerV1,  // memory.usage_in_bytes of the same cgroup in the v1 hierarchy: a hybrid host
  kProcesses,     // sum of the processes' anonymous and shared memory (PSS); walks page tables
};
const char* Name(MemorySource source);

class ResourceReader {
 public:
  // `mount` is the mount point of cgroup v2.
  explicit ResourceReader(const std::string& mount, const std::string& proc = "/proc");

  // The use of the cgroup at `path` with all cgroups below it; nullopt if it was removed.
  std::optional<ResourceUse> Read(const std::string& path) const;

  // The best source that this host has. A cgroup without it is read from the next one.
  MemorySource source() const { return source_; }
  // Why the source is not memory.current; empty if it is.
  std::string reason() const;

 private:
  std::string mount_, proc_, mount_v1_;
  MemorySource source_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_RESOURCES_H_
