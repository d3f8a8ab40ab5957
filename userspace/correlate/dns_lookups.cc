// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/dns_lookups.h"

#include <algorithm>
#include <span>

#include "absl/hash/hash.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

// A resolver continues at once after a truncated answer (by TCP) or an error (at the next server).
constexpr uint64_t kContinuation = 500 * kMillisecond;
// A resolver with the same timeout as this class retries at the moment of the timeout. So this
// class waits a tenth longer.
constexpr uint64_t kRetryGraceDivisor = 10;
// The longest time for which resolvers cache a negative answer (RFC 2308 5).
constexpr uint64_t kNegativeTtl = 3 * 3600 * kSecond;
// Open questions with one id on one socket. Resolvers have far fewer. Finding a question takes time
// in proportion to their number, so a flood must not raise it.
constexpr size_t kQuestionsMax = 64;

bool Contains(std::span<const uint16_t> ids, uint16_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

bool IsNegative(uint8_t rcode) { return rcode == kDnsNxDomain || rcode == kDnsRefused; }

Lookup MalformedLookup(const DnsPayload& payload, uint64_t time_ns) {
  return {.origin = payload.origin,
          .name = "",
          .type = 0,
          .process = payload.process,
          .server = payload.server,
          .transport = payload.transport,
          .asked_ns = time_ns,
          .ended_ns = time_ns,
          .queries = 1,
          .outcome = payload.denied ? DnsOutcome::kDenied : DnsOutcome::kMalformed,
          .rcode = std::nullopt,
          .addresses = {},
          .redirected = payload.redirected,
          .upstream_ns = std::nullopt,
          .denied_by = payload.denied ? DenialLayer::kNetfilter : DenialLayer::kNone,
          .denied_sends = payload.denied};
}

}  // namespace

DnsChanges DnsLookups::OnPayload(const DnsPayload& payload, uint64_t time_ns) {
  DnsChanges changes;
  if (payload.transport == Transport::kUdp) {
    OnMessage(payload, payload.data, time_ns, &changes);
    return changes;
  }
  auto found = streams_.find(payload.cookie);
  if (found == streams_.end()) {
    if (streams_.size() >= limits_.streams_max) {
      ++evicted_;
      return changes;
    }
    // The first segment carries the start of both directions: its own sequence number, and the
    // peer's as the acknowledgement.
    const uint32_t own = payload.tcp_seq;
    const uint32_t peer = payload.tcp_ack;
    const Streams streams = {.queries = DnsStream(payload.is_query ? own : peer),
                             .answers = DnsStream(payload.is_query ? peer : own)};
    found = streams_.emplace(payload.cookie, streams).first;
  }
  DnsStream& stream = payload.is_query ? found->second.queries : found->second.answers;
  const std::vector<std::string> messages = stream.Add(payload.tcp_seq, payload.data);
  for (const std::string& message : messages)
    OnMessage(payload, message, time_ns, &changes);
  return changes;
}

void DnsLookups::OnClose(uint64_t cookie) { streams_.erase(cookie); }

void DnsLookups::OnMessage(const DnsPayload& payload, std::string_view wire, uint64_t time_ns,
                           DnsChanges* changes) {
  absl::StatusOr<DnsMessage> message =
      ParseDns(wire, payload.is_cut ? DnsCapture::kCut : DnsCapture::kComplete);
  if (!message.ok() || message->is_response == payload.is_query) {
    OnMalformed(payload, wire, time_ns, changes);
    return;
  }
  const size_t question = absl::HashOf(message->name, message->type);
  if (payload.is_query)
    OnQuery(payload, *message, question, time_ns, changes);
  else
    OnAnswer(payload, *std::move(message), question, time_ns, changes);
}

void DnsLookups::OnMalformed(const DnsPayload& payload, std::string_view wire, uint64_t time_ns,
                             DnsChanges* changes) {
  ++malformed_messages_;
  if (payload.is_query) {
    changes->finished.push_back(MalformedLookup(payload, time_ns));
    return;
  }
  if (wire.size() < 2)
    return;
  const uint16_t id =
      static_cast<uint16_t>(static_cast<uint8_t>(wire[0]) << 8 | static_cast<uint8_t>(wire[1]));
  // A resolver drops it and keeps waiting. It decides the outcome only if no better answer comes.
  const auto found = exchanges_.find({payload.cookie, id});
  if (found == exchanges_.end())
    return;
  for (const Exchange& exchange : found->second) {
    if (exchange.server == payload.server)
      exchange.open->has_malformed_answer = true;
  }
}

DnsLookups::Exchange* DnsLookups::FindExchange(const DnsPayload& payload, const DnsMessage& message,
                                               size_t question) {
  const auto found = exchanges_.find({payload.cookie, message.id});
  if (found == exchanges_.end())
    return nullptr;
  const auto exchange =
      std::find_if(found->second.begin(), found->second.end(), [&](const Exchange& exchange) {
        return exchange.question == question && exchange.open->Asks(message);
      });
  return exchange == found->second.end() ? nullptr : &*exchange;
}

// Finds a retry: the same process asks the same question with the same id, or, since a resolver may
// choose a new id, from the same thread. Thread 0 means that the thread is unknown.
DnsLookups::OpenList::iterator DnsLookups::FindSame(const DnsPayload& payload,
                                                    const DnsMessage& message, size_t question) {
  const auto found = by_question_.find(question);
  if (found == by_question_.end())
    return open_.end();
  for (const OpenList::iterator open : found->second) {
    const bool is_same_thread = open->thread != 0 && open->thread == payload.thread;
    const bool is_retry = Contains(open->ids, message.id) || is_same_thread;
    if (is_retry && open->lookup.process == payload.process && open->Asks(message))
      return open;
  }
  return open_.end();
}

// Finds the lookup that a server within the sandbox forwards. The program reached that server by a
// redirect or at a loopback address. The server may keep the id or choose its own.
DnsLookups::OpenList::iterator DnsLookups::FindRedirected(const DnsPayload& payload,
                                                          const DnsMessage& message,
                                                          size_t question) {
  const auto found = by_question_.find(question);
  if (payload.redirected || found == by_question_.end())
    return open_.end();
  for (const OpenList::iterator open : found->second) {
    const bool is_local = open->lookup.redirected || open->lookup.server.address.is_loopback();
    if (is_local && !open->is_tentative && open->lookup.process != payload.process &&
        open->Asks(message))
      return open;
  }
  return open_.end();
}

DnsLookups::OpenList::iterator DnsLookups::AddOpen(const DnsPayload& payload,
                                                   const DnsMessage& message, size_t question,
                                                   uint64_t time_ns, DnsChanges* changes) {
  if (open_.size() >= limits_.outstanding_max)
    Evict(open_.begin(), changes);
  const auto open = open_.emplace(open_.end());
  Lookup& lookup = open->lookup;
  lookup.name = message.name;
  lookup.type = message.type;
  lookup.origin = payload.origin;
  lookup.process = payload.process;
  lookup.asked_ns = time_ns;
  open->thread = payload.thread;
  open->question = question;
  by_question_[question].push_back(open);
  return open;
}

void DnsLookups::OnOwnQuery(const DnsPayload& payload, uint16_t id, uint64_t time_ns,
                            OpenLookup* open) {
  Lookup& lookup = open->lookup;
  lookup.server = payload.server;
  lookup.transport = payload.transport;
  lookup.redirected |= payload.redirected;
  lookup.queries++;
  open->is_tentative = false;
  SetDeadline(open, time_ns + limits_.timeout_ns + limits_.timeout_ns / kRetryGraceDivisor);
  if (!Contains(open->ids, id))
    open->ids.push_back(id);
  if (payload.denied) {
    ++lookup.denied_sends;
    lookup.denied_by = DenialLayer::kNetfilter;
    lookup.outcome = DnsOutcome::kDenied;
    lookup.ended_ns = time_ns;
    open->is_tentative = true;
    SetDeadline(open, time_ns + kContinuation);
  }
}

void DnsLookups::OnQuery(const DnsPayload& payload, const DnsMessage& message, size_t question,
                         uint64_t time_ns, DnsChanges* changes) {
  Exchange* const known = FindExchange(payload, message, question);
  Exchange exchange = {.open = open_.end(),
                       .question = question,
                       .server = payload.server,
                       .sent_ns = time_ns,
                       .is_upstream = false};
  if (known) {
    exchange.open = known->open;
    exchange.is_upstream = known->is_upstream;
  } else {
    exchange.open = FindSame(payload, message, question);
    if (exchange.open == open_.end()) {
      exchange.open = FindRedirected(payload, message, question);
      exchange.is_upstream = exchange.open != open_.end();
    }
    if (exchange.open == open_.end())
      exchange.open = AddOpen(payload, message, question, time_ns, changes);
  }
  OpenLookup& open = *exchange.open;
  if (exchange.is_upstream)
    open.is_forwarded = true;
  else
    OnOwnQuery(payload, message.id, time_ns, &open);
  if (known) {
    *known = exchange;
    return;
  }
  const ExchangeKey key = {payload.cookie, message.id};
  const auto with_same_id = exchanges_.find(key);
  if (with_same_id != exchanges_.end() && with_same_id->second.size() >= kQuestionsMax)
    Evict(with_same_id->second.front().open, changes);
  exchanges_[key].push_back(exchange);
  open.exchanges.push_back(key);
}

void DnsLookups::OnAnswer(const DnsPayload& payload, DnsMessage message, size_t question,
                          uint64_t time_ns, DnsChanges* changes) {
  const Exchange* const found = FindExchange(payload, message, question);
  if (!found || found->server != payload.server) {
    ++ignored_answers_;
    return;
  }
  const Exchange& exchange = *found;
  OpenLookup& open = *exchange.open;
  const bool is_negative = IsNegative(message.rcode);
  if (is_negative && !payload.local_server)
    AddNegative(message.name, time_ns);
  if (exchange.is_upstream) {
    open.lookup.upstream_ns = time_ns - exchange.sent_ns;
    for (const DnsAddress& address : message.addresses)
      changes->forwarded.push_back(address.address);
    return;
  }
  open.lookup.ended_ns = time_ns;
  open.lookup.rcode = message.rcode;
  open.lookup.outcome = OutcomeOfRcode(message.rcode);
  if (is_negative && payload.local_server && !open.is_forwarded &&
      !IsCachedNegative(message.name, time_ns)) {
    open.lookup.outcome = DnsOutcome::kDenied;
    open.lookup.denied_by = DenialLayer::kDns;
  }
  for (const DnsAddress& address : message.addresses)
    changes->learned.push_back(
        {.name = open.lookup.name, .address = address.address, .ttl_seconds = address.ttl_seconds});
  open.lookup.addresses = std::move(message.addresses);
  const bool retries_by_tcp = message.truncated && payload.transport == Transport::kUdp;
  const bool retries_elsewhere = message.rcode != kDnsNoError && message.rcode != kDnsNxDomain;
  if (!retries_by_tcp && !retries_elsewhere) {
    Finish(exchange.open, changes);
    return;
  }
  open.is_tentative = true;
  SetDeadline(&open, time_ns + kContinuation);
}

void DnsLookups::AddNegative(const SharedText& name, uint64_t time_ns) {
  if (negative_cache_.size() >= limits_.negative_cache_max)
    negative_cache_.clear();
  negative_cache_[name] = time_ns;
}

bool DnsLookups::IsCachedNegative(const SharedText& name, uint64_t time_ns) const {
  const auto it = negative_cache_.find(name);
  return it != negative_cache_.end() && time_ns - it->second < kNegativeTtl;
}

void DnsLookups::Evict(OpenList::iterator open, DnsChanges* changes) {
  ++evicted_;
  open->lookup.outcome = DnsOutcome::kOther;
  Finish(open, changes);
}

void DnsLookups::Expire(OpenList::iterator open, uint64_t now_ns, DnsChanges* changes) {
  // A tentative lookup has an answer already.
  if (!open->is_tentative) {
    open->lookup.outcome =
        open->has_malformed_answer ? DnsOutcome::kMalformed : DnsOutcome::kTimeout;
    open->lookup.rcode.reset();
    open->lookup.ended_ns = now_ns;
  }
  Finish(open, changes);
}

void DnsLookups::Finish(OpenList::iterator open, DnsChanges* changes) {
  const auto asked = by_question_.find(open->question);
  asked->second.erase(std::find(asked->second.begin(), asked->second.end(), open));
  if (asked->second.empty())
    by_question_.erase(asked);
  for (const ExchangeKey& key : open->exchanges) {
    const auto found = exchanges_.find(key);
    found->second.erase(std::find_if(found->second.begin(), found->second.end(),
                                     [&](const Exchange& e) { return e.open == open; }));
    if (found->second.empty())
      exchanges_.erase(found);
  }
  changes->finished.push_back(std::move(open->lookup));
  open_.erase(open);
}

void DnsLookups::SetDeadline(OpenLookup* open, uint64_t deadline_ns) {
  open->deadline_ns = deadline_ns;
  earliest_ns_ = std::min(earliest_ns_, deadline_ns);
}

DnsChanges DnsLookups::ExpireDue(uint64_t now_ns) {
  DnsChanges changes;
  if (now_ns < earliest_ns_)
    return changes;
  earliest_ns_ = std::numeric_limits<uint64_t>::max();
  for (auto it = open_.begin(); it != open_.end();) {
    const auto open = it++;
    if (open->deadline_ns <= now_ns)
      Expire(open, now_ns, &changes);
    else
      earliest_ns_ = std::min(earliest_ns_, open->deadline_ns);
  }
  return changes;
}

DnsChanges DnsLookups::Shutdown(uint64_t now_ns) {
  DnsChanges changes;
  earliest_ns_ = std::numeric_limits<uint64_t>::max();
  while (!open_.empty())
    Expire(open_.begin(), now_ns, &changes);
  return changes;
}

}  // namespace sandpiper
