// SPDX-License-Identifier: Apache-2.0
// The one place that calls one stage after another: reading it shows the whole program.
#ifndef SANDPIPER_USERSPACE_COLLECTOR_PIPELINE_H_
#define SANDPIPER_USERSPACE_COLLECTOR_PIPELINE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "sandpiper.pb.h"
#include "userspace/aggregate/metric_reader.h"
#include "userspace/attribution/attribution.h"
#include "userspace/attribution/devices.h"
#include "userspace/attribution/member_table.h"
#include "userspace/attribution/network_namespaces.h"
#include "userspace/base/schedule.h"
#include "userspace/canary/canary_watch.h"
#include "userspace/capture/capture.h"
#include "userspace/event/event_queue.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/probe/probe_status.h"
#include "userspace/sandbox/cgroup_arguments.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {

class Pipeline {
 public:
  // The last values of a sandbox, and when (Unix time) it ended.
  using OnEnd = std::function<void(uint64_t serial, MetricSnapshot last, uint64_t time_unix_ns)>;

  // `tables` and `probes` outlive the pipeline. `mount`: of cgroup v2. `tell`: messages for the
  // operator.
  Pipeline(KernelTables* tables, ProbeStatus* probes, const std::string& mount,
           const SessionOptions& options, const DiscoveryOptions& discovery, RecordSink sink,
           Attribution::Tell tell, OnEnd on_end);

  // From now on, what comes in is written down too. Before the first sandbox.
  void StartCapture(std::unique_ptr<CaptureWriter> capture) { capture_ = std::move(capture); }
  // Watches what the user named, and all below it; processes that are in there already become
  // known. Returns the sandbox's number.
  absl::StatusOr<uint64_t> AddSandbox(const Sandbox& sandbox);
  // What passes the device belongs to its sandbox, now if it is there, or when it comes.
  absl::Status WatchDevice(const Device& device) { return devices_.Watch(device); }
  // Looks for sandboxes by the rules, and goes on to. Waits for what runtimes say of those that are
  // there, but no longer than `limit`.
  void Discover(std::chrono::milliseconds limit);

  // A record from a ring: decoded and kept until Process, which needs the records of both rings to
  // bring them in order. Returns its time, 0 if it cannot be read.
  uint64_t OnRecord(std::span<const std::byte> record);
  // Attributes and works off, in the order of their time, all records up to `until_ns`.
  void Process(uint64_t until_ns);

  // The sandbox lives in our own network namespace, although no process of it has told so yet.
  void EnterOwnNamespace(uint64_t serial);
  // Readable when there is news of the rules in a network namespace, or of containers; OnTick takes
  // it.
  std::vector<int> event_fds() const;
  // Waits until the rules in all namespaces have been read, but no longer than `limit`. OnTick
  // takes what there is.
  bool SyncRules(std::chrono::milliseconds limit) { return namespaces_.Sync(limit); }

  // For all sandboxes, from now on.
  void SetLogLevel(Severity level);
  void OnTick(uint64_t now_ns);
  uint64_t NextDeadline() const;
  // Tells of the destinations of the time since the last window, with fresh bytes and counters.
  void CloseWindow(uint64_t now_ns);
  // The end of every sandbox.
  void Stop(uint64_t now_ns);

  // Begins a collection and adds all that is known here; the caller finishes it.
  void Collect(uint64_t now_ns, MetricReader* reader);
  // The mechanisms in use, of the probes and of what else may have to do with less.
  std::vector<ProbeState> ProbeStates() const;
  std::vector<ProgramRuns> ProgramsRun() const { return probes_->ReadRuns(); }
  // From now on, whether the probes see is tried out. An error is told as the canary's state.
  void WatchCanary(absl::StatusOr<std::unique_ptr<Canary>> canary);
  // `destinations`: of each sandbox, those with the most attempts.
  v1::ListSandboxesResponse Describe(size_t destinations);

  const std::map<uint64_t, std::unique_ptr<SandboxSession>>& sandboxes() const {
    return sandboxes_;
  }
  // Attempts and connections that have not ended.
  size_t open_connections() const;
  // Records that could not be decoded or belong to nobody.
  uint64_t unattributed() const { return unattributed_; }

 private:
  static constexpr char kDeviceRuntime[] = "device";  // in place of a container runtime's name

  SandboxSession* FindOrAdd(const std::string& id, const std::string& runtime, uint64_t born_ns);
  SandboxSession* SandboxOf(const Member& member) const;
  absl::Status AddCgroup(SandboxSession* sandbox, const std::string& path, Role role);
  std::array<Origin, 3> AddMember(uint64_t serial, std::vector<Attribute> attributes,
                                  SandboxSession* sandbox);
  void Stop(SandboxSession* sandbox, uint64_t now_ns);
  uint64_t AddDevice(const std::string& id, const LinkChange& link);
  void OnExisting(SandboxSession* sandbox, const std::string& path);
  void OnJoin(const Decision& decision, Held held);
  void Take(Event event);
  void Deliver(Event event);
  void EndMembers(uint64_t until_ns);
  void EndIfEmpty(uint64_t sandbox, uint64_t now_ns);
  // After what may have changed when it is due.
  void Reschedule(const SandboxSession& sandbox);
  void HandRules(SandboxSession* sandbox, const RulesetOutcome& outcome);
  MetricSnapshot MetricsOf(const SandboxSession& sandbox,
                           const std::map<uint64_t, ResourceUse>& uses) const;
  MetricSnapshot HealthMetrics() const;
  void ReadCounters();
  void ReadBytes(uint64_t now_ns);
  void NoteNamespaces(const Event& event, uint64_t sandbox);

  KernelTables* tables_;
  ProbeStatus* probes_;
  SessionOptions options_;
  RecordSink sink_;
  std::map<uint64_t, std::unique_ptr<SandboxSession>> sandboxes_;  // by serial
  absl::flat_hash_map<uint64_t, SandboxSession*> by_serial_;  // the same, looked up for each event
  Schedule due_;                                              // of them
  std::map<std::string, uint64_t> by_id_;
  uint64_t next_sandbox_ = 1;
  Attribution::Tell tell_;
  Members members_;
  CanaryWatch canary_;
  Attribution attribution_;
  Devices devices_;
  NetworkNamespaces namespaces_;
  EventQueue pending_;
  uint64_t unattributed_ = 0;
  uint64_t start_unix_ns_;
  OnEnd on_end_;
  std::unique_ptr<CaptureWriter> capture_;  // null: none
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_PIPELINE_H_
