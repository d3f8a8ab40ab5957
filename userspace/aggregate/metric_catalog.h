// SPDX-License-Identifier: Apache-2.0
// The catalogue of metrics, one row each. Names, kinds and attributes are a contract with users.
// The table of docs/metrics.md is made from these rows.
//
// To add a metric, add a row, and use it as MetricNamed("its.name").
#ifndef SANDPIPER_USERSPACE_AGGREGATE_METRIC_CATALOG_H_
#define SANDPIPER_USERSPACE_AGGREGATE_METRIC_CATALOG_H_

#include <array>
#include <cstdint>
#include <string_view>

namespace sandpiper {

enum class MetricKind : uint8_t { kCounter, kUpDownCounter, kGauge, kHistogram };

// Whether the points of a metric carry the identity of a sandbox.
enum class MetricSubject : uint8_t { kSandbox, kHost };

struct MetricRow {
  const char* name;
  MetricKind kind;
  const char* unit;   // UCUM, as in OTLP
  const char* scope;  // the instrumentation scope in OTLP
  MetricSubject subject;
  // All other keys that its points may carry; unused ones are null.
  std::array<const char*, 3> attributes;
  const char* meaning;
};

inline constexpr char kOsepScope[] = "opensandbox/egress";
inline constexpr char kOwnScope[] = "sandpiper";

namespace metric_rows {
using enum MetricKind;
using enum MetricSubject;
// clang-format off
inline constexpr MetricRow kMetrics[] = {
    {"egress.dns.query.duration", kHistogram, "s", kOsepScope, kSandbox, {},
     "time of a DNS query that policy allowed: of the upstream query where a redirecting proxy "
     "is seen, else of the application's query; a denied lookup records nothing"},
    {"egress.policy.denied_total", kCounter, "", kOsepScope, kSandbox, {},
     "DNS lookups denied by policy"},
    {"egress.nftables.rules.count", kGauge, "{element}", kOsepScope, kSandbox, {},
     "static rules plus static set elements in force in the sandbox's network namespace; absent "
     "while unknown"},
    {"egress.nftables.updates.count", kCounter, "", kOsepScope, kSandbox, {},
     "committed transactions that changed its rules or sets"},
    {"egress.system.memory.usage_bytes", kGauge, "By", kOsepScope, kHost, {},
     "host memory in use"},
    {"egress.system.cpu.utilization", kGauge, "1", kOsepScope, kHost, {},
     "host CPU busy ratio since the last collection"},
    {"sandbox.dns.queries", kCounter, "{query}", kOwnScope, kSandbox,
     {"outcome", "network.transport"},
     "lookups that ended. `outcome`: `ok`, `nxdomain`, `denied`, `servfail`, `refused`, "
     "`timeout`, `malformed`, `other`, and `unknown`: packets that the BPF programs counted and "
     "that no delivered event explains"},
    {"sandbox.dns.duration", kHistogram, "s", kOwnScope, kSandbox, {"leg"},
     "from question to answer. `leg`: `client` is the application's query, `upstream` the query "
     "of a proxy that answers it"},
    {"sandbox.connect.attempts", kCounter, "{attempt}", kOwnScope, kSandbox,
     {"outcome", "network.transport", "network.type"},
     "TCP connects, and first datagrams to a peer, without DNS over UDP; counted when the "
     "outcome is known. `outcome`: `established`, `denied`, `refused`, `timeout`, `unreachable`, "
     "`reset`, `cancelled`, `other`, and `unknown`: the BPF programs counted it, but an event of "
     "it was lost"},
    {"sandbox.connect.duration", kHistogram, "s", kOwnScope, kSandbox, {"network.type"},
     "duration of the TCP handshake"},
    {"sandbox.connect.active", kUpDownCounter, "{connection}", kOwnScope, kSandbox,
     {"network.transport"},
     "established connections that are not closed"},
    {"sandbox.egress.denied", kCounter, "{attempt}", kOwnScope, kSandbox,
     {"layer", "network.transport"},
     "denied by policy: TCP attempts, UDP datagrams, lookups. `layer`: `dns`, `netfilter`, "
     "`cgroup`"},
    {"sandbox.nftables.transactions", kCounter, "{transaction}", kOwnScope, kSandbox,
     {"operation", "outcome"},
     "nftables batches in the sandbox's network namespace. `operation`: `static` (adds rules, "
     "chains or sets), `dynamic` (adds elements with a timeout), `flush` (only removes), `other` "
     "(only the number is known; all `aborted` ones)"},
    {"sandbox.dns.allow.duration", kHistogram, "s", kOwnScope, kSandbox, {},
     "from the answer with an address (to the application, or to a proxy within the sandbox) to "
     "the element with a timeout that allows the address; 0 if the element was there first"},
    {"sandbox.connect.before_allow", kCounter, "{element}", kOwnScope, kSandbox, {},
     "elements with a timeout whose address was denied in the five seconds before"},
    {"sandbox.nftables.expired_in_use", kCounter, "{element}", kOwnScope, kSandbox, {},
     "elements that timed out while a connection to their address was open"},
    {"sandbox.egress.destinations", kGauge, "{destination}", kOwnScope, kSandbox, {"estimated"},
     "distinct destinations so far. `estimated`: `true` once they are more than the ledger "
     "holds, and absent before"},
    {"sandbox.network.io", kCounter, "By", kOwnScope, kSandbox, {"direction"},
     "bytes of IP packets, without loopback. `direction`: `sent`, `received`"},
    {"sandbox.process.execs", kCounter, "{process}", kOwnScope, kSandbox, {},
     "programs started"},
    {"sandbox.process.exits", kCounter, "{process}", kOwnScope, kSandbox, {"outcome"},
     "processes ended. `outcome`: `success`, `failure` (exit status other than 0), `signal`, "
     "`oom` (killed by the kernel because memory ran out)"},
    {"sandbox.process.duration", kHistogram, "s", kOwnScope, kSandbox, {},
     "from start to exit of a process"},
    {"sandbox.process.count", kGauge, "{process}", kOwnScope, kSandbox, {},
     "running processes"},
    {"sandbox.cpu.time", kCounter, "s", kOwnScope, kSandbox, {"cpu.mode"},
     "CPU time in `cpu.stat` of its cgroups since they were created. `cpu.mode`: `user`, `system`"},
    {"sandbox.memory.usage", kGauge, "By", kOwnScope, kSandbox, {},
     "`memory.current` of its cgroups. Where that controller is not enabled, the probe "
     "`resources` in `sandpiper.probe.state` says which value is used"},
    {"sandbox.count", kGauge, "{sandbox}", kOwnScope, kHost, {"runtime"},
     "sandboxes watched. `runtime`: `containerd`, `cri-o`, `docker`, `podman`, `systemd`, "
     "`device`, `cgroup`, …"},
    {"sandpiper.events.produced", kCounter, "{event}", kOwnScope, kSandbox, {"kind"},
     "events that the BPF programs counted"},
    {"sandpiper.events.delivered", kCounter, "{event}", kOwnScope, kSandbox, {"kind"},
     "events that became part of logs and metrics"},
    {"sandpiper.events.dropped", kCounter, "{event}", kOwnScope, kSandbox,
     {"kind", "stage", "reason"},
     "events lost on the way. `reason` at the `stage` `probe`: `ring_full`, `rate_limited` (over "
     "the sandbox's share of the ring buffer)"},
    {"sandpiper.probe.state", kGauge, "{probe}", kOwnScope, kHost, {"probe", "mechanism", "state"},
     "1 for the state of a probe: `on`, `degraded` (not the best mechanism), `off`, `blind` "
     "(attached, but it did not see the self-test)"},
    {"sandpiper.probe.run_time", kCounter, "s", kOwnScope, kHost, {"probe", "program"},
     "time in the BPF programs; only while the kernel measures it (`--program-statistics`, or "
     "the sysctl `kernel.bpf_stats_enabled`)"},
    {"sandpiper.probe.run_count", kCounter, "{run}", kOwnScope, kHost, {"probe", "program"},
     "runs of the BPF programs; only while the kernel counts them, as for "
     "`sandpiper.probe.run_time`"},
    {"sandpiper.probe.missed", kCounter, "{run}", kOwnScope, kHost, {"probe", "program"},
     "runs that the kernel skipped because the program was already running on that CPU, and that "
     "no second program made up for"},
    {"sandpiper.table.entries", kGauge, "{entry}", kOwnScope, kHost, {"table"},
     "entries in a table of limited size"},
    {"sandpiper.table.capacity", kGauge, "{entry}", kOwnScope, kHost, {"table"},
     "largest number of entries in that table"},
    {"otel.sdk.exporter.log.exported", kCounter, "{log_record}", kOwnScope, kHost,
     {"otel.component.type", "otel.component.name", "error.type"},
     "log records sent to the endpoint. Those with an `error.type` did not arrive: `queue_full`, "
     "`refused`, `rejected` (a partial success), `shutdown`, `spool_full`, `spool_expired`, "
     "`spool_corrupt` (counts requests, not records)"},
    {"otel.sdk.exporter.metric_data_point.exported", kCounter, "{data_point}", kOwnScope, kHost,
     {"otel.component.type", "otel.component.name", "error.type"},
     "data points sent to the endpoint, with the same `error.type`"},
    {"sandpiper.spool.bytes", kGauge, "By", kOwnScope, kHost, {},
     "log records on disk that wait for the endpoint"},
    {"sandpiper.spool.oldest_age", kGauge, "s", kOwnScope, kHost, {},
     "age of the oldest of them"},
    {"process.cpu.time", kCounter, "s", kOwnScope, kHost, {"cpu.mode"},
     "CPU time of sandpiper itself"},
    {"process.memory.usage", kUpDownCounter, "By", kOwnScope, kHost, {},
     "resident memory of sandpiper itself"},
};
// clang-format on
}  // namespace metric_rows
using metric_rows::kMetrics;

namespace catalog_internal {
inline void NoSuchMetricInTheCatalogue() {}
}  // namespace catalog_internal

// The row of a metric. A name that the catalogue does not have does not compile.
consteval const MetricRow& MetricNamed(std::string_view name) {
  for (const MetricRow& row : kMetrics) {
    if (name == row.name)
      return row;
  }
  catalog_internal::NoSuchMetricInTheCatalogue();  // not constexpr: the compiler's error names it
  return kMetrics[0];
}

// "counter", "up-down counter", "gauge", "histogram".
const char* Name(MetricKind kind);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_METRIC_CATALOG_H_
