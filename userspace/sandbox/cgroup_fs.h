// SPDX-License-Identifier: Apache-2.0
// The cgroup v2 file system: its mount, its cgroups, and the ids by which BPF programs know them.
// Nothing else reads cgroupfs.
#ifndef SANDPIPER_USERSPACE_SANDBOX_CGROUP_FS_H_
#define SANDPIPER_USERSPACE_SANDBOX_CGROUP_FS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/base/fd.h"

namespace sandpiper {

// The mount point of cgroup2, from a mountinfo file (proc(5)): /sys/fs/cgroup on unified hosts,
// often /sys/fs/cgroup/unified on hybrid ones. A mount of the whole hierarchy is preferred to a
// mount of a part. FailedPrecondition if it is not mounted.
absl::StatusOr<std::string> FindCgroupMount(
    const std::string& mountinfo_path = "/proc/self/mountinfo");

// The id that bpf_get_current_cgroup_id() returns for the cgroup: its file handle
// (name_to_handle_at(2)).
absl::StatusOr<uint64_t> CgroupId(const std::string& path);

// All cgroups below `path`, without `path` itself, parents before children. Cgroups that are
// removed meanwhile are left out.
std::vector<std::string> CgroupsBelow(const std::string& path);

// The processes of the cgroup and of all cgroups below it.
std::vector<pid_t> ProcessesIn(const std::string& path);

// A cgroup that sandpiper creates. The destructor removes it with all cgroups below it, if no
// process is left in them.
class OwnedCgroup {
 public:
  static absl::StatusOr<OwnedCgroup> Create(const std::string& path);
  OwnedCgroup(OwnedCgroup&&) = default;
  OwnedCgroup& operator=(OwnedCgroup&&) = delete;
  ~OwnedCgroup();

  const std::string& path() const { return path_; }
  absl::Status AddProcess(pid_t pid);
  // True while a process is in it or below it. events_fd() reports POLLPRI when that changes: it is
  // cgroup.events of cgroup-v2.rst.
  bool IsPopulated() const;
  int events_fd() const { return events_.get(); }
  // Kills all of its processes, with cgroup.kill (Linux 5.14) or one by one.
  void KillAll();

 private:
  OwnedCgroup(std::string path, UniqueFd events)
      : path_(std::move(path)), events_(std::move(events)) {}

  std::string path_;
  UniqueFd events_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_CGROUP_FS_H_
