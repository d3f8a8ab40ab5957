// SPDX-License-Identifier: Apache-2.0
// Joins DNS packets into lookups. A lookup is one question (name and type) of one program. It may
// take many packets: retries, several servers, a fallback to TCP, and the upstream query of a proxy
// that the question was redirected to.
#ifndef SANDPIPER_USERSPACE_CORRELATE_DNS_LOOKUPS_H_
#define SANDPIPER_USERSPACE_CORRELATE_DNS_LOOKUPS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "userspace/base/clock.h"
#include "userspace/correlate/dns_connections.h"
#include "userspace/correlate/lookup.h"
#include "userspace/correlate/negative_answers.h"
#include "userspace/correlate/open_lookups.h"
#include "userspace/event/dns_message.h"
#include "userspace/event/event.h"

namespace sandpiper {

// An address that the sandbox received for a name that it asked for.
struct Learned {
  SharedText name;
  Address address;
  uint32_t ttl_seconds = 0;
  Endpoint server;            // that answered
  ProcessKey process;         // that asked it
  bool local_server = false;  // it is part of the sandbox
};

// The result of one step. An address can be learned before its lookup has finished.
struct DnsChanges {
  absl::InlinedVector<Lookup, 1> finished;
  absl::InlinedVector<Learned, 2> learned;
  // Addresses that a proxy within the sandbox received. The program does not know them yet.
  std::vector<Learned> forwarded;
};

// The open lookups of one sandbox. SandboxSession owns it and calls it on the event loop only.
class DnsLookups {
 public:
  struct Limits {
    uint64_t timeout_ns;
    size_t outstanding_max = 8192;  // open lookups; over the limit the oldest is evicted
    size_t exchanges_max = 32'768;  // questions on sockets, of all open lookups
    size_t streams_max = 1024;      // TCP connections; over the limit a new one is not read
    size_t negative_cache_max = 4096;
  };
  // A lookup ends after this many timeouts, even if its program asks on: three servers, two
  // attempts each.
  static constexpr uint64_t kTimeoutsMax = 6;

  // A resolver continues at once after a truncated answer (by TCP) or an error (at the next
  // server).
  static constexpr uint64_t kContinuationNs = 500 * kMillisecond;

  explicit DnsLookups(const Limits& limits);
  // Not copyable: `open_` holds a pointer to it.
  DnsLookups(const DnsLookups&) = delete;
  DnsLookups& operator=(const DnsLookups&) = delete;

  DnsChanges OnPayload(const DnsPayload& payload, uint64_t time_ns);
  void OnClose(uint64_t cookie) { connections_.OnClose(cookie); }
  // Ends the lookups that have a deadline at or before `now_ns`. Cheap if there are none.
  DnsChanges ExpireDue(uint64_t now_ns);
  // Ends every open lookup. One without an answer is a timeout, after the time waited so far.
  DnsChanges Shutdown(uint64_t now_ns);

  // The next time at which ExpireDue has work; the maximum of uint64_t if there is none.
  uint64_t NextDeadline() const { return open_.NextDeadline(); }

  // Answers from another server than the one asked, to another question, or to no question.
  // Resolvers ignore them too.
  uint64_t ignored_answers() const { return ignored_answers_; }
  uint64_t malformed_messages() const { return malformed_messages_; }
  // Lookups that ended early, and TCP segments that were not read, because of a limit.
  uint64_t evicted() const { return evicted_ + connections_.unread(); }

  // For tests: questions on sockets that are remembered now.
  size_t exchange_count() const { return open_.exchange_count(); }

 private:
  using Iterator = OpenLookups::Iterator;
  using Exchange = OpenLookups::Exchange;
  // One packet, and what this step has changed so far.
  struct Step {
    const DnsPayload& payload;
    uint64_t time_ns;
    uint64_t trailing_bytes = 0;  // behind the message
    DnsChanges changes = {};
  };

  void OnMessage(std::string_view wire, Step* step);
  void OnMalformed(std::string_view wire, Step* step);
  // A query or request that the sandbox sent.
  void OnQuery(const DnsMessage& message, Step* step);
  void OnQuestion(const DnsMessage& message, const DnsQuestion& question, Step* step);
  // A response that the sandbox sent to a DNS port.
  void OnOwnResponse(const DnsMessage& message, std::string_view wire, Step* step);
  void OnAnswer(const DnsMessage& message, Step* step);
  // An mDNS response, which another host than the asked group sends. False if it answers nothing.
  bool OnMulticastAnswer(const DnsMessage& message, Step* step);
  void OnUpstreamAnswer(const DnsMessage& message, Exchange* exchange, Step* step);
  // The answer that the program gets.
  void OnOwnAnswer(const DnsMessage& message, Iterator open, Step* step);

  // A program sent a query of its own for `open`, as opposed to a proxy.
  void NoteOwnQuery(Iterator open, uint16_t id, const Step& step);
  static void NoteUpstreamQuery(Iterator open, const Step& step);
  Exchange* FindAnswered(const DnsMessage& message, const Step& step);
  // Finds the lookup that a server within the sandbox forwards. The program reached that server by
  // a redirect or at a loopback address. The server may keep the id or choose its own.
  Iterator FindForwarded(const AskedQuestion& asked, const DnsPayload& payload);
  // True if a server within the sandbox denied the name by its own policy.
  bool IsPolicyDenial(const DnsMessage& message, const Lookup& lookup, const Step& step) const;

  // Ends a lookup without an outcome, because a limit was reached.
  void Evict(Iterator open);
  // Ends a lookup at its deadline.
  Lookup Expire(Iterator open, uint64_t now_ns);

  Limits limits_;
  OpenLookups open_;
  DnsConnections connections_;
  NegativeAnswers negative_answers_;
  DnsChanges* changes_ = nullptr;  // of the current step, for Evict
  uint64_t ignored_answers_ = 0;
  uint64_t malformed_messages_ = 0;
  uint64_t evicted_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_DNS_LOOKUPS_H_
