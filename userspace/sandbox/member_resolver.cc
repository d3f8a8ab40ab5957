// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/member_resolver.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace sandpiper {

const Container* MemberResolver::Find(const std::string& container_id) const {
  const auto it = containers_.find(container_id);
  return it == containers_.end() ? nullptr : &it->second;
}

void MemberResolver::Remember(const Container& container) {
  const auto [it, added] = containers_.insert_or_assign(container.id, container);
  if (!added)
    return;
  container_order_.push_back(container.id);
  // Evicts the oldest container that has no living cgroup.
  for (size_t tries = container_order_.size();
       containers_.size() > options_.containers_max && tries > 0; --tries) {
    const std::string oldest = std::move(container_order_.front());
    container_order_.pop_front();
    if (by_container_.contains(oldest))
      container_order_.push_back(oldest);
    else
      containers_.erase(oldest);
  }
}

void MemberResolver::OnCandidate(const Candidate& candidate, uint64_t now_ns,
                                 std::vector<Decision>* decisions) {
  const auto [it, added] = entries_.emplace(candidate.member, Entry{});
  if (!added)
    return;
  Entry& entry = it->second;
  entry.candidate = candidate;
  entry.path = ParseCgroupPath(candidate.cgroup);
  if (!entry.path.container_id.empty())
    by_container_.emplace(entry.path.container_id, candidate.member);
  Decide(&entry, WhileWaiting(), decisions);
  if (!entry.decided)
    deadlines_.emplace(now_ns + options_.wait_ns, candidate.member);
}

void MemberResolver::OnContainer(const Container& container, uint64_t now_ns,
                                 std::vector<Decision>* decisions) {
  if (const Container* known = Find(container.id)) {
    if (known->complete && (!container.complete || *known == container))
      return;
    if (known->complete && known->source != container.source) {
      ++contradictions_;
      return;
    }
  }
  Remember(container);
  const auto [first, last] = by_container_.equal_range(container.id);
  std::vector<uint64_t> members;
  for (auto it = first; it != last; ++it)
    members.push_back(it->second);
  for (const uint64_t member : members)
    Decide(&entries_.at(member), WhileWaiting(), decisions);
  ExpireDue(now_ns, decisions);
}

// A container that no rule selects becomes a sidecar of the selected container with which it shares
// a network namespace, in whatever order they started.
std::optional<Selected> MemberResolver::SelectByNetworkPeer(const Entry& entry) const {
  const Container* own = Find(entry.path.container_id);
  for (const auto& [member, other] : entries_) {
    if (!other.selected || other.path.container_id.empty() ||
        other.path.container_id == entry.path.container_id)
      continue;
    const Container* theirs = Find(other.path.container_id);
    if ((own && own->network_of == other.path.container_id) ||
        (theirs && theirs->network_of == entry.path.container_id))
      return Selected{.id = other.selected->id, .role = Role::kSidecar};
  }
  return std::nullopt;
}

void MemberResolver::Decide(Entry* entry, Metadata metadata, std::vector<Decision>* decisions) {
  const Container* container = Find(entry->path.container_id);
  Verdict verdict =
      Select(options_.rules, entry->candidate.cgroup, entry->path, container, metadata);
  if (!verdict.known)
    return;
  // A container that its path selects waits too, so that its records carry the container's names.
  const bool wait = metadata == Metadata::kMayFollow && !entry->decided &&
                    !entry->path.container_id.empty() && !entry->path.monitor &&
                    (!container || !container->complete);
  if (wait)
    return;
  if (verdict.selected && container && container->pause)
    verdict.selected->role = Role::kPause;
  else if (verdict.selected && container && !container->pod.name.empty() &&
           options_.sidecars.contains(container->name))
    verdict.selected->role = Role::kSidecar;
  if (!verdict.selected && !entry->path.monitor && !entry->path.container_id.empty())
    verdict.selected = SelectByNetworkPeer(*entry);
  Conclude(entry, std::move(verdict.selected), decisions);
}

void MemberResolver::Conclude(Entry* entry, std::optional<Selected> selected,
                              std::vector<Decision>* decisions) {
  const bool same = entry->decided && entry->selected.has_value() == selected.has_value() &&
                    (!selected || (selected->id == entry->selected->id &&
                                   selected->role == entry->selected->role));
  if (same)
    return;
  entry->decided = true;
  entry->selected = std::move(selected);
  const Container* container = Find(entry->path.container_id);
  decisions->push_back({.candidate = entry->candidate,
                        .selected = entry->selected,
                        .path = entry->path,
                        .container = container ? std::optional(*container) : std::nullopt});
  if (entry->selected) {
    JoinNetworkPeers(*entry, decisions);
    return;
  }
  rejected_.push_back(entry->candidate.member);
  while (rejected_.size() > options_.rejected_max) {
    const auto oldest = entries_.find(rejected_.front());
    rejected_.pop_front();
    if (oldest != entries_.end() && !oldest->second.selected)
      Forget(oldest->first);
  }
}

void MemberResolver::JoinNetworkPeers(const Entry& entry, std::vector<Decision>* decisions) {
  const Container* own = Find(entry.path.container_id);
  if (entry.path.container_id.empty())
    return;
  for (auto& [member, other] : entries_) {
    if (!other.decided || other.selected || other.path.container_id.empty() || other.path.monitor)
      continue;
    const Container* theirs = Find(other.path.container_id);
    if ((own && own->network_of == other.path.container_id) ||
        (theirs && theirs->network_of == entry.path.container_id))
      Conclude(&other, Selected{.id = entry.selected->id, .role = Role::kSidecar}, decisions);
  }
}

void MemberResolver::ExpireDue(uint64_t now_ns, std::vector<Decision>* decisions) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_ns) {
    const uint64_t member = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (const auto it = entries_.find(member); it != entries_.end() && !it->second.decided)
      Decide(&it->second, Metadata::kFinal, decisions);
  }
  // Drops the deadlines of members that were decided or forgotten meanwhile.
  std::erase_if(deadlines_, [&](const auto& deadline) {
    const auto it = entries_.find(deadline.second);
    return it == entries_.end() || it->second.decided;
  });
}

void MemberResolver::Forget(uint64_t member) {
  const auto it = entries_.find(member);
  if (it == entries_.end())
    return;
  const auto [first, last] = by_container_.equal_range(it->second.path.container_id);
  for (auto of = first; of != last; ++of) {
    if (of->second == member) {
      by_container_.erase(of);
      break;
    }
  }
  entries_.erase(it);
}

uint64_t MemberResolver::NextDeadline() const {
  return deadlines_.empty() ? std::numeric_limits<uint64_t>::max() : deadlines_.begin()->first;
}

}  // namespace sandpiper
