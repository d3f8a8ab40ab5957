// SPDX-License-Identifier: Apache-2.0
// The cgroup v2 file system: where it is, what is in it, and the ids that the kernel side uses. The
// only reader of cgroupfs.
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

// Where cgroup2 is mounted, from a mountinfo file (proc(5)): /sys/fs/cgroup on unified hosts, often
// /sys/fs/cgroup/unified on hybrid ones. FailedPrecondition where it is not mounted. A mount of the
// whole hierarchy is preferred to one of a part.
absl::StatusOr<std::string> FindCgroupMount(
    const std::string& mountinfo_path = "/proc/self/mountinfo");

// What bpf_get_current_cgroup_id() returns for it: its file handle (name_to_handle_at(2)).
absl::StatusOr<uint64_t> CgroupId(const std::string& path);

// All cgroups below `path`, without itself, parents before children. Ones that vanish meanwhile are
// left out.
std::vector<std::string> CgroupsBelow(const std::string& path);

// Processes in `path` and below.
std::vector<pid_t> ProcessesIn(const std::string& path);

// A cgroup of our own: made on creation; on destruction every cgroup below and itself is removed,
// if no process is left in it.
class OwnedCgroup {
 public:
  static absl::StatusOr<OwnedCgroup> Create(const std::string& path);
  OwnedCgroup(OwnedCgroup&&) = default;
  OwnedCgroup& operator=(OwnedCgroup&&) = delete;
  ~OwnedCgroup();

  const std::string& path() const { return path_; }
  absl::Status AddProcess(pid_t pid);
  // True while a process is in it or below. Its file, cgroup.events, gives POLLPRI on a change
  // (cgroup-v2.rst).
  bool populated() const;
  int events_fd() const { return events_.get(); }
  // Ends what is left, by cgroup.kill (5.14) or one by one.
  void KillAll();

 private:
  OwnedCgroup(std::string path, UniqueFd events)
      : path_(std::move(path)), events_(std::move(events)) {}

  std::string path_;
  UniqueFd events_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_CGROUP_FS_H_
