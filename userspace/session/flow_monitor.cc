// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/flow_monitor.h"

#include <optional>
#include <utility>

namespace sandpiper {

FlowMonitor::FlowMonitor(size_t flows_max, FlowTable::UdpReader read_udp, SessionContext* context,
                         const DnsMonitor* dns, Ledger* ledger, DenialSink on_denial)
    : context_(context),
      dns_(dns),
      ledger_(ledger),
      on_denial_(std::move(on_denial)),
      table_(flows_max, std::move(read_udp)) {}

void FlowMonitor::OnConnect(const Connect& connect, uint64_t time_ns) {
  const bool is_local = connect.peer.address.is_loopback();
  const KnownName known =
      is_local ? KnownName() : context_->names.FindWithSource(connect.peer.address, time_ns);
  const Flow flow = {.origin = connect.origin,
                     .cookie = connect.cookie,
                     .transport = connect.transport,
                     .process = connect.process,
                     .comm = connect.comm,
                     .is_guest = connect.is_guest,
                     .peer = connect.peer,
                     .name = known.name,
                     .name_source = known.source,
                     .started_ns = time_ns};
  const std::optional<FlowChanges> changes = table_.OnConnect(flow);
  if (changes)
    Apply(*changes);
  ledger_->OnAttempt(flow);
  if (!dns_->MayCarryDns(flow))
    EmitOutbound(flow);
  if (changes)
    return;
  // The table is full.
  Flow unknown = flow;
  unknown.outcome = ConnectOutcome::kUnknown;
  unknown.decided_ns = time_ns;
  context_->metrics.OnDecided(unknown);
}

void FlowMonitor::OnResult(const ConnectResult& result, uint64_t time_ns) {
  Apply(table_.OnResult(result, time_ns));
}

void FlowMonitor::OnDenied(const Denied& denied, uint64_t time_ns) {
  if (const Flow* flow = table_.OnDenied(denied)) {
    on_denial_(DenialOf(*flow, time_ns), 1);
    return;
  }
  // The connection is older than the session, or there was no room for it in the table.
  const KnownName known = context_->names.FindWithSource(denied.peer.address, time_ns);
  const Flow unfollowed = {.origin = denied.origin,
                           .cookie = denied.cookie,
                           .transport = denied.transport,
                           .process = denied.process,
                           .comm = denied.comm,
                           .peer = denied.peer,
                           .name = known.name,
                           .name_source = known.source,
                           .denied_by = DenialLayer::kNetfilter};
  on_denial_(DenialOf(unfollowed, time_ns), 1);
}

void FlowMonitor::OnClose(const Close& close, uint64_t time_ns) {
  Apply(table_.OnClose(close, time_ns));
}

void FlowMonitor::EndClosedSockets(const absl::flat_hash_set<uint64_t>& living, uint64_t now_ns) {
  Apply(table_.EndClosedSockets(living, now_ns));
}

void FlowMonitor::ExpireDue(uint64_t now_ns) { Apply(table_.ExpireDue(now_ns)); }

void FlowMonitor::Shutdown(uint64_t now_ns) { Apply(table_.Shutdown(now_ns)); }

void FlowMonitor::CloseWindow(uint64_t now_ns) {
  table_.RefreshUdp();
  table_.DrainDenials(
      [&](const Flow& flow, uint64_t count) { on_denial_(DenialOf(flow, now_ns), count); });
  table_.ForEach([&](const Flow& flow) { ledger_->OnBytes(flow); });
}

void FlowMonitor::Apply(const FlowChanges& changes) {
  for (const FlowChange& change : changes) {
    if (change.decided)
      OnFlowDecided(change.flow);
    if (change.ended)
      OnFlowEnded(change.flow);
  }
}

void FlowMonitor::OnFlowDecided(const Flow& flow) {
  context_->metrics.OnDecided(flow);
  ledger_->OnDecided(flow);
  if (flow.outcome == ConnectOutcome::kEstablished || flow.outcome == ConnectOutcome::kUnknown ||
      flow.peer.address.is_loopback())
    return;
  if (flow.outcome == ConnectOutcome::kDenied) {
    // Denials by netfilter were reported by their own event, and the BPF programs count them.
    if (flow.denied_by == DenialLayer::kCgroup) {
      context_->metrics.OnDenied(DenialLayer::kCgroup, flow.transport);
      on_denial_(DenialOf(flow, flow.decided_ns), 1);
    }
  } else if (flow.transport == Transport::kTcp || flow.outcome != ConnectOutcome::kOther) {
    EmitFailed(flow);
  }
}

void FlowMonitor::OnFlowEnded(const Flow& flow) {
  if (flow.denied_by == DenialLayer::kNetfilter && flow.denials > flow.denials_reported)
    on_denial_(DenialOf(flow, flow.decided_ns), flow.denials - flow.denials_reported);
  context_->metrics.OnEnded(flow);
  ledger_->OnEnded(flow);
  if (dns_->MayCarryDns(flow) && !dns_->HasCarriedDns(flow.cookie))
    EmitOutbound(flow);
  if (flow.reset && !flow.peer.address.is_loopback())
    EmitFailed(flow);
}

void FlowMonitor::EmitOutbound(const Flow& flow) {
  if (flow.is_destination_named() || flow.peer.address.is_loopback())
    return;
  context_->emitter.EmitInfo([&](RecordMaker& records, int64_t unix_offset) {
    return records.Outbound(flow, context_->processes.Find(flow.process), unix_offset);
  });
}

void FlowMonitor::EmitFailed(const Flow& flow) {
  context_->emitter.EmitInfo([&](RecordMaker& records, int64_t unix_offset) {
    return records.Failed(flow, context_->processes.Find(flow.process), unix_offset);
  });
}

}  // namespace sandpiper
