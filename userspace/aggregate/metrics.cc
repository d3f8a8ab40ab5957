#include "userspace/aggregate/metrics.h"

#include <algorithm>

namespace sandpiper {
namespace {

constexpr char kOsep[] = "opensandbox/egress", kOwn[] = "sandpiper";

constexpr double kDurationBounds[] = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10};
constexpr double kConnectBounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10};

}  // namespace

namespace metric {
using enum MetricKind;
// clang-format off
const MetricRow
    kDnsQueryDuration = {"egress.dns.query.duration", kHistogram, "s", kOsep, {},
                         "DNS forward latency: the upstream leg where a redirecting proxy is seen, else the application's"},
    kPolicyDenied = {"egress.policy.denied_total", kCounter, "", kOsep, {}, "DNS queries denied by policy"},
    kNftRules = {"egress.nftables.rules.count", kGauge, "{element}", kOsep, {},
                 "static rules plus static set elements in force in the sandbox's network namespace"},
    kNftUpdates = {"egress.nftables.updates.count", kCounter, "", kOsep, {}, "committed transactions that changed its rules or sets"},
    kSystemMemory = {"egress.system.memory.usage_bytes", kGauge, "By", kOsep, {}, "host RAM in use"},
    kSystemCpu = {"egress.system.cpu.utilization", kGauge, "1", kOsep, {}, "host CPU busy ratio since the last export"},
    kDnsQueries = {"sandbox.dns.queries", kCounter, "{query}", kOwn, {"outcome", "network.transport"},
                   "lookups that ended; unknown: packets that the kernel counted and no delivered event explains"},
    kDnsDuration = {"sandbox.dns.duration", kHistogram, "s", kOwn, {"leg"}, "from question to answer"},
    kConnectAttempts = {"sandbox.connect.attempts", kCounter, "{attempt}", kOwn, {"outcome", "network.transport", "network.type"},
                        "TCP connects, and first datagrams to a peer, DNS over UDP left out; counted when decided"},
    kConnectDuration = {"sandbox.connect.duration", kHistogram, "s", kOwn, {"network.type"}, "TCP handshake"},
    kConnectActive = {"sandbox.connect.active", kUpDownCounter, "{connection}", kOwn, {"network.transport"}, "established and not closed"},
    kEgressDenied = {"sandbox.egress.denied", kCounter, "{attempt}", kOwn, {"layer", "network.transport"}, "refused by policy: TCP attempts, UDP datagrams, lookups"},
    kNftTransactions = {"sandbox.nftables.transactions", kCounter, "{transaction}", kOwn, {"operation", "outcome"},
                        "nftables batches in the sandbox's network namespace"},
    kAllowDuration = {"sandbox.dns.allow.duration", kHistogram, "s", kOwn, {},
                      "from the answer that names an address to the element with a timeout that lets it through"},
    kConnectBeforeAllow = {"sandbox.connect.before_allow", kCounter, "{element}", kOwn, {},
                           "elements with a timeout whose address was denied in the five seconds before"},
    kExpiredInUse = {"sandbox.nftables.expired_in_use", kCounter, "{element}", kOwn, {},
                     "elements that timed out while a connection to their address was open"},
    kDestinations = {"sandbox.egress.destinations", kGauge, "{destination}", kOwn, {}, "distinct destinations so far"},
    kNetworkIo = {"sandbox.network.io", kCounter, "By", kOwn, {"direction"}, "bytes of IP packets, loopback left out"},
    kProcessExecs = {"sandbox.process.execs", kCounter, "{process}", kOwn, {}, "programs started"},
    kProcessExits = {"sandbox.process.exits", kCounter, "{process}", kOwn, {"outcome"},
                     "processes ended; unknown: the event was dropped"},
    kProcessDuration = {"sandbox.process.duration", kHistogram, "s", kOwn, {}, "from start to exit of a process"},
    kSandboxCount = {"sandbox.count", kGauge, "{sandbox}", kOwn, {"runtime"}, "sandboxes watched"},
    kEventsProduced = {"sandpiper.events.produced", kCounter, "{event}", kOwn, {"kind"}, "events the kernel side counted"},
    kEventsDelivered = {"sandpiper.events.delivered", kCounter, "{event}", kOwn, {"kind"}, "events taken into logs and metrics"},
    kEventsDropped = {"sandpiper.events.dropped", kCounter, "{event}", kOwn, {"kind", "stage", "reason"}, "events lost on the way"},
    kProbeState = {"sandpiper.probe.state", kGauge, "1", kOwn, {"probe", "mechanism", "state"}, "1 for the state a probe is in"};
// clang-format on
}  // namespace metric

std::span<const MetricRow* const> MetricCatalog() {
  using namespace metric;
  static constexpr const MetricRow* kAll[] = {
      &kDnsQueryDuration, &kPolicyDenied,   &kNftRules,        &kNftUpdates,    &kNftTransactions, &kAllowDuration,   &kConnectBeforeAllow,
      &kExpiredInUse,     &kSystemMemory,   &kSystemCpu,       &kDnsQueries,    &kDnsDuration,     &kConnectAttempts, &kConnectDuration,
      &kConnectActive,    &kEgressDenied,   &kDestinations,    &kNetworkIo,     &kProcessExecs,    &kProcessExits,    &kProcessDuration,
      &kSandboxCount,     &kEventsProduced, &kEventsDelivered, &kEventsDropped, &kProbeState};
  return kAll;
}

std::span<const double> DurationBounds() { return kDurationBounds; }
std::span<const double> ConnectBounds() { return kConnectBounds; }

void Histogram::Record(double value) {
  ++buckets_[static_cast<size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin())];
  ++count_;
  sum_ += value;
}

void MetricSnapshot::Add(const MetricRow& row, MetricPoint point) {
  for (MetricFamily& family : families) {
    if (family.row == &row) {
      family.points.push_back(std::move(point));
      return;
    }
  }
  families.push_back({&row, {}});
  families.back().points.push_back(std::move(point));
}

}  // namespace sandpiper
