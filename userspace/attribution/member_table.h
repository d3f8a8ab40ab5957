// SPDX-License-Identifier: Apache-2.0
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
#include "userspace/attribution/cgroup_hierarchy.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/sandbox/resources.h"
#include "userspace/sandbox/selection_rules.h"

namespace sandpiper {

// A part of a sandbox: one cgroup with all cgroups below it, or one network device. Times are
// CLOCK_BOOTTIME.
struct Member {
  uint64_t sandbox = 0;  // its serial
  Role role = Role::kNone;
  std::array<Origin, 3> origins = {};  // what its events carry, by AttributionBasis
  uint64_t cgroup_id = 0;              // 0: a device
  // Absolute. Empty for a device, and for a cgroup that was removed before it was found.
  std::string path;
  std::string container_id;
  std::string device;  // its name; empty for a cgroup
  // The kernel's counts when it became part of its sandbox. Null if it was never part of another.
  std::shared_ptr<const KernelCounts> before;
  ResourceUse use;            // as last read
  ResourceUse use_before;     // when it became part of its sandbox
  uint64_t removed_ns = 0;    // when its cgroup or device was removed; 0: it exists
  uint64_t unwatched_ns = 0;  // when the BPF programs stopped to watch it; 0: they watch it
};

// The members of all sandboxes, and their entries in the tables of the BPF programs. Life of a
// member:
//   Put, WatchCgroups  the BPF programs emit its events, and count them
//   OnRemoved          its cgroup was removed
//   ExpireDue          a second later, the BPF programs stop to watch it
//   RemoveEnded        all its events were processed: the last counters are read, and it is removed
//
// Owned by Pipeline. All calls are made by the thread of the event loop.
class MemberTable {
 public:
  // `tables` outlives this object.
  MemberTable(KernelTables* tables, CgroupHierarchy cgroups)
      : tables_(tables), cgroups_(std::move(cgroups)), resources_(cgroups_.mount) {}

  // Null if there is no such member. Called for each event.
  Member* Find(uint64_t serial) {
    const auto it = by_serial_.find(serial);
    return it == by_serial_.end() ? nullptr : it->second;
  }
  const std::map<uint64_t, Member>& all() const { return members_; }
  // True if the cgroup or device of some member still exists.
  bool HasExisting(uint64_t sandbox) const;
  bool HasAny(uint64_t sandbox) const { return AnyOf(sandbox) != 0; }
  // A member of the sandbox, if possible one that exists. 0 if the sandbox has no member.
  uint64_t AnyOf(uint64_t sandbox) const;
  std::vector<pid_t> ProcessesOf(uint64_t sandbox) const;

  // Adds the member, or replaces it if it is part of another sandbox now. An error if the kernel's
  // table is full; the member is not added then.
  absl::Status Put(uint64_t serial, Member member);
  // Has the BPF programs watch the member's cgroup and all below it. They watch cgroups that are
  // created below it later by themselves.
  absl::Status WatchCgroups(uint64_t serial);

  // The member's cgroup or device was removed.
  void OnRemoved(uint64_t serial, uint64_t time_ns);
  // Finds cgroups that were removed without an event, because that was dropped.
  void DetectRemoved(uint64_t now_ns);
  // Has the BPF programs stop to watch members that were removed a second ago. Not earlier, since
  // sockets are closed a moment after their process ended.
  void ExpireDue(uint64_t now_ns);
  // Removes each unwatched member if all events up to `until_ns` were processed and it can have no
  // later ones. `counts` are its last ones.
  using OnEnded =
      std::function<void(uint64_t serial, const Member& member, const KernelCounts& counts)>;
  void RemoveEnded(uint64_t until_ns, const OnEnded& on_ended);
  // When ExpireDue or RemoveEnded has something to do next.
  uint64_t NextDeadline() const;

  // Reads the resources that the cgroup uses, if it exists.
  void ReadUse(Member* member) const;
  void ReadUse();
  // CPU time since it became part of its sandbox; memory and processes as last read.
  static ResourceUse UseOf(const Member& member);
  // Has no entry for a sandbox without cgroups.
  std::map<uint64_t, ResourceUse> UseBySandbox() const;
  const ResourceReader& resources() const { return resources_; }

  // The kernel's counts since it became part of its sandbox.
  KernelCounts CountsOf(uint64_t serial, const Member& member) const;
  std::map<uint64_t, KernelCounts> CountsBySandbox() const;

 private:
  KernelTables* tables_;
  CgroupHierarchy cgroups_;
  ResourceReader resources_;
  std::map<uint64_t, Member> members_;                // by serial
  absl::flat_hash_map<uint64_t, Member*> by_serial_;  // the same members, for Find
  size_t unwatched_ = 0;                              // members that wait for RemoveEnded
  uint64_t next_expiry_ns_ = std::numeric_limits<uint64_t>::max();
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_ATTRIBUTION_MEMBER_TABLE_H_
