// SPDX-License-Identifier: Apache-2.0
// What is read of the kernel side at times, and what others ask for: metrics, states and
// descriptions; see Pipeline.
#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "userspace/base/clock.h"
#include "userspace/collector/describe.h"
#include "userspace/collector/health.h"
#include "userspace/collector/pipeline.h"

namespace sandpiper {

void Pipeline::ReadCounters() {
  const std::map<uint64_t, KernelCounts> counts = members_.CountsBySandbox();
  for (const auto& [serial, sandbox] : sandboxes_) {
    const auto mine = counts.find(serial);
    sandbox->OnCounters(mine == counts.end() ? KernelCounts{} : mine->second);
  }
}

void Pipeline::ReadBytes(uint64_t now_ns) {
  absl::flat_hash_set<uint64_t> living;
  absl::flat_hash_map<uint64_t, FlowTable::TcpCounts> bytes;
  for (const SocketBytes& socket : tables_->ReadSockets()) {
    living.insert(socket.cookie);
    bytes[socket.cookie] = {.sent = socket.bytes.sent, .received = socket.bytes.received};
    if (capture_)
      capture_->TcpBytes(socket.cookie, socket.bytes.sent, socket.bytes.received);
  }
  const FlowTable::TcpReader read = [&](uint64_t cookie) {
    const auto socket = bytes.find(cookie);
    return socket == bytes.end() ? std::nullopt : std::optional(socket->second);
  };
  for (const auto& [serial, sandbox] : sandboxes_) {
    sandbox->flows().RefreshTcp(read);
    if (tables_->sees_all_sockets())
      sandbox->OnLivingSockets(living, now_ns);
  }
}

size_t Pipeline::open_connections() const {
  size_t open = 0;
  for (const auto& [serial, sandbox] : sandboxes_)
    open += sandbox->flows().size();
  return open;
}

v1::ListSandboxesResponse Pipeline::Describe(size_t destinations) {
  ReadCounters();
  v1::ListSandboxesResponse out = DescribeSandboxes(sandboxes_, members_, destinations);
  out.set_waiting(attribution_.waiting());
  out.set_unattributed(unattributed_);
  return out;
}

MetricSnapshot Pipeline::MetricsOf(const SandboxSession& sandbox,
                                   const std::map<uint64_t, ResourceUse>& uses) const {
  const uint64_t serial = sandbox.sandbox().serial;
  std::optional<ResourceUse> use;
  if (sandbox.sandbox().runtime != kDeviceRuntime) {
    const auto mine = uses.find(serial);
    use = mine == uses.end() ? ResourceUse{} : mine->second;
  }
  MetricSnapshot out;
  sandbox.AppendMetrics(namespaces_.StaticRules(serial), use, &out);
  return out;
}

void Pipeline::Collect(uint64_t now_ns, MetricReader* reader) {
  ReadCounters();
  members_.ReadUse();
  const std::map<uint64_t, ResourceUse> uses = members_.UseBySandbox();
  reader->Begin(now_ns + static_cast<uint64_t>(UnixOffset()));
  std::set<std::string> ids;
  for (const auto& [serial, sandbox] : sandboxes_) {
    // One that is about to end, and its successor of the same name: the older one first has to be
    // through.
    if (ids.insert(sandbox->sandbox().id).second)
      reader->Add(serial, MetricsOf(*sandbox, uses));
  }
  reader->AddHost(HealthMetrics());
}

MetricSnapshot Pipeline::HealthMetrics() const {
  MetricSnapshot out;
  AppendSandboxes(sandboxes_, start_unix_ns_, &out);
  AppendProbes(ProbeStates(), canary_.blind(), start_unix_ns_, &out);
  AppendPrograms(probes_->ReadRuns(), start_unix_ns_, &out);
  TableUse flows = {"flows", 0, options_.flows_max},
           destinations = {"destinations", 0, options_.destinations_max};
  for (const auto& [serial, sandbox] : sandboxes_) {
    flows.entries = std::max(flows.entries, sandbox->flows().size());
    destinations.entries = std::max(destinations.entries, sandbox->ledger().destinations().size());
  }
  AppendTables({{"members", members_.all().size(), tables_->members_max()}, flows, destinations},
               start_unix_ns_, &out);
  return out;
}

std::vector<ProbeState> Pipeline::ProbeStates() const {
  std::vector<ProbeState> out = probes_->states();
  const ResourceReader& resources = members_.resources();
  out.push_back(
      {.probe = "resources", .mechanism = Name(resources.source()), .reason = resources.reason()});
  canary_.AppendState(&out);
  return out;
}

}  // namespace sandpiper
