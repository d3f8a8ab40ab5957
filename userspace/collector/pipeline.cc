// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/pipeline.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"
#include "userspace/collector/describe.h"
#include "userspace/event/decode.h"

namespace sandpiper {

Pipeline::Pipeline(KernelTables* tables, ProbeStatus* probes, const Options& options,
                   Outlets outlets)
    : tables_(tables),
      probes_(probes),
      warn_(std::move(outlets.warn)),
      on_sandbox_end_(std::move(outlets.on_sandbox_end)),
      members_(tables, options.cgroups),
      sandboxes_(tables, &members_, options.session, std::move(outlets.records)),
      canary_(tables, &members_, options.cgroups, warn_),
      attribution_(tables, options.cgroups, options.discovery,
                   std::bind_front(&Pipeline::OnAttributed, this),
                   std::bind_front(&Pipeline::OnMemberRemoved, this), warn_),
      devices_(std::bind_front(&Pipeline::AddDevice, this),
               std::bind_front(&Pipeline::OnMemberRemoved, this), warn_, options.open_links),
      namespaces_(std::bind_front(&Pipeline::ProcessesOf, this),
                  std::bind_front(&Pipeline::OnRuleset, this),
                  std::bind_front(&Pipeline::SetNamespaceOwner, this), options.namespace_lookup),
      adder_({.tables = tables,
              .members = &members_,
              .sandboxes = &sandboxes_,
              .namespaces = &namespaces_},
             options.cgroups, warn_),
      metrics_({.tables = tables,
                .probes = probes,
                .sandboxes = &sandboxes_,
                .members = &members_,
                .namespaces = &namespaces_,
                .canary = &canary_}) {
  if (probes_->nf_tables_is_loaded())
    namespaces_.OnNftLoaded(RulesetCoverage::kFromNow);
}

// Adding sandboxes

absl::StatusOr<uint64_t> Pipeline::AddSandbox(const Sandbox& sandbox) {
  SandboxSession* const added = sandboxes_.FindOrCreate(sandbox.id, "cgroup", BootNow());
  // Records carry roles only if there is more than one.
  const Role role = sandbox.sidecars.empty() ? Role::kNone : Role::kApp;
  RETURN_IF_ERROR(adder_.AddCgroup(attribution_.NextMember(), added, sandbox.cgroup, role));
  for (const std::string& sidecar : sandbox.sidecars)
    RETURN_IF_ERROR(adder_.AddCgroup(attribution_.NextMember(), added, sidecar, Role::kSidecar));
  return added->sandbox().serial;
}

uint64_t Pipeline::AddDevice(const std::string& id, const LinkChange& link) {
  SandboxSession* const sandbox = sandboxes_.FindOrCreate(id, kDeviceRuntime, BootNow());
  const uint64_t serial = attribution_.NextMember();
  const absl::Status status = adder_.AddDevice(serial, sandbox, link);
  if (status.ok())
    return serial;
  warn_(absl::StrCat("cannot watch the device \"", Escape(link.name),
                     "\": ", std::string(status.message())));
  EndIfEmpty(sandbox->sandbox().serial, BootNow());
  return 0;
}

void Pipeline::Discover(std::chrono::milliseconds limit) {
  std::set<std::string> taken;
  for (const auto& [serial, member] : members_.all()) {
    if (!member.path.empty())
      taken.insert(member.path);
  }
  attribution_.Scan(taken);
  attribution_.WaitUntilDecided(limit);
}

void Pipeline::WatchCanary(absl::StatusOr<std::unique_ptr<Canary>> canary) {
  canary_.Start(std::move(canary), attribution_.NextMember(), sandboxes_.NextSerial());
}

void Pipeline::EnterOwnNamespace(uint64_t serial) {
  namespaces_.Enter(serial, OwnNetworkNamespace(), getpid());
}

// Attribution

void Pipeline::OnAttributed(const Decision& decision, PendingEvents pending) {
  const MemberAdder::Added added = adder_.AddAttributed(decision);
  if (!added.sandbox)
    return;
  for (const auto& [kind, count] : pending.lost)
    added.sandbox->OnLost("attribution", "too_many_waiting", kind, count);
  for (Event& event : pending.events)
    Deliver(std::move(event));
  if (added.path.empty())
    members_.OnRemoved(decision.candidate.member, BootNow());
  else
    adder_.AddProcesses(decision.candidate.member, added.sandbox);
  if (added.former != 0)
    EndIfEmpty(added.former, BootNow());
  // It has no member if the kernel's table is full.
  EndIfEmpty(added.sandbox->sandbox().serial, BootNow());
}

void Pipeline::OnMemberRemoved(uint64_t member) { members_.OnRemoved(member, BootNow()); }

// Network namespaces

std::vector<pid_t> Pipeline::ProcessesOf(uint64_t sandbox) const {
  std::vector<pid_t> pids = members_.ProcessesOf(sandbox);
  pids.push_back(getpid());  // for a sandbox in our own network namespace
  return pids;
}

void Pipeline::OnRuleset(uint64_t sandbox, const RulesetOutcome& outcome) {
  SandboxSession* const session = sandboxes_.Find(sandbox);
  if (!session)
    return;
  session->OnRules(outcome);
  sandboxes_.Reschedule(*session);
}

void Pipeline::SetNamespaceOwner(uint32_t netns, uint64_t sandbox, NamespaceUse use) {
  if (sandbox == 0)
    tables_->ForgetNamespace(netns);
  else if (const uint64_t member = members_.AnyOf(sandbox); member != 0)
    tables_->WatchNamespace(netns, {.member = member, .sandbox = sandbox}, use);
}

// Events name the network namespace of a process that starts, moves in, or connects.
void Pipeline::NoteNamespace(const Event& event, uint64_t sandbox) {
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

// Events

uint64_t Pipeline::OnRecord(std::span<const std::byte> record) {
  if (CaptureWriter* const capture = sandboxes_.capture())
    capture->WriteRecord(record);
  if (const Event* const event =
          queue_.PushIf([&](Event* fresh) { return Decode(record, fresh).ok(); }))
    return event->time_ns;
  const auto owner = OwnerOf(record);
  const Member* const member = owner ? members_.Find(owner->member) : nullptr;
  SandboxSession* const sandbox = member ? sandboxes_.Find(member->sandbox) : nullptr;
  if (sandbox)
    sandbox->OnLost("decode", "malformed_record", owner->kind);
  else
    ++unattributed_;
  return 0;
}

void Pipeline::DrainUntil(uint64_t until_ns) {
  queue_.DrainUntil(until_ns, [this](Event&& event) { OnEvent(std::move(event)); });
  EndMembers(until_ns);
}

void Pipeline::OnEvent(Event event) {
  if (std::holds_alternative<NftLoaded>(event.body)) {
    // In this order: attaching the probe takes longer, and transactions go on meanwhile.
    namespaces_.OnNftLoaded(RulesetCoverage::kFromFirstCommit);
    probes_->OnNftLoaded();
    return;
  }
  if (std::holds_alternative<CgroupCreated>(event.body))
    attribution_.OnCgroupCreated(event);
  if (!attribution_.HoldBack(event))
    Deliver(std::move(event));
}

void Pipeline::Deliver(Event event) {
  const Member* const member = members_.Find(event.member);
  SandboxSession* const sandbox = member ? sandboxes_.Find(member->sandbox) : nullptr;
  if (canary_.Intercept(event))
    return;
  if (!sandbox) {
    ++unattributed_;
    return;
  }
  std::visit(
      [&](auto& body) {
        if constexpr (requires { body.origin; })
          body.origin = member->origins[static_cast<size_t>(event.attributed_by)];
      },
      event.body);
  if (auto* change = std::get_if<NftChange>(&event.body)) {
    const Member* const actor = members_.Find(change->actor_member);
    change->actor = actor ? actor->sandbox : 0;
    change->sidecar = actor && actor->role == Role::kSidecar;
    if (const SandboxSession* const other = sandboxes_.Find(change->actor))
      change->actor_id = other->sandbox().id;
  }
  sandbox->OnEvent(event);
  sandboxes_.Reschedule(*sandbox);
  NoteNamespace(event, member->sandbox);
  if (std::holds_alternative<CgroupRemoved>(event.body) && event.cgroup_id == member->cgroup_id) {
    members_.OnRemoved(event.member, event.time_ns);
    namespaces_.OnMemberRemoved(member->sandbox);
  }
}

void Pipeline::EndMembers(uint64_t until_ns) {
  std::set<uint64_t> former;
  members_.RemoveEnded(until_ns,
                       [&](uint64_t serial, const Member& member, const KernelCounts& counts) {
                         if (SandboxSession* const sandbox = sandboxes_.Find(member.sandbox))
                           sandbox->OnMemberEnded(counts, MemberTable::UseOf(member));
                         former.insert(member.sandbox);
                         attribution_.Forget(serial);
                       });
  for (const uint64_t sandbox : former)
    EndIfEmpty(sandbox, until_ns);
}

void Pipeline::EndIfEmpty(uint64_t serial, uint64_t now_ns) {
  SandboxSession* const sandbox = sandboxes_.Find(serial);
  if (!sandbox || members_.HasAny(serial))
    return;
  namespaces_.OnSandboxEnd(serial, now_ns);
  sandbox->OnCounters({});
  if (sandbox->flows().size() > 0)
    sandboxes_.ReadBytes(now_ns);
  sandboxes_.Shutdown(sandbox, now_ns);
  if (on_sandbox_end_)
    on_sandbox_end_(serial, metrics_.LastOf(*sandbox),
                    now_ns + static_cast<uint64_t>(UnixOffset()));
  sandboxes_.Remove(serial);
}

// Time

std::vector<int> Pipeline::event_fds() const {
  std::vector<int> fds = devices_.event_fds();
  fds.push_back(namespaces_.event_fd());
  fds.push_back(attribution_.event_fd());
  return fds;
}

void Pipeline::Poll(uint64_t now_ns) {
  attribution_.Poll(now_ns);
  devices_.Poll();
  members_.ExpireDue(now_ns);
  canary_.Poll(now_ns);
  namespaces_.Poll(now_ns);
  sandboxes_.Poll(now_ns);
}

uint64_t Pipeline::NextDeadline() const {
  // Events that were too young for the last DrainUntil wait for the next one.
  const uint64_t queued = queue_.empty() ? Schedule::kNever : queue_.newest_ns();
  return std::min({queued, sandboxes_.NextDeadline(), namespaces_.NextDeadline(),
                   attribution_.NextDeadline(), members_.NextDeadline(), canary_.NextDeadline()});
}

void Pipeline::CloseWindow(uint64_t now_ns) {
  members_.DetectRemoved(now_ns);
  sandboxes_.CloseWindow(now_ns);
}

void Pipeline::Shutdown(uint64_t now_ns) {
  attribution_.Drain();
  namespaces_.Drain(now_ns);
  sandboxes_.ReadCounters();
  sandboxes_.ReadBytes(now_ns);
  for (const auto& [serial, sandbox] : sandboxes_.all())
    sandboxes_.Shutdown(sandbox.get(), now_ns);
}

void Pipeline::Collect(uint64_t now_ns, MetricReader* reader) {
  sandboxes_.ReadCounters();
  members_.ReadUse();
  metrics_.Collect(now_ns, reader);
}

v1::ListSandboxesResponse Pipeline::Describe(size_t destinations) {
  sandboxes_.ReadCounters();
  v1::ListSandboxesResponse out = DescribeSandboxes(sandboxes_.all(), members_, destinations);
  out.set_waiting(attribution_.waiting());
  out.set_unattributed(unattributed_);
  return out;
}

}  // namespace sandpiper
