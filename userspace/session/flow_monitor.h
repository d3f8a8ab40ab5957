// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SESSION_FLOW_MONITOR_H_
#define SANDPIPER_USERSPACE_SESSION_FLOW_MONITOR_H_

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "userspace/aggregate/ledger.h"
#include "userspace/correlate/flow_table.h"
#include "userspace/session/dns_monitor.h"
#include "userspace/session/session_context.h"

namespace sandpiper {

// Follows the connection attempts and connections of one sandbox, and emits and counts their
// outcomes. A connection that carries DNS is counted here, but its record is that of its lookups.
class FlowMonitor {
 public:
  // `dns`, `ledger` and `context` outlive this object. Over `flows_max` open flows a new one is
  // counted with an unknown outcome. `on_denial`: gets each denied flow.
  FlowMonitor(size_t flows_max, FlowTable::UdpReader read_udp, SessionContext* context,
              const DnsMonitor* dns, Ledger* ledger, DenialSink on_denial);

  void OnConnect(const Connect& connect, uint64_t time_ns);
  void OnResult(const ConnectResult& result, uint64_t time_ns);
  void OnDenied(const Denied& denied, uint64_t time_ns);
  // Call it before DnsMonitor::OnClose, which forgets whether the socket carried DNS.
  void OnClose(const Close& close, uint64_t time_ns);
  // Ends flows after their close events were lost. `living`: cookies of all sockets that exist. A
  // flow ends if two calls in a row do not have its socket, since after one call its event may
  // still be on its way.
  void EndClosedSockets(const absl::flat_hash_set<uint64_t>& living, uint64_t now_ns);

  // Decides the attempts that have waited long enough for a more exact outcome.
  void ExpireDue(uint64_t now_ns);
  // Ends all open flows.
  void Shutdown(uint64_t now_ns);
  uint64_t NextDeadline() const { return table_.NextDeadline(); }
  // Reports the denied datagrams and the bytes of all open flows for the window that ends.
  void CloseWindow(uint64_t now_ns);

  FlowTable& table() { return table_; }
  const FlowTable& table() const { return table_; }

 private:
  void Apply(const FlowChanges& changes);
  void OnFlowDecided(const Flow& flow);
  void OnFlowEnded(const Flow& flow);
  // Emits egress.outbound if no lookup explains the address.
  void EmitOutbound(const Flow& flow);
  void EmitFailed(const Flow& flow);

  SessionContext* const context_;
  const DnsMonitor* const dns_;
  Ledger* const ledger_;
  const DenialSink on_denial_;
  FlowTable table_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_FLOW_MONITOR_H_
