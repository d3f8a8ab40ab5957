// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/sandbox_metrics.h"

#include <algorithm>
#include <utility>

#include "bpf/events.h"
#include "userspace/base/clock.h"
#include "userspace/event/event_kind.h"

namespace sandpiper {
namespace {

constexpr Transport kTransports[] = {Transport::kTcp, Transport::kUdp};
constexpr const char* kNetworks[] = {"ipv4", "ipv6"};

SharedText Text(const char* literal) { return SharedText::FromLiteral(literal); }
size_t Index(Transport transport) { return static_cast<size_t>(transport); }
size_t NetworkIndex(const Address& address) { return address.is_ipv4() ? 0 : 1; }
double Seconds(uint64_t from_ns, uint64_t to_ns) {
  return static_cast<double>(to_ns - std::min(from_ns, to_ns)) / 1e9;
}

// Appends points of one sandbox. Their attributes are the sandbox's identity and those given.
class PointWriter {
 public:
  PointWriter(const std::vector<Attribute>& identity, uint64_t start_unix_ns, MetricSnapshot* out)
      : identity_(identity), start_(start_unix_ns), out_(out) {}

  void Add(const MetricRow& row, std::vector<Attribute> attributes,
           std::variant<int64_t, double, Histogram> value) const {
    attributes.insert(attributes.begin(), identity_.begin(), identity_.end());
    out_->Add(
        row,
        {.attributes = std::move(attributes), .value = std::move(value), .start_unix_ns = start_});
  }
  // A counter that is still 0 has no series yet.
  void Count(const MetricRow& row, std::vector<Attribute> attributes, uint64_t value) const {
    if (value > 0)
      Add(row, std::move(attributes), static_cast<int64_t>(value));
  }
  void Record(const MetricRow& row, std::vector<Attribute> attributes,
              const std::unique_ptr<Histogram>& histogram) const {
    if (histogram)
      Add(row, std::move(attributes), *histogram);
  }

 private:
  const std::vector<Attribute>& identity_;
  uint64_t start_;
  MetricSnapshot* out_;
};

}  // namespace

namespace {

// Calls `with` for each counter of `one` with the same counter of `other`.
template <typename With>
void Combine(KernelCounts* one, const KernelCounts& other, With with) {
  for (size_t kind = 0; kind < KernelCounts::kKinds; ++kind) {
    with(&one->produced[kind], other.produced[kind]);
    with(&one->dropped[kind], other.dropped[kind]);
    with(&one->limited[kind], other.limited[kind]);
  }
  for (size_t transport = 0; transport < 2; ++transport) {
    for (size_t network = 0; network < 2; ++network) {
      with(&one->attempts[transport][network], other.attempts[transport][network]);
      with(&one->attempts_dropped[transport][network], other.attempts_dropped[transport][network]);
    }
    with(&one->denied[transport], other.denied[transport]);
  }
  with(&one->sent, other.sent);
  with(&one->received, other.received);
  with(&one->storage_failed, other.storage_failed);
  for (size_t outcome = 0; outcome < one->exits.size(); ++outcome)
    with(&one->exits[outcome], other.exits[outcome]);
}

}  // namespace

KernelCounts& KernelCounts::operator+=(const KernelCounts& other) {
  Combine(this, other, [](uint64_t* a, uint64_t b) { *a += b; });
  return *this;
}

KernelCounts KernelCounts::operator-(const KernelCounts& before) const {
  KernelCounts out = *this;
  Combine(&out, before, [](uint64_t* a, uint64_t b) { *a -= b; });
  return out;
}

void SandboxMetrics::Record(Lazy* histogram, std::span<const double> bounds, double value) const {
  if (!*histogram)
    *histogram = std::make_unique<Histogram>(kind_, bounds);
  (*histogram)->Record(value);
}

void SandboxMetrics::OnLookup(const Lookup& lookup) {
  ++lookups_[static_cast<size_t>(lookup.outcome)][Index(lookup.transport)];
  if (lookup.outcome == DnsOutcome::kMalformed || lookup.outcome == DnsOutcome::kDenied)
    return;
  const double client = Seconds(lookup.asked_ns, lookup.ended_ns);
  Record(&dns_client_, DurationBounds(), client);
  const std::optional<uint64_t> upstream_ns =
      lookup.upstream ? lookup.upstream->duration_ns : std::nullopt;
  if (upstream_ns)
    Record(&dns_upstream_, DurationBounds(), Seconds(0, *upstream_ns));
  Record(&osep_dns_, DurationBounds(), upstream_ns ? Seconds(0, *upstream_ns) : client);
}

void SandboxMetrics::OnDecided(const Flow& flow) {
  const size_t network = NetworkIndex(flow.peer.address);
  ++attempts_[static_cast<size_t>(flow.outcome)][Index(flow.transport)][network];
  if (flow.outcome != ConnectOutcome::kEstablished || flow.transport != Transport::kTcp)
    return;
  Record(&connect_duration_[network], ConnectBounds(), Seconds(flow.started_ns, flow.decided_ns));
  ++active_[Index(flow.transport)];
}

void SandboxMetrics::OnEnded(const Flow& flow) {
  if (flow.outcome == ConnectOutcome::kEstablished && flow.transport == Transport::kTcp)
    --active_[Index(flow.transport)];
}

void SandboxMetrics::OnExit(const Process& process) {
  Record(&process_duration_, DurationBounds(), Seconds(0, process.duration_ns()));
}

void SandboxMetrics::OnTransaction(const RulesetTransaction& transaction) {
  transactions_[{transaction.operation, transaction.committed}] += transaction.count;
}

void SandboxMetrics::OnAllowed(uint64_t after_ns) {
  Record(&allow_duration_, ConnectBounds(), Seconds(0, after_ns));
}

void SandboxMetrics::OnDenied(DenialLayer layer, Transport transport) {
  ++denied_[{layer, transport}];
}

uint64_t SandboxMetrics::lookups() const {
  uint64_t sum = 0;
  for (const auto& by_transport : lookups_)
    sum += by_transport[0] + by_transport[1];
  return sum;
}

uint64_t SandboxMetrics::denied() const {
  uint64_t sum = 0;
  for (const auto& [key, count] : denied_)
    sum += count;
  return sum;
}

void SandboxMetrics::Append(const KernelCounts& kernel, const DeliveryCounts& delivery,
                            const SandboxGauges& gauges, const std::vector<Attribute>& identity,
                            uint64_t start_unix_ns, MetricSnapshot* out) const {
  const PointWriter points(identity, start_unix_ns, out);
  for (int outcome = 0; outcome < kDnsOutcomeCount; ++outcome) {
    for (const Transport transport : kTransports) {
      points.Count(MetricNamed("sandbox.dns.queries"),
                   {{"outcome", Text(Name(static_cast<DnsOutcome>(outcome)))},
                    {"network.transport", Text(Name(transport))}},
                   lookups_[static_cast<size_t>(outcome)][Index(transport)]);
    }
  }
  points.Count(MetricNamed("sandbox.dns.queries"), {{"outcome", Text(Name(DnsOutcome::kUnknown))}},
               kernel.lost(EVENT_DNS_QUERY));
  points.Record(MetricNamed("sandbox.dns.duration"), {{"leg", "client"}}, dns_client_);
  points.Record(MetricNamed("sandbox.dns.duration"), {{"leg", "upstream"}}, dns_upstream_);
  points.Record(MetricNamed("egress.dns.query.duration"), {}, osep_dns_);

  for (const Transport transport : kTransports) {
    for (size_t network = 0; network < 2; ++network) {
      const std::vector<Attribute> kind = {{"network.transport", Text(Name(transport))},
                                           {"network.type", Text(kNetworks[network])}};
      for (int outcome = 1; outcome < kConnectOutcomeCount; ++outcome) {
        std::vector<Attribute> attributes = kind;
        attributes.push_back({"outcome", Text(Name(static_cast<ConnectOutcome>(outcome)))});
        uint64_t count = attempts_[static_cast<size_t>(outcome)][Index(transport)][network];
        if (outcome == static_cast<int>(ConnectOutcome::kUnknown))
          count += kernel.attempts_dropped[Index(transport)][network];
        points.Count(MetricNamed("sandbox.connect.attempts"), std::move(attributes), count);
      }
    }
    if (transport == Transport::kTcp)
      points.Add(MetricNamed("sandbox.connect.active"),
                 {{"network.transport", Text(Name(transport))}}, active_[Index(transport)]);
  }
  for (size_t network = 0; network < 2; ++network)
    points.Record(MetricNamed("sandbox.connect.duration"),
                  {{"network.type", Text(kNetworks[network])}}, connect_duration_[network]);
  for (const auto& [key, count] : denied_)
    points.Count(MetricNamed("sandbox.egress.denied"),
                 {{"layer", Text(Name(key.first))}, {"network.transport", Text(Name(key.second))}},
                 count);
  for (const Transport transport : kTransports) {
    points.Count(MetricNamed("sandbox.egress.denied"),
                 {{"layer", Text(Name(DenialLayer::kNetfilter))},
                  {"network.transport", Text(Name(transport))}},
                 kernel.denied[Index(transport)]);
  }
  uint64_t updates = 0;
  for (const auto& [key, count] : transactions_) {
    const auto& [operation, committed] = key;
    points.Count(MetricNamed("sandbox.nftables.transactions"),
                 {{"operation", Text(Name(operation))},
                  {"outcome", Text(committed ? "committed" : "aborted")}},
                 count);
    if (committed && operation != NftOperation::kOther)
      updates += count;
  }
  points.Count(MetricNamed("egress.nftables.updates.count"), {}, updates);
  points.Record(MetricNamed("sandbox.dns.allow.duration"), {}, allow_duration_);
  points.Count(MetricNamed("sandbox.connect.before_allow"), {}, connects_before_allow_);
  points.Count(MetricNamed("sandbox.nftables.expired_in_use"), {}, expired_in_use_);
  if (gauges.static_rules)
    points.Add(MetricNamed("egress.nftables.rules.count"), {},
               static_cast<int64_t>(*gauges.static_rules));
  points.Count(MetricNamed("egress.policy.denied_total"), {},
               lookups_[static_cast<size_t>(DnsOutcome::kDenied)][0] +
                   lookups_[static_cast<size_t>(DnsOutcome::kDenied)][1]);
  const std::vector<Attribute> estimated = {{"estimated", "true"}};
  points.Add(MetricNamed("sandbox.egress.destinations"),
             gauges.destinations_estimated ? estimated : std::vector<Attribute>(),
             static_cast<int64_t>(gauges.destinations));
  if (gauges.resources) {
    points.Add(MetricNamed("sandbox.cpu.time"), {{"cpu.mode", "user"}},
               gauges.resources->user_seconds);
    points.Add(MetricNamed("sandbox.cpu.time"), {{"cpu.mode", "system"}},
               gauges.resources->system_seconds);
    points.Add(MetricNamed("sandbox.memory.usage"), {},
               static_cast<int64_t>(gauges.resources->memory_bytes));
    points.Add(MetricNamed("sandbox.process.count"), {},
               static_cast<int64_t>(gauges.resources->processes));
  }
  points.Add(MetricNamed("sandbox.network.io"), {{"direction", "sent"}},
             static_cast<int64_t>(kernel.sent));
  points.Add(MetricNamed("sandbox.network.io"), {{"direction", "received"}},
             static_cast<int64_t>(kernel.received));

  points.Count(MetricNamed("sandbox.process.execs"), {}, kernel.produced[EVENT_EXEC]);
  constexpr const char* kExitNames[] = {"success", "failure", "signal", "oom"};
  for (size_t outcome = 0; outcome < kernel.exits.size(); ++outcome)
    points.Count(MetricNamed("sandbox.process.exits"), {{"outcome", Text(kExitNames[outcome])}},
                 kernel.exits[outcome]);
  points.Record(MetricNamed("sandbox.process.duration"), {}, process_duration_);

  for (uint16_t kind = 1; kind < EVENT_KIND_COUNT; ++kind) {
    points.Count(MetricNamed("sandpiper.events.produced"), {{"kind", Text(KindName(kind))}},
                 kernel.produced[kind]);
    points.Count(MetricNamed("sandpiper.events.delivered"), {{"kind", Text(KindName(kind))}},
                 delivery.delivered[kind]);
    points.Count(MetricNamed("sandpiper.events.dropped"),
                 {{"kind", Text(KindName(kind))}, {"stage", "probe"}, {"reason", "ring_full"}},
                 kernel.dropped[kind]);
    points.Count(MetricNamed("sandpiper.events.dropped"),
                 {{"kind", Text(KindName(kind))}, {"stage", "probe"}, {"reason", "rate_limited"}},
                 kernel.limited[kind]);
  }
  for (const auto& [key, count] : delivery.lost) {
    const auto& [stage, reason, kind] = key;
    points.Count(MetricNamed("sandpiper.events.dropped"),
                 {{"kind", Text(KindName(kind))}, {"stage", stage}, {"reason", reason}}, count);
  }
}

}  // namespace sandpiper
