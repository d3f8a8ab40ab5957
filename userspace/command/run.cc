// SPDX-License-Identifier: Apache-2.0
// sandpiper run: the collector, until SIGTERM or SIGINT.
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_join.h"
#include "userspace/base/clock.h"
#include "userspace/base/fd.h"
#include "userspace/base/service_manager.h"
#include "userspace/collector/collector.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/signals.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

absl::StatusOr<std::vector<Sandbox>> Select(const std::string& mount, const Config& config) {
  ASSIGN_OR_RETURN(std::vector<Sandbox> sandboxes, SelectCgroups(config.cgroups, mount));
  if (!config.sandbox_id.empty()) {
    if (sandboxes.size() != 1 || !config.discovery.rules.empty() || !config.devices.empty())
      return absl::InvalidArgumentError(
          absl::StrCat("OPENSANDBOX_EGRESS_SANDBOX_ID=", config.sandbox_id,
                       " names one sandbox: watch that one, with --cgroup PATH, and no other"));
    sandboxes[0].id = config.sandbox_id;
  }
  return sandboxes;
}

void Reload(const std::function<absl::StatusOr<Config>()>& reload, Collector* collector) {
  const auto config = reload();
  const auto change = config.ok() ? collector->Reload(*config) : config.status();
  if (!change.ok()) {
    fprintf(stderr, "sandpiper: the configuration stays as it was: %s\n",
            std::string(change.status().message()).c_str());
    return;
  }
  const auto list = [](const std::vector<std::string>& keys) {
    return keys.empty() ? "nothing" : absl::StrJoin(keys, ", ");
  };
  fprintf(stderr, "sandpiper: configuration read again: %s changed\n", list(change->taken).c_str());
  if (!change->after_restart.empty())
    fprintf(stderr, "sandpiper: only a restart changes %s\n", list(change->after_restart).c_str());
}

}  // namespace

int RunCollector(Config config, const std::function<absl::StatusOr<Config>()>& reload) {
  WarnAll(config);
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
      fprintf(stderr, "sandpiper: %s; going on without\n", std::string(status.message()).c_str());
  }
  const size_t count = (*collector)->pipeline().sandboxes().size();
  fprintf(stderr, "sandpiper: ready, watching %zu sandbox%s%s\n", count, count == 1 ? "" : "es",
          config.discovery.rules.empty() && devices->empty() ? "" : ", looking for more");
  for (const ProbeState& state : (*collector)->pipeline().ProbeStates()) {
    if (!state.reason.empty())
      fprintf(stderr, "sandpiper: probe %s uses %s (%s)\n", state.probe.c_str(),
              state.mechanism.empty() ? "nothing" : state.mechanism.c_str(), state.reason.c_str());
  }
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
    fprintf(stderr, "sandpiper: %s\n", problem.c_str());
  return 0;
}

}  // namespace sandpiper
