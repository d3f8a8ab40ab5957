// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/pipeline_metrics.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "userspace/base/clock.h"
#include "userspace/collector/health.h"

namespace sandpiper {

PipelineMetrics::PipelineMetrics(const Sources& sources)
    : sources_(sources), start_unix_ns_(ReadClock(CLOCK_REALTIME)) {}

MetricSnapshot PipelineMetrics::MetricsOf(
    const SandboxSession& sandbox, const std::map<uint64_t, ResourceUse>& use_by_sandbox) const {
  const uint64_t serial = sandbox.sandbox().serial;
  std::optional<ResourceUse> use;
  if (sandbox.sandbox().runtime != kDeviceRuntime) {
    const auto known = use_by_sandbox.find(serial);
    use = known == use_by_sandbox.end() ? ResourceUse{} : known->second;
  }
  MetricSnapshot out;
  sandbox.AppendMetrics(sources_.namespaces->StaticRules(serial), use, &out);
  return out;
}

void PipelineMetrics::Collect(uint64_t now_ns, MetricReader* reader) const {
  const std::map<uint64_t, ResourceUse> use_by_sandbox = sources_.members->UseBySandbox();
  reader->Begin(now_ns + static_cast<uint64_t>(UnixOffset()));
  std::set<std::string> ids;
  for (const auto& [serial, sandbox] : sources_.sandboxes->all()) {
    // A sandbox that is about to end may have a successor with the same id. The successor waits,
    // since series are identified by the id.
    if (ids.insert(sandbox->sandbox().id).second)
      reader->Add(serial, MetricsOf(*sandbox, use_by_sandbox));
  }
  reader->AddHost(HealthMetrics());
}

MetricSnapshot PipelineMetrics::HealthMetrics() const {
  const auto& sandboxes = sources_.sandboxes->all();
  const SessionOptions& options = sources_.sandboxes->options();
  MetricSnapshot out;
  AppendSandboxes(sandboxes, start_unix_ns_, &out);
  AppendProbes(ProbeStates(), sources_.canary->blind(), start_unix_ns_, &out);
  AppendPrograms(sources_.probes->ReadRuns(), start_unix_ns_, &out);
  TableUse flows = {"flows", 0, options.flows_max};
  TableUse destinations = {"destinations", 0, options.destinations_max};
  for (const auto& [serial, sandbox] : sandboxes) {
    flows.entries = std::max(flows.entries, sandbox->flows().size());
    destinations.entries = std::max(destinations.entries, sandbox->ledger().destinations().size());
  }
  const TableUse members = {"members", sources_.members->all().size(),
                            sources_.tables->members_max()};
  AppendTables({members, flows, destinations}, start_unix_ns_, &out);
  return out;
}

std::vector<ProbeState> PipelineMetrics::ProbeStates() const {
  std::vector<ProbeState> out = sources_.probes->states();
  const ResourceReader& resources = sources_.members->resources();
  out.push_back(
      {.probe = "resources", .mechanism = Name(resources.source()), .reason = resources.reason()});
  sources_.canary->AppendState(&out);
  return out;
}

}  // namespace sandpiper
