// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SESSION_SANDBOX_SESSION_H_
#define SANDPIPER_USERSPACE_SESSION_SANDBOX_SESSION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "userspace/aggregate/ledger.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/aggregate/records.h"
#include "userspace/aggregate/sandbox_metrics.h"
#include "userspace/correlate/dns_lookups.h"
#include "userspace/correlate/flow_table.h"
#include "userspace/correlate/process_table.h"
#include "userspace/correlate/ruleset_history.h"
#include "userspace/event/event.h"
#include "userspace/sandbox/given_resolvers.h"
#include "userspace/sandbox/sandbox_identity.h"
#include "userspace/session/dns_monitor.h"
#include "userspace/session/event_accounting.h"
#include "userspace/session/flow_monitor.h"
#include "userspace/session/record_emitter.h"
#include "userspace/session/rule_monitor.h"
#include "userspace/session/session_context.h"
#include "userspace/session/sidecar_monitor.h"
#include "userspace/session/window_reporter.h"

namespace sandpiper {

struct SessionOptions {
  uint64_t dns_timeout_ns = 0;
  std::vector<uint16_t> dns_ports;
  std::vector<Attribute> extra_attributes;  // of every record and metric
  Severity log_level = Severity::kInfo;     // records below it are not emitted
  // Limits for each sandbox.
  size_t destinations_max = 10'000;
  size_t flows_max = 65'536;
  size_t names_max = 16'384;
  size_t exited_max = 8'192;
  HistogramKind histograms = HistogramKind::kExplicit;
  GivenResolvers::Reader read_resolv_conf = ReadResolvConf;
  // Set for the events of a capture, which may come from another host: the offset from their clock
  // to Unix time. The session then reads nothing from this host.
  std::optional<int64_t> recorded_unix_offset;
};

// Processes the events of one sandbox from its start to its end, after attribution. It dispatches
// each event to the part that handles it. Each sandbox has a session and limits of its own, so one
// sandbox cannot use up the memory of another.
//
// The collector's pipeline and the replay own sessions, and call them from a single thread. All
// times are nanoseconds of CLOCK_BOOTTIME.
class SandboxSession {
 public:
  // Emits sandbox.started. `started_ns`: when the sandbox was created.
  SandboxSession(SandboxIdentity sandbox, const SessionOptions& options,
                 FlowTable::UdpReader read_udp, RecordSink sink, uint64_t started_ns);
  // Not copyable: the parts hold pointers to one another.
  SandboxSession(const SandboxSession&) = delete;
  SandboxSession& operator=(const SandboxSession&) = delete;

  // Adds a cgroup or device with the attributes of its records. Returns the origin that its events
  // carry, one for each AttributionBasis.
  std::array<Origin, 3> AddMember(std::vector<RecordAttribute> attributes);

  void OnEvent(const Event& event);
  // A process that was running before the session started. It causes no record.
  void OnExisting(const Exec& exec);
  // Events of the sandbox that were read and then dropped.
  void OnLost(const char* stage, const char* reason, uint16_t kind, uint64_t count = 1) {
    events_.OnLost(stage, reason, kind, count);
  }
  // The sum of the BPF counters of all members that still exist.
  void OnCounters(const KernelCounts& counters) { events_.OnCounters(counters); }
  // The last counters of a member that was removed.
  void OnMemberEnded(const KernelCounts& counters, const ResourceUse& use) {
    events_.OnMemberEnded(counters, use);
  }
  // Ends the flows that are still open because their close event was lost. `living`: cookies of
  // all sockets that exist.
  void OnLivingSockets(const absl::flat_hash_set<uint64_t>& living, uint64_t now_ns);
  // Transactions and rule sets of the network namespace of the sandbox.
  void OnRules(const RulesetOutcome& outcome) { rules_.OnRules(outcome); }

  // `observer` gets every attempt from now on, and outlives the session.
  void ObserveAttempts(AttemptObserver* observer) { window_.ledger().Observe(observer); }

  void set_log_level(Severity level) { context_.emitter.set_log_level(level); }
  // Ends the lookups, flows and allowances that timed out.
  void ExpireDue(uint64_t now_ns);
  uint64_t NextDeadline() const;
  // Emits the records of the window. Before it, call flows().RefreshTcp and OnCounters, so that
  // bytes and losses are up to date.
  void CloseWindow(uint64_t now_ns);
  // Ends everything that is open, closes the window and emits sandbox.stopped.
  void Stop(uint64_t now_ns);

  // `static_rules`: rules in force now, if known. `resources`: of the members that still exist; a
  // device has none.
  void AppendMetrics(std::optional<uint64_t> static_rules,
                     const std::optional<ResourceUse>& resources, MetricSnapshot* out) const;
  // The values of sandbox.stopped, as of now.
  SandboxTotals Totals() const;

  const SandboxIdentity& sandbox() const { return sandbox_; }
  uint64_t started_ns() const { return started_ns_; }
  const ProcessTable& processes() const { return context_.processes; }
  const DnsLookups& lookups() const { return dns_.lookups(); }
  const Ledger& ledger() const { return window_.ledger(); }
  FlowTable& flows() { return flows_.table(); }
  const FlowTable& flows() const { return flows_.table(); }
  const KernelCounts& counters() const { return events_.counters(); }
  const DeliveryCounts& delivery() const { return events_.delivery(); }
  const RulesSummary& rules() const { return rules_.summary(); }

 private:
  // OnEvent calls the overload for the type of event. A type without one does not compile.
  void On(const Exec& exec, uint64_t time_ns);
  void On(const Exit& exit, uint64_t time_ns);
  void On(const Fork& fork, uint64_t time_ns) { context_.processes.OnFork(fork, time_ns); }
  void On(const Connect& connect, uint64_t time_ns) { flows_.OnConnect(connect, time_ns); }
  void On(const ConnectResult& result, uint64_t time_ns) { flows_.OnResult(result, time_ns); }
  void On(const Denied& denied, uint64_t time_ns) { flows_.OnDenied(denied, time_ns); }
  void On(const Close& close, uint64_t time_ns);
  void On(const DnsPayload& payload, uint64_t time_ns) { dns_.OnPayload(payload, time_ns); }
  // The pipeline handles these, since rules belong to a network namespace. Results: OnRules.
  void On(const NftChange&, uint64_t) {}
  void On(const NftLoaded&, uint64_t) {}
  // Attribution handles cgroups.
  void On(const CgroupCreated&, uint64_t) {}
  void On(const CgroupRemoved&, uint64_t) {}

  // A program started, or was running already.
  void OnProgram(const Process& process, uint64_t time_ns);
  DnsMonitor::GivenServer IsGivenServer();
  // A sink that gives each denial to the rule monitor and to the window reporter.
  DenialSink ReportDenials();

  const SandboxIdentity sandbox_;
  const uint64_t started_ns_;
  SessionContext context_;
  const uint64_t start_unix_ns_;  // of every metric; a step of the wall clock does not change it
  GivenResolvers resolvers_;
  EventAccounting events_;
  WindowReporter window_;
  SidecarMonitor sidecar_;
  RuleMonitor rules_;
  DnsMonitor dns_;
  FlowMonitor flows_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_SANDBOX_SESSION_H_
