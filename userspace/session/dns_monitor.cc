// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/dns_monitor.h"

#include <algorithm>
#include <utility>

namespace sandpiper {

DnsMonitor::DnsMonitor(Options options, SessionContext* context, RuleMonitor* rules, Ledger* ledger,
                       DenialSink on_denial)
    : ports_(std::move(options.ports)),
      is_given_server_(std::move(options.is_given_server)),
      context_(context),
      rules_(rules),
      ledger_(ledger),
      on_denial_(std::move(on_denial)),
      lookups_({.timeout_ns = options.timeout_ns}) {}

void DnsMonitor::OnPayload(const DnsPayload& payload, uint64_t time_ns) {
  if (payload.transport == Transport::kTcp)
    tcp_sockets_.insert(payload.cookie);
  // By the time of the event: a late answer stays late even if a busy collector reads it together
  // with its query.
  Apply(lookups_.ExpireDue(time_ns), time_ns);
  Apply(lookups_.OnPayload(payload, time_ns), time_ns);
}

void DnsMonitor::OnClose(uint64_t cookie) {
  lookups_.OnClose(cookie);
  tcp_sockets_.erase(cookie);
}

void DnsMonitor::ExpireDue(uint64_t now_ns) { Apply(lookups_.ExpireDue(now_ns), now_ns); }

void DnsMonitor::Shutdown(uint64_t now_ns) { Apply(lookups_.Shutdown(now_ns), now_ns); }

bool DnsMonitor::MayCarryDns(const Flow& flow) const {
  return flow.transport == Transport::kTcp &&
         std::find(ports_.begin(), ports_.end(), flow.peer.port) != ports_.end();
}

void DnsMonitor::Apply(const DnsChanges& changes, uint64_t time_ns) {
  // The answer that a server within the sandbox forwards has the better source.
  for (const Learned& forwarded : changes.forwarded)
    Learn(forwarded, time_ns);
  for (const Learned& learned : changes.learned)
    Learn(learned, time_ns);
  for (const Lookup& lookup : changes.finished)
    OnLookupFinished(lookup);
}

void DnsMonitor::Learn(const Learned& learned, uint64_t time_ns) {
  rules_->OnAnswer(learned.address, time_ns);
  context_->names.Learn(learned.address, learned.name, learned.ttl_seconds, time_ns,
                        SourceOf(learned, time_ns));
}

NameSource DnsMonitor::SourceOf(const Learned& learned, uint64_t time_ns) const {
  // Behind a device there are no processes, and their configuration cannot be read.
  const bool is_known = is_given_server_ && learned.process.pid != 0;
  if (!is_known || is_given_server_(learned.server.address, learned.process, time_ns))
    return NameSource::kDns;
  return learned.local_server ? NameSource::kSandbox : NameSource::kUntrusted;
}

void DnsMonitor::OnLookupFinished(const Lookup& lookup) {
  if (lookup.purpose == DnsPurpose::kLookup) {
    context_->metrics.OnLookup(lookup);
    ledger_->OnLookup(lookup);
  }
  if (lookup.denied_sends > 0)
    on_denial_(DenialOf(lookup, DenialLayer::kNetfilter), lookup.denied_sends);
  if (lookup.outcome != DnsOutcome::kDenied) {
    context_->emitter.EmitInfo([&](RecordMaker& records, int64_t unix_offset) {
      return records.Lookup(lookup, context_->processes.Find(lookup.process), unix_offset);
    });
  } else if (lookup.denied_by == DenialLayer::kDns) {
    context_->metrics.OnDenied(DenialLayer::kDns, lookup.transport);
    on_denial_(DenialOf(lookup, DenialLayer::kDns), 1);
  }
}

}  // namespace sandpiper
