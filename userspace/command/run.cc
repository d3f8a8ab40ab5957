// sandpiper run: the collector, until SIGTERM or SIGINT.
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdio>
#include <cstring>

#include "userspace/base/fd.h"
#include "userspace/collector.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/signals.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

// sd_notify(3): one datagram to the socket that the service manager names.
void NotifyReady() {
  const std::string path = GetProcessEnv("NOTIFY_SOCKET");
  sockaddr_un address = {};
  if (path.empty() || path.size() >= sizeof(address.sun_path))
    return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (address.sun_path[0] == '@')
    address.sun_path[0] = '\0';
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  constexpr char kReady[] = "READY=1";
  sendto(fd.get(), kReady, sizeof(kReady) - 1, MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
         static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size()));
}

absl::StatusOr<std::vector<Sandbox>> Select(const std::string& mount, const Config& config) {
  ASSIGN_OR_RETURN(std::vector<Sandbox> sandboxes, SelectCgroups(config.cgroups, mount));
  if (!config.sandbox_id.empty()) {
    if (sandboxes.size() != 1 || !config.discovery.rules.empty() || !config.devices.empty())
      return absl::InvalidArgumentError(absl::StrCat("OPENSANDBOX_EGRESS_SANDBOX_ID=", config.sandbox_id,
                                                     " names one sandbox: watch that one, with --cgroup PATH, and no other"));
    sandboxes[0].id = config.sandbox_id;
  }
  return sandboxes;
}

}  // namespace

int RunCollector(Config config) {
  WarnAll(config);
  const auto mount = FindCgroupMount();
  if (!mount.ok())
    return Fail(mount.status(), kExitFailure);
  config.probes.devices = !config.devices.empty();
  if (const absl::Status status = ResolveDiscovery(*mount, &config); !status.ok())
    return Fail(status, kExitFailure);
  const auto sandboxes = Select(*mount, config);
  if (!sandboxes.ok())
    return Fail(sandboxes.status(), kExitFailure);
  const UniqueFd signal_fd = TakeSignals();
  auto collector = Collector::Start(config, stdout);
  if (!collector.ok())
    return Fail(collector.status(), kExitFailure);
  const auto devices = ParseDevices(config.devices);
  if (!devices.ok())
    return Fail(devices.status(), kExitFailure);
  if (const absl::Status status = (*collector)->Watch(*sandboxes, *devices, /*here=*/false); !status.ok())
    return Fail(status, kExitFailure);
  const size_t count = (*collector)->pipeline().sandboxes().size();
  fprintf(stderr, "sandpiper: ready, watching %zu sandbox%s%s\n", count, count == 1 ? "" : "es",
          config.discovery.rules.empty() && devices->empty() ? "" : ", looking for more");
  for (const ProbeState& state : (*collector)->pipeline().ProbeStates()) {
    if (!state.reason.empty())
      fprintf(stderr, "sandpiper: probe %s uses %s (%s)\n", state.probe.c_str(),
              state.mechanism.empty() ? "nothing" : state.mechanism.c_str(), state.reason.c_str());
  }
  if (!config.api_socket.empty()) {
    if (const absl::Status status = (*collector)->Serve(config.api_socket); !status.ok())
      fprintf(stderr, "sandpiper: %s; going on without\n", std::string(status.message()).c_str());
  }
  NotifyReady();
  const pollfd stop[] = {{.fd = signal_fd.get(), .events = POLLIN, .revents = 0}};
  (*collector)->RunUntil(stop);
  (*collector)->Finish();
  for (const std::string& problem : (*collector)->ExportProblems())
    fprintf(stderr, "sandpiper: %s\n", problem.c_str());
  return 0;
}

}  // namespace sandpiper
