// SPDX-License-Identifier: Apache-2.0
// The parts that sandboxes are made of, and what the kernel side knows of them: a part is watched,
// its cgroup goes, the kernel side lets go of it, and when everything that was produced before has
// been worked off, its last counters are read.
#ifndef SANDPIPER_USERSPACE_ATTRIBUTION_MEMBER_TABLE_H_
#define SANDPIPER_USERSPACE_ATTRIBUTION_MEMBER_TABLE_H_

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "userspace/aggregate/sandbox_metrics.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/sandbox/resources.h"
#include "userspace/sandbox/selection_rules.h"

namespace sandpiper {

// One cgroup with all below it, or one device.
struct Member {
  uint64_t sandbox = 0;
  Role role = Role::kNone;
  std::array<Origin, 3> origins = {};  // of its events in the sandbox, by AttributionBasis
  uint64_t cgroup_id = 0;              // 0: a device
  std::string path;  // absolute; empty for a device, and where the cgroup was gone before we looked
  std::string container_id;
  std::string device;
  std::shared_ptr<const KernelCounts>
      before;                 // counted while it was of another sandbox; null: never
  ResourceUse use;            // as last read
  ResourceUse use_before;     // at the time when it became part of its sandbox
  uint64_t gone_ns = 0;       // when its cgroup or device went; 0: it is there
  uint64_t unwatched_ns = 0;  // when the kernel side was told so
};

class Members {
 public:
  // `tables` outlives this.
  Members(KernelTables* tables, const std::string& mount) : tables_(tables), resources_(mount) {}

  // Null where there is none of that number.
  Member* Find(uint64_t serial);
  const std::map<uint64_t, Member>& all() const { return members_; }
  // Of the sandbox, and its cgroup or device is still there.
  bool Lives(uint64_t sandbox) const;
  bool HasAny(uint64_t sandbox) const;
  // One of the sandbox, 0 if it has none; one that is still there, if any is.
  uint64_t AnyOf(uint64_t sandbox) const;
  std::vector<pid_t> ProcessesOf(uint64_t sandbox) const;

  // New, or known and of another sandbox from here on. The kernel side counts for it.
  absl::Status Put(uint64_t serial, Member member);
  // The cgroup of the member and all below it; what is made below from here on, the kernel side
  // adds by itself.
  absl::Status Watch(uint64_t serial);

  // Its cgroup or device is gone.
  void Gone(uint64_t serial, uint64_t time_ns);
  // Those whose end the kernel side had no room to tell.
  void LookForGone(uint64_t now_ns);
  // Lets go of those that are gone for a while: connections close a moment after their process.
  void Unwatch(uint64_t now_ns);
  // Takes out those of which everything that was stamped up to `until_ns` has been worked off.
  using Ended =
      std::function<void(uint64_t serial, const Member& member, const KernelCounts& counts)>;
  void TakeEnded(uint64_t until_ns, const Ended& ended);

  // Reads what the cgroup takes, if it is there.
  void ReadUse(Member* member) const;
  void ReadUse();
  // CPU time in its sandbox; memory and processes as of the last reading.
  static ResourceUse UseOf(const Member& member);
  // Of those with a cgroup; no entry for a sandbox without one.
  std::map<uint64_t, ResourceUse> UseBySandbox() const;
  const ResourceReader& resources() const { return resources_; }

  // Of the time in its sandbox.
  KernelCounts CountsOf(uint64_t serial, const Member& member) const;
  std::map<uint64_t, KernelCounts> CountsBySandbox() const;

  uint64_t NextDeadline() const;

 private:
  KernelTables* tables_;
  ResourceReader resources_;
  std::map<uint64_t, Member> members_;
  absl::flat_hash_map<uint64_t, Member*> by_serial_;  // the same, looked up for each event
  size_t leaving_ = 0;  // members that the kernel side was told of, and that are still here
  uint64_t next_end_ns_ = std::numeric_limits<uint64_t>::max();
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_ATTRIBUTION_MEMBER_TABLE_H_
