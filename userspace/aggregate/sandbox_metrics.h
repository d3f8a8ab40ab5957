// SPDX-License-Identifier: Apache-2.0
// The counters of one sandbox, and their conversion into metric points.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_SANDBOX_METRICS_H_
#define SANDPIPER_USERSPACE_AGGREGATE_SANDBOX_METRICS_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "userspace/aggregate/metrics.h"
#include "userspace/correlate/dns_lookups.h"
#include "userspace/correlate/flow_table.h"
#include "userspace/correlate/process_table.h"
#include "userspace/correlate/ruleset_history.h"
#include "userspace/sandbox/resources.h"

namespace sandpiper {

// The BPF programs' counters of one sandbox. They are exact under any load. Arrays of kKinds are
// indexed by the kind of event.
struct KernelCounts {
  static constexpr size_t kKinds = 16;
  // `dropped`: the ring buffer was full. `limited`: over the sandbox's share of the ring buffer.
  std::array<uint64_t, kKinds> produced{}, dropped{}, limited{};
  using ByTransportAndNetwork =
      std::array<std::array<uint64_t, 2>, 2>;  // [transport][0: IPv4, 1: IPv6]
  ByTransportAndNetwork attempts{}, attempts_dropped{};
  uint64_t sent = 0, received = 0;
  uint64_t storage_failed = 0;
  std::array<uint64_t, 2> denied{};  // denials by netfilter, [transport]
  std::array<uint64_t, 4> exits{};   // success, failure, signal, oom

  uint64_t lost(size_t kind) const { return dropped[kind] + limited[kind]; }
  KernelCounts& operator+=(const KernelCounts& other);
  // The increase since `before`.
  KernelCounts operator-(const KernelCounts& before) const;
};

// Events that user space read from the ring buffers for the sandbox. produced = delivered + dropped
// or limited in the kernel + lost here + still in a ring buffer.
struct DeliveryCounts {
  std::array<uint64_t, KernelCounts::kKinds> delivered{};
  // Events that were read but could not be used, by {stage, reason, kind}.
  std::map<std::tuple<std::string, std::string, uint16_t>, uint64_t> lost;
};

// Values of a sandbox that are read when its metrics are collected.
struct SandboxGauges {
  size_t destinations = 0;
  bool destinations_estimated = false;
  std::optional<uint64_t> static_rules;  // rules in force now; none if they are unknown
  std::optional<ResourceUse> resources;  // none for a device
};

class SandboxMetrics {
 public:
  explicit SandboxMetrics(HistogramKind histograms) : kind_(histograms) {}

  void OnLookup(const Lookup& lookup);
  void OnDecided(const Flow& flow);
  void OnEnded(const Flow& flow);
  void OnExit(const Process& process);
  void OnTransaction(const RulesetTransaction& transaction);
  // Policy allowed an address `after_ns` after a DNS answer named it.
  void OnAllowed(uint64_t after_ns);
  void OnConnectBeforeAllow() { ++connects_before_allow_; }
  void OnExpiredInUse() { ++expired_in_use_; }
  // A denial by another layer than netfilter. The BPF programs count netfilter's.
  void OnDenied(DenialLayer layer, Transport transport);

  // Appends all points of the sandbox, cumulative since `start_unix_ns`.
  void Append(const KernelCounts& kernel, const DeliveryCounts& delivery,
              const SandboxGauges& gauges, const std::vector<Attribute>& identity,
              uint64_t start_unix_ns, MetricSnapshot* out) const;

  uint64_t lookups() const;
  uint64_t denied() const;  // without denials by netfilter

 private:
  template <typename T>
  using ByTransport = std::array<T, 2>;

  std::array<ByTransport<uint64_t>, kDnsOutcomeCount> lookups_{};
  std::array<ByTransport<std::array<uint64_t, 2>>, kConnectOutcomeCount> attempts_{};
  ByTransport<int64_t> active_{};
  std::map<std::pair<NftOperation, bool>, uint64_t> transactions_;  // {operation, committed}
  std::map<std::pair<DenialLayer, Transport>, uint64_t> denied_;
  uint64_t connects_before_allow_ = 0, expired_in_use_ = 0;
  // Null before the first value.
  using Lazy = std::unique_ptr<Histogram>;
  void Record(Lazy* histogram, std::span<const double> bounds, double value) const;

  HistogramKind kind_;
  Lazy dns_client_, dns_upstream_, osep_dns_, process_duration_, allow_duration_;
  std::array<Lazy, 2> connect_duration_;  // IPv4, IPv6
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_SANDBOX_METRICS_H_
