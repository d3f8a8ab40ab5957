// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_COLLECTOR_PIPELINE_METRICS_H_
#define SANDPIPER_USERSPACE_COLLECTOR_PIPELINE_METRICS_H_

#include <cstdint>
#include <map>
#include <vector>

#include "userspace/aggregate/metric_reader.h"
#include "userspace/attribution/member_table.h"
#include "userspace/attribution/network_namespaces.h"
#include "userspace/canary/canary_watch.h"
#include "userspace/collector/sandbox_directory.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/probe/probe_status.h"

namespace sandpiper {

// Computes the metrics of the sandboxes and of sandpiper itself from the state of the pipeline.
// Changes nothing.
//
// Owned by Pipeline. All calls are made by the thread of the event loop.
class PipelineMetrics {
 public:
  // All outlive this object.
  struct Sources {
    const KernelTables* tables;
    const ProbeStatus* probes;
    const SandboxDirectory* sandboxes;
    const MemberTable* members;
    const NetworkNamespaces* namespaces;
    const CanaryWatch* canary;
  };
  explicit PipelineMetrics(const Sources& sources);

  // Begins a collection of the reader and adds all metrics. The caller ends the collection.
  // Counters and resources must be current.
  void Collect(uint64_t now_ns, MetricReader* reader) const;
  // The last metrics of a sandbox that is about to be removed.
  MetricSnapshot LastOf(const SandboxSession& sandbox) const { return MetricsOf(sandbox, {}); }

  // The mechanism of each probe, of the memory readings, and of the self-test.
  std::vector<ProbeState> ProbeStates() const;

 private:
  MetricSnapshot MetricsOf(const SandboxSession& sandbox,
                           const std::map<uint64_t, ResourceUse>& use_by_sandbox) const;
  MetricSnapshot HealthMetrics() const;

  const Sources sources_;
  const uint64_t start_unix_ns_;  // of the cumulative metrics
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_PIPELINE_METRICS_H_
