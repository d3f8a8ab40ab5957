// SPDX-License-Identifier: Apache-2.0
// Decides which sandbox each candidate cgroup belongs to, from the selection rules and the metadata
// that container runtimes report. No I/O: the caller passes the current time. Used by one thread.
#ifndef SANDPIPER_USERSPACE_SANDBOX_MEMBER_RESOLVER_H_
#define SANDPIPER_USERSPACE_SANDBOX_MEMBER_RESOLVER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "userspace/runtime/container.h"
#include "userspace/sandbox/selection_rules.h"

namespace sandpiper {

struct Candidate {
  uint64_t member = 0;      // the number that BPF programs put on its events; never reused
  uint64_t cgroup_id = 0;   // the kernel may reuse it for another cgroup
  std::string cgroup;       // path from the root of the hierarchy
  uint64_t created_ns = 0;  // CLOCK_BOOTTIME
};

// The sandbox of a candidate, as decided first or changed later.
struct Decision {
  Candidate candidate;
  std::optional<Selected> selected;  // nullopt: the candidate is unwatched
  CgroupPath path;
  std::optional<Container> container;
};

class MemberResolver {
 public:
  struct Options {
    std::vector<SelectionRule> rules;
    // How long a container waits for its metadata before it is decided without.
    uint64_t wait_ns = 0;
    // Names of containers of a pod that are not its application.
    std::set<std::string> sidecars;
    // Unselected containers that are remembered: a later sandbox may share their network.
    size_t rejected_max = 4096;
    // Metadata that is kept for containers without a living cgroup.
    size_t containers_max = 4096;
  };
  explicit MemberResolver(Options options) : options_(std::move(options)) {}

  // Call if no runtime is configured: no candidate waits for metadata then.
  void StopWaitingForRuntimes() { options_.wait_ns = 0; }

  // Each of these appends the decisions that it leads to.
  void OnCandidate(const Candidate& candidate, uint64_t now_ns, std::vector<Decision>* decisions);
  // Metadata of any container. Complete metadata is not replaced by incomplete.
  void OnContainer(const Container& container, uint64_t now_ns, std::vector<Decision>* decisions);
  // Decides the candidates that have waited for wait_ns.
  void ExpireDue(uint64_t now_ns, std::vector<Decision>* decisions);
  // Call once the cgroup was removed and all of its events were processed.
  void Forget(uint64_t member);

  // The next time at which ExpireDue has something to do, in CLOCK_BOOTTIME.
  uint64_t NextDeadline() const;
  size_t waiting() const { return deadlines_.size(); }
  // All members that are remembered, unselected ones too.
  size_t size() const { return entries_.size(); }
  // How often a second runtime claimed a container. The first claim is kept.
  uint64_t contradictions() const { return contradictions_; }

 private:
  struct Entry {
    Candidate candidate;
    CgroupPath path;
    std::optional<Selected> selected;
    bool decided = false;
  };

  Metadata WhileWaiting() const {
    return options_.wait_ns == 0 ? Metadata::kFinal : Metadata::kMayFollow;
  }
  void Decide(Entry* entry, Metadata metadata, std::vector<Decision>* decisions);
  void Conclude(Entry* entry, std::optional<Selected> selected, std::vector<Decision>* decisions);
  std::optional<Selected> SelectByNetworkPeer(const Entry& entry) const;
  void JoinNetworkPeers(const Entry& entry, std::vector<Decision>* decisions);
  const Container* Find(const std::string& container_id) const;
  void Remember(const Container& container);

  Options options_;
  std::map<uint64_t, Entry> entries_;                  // by member
  std::multimap<std::string, uint64_t> by_container_;  // id -> member
  std::multimap<uint64_t, uint64_t> deadlines_;        // time -> member
  std::map<std::string, Container> containers_;        // by id
  std::deque<std::string> container_order_;            // oldest first
  std::deque<uint64_t> rejected_;                      // oldest first
  uint64_t contradictions_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_MEMBER_RESOLVER_H_
