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

// How many events are kept for one undecided member, and for all of them.
constexpr size_t kPendingPerMember = 4'096;
constexpr size_t kPendingMax = 65'536;
// How long events of a rejected member are ignored. No event stays in a ring buffer that long.
constexpr uint64_t kRejectedFor = 10 * kSecond;
constexpr uint64_t kCheckInterval = kSecond;

bool NeedsContainers(const std::vector<SelectionRule>& rules) {
  return std::any_of(rules.begin(), rules.end(),
                     [](const SelectionRule& rule) { return !NamePrefix(rule).has_value(); });
}

// True if `path` is `top` or below it.
bool IsWithin(const std::string& path, const std::string& top) {
  return !top.empty() && (path == top || path.starts_with(top + "/"));
}

}  // namespace

void SetDiscovery(const DiscoveryOptions& options, ProbeOptions* probes) {
  probes->discover_containers = NeedsContainers(options.rules);
  for (const SelectionRule& rule : options.rules) {
    if (const auto prefix = NamePrefix(rule))
      probes->discover_prefixes.push_back(*prefix);
  }
}

Attribution::Attribution(KernelTables* tables, CgroupHierarchy cgroups,
                         const DiscoveryOptions& options, OnAttributed on_attributed,
                         OnReleased on_released, WarningSink warn)
    : tables_(tables),
      cgroups_(std::move(cgroups)),
      options_(options),
      on_attributed_(std::move(on_attributed)),
      on_released_(std::move(on_released)),
      warn_(std::move(warn)),
      resolver_({.rules = options.rules,
                 .wait_ns = Nanoseconds(options.metadata_wait),
                 .sidecars = options.sidecars}),
      runtimes_(options.rules.empty() ? std::vector<RuntimeSocket>{} : options.sockets,
                options.metadata_wait) {
  if (runtimes_.empty())
    resolver_.StopWaitingForRuntimes();
}

bool Attribution::IsCandidate(const std::string& path) const {
  const std::string name = path.substr(path.rfind('/') + 1);
  const bool is_named =
      std::any_of(options_.rules.begin(), options_.rules.end(), [&](const SelectionRule& rule) {
        const auto prefix = NamePrefix(rule);
        return prefix && name.starts_with(*prefix);
      });
  if (is_named)
    return true;
  const std::string cgroup = path.substr(cgroups_.mount.size());
  return NeedsContainers(options_.rules) && !ParseCgroupPath(cgroup).container_id.empty();
}

uint64_t Attribution::WatchExisting(const std::string& path, uint64_t cgroup_id) {
  const uint64_t member = NextMember();
  if (!tables_->AddMember(member).ok())
    return 0;
  const owner owner = {.member = member, .sandbox = member};
  // The BPF programs may have found a cgroup that was created a moment ago. They report it
  // themselves.
  if (!tables_->WatchCgroup(cgroup_id, owner, IfWatched::kKeepOwner).ok()) {
    tables_->RemoveMember(member);
    return 0;
  }
  for (const std::string& child : CgroupsBelow(path)) {
    if (const auto id = cgroups_.id_of(child); id.ok())
      (void)tables_->WatchCgroup(*id, owner, IfWatched::kKeepOwner);
  }
  return member;
}

void Attribution::Scan(const std::set<std::string>& taken) {
  taken_ = taken;
  new_cgroups_dropped_ = tables_->new_cgroups_dropped();
  if (options_.rules.empty())
    return;
  const uint64_t now = BootNow();
  std::string candidate;  // cgroups below it are part of it
  for (const std::string& path : CgroupsBelow(cgroups_.mount)) {
    const bool is_taken = std::any_of(taken_.begin(), taken_.end(),
                                      [&](const std::string& top) { return IsWithin(path, top); });
    if (is_taken || IsWithin(path, candidate) || !IsCandidate(path))
      continue;
    const auto id = cgroups_.id_of(path);
    const uint64_t member = id.ok() ? WatchExisting(path, *id) : 0;
    if (member == 0)
      continue;
    candidate = path;
    OnCandidate({.member = member,
                 .cgroup_id = *id,
                 .cgroup = path.substr(cgroups_.mount.size()),
                 .created_ns = now},
                now);
    // A cgroup below a rejected one can still be a sandbox.
    if (rejected_.contains(member))
      candidate.clear();
  }
}

void Attribution::OnCandidate(const Candidate& candidate, uint64_t now_ns) {
  std::vector<Decision> decisions;
  pending_[candidate.member];
  const CgroupPath path = ParseCgroupPath(candidate.cgroup);
  if (!path.container_id.empty() && !path.monitor) {
    runtimes_.Request(path.container_id);
    if (const auto bundle = FindBundle(path.container_id, options_.bundle_folders))
      resolver_.OnContainer(*bundle, now_ns, &decisions);
  }
  resolver_.OnCandidate(candidate, now_ns, &decisions);
  Apply(decisions);
}

void Attribution::OnCgroupCreated(const Event& event) {
  const auto& created = std::get<CgroupCreated>(event.body);
  Candidate candidate = {.member = event.member,
                         .cgroup_id = event.cgroup_id,
                         .cgroup = created.path,
                         .created_ns = event.time_ns};
  if (created.path.empty()) {
    warn_("a new cgroup is not watched: its path is longer than 510 bytes");
    Reject(candidate);
    return;
  }
  OnCandidate(candidate, event.time_ns);
}

void Attribution::OnContainer(const Container& container, uint64_t now_ns) {
  std::vector<Decision> decisions;
  resolver_.OnContainer(container, now_ns, &decisions);
  Apply(decisions);
}

bool Attribution::HoldBack(const Event& event) {
  const auto known = pending_.find(event.member);
  if (known == pending_.end())
    return rejected_.contains(event.member);
  PendingEvents& pending = known->second;
  if (pending.events.size() >= kPendingPerMember || pending_events_ >= kPendingMax) {
    ++pending.lost[event.kind];
    return true;
  }
  pending.events.push_back(event);
  ++pending_events_;
  return true;
}

PendingEvents Attribution::TakePending(uint64_t member) {
  const auto known = pending_.find(member);
  if (known == pending_.end())
    return {};
  PendingEvents out = std::move(known->second);
  pending_.erase(known);
  pending_events_ -= out.events.size();
  return out;
}

void Attribution::Reject(const Candidate& candidate) {
  TakePending(candidate.member);
  tables_->UnwatchCgroup(candidate.cgroup_id, candidate.member);
  for (const std::string& below : CgroupsBelow(cgroups_.mount + candidate.cgroup)) {
    if (const auto id = cgroups_.id_of(below); id.ok())
      tables_->UnwatchCgroup(*id, candidate.member);
  }
  tables_->RemoveMember(candidate.member);
  rejected_[candidate.member] = BootNow();
}

void Attribution::Apply(const std::vector<Decision>& decisions) {
  for (const Decision& decision : decisions) {
    const uint64_t member = decision.candidate.member;
    if (decision.selected) {
      rejected_.erase(member);
      on_attributed_(decision, TakePending(member));
    } else if (pending_.contains(member)) {
      Reject(decision.candidate);
    } else {
      on_released_(member);
    }
  }
}

void Attribution::Forget(uint64_t member) { resolver_.Forget(member); }

void Attribution::Poll(uint64_t now_ns) {
  for (const Container& container : runtimes_.Drain())
    OnContainer(container, now_ns);
  std::vector<Decision> decisions;
  resolver_.ExpireDue(now_ns, &decisions);
  Apply(decisions);
  for (const std::string& problem : runtimes_.DrainProblems())
    warn_(Escape(problem));
  if (resolver_.contradictions() > 0 && contradictions_ == 0)
    warn_("two runtimes report the same container; using what the first one reported");
  contradictions_ = resolver_.contradictions();
  if (now_ns < next_check_ns_)
    return;
  next_check_ns_ = now_ns + kCheckInterval;
  std::erase_if(rejected_, [&](const auto& entry) { return entry.second + kRejectedFor < now_ns; });
  CheckForDroppedCgroups();
}

void Attribution::CheckForDroppedCgroups() {
  if (tables_->new_cgroups_dropped() == new_cgroups_dropped_)
    return;
  warn_(
      "events of new cgroups were dropped because the ring buffer was full; scanning all cgroups");
  Scan(taken_);
}

void Attribution::Drain() {
  std::vector<Decision> decisions;
  resolver_.ExpireDue(std::numeric_limits<uint64_t>::max(), &decisions);
  Apply(decisions);
}

void Attribution::WaitUntilDecided(std::chrono::milliseconds limit) {
  const uint64_t end = BootNow() + Nanoseconds(limit);
  Poll(BootNow());
  while (waiting() > 0 && BootNow() < end) {
    pollfd runtimes = {.fd = event_fd(), .events = POLLIN, .revents = 0};
    const uint64_t left = std::min(end, NextDeadline()) - std::min(end, BootNow());
    poll(&runtimes, 1, static_cast<int>(left / kMillisecond + 1));
    Poll(BootNow());
  }
}

uint64_t Attribution::NextDeadline() const {
  return options_.rules.empty() ? std::numeric_limits<uint64_t>::max()
                                : std::min(resolver_.NextDeadline(), next_check_ns_);
}

}  // namespace sandpiper
