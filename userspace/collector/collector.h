// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_COLLECTOR_COLLECTOR_H_
#define SANDPIPER_USERSPACE_COLLECTOR_COLLECTOR_H_

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/api/api_server.h"
#include "userspace/collector/outputs.h"
#include "userspace/collector/pipeline.h"
#include "userspace/config/config.h"
#include "userspace/privilege/capabilities.h"
#include "userspace/probe/probes.h"
#include "userspace/probe/ring.h"

namespace sandpiper {

// Where the sandboxes run that the user named.
enum class SandboxScope {
  kHost,          // anywhere on the host; events name their network namespaces
  kOwnNamespace,  // one sandbox, in a cgroup of ours and in the network namespace of this process
};

// The running program: probes, ring buffers, pipeline and outputs, around one event loop.
//
// Owned by the commands `run` and `exec`. All calls are made by the main thread.
class Collector {
 public:
  // Loads the probes. `ndjson`: where records are written as lines; null: nowhere. It stays the
  // caller's. The error names what is missing, and is meant for the user.
  static absl::StatusOr<std::unique_ptr<Collector>> Start(const Config& config, FILE* ndjson);
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  // Attaches the probes, watches the sandboxes and devices, and looks for more sandboxes by the
  // selection rules. Call it once. `canary`: created before the probes, or the error why that
  // failed; null: no self-test.
  absl::Status Watch(const std::vector<Sandbox>& sandboxes, const std::vector<Device>& devices,
                     SandboxScope scope, absl::StatusOr<std::unique_ptr<Canary>> canary);

  // Answers `sandpiper status`, `observe` and `top` on a unix socket.
  absl::Status Serve(const std::string& path);

  // Drops all capabilities that neither `kept` nor the configuration needs, and installs the
  // seccomp filter. There is no way back.
  absl::Status Confine(const Capabilities& kept);

  // Runs the event loop until poll(2) reports one of `waited`. Returns its index.
  size_t RunUntil(std::span<const pollfd> waited);

  // Applies the settings that can change while it runs. On an error nothing was changed.
  absl::StatusOr<ConfigChange> Reload(const Config& config);

  // Runs on for at most `limit` while connections are open. Some sockets, as those of io_uring, are
  // closed a moment after their last process ended.
  void WaitForConnections(std::chrono::milliseconds limit);
  // Detaches the probes, processes all their events, ends all sandboxes, and flushes the exporters.
  void Shutdown();

  Pipeline& pipeline() { return *pipeline_; }
  Outputs& outputs() { return *outputs_; }

 private:
  explicit Collector(const Config& config);

  absl::Status StartOutputs(FILE* ndjson);
  absl::StatusOr<std::unique_ptr<Ring>> OpenRing(int map_fd, uint64_t* last_ns);
  // True while probes may still have to be attached: to new devices, or to nf_tables.
  bool AttachesMore() const;
  // Reads the ring buffers and delivers each event that no older one can follow. True if the ring
  // buffers are empty.
  bool Drain();
  void OnTimers(uint64_t now_ns);
  uint64_t NextDeadline() const;
  std::vector<pollfd> PolledFds() const;
  void ServeRequests();
  // Drops what was kept for attaching, once nothing has to be attached any more.
  void ConfineIfDue();

  Config config_;
  std::string mount_;  // of cgroup v2
  std::unique_ptr<Probes> probes_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<Ring> critical_;
  std::unique_ptr<Ring> bulk_;
  // The time of the newest record that was read. CLOCK_BOOTTIME, as all times here.
  uint64_t critical_last_ns_ = 0;
  uint64_t bulk_last_ns_ = 0;
  std::unique_ptr<Outputs> outputs_;
  uint64_t next_window_ns_ = 0;
  uint64_t next_metrics_ns_ = 0;
  std::map<std::string, uint64_t> missed_reported_;  // skipped runs, by BPF program
  const uint64_t watchdog_ns_;  // how often the service manager wants WATCHDOG=1; 0: never
  uint64_t next_watchdog_ns_ = 0;
  std::optional<Capabilities> to_confine_;  // the `kept` of the Confine that is still to come
  std::unique_ptr<ApiServer> api_;          // null: no API socket
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_COLLECTOR_H_
