// Where one sandbox went: attempts, outcomes and bytes for each destination, over its life and over the current window.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_LEDGER_H_
#define SANDPIPER_USERSPACE_AGGREGATE_LEDGER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "userspace/aggregate/distinct_estimate.h"
#include "userspace/correlate/dns_lookups.h"
#include "userspace/correlate/flow_table.h"

namespace sandpiper {

struct DestinationKey {
  std::string host;  // empty where no lookup explains the address
  Address address;   // all zero where there is a host: its addresses are one destination
  uint16_t port = 0;
  Transport transport = Transport::kTcp;

  auto operator<=>(const DestinationKey&) const = default;
  // "pypi.org:443/tcp", "198.51.100.7:443/tcp".
  std::string ToString() const;
};

DestinationKey KeyOf(const Flow& flow);

struct DestinationStats {
  uint64_t attempts = 0, established = 0, denied = 0, failed = 0;
  uint64_t sent = 0, received = 0;  // payload bytes

  DestinationStats Since(const DestinationStats& earlier) const;
  bool empty() const { return (attempts | established | denied | failed | sent | received) == 0; }
};

struct Destination {
  DestinationStats total;
  std::map<ConnectOutcome, uint64_t> outcomes;
  std::set<Address> addresses;  // at most kAddressesMax
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
  std::map<DnsOutcome, uint64_t> outcomes;
  std::set<Address> addresses;  // at most Ledger::kAddressesMax
  uint64_t latency_max_ns = 0;
  Endpoint server;  // last asked
};

class Ledger {
 public:
  static constexpr size_t kAddressesMax = 32;

  // Past `capacity` destinations, or questions, new ones are not kept apart; overflowed() then says how many attempts and lookups that
  // concerns, and how many destinations there are is an estimate.
  explicit Ledger(size_t capacity) : capacity_(capacity) {}

  void OnAttempt(const Flow& flow);
  void OnDecided(const Flow& flow);
  // Bytes beyond those of earlier calls for the same flow.
  void OnBytes(const Flow& flow);
  void OnLookup(const Lookup& lookup);
  // No more of this flow will come.
  void OnEnded(const Flow& flow);

  const std::map<DestinationKey, Destination>& destinations() const { return destinations_; }
  // By name and type.
  const std::map<std::pair<std::string, uint16_t>, QuestionStats>& questions() const { return questions_; }
  uint64_t overflowed() const { return overflowed_; }
  // Without loopback.
  size_t distinct() const;
  bool distinct_is_estimated() const { return !estimate_.empty(); }

  struct WindowEntry {
    std::optional<DestinationKey> key;  // none: all those that are not kept apart
    DestinationStats stats;
    bool first_contact;
  };
  // What happened since the last call, by destination, loopback left out. The sum over all calls is exact.
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
  std::map<DestinationKey, Destination> destinations_;
  Destination beyond_, loopback_beyond_;
  DistinctEstimate estimate_;  // of all, from the moment that one is not kept
  std::map<std::pair<std::string, uint16_t>, QuestionStats> questions_;
  std::map<std::pair<uint64_t, Endpoint>, Bytes> counted_;  // bytes of living flows that are in already
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_LEDGER_H_
