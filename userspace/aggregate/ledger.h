// SPDX-License-Identifier: Apache-2.0
// Where one sandbox went: attempts, outcomes and bytes for each destination, over its life and over
// the current window.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_LEDGER_H_
#define SANDPIPER_USERSPACE_AGGREGATE_LEDGER_H_

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/container/node_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "userspace/aggregate/distinct_estimate.h"
#include "userspace/correlate/dns_lookups.h"
#include "userspace/correlate/flow_table.h"

namespace sandpiper {

// The same hash for both.
inline absl::string_view Viewed(std::string_view text) { return {text.data(), text.size()}; }

// `Text`: SharedText where it is kept, std::string_view to look one up.
template <typename Text>
struct BasicDestinationKey {
  Text host;        // empty where no lookup explains the address
  Address address;  // all zero where there is a host: its addresses are one destination
  uint16_t port = 0;
  Transport transport = Transport::kTcp;

  auto operator<=>(const BasicDestinationKey&) const = default;
  // "pypi.org:443/tcp", "198.51.100.7:443/tcp".
  std::string ToString() const;
  void AppendTo(std::string* out) const;

  operator BasicDestinationKey<std::string_view>() const
      requires(!std::is_same_v<Text, std::string_view>) {
    return {host, address, port, transport};
  }
  template <typename H>
  friend H AbslHashValue(H state, const BasicDestinationKey& key) {
    return H::combine(std::move(state), Viewed(key.host), key.address, key.port, key.transport);
  }
};
using DestinationKey = BasicDestinationKey<SharedText>;
using DestinationView = BasicDestinationKey<std::string_view>;

template <typename Text>
struct BasicQuestion {
  Text name;
  uint16_t type = 0;

  auto operator<=>(const BasicQuestion&) const = default;

  operator BasicQuestion<std::string_view>() const
      requires(!std::is_same_v<Text, std::string_view>) {
    return {name, type};
  }
  template <typename H>
  friend H AbslHashValue(H state, const BasicQuestion& question) {
    return H::combine(std::move(state), Viewed(question.name), question.type);
  }
};
using Question = BasicQuestion<SharedText>;
using QuestionView = BasicQuestion<std::string_view>;

// Lives no longer than the flow.
DestinationView ViewOf(const Flow& flow);
DestinationKey KeyOf(const Flow& flow);

struct DestinationStats {
  uint64_t attempts = 0, established = 0, denied = 0, failed = 0;
  uint64_t sent = 0, received = 0;  // payload bytes

  DestinationStats Since(const DestinationStats& earlier) const;
  bool empty() const { return (attempts | established | denied | failed | sent | received) == 0; }
};

// In order, and at most Ledger::kAddressesMax.
using Addresses = absl::InlinedVector<Address, 1>;

struct Destination {
  DestinationStats total;
  std::array<uint64_t, kConnectOutcomeCount> outcomes{};
  Addresses addresses;
  uint64_t latency_sum_ns = 0;  // of established TCP connects, answered UDP
  uint64_t latency_max_ns = 0;
  uint64_t first_ns = 0;
  bool loopback = false;

  DestinationStats reported;  // what earlier windows have told
  bool told = false;          // a window has told of it
};

// What became of one question over the sandbox's life.
struct QuestionStats {
  uint64_t lookups = 0;
  std::array<uint64_t, kDnsOutcomeCount> outcomes{};
  Addresses addresses;
  uint64_t latency_max_ns = 0;
  Endpoint server;  // last asked
};

// What is in one of its tables, in the order of the keys.
template <typename Table>
std::vector<const typename Table::value_type*> InOrder(const Table& table) {
  std::vector<const typename Table::value_type*> out;
  out.reserve(table.size());
  for (const auto& entry : table)
    out.push_back(&entry);
  std::sort(out.begin(), out.end(),
            [](const auto* a, const auto* b) { return a->first < b->first; });
  return out;
}

class Ledger {
  // Keys are found by their views.
  template <typename View>
  struct Hash {
    using is_transparent = void;
    size_t operator()(const View& view) const { return absl::HashOf(view); }
  };
  template <typename View>
  struct Equal {
    using is_transparent = void;
    bool operator()(const View& a, const View& b) const { return a == b; }
  };

 public:
  static constexpr size_t kAddressesMax = 32;
  using Destinations = absl::node_hash_map<DestinationKey, Destination, Hash<DestinationView>,
                                           Equal<DestinationView>>;
  using Questions =
      absl::node_hash_map<Question, QuestionStats, Hash<QuestionView>, Equal<QuestionView>>;

  // Past `capacity` destinations, or questions, new ones are not kept apart; overflowed() then says
  // how many attempts and lookups that concerns, and how many destinations there are is an
  // estimate.
  explicit Ledger(size_t capacity) : capacity_(capacity) {}

  void OnAttempt(const Flow& flow);
  void OnDecided(const Flow& flow);
  // Bytes beyond those of earlier calls for the same flow.
  void OnBytes(const Flow& flow);
  void OnLookup(const Lookup& lookup);
  // No more of this flow will come.
  void OnEnded(const Flow& flow);

  const Destinations& destinations() const { return destinations_; }
  const Questions& questions() const { return questions_; }
  uint64_t overflowed() const { return overflowed_; }
  // Without loopback.
  size_t distinct() const;
  bool distinct_is_estimated() const { return !estimate_.empty(); }

  struct WindowEntry {
    std::optional<DestinationKey> key;  // none: all those that are not kept apart
    DestinationStats stats;
    bool first_contact;
  };
  // What happened since the last call, by destination, loopback left out. The sum over all calls is
  // exact.
  std::vector<WindowEntry> CloseWindow();

 private:
  struct Bytes {
    uint64_t sent = 0, received = 0;
  };

  Destination& Find(const Flow& flow);
  // What is beyond `counted`, which then says so.
  void Count(const Flow& flow, Bytes* counted);

  size_t capacity_;
  uint64_t overflowed_ = 0;
  Destinations destinations_;
  std::unique_ptr<Destination> beyond_, loopback_beyond_;  // null: none
  DistinctEstimate estimate_;  // of all, from the moment that one is not kept
  Questions questions_;
  std::map<std::pair<uint64_t, Endpoint>, Bytes>
      counted_;  // bytes of living flows that are in already
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_LEDGER_H_
