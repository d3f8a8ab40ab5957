// SPDX-License-Identifier: Apache-2.0
// sandpiper run: runs the collector until SIGTERM or SIGINT.
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/clock.h"
#include "userspace/base/diagnostics.h"
#include "userspace/base/fd.h"
#include "userspace/base/service_manager.h"
#include "userspace/collector/collector.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/signals.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

// The sandboxes that are configured by path.
absl::StatusOr<std::vector<Sandbox>> Select(const std::string& mount, const Config& config) {
  ASSIGN_OR_RETURN(std::vector<Sandbox> sandboxes, SelectCgroups(config.cgroups, mount));
  if (!config.sandbox_id.empty()) {
    if (sandboxes.size() != 1 || !config.discovery.rules.empty() || !config.devices.empty())
      return absl::InvalidArgumentError(
          absl::StrCat("OPENSANDBOX_EGRESS_SANDBOX_ID=", config.sandbox_id,
                       " is the id of one sandbox: watch exactly one, with --cgroup PATH"));
    sandboxes[0].id = config.sandbox_id;
  }
  return sandboxes;
}

void Reload(const std::function<absl::StatusOr<Config>()>& reload, Collector* collector) {
  const auto config = reload();
  const auto change = config.ok() ? collector->Reload(*config) : config.status();
  if (!change.ok()) {
    LogError(absl::StrCat("reload failed, keeping the old configuration: ",
                          std::string(change.status().message())));
    return;
  }
  ConfigureDiagnostics(config->diagnostics);
  if (change->applied.empty())
    LogInfo("configuration reloaded: nothing changed");
  else
    LogInfo(absl::StrCat("configuration reloaded: applied ", absl::StrJoin(change->applied, ", ")));
  if (!change->after_restart.empty())
    LogWarn(absl::StrCat(absl::StrJoin(change->after_restart, ", "),
                         " changed; restart sandpiper to apply"));
}

void LogReady(const Config& config, bool has_devices, const Pipeline& pipeline) {
  const size_t count = pipeline.sandboxes().size();
  const bool looks_for_more = has_devices || !config.discovery.rules.empty();
  LogInfo(absl::StrCat("ready, watching ", count, count == 1 ? " sandbox" : " sandboxes",
                       looks_for_more ? ", looking for more" : ""));
}

void LogProbes(const Pipeline& pipeline) {
  for (const ProbeState& state : pipeline.ProbeStates()) {
    if (state.reason.empty()) {
      LogDebug(absl::StrCat("probe ", state.probe, " uses ", state.mechanism));
      continue;
    }
    LogWarn(absl::StrCat("probe ", state.probe,
                         state.mechanism.empty() ? " is off" : " uses " + state.mechanism, " (",
                         state.reason, ")"));
  }
}

}  // namespace

int RunCollector(Config config, const std::function<absl::StatusOr<Config>()>& reload) {
  ConfigureDiagnostics(config.diagnostics);
  for (const std::string& warning : config.warnings)
    LogWarn(warning);
  const auto mount = FindCgroupMount();
  if (!mount.ok())
    return Fail(mount.status(), kExitFailure);
  config.probes.devices = !config.devices.empty();
  if (config.api_socket.empty())
    config.recent_records = 0;
  if (const absl::Status status = ResolveDiscovery(*mount, &config); !status.ok())
    return Fail(status, kExitFailure);
  const auto sandboxes = Select(*mount, config);
  if (!sandboxes.ok())
    return Fail(sandboxes.status(), kExitFailure);
  absl::StatusOr<std::unique_ptr<Canary>> canary = nullptr;
  if (config.canary_interval.count() > 0)
    canary = Canary::Create(
        *mount, {.interval = config.canary_interval, .dns_port = config.probes.dns_ports[0]});
  const UniqueFd signal_fd = TakeSignals({SIGTERM, SIGINT, SIGHUP});
  auto collector = Collector::Start(config, config.records_on_stdout ? stdout : nullptr);
  if (!collector.ok())
    return Fail(collector.status(), kExitFailure);
  const auto devices = ParseDevices(config.devices);
  if (!devices.ok())
    return Fail(devices.status(), kExitFailure);
  if (const absl::Status status =
          (*collector)->Watch(*sandboxes, *devices, SandboxScope::kHost, std::move(canary));
      !status.ok())
    return Fail(status, kExitFailure);
  if (const absl::Status status = (*collector)->Confine({}); !status.ok())
    return Fail(status, kExitFailure);
  if (!config.api_socket.empty()) {
    if (const absl::Status status = (*collector)->Serve(config.api_socket); !status.ok())
      LogError(absl::StrCat(std::string(status.message()), "; continuing without the API socket"));
  }
  LogReady(config, !devices->empty(), (*collector)->pipeline());
  LogProbes((*collector)->pipeline());
  NotifyServiceManager("READY=1");
  const pollfd signals[] = {{.fd = signal_fd.get(), .events = POLLIN, .revents = 0}};
  while (true) {
    (*collector)->RunUntil(signals);
    signalfd_siginfo signal = {};
    if (read(signal_fd.get(), &signal, sizeof(signal)) != sizeof(signal) ||
        signal.ssi_signo != SIGHUP)
      break;
    NotifyServiceManager(
        absl::StrCat("RELOADING=1\nMONOTONIC_USEC=", ReadClock(CLOCK_MONOTONIC) / 1000));
    Reload(reload, collector->get());
    NotifyServiceManager("READY=1");
  }
  NotifyServiceManager("STOPPING=1");
  (*collector)->Shutdown();
  for (const std::string& problem : (*collector)->outputs().Problems())
    LogWarn(problem);
  FlushDiagnostics();
  return 0;
}

}  // namespace sandpiper
