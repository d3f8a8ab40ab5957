// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SESSION_DNS_MONITOR_H_
#define SANDPIPER_USERSPACE_SESSION_DNS_MONITOR_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "userspace/aggregate/ledger.h"
#include "userspace/correlate/dns_lookups.h"
#include "userspace/correlate/flow_table.h"
#include "userspace/session/rule_monitor.h"
#include "userspace/session/session_context.h"

namespace sandpiper {

// Turns the DNS packets of one sandbox into lookups, and emits and counts each lookup when it ends.
// Fills the name cache of the context.
class DnsMonitor {
 public:
  // True if the sandbox was given this DNS server, as its process sees it.
  using GivenServer = std::function<bool(const Address&, const ProcessKey&, uint64_t time_ns)>;
  struct Options {
    uint64_t timeout_ns = 0;
    std::vector<uint16_t> ports;       // that DNS servers listen on
    GivenServer is_given_server = {};  // none: it is not known, and all count as given
  };

  // `rules`, `ledger` and `context` outlive this object. `on_denial`: gets the queries that a DNS
  // proxy of the sandbox or netfilter denied.
  DnsMonitor(Options options, SessionContext* context, RuleMonitor* rules, Ledger* ledger,
             DenialSink on_denial);

  void OnPayload(const DnsPayload& payload, uint64_t time_ns);
  void OnClose(uint64_t cookie);
  // Ends the lookups that timed out.
  void ExpireDue(uint64_t now_ns);
  // Ends all open lookups.
  void Shutdown(uint64_t now_ns);
  uint64_t NextDeadline() const { return lookups_.NextDeadline(); }

  // True for a TCP connection to a DNS port. Whether it carries DNS shows only later.
  bool MayCarryDns(const Flow& flow) const;
  // True for a TCP socket that has carried DNS. Valid until OnClose of that socket.
  bool HasCarriedDns(uint64_t cookie) const { return tcp_sockets_.contains(cookie); }

  const DnsLookups& lookups() const { return lookups_; }

 private:
  void Apply(const DnsChanges& changes, uint64_t time_ns);
  void Learn(const Learned& learned, uint64_t time_ns);
  NameSource SourceOf(const Learned& learned, uint64_t time_ns) const;
  void OnLookupFinished(const Lookup& lookup);

  const std::vector<uint16_t> ports_;
  const GivenServer is_given_server_;
  SessionContext* const context_;
  RuleMonitor* const rules_;
  Ledger* const ledger_;
  const DenialSink on_denial_;
  DnsLookups lookups_;
  absl::flat_hash_set<uint64_t> tcp_sockets_;  // cookies of open sockets that carried DNS
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_DNS_MONITOR_H_
