// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_ATTRIBUTION_ATTRIBUTION_H_
#define SANDPIPER_USERSPACE_ATTRIBUTION_ATTRIBUTION_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "userspace/attribution/cgroup_hierarchy.h"
#include "userspace/base/diagnostics.h"
#include "userspace/event/event.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/probe/probe_options.h"
#include "userspace/runtime/runtimes.h"
#include "userspace/sandbox/discovery.h"
#include "userspace/sandbox/member_resolver.h"

namespace sandpiper {

// Sets which new cgroups the BPF programs report as candidates.
void SetDiscovery(const DiscoveryOptions& options, ProbeOptions* probes);

// The events of a member that has no owner yet.
struct PendingEvents {
  std::vector<Event> events;
  std::map<uint16_t, uint64_t> lost;  // by kind, events over the limit
};

// Finds out which cgroups belong to sandboxes: those that exist at the start, and those that are
// created later. It matches them with the selection rules and with the metadata of container
// runtimes. Until a cgroup is decided, its events are kept here.
//
// Owned by Pipeline. All calls are made by the thread of the event loop.
class Attribution {
 public:
  // The member belongs to `decision.selected`, or belongs to another sandbox than before.
  using OnAttributed = std::function<void(const Decision& decision, PendingEvents pending)>;
  // The member belongs to no sandbox any more.
  using OnReleased = std::function<void(uint64_t member)>;

  // `tables` outlives this object.
  Attribution(KernelTables* tables, CgroupHierarchy cgroups, const DiscoveryOptions& options,
              OnAttributed on_attributed, OnReleased on_released, WarningSink warn);

  // Looks for candidates among all existing cgroups, except those in `taken` and below them.
  void Scan(const std::set<std::string>& taken);
  // Returns the number of a new member. The BPF programs number the members that they find in
  // another range.
  uint64_t NextMember() { return next_member_++; }

  void OnCgroupCreated(const Event& event);
  // Adds a container that a runtime reported.
  void OnContainer(const Container& container, uint64_t now_ns);
  // Returns true if the caller has to ignore the event: either its member is undecided, and the
  // event is kept for later, or its member was rejected.
  bool HoldBack(const Event& event);
  // Call once the member's cgroup was removed and all its events were processed.
  void Forget(uint64_t member);

  // Reads what runtimes reported, and decides the candidates that waited long enough.
  void Poll(uint64_t now_ns);
  // Decides all candidates now, by the metadata that has arrived.
  void Drain();
  // Polls until all candidates are decided, or `limit` is over. Blocks.
  void WaitUntilDecided(std::chrono::milliseconds limit);

  const CgroupHierarchy& cgroups() const { return cgroups_; }
  // Readable when a runtime reported something. Poll reads it.
  int event_fd() const { return runtimes_.event_fd(); }
  uint64_t NextDeadline() const;
  // The number of undecided candidates.
  size_t waiting() const { return resolver_.waiting(); }

 private:
  bool IsCandidate(const std::string& path) const;
  // Watches the cgroup and all below it. Returns the member, or 0 if that failed or the BPF
  // programs watch the cgroup already.
  uint64_t WatchExisting(const std::string& path, uint64_t cgroup_id);
  void OnCandidate(const Candidate& candidate, uint64_t now_ns);
  void Apply(const std::vector<Decision>& decisions);
  void Reject(const Candidate& candidate);
  PendingEvents TakePending(uint64_t member);
  void CheckForDroppedCgroups();

  KernelTables* tables_;
  CgroupHierarchy cgroups_;
  DiscoveryOptions options_;
  OnAttributed on_attributed_;
  OnReleased on_released_;
  WarningSink warn_;
  MemberResolver resolver_;
  Runtimes runtimes_;
  std::map<uint64_t, PendingEvents> pending_;  // by member
  size_t pending_events_ = 0;                  // the sum over all members
  std::map<uint64_t, uint64_t> rejected_;      // by member: when it was rejected
  std::set<std::string> taken_;
  uint64_t next_member_ = 1;
  uint64_t new_cgroups_dropped_ = 0;
  uint64_t contradictions_ = 0;
  uint64_t next_check_ns_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_ATTRIBUTION_ATTRIBUTION_H_
