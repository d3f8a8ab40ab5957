// SPDX-License-Identifier: Apache-2.0
// Joins DNS packets into lookups. A lookup is one question (name and type) of one program. It may
// take many packets: retries, several servers, a fallback to TCP, and the upstream query of a proxy
// that the question was redirected to.
#ifndef SANDPIPER_USERSPACE_CORRELATE_DNS_LOOKUPS_H_
#define SANDPIPER_USERSPACE_CORRELATE_DNS_LOOKUPS_H_

#include <cstdint>
#include <limits>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "userspace/correlate/lookup.h"
#include "userspace/event/dns_message.h"
#include "userspace/event/dns_stream.h"
#include "userspace/event/event.h"

namespace sandpiper {

// An address that the sandbox received for a name that it asked for.
struct Learned {
  SharedText name;
  Address address;
  uint32_t ttl_seconds = 0;
};

// The result of one step. An address can be learned before its lookup has finished.
struct DnsChanges {
  absl::InlinedVector<Lookup, 1> finished;
  absl::InlinedVector<Learned, 2> learned;
  // Addresses that a proxy within the sandbox received. The program does not know them yet.
  std::vector<Address> forwarded;
};

// The open lookups of one sandbox. SandboxSession owns it and calls it on the event loop only.
class DnsLookups {
 public:
  struct Limits {
    uint64_t timeout_ns;
    size_t outstanding_max = 8192;  // open lookups; over the limit the oldest is evicted
    size_t streams_max = 1024;      // TCP connections; over the limit a new one is not read
    size_t negative_cache_max = 4096;
  };

  explicit DnsLookups(const Limits& limits) : limits_(limits) {}

  DnsChanges OnPayload(const DnsPayload& payload, uint64_t time_ns);
  void OnClose(uint64_t cookie);
  // Ends the lookups that have a deadline at or before `now_ns`. Cheap if there are none.
  DnsChanges ExpireDue(uint64_t now_ns);
  // Ends every open lookup. One without an answer is a timeout, after the time waited so far.
  DnsChanges Shutdown(uint64_t now_ns);

  // The next time at which ExpireDue has work; the maximum of uint64_t if there is none.
  uint64_t NextDeadline() const { return earliest_ns_; }

  // Answers from another server than the one asked, to another question, or to no question.
  // Resolvers ignore them too.
  uint64_t ignored_answers() const { return ignored_answers_; }
  uint64_t malformed_messages() const { return malformed_messages_; }
  // Lookups that ended early, and TCP connections that were not read, because of a limit.
  uint64_t evicted() const { return evicted_; }

 private:
  // Socket cookie and DNS id.
  using ExchangeKey = std::pair<uint64_t, uint16_t>;
  struct OpenLookup {
    Lookup lookup;
    size_t question = 0;  // hash of name and type
    uint32_t thread = 0;
    absl::InlinedVector<uint16_t, 2> ids;
    absl::InlinedVector<ExchangeKey, 2> exchanges;
    uint64_t deadline_ns = 0;
    // An answer came, but the program may continue: a truncated answer, or an error after which
    // resolvers try elsewhere.
    bool is_tentative = false;
    bool has_malformed_answer = false;
    bool is_forwarded = false;  // a server within the sandbox sent an upstream query

    bool Asks(const DnsMessage& message) const {
      return lookup.type == message.type && lookup.name == message.name;
    }
  };
  using OpenList = std::list<OpenLookup>;
  // The question of `open`, as sent on one socket.
  struct Exchange {
    OpenList::iterator open;
    size_t question = 0;  // hash of name and type
    Endpoint server;
    uint64_t sent_ns = 0;
    bool is_upstream = false;
  };
  struct Streams {
    DnsStream queries;
    DnsStream answers;
  };

  // In all functions below, `question` is the hash of the name and type in `message`.
  void OnMessage(const DnsPayload& payload, std::string_view wire, uint64_t time_ns,
                 DnsChanges* changes);
  void OnQuery(const DnsPayload& payload, const DnsMessage& message, size_t question,
               uint64_t time_ns, DnsChanges* changes);
  void OnAnswer(const DnsPayload& payload, DnsMessage message, size_t question, uint64_t time_ns,
                DnsChanges* changes);
  void OnMalformed(const DnsPayload& payload, std::string_view wire, uint64_t time_ns,
                   DnsChanges* changes);
  // A program sent a query of its own for `open`, as opposed to a proxy.
  void OnOwnQuery(const DnsPayload& payload, uint16_t id, uint64_t time_ns, OpenLookup* open);
  OpenList::iterator AddOpen(const DnsPayload& payload, const DnsMessage& message, size_t question,
                             uint64_t time_ns, DnsChanges* changes);
  // A server outside the sandbox answered NXDOMAIN or REFUSED for the name.
  void AddNegative(const SharedText& name, uint64_t time_ns);
  // True if a server outside the sandbox gave a negative answer for the name within the last three
  // hours. A server within the sandbox may repeat that answer without an upstream query.
  bool IsCachedNegative(const SharedText& name, uint64_t time_ns) const;
  void SetDeadline(OpenLookup* open, uint64_t deadline_ns);
  // Null if this socket has no such question.
  Exchange* FindExchange(const DnsPayload& payload, const DnsMessage& message, size_t question);
  OpenList::iterator FindSame(const DnsPayload& payload, const DnsMessage& message,
                              size_t question);
  OpenList::iterator FindRedirected(const DnsPayload& payload, const DnsMessage& message,
                                    size_t question);
  // Ends a lookup without an outcome, because a limit was reached.
  void Evict(OpenList::iterator open, DnsChanges* changes);
  // Ends a lookup at its deadline.
  void Expire(OpenList::iterator open, uint64_t now_ns, DnsChanges* changes);
  // Moves a lookup to `changes`.
  void Finish(OpenList::iterator open, DnsChanges* changes);

  Limits limits_;
  OpenList open_;  // oldest first
  // No deadline is earlier than this.
  uint64_t earliest_ns_ = std::numeric_limits<uint64_t>::max();
  // By the hash of the question. OpenLookup::Asks compares the question itself.
  absl::flat_hash_map<size_t, absl::InlinedVector<OpenList::iterator, 1>> by_question_;
  // Programs may send several questions with one id.
  absl::flat_hash_map<ExchangeKey, absl::InlinedVector<Exchange, 1>> exchanges_;
  absl::flat_hash_map<uint64_t, Streams> streams_;  // by socket cookie
  // Names with a negative answer from outside the sandbox, and the time of that answer.
  absl::flat_hash_map<SharedText, uint64_t> negative_cache_;
  uint64_t ignored_answers_ = 0;
  uint64_t malformed_messages_ = 0;
  uint64_t evicted_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_DNS_LOOKUPS_H_
