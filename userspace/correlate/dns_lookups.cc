// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/dns_lookups.h"

#include <algorithm>
#include <span>

#include "absl/hash/hash.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

// After an answer that makes resolvers go on (truncated: by TCP; an error: at the next server) they
// do so at once.
constexpr uint64_t kContinuation = 500 * kMillisecond;
// A resolver that waits as long as we do sends its retry at the moment we give up: wait a tenth
// more.
constexpr uint64_t kRetryGraceDivisor = 10;

// How long resolvers keep a negative answer at most (RFC 2308 5).
constexpr uint64_t kNegativeTtl = 3 * 3600 * kSecond;

DnsOutcome OutcomeOf(uint8_t rcode) {
  switch (rcode) {
    case kDnsNoError:
      return DnsOutcome::kOk;
    case kDnsNxDomain:
      return DnsOutcome::kNxDomain;
    case kDnsServFail:
      return DnsOutcome::kServFail;
    case kDnsRefused:
      return DnsOutcome::kRefused;
    default:
      return DnsOutcome::kOther;
  }
}

// Open at a time on one socket under one id, far more than resolvers have: each is looked at to
// find one, however many a flood makes.
constexpr size_t kQuestionsMax = 64;

bool Contains(std::span<const uint16_t> ids, uint16_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

const char* Name(DnsOutcome outcome) {
  static constexpr const char* kNames[kDnsOutcomeCount] = {"ok",        "nxdomain", "denied",
                                                           "servfail",  "refused",  "timeout",
                                                           "malformed", "other",    "unknown"};
  return kNames[static_cast<int>(outcome)];
}

void DnsLookups::OnPayload(const DnsPayload& payload, uint64_t time_ns, DnsChanges* changes) {
  if (payload.transport == Transport::kUdp) {
    OnMessage(payload, payload.data, time_ns, changes);
    return;
  }
  // The client speaks first, and its first piece says where both directions start.
  auto found = streams_.find(payload.cookie);
  if (found == streams_.end()) {
    if (streams_.size() >= limits_.streams_max) {
      ++evicted_;
      return;
    }
    const uint32_t mine = payload.tcp_seq, theirs = payload.tcp_ack;
    found = streams_
                .emplace(payload.cookie, Streams{DnsStream(payload.is_query ? mine : theirs),
                                                 DnsStream(payload.is_query ? theirs : mine)})
                .first;
  }
  DnsStream& stream = payload.is_query ? found->second.queries : found->second.answers;
  const std::vector<std::string> messages = stream.Add(payload.tcp_seq, payload.data);
  for (const std::string& message : messages)
    OnMessage(payload, message, time_ns, changes);
}

void DnsLookups::OnClose(uint64_t cookie) { streams_.erase(cookie); }

void DnsLookups::OnMessage(const DnsPayload& payload, std::string_view wire, uint64_t time_ns,
                           DnsChanges* changes) {
  absl::StatusOr<DnsMessage> message = ParseDns(wire, payload.cut);
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
    changes->done.push_back(
        {.origin = payload.origin,
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
         .denied_sends = payload.denied});
    return;
  }
  if (wire.size() < 2)
    return;
  const uint16_t id =
      static_cast<uint16_t>(static_cast<uint8_t>(wire[0]) << 8 | static_cast<uint8_t>(wire[1]));
  // A resolver throws it away and waits on; if nothing better comes, this is what went wrong.
  const auto found = exchanges_.find({payload.cookie, id});
  if (found == exchanges_.end())
    return;
  for (const Exchange& exchange : found->second) {
    if (exchange.server == payload.server)
      exchange.open->malformed_answer = true;
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

// The same program asking again: on the same socket, with the same id, or, where a resolver picks a
// new id, from the same thread.
DnsLookups::OpenList::iterator DnsLookups::FindSame(const DnsPayload& payload,
                                                    const DnsMessage& message, size_t question) {
  const auto found = by_question_.find(question);
  if (found == by_question_.end())
    return open_.end();
  for (const OpenList::iterator open : found->second) {
    const bool same =
        Contains(open->ids, message.id) || (open->thread != 0 && open->thread == payload.thread);
    if (same && open->lookup.process == payload.process && open->Asks(message))
      return open;
  }
  return open_.end();
}

// The server within the sandbox, behind a redirect or on a loopback address, asks the question of
// the program on its behalf. It may keep the id or choose its own.
DnsLookups::OpenList::iterator DnsLookups::FindRedirected(const DnsPayload& payload,
                                                          const DnsMessage& message,
                                                          size_t question) {
  const auto found = by_question_.find(question);
  if (payload.redirected || found == by_question_.end())
    return open_.end();
  for (const OpenList::iterator open : found->second) {
    const bool within = open->lookup.redirected || open->lookup.server.address.is_loopback();
    if (within && !open->tentative && open->lookup.process != payload.process &&
        open->Asks(message))
      return open;
  }
  return open_.end();
}

void DnsLookups::OnQuery(const DnsPayload& payload, const DnsMessage& message, size_t question,
                         uint64_t time_ns, DnsChanges* changes) {
  Exchange* const known = FindExchange(payload, message, question);
  Exchange exchange = {.open = open_.end(),
                       .question = question,
                       .server = payload.server,
                       .sent_ns = time_ns,
                       .upstream = false};
  if (known) {
    exchange.open = known->open;
    exchange.upstream = known->upstream;
  } else if (exchange.open = FindSame(payload, message, question); exchange.open != open_.end()) {
    exchange.upstream = false;
  } else if (exchange.open = FindRedirected(payload, message, question);
             exchange.open != open_.end()) {
    exchange.upstream = true;
  }
  if (exchange.open == open_.end()) {
    if (open_.size() >= limits_.outstanding_max) {
      Evict(open_.begin(), changes);
    }
    exchange.open = open_.emplace(open_.end());
    Lookup& lookup = exchange.open->lookup;
    lookup.name = message.name;
    lookup.type = message.type;
    lookup.origin = payload.origin;
    lookup.process = payload.process;
    lookup.asked_ns = time_ns;
    exchange.open->thread = payload.thread;
    exchange.open->question = question;
    by_question_[question].push_back(exchange.open);
  }
  Open& open = *exchange.open;
  if (!exchange.upstream) {
    open.lookup.server = payload.server;
    open.lookup.transport = payload.transport;
    open.lookup.redirected |= payload.redirected;
    open.lookup.queries++;
    open.tentative = false;
    SetDeadline(&open, time_ns + limits_.timeout_ns + limits_.timeout_ns / kRetryGraceDivisor);
    if (!Contains(open.ids, message.id))
      open.ids.push_back(message.id);
    if (payload.denied) {
      ++open.lookup.denied_sends;
      open.lookup.denied_by = DenialLayer::kNetfilter;
      open.lookup.outcome = DnsOutcome::kDenied;
      open.lookup.ended_ns = time_ns;
      open.tentative = true;
      SetDeadline(&open, time_ns + kContinuation);
    }
  } else {
    open.forwarded = true;
  }
  if (known) {
    *known = exchange;
    return;
  }
  const ExchangeKey key = {payload.cookie, message.id};
  const auto among = exchanges_.find(key);
  if (among != exchanges_.end() && among->second.size() >= kQuestionsMax)
    Evict(among->second.front().open, changes);
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
  Open& open = *exchange.open;
  const bool said_no = message.rcode == kDnsNxDomain || message.rcode == kDnsRefused;
  if (said_no && !payload.local_server) {
    if (nothing_.size() >= limits_.nothing_max)
      nothing_.clear();
    nothing_[message.name] = time_ns;
  }
  if (exchange.upstream) {
    open.lookup.upstream_ns = time_ns - exchange.sent_ns;
    for (const DnsAddress& address : message.addresses)
      changes->forwarded.push_back(address.address);
    return;
  }
  open.lookup.ended_ns = time_ns;
  open.lookup.rcode = message.rcode;
  open.lookup.outcome = OutcomeOf(message.rcode);
  if (said_no && payload.local_server && !open.forwarded &&
      !KnownToBeNothing(message.name, time_ns)) {
    open.lookup.outcome = DnsOutcome::kDenied;
    open.lookup.denied_by = DenialLayer::kDns;
  }
  for (const DnsAddress& address : message.addresses)
    changes->learned.push_back(
        {.name = open.lookup.name, .address = address.address, .ttl_seconds = address.ttl_seconds});
  open.lookup.addresses = std::move(message.addresses);
  const bool goes_on = (message.truncated && payload.transport == Transport::kUdp) ||
                       (message.rcode != kDnsNoError && message.rcode != kDnsNxDomain);
  if (!goes_on) {
    Finish(exchange.open, changes);
    return;
  }
  open.tentative = true;
  SetDeadline(&open, time_ns + kContinuation);
}

bool DnsLookups::KnownToBeNothing(const SharedText& name, uint64_t time_ns) const {
  const auto it = nothing_.find(name);
  return it != nothing_.end() && time_ns - it->second < kNegativeTtl;
}

void DnsLookups::Evict(OpenList::iterator open, DnsChanges* changes) {
  ++evicted_;
  open->lookup.outcome = DnsOutcome::kOther;
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
  changes->done.push_back(std::move(open->lookup));
  open_.erase(open);
}

void DnsLookups::SetDeadline(Open* open, uint64_t deadline_ns) {
  open->deadline_ns = deadline_ns;
  earliest_ns_ = std::min(earliest_ns_, deadline_ns);
}

void DnsLookups::Expire(uint64_t now_ns, bool all, DnsChanges* changes) {
  if (!all && now_ns < earliest_ns_)
    return;
  earliest_ns_ = std::numeric_limits<uint64_t>::max();
  for (auto it = open_.begin(); it != open_.end();) {
    const auto open = it++;
    if (!all && open->deadline_ns > now_ns) {
      earliest_ns_ = std::min(earliest_ns_, open->deadline_ns);
      continue;
    }
    // Tentative ones had their answer.
    if (!open->tentative) {
      open->lookup.outcome = open->malformed_answer ? DnsOutcome::kMalformed : DnsOutcome::kTimeout;
      open->lookup.rcode.reset();
      open->lookup.ended_ns = now_ns;
    }
    Finish(open, changes);
  }
}

}  // namespace sandpiper
