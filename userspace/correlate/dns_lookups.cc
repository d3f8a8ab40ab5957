// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/dns_lookups.h"

#include <string>
#include <utility>

#include "userspace/correlate/multicast_dns.h"

namespace sandpiper {
namespace {

// A resolver with the same timeout as this class retries at the moment of the timeout. So this
// class waits a tenth longer.
constexpr uint64_t kRetryGraceDivisor = 10;

uint64_t WithGrace(uint64_t timeout_ns) { return timeout_ns + timeout_ns / kRetryGraceDivisor; }

Lookup NewLookup(const DnsPayload& payload, uint64_t time_ns) {
  Lookup lookup;
  lookup.origin = payload.origin;
  lookup.process = payload.process;
  lookup.server = payload.server;
  lookup.transport = payload.transport;
  lookup.asked_ns = time_ns;
  lookup.ended_ns = time_ns;
  lookup.queries = 1;
  lookup.redirected = payload.redirected;
  lookup.denied_by = payload.denied ? DenialLayer::kNetfilter : DenialLayer::kNone;
  lookup.denied_sends = payload.denied;
  return lookup;
}

// A query without a question carries a cookie (RFC 7873 5.4), or it is malformed.
bool AsksNothing(const DnsMessage& message) {
  return !message.is_response && message.opcode == kDnsOpcodeQuery && message.question_count == 0 &&
         !message.has_edns;
}

// Bytes of the datagram, or of the message on TCP, behind the DNS message.
uint64_t TrailingBytes(const DnsMessage& message, std::string_view wire,
                       const DnsPayload& payload) {
  if (payload.is_cut)
    return message.is_complete ? payload.payload_bytes - message.bytes : 0;
  return wire.size() - message.bytes;
}

}  // namespace

DnsLookups::DnsLookups(const Limits& limits)
    : limits_(limits),
      open_({.lookups_max = limits.outstanding_max,
             .exchanges_max = limits.exchanges_max,
             .lifetime_ns = kTimeoutsMax * WithGrace(limits.timeout_ns)},
            [this](Iterator open) { Evict(open); }),
      connections_(limits.streams_max),
      negative_answers_(limits.negative_cache_max) {}

DnsChanges DnsLookups::OnPayload(const DnsPayload& payload, uint64_t time_ns) {
  Step step = {.payload = payload, .time_ns = time_ns};
  changes_ = &step.changes;
  if (payload.transport == Transport::kUdp) {
    OnMessage(payload.data, &step);
  } else {
    for (const std::string& message : connections_.OnSegment(payload))
      OnMessage(message, &step);
  }
  changes_ = nullptr;
  return std::move(step.changes);
}

void DnsLookups::OnMessage(std::string_view wire, Step* step) {
  const DnsPayload& payload = step->payload;
  const absl::StatusOr<DnsMessage> message =
      ParseDns(wire, payload.is_cut ? DnsCapture::kCut : DnsCapture::kComplete,
               IsMulticastPort(payload) ? DnsProtocol::kMulticast : DnsProtocol::kUnicast);
  if (!message.ok()) {
    OnMalformed(wire, step);
    return;
  }
  step->trailing_bytes = TrailingBytes(*message, wire, payload);
  if (AsksNothing(*message)) {
    if (!IsMulticastPort(payload))  // there it continues the known answers of the query before it
      OnMalformed(wire, step);
    return;
  }
  if (payload.is_query && message->is_response)
    OnOwnResponse(*message, wire, step);
  else if (payload.is_query)
    OnQuery(*message, step);
  else if (message->is_response)
    OnAnswer(*message, step);
  else if (IsMulticastPort(payload) || message->opcode != kDnsOpcodeQuery)
    ++ignored_answers_;  // a question to the sandbox, by mDNS or on a stateful connection
  else
    OnMalformed(wire, step);
}

void DnsLookups::OnMalformed(std::string_view wire, Step* step) {
  ++malformed_messages_;
  const DnsPayload& payload = step->payload;
  if (payload.is_query) {
    const DnsQuestion question = FirstQuestion(wire);
    Lookup lookup = NewLookup(payload, step->time_ns);
    lookup.name = question.name;
    lookup.type = question.type;
    lookup.dns_class = question.dns_class;
    lookup.outcome = payload.denied ? DnsOutcome::kDenied : DnsOutcome::kMalformed;
    step->changes.finished.push_back(std::move(lookup));
    return;
  }
  if (wire.size() < 2)
    return;
  const uint16_t id =
      static_cast<uint16_t>(static_cast<uint8_t>(wire[0]) << 8 | static_cast<uint8_t>(wire[1]));
  // A resolver drops it and keeps waiting. It decides the outcome only if no better answer comes.
  open_.ForEachExchange({payload.cookie, id}, [&](Exchange* exchange) {
    if (exchange->server == payload.server)
      exchange->open->has_malformed_answer = true;
  });
}

void DnsLookups::OnQuery(const DnsMessage& message, Step* step) {
  if (message.questions.empty())
    OnQuestion(message, {.name = "", .type = 0, .dns_class = 0}, step);
  for (const DnsQuestion& question : message.questions)
    OnQuestion(message, question, step);
}

void DnsLookups::OnQuestion(const DnsMessage& message, const DnsQuestion& question, Step* step) {
  const DnsPayload& payload = step->payload;
  const AskedQuestion asked = AskedQuestion::Of(message.opcode, question);
  const OpenLookups::ExchangeKey key = {payload.cookie, message.id};
  Exchange* const known = open_.FindExchange(key, asked);
  Exchange exchange = {.open = open_.end(),
                       .question = asked.hash,
                       .server = payload.server,
                       .sent_ns = step->time_ns,
                       .is_upstream = false};
  if (known) {
    exchange.open = known->open;
    exchange.is_upstream = known->is_upstream;
  } else {
    exchange.open = open_.FindSame(asked, payload.process, payload.thread, message.id);
    if (exchange.open == open_.end()) {
      exchange.open = FindForwarded(asked, payload);
      exchange.is_upstream = exchange.open != open_.end();
    }
    if (exchange.open == open_.end()) {
      exchange.open = open_.Add(asked, payload.process, payload.thread, step->time_ns);
      Lookup& lookup = exchange.open->lookup;
      lookup.origin = payload.origin;
      lookup.question_count = message.question_count;
      const bool is_lookup = message.opcode == kDnsOpcodeQuery && !message.questions.empty();
      lookup.purpose = is_lookup ? DnsPurpose::kLookup : DnsPurpose::kRequest;
      if (message.opcode == kDnsOpcodeUpdate)
        lookup.addresses = message.addresses;
    }
  }
  if (exchange.is_upstream)
    NoteUpstreamQuery(exchange.open, *step);
  else
    NoteOwnQuery(exchange.open, message.id, *step);
  if (known)
    *known = exchange;
  else
    open_.AddExchange(key, exchange);
}

void DnsLookups::NoteOwnQuery(Iterator open, uint16_t id, const Step& step) {
  const DnsPayload& payload = step.payload;
  Lookup& lookup = open->lookup;
  lookup.server = payload.server;
  lookup.transport = payload.transport;
  lookup.redirected |= payload.redirected;
  lookup.queries++;
  lookup.trailing_bytes += step.trailing_bytes;
  open->is_tentative = false;
  open_.SetDeadline(open, step.time_ns + WithGrace(limits_.timeout_ns));
  open_.AddId(open, id);
  // A server within the sandbox may forward it, or a host of the group may answer it.
  if (lookup.redirected || lookup.server.address.is_loopback() ||
      IsMulticast(lookup.server.address))
    open_.IndexByQuestion(open);
  if (payload.denied) {
    ++lookup.denied_sends;
    lookup.denied_by = DenialLayer::kNetfilter;
    lookup.outcome = DnsOutcome::kDenied;
    lookup.ended_ns = step.time_ns;
    open->is_tentative = true;
    open_.SetDeadline(open, step.time_ns + kContinuationNs);
  }
}

void DnsLookups::NoteUpstreamQuery(Iterator open, const Step& step) {
  std::optional<UpstreamLeg>& leg = open->lookup.upstream;
  if (!leg)
    leg.emplace();
  leg->server = step.payload.server;
  leg->rcode.reset();
}

DnsLookups::Iterator DnsLookups::FindForwarded(const AskedQuestion& asked,
                                               const DnsPayload& payload) {
  if (payload.redirected)
    return open_.end();
  return open_.FindByQuestion(asked, [&](const OpenLookup& open) {
    const bool is_local = open.lookup.redirected || open.lookup.server.address.is_loopback();
    return is_local && !open.is_tentative && open.lookup.process != payload.process;
  });
}

void DnsLookups::OnOwnResponse(const DnsMessage& message, std::string_view wire, Step* step) {
  const bool is_multicast = IsMulticastPort(step->payload);
  if (!is_multicast && message.opcode == kDnsOpcodeQuery) {
    OnMalformed(wire, step);  // a DNS server expects no response
    return;
  }
  Lookup lookup = NewLookup(step->payload, step->time_ns);
  lookup.purpose = is_multicast ? DnsPurpose::kAnnouncement : DnsPurpose::kRequest;
  lookup.opcode = message.opcode;
  lookup.question_count = message.question_count;
  lookup.trailing_bytes = step->trailing_bytes;
  if (!message.answered.empty())
    lookup.name = message.answered.front().name;
  else if (!message.questions.empty())
    lookup.name = message.questions.front().name;
  lookup.addresses = message.addresses;
  lookup.outcome = step->payload.denied ? DnsOutcome::kDenied : OutcomeOfRcode(message.rcode);
  step->changes.finished.push_back(std::move(lookup));
}

void DnsLookups::Evict(Iterator open) {
  ++evicted_;
  open->lookup.outcome = DnsOutcome::kUnknown;
  changes_->finished.push_back(open_.Remove(open));
}

Lookup DnsLookups::Expire(Iterator open, uint64_t now_ns) {
  // A tentative lookup has an answer already.
  if (!open->is_tentative) {
    open->lookup.outcome =
        open->has_malformed_answer ? DnsOutcome::kMalformed : DnsOutcome::kTimeout;
    open->lookup.rcode.reset();
    open->lookup.ended_ns = now_ns;
  }
  return open_.Remove(open);
}

DnsChanges DnsLookups::ExpireDue(uint64_t now_ns) {
  DnsChanges changes;
  while (open_.NextDeadline() <= now_ns)
    changes.finished.push_back(Expire(open_.FirstDue(), now_ns));
  return changes;
}

DnsChanges DnsLookups::Shutdown(uint64_t now_ns) {
  DnsChanges changes;
  while (open_.size() > 0)
    changes.finished.push_back(Expire(open_.FirstDue(), now_ns));
  return changes;
}

}  // namespace sandpiper
