// SPDX-License-Identifier: Apache-2.0
// The destinations of one sandbox, with attempts, outcomes and bytes of each: over the sandbox's
// life and over the current window. Used by the event loop's thread only.
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

// For hashing: SharedText and std::string_view of the same text get the same hash.
inline absl::string_view Viewed(std::string_view text) { return {text.data(), text.size()}; }

// `Text` is SharedText in a stored key, and std::string_view in a key for a lookup.
template <typename Text>
struct BasicDestinationKey {
  Text host;        // empty if no lookup explains the address
  Address address;  // all zero if there is a host: all its addresses are one destination
  uint16_t port = 0;
  Transport transport = Transport::kTcp;

  auto operator<=>(const BasicDestinationKey&) const = default;
  // "pypi.org:443/tcp", "198.51.100.7:443/tcp".
  std::string ToString() const;
  void AppendTo(std::string* out) const;

  // Implicit, as the conversion of a string to a view is.
  // NOLINTNEXTLINE(google-explicit-constructor)
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

  // NOLINTNEXTLINE(google-explicit-constructor): as above
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

// Must not outlive the flow.
DestinationView ViewOf(const Flow& flow);
DestinationKey KeyOf(const Flow& flow);

struct DestinationStats {
  uint64_t attempts = 0, established = 0, denied = 0, failed = 0;
  uint64_t sent = 0, received = 0;  // payload bytes

  DestinationStats Since(const DestinationStats& earlier) const;
  bool empty() const { return (attempts | established | denied | failed | sent | received) == 0; }
};

// Sorted; at most Ledger::kAddressesMax.
using Addresses = absl::InlinedVector<Address, 1>;

struct Destination {
  DestinationStats total;
  std::array<uint64_t, kConnectOutcomeCount> outcomes{};
  Addresses addresses;
  uint64_t latency_sum_ns = 0;  // of established TCP connects, answered UDP
  uint64_t latency_max_ns = 0;
  uint64_t first_ns = 0;
  bool loopback = false;

  DestinationStats reported;                  // sum over all earlier windows
  bool is_reported = false;                   // an earlier window had it
  Addresses window_addresses;                 // contacted in this window
  Address last_address;                       // contacted last
  NameSource name_source = NameSource::kDns;  // of that contact
};

// Lookups of one question over the sandbox's life.
struct QuestionStats {
  uint64_t lookups = 0;
  std::array<uint64_t, kDnsOutcomeCount> outcomes{};
  Addresses addresses;
  uint64_t latency_max_ns = 0;
  Endpoint server;  // the last one asked
};

// The entries of one of the ledger's tables, sorted by key.
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

// Gets each attempt and each outcome that a ledger counts, in the order in which they are counted.
class AttemptObserver {
 public:
  virtual ~AttemptObserver() = default;
  virtual void OnAttempt(const Flow& flow) = 0;
  virtual void OnDecided(const Flow& flow) = 0;
};

class Ledger {
  // Tables are searched by views of keys, so that a lookup copies no text.
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

  // Over `capacity` destinations or questions, new ones share one entry. overflowed() is the number
  // of attempts and lookups in it, and distinct() becomes an estimate.
  explicit Ledger(size_t capacity) : capacity_(capacity) {}

  // `observer` outlives the ledger.
  void Observe(AttemptObserver* observer) { observer_ = observer; }

  void OnAttempt(const Flow& flow);
  void OnDecided(const Flow& flow);
  // `flow` holds all bytes so far; only those since the last call are added.
  void OnBytes(const Flow& flow);
  void OnLookup(const Lookup& lookup);
  // The last call for this flow.
  void OnEnded(const Flow& flow);

  const Destinations& destinations() const { return destinations_; }
  const Questions& questions() const { return questions_; }
  uint64_t overflowed() const { return overflowed_; }
  // The number of distinct destinations, without loopback.
  size_t distinct() const;
  bool distinct_is_estimated() const { return !estimate_.empty(); }

  struct WindowEntry {
    std::optional<DestinationKey> key;  // none: all destinations over the capacity
    DestinationStats stats;
    bool first_contact;
    Address last_address;  // all zero without a key
    NameSource name_source = NameSource::kDns;
    Addresses addresses;  // contacted in the window
  };
  // Ends the window: returns the changes since the last call by destination, without loopback. The
  // sum over all calls is exact.
  std::vector<WindowEntry> CloseWindow();

 private:
  struct Bytes {
    uint64_t sent = 0, received = 0;
  };

  Destination& Find(const Flow& flow);
  // Adds the bytes of `flow` that are not in `counted` yet, and updates `counted`.
  void Count(const Flow& flow, Bytes* counted);

  size_t capacity_;
  AttemptObserver* observer_ = nullptr;  // null: none
  uint64_t overflowed_ = 0;
  Destinations destinations_;
  std::unique_ptr<Destination> overflow_, loopback_overflow_;  // null: nothing over the capacity
  DistinctEstimate
      estimate_;  // of all destinations; filled once the first one is over the capacity
  Questions questions_;
  std::map<std::pair<uint64_t, Endpoint>, Bytes> counted_;  // bytes of open flows, added so far
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_LEDGER_H_
