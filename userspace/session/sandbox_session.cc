// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/sandbox_session.h"

#include <algorithm>
#include <utility>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

std::vector<Attribute> Identity(const SandboxIdentity& sandbox,
                                const std::vector<Attribute>& extra) {
  std::vector<Attribute> identity = {{"sandbox_id", sandbox.id}};
  identity.insert(identity.end(), extra.begin(), extra.end());
  return identity;
}

}  // namespace

SandboxSession::SandboxSession(SandboxIdentity sandbox, const SessionOptions& options,
                               FlowTable::UdpReader read_udp, RecordSink sink, uint64_t now_ns)
    : sandbox_(std::move(sandbox)),
      dns_ports_(options.dns_ports),
      sink_(std::move(sink)),
      log_level_(options.log_level),
      started_ns_(now_ns),
      recorded_unix_offset_(options.recorded_unix_offset),
      unix_offset_(recorded_unix_offset_.value_or(UnixOffset())),
      start_unix_ns_(now_ns + static_cast<uint64_t>(unix_offset_)),
      processes_(options.exited_max),
      lookups_({.timeout_ns = options.dns_timeout_ns}),
      names_(options.names_max),
      allowances_(options.names_max),
      flows_(options.flows_max, std::move(read_udp)),
      ledger_(options.destinations_max),
      denials_(options.destinations_max),
      metrics_(options.histograms),
      records_(Identity(sandbox_, options.extra_attributes)) {
  Emit(records_.Started(started_ns_, unix_offset_));
}

void SandboxSession::OnEvent(const Event& event) {
  ++delivery_.delivered[event.kind];
  std::visit([&](const auto& what) { On(what, event.time_ns); }, event.body);
}

std::array<Origin, 3> SandboxSession::AddMember(std::vector<Attribute> attributes) {
  return {records_.AddOrigin(std::move(attributes)), kByNamespace, kByProcess};
}

void SandboxSession::OnExisting(const Exec& process) { processes_.AddExisting(process); }

void SandboxSession::On(const Exec& exec, uint64_t time_ns) {
  const Process& process = processes_.OnExec(exec, time_ns);
  EmitInfo([&] { return records_.Exec(process, processes_.Ancestors(process), unix_offset_); });
  if (!IsOpenSandboxEgress(process.path.view()) || recorded_unix_offset_)
    return;
  if (const auto policy = ReadOpenSandboxPolicy(static_cast<pid_t>(process.key.pid)))
    Emit(records_.PolicyLoaded(*policy, process, unix_offset_));
}

void SandboxSession::On(const Exit& exit, uint64_t time_ns) {
  const Process& process = processes_.OnExit(exit, time_ns);
  metrics_.OnExit(process);
  EmitInfo([&] { return records_.Exit(process, unix_offset_); });
}

void SandboxSession::On(const Fork& fork, uint64_t time_ns) { processes_.OnFork(fork, time_ns); }

void SandboxSession::On(const Connect& connect, uint64_t time_ns) {
  const bool local = connect.peer.address.is_loopback();
  const Flow flow = {.origin = connect.origin,
                     .cookie = connect.cookie,
                     .transport = connect.transport,
                     .process = connect.process,
                     .comm = connect.comm,
                     .is_guest = connect.is_guest,
                     .peer = connect.peer,
                     .name = local ? SharedText() : names_.Find(connect.peer.address, time_ns),
                     .started_ns = time_ns};
  const std::optional<FlowChanges> changes = flows_.OnConnect(flow);
  if (changes)
    Apply(*changes);
  ledger_.OnAttempt(flow);
  if (!IsDnsStream(flow))
    Outbound(flow);
  if (!changes) {
    Flow lost = flow;
    lost.outcome = ConnectOutcome::kUnknown;
    lost.decided_ns = time_ns;
    metrics_.OnDecided(lost);
  }
}

void SandboxSession::On(const ConnectResult& result, uint64_t time_ns) {
  Apply(flows_.OnResult(result, time_ns));
}

void SandboxSession::On(const Denied& denied, uint64_t time_ns) {
  if (const Flow* flow = flows_.OnDenied(denied)) {
    Deny(DenialOf(*flow, time_ns), 1);
    return;
  }
  // A connection from before the sandbox was watched, or one too many to follow.
  Deny(DenialOf({.origin = denied.origin,
                 .cookie = denied.cookie,
                 .transport = denied.transport,
                 .process = denied.process,
                 .comm = denied.comm,
                 .peer = denied.peer,
                 .name = names_.Find(denied.peer.address, time_ns),
                 .denied_by = DenialLayer::kNetfilter},
                time_ns),
       1);
}

void SandboxSession::On(const Close& close, uint64_t time_ns) {
  Apply(flows_.OnClose(close, time_ns));
  lookups_.OnClose(close.cookie);
  dns_streams_.erase(close.cookie);
}

void SandboxSession::On(const DnsPayload& payload, uint64_t time_ns) {
  if (payload.transport == Transport::kTcp)
    dns_streams_.insert(payload.cookie);
  // By the time of the event, not of its reading: a late answer is late however busy we were.
  Apply(lookups_.ExpireDue(time_ns), time_ns);
  Apply(lookups_.OnPayload(payload, time_ns), time_ns);
}

void SandboxSession::Apply(const DnsChanges& changes, uint64_t time_ns) {
  for (const Address& address : changes.forwarded) {
    if (const auto after = allowances_.OnAnswer(address, time_ns))
      metrics_.OnAllowed(*after);
  }
  for (const Learned& learned : changes.learned) {
    if (const auto after = allowances_.OnAnswer(learned.address, time_ns))
      metrics_.OnAllowed(*after);
    names_.Learn(learned.address, learned.name, learned.ttl_seconds, time_ns);
  }
  for (const Lookup& lookup : changes.finished) {
    metrics_.OnLookup(lookup);
    ledger_.OnLookup(lookup);
    if (lookup.denied_sends > 0)
      Deny(DenialOf(lookup, DenialLayer::kNetfilter), lookup.denied_sends);
    if (lookup.outcome != DnsOutcome::kDenied) {
      EmitInfo(
          [&] { return records_.Lookup(lookup, processes_.Find(lookup.process), unix_offset_); });
    } else if (lookup.denied_by == DenialLayer::kDns) {
      metrics_.OnDenied(DenialLayer::kDns, lookup.transport);
      Deny(DenialOf(lookup, DenialLayer::kDns), 1);
    }
  }
}

void SandboxSession::Apply(const FlowChanges& changes) {
  for (const FlowChange& change : changes) {
    if (change.decided)
      Decided(change.flow);
    if (change.ended)
      Ended(change.flow);
  }
}

// A connection to the DNS port is a lookup if it speaks DNS, and is known to be none only when it
// ends.
bool SandboxSession::IsDnsStream(const Flow& flow) const {
  return flow.transport == Transport::kTcp &&
         std::find(dns_ports_.begin(), dns_ports_.end(), flow.peer.port) != dns_ports_.end();
}

void SandboxSession::Outbound(const Flow& flow) {
  if (flow.name.empty() && !flow.peer.address.is_loopback())
    EmitInfo([&] { return records_.Outbound(flow, processes_.Find(flow.process), unix_offset_); });
}

void SandboxSession::Decided(const Flow& flow) {
  metrics_.OnDecided(flow);
  ledger_.OnDecided(flow);
  if (flow.outcome == ConnectOutcome::kEstablished || flow.outcome == ConnectOutcome::kUnknown ||
      flow.peer.address.is_loopback())
    return;
  if (flow.outcome == ConnectOutcome::kDenied) {
    // Netfilter's are told, and counted by the kernel side, when they happen.
    if (flow.denied_by == DenialLayer::kCgroup) {
      metrics_.OnDenied(DenialLayer::kCgroup, flow.transport);
      Deny(DenialOf(flow, flow.decided_ns), 1);
    }
  } else if (flow.transport == Transport::kTcp || flow.outcome != ConnectOutcome::kOther) {
    EmitInfo([&] { return records_.Failed(flow, processes_.Find(flow.process), unix_offset_); });
  }
}

void SandboxSession::Deny(const Denial& denial, uint64_t count) {
  if (denial.layer == DenialLayer::kNetfilter && denial.peer)
    allowances_.OnDenied(*denial.peer, denial.time_ns);
  if (denials_.Add(denial, count))
    Emit(records_.Denied(denial, processes_.Find(denial.process), unix_offset_));
}

void SandboxSession::Ended(const Flow& flow) {
  if (flow.denied_by == DenialLayer::kNetfilter && flow.denials > flow.denials_reported)
    Deny(DenialOf(flow, flow.decided_ns), flow.denials - flow.denials_reported);
  metrics_.OnEnded(flow);
  ledger_.OnEnded(flow);
  if (IsDnsStream(flow) && !dns_streams_.contains(flow.cookie))
    Outbound(flow);
  if (flow.reset && !flow.peer.address.is_loopback())
    EmitInfo([&] { return records_.Failed(flow, processes_.Find(flow.process), unix_offset_); });
}

}  // namespace sandpiper
