// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/health.h"

#include <algorithm>
#include <map>

#include "userspace/base/clock.h"

namespace sandpiper {

void AppendSandboxes(const std::map<uint64_t, std::unique_ptr<SandboxSession>>& sandboxes,
                     uint64_t start_unix_ns, MetricSnapshot* out) {
  std::map<std::string, int64_t> by_runtime;
  for (const auto& [serial, sandbox] : sandboxes)
    ++by_runtime[sandbox->sandbox().runtime];
  for (const auto& [runtime, count] : by_runtime)
    out->Add(
        MetricNamed("sandbox.count"),
        {.attributes = {{"runtime", runtime}}, .value = count, .start_unix_ns = start_unix_ns});
}

void AppendProbes(const std::vector<ProbeState>& states, const std::vector<std::string>& blind,
                  uint64_t start_unix_ns, MetricSnapshot* out) {
  for (const ProbeState& probe : states) {
    const bool is_blind = std::find(blind.begin(), blind.end(), probe.probe) != blind.end();
    out->Add(MetricNamed("sandpiper.probe.state"),
             {.attributes = {{"probe", probe.probe},
                             {"mechanism", probe.mechanism.empty() ? "none" : probe.mechanism},
                             {"state", std::string(Name(GetOperatingState(probe, is_blind)))}},
              .value = int64_t{1},
              .start_unix_ns = start_unix_ns});
  }
}

void AppendPrograms(const std::vector<ProgramRuns>& programs, uint64_t start_unix_ns,
                    MetricSnapshot* out) {
  // Some programs are loaded once for each device. All its instances share one series.
  std::map<std::pair<std::string, std::string>, ProgramRuns> sums;
  for (const ProgramRuns& program : programs) {
    ProgramRuns& sum = sums[{program.probe, program.program}];
    sum.time_ns += program.time_ns;
    sum.count += program.count;
    sum.missed += program.missed;
  }
  for (const auto& [name, runs] : sums) {
    const std::vector<Attribute> attributes = {{"probe", name.first}, {"program", name.second}};
    const auto add = [&](const MetricRow& row, auto value) {
      out->Add(row, {.attributes = attributes, .value = value, .start_unix_ns = start_unix_ns});
    };
    if (runs.count > 0) {
      add(MetricNamed("sandpiper.probe.run_time"), static_cast<double>(runs.time_ns) / 1e9);
      add(MetricNamed("sandpiper.probe.run_count"), static_cast<int64_t>(runs.count));
    }
    add(MetricNamed("sandpiper.probe.missed"), static_cast<int64_t>(runs.missed));
  }
}

void AppendTables(const std::vector<TableUse>& tables, uint64_t start_unix_ns,
                  MetricSnapshot* out) {
  for (const TableUse& table : tables) {
    const std::vector<Attribute> attributes = {{"table", std::string(table.table)}};
    out->Add(MetricNamed("sandpiper.table.entries"), {.attributes = attributes,
                                                      .value = static_cast<int64_t>(table.entries),
                                                      .start_unix_ns = start_unix_ns});
    out->Add(MetricNamed("sandpiper.table.capacity"),
             {.attributes = attributes,
              .value = static_cast<int64_t>(table.capacity),
              .start_unix_ns = start_unix_ns});
  }
}

void AppendExporter(const MetricRow& row, const std::string& type, const ExportCounts& counts,
                    uint64_t start_unix_ns, MetricSnapshot* out) {
  const auto add = [&](const char* error, uint64_t count) {
    std::vector<Attribute> attributes = {{"otel.component.type", type},
                                         {"otel.component.name", type + "/0"}};
    if (*error)
      attributes.push_back({"error.type", std::string(error)});
    if (count > 0 || !*error)
      out->Add(row, {.attributes = std::move(attributes),
                     .value = static_cast<int64_t>(count),
                     .start_unix_ns = start_unix_ns});
  };
  add("", counts.sent);
  add("queue_full", counts.dropped_queue_full);
  add("refused", counts.dropped_refused);
  add("rejected", counts.dropped_rejected);
  add("shutdown", counts.dropped_at_exit);
  add("spool_full", counts.dropped_spool_full);
  add("spool_expired", counts.dropped_spool_old);
  add("spool_corrupt", counts.dropped_spool_corrupt);
}

void AppendLogExporter(const std::string& type, const LogExporter& exporter, uint64_t start_unix_ns,
                       MetricSnapshot* out) {
  AppendExporter(MetricNamed("otel.sdk.exporter.log.exported"), type, exporter.counts(),
                 start_unix_ns, out);
  const auto stored = exporter.stored();
  if (!stored)
    return;
  const uint64_t now = ReadClock(CLOCK_REALTIME);
  const uint64_t age =
      stored->oldest_unix_ns > 0 && now > stored->oldest_unix_ns ? now - stored->oldest_unix_ns : 0;
  out->Add(MetricNamed("sandpiper.spool.bytes"), {.attributes = {},
                                                  .value = static_cast<int64_t>(stored->bytes),
                                                  .start_unix_ns = start_unix_ns});
  out->Add(
      MetricNamed("sandpiper.spool.oldest_age"),
      {.attributes = {}, .value = static_cast<double>(age) / 1e9, .start_unix_ns = start_unix_ns});
}

}  // namespace sandpiper
