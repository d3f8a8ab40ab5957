// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/pipeline.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"
#include "userspace/collector/describe.h"
#include "userspace/event/decode.h"
#include "userspace/sandbox/cgroup_fs.h"
#include "userspace/sandbox/proc.h"

namespace sandpiper {

Pipeline::Pipeline(KernelTables* tables, ProbeStatus* probes, const std::string& mount,
                   const SessionOptions& options, const DiscoveryOptions& discovery,
                   RecordSink sink, Attribution::Tell tell, OnEnd on_end)
    : tables_(tables),
      probes_(probes),
      options_(options),
      sink_(std::move(sink)),
      tell_(std::move(tell)),
      members_(tables, mount),
      canary_(tables, &members_, tell_),
      attribution_(
          tables, mount, discovery,
          [this](const Decision& decision, Held held) { OnJoin(decision, std::move(held)); },
          [this](uint64_t member) { members_.Gone(member, BootNow()); }, tell_),
      devices_(
          [this](const std::string& id, const LinkChange& link) { return AddDevice(id, link); },
          [this](uint64_t member) { members_.Gone(member, BootNow()); }, tell_),
      namespaces_(
          [this](uint64_t sandbox) {
            std::vector<pid_t> pids = members_.ProcessesOf(sandbox);
            pids.push_back(getpid());  // for a sandbox that lives where we do
            return pids;
          },
          [this](uint64_t serial, const RulesetOutcome& outcome) {
            if (const auto sandbox = sandboxes_.find(serial); sandbox != sandboxes_.end())
              HandRules(sandbox->second.get(), outcome);
          },
          [this](uint32_t netns, uint64_t sandbox, bool lends) {
            if (sandbox == 0)
              tables_->ForgetNamespace(netns);
            else if (const uint64_t member = members_.AnyOf(sandbox); member != 0)
              tables_->WatchNamespace(netns, {.member = member, .sandbox = sandbox},
                                      lends ? NamespaceUse::kExclusive : NamespaceUse::kShared);
          }),
      start_unix_ns_(ReadClock(CLOCK_REALTIME)),
      on_end_(std::move(on_end)) {
  if (probes_->nf_tables_is_loaded())
    namespaces_.Begin(/*fresh=*/false);
}

SandboxSession* Pipeline::FindOrAdd(const std::string& id, const std::string& runtime,
                                    uint64_t born_ns) {
  // One whose cgroups are all gone is about to end: what comes now under its id is another.
  if (const auto known = by_id_.find(id); known != by_id_.end() && members_.Lives(known->second))
    return sandboxes_.at(known->second).get();
  const uint64_t serial = next_sandbox_++;
  const FlowTable::UdpReader read_udp = [this](const Flow& flow) {
    const UdpFlowCounts counts = tables_->ReadUdpFlow(flow.cookie, flow.peer);
    const FlowTable::UdpCounts out = {
        .sent = counts.bytes.sent, .received = counts.bytes.received, .denied = counts.denied};
    if (capture_)
      capture_->UdpFlow(flow, out);
    return out;
  };
  const SandboxIdentity identity = {.serial = serial, .id = id, .runtime = runtime};
  if (capture_)
    capture_->Sandbox(identity, born_ns);
  by_id_[id] = serial;
  std::unique_ptr<SandboxSession>& sandbox = sandboxes_[serial];
  sandbox = std::make_unique<SandboxSession>(identity, options_, read_udp, sink_, born_ns);
  return by_serial_[serial] = sandbox.get();
}

void Pipeline::SetLogLevel(Severity level) {
  options_.log_level = level;
  for (const auto& [serial, sandbox] : sandboxes_)
    sandbox->set_log_level(level);
}

absl::StatusOr<uint64_t> Pipeline::AddSandbox(const Sandbox& sandbox) {
  SandboxSession* const added = FindOrAdd(sandbox.id, "cgroup", BootNow());
  // Roles are told where there is more than one.
  const Role role = sandbox.sidecars.empty() ? Role::kNone : Role::kApp;
  RETURN_IF_ERROR(AddCgroup(added, sandbox.cgroup, role));
  for (const std::string& sidecar : sandbox.sidecars)
    RETURN_IF_ERROR(AddCgroup(added, sidecar, Role::kSidecar));
  return added->sandbox().serial;
}

SandboxSession* Pipeline::SandboxOf(const Member& member) const {
  const auto it = by_serial_.find(member.sandbox);
  return it == by_serial_.end() ? nullptr : it->second;
}

std::array<Origin, 3> Pipeline::AddMember(uint64_t serial, std::vector<Attribute> attributes,
                                          SandboxSession* sandbox) {
  if (capture_)
    capture_->Member(serial, sandbox->sandbox().serial, BootNow(), attributes);
  return sandbox->AddMember(std::move(attributes));
}

absl::Status Pipeline::AddCgroup(SandboxSession* sandbox, const std::string& path, Role role) {
  ASSIGN_OR_RETURN(const uint64_t id, CgroupId(path));
  const uint64_t serial = attribution_.NextMember();
  std::vector<Attribute> attributes;
  if (role != Role::kNone)
    attributes.push_back({"sandbox.role", std::string(Name(role))});
  Member member;
  member.sandbox = sandbox->sandbox().serial;
  member.role = role;
  member.origins = AddMember(serial, std::move(attributes), sandbox);
  member.cgroup_id = id;
  member.path = path;
  RETURN_IF_ERROR(members_.Put(serial, std::move(member)));
  RETURN_IF_ERROR(members_.Watch(serial));
  OnExisting(sandbox, path);
  return absl::OkStatus();
}

void Pipeline::OnExisting(SandboxSession* sandbox, const std::string& path) {
  for (const pid_t pid : ProcessesIn(path)) {
    if (const auto process = ReadProcess(pid)) {
      sandbox->OnExisting(*process);
      namespaces_.Enter(sandbox->sandbox().serial, process->netns, pid);
    }
  }
}

uint64_t Pipeline::AddDevice(const std::string& id, const LinkChange& link) {
  SandboxSession* const sandbox = FindOrAdd(id, kDeviceRuntime, BootNow());
  const uint64_t serial = attribution_.NextMember();
  Member member;
  member.origins = AddMember(serial, {}, sandbox);
  member.sandbox = sandbox->sandbox().serial;
  member.device = link.name;
  const owner owner = {.member = serial, .sandbox = member.sandbox};
  absl::Status status = members_.Put(serial, std::move(member));
  if (status.ok())
    status = tables_->WatchDevice(link.ifindex, owner);
  if (status.ok())
    return serial;
  tell_(absl::StrCat("the device ", Escape(link.name), ": ", std::string(status.message())));
  members_.Gone(serial, BootNow());
  EndIfEmpty(owner.sandbox, BootNow());
  return 0;
}

std::vector<int> Pipeline::event_fds() const {
  std::vector<int> fds = devices_.event_fds();
  fds.push_back(namespaces_.event_fd());
  fds.push_back(attribution_.event_fd());
  return fds;
}

void Pipeline::Discover(std::chrono::milliseconds limit) {
  std::set<std::string> taken;
  for (const auto& [serial, member] : members_.all()) {
    if (!member.path.empty())
      taken.insert(member.path);
  }
  attribution_.Scan(taken);
  attribution_.Settle(limit);
}

// The path may belong to another cgroup by now, if this one is gone already: what has its id is
// looked at, and nothing else.
void Pipeline::OnJoin(const Decision& decision, Held held) {
  const Candidate& candidate = decision.candidate;
  const std::string path = attribution_.mount() + candidate.cgroup;
  const auto id = CgroupId(path);
  const bool there = id.ok() && *id == candidate.cgroup_id;
  Member* const known = members_.Find(candidate.member);
  const uint64_t before = known ? known->sandbox : 0;
  SandboxSession* const sandbox = FindOrAdd(decision.selected->id, RuntimeOf(decision),
                                            before == 0 ? candidate.created_ns : BootNow());
  const uint64_t serial = sandbox->sandbox().serial;
  if (before == serial)
    return;
  Member member;
  if (known) {
    const KernelCounts counts = members_.CountsOf(candidate.member, *known);
    members_.ReadUse(known);
    if (SandboxSession* const former = SandboxOf(*known))
      former->OnMemberEnded(counts, Members::UseOf(*known));
    member = *known;
    auto all = std::make_shared<KernelCounts>(counts);
    if (known->before)
      *all += *known->before;
    member.before = std::move(all);
    member.use_before = member.use;
  }
  member.sandbox = serial;
  member.role = decision.selected->role;
  member.origins = AddMember(candidate.member, AttributesOf(decision), sandbox);
  member.cgroup_id = candidate.cgroup_id;
  member.path = there ? path : "";
  member.container_id = decision.path.container_id;
  absl::Status status = members_.Put(candidate.member, std::move(member));
  if (status.ok() && there)
    status = members_.Watch(candidate.member);
  if (!status.ok())
    tell_(absl::StrCat("the sandbox ", decision.selected->id, ": ", std::string(status.message())));
  for (const auto& [kind, count] : held.lost)
    sandbox->OnLost("attribution", "too_many_waiting", kind, count);
  for (const Event& event : held.events)
    Deliver(event);
  if (there)
    OnExisting(sandbox, path);
  else
    members_.Gone(candidate.member, BootNow());
  if (before != 0)
    EndIfEmpty(before, BootNow());
  EndIfEmpty(serial, BootNow());  // where there was no room for it
}

void Pipeline::EnterOwnNamespace(uint64_t serial) {
  namespaces_.Enter(serial, OwnNetworkNamespace(), getpid());
}

// Programs tell which namespace they are in when they start, are moved in, and connect.
void Pipeline::NoteNamespaces(const Event& event, uint64_t sandbox) {
  if (const auto* exec = std::get_if<Exec>(&event.body))
    namespaces_.Enter(sandbox, exec->netns, static_cast<pid_t>(exec->process.pid));
  else if (const auto* fork = std::get_if<Fork>(&event.body))
    namespaces_.Enter(sandbox, fork->netns, static_cast<pid_t>(fork->process.pid));
  else if (const auto* connect = std::get_if<Connect>(&event.body))
    namespaces_.Enter(sandbox, connect->netns, static_cast<pid_t>(connect->process.pid));
  else if (const auto* change = std::get_if<NftChange>(&event.body))
    namespaces_.OnChange(*change, sandbox, event.time_ns);
  else if (std::holds_alternative<Exit>(event.body))
    namespaces_.OnExit(sandbox);
}

uint64_t Pipeline::OnRecord(std::span<const std::byte> record) {
  if (capture_)
    capture_->Record(record);
  if (const Event* const event =
          pending_.PushIf([&](Event* fresh) { return Decode(record, fresh).ok(); }))
    return event->time_ns;
  const auto owner = OwnerOf(record);
  const Member* const member = owner ? members_.Find(owner->member) : nullptr;
  SandboxSession* const sandbox = member ? SandboxOf(*member) : nullptr;
  if (sandbox)
    sandbox->OnLost("decode", "malformed_record", owner->kind);
  else
    ++unattributed_;
  return 0;
}

void Pipeline::Deliver(Event event) {
  const Member* const member = members_.Find(event.member);
  SandboxSession* const sandbox = member ? SandboxOf(*member) : nullptr;
  if (canary_.Take(event))
    return;
  if (!sandbox) {
    ++unattributed_;
    return;
  }
  std::visit(
      [&](auto& what) {
        if constexpr (requires { what.origin; })
          what.origin = member->origins[static_cast<size_t>(event.attributed_by)];
      },
      event.body);
  if (auto* change = std::get_if<NftChange>(&event.body)) {
    const Member* const actor = members_.Find(change->actor_member);
    change->actor = actor ? actor->sandbox : 0;
    change->sidecar = actor && actor->role == Role::kSidecar;
  }
  sandbox->OnEvent(event);
  Reschedule(*sandbox);
  NoteNamespaces(event, member->sandbox);
  if (std::holds_alternative<CgroupRemoved>(event.body) && event.cgroup_id == member->cgroup_id) {
    members_.Gone(event.member, event.time_ns);
    namespaces_.OnMemberGone(member->sandbox);
  }
}

void Pipeline::Take(Event event) {
  if (std::holds_alternative<NftLoaded>(event.body)) {
    // Listening takes less than attaching.
    namespaces_.Begin(/*fresh=*/true);
    probes_->OnNftLoaded();
    return;
  }
  if (std::holds_alternative<CgroupCreated>(event.body))
    attribution_.OnMade(event);
  if (!attribution_.Keep(event))
    Deliver(std::move(event));
}

void Pipeline::Process(uint64_t until_ns) {
  pending_.DrainUntil(until_ns, [this](Event&& event) { Take(std::move(event)); });
  EndMembers(until_ns);
}

void Pipeline::EndMembers(uint64_t until_ns) {
  std::set<uint64_t> left;
  members_.TakeEnded(until_ns,
                     [&](uint64_t serial, const Member& member, const KernelCounts& counts) {
                       if (SandboxSession* const sandbox = SandboxOf(member))
                         sandbox->OnMemberEnded(counts, Members::UseOf(member));
                       left.insert(member.sandbox);
                       attribution_.Forget(serial);
                     });
  for (const uint64_t sandbox : left)
    EndIfEmpty(sandbox, until_ns);
}

void Pipeline::EndIfEmpty(uint64_t serial, uint64_t now_ns) {
  const auto sandbox = sandboxes_.find(serial);
  if (sandbox == sandboxes_.end() || members_.HasAny(serial))
    return;
  namespaces_.OnSandboxEnd(serial, now_ns);
  sandbox->second->OnCounters({});
  if (sandbox->second->flows().size() > 0)
    ReadBytes(now_ns);
  Stop(sandbox->second.get(), now_ns);
  if (on_end_)
    on_end_(serial, MetricsOf(*sandbox->second, {}), now_ns + static_cast<uint64_t>(UnixOffset()));
  if (const auto named = by_id_.find(sandbox->second->sandbox().id);
      named != by_id_.end() && named->second == serial)
    by_id_.erase(named);
  due_.Remove(serial);
  by_serial_.erase(serial);
  sandboxes_.erase(sandbox);
}

void Pipeline::OnTick(uint64_t now_ns) {
  attribution_.Work(now_ns);
  devices_.Work();
  members_.Unwatch(now_ns);
  canary_.Work(now_ns);
  namespaces_.Work(now_ns, /*all=*/false);
  for (const uint64_t serial : due_.PopDue(now_ns)) {
    SandboxSession& sandbox = *by_serial_.at(serial);
    sandbox.OnTick(now_ns);
    Reschedule(sandbox);
  }
}

void Pipeline::HandRules(SandboxSession* sandbox, const RulesetOutcome& outcome) {
  sandbox->OnRules(outcome);
  Reschedule(*sandbox);
}

void Pipeline::Reschedule(const SandboxSession& sandbox) {
  due_.Set(sandbox.sandbox().serial, sandbox.NextDeadline());
}

uint64_t Pipeline::NextDeadline() const {
  // Records that are younger than the last Process wait for the next.
  const uint64_t young = pending_.empty() ? Schedule::kNever : pending_.newest_ns();
  return std::min({young, due_.NextDeadline(), namespaces_.NextDeadline(),
                   attribution_.NextDeadline(), members_.NextDeadline(), canary_.NextDeadline()});
}

void Pipeline::CloseWindow(uint64_t now_ns) {
  members_.LookForGone(now_ns);
  ReadCounters();
  ReadBytes(now_ns);
  for (const auto& [serial, sandbox] : sandboxes_) {
    sandbox->CloseWindow(now_ns);
    Reschedule(*sandbox);
  }
}

void Pipeline::Stop(uint64_t now_ns) {
  attribution_.Finish();
  namespaces_.Work(now_ns, /*all=*/true);
  ReadCounters();
  ReadBytes(now_ns);
  for (const auto& [serial, sandbox] : sandboxes_)
    Stop(sandbox.get(), now_ns);
}

void Pipeline::Stop(SandboxSession* sandbox, uint64_t now_ns) {
  sandbox->Stop(now_ns);
  if (capture_)
    capture_->End(sandbox->sandbox().serial, now_ns, sandbox->counters());
}

void Pipeline::WatchCanary(absl::StatusOr<std::unique_ptr<Canary>> canary) {
  canary_.Start(std::move(canary), attribution_.NextMember(), next_sandbox_++);
}

}  // namespace sandpiper
