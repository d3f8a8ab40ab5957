// SPDX-License-Identifier: Apache-2.0
// From cgroups that were found, and what runtimes say of them, to what each one is part of. No I/O;
// time is given.
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
  uint64_t member = 0;     // as the kernel side stamps it on events
  uint64_t cgroup_id = 0;  // may come back for another cgroup; `member` does not
  std::string cgroup;      // path from the root of the hierarchy
  uint64_t born_ns = 0;    // CLOCK_BOOTTIME
};

// What a candidate turned out to be, or turned into.
struct Decision {
  Candidate candidate;
  std::optional<Selected> selected;  // none: nobody's
  CgroupPath path;
  std::optional<Container> container;
};

class Membership {
 public:
  struct Options {
    std::vector<SelectionRule> rules;
    uint64_t wait_ns = 0;  // for what runtimes say of a container; after that it is what is known
    std::set<std::string> sidecars;  // names of containers in a pod that are not its application
    size_t rejected_max = 4096;      // containers of nobody that a later one may pull in
    size_t containers_max = 4096;    // told of before their cgroup was, or after
  };
  explicit Membership(Options options) : options_(std::move(options)) {}

  // Nothing will be told by a runtime: no use to wait.
  void NoRuntimes() { options_.wait_ns = 0; }

  void OnCandidate(const Candidate& candidate, uint64_t now_ns, std::vector<Decision>* decisions);
  // Of any container, known here or not. What is known better already stays.
  void OnContainer(const Container& container, uint64_t now_ns, std::vector<Decision>* decisions);
  // Decides for those that waited long enough.
  void Tick(uint64_t now_ns, std::vector<Decision>* decisions);
  // Its cgroup is gone, and all that is to be said of it has been.
  void Forget(uint64_t member);

  uint64_t NextDeadline() const;
  size_t waiting() const { return deadlines_.size(); }
  // Members that are remembered, of nobody too.
  size_t size() const { return entries_.size(); }
  // Two runtimes that claim one container: the first is believed.
  uint64_t contradictions() const { return contradictions_; }

 private:
  struct Entry {
    Candidate candidate;
    CgroupPath path;
    std::optional<Selected> selected;
    bool decided = false;
  };

  void Decide(Entry* entry, bool final, std::vector<Decision>* decisions);
  void Settle(Entry* entry, std::optional<Selected> selected, std::vector<Decision>* decisions);
  std::optional<Selected> JoinedByNetwork(const Entry& entry) const;
  void PullIn(const Entry& entry, std::vector<Decision>* decisions);
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
