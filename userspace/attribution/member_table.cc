// SPDX-License-Identifier: Apache-2.0
#include "userspace/attribution/member_table.h"

#include <algorithm>
#include <utility>

#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

// How long a removed member is still watched.
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

bool MemberTable::HasExisting(uint64_t sandbox) const {
  return std::any_of(members_.begin(), members_.end(), [&](const auto& m) {
    return m.second.sandbox == sandbox && m.second.removed_ns == 0;
  });
}

uint64_t MemberTable::AnyOf(uint64_t sandbox) const {
  uint64_t any = 0;
  for (const auto& [serial, member] : members_) {
    if (member.sandbox != sandbox)
      continue;
    if (member.removed_ns == 0)
      return serial;
    any = serial;
  }
  return any;
}

std::vector<pid_t> MemberTable::ProcessesOf(uint64_t sandbox) const {
  std::vector<pid_t> out;
  for (const auto& [serial, member] : members_) {
    if (member.sandbox != sandbox || member.path.empty())
      continue;
    const std::vector<pid_t> pids = ProcessesIn(member.path);
    out.insert(out.end(), pids.begin(), pids.end());
  }
  return out;
}

absl::Status MemberTable::Put(uint64_t serial, Member member) {
  // The BPF programs add the members that they find themselves.
  if (absl::Status added = tables_->AddMember(serial); !added.ok() && !absl::IsAlreadyExists(added))
    return added;
  Member& kept = members_[serial];
  kept = std::move(member);
  by_serial_[serial] = &kept;
  return absl::OkStatus();
}

absl::Status MemberTable::WatchCgroups(uint64_t serial) {
  const Member& member = members_.at(serial);
  const owner owner = {.member = serial, .sandbox = member.sandbox};
  const auto before = tables_->OwnerOf(member.cgroup_id);
  // The topmost cgroup first: from then on the BPF programs watch each one that is created below.
  RETURN_IF_ERROR(tables_->WatchCgroup(member.cgroup_id, owner, IfWatched::kReplaceOwner));
  for (const std::string& below : CgroupsBelow(member.path)) {
    const auto id = cgroups_.id_of(below);
    if (!id.ok())
      continue;
    // A cgroup of the former owner changes hands too. One of another sandbox keeps its owner.
    const auto current = tables_->OwnerOf(*id);
    if (!current.ok() || current->member == serial ||
        (before.ok() && current->member == before->member))
      RETURN_IF_ERROR(tables_->WatchCgroup(*id, owner, IfWatched::kReplaceOwner));
  }
  return absl::OkStatus();
}

void MemberTable::OnRemoved(uint64_t serial, uint64_t time_ns) {
  Member* const member = Find(serial);
  if (!member || member->removed_ns != 0)
    return;
  member->removed_ns = time_ns;
  next_expiry_ns_ = std::min(next_expiry_ns_, time_ns + kLinger);
}

void MemberTable::DetectRemoved(uint64_t now_ns) {
  for (const auto& [serial, member] : members_) {
    if (member.removed_ns != 0 || member.path.empty())
      continue;
    const auto id = cgroups_.id_of(member.path);
    if (!id.ok() ? absl::IsNotFound(id.status()) : *id != member.cgroup_id)
      OnRemoved(serial, now_ns);
  }
}

void MemberTable::ExpireDue(uint64_t now_ns) {
  if (now_ns < next_expiry_ns_)
    return;
  next_expiry_ns_ = std::numeric_limits<uint64_t>::max();
  for (auto& [serial, member] : members_) {
    if (member.removed_ns == 0 || member.unwatched_ns != 0)
      continue;
    if (now_ns < member.removed_ns + kLinger) {
      next_expiry_ns_ = std::min(next_expiry_ns_, member.removed_ns + kLinger);
      continue;
    }
    if (member.cgroup_id != 0)
      tables_->UnwatchCgroup(member.cgroup_id, serial);
    member.unwatched_ns = BootNow();
    ++unwatched_;
  }
}

void MemberTable::RemoveEnded(uint64_t until_ns, const OnEnded& on_ended) {
  if (unwatched_ == 0)
    return;
  std::vector<std::pair<uint64_t, Member>> ended;
  for (auto it = members_.begin(); it != members_.end();) {
    if (it->second.unwatched_ns == 0 || it->second.unwatched_ns > until_ns) {
      ++it;
      continue;
    }
    ended.emplace_back(it->first, std::move(it->second));
    --unwatched_;
    by_serial_.erase(it->first);
    it = members_.erase(it);
  }
  for (const auto& [serial, member] : ended) {
    const KernelCounts counts = CountsOf(serial, member);
    tables_->RemoveMember(serial);
    on_ended(serial, member, counts);
  }
}

void MemberTable::ReadUse(Member* member) const {
  const auto use = member->path.empty() ? std::nullopt : resources_.Read(member->path);
  if (use)
    member->use = *use;
  else
    member->use.memory_bytes = member->use.processes = 0;
}

void MemberTable::ReadUse() {
  for (auto& [serial, member] : members_)
    ReadUse(&member);
}

ResourceUse MemberTable::UseOf(const Member& member) {
  ResourceUse out = member.use;
  out.user_seconds -= member.use_before.user_seconds;
  out.system_seconds -= member.use_before.system_seconds;
  return out;
}

std::map<uint64_t, ResourceUse> MemberTable::UseBySandbox() const {
  std::map<uint64_t, ResourceUse> out;
  for (const auto& [serial, member] : members_) {
    if (member.cgroup_id != 0)
      out[member.sandbox] += UseOf(member);
  }
  return out;
}

KernelCounts MemberTable::CountsOf(uint64_t serial, const Member& member) const {
  const auto counters = tables_->ReadCounters(serial);
  if (!counters.ok())
    return {};
  const KernelCounts all = ToCounts(*counters);
  return member.before ? all - *member.before : all;
}

std::map<uint64_t, KernelCounts> MemberTable::CountsBySandbox() const {
  std::map<uint64_t, KernelCounts> out;
  for (const auto& [serial, member] : members_)
    out[member.sandbox] += CountsOf(serial, member);
  return out;
}

uint64_t MemberTable::NextDeadline() const {
  uint64_t next = next_expiry_ns_;
  if (unwatched_ == 0)
    return next;
  for (const auto& [serial, member] : members_) {
    if (member.unwatched_ns != 0)
      next = std::min(next, member.unwatched_ns);
  }
  return next;
}

}  // namespace sandpiper
