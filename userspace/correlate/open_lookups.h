// SPDX-License-Identifier: Apache-2.0
// The lookups that wait for an answer, and the indexes to find the one that a packet belongs to. A
// sandbox chooses how many questions it asks, so every table has a limit, and no search takes time
// in proportion to their number.
#ifndef SANDPIPER_USERSPACE_CORRELATE_OPEN_LOOKUPS_H_
#define SANDPIPER_USERSPACE_CORRELATE_OPEN_LOOKUPS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <tuple>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "userspace/correlate/lookup.h"

namespace sandpiper {

// The content of a query, without the server and the socket.
struct AskedQuestion {
  uint8_t opcode = kDnsOpcodeQuery;
  DnsQuestion question;  // the name is empty if the message has no question
  size_t hash = 0;       // of all fields above

  static AskedQuestion Of(uint8_t opcode, const DnsQuestion& question);
};

struct OpenLookup {
  // Socket cookie and DNS id.
  using ExchangeKey = std::pair<uint64_t, uint16_t>;

  Lookup lookup;
  uint64_t serial = 0;                            // grows with each lookup
  size_t question = 0;                            // AskedQuestion::hash
  uint32_t thread = 0;                            // 0: not known
  absl::InlinedVector<uint16_t, 2> ids;           // of queries of its own, oldest first
  absl::InlinedVector<ExchangeKey, 2> exchanges;  // oldest first
  uint64_t deadline_ns = 0;
  // An answer came, but the program may continue: a truncated answer, or an error after which
  // resolvers try elsewhere.
  bool is_tentative = false;
  bool has_malformed_answer = false;
  bool is_indexed_by_question = false;

  bool Asks(const AskedQuestion& asked) const {
    return lookup.type == asked.question.type && lookup.dns_class == asked.question.dns_class &&
           lookup.opcode == asked.opcode && lookup.name == asked.question.name;
  }
};

// DnsLookups owns it.
class OpenLookups {
 public:
  using List = std::list<OpenLookup>;
  using Iterator = List::iterator;
  using ExchangeKey = OpenLookup::ExchangeKey;

  // A question as sent on one socket.
  struct Exchange {
    Iterator open;
    size_t question = 0;  // AskedQuestion::hash
    Endpoint server;
    uint64_t sent_ns = 0;
    bool is_upstream = false;  // a server within the sandbox sent it
  };

  struct Limits {
    size_t lookups_max;
    size_t exchanges_max;  // of all lookups
    uint64_t lifetime_ns;  // of one lookup: no deadline is later
  };
  // Of one lookup. A program that asks on without an answer keeps the latest ones.
  static constexpr size_t kExchangesPerLookupMax = 64;
  // Questions with one id on one socket. Resolvers have far fewer.
  static constexpr size_t kQuestionsPerIdMax = 64;
  // Lookups of one question that FindByQuestion tries.
  static constexpr size_t kLookupsPerQuestionMax = 64;

  // `evict` ends a lookup that a limit leaves no room for. It must call Remove.
  OpenLookups(const Limits& limits, std::function<void(Iterator)> evict)
      : limits_(limits), evict_(std::move(evict)) {}

  // Evicts the oldest lookup over the limit.
  Iterator Add(const AskedQuestion& asked, const ProcessKey& process, uint32_t thread,
               uint64_t time_ns);
  Lookup Remove(Iterator open);

  // Notes that the program sent the question with this id.
  void AddId(Iterator open, uint16_t id);
  // Notes that the question was sent on this socket. Over a limit, it replaces the oldest exchange
  // of the lookup, or evicts another lookup.
  void AddExchange(const ExchangeKey& key, const Exchange& exchange);
  // Lets FindByQuestion find the lookup, unless there are kLookupsPerQuestionMax of its question.
  void IndexByQuestion(Iterator open);

  // Null if this socket sent no such question.
  Exchange* FindExchange(const ExchangeKey& key, const AskedQuestion& asked);
  // The only question that this socket sent with this id. Null if there is none, or several.
  Exchange* FindOnlyExchange(const ExchangeKey& key);
  // All questions of this socket with this id.
  void ForEachExchange(const ExchangeKey& key, const std::function<void(Exchange*)>& visit);
  // A lookup of the process with the same question that it sent with the same id, or, since a
  // resolver may choose a new id for a retry, from the same thread. end() if there is none.
  Iterator FindSame(const AskedQuestion& asked, const ProcessKey& process, uint32_t thread,
                    uint16_t id);
  // The oldest lookup of this question that IndexByQuestion added and `matches` accepts.
  Iterator FindByQuestion(const AskedQuestion& asked,
                          const std::function<bool(const OpenLookup&)>& matches);

  void SetDeadline(Iterator open, uint64_t deadline_ns);
  // The earliest deadline; the maximum of uint64_t if there is none.
  uint64_t NextDeadline() const;
  // The lookup with the earliest deadline. end() if there is none.
  Iterator FirstDue() const { return by_deadline_.empty() ? end_ : by_deadline_.begin()->second; }

  Iterator end() const { return end_; }
  size_t size() const { return open_.size(); }
  size_t exchange_count() const { return exchange_count_; }

 private:
  using AskerKey = std::tuple<size_t, ProcessKey, uint32_t>;
  using AskerIndex = absl::flat_hash_map<AskerKey, Iterator>;

  static AskerKey KeyOf(const OpenLookup& open, uint32_t thread_or_id) {
    return {open.question, open.lookup.process, thread_or_id};
  }
  static void Erase(const AskerKey& key, Iterator open, AskerIndex* index);
  Iterator Find(const AskerIndex& index, const AskerKey& key, const AskedQuestion& asked) const;
  void RemoveOldestExchange(Iterator open);
  void RemoveExchange(const ExchangeKey& key, Iterator open);

  Limits limits_;
  std::function<void(Iterator)> evict_;
  uint64_t next_serial_ = 0;
  List open_;  // oldest first
  const Iterator end_ = open_.end();
  absl::btree_map<std::pair<uint64_t, uint64_t>, Iterator> by_deadline_;  // and serial
  AskerIndex by_thread_;                                                  // of known threads
  AskerIndex by_id_;
  absl::flat_hash_map<size_t, absl::InlinedVector<Iterator, 1>> by_question_;
  // Ordered, so that all exchanges of a socket are next to one another.
  absl::btree_map<ExchangeKey, absl::InlinedVector<Exchange, 1>> exchanges_;
  size_t exchange_count_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_OPEN_LOOKUPS_H_
