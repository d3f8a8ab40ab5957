// SPDX-License-Identifier: Apache-2.0
#include "userspace/attribution/network_namespaces.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/file.h"
#include "userspace/base/netns.h"
#include "userspace/sandbox/proc.h"

namespace sandpiper {
namespace {

// How often the end of processes makes us look who is left in a namespace.
constexpr uint64_t kCheckInterval = kSecond;

std::string CgroupOf(pid_t pid) {
  return ReadFile(absl::StrCat("/proc/", pid, "/cgroup")).value_or("");
}

// The parent is in the namespace too, and in another cgroup.
bool ParentIsThere(pid_t pid, uint32_t netns) {
  const auto process = ReadProcess(pid);
  if (!process || process->parent.pid == 0)
    return false;
  const auto parent = static_cast<pid_t>(process->parent.pid);
  const UniqueFd fd(open(absl::StrCat("/proc/", parent, "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  return fd.ok() && NamespaceInode(fd) == netns && CgroupOf(parent) != CgroupOf(pid);
}

}  // namespace

uint32_t OwnNetworkNamespace() {
  return NamespaceInode(UniqueFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)));
}

UniqueFd NetworkNamespaces::OpenNamespace(pid_t pid, uint32_t netns) {
  UniqueFd fd(open(absl::StrCat("/proc/", pid, "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  return NamespaceInode(fd) == netns ? std::move(fd) : UniqueFd();
}

void NetworkNamespaces::Begin(bool fresh) {
  fresh_ |= fresh;
  if (fresh) {
    for (auto& [netns, space] : spaces_)
      space.history = RulesetHistory(RulesetCoverage::kFromFirstCommit);
  }
  reader_.Start();
}

// The process that was named may be gone; any other that is in there does as well.
UniqueFd NetworkNamespaces::FindNamespace(uint32_t netns, uint64_t sandbox, pid_t pid) const {
  UniqueFd fd = OpenNamespace(pid, netns);
  if (fd.ok())
    return fd;
  for (const pid_t other : processes_(sandbox)) {
    fd = OpenNamespace(other, netns);
    if (fd.ok())
      break;
  }
  return fd;
}

void NetworkNamespaces::Enter(uint64_t sandbox, uint32_t netns, pid_t pid) {
  if (netns == 0)
    return;
  if (const auto known = spaces_.find(netns); known != spaces_.end()) {
    if (known->second.sandboxes.insert(sandbox).second)
      owned_(netns, *known->second.sandboxes.begin(), known->second.lends());
    return;
  }
  UniqueFd fd = FindNamespace(netns, sandbox, pid);
  if (!fd.ok()) {
    // Nobody is in it any more: there is nothing that its rules apply to.
    owned_(netns, 0, false);
    return;
  }
  const Space& space =
      spaces_
          .emplace(netns, Space{.history = RulesetHistory(fresh_ ? RulesetCoverage::kFromFirstCommit
                                                                 : RulesetCoverage::kFromNow),
                                .sandboxes = {sandbox},
                                .shared = ParentIsThere(pid, netns)})
          .first->second;
  owned_(netns, sandbox, space.lends());
  reader_.Watch(netns, std::move(fd));
}

void NetworkNamespaces::OnChange(const NftChange& change, uint64_t sandbox, uint64_t time_ns) {
  // A known one has its sandboxes, and the kernel side's may be an older namespace of the same
  // number.
  if (!spaces_.contains(change.netns))
    Enter(sandbox, change.netns, static_cast<pid_t>(change.process.pid));
  if (const auto space = spaces_.find(change.netns); space != spaces_.end()) {
    space->second.history.OnBpfEvent(change, time_ns);
    return;
  }
  RulesetHistory brief(RulesetCoverage::kFromNow);
  brief.OnBpfEvent(change, time_ns);
  sink_(sandbox, brief.Drain(time_ns));
}

void NetworkNamespaces::Tell(const Space& space, const RulesetOutcome& outcome) {
  if (outcome.transactions.empty() && outcome.updates.empty())
    return;
  for (const uint64_t sandbox : space.sandboxes)
    sink_(sandbox, outcome);
}

void NetworkNamespaces::LetGo(uint64_t now_ns) {
  for (auto it = spaces_.begin(); it != spaces_.end();) {
    auto& [netns, space] = *it;
    const auto left_one = [this](uint64_t sandbox) { return to_check_.contains(sandbox); };
    const auto lives_on = [this, netns = netns](uint64_t sandbox) {
      return FindNamespace(netns, sandbox, 0).ok();
    };
    if (std::none_of(space.sandboxes.begin(), space.sandboxes.end(), left_one) ||
        std::any_of(space.sandboxes.begin(), space.sandboxes.end(), lives_on)) {
      ++it;
      continue;
    }
    Tell(space, space.history.Drain(now_ns));
    it = Forget(it);
  }
  to_check_.clear();
}

// In this order: the number is free for another namespace only when we have left this one.
NetworkNamespaces::Spaces::iterator NetworkNamespaces::Forget(Spaces::iterator space) {
  owned_(space->first, 0, false);
  reader_.Forget(space->first);
  return spaces_.erase(space);
}

void NetworkNamespaces::OnMemberGone(uint64_t sandbox) {
  for (const auto& [netns, space] : spaces_) {
    if (space.sandboxes.contains(sandbox))
      owned_(netns, *space.sandboxes.begin(), space.lends());
  }
}

void NetworkNamespaces::OnSandboxEnd(uint64_t sandbox, uint64_t now_ns) {
  for (auto it = spaces_.begin(); it != spaces_.end();) {
    Space& space = it->second;
    if (!space.sandboxes.contains(sandbox)) {
      ++it;
      continue;
    }
    Tell(space, space.history.Drain(now_ns));
    space.sandboxes.erase(sandbox);
    if (space.sandboxes.empty()) {
      it = Forget(it);
      continue;
    }
    owned_(it->first, *space.sandboxes.begin(), space.lends());
    ++it;
  }
}

void NetworkNamespaces::Work(uint64_t now_ns, bool all) {
  for (RulesetNews& news : reader_.Drain()) {
    if (const auto space = spaces_.find(news.netns); space != spaces_.end())
      space->second.history.OnNetlink(std::move(news));
  }
  for (auto& [netns, space] : spaces_) {
    Tell(space, all ? space.history.Drain(now_ns) : space.history.Poll(now_ns));
  }
  if (!to_check_.empty() && now_ns >= next_check_ns_) {
    LetGo(now_ns);
    next_check_ns_ = now_ns + kCheckInterval;
  }
}

std::optional<uint64_t> NetworkNamespaces::StaticRules(uint64_t sandbox) const {
  std::optional<uint64_t> sum;
  for (const auto& [netns, space] : spaces_) {
    if (!space.sandboxes.contains(sandbox))
      continue;
    if (!space.history.current())
      return std::nullopt;
    sum = sum.value_or(0) + space.history.current()->static_count;
  }
  return sum;
}

uint64_t NetworkNamespaces::NextDeadline() const {
  uint64_t next = to_check_.empty() ? std::numeric_limits<uint64_t>::max() : next_check_ns_;
  for (const auto& [netns, space] : spaces_)
    next = std::min(next, space.history.NextDeadline());
  return next;
}

}  // namespace sandpiper
