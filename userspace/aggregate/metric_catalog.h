// SPDX-License-Identifier: Apache-2.0
// All metrics, one row each. Names, kinds and attributes are a promise: docs/metrics.md is made of
// these rows.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_METRIC_CATALOG_H_
#define SANDPIPER_USERSPACE_AGGREGATE_METRIC_CATALOG_H_

#include <span>
#include <vector>

namespace sandpiper {

enum class MetricKind { kCounter, kUpDownCounter, kGauge, kHistogram };

struct MetricRow {
  const char* name;
  MetricKind kind;
  const char* unit;  // UCUM, as OTLP has it
  const char* scope;
  bool of_sandbox;                      // its points carry the sandbox's identity
  std::vector<const char*> attributes;  // all keys that its points may carry besides
  const char* meaning;
};

namespace metric {
extern const MetricRow kDnsQueryDuration, kPolicyDenied, kNftRules, kNftUpdates, kSystemMemory,
    kSystemCpu;
extern const MetricRow kDnsQueries, kDnsDuration, kConnectAttempts, kConnectDuration,
    kConnectActive, kEgressDenied, kDestinations, kNftTransactions, kAllowDuration,
    kConnectBeforeAllow, kExpiredInUse, kNetworkIo, kProcessExecs, kProcessExits, kProcessDuration,
    kProcessCount, kSandboxCpu, kSandboxMemory, kSandboxCount;
extern const MetricRow kEventsProduced, kEventsDelivered, kEventsDropped, kProbeState,
    kProbeRunTime, kProbeRunCount, kProbeMissed, kTableEntries, kTableCapacity, kLogsExported,
    kPointsExported, kSpoolBytes, kSpoolOldestAge, kOwnCpu, kOwnMemory;
}  // namespace metric

std::span<const MetricRow* const> MetricCatalog();

// "counter", "up-down counter", "gauge", "histogram".
const char* Name(MetricKind kind);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_METRIC_CATALOG_H_
