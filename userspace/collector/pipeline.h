// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_COLLECTOR_PIPELINE_H_
#define SANDPIPER_USERSPACE_COLLECTOR_PIPELINE_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandpiper.pb.h"
#include "userspace/aggregate/metric_reader.h"
#include "userspace/attribution/attribution.h"
#include "userspace/attribution/cgroup_hierarchy.h"
#include "userspace/attribution/devices.h"
#include "userspace/attribution/member_table.h"
#include "userspace/attribution/network_namespaces.h"
#include "userspace/base/diagnostics.h"
#include "userspace/canary/canary_watch.h"
#include "userspace/capture/capture_writer.h"
#include "userspace/collector/member_adder.h"
#include "userspace/collector/pipeline_metrics.h"
#include "userspace/collector/sandbox_directory.h"
#include "userspace/event/event_queue.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/probe/probe_status.h"
#include "userspace/sandbox/cgroup_arguments.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {

// Turns the records of the ring buffers into events of sandboxes:
//   OnRecord    decodes a record and queues the event
//   DrainUntil  orders the queued events by time, finds the sandbox of each, and delivers it
//   Poll        does what is due: attribution, devices, rules, timeouts of sandboxes
// A sandbox begins when its first cgroup is attributed. It ends when its last cgroup was removed
// and all events before that were delivered.
//
// Owned by Collector. All calls are made by the thread of the event loop.
class Pipeline {
 public:
  // The last metrics of a sandbox, and the Unix time when it ended.
  using OnSandboxEnd =
      std::function<void(uint64_t serial, MetricSnapshot last, uint64_t time_unix_ns)>;

  struct Options {
    CgroupHierarchy cgroups;
    SessionOptions session;
    DiscoveryOptions discovery;
    // Replaced by tests.
    Devices::OpenLinks open_links = OpenNamespaceLinks;
    NamespaceLookup namespace_lookup;
  };
  struct Outlets {
    RecordSink records;
    WarningSink warn;
    OnSandboxEnd on_sandbox_end;  // may be null
  };

  // The pointers outlive this object.
  Pipeline(KernelTables* tables, ProbeStatus* probes, const Options& options, Outlets outlets);

  // Writes all records to the capture too. Call it before the first sandbox is added.
  void StartCapture(std::unique_ptr<CaptureWriter> capture) {
    sandboxes_.StartCapture(std::move(capture));
  }
  // Watches the cgroups that the user named, all cgroups below them, and the processes in them.
  // Returns the sandbox's serial.
  absl::StatusOr<uint64_t> AddSandbox(const Sandbox& sandbox);
  // Attributes the packets of the device to a sandbox of its own, as soon as the device exists.
  absl::Status WatchDevice(const Device& device) { return devices_.Watch(device); }
  // Looks for sandboxes that the selection rules select, now and later. Waits at most `limit` for
  // the container runtimes' reports about existing cgroups.
  void Discover(std::chrono::milliseconds limit);
  // Starts the self-test. An error is reported as the reason why it is off.
  void WatchCanary(absl::StatusOr<std::unique_ptr<Canary>> canary);
  // Enters the network namespace of this process for the sandbox, before a process of it runs.
  void EnterOwnNamespace(uint64_t serial);

  // Decodes a record of a ring buffer and queues its event for DrainUntil. Returns its time, or 0
  // for a malformed record.
  uint64_t OnRecord(std::span<const std::byte> record);
  // Delivers all queued events up to `until_ns`, in the order of their time. Then ends the
  // sandboxes that can have no later events.
  void DrainUntil(uint64_t until_ns);

  // Each is readable when Poll has something to read.
  std::vector<int> event_fds() const;
  void Poll(uint64_t now_ns);
  uint64_t NextDeadline() const;
  // Waits at most `limit` until the rules of all namespaces were read. Poll publishes them.
  bool SyncRules(std::chrono::milliseconds limit) { return namespaces_.Sync(limit); }
  // Emits the records of the reporting window: destinations, denials, losses.
  void CloseWindow(uint64_t now_ns);
  // Ends every sandbox.
  void Shutdown(uint64_t now_ns);

  void SetLogLevel(Severity level) { sandboxes_.SetLogLevel(level); }

  // Begins a collection of the reader and adds all metrics. The caller ends the collection.
  void Collect(uint64_t now_ns, MetricReader* reader);
  std::vector<ProbeState> ProbeStates() const { return metrics_.ProbeStates(); }
  std::vector<ProgramRuns> ReadProgramRuns() const { return probes_->ReadRuns(); }
  // Describes all sandboxes. `destinations`: how many of each, those with the most attempts.
  v1::ListSandboxesResponse Describe(size_t destinations);

  // By serial.
  const std::map<uint64_t, std::unique_ptr<SandboxSession>>& sandboxes() const {
    return sandboxes_.all();
  }
  // The number of connections and attempts that have not ended.
  size_t open_connections() const { return sandboxes_.open_connections(); }
  // The number of events without a sandbox, and of malformed records without one.
  uint64_t unattributed() const { return unattributed_; }

 private:
  uint64_t AddDevice(const std::string& id, const LinkChange& link);
  void OnAttributed(const Decision& decision, PendingEvents pending);
  void OnMemberRemoved(uint64_t member);
  void OnRuleset(uint64_t sandbox, const RulesetOutcome& outcome);
  std::vector<pid_t> ProcessesOf(uint64_t sandbox) const;
  void SetNamespaceOwner(uint32_t netns, uint64_t sandbox, NamespaceUse use);

  void OnEvent(Event event);
  void Deliver(Event event);
  void NoteNamespace(const Event& event, uint64_t sandbox);
  void EndMembers(uint64_t until_ns);
  void EndIfEmpty(uint64_t sandbox, uint64_t now_ns);

  KernelTables* tables_;
  ProbeStatus* probes_;
  WarningSink warn_;
  OnSandboxEnd on_sandbox_end_;
  MemberTable members_;
  SandboxDirectory sandboxes_;
  CanaryWatch canary_;
  Attribution attribution_;
  Devices devices_;
  NetworkNamespaces namespaces_;
  MemberAdder adder_;
  PipelineMetrics metrics_;
  EventQueue queue_;
  uint64_t unattributed_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_PIPELINE_H_
