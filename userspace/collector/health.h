// SPDX-License-Identifier: Apache-2.0
// The metrics of sandpiper itself: probes, BPF programs, tables and exporters. Each function
// appends its data points to `out`.
#ifndef SANDPIPER_USERSPACE_COLLECTOR_HEALTH_H_
#define SANDPIPER_USERSPACE_COLLECTOR_HEALTH_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "userspace/aggregate/metrics.h"
#include "userspace/export/log_exporter.h"
#include "userspace/probe/probe_status.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {

// How full a table is. Of tables that each sandbox has, the fullest.
struct TableUse {
  const char* table;
  size_t entries;
  size_t capacity;
};

// The number of sandboxes of each runtime.
void AppendSandboxes(const std::map<uint64_t, std::unique_ptr<SandboxSession>>& sandboxes,
                     uint64_t start_unix_ns, MetricSnapshot* out);
// `blind`: the probes that failed the self-test.
void AppendProbes(const std::vector<ProbeState>& states, const std::vector<std::string>& blind,
                  uint64_t start_unix_ns, MetricSnapshot* out);
void AppendPrograms(const std::vector<ProgramRuns>& programs, uint64_t start_unix_ns,
                    MetricSnapshot* out);
void AppendTables(const std::vector<TableUse>& tables, uint64_t start_unix_ns, MetricSnapshot* out);
// `row` is a metric otel.sdk.exporter.*.exported. `type` is the value of otel.component.type.
void AppendExporter(const MetricRow& row, const std::string& type, const ExportCounts& counts,
                    uint64_t start_unix_ns, MetricSnapshot* out);
// The counts of the exporter, and the size and age of its spool.
void AppendLogExporter(const std::string& type, const LogExporter& exporter, uint64_t start_unix_ns,
                       MetricSnapshot* out);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_HEALTH_H_
