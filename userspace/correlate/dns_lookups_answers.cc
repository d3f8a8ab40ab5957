// SPDX-License-Identifier: Apache-2.0
// The answers to lookups. dns_lookups.cc has their questions.
#include <algorithm>
#include <utility>

#include "userspace/correlate/dns_lookups.h"
#include "userspace/correlate/multicast_dns.h"
#include "userspace/event/dns_answer.h"

namespace sandpiper {
namespace {

bool IsNegative(uint16_t rcode) { return rcode == kDnsNxDomain || rcode == kDnsRefused; }

}  // namespace

DnsLookups::Exchange* DnsLookups::FindAnswered(const DnsMessage& message, const Step& step) {
  const OpenLookups::ExchangeKey key = {step.payload.cookie, message.id};
  Exchange* found = nullptr;
  if (!message.questions.empty()) {
    found = open_.FindExchange(key, AskedQuestion::Of(message.opcode, message.questions.front()));
  } else {
    // Servers leave out the question of a message that they could not read, and of some opcodes.
    found = open_.FindOnlyExchange(key);
    const bool may_lack_question =
        found && found->open->lookup.opcode == message.opcode &&
        (message.rcode != kDnsNoError || found->open->lookup.purpose == DnsPurpose::kRequest);
    if (!may_lack_question)
      found = nullptr;
  }
  return found && found->server == step.payload.server ? found : nullptr;
}

void DnsLookups::OnAnswer(const DnsMessage& message, Step* step) {
  Exchange* const exchange = FindAnswered(message, *step);
  if (!exchange) {
    if (!IsMulticastPort(step->payload) || !OnMulticastAnswer(message, step))
      ++ignored_answers_;
    return;
  }
  if (IsNegative(message.rcode) && !step->payload.local_server)
    negative_answers_.Add(exchange->open->lookup.name, step->time_ns);
  if (exchange->is_upstream)
    OnUpstreamAnswer(message, exchange, step);
  else
    OnOwnAnswer(message, exchange->open, step);
}

bool DnsLookups::OnMulticastAnswer(const DnsMessage& message, Step* step) {
  const auto is_asked = [&](const OpenLookup& open) {
    return IsMulticast(open.lookup.server.address) &&
           std::any_of(open.exchanges.begin(), open.exchanges.end(),
                       [&](const auto& key) { return key.first == step->payload.cookie; });
  };
  bool is_answer = false;
  for (DnsQuestion answered : message.answered) {
    for (const uint16_t type : {answered.type, kDnsTypeAny}) {
      answered.type = type;
      const Iterator open =
          open_.FindByQuestion(AskedQuestion::Of(message.opcode, answered), is_asked);
      if (open == open_.end())
        continue;
      is_answer = true;
      OnOwnAnswer(message, open, step);
    }
  }
  return is_answer;
}

void DnsLookups::OnUpstreamAnswer(const DnsMessage& message, Exchange* exchange, Step* step) {
  Lookup& lookup = exchange->open->lookup;
  if (!lookup.upstream)
    lookup.upstream.emplace();
  lookup.upstream->server = step->payload.server;
  lookup.upstream->rcode = message.rcode;
  lookup.upstream->duration_ns = step->time_ns - exchange->sent_ns;
  const DnsQuestion question = {lookup.name, lookup.type, lookup.dns_class};
  for (const NamedAddress& named : NamedAddresses(message, question))
    step->changes.forwarded.push_back({.name = named.name,
                                       .address = named.address,
                                       .ttl_seconds = named.ttl_seconds,
                                       .server = step->payload.server,
                                       .process = step->payload.process,
                                       .local_server = step->payload.local_server});
}

bool DnsLookups::IsPolicyDenial(const DnsMessage& message, const Lookup& lookup,
                                const Step& step) const {
  return IsNegative(message.rcode) && step.payload.local_server &&
         lookup.purpose == DnsPurpose::kLookup && !lookup.upstream &&
         !negative_answers_.Contains(lookup.name, step.time_ns);
}

void DnsLookups::OnOwnAnswer(const DnsMessage& message, Iterator open, Step* step) {
  const DnsPayload& payload = step->payload;
  Lookup& lookup = open->lookup;
  lookup.ended_ns = step->time_ns;
  lookup.rcode = message.rcode;
  lookup.outcome = OutcomeOfRcode(message.rcode);
  lookup.local_server = payload.local_server;
  lookup.trailing_bytes += step->trailing_bytes;
  if (IsPolicyDenial(message, lookup, *step)) {
    lookup.outcome = DnsOutcome::kDenied;
    lookup.denied_by = DenialLayer::kDns;
  }
  const DnsQuestion question = {lookup.name, lookup.type, lookup.dns_class};
  if (lookup.purpose == DnsPurpose::kLookup) {
    for (const NamedAddress& named : NamedAddresses(message, question))
      step->changes.learned.push_back({.name = named.name,
                                       .address = named.address,
                                       .ttl_seconds = named.ttl_seconds,
                                       .server = payload.server,
                                       .process = payload.process,
                                       .local_server = payload.local_server});
    lookup.addresses = message.addresses;
    lookup.hints.clear();
    for (const DnsService& service : message.services)
      lookup.hints.insert(lookup.hints.end(), service.hints.begin(), service.hints.end());
  }
  const bool retries_by_tcp = message.truncated && payload.transport == Transport::kUdp;
  const bool retries_elsewhere = message.rcode != kDnsNoError && message.rcode != kDnsNxDomain;
  if (!retries_by_tcp && !retries_elsewhere) {
    step->changes.finished.push_back(open_.Remove(open));
    return;
  }
  open->is_tentative = true;
  open_.SetDeadline(open, step->time_ns + kContinuationNs);
}

}  // namespace sandpiper
