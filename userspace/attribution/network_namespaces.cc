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

// How often namespaces are checked for processes after some process ended.
constexpr uint64_t kCheckInterval = kSecond;

std::string CgroupOf(pid_t pid) {
  return ReadFile(absl::StrCat("/proc/", pid, "/cgroup")).value_or("");
}

UniqueFd OpenNetworkNamespace(pid_t pid) {
  return UniqueFd(open(absl::StrCat("/proc/", pid, "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
}

}  // namespace

UniqueFd OpenNamespaceOf(pid_t pid, uint32_t netns) {
  UniqueFd fd = OpenNetworkNamespace(pid);
  return NamespaceInode(fd) == netns ? std::move(fd) : UniqueFd();
}

bool IsSharedWithParent(pid_t pid, uint32_t netns) {
  const auto process = ReadProcess(pid);
  if (!process || process->parent.pid == 0)
    return false;
  const auto parent = static_cast<pid_t>(process->parent.pid);
  return OpenNamespaceOf(parent, netns).ok() && CgroupOf(parent) != CgroupOf(pid);
}

uint32_t OwnNetworkNamespace() { return NamespaceInode(OpenNetworkNamespace(getpid())); }

void NetworkNamespaces::OnNftLoaded(RulesetCoverage coverage) {
  if (coverage == RulesetCoverage::kFromFirstCommit) {
    coverage_ = coverage;
    for (auto& [netns, space] : spaces_)
      space.history = RulesetHistory(coverage);
  }
  reader_.Start();
}

UniqueFd NetworkNamespaces::FindNamespace(uint32_t netns, uint64_t sandbox, pid_t pid) const {
  UniqueFd fd = lookup_.open(pid, netns);
  if (fd.ok())
    return fd;
  for (const pid_t other : list_processes_(sandbox)) {
    fd = lookup_.open(other, netns);
    if (fd.ok())
      break;
  }
  return fd;
}

void NetworkNamespaces::PublishOwner(uint32_t netns, const Space& space) const {
  set_owner_(netns, *space.sandboxes.begin(), space.use());
}

void NetworkNamespaces::Enter(uint64_t sandbox, uint32_t netns, pid_t pid) {
  if (netns == 0)
    return;
  if (const auto known = spaces_.find(netns); known != spaces_.end()) {
    if (known->second.sandboxes.insert(sandbox).second)
      PublishOwner(netns, known->second);
    return;
  }
  UniqueFd fd = FindNamespace(netns, sandbox, pid);
  if (!fd.ok()) {
    // No process is in it any more, so its rules apply to nothing.
    set_owner_(netns, 0, NamespaceUse::kShared);
    return;
  }
  Space space = {
      .history = RulesetHistory(coverage_),
      .sandboxes = {sandbox},
      .is_shared_with_parent = lookup_.is_shared_with_parent(pid, netns),
  };
  PublishOwner(netns, spaces_.emplace(netns, std::move(space)).first->second);
  reader_.Watch(netns, std::move(fd));
}

void NetworkNamespaces::OnChange(const NftChange& change, uint64_t sandbox, uint64_t time_ns) {
  // Only for an unknown namespace. The sandbox of the event may be the owner of an older namespace
  // with this inode number.
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

void NetworkNamespaces::Publish(const Space& space, const RulesetOutcome& outcome) const {
  if (outcome.transactions.empty() && outcome.updates.empty())
    return;
  for (const uint64_t sandbox : space.sandboxes)
    sink_(sandbox, outcome);
}

bool NetworkNamespaces::IsEmpty(uint32_t netns, const Space& space) const {
  const bool may_be_empty =
      std::any_of(space.sandboxes.begin(), space.sandboxes.end(),
                  [this](uint64_t sandbox) { return to_check_.contains(sandbox); });
  return may_be_empty &&
         std::none_of(space.sandboxes.begin(), space.sandboxes.end(), [&](uint64_t sandbox) {
           return FindNamespace(netns, sandbox, /*pid=*/0).ok();
         });
}

void NetworkNamespaces::ReleaseEmpty(uint64_t now_ns) {
  for (auto it = spaces_.begin(); it != spaces_.end();) {
    if (!IsEmpty(it->first, it->second)) {
      ++it;
      continue;
    }
    Publish(it->second, it->second.history.Drain(now_ns));
    it = Release(it);
  }
  to_check_.clear();
}

// The owner goes first: once the reader closes the namespace, the kernel may give its inode number
// to a new one.
NetworkNamespaces::Spaces::iterator NetworkNamespaces::Release(Spaces::iterator space) {
  set_owner_(space->first, 0, NamespaceUse::kShared);
  reader_.Forget(space->first);
  return spaces_.erase(space);
}

void NetworkNamespaces::OnMemberRemoved(uint64_t sandbox) {
  for (const auto& [netns, space] : spaces_) {
    if (space.sandboxes.contains(sandbox))
      PublishOwner(netns, space);
  }
}

void NetworkNamespaces::OnSandboxEnd(uint64_t sandbox, uint64_t now_ns) {
  for (auto it = spaces_.begin(); it != spaces_.end();) {
    Space& space = it->second;
    if (!space.sandboxes.contains(sandbox)) {
      ++it;
      continue;
    }
    Publish(space, space.history.Drain(now_ns));
    space.sandboxes.erase(sandbox);
    if (space.sandboxes.empty()) {
      it = Release(it);
      continue;
    }
    PublishOwner(it->first, space);
    ++it;
  }
}

void NetworkNamespaces::OnNews(RulesetNews news) {
  if (const auto space = spaces_.find(news.netns); space != spaces_.end())
    space->second.history.OnNetlink(std::move(news));
}

void NetworkNamespaces::Poll(uint64_t now_ns) {
  for (RulesetNews& news : reader_.Drain())
    OnNews(std::move(news));
  for (auto& [netns, space] : spaces_)
    Publish(space, space.history.Poll(now_ns));
  if (!to_check_.empty() && now_ns >= next_check_ns_) {
    ReleaseEmpty(now_ns);
    next_check_ns_ = now_ns + kCheckInterval;
  }
}

void NetworkNamespaces::Drain(uint64_t now_ns) {
  for (RulesetNews& news : reader_.Drain())
    OnNews(std::move(news));
  for (auto& [netns, space] : spaces_)
    Publish(space, space.history.Drain(now_ns));
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
