// SPDX-License-Identifier: Apache-2.0
#include "userspace/attribution/attribution.h"

#include <poll.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/text.h"
#include "userspace/runtime/oci_bundle.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

// Events kept of one member, and of all.
constexpr size_t kHeldMax = 4'096, kHeldAllMax = 65'536;
// Events of a cgroup that was found to be nobody's are long through after this.
constexpr uint64_t kLate = 10 * kSecond;
// How often it is looked whether births were lost.
constexpr uint64_t kLookAgain = kSecond;

bool NeedsContainers(const std::vector<SelectionRule>& rules) {
  return std::any_of(rules.begin(), rules.end(),
                     [](const SelectionRule& rule) { return !NamePrefix(rule).has_value(); });
}

}  // namespace

void SetDiscovery(const DiscoveryOptions& options, ProbeOptions* probes) {
  probes->discover_containers = NeedsContainers(options.rules);
  for (const SelectionRule& rule : options.rules) {
    if (const auto prefix = NamePrefix(rule))
      probes->discover_prefixes.push_back(*prefix);
  }
}

Attribution::Attribution(KernelTables* tables, std::string mount, const DiscoveryOptions& options,
                         Join join, Leave leave, Tell tell)
    : tables_(tables),
      mount_(std::move(mount)),
      options_(options),
      join_(std::move(join)),
      leave_(std::move(leave)),
      tell_(std::move(tell)),
      membership_({.rules = options.rules,
                   .wait_ns = Nanoseconds(options.metadata_wait),
                   .sidecars = options.sidecars}),
      runtimes_(options.rules.empty() ? std::vector<RuntimeSocket>{} : options.sockets,
                options.metadata_wait) {
  if (runtimes_.empty())
    membership_.StopWaitingForRuntimes();
}

void Attribution::Scan(const std::set<std::string>& taken) {
  taken_ = taken;
  new_cgroups_dropped_ = tables_->new_cgroups_dropped();
  if (options_.rules.empty())
    return;
  const bool containers = NeedsContainers(options_.rules);
  const uint64_t now = BootNow();
  std::string watched;  // what is below it is its own
  for (const std::string& path : CgroupsBelow(mount_)) {
    const auto below = [&](const std::string& top) {
      return !top.empty() && (path == top || path.starts_with(top + "/"));
    };
    if (below(watched) || std::any_of(taken_.begin(), taken_.end(), below))
      continue;
    const std::string cgroup = path.substr(mount_.size()), name = path.substr(path.rfind('/') + 1);
    const bool by_name =
        std::any_of(options_.rules.begin(), options_.rules.end(), [&](const SelectionRule& rule) {
          const auto prefix = NamePrefix(rule);
          return prefix && name.starts_with(*prefix);
        });
    if (!by_name && !(containers && !ParseCgroupPath(cgroup).container_id.empty()))
      continue;
    const auto id = CgroupId(path);
    const uint64_t member = NextMember();
    // One that was made a moment ago has been found by the kernel side, and tells of itself.
    if (!id.ok() || !tables_->AddMember(member).ok())
      continue;
    const owner owner = {.member = member, .sandbox = member};
    if (!tables_->WatchCgroup(*id, owner, IfWatched::kKeepOwner).ok()) {
      tables_->RemoveMember(member);
      continue;
    }
    for (const std::string& child : CgroupsBelow(path)) {
      if (const auto child_id = CgroupId(child); child_id.ok())
        (void)tables_->WatchCgroup(*child_id, owner, IfWatched::kKeepOwner);
    }
    watched = path;
    OnCandidate({.member = member, .cgroup_id = *id, .cgroup = cgroup, .created_ns = now}, now);
    // It was nobody's: what is below it may be somebody's all the same.
    if (rejected_.contains(member))
      watched.clear();
  }
}

void Attribution::OnCandidate(const Candidate& candidate, uint64_t now_ns) {
  std::vector<Decision> decisions;
  held_[candidate.member];
  const CgroupPath path = ParseCgroupPath(candidate.cgroup);
  if (!path.container_id.empty() && !path.monitor) {
    runtimes_.Request(path.container_id);
    if (const auto bundle = FindBundle(path.container_id, options_.bundle_folders))
      membership_.OnContainer(*bundle, now_ns, &decisions);
  }
  membership_.OnCandidate(candidate, now_ns, &decisions);
  Apply(std::move(decisions));
}

void Attribution::OnMade(const Event& event) {
  const auto& made = std::get<CgroupCreated>(event.body);
  Candidate candidate = {.member = event.member,
                         .cgroup_id = event.cgroup_id,
                         .cgroup = made.path,
                         .created_ns = event.time_ns};
  if (made.path.empty()) {
    tell_("a cgroup was made whose path is longer than 510 bytes: it is not watched");
    Reject(candidate);
    return;
  }
  OnCandidate(candidate, event.time_ns);
}

bool Attribution::Keep(const Event& event) {
  const auto held = held_.find(event.member);
  if (held == held_.end())
    return rejected_.contains(event.member);
  if (held->second.events.size() >= kHeldMax || held_events_ >= kHeldAllMax) {
    ++held->second.lost[event.kind];
    return true;
  }
  held->second.events.push_back(event);
  ++held_events_;
  return true;
}

void Attribution::Reject(const Candidate& candidate) {
  if (const auto held = held_.find(candidate.member); held != held_.end()) {
    held_events_ -= held->second.events.size();
    held_.erase(held);
  }
  const std::string path = mount_ + candidate.cgroup;
  tables_->UnwatchCgroup(candidate.cgroup_id, candidate.member);
  for (const std::string& below : CgroupsBelow(path)) {
    if (const auto id = CgroupId(below); id.ok())
      tables_->UnwatchCgroup(*id, candidate.member);
  }
  tables_->RemoveMember(candidate.member);
  rejected_[candidate.member] = BootNow();
}

void Attribution::Apply(std::vector<Decision> decisions) {
  for (Decision& decision : decisions) {
    const uint64_t member = decision.candidate.member;
    if (!decision.selected) {
      if (held_.contains(member))
        Reject(decision.candidate);
      else
        leave_(member);
      continue;
    }
    rejected_.erase(member);
    Held held;
    if (const auto waiting = held_.find(member); waiting != held_.end()) {
      held = std::move(waiting->second);
      held_events_ -= held.events.size();
      held_.erase(waiting);
    }
    join_(decision, std::move(held));
  }
}

void Attribution::Forget(uint64_t member) { membership_.Forget(member); }

void Attribution::Work(uint64_t now_ns) {
  std::vector<Decision> decisions;
  for (const Container& container : runtimes_.Drain())
    membership_.OnContainer(container, now_ns, &decisions);
  membership_.ExpireDue(now_ns, &decisions);
  Apply(std::move(decisions));
  for (const std::string& problem : runtimes_.DrainProblems())
    tell_(Escape(problem));
  if (membership_.contradictions() > 0 && contradictions_ == 0)
    tell_("two runtimes claim one container: the first that did is believed");
  contradictions_ = membership_.contradictions();
  if (now_ns < next_look_ns_)
    return;
  next_look_ns_ = now_ns + kLookAgain;
  std::erase_if(rejected_, [&](const auto& entry) { return entry.second + kLate < now_ns; });
  if (tables_->new_cgroups_dropped() != new_cgroups_dropped_) {
    tell_("the kernel side had no room to tell of new cgroups: looking at all of them");
    Scan(taken_);
  }
}

void Attribution::Finish() {
  std::vector<Decision> decisions;
  membership_.ExpireDue(std::numeric_limits<uint64_t>::max(), &decisions);
  Apply(std::move(decisions));
}

void Attribution::Settle(std::chrono::milliseconds limit) {
  const uint64_t end = BootNow() + Nanoseconds(limit);
  Work(BootNow());
  while (waiting() > 0 && BootNow() < end) {
    pollfd news = {.fd = event_fd(), .events = POLLIN, .revents = 0};
    poll(&news, 1,
         static_cast<int>(
             (std::min(end, NextDeadline()) - std::min(end, BootNow())) / kMillisecond + 1));
    Work(BootNow());
  }
}

uint64_t Attribution::NextDeadline() const {
  return options_.rules.empty() ? std::numeric_limits<uint64_t>::max()
                                : std::min(membership_.NextDeadline(), next_look_ns_);
}

}  // namespace sandpiper
