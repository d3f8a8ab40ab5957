// SPDX-License-Identifier: Apache-2.0
// The running program: probes, rings, pipeline and outputs around one event loop.
#ifndef SANDPIPER_USERSPACE_COLLECTOR_COLLECTOR_H_
#define SANDPIPER_USERSPACE_COLLECTOR_COLLECTOR_H_

#include <poll.h>

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

class Collector {
 public:
  // `ndjson`: where records go as lines, or null; stays the caller's.
  static absl::StatusOr<std::unique_ptr<Collector>> Start(const Config& config, FILE* ndjson);
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  // Watches the sandboxes, and looks for more by the rules. Once. `here`: there is one, in a cgroup
  // of ours, that will run in our own network namespace; otherwise their processes tell where.
  // `canary`: as it was made before the probes, or why there is none; null: nobody wants one.
  absl::Status Watch(const std::vector<Sandbox>& sandboxes, const std::vector<Device>& devices,
                     bool here, absl::StatusOr<std::unique_ptr<Canary>> canary);

  // Answers on a unix socket what `sandpiper status`, `observe` and `top` ask.
  absl::Status Serve(const std::string& path);

  // Gives up what is not needed any more, for good: capabilities but `kept` and those that the
  // configuration needs, and most system calls.
  absl::Status Confine(const Capabilities& kept);

  // Works until one of `waited` has one of the events asked for (poll(2)). Returns its index.
  size_t RunUntil(std::span<const pollfd> waited);

  // Takes over what can be changed while it runs. An error: nothing was.
  absl::StatusOr<ConfigChange> Reload(const Config& config);

  // Works on for at most `limit` while connections are open: their sockets may end a moment after
  // the last process, as io_uring's do.
  void Settle(std::chrono::milliseconds limit);
  // Detaches the probes, takes everything that they have told, ends all sandboxes, and flushes the
  // exporters.
  void Finish();

  Pipeline& pipeline() { return *pipeline_; }
  Outputs& outputs() { return *outputs_; }

 private:
  explicit Collector(const Config& config);

  // Devices that come, or nf_tables.
  bool AttachesMore() const;
  // Takes records and works off those that no older one can follow. True if the rings were empty at
  // the end.
  bool Drain();
  void OnTimers(uint64_t now_ns);
  uint64_t NextDeadline() const;

  Config config_;
  std::string mount_;
  std::unique_ptr<Probes> probes_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<Ring> critical_, bulk_;
  uint64_t critical_last_ns_ = 0, bulk_last_ns_ = 0;  // time of the last record taken
  std::unique_ptr<Outputs> outputs_;
  uint64_t next_window_ns_ = 0, next_metrics_ns_ = 0;
  std::map<std::string, uint64_t> missed_told_;
  const uint64_t
      watchdog_ns_;  // how often the service manager wants a sign of life; 0: it does not
  uint64_t next_sign_of_life_ns_ = 0;
  std::optional<Capabilities> to_confine_;  // as soon as nothing is attached any more
  std::unique_ptr<ApiServer> api_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_COLLECTOR_H_
