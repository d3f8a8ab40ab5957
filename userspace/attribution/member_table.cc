// SPDX-License-Identifier: Apache-2.0
#include "userspace/attribution/member_table.h"

#include <algorithm>
#include <utility>

#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

constexpr uint64_t kLinger = kSecond;

KernelCounts ToCounts(const member_counters& in) {
  KernelCounts out;
  static_assert(KernelCounts::kKinds == EVENT_KIND_SLOTS);
  std::copy(std::begin(in.produced), std::end(in.produced), out.produced.begin());
  std::copy(std::begin(in.dropped), std::end(in.dropped), out.dropped.begin());
  std::copy(std::begin(in.limited), std::end(in.limited), out.limited.begin());
  for (size_t transport = 0; transport < TRANSPORT_COUNT; ++transport) {
    for (size_t network = 0; network < NETWORK_COUNT; ++network) {
      out.attempts[transport][network] = in.attempts[transport][network];
      out.attempts_dropped[transport][network] = in.attempts_dropped[transport][network];
    }
  }
  out.sent = in.network_io[DIRECTION_SENT];
  out.received = in.network_io[DIRECTION_RECEIVED];
  out.storage_failed = in.storage_failed;
  std::copy(std::begin(in.denied), std::end(in.denied), out.denied.begin());
  std::copy(std::begin(in.exits), std::end(in.exits), out.exits.begin());
  return out;
}

}  // namespace

Member* Members::Find(uint64_t serial) {
  const auto it = by_serial_.find(serial);
  return it == by_serial_.end() ? nullptr : it->second;
}

bool Members::Lives(uint64_t sandbox) const {
  return std::any_of(members_.begin(), members_.end(), [&](const auto& m) {
    return m.second.sandbox == sandbox && m.second.gone_ns == 0;
  });
}

bool Members::HasAny(uint64_t sandbox) const { return AnyOf(sandbox) != 0; }

uint64_t Members::AnyOf(uint64_t sandbox) const {
  uint64_t any = 0;
  for (const auto& [serial, member] : members_) {
    if (member.sandbox != sandbox)
      continue;
    if (member.gone_ns == 0)
      return serial;
    any = serial;
  }
  return any;
}

std::vector<pid_t> Members::ProcessesOf(uint64_t sandbox) const {
  std::vector<pid_t> out;
  for (const auto& [serial, member] : members_) {
    if (member.sandbox != sandbox || member.path.empty())
      continue;
    const std::vector<pid_t> pids = ProcessesIn(member.path);
    out.insert(out.end(), pids.begin(), pids.end());
  }
  return out;
}

absl::Status Members::Put(uint64_t serial, Member member) {
  // One that the kernel side found is counted for already.
  if (const absl::Status added = tables_->AddMember(serial);
      !added.ok() && !absl::IsAlreadyExists(added))
    return added;
  Member& kept = members_[serial];
  kept = std::move(member);
  by_serial_[serial] = &kept;
  return absl::OkStatus();
}

absl::Status Members::Watch(uint64_t serial) {
  const Member& member = members_.at(serial);
  const owner owner = {.member = serial, .sandbox = member.sandbox};
  const auto before = tables_->OwnerOf(member.cgroup_id);
  // The topmost first: a cgroup that is made meanwhile is below one that is watched.
  RETURN_IF_ERROR(tables_->WatchCgroup(member.cgroup_id, owner, IfWatched::kReplaceOwner));
  for (const std::string& below : CgroupsBelow(member.path)) {
    const auto id = CgroupId(below);
    if (!id.ok())
      continue;
    // What was its parent's is its own now; what is a sandbox of its own stays that.
    const auto of = tables_->OwnerOf(*id);
    if (!of.ok() || of->member == serial || (before.ok() && of->member == before->member))
      RETURN_IF_ERROR(tables_->WatchCgroup(*id, owner, IfWatched::kReplaceOwner));
  }
  return absl::OkStatus();
}

void Members::Gone(uint64_t serial, uint64_t time_ns) {
  Member* const member = Find(serial);
  if (!member || member->gone_ns != 0)
    return;
  member->gone_ns = time_ns;
  next_end_ns_ = std::min(next_end_ns_, time_ns + kLinger);
}

void Members::LookForGone(uint64_t now_ns) {
  for (const auto& [serial, member] : members_) {
    if (member.gone_ns != 0 || member.path.empty())
      continue;
    const auto id = CgroupId(member.path);
    if (!id.ok() ? absl::IsNotFound(id.status()) : *id != member.cgroup_id)
      Gone(serial, now_ns);
  }
}

void Members::Unwatch(uint64_t now_ns) {
  if (now_ns < next_end_ns_)
    return;
  next_end_ns_ = std::numeric_limits<uint64_t>::max();
  for (auto& [serial, member] : members_) {
    if (member.gone_ns == 0 || member.unwatched_ns != 0)
      continue;
    if (now_ns < member.gone_ns + kLinger) {
      next_end_ns_ = std::min(next_end_ns_, member.gone_ns + kLinger);
      continue;
    }
    if (member.cgroup_id != 0)
      tables_->UnwatchCgroup(member.cgroup_id, serial);
    member.unwatched_ns = BootNow();
    ++leaving_;
  }
}

void Members::TakeEnded(uint64_t until_ns, const Ended& ended) {
  if (leaving_ == 0)
    return;
  std::vector<std::pair<uint64_t, Member>> out;
  for (auto it = members_.begin(); it != members_.end();) {
    if (it->second.unwatched_ns == 0 || it->second.unwatched_ns > until_ns) {
      ++it;
      continue;
    }
    out.emplace_back(it->first, std::move(it->second));
    --leaving_;
    by_serial_.erase(it->first);
    it = members_.erase(it);
  }
  for (const auto& [serial, member] : out) {
    const KernelCounts counts = CountsOf(serial, member);
    tables_->RemoveMember(serial);
    ended(serial, member, counts);
  }
}

void Members::ReadUse(Member* member) const {
  const auto use = member->path.empty() ? std::nullopt : resources_.Read(member->path);
  if (use)
    member->use = *use;
  else
    member->use.memory_bytes = member->use.processes = 0;
}

void Members::ReadUse() {
  for (auto& [serial, member] : members_)
    ReadUse(&member);
}

ResourceUse Members::UseOf(const Member& member) {
  ResourceUse out = member.use;
  out.user_seconds -= member.use_before.user_seconds;
  out.system_seconds -= member.use_before.system_seconds;
  return out;
}

std::map<uint64_t, ResourceUse> Members::UseBySandbox() const {
  std::map<uint64_t, ResourceUse> out;
  for (const auto& [serial, member] : members_) {
    if (member.cgroup_id != 0)
      out[member.sandbox] += UseOf(member);
  }
  return out;
}

KernelCounts Members::CountsOf(uint64_t serial, const Member& member) const {
  const auto counters = tables_->ReadCounters(serial);
  if (!counters.ok())
    return {};
  const KernelCounts all = ToCounts(*counters);
  return member.before ? all - *member.before : all;
}

std::map<uint64_t, KernelCounts> Members::CountsBySandbox() const {
  std::map<uint64_t, KernelCounts> out;
  for (const auto& [serial, member] : members_)
    out[member.sandbox] += CountsOf(serial, member);
  return out;
}

uint64_t Members::NextDeadline() const {
  uint64_t next = next_end_ns_;
  if (leaving_ == 0)
    return next;
  for (const auto& [serial, member] : members_) {
    if (member.unwatched_ns != 0)
      next = std::min(next, member.unwatched_ns);
  }
  return next;
}

}  // namespace sandpiper
