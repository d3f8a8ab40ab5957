// SPDX-License-Identifier: Apache-2.0
// Whose an event is: which cgroups belong to sandboxes, found at the start and as they are made,
// with what their runtimes say of them. Events of a cgroup that nobody knows yet are kept until
// somebody does.
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

#include "absl/status/status.h"
#include "userspace/event/event.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/probe/probe_options.h"
#include "userspace/runtime/runtimes.h"
#include "userspace/sandbox/discovery.h"
#include "userspace/sandbox/member_resolver.h"

namespace sandpiper {

// What the kernel side has to look at for these rules.
void SetDiscovery(const DiscoveryOptions& options, ProbeOptions* probes);

// Events that were kept, and those of each kind for which there was no room.
struct Held {
  std::vector<Event> events;
  std::map<uint16_t, uint64_t> lost;
};

class Attribution {
 public:
  // A cgroup belongs to a sandbox, or to another one than before. `held`: what happened in it until
  // now.
  using Join = std::function<void(const Decision& decision, Held held)>;
  // It belongs to nobody any more, or never did.
  using Leave = std::function<void(uint64_t member)>;
  // A message for the operator.
  using Tell = std::function<void(const std::string& problem)>;

  // `mount`: of cgroup v2. `tables` outlives this.
  Attribution(KernelTables* tables, std::string mount, const DiscoveryOptions& options, Join join,
              Leave leave, Tell tell);

  // Looks at all cgroups that are there. `taken`: paths that are watched already, with all below
  // them.
  void Scan(const std::set<std::string>& taken);
  // Numbers for members that the kernel side did not find.
  uint64_t NextMember() { return next_member_++; }

  void OnMade(const Event& event);
  // True if it was one whose member is not known yet, or is known to be nobody's: the event has
  // been taken care of.
  bool Keep(const Event& event);
  // Its cgroup is gone and it has been told of; the events of it are all through.
  void Forget(uint64_t member);

  // Takes what runtimes said, and decides for those that waited long enough.
  void Work(uint64_t now_ns);
  // Nobody waits any longer: all is decided by what is known.
  void Finish();
  // Waits until nobody waits, but no longer than `limit`.
  void Settle(std::chrono::milliseconds limit);

  const std::string& mount() const { return mount_; }
  int event_fd() const { return runtimes_.event_fd(); }
  uint64_t NextDeadline() const;
  size_t waiting() const { return membership_.waiting(); }

 private:
  void OnCandidate(const Candidate& candidate, uint64_t now_ns);
  void Apply(std::vector<Decision> decisions);
  void Reject(const Candidate& candidate);

  KernelTables* tables_;
  std::string mount_;
  DiscoveryOptions options_;
  Join join_;
  Leave leave_;
  Tell tell_;
  MemberResolver membership_;
  Runtimes runtimes_;
  std::map<uint64_t, Held> held_;  // by member
  size_t held_events_ = 0;
  std::map<uint64_t, uint64_t>
      rejected_;  // member -> when the kernel side was told; late events of it may still come
  std::set<std::string> taken_;
  uint64_t next_member_ = 1;
  uint64_t new_cgroups_dropped_ = 0, contradictions_ = 0;
  uint64_t next_look_ns_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_ATTRIBUTION_ATTRIBUTION_H_
