// The one place that calls one stage after another: reading it shows the whole program.
#ifndef SANDPIPER_USERSPACE_PIPELINE_H_
#define SANDPIPER_USERSPACE_PIPELINE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "userspace/aggregate/host_metrics.h"
#include "userspace/aggregate/metrics.h"
#include "userspace/network_namespaces.h"
#include "userspace/probe/probes.h"
#include "userspace/sandbox/selector.h"
#include "userspace/sandbox_pipeline.h"

namespace sandpiper {

class Pipeline {
 public:
  // `probes` outlives the pipeline.
  Pipeline(Probes* probes, const PipelineOptions& options, RecordSink sink);

  // Watches the cgroup and all below it; processes that are in there already become known.
  absl::Status AddSandbox(const Sandbox& sandbox);

  // A record from a ring: decoded and kept until Process, which needs the records of both rings to bring them in order. Returns its time, 0
  // if it cannot be read.
  uint64_t OnRecord(std::span<const std::byte> record);
  // Attributes and works off, in the order of their time, all records up to `until_ns`.
  void Process(uint64_t until_ns);

  // The sandbox lives in our own network namespace, although no process of it has told so yet.
  void EnterOwnNamespace(uint64_t serial);
  // Readable when there is news of the rules in a network namespace; OnTick takes it.
  int rules_fd() const { return namespaces_.event_fd(); }
  // Waits until the rules in all namespaces have been read, but no longer than `limit`. OnTick takes what there is.
  bool SyncRules(std::chrono::milliseconds limit) { return namespaces_.Sync(limit); }

  void OnTick(uint64_t now_ns);
  uint64_t NextDeadline() const;
  // Tells of the destinations of the time since the last window, with fresh bytes and counters.
  void CloseWindow(uint64_t now_ns);
  // The end of every sandbox.
  void Stop(uint64_t now_ns);

  MetricSnapshot Metrics(uint64_t now_ns);

  const std::map<uint64_t, std::unique_ptr<SandboxPipeline>>& sandboxes() const { return sandboxes_; }
  // Attempts and connections that have not ended.
  size_t open_connections() const;
  // Records that could not be decoded or belong to nobody.
  uint64_t unattributed() const { return unattributed_; }

 private:
  absl::Status WatchCgroups(const std::string& path, uint64_t serial, bool sidecar);
  absl::Status WatchDevice(const Device& device, uint64_t serial);
  void ReadCounters();
  void ReadBytes();
  void Enter(uint64_t serial, uint32_t netns, uint32_t pid);
  void NoteNamespaces(const Event& event);

  Probes* probes_;
  PipelineOptions options_;
  RecordSink sink_;
  std::map<uint64_t, std::unique_ptr<SandboxPipeline>> sandboxes_;  // by serial
  NetworkNamespaces namespaces_;
  std::vector<Event> pending_;
  HostMetrics host_;
  uint64_t unattributed_ = 0;
  uint64_t start_unix_ns_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PIPELINE_H_
