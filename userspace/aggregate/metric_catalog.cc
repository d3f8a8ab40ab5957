// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/metric_catalog.h"

namespace sandpiper {
namespace {

constexpr char kOsep[] = "opensandbox/egress", kOwn[] = "sandpiper";
constexpr bool kOfSandbox = true, kOfHost = false;

}  // namespace

namespace metric {
using enum MetricKind;
// clang-format off
const MetricRow kDnsQueryDuration = {
    "egress.dns.query.duration", kHistogram, "s", kOsep, kOfSandbox, {},
    "DNS forward latency after policy allowed it: the upstream leg where a redirecting proxy is seen, else the application's; a denied lookup records nothing"};
const MetricRow kPolicyDenied = {
    "egress.policy.denied_total", kCounter, "", kOsep, kOfSandbox, {},
    "DNS lookups denied by policy"};
const MetricRow kNftRules = {
    "egress.nftables.rules.count", kGauge, "{element}", kOsep, kOfSandbox, {},
    "static rules plus static set elements in force in the sandbox's network namespace; absent while unknown"};
const MetricRow kNftUpdates = {
    "egress.nftables.updates.count", kCounter, "", kOsep, kOfSandbox, {},
    "committed transactions that changed its rules or sets"};
const MetricRow kSystemMemory = {
    "egress.system.memory.usage_bytes", kGauge, "By", kOsep, kOfHost, {},
    "host RAM in use"};
const MetricRow kSystemCpu = {
    "egress.system.cpu.utilization", kGauge, "1", kOsep, kOfHost, {},
    "host CPU busy ratio since the last collection"};
const MetricRow kDnsQueries = {
    "sandbox.dns.queries", kCounter, "{query}", kOwn, kOfSandbox, {"outcome", "network.transport"},
    "lookups that ended. `outcome`: `ok`, `nxdomain`, `denied`, `servfail`, `refused`, `timeout`, `malformed`, `other`, and `unknown`: packets that the kernel side counted and no delivered event explains"};
const MetricRow kDnsDuration = {
    "sandbox.dns.duration", kHistogram, "s", kOwn, kOfSandbox, {"leg"},
    "from question to answer. `leg`: `client` is the application's, `upstream` that of a proxy which answers it"};
const MetricRow kConnectAttempts = {
    "sandbox.connect.attempts", kCounter, "{attempt}", kOwn, kOfSandbox, {"outcome", "network.transport", "network.type"},
    "TCP connects, and first datagrams to a peer, DNS over UDP left out; counted when decided. `outcome`: `established`, `denied`, `refused`, `timeout`, `unreachable`, `reset`, `cancelled`, `other`, and `unknown`: the kernel side counted it and an event of it was lost"};
const MetricRow kConnectDuration = {
    "sandbox.connect.duration", kHistogram, "s", kOwn, kOfSandbox, {"network.type"},
    "TCP handshake"};
const MetricRow kConnectActive = {
    "sandbox.connect.active", kUpDownCounter, "{connection}", kOwn, kOfSandbox, {"network.transport"},
    "established and not closed"};
const MetricRow kEgressDenied = {
    "sandbox.egress.denied", kCounter, "{attempt}", kOwn, kOfSandbox, {"layer", "network.transport"},
    "refused by policy: TCP attempts, UDP datagrams, lookups. `layer`: `dns`, `netfilter`, `cgroup`"};
const MetricRow kNftTransactions = {
    "sandbox.nftables.transactions", kCounter, "{transaction}", kOwn, kOfSandbox, {"operation", "outcome"},
    "nftables batches in the sandbox's network namespace. `operation`: `static` (adds to rules, chains, sets), `dynamic` (elements with a timeout), `flush` (only takes away), `other` (of which only the number is known, and all `aborted` ones)"};
const MetricRow kAllowDuration = {
    "sandbox.dns.allow.duration", kHistogram, "s", kOwn, kOfSandbox, {},
    "from the answer that names an address, to the application or to a proxy within the sandbox, to the element with a timeout that lets it through; 0 where the element was first"};
const MetricRow kConnectBeforeAllow = {
    "sandbox.connect.before_allow", kCounter, "{element}", kOwn, kOfSandbox, {},
    "elements with a timeout whose address was denied in the five seconds before"};
const MetricRow kExpiredInUse = {
    "sandbox.nftables.expired_in_use", kCounter, "{element}", kOwn, kOfSandbox, {},
    "elements that timed out while a connection to their address was open"};
const MetricRow kDestinations = {
    "sandbox.egress.destinations", kGauge, "{destination}", kOwn, kOfSandbox, {"estimated"},
    "distinct destinations so far. `estimated`: `true` once they are more than the ledger holds, and absent before"};
const MetricRow kNetworkIo = {
    "sandbox.network.io", kCounter, "By", kOwn, kOfSandbox, {"direction"},
    "bytes of IP packets, loopback left out. `direction`: `sent`, `received`"};
const MetricRow kProcessExecs = {
    "sandbox.process.execs", kCounter, "{process}", kOwn, kOfSandbox, {},
    "programs started"};
const MetricRow kProcessExits = {
    "sandbox.process.exits", kCounter, "{process}", kOwn, kOfSandbox, {"outcome"},
    "processes ended. `outcome`: `success`, `failure` (exit status other than 0), `signal`, `oom` (killed by the kernel for want of memory)"};
const MetricRow kProcessDuration = {
    "sandbox.process.duration", kHistogram, "s", kOwn, kOfSandbox, {},
    "from start to exit of a process"};
const MetricRow kProcessCount = {
    "sandbox.process.count", kGauge, "{process}", kOwn, kOfSandbox, {},
    "living processes"};
const MetricRow kSandboxCpu = {
    "sandbox.cpu.time", kCounter, "s", kOwn, kOfSandbox, {"cpu.mode"},
    "CPU time as `cpu.stat` of its cgroups has it, since they were made. `cpu.mode`: `user`, `system`"};
const MetricRow kSandboxMemory = {
    "sandbox.memory.usage", kGauge, "By", kOwn, kOfSandbox, {},
    "`memory.current` of its cgroups; where that controller is not on them, what the probe `resources` in `sandpiper.probe.state` says instead"};
const MetricRow kSandboxCount = {
    "sandbox.count", kGauge, "{sandbox}", kOwn, kOfHost, {"runtime"},
    "sandboxes watched. `runtime`: `containerd`, `cri-o`, `docker`, `podman`, `systemd`, `device`, `cgroup`, …"};
const MetricRow kEventsProduced = {
    "sandpiper.events.produced", kCounter, "{event}", kOwn, kOfSandbox, {"kind"},
    "events that the kernel side counted"};
const MetricRow kEventsDelivered = {
    "sandpiper.events.delivered", kCounter, "{event}", kOwn, kOfSandbox, {"kind"},
    "events taken into logs and metrics"};
const MetricRow kEventsDropped = {
    "sandpiper.events.dropped", kCounter, "{event}", kOwn, kOfSandbox, {"kind", "stage", "reason"},
    "events lost on the way. `reason`, at the `stage` `probe`: `ring_full`, `rate_limited` (more than the sandbox's share of the ring)"};
const MetricRow kProbeState = {
    "sandpiper.probe.state", kGauge, "{probe}", kOwn, kOfHost, {"probe", "mechanism", "state"},
    "1 for the state that a probe is in: `on`, `degraded` (not the best mechanism), `off`, `blind` (attached, and the canary was not seen)"};
const MetricRow kProbeRunTime = {
    "sandpiper.probe.run_time", kCounter, "s", kOwn, kOfHost, {"probe", "program"},
    "time in the kernel side's programs; only while the kernel keeps it (`--program-statistics`, or the sysctl `kernel.bpf_stats_enabled`)"};
const MetricRow kProbeRunCount = {
    "sandpiper.probe.run_count", kCounter, "{run}", kOwn, kOfHost, {"probe", "program"},
    "runs of them, likewise"};
const MetricRow kProbeMissed = {
    "sandpiper.probe.missed", kCounter, "{run}", kOwn, kOfHost, {"probe", "program"},
    "runs that the kernel left out, since the program was running already on that CPU, and that no second program made up for"};
const MetricRow kTableEntries = {
    "sandpiper.table.entries", kGauge, "{entry}", kOwn, kOfHost, {"table"},
    "entries in a table that is bounded"};
const MetricRow kTableCapacity = {
    "sandpiper.table.capacity", kGauge, "{entry}", kOwn, kOfHost, {"table"},
    "how many there may be"};
const MetricRow kLogsExported = {
    "otel.sdk.exporter.log.exported", kCounter, "{log_record}", kOwn, kOfHost, {"otel.component.type", "otel.component.name", "error.type"},
    "log records handed to the endpoint; those with an `error.type` did not arrive: `queue_full`, `refused`, `rejected` (a partial success), `shutdown`, `spool_full`, `spool_expired`, `spool_corrupt` (requests, not records)"};
const MetricRow kPointsExported = {
    "otel.sdk.exporter.metric_data_point.exported", kCounter, "{data_point}", kOwn, kOfHost, {"otel.component.type", "otel.component.name", "error.type"},
    "data points, likewise"};
const MetricRow kSpoolBytes = {
    "sandpiper.spool.bytes", kGauge, "By", kOwn, kOfHost, {},
    "log records on disk that the endpoint does not take now"};
const MetricRow kSpoolOldestAge = {
    "sandpiper.spool.oldest_age", kGauge, "s", kOwn, kOfHost, {},
    "how long the oldest of them has been there"};
const MetricRow kOwnCpu = {
    "process.cpu.time", kCounter, "s", kOwn, kOfHost, {"cpu.mode"},
    "CPU time of sandpiper itself"};
const MetricRow kOwnMemory = {
    "process.memory.usage", kUpDownCounter, "By", kOwn, kOfHost, {},
    "resident memory of sandpiper itself"};
// clang-format on
}  // namespace metric

std::span<const MetricRow* const> MetricCatalog() {
  using namespace metric;
  static constexpr const MetricRow* kAll[] = {
      &kDnsQueryDuration, &kPolicyDenied,   &kNftRules,
      &kNftUpdates,       &kSystemMemory,   &kSystemCpu,
      &kDnsQueries,       &kDnsDuration,    &kConnectAttempts,
      &kConnectDuration,  &kConnectActive,  &kEgressDenied,
      &kNftTransactions,  &kAllowDuration,  &kConnectBeforeAllow,
      &kExpiredInUse,     &kDestinations,   &kNetworkIo,
      &kProcessExecs,     &kProcessExits,   &kProcessDuration,
      &kProcessCount,     &kSandboxCpu,     &kSandboxMemory,
      &kSandboxCount,     &kEventsProduced, &kEventsDelivered,
      &kEventsDropped,    &kProbeState,     &kProbeRunTime,
      &kProbeRunCount,    &kProbeMissed,    &kTableEntries,
      &kTableCapacity,    &kLogsExported,   &kPointsExported,
      &kSpoolBytes,       &kSpoolOldestAge, &kOwnCpu,
      &kOwnMemory};
  return kAll;
}

const char* Name(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return "counter";
    case MetricKind::kUpDownCounter:
      return "up-down counter";
    case MetricKind::kGauge:
      return "gauge";
    case MetricKind::kHistogram:
      return "histogram";
  }
  return "";
}

}  // namespace sandpiper
