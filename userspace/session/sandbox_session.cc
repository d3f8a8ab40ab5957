// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/sandbox_session.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "bpf/events.h"
#include "userspace/base/clock.h"
#include "userspace/sandbox/proc.h"

namespace sandpiper {
namespace {

std::vector<Attribute> IdentityAttributes(const SandboxIdentity& sandbox,
                                          const std::vector<Attribute>& extra) {
  std::vector<Attribute> identity = {{"sandbox_id", sandbox.id}};
  identity.insert(identity.end(), extra.begin(), extra.end());
  return identity;
}

}  // namespace

SandboxSession::SandboxSession(SandboxIdentity sandbox, const SessionOptions& options,
                               FlowTable::UdpReader read_udp, RecordSink sink, uint64_t started_ns)
    : sandbox_(std::move(sandbox)),
      started_ns_(started_ns),
      context_{.emitter =
                   RecordEmitter(IdentityAttributes(sandbox_, options.extra_attributes),
                                 options.log_level, options.recorded_unix_offset, std::move(sink)),
               .metrics = SandboxMetrics(options.histograms),
               .processes = ProcessTable(options.exited_max),
               .names = NameCache(options.names_max)},
      start_unix_ns_(started_ns + static_cast<uint64_t>(context_.emitter.unix_offset())),
      resolvers_(start_unix_ns_, options.read_resolv_conf),
      window_(options.destinations_max, &context_),
      sidecar_(&context_),
      rules_(sandbox_.serial, options.names_max, &context_),
      dns_({.timeout_ns = options.dns_timeout_ns,
            .ports = options.dns_ports,
            .is_given_server = options.recorded_unix_offset ? nullptr : IsGivenServer()},
           &context_, &rules_, &window_.ledger(), ReportDenials()),
      flows_(options.flows_max, std::move(read_udp), &context_, &dns_, &window_.ledger(),
             ReportDenials()) {
  context_.emitter.Emit([&](RecordMaker& records, int64_t unix_offset) {
    return records.Started(started_ns_, unix_offset);
  });
}

DnsMonitor::GivenServer SandboxSession::IsGivenServer() {
  return [this](const Address& server, const ProcessKey& key, uint64_t time_ns) {
    const Process* const process = context_.processes.Find(key);
    const uint32_t parent = process ? process->parent.pid : 0;
    return resolvers_.Contains(server, static_cast<pid_t>(key.pid), static_cast<pid_t>(parent),
                               time_ns);
  };
}

DenialSink SandboxSession::ReportDenials() {
  return [this](const Denial& denial, uint64_t count) {
    rules_.OnDenial(denial);
    window_.OnDenial(denial, count);
  };
}

std::array<Origin, 3> SandboxSession::AddMember(std::vector<RecordAttribute> attributes) {
  Role role = Role::kNone;
  for (const RecordAttribute& attribute : attributes) {
    if (attribute.key == "sandbox.role")
      role = RoleNamed(std::get<SharedText>(attribute.value).view());
  }
  const Origin by_cgroup = context_.emitter.records().AddOrigin(std::move(attributes));
  context_.roles.Set(by_cgroup, role);
  return {by_cgroup, kByNamespace, kByProcess};
}

void SandboxSession::OnEvent(const Event& event) {
  events_.OnDelivered(event.kind);
  std::visit([&](const auto& body) { On(body, event.time_ns); }, event.body);
}

void SandboxSession::OnExisting(const Exec& exec) {
  context_.processes.AddExisting(exec);
  if (const Process* const process = context_.processes.Find(exec.process))
    OnProgram(*process, BootNow());
}

// The sandbox does not choose its role. So a program of the application that is called as the
// sidecar's program, or that has its variables, is not believed.
void SandboxSession::OnProgram(const Process& process, uint64_t time_ns) {
  if (context_.roles.IsSidecar(process.origin) && !context_.emitter.is_recorded())
    sidecar_.OnProgram(process, time_ns);
}

void SandboxSession::On(const Exec& exec, uint64_t time_ns) {
  const Process& process = context_.processes.OnExec(exec, time_ns);
  context_.emitter.EmitInfo([&](RecordMaker& records, int64_t unix_offset) {
    return records.Exec(process, context_.processes.Ancestors(process), unix_offset);
  });
  OnProgram(process, time_ns);
}

void SandboxSession::On(const Exit& exit, uint64_t time_ns) {
  const Process& process = context_.processes.OnExit(exit, time_ns);
  context_.metrics.OnExit(process);
  sidecar_.OnExit(process.key);
  context_.emitter.EmitInfo([&](RecordMaker& records, int64_t unix_offset) {
    return records.Exit(process, unix_offset);
  });
}

void SandboxSession::On(const Close& close, uint64_t time_ns) {
  flows_.OnClose(close, time_ns);
  dns_.OnClose(close.cookie);
}

void SandboxSession::OnLivingSockets(const absl::flat_hash_set<uint64_t>& living, uint64_t now_ns) {
  if (events_.has_lost_flow_ends())
    flows_.EndClosedSockets(living, now_ns);
}

void SandboxSession::ExpireDue(uint64_t now_ns) {
  sidecar_.ExpireDue(now_ns);
  rules_.ExpireDue(now_ns, flows_.table());
  dns_.ExpireDue(now_ns);
  flows_.ExpireDue(now_ns);
}

uint64_t SandboxSession::NextDeadline() const {
  return std::min(
      {dns_.NextDeadline(), flows_.NextDeadline(), rules_.NextDeadline(), sidecar_.NextDeadline()});
}

void SandboxSession::CloseWindow(uint64_t now_ns) {
  context_.emitter.RefreshUnixOffset();
  flows_.CloseWindow(now_ns);
  window_.CloseWindow(now_ns, events_);
  if (events_.counters().lost(EVENT_EXIT) > 0)
    context_.processes.DropDead([](const ProcessKey& process) { return IsAlive(process); });
}

void SandboxSession::Stop(uint64_t now_ns) {
  dns_.Shutdown(now_ns);
  flows_.Shutdown(now_ns);
  CloseWindow(now_ns);
  context_.emitter.Emit([&](RecordMaker& records, int64_t unix_offset) {
    return records.Stopped(Totals(), now_ns, unix_offset);
  });
}

SandboxTotals SandboxSession::Totals() const {
  const KernelCounts& counters = events_.counters();
  const EventAccounting::Losses losses = events_.LossesSoFar();
  SandboxTotals totals = {
      .lookups = context_.metrics.lookups(),
      .attempts = 0,
      .execs = counters.produced[EVENT_EXEC],
      .exits = counters.produced[EVENT_EXIT],
      .denied = context_.metrics.denied() + counters.denied[0] + counters.denied[1],
      .destinations = window_.ledger().distinct(),
      .destinations_estimated = window_.ledger().distinct_is_estimated(),
      .ignored_answers = dns_.lookups().ignored_answers(),
      .malformed_messages = dns_.lookups().malformed_messages(),
      .escaped_texts = context_.emitter.records().escaped_texts(),
      .produced = events_.produced(),
      .delivered = events_.delivered(),
      .dropped = {losses.begin(), losses.end()}};
  for (const auto& by_network : counters.attempts)
    totals.attempts += by_network[0] + by_network[1];
  return totals;
}

void SandboxSession::AppendMetrics(std::optional<uint64_t> static_rules,
                                   const std::optional<ResourceUse>& resources,
                                   MetricSnapshot* out) const {
  SandboxGauges gauges = {.destinations = window_.ledger().distinct(),
                          .destinations_estimated = window_.ledger().distinct_is_estimated(),
                          .static_rules = static_rules,
                          .resources = resources};
  if (gauges.resources)
    *gauges.resources += events_.ended_use();
  context_.metrics.Append(events_.counters(), events_.delivery(), gauges,
                          context_.emitter.records().identity(), start_unix_ns_, out);
}

}  // namespace sandpiper
