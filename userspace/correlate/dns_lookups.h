// SPDX-License-Identifier: Apache-2.0
// From DNS packets to lookups: one for each question (name and type) that a program asks, however
// many packets, retries and servers, a fallback to TCP, or the upstream leg of a redirecting proxy
// it takes.
#ifndef SANDPIPER_USERSPACE_CORRELATE_DNS_LOOKUPS_H_
#define SANDPIPER_USERSPACE_CORRELATE_DNS_LOOKUPS_H_

#include <cstdint>
#include <limits>
#include <list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "userspace/correlate/denial.h"
#include "userspace/event/dns_message.h"
#include "userspace/event/dns_stream.h"
#include "userspace/event/event.h"

namespace sandpiper {

// The `outcome` attribute of sandbox.dns.queries.
enum class DnsOutcome {
  kOk,
  kNxDomain,
  kDenied,
  kServFail,
  kRefused,
  kTimeout,
  kMalformed,
  kOther,
  kUnknown
};
inline constexpr int kDnsOutcomeCount = 9;
const char* Name(DnsOutcome outcome);

struct Lookup {
  Origin origin = 0;
  SharedText name;  // presentation form, see DnsMessage; empty for a question that cannot be read
  uint16_t type = 0;
  ProcessKey process;
  Endpoint server;  // the last one asked, before NAT
  Transport transport = Transport::kUdp;
  uint64_t asked_ns = 0;  // CLOCK_BOOTTIME of the first query
  uint64_t ended_ns = 0;  // of the answer; of giving up for timeouts
  int queries = 0;
  DnsOutcome outcome = DnsOutcome::kTimeout;
  std::optional<uint8_t> rcode;  // of the answer that counted
  std::vector<DnsAddress> addresses;
  bool redirected = false;
  std::optional<uint64_t> upstream_ns;  // the proxy's own query, where it is seen
  DenialLayer denied_by =
      DenialLayer::kNone;     // the last no; another server may have answered all the same
  uint64_t denied_sends = 0;  // queries of UDP that netfilter threw away
};

// An address that the sandbox now knows by the name that it asked for.
struct Learned {
  SharedText name;
  Address address;
  uint32_t ttl_seconds = 0;
};

// What one step brought: lookups that are over, and what was learned, which may come earlier.
struct DnsChanges {
  absl::InlinedVector<Lookup, 1> done;
  absl::InlinedVector<Learned, 2> learned;
  // Addresses in answers to a proxy within the sandbox, which the application does not know yet.
  std::vector<Address> forwarded;
};

class DnsLookups {
 public:
  struct Limits {
    uint64_t timeout_ns;
    size_t outstanding_max = 8192;
    size_t streams_max = 1024;
    size_t nothing_max = 4096;
  };

  explicit DnsLookups(const Limits& limits) : limits_(limits) {}

  void OnPayload(const DnsPayload& payload, uint64_t time_ns, DnsChanges* changes);
  void OnClose(uint64_t cookie);
  // Ends lookups whose time is up at `now_ns`; cheap while none is. With `all`, every one: those
  // that nobody answered yet are timeouts of what was waited.
  void Expire(uint64_t now_ns, bool all, DnsChanges* changes);

  // When Expire has something to do next; the far future if nothing is open.
  uint64_t NextDeadline() const { return earliest_ns_; }

  // Answers that came from another address than was asked, to another question, or to none: a
  // resolver ignores them too.
  uint64_t ignored_answers() const { return ignored_answers_; }
  uint64_t malformed_messages() const { return malformed_messages_; }
  // Lookups ended early because too many were open.
  uint64_t evicted() const { return evicted_; }

 private:
  // Cookie and id.
  using ExchangeKey = std::pair<uint64_t, uint16_t>;
  struct Open {
    Lookup lookup;
    size_t question = 0;  // its hash
    uint32_t thread = 0;
    absl::InlinedVector<uint16_t, 2> ids;
    absl::InlinedVector<ExchangeKey, 2> exchanges;
    uint64_t deadline_ns = 0;
    bool tentative = false;  // an answer came, but the program may still go on: TC, or an error
                             // that makes resolvers try elsewhere
    bool malformed_answer = false;
    bool forwarded = false;  // a server in the sandbox asked on

    bool Asks(const DnsMessage& message) const {
      return lookup.type == message.type && lookup.name == message.name;
    }
  };
  using OpenList = std::list<Open>;
  // The question of `open`, on one socket.
  struct Exchange {
    OpenList::iterator open;
    size_t question = 0;  // its hash
    Endpoint server;
    uint64_t sent_ns = 0;
    bool upstream = false;
  };
  struct Streams {
    DnsStream queries, answers;
  };

  void OnMessage(const DnsPayload& payload, std::string_view wire, uint64_t time_ns,
                 DnsChanges* changes);
  // `question`: the hash of that of the message.
  void OnQuery(const DnsPayload& payload, const DnsMessage& message, size_t question,
               uint64_t time_ns, DnsChanges* changes);
  void OnAnswer(const DnsPayload& payload, DnsMessage message, size_t question, uint64_t time_ns,
                DnsChanges* changes);
  void OnMalformed(const DnsPayload& payload, std::string_view wire, uint64_t time_ns,
                   DnsChanges* changes);
  // True if it is known from an earlier answer that the name does not exist: a server may say so
  // again without asking.
  bool KnownToBeNothing(const SharedText& name, uint64_t time_ns) const;
  void SetDeadline(Open* open, uint64_t deadline_ns);
  // NULL where nothing like it is known.
  Exchange* FindExchange(const DnsPayload& payload, const DnsMessage& message, size_t question);
  OpenList::iterator FindSame(const DnsPayload& payload, const DnsMessage& message,
                              size_t question);
  OpenList::iterator FindRedirected(const DnsPayload& payload, const DnsMessage& message,
                                    size_t question);
  // Ends one that nothing is known of, for want of room.
  void Evict(OpenList::iterator open, DnsChanges* changes);
  void Finish(OpenList::iterator open, DnsChanges* changes);

  Limits limits_;
  OpenList open_;                                                // oldest first
  uint64_t earliest_ns_ = std::numeric_limits<uint64_t>::max();  // no deadline is before it
  // By the hash of the question, which Asks confirms.
  absl::flat_hash_map<size_t, absl::InlinedVector<OpenList::iterator, 1>> by_question_;
  // Programs may ask several questions under one id.
  absl::flat_hash_map<ExchangeKey, absl::InlinedVector<Exchange, 1>> exchanges_;
  absl::flat_hash_map<uint64_t, Streams> streams_;
  absl::flat_hash_map<SharedText, uint64_t>
      nothing_;  // names that a server outside said no to, and when
  uint64_t ignored_answers_ = 0, malformed_messages_ = 0, evicted_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_DNS_LOOKUPS_H_
