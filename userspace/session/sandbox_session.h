// SPDX-License-Identifier: Apache-2.0
// All stages behind attribution for one sandbox, so that no sandbox can use up what another needs.
#ifndef SANDPIPER_USERSPACE_SESSION_SANDBOX_SESSION_H_
#define SANDPIPER_USERSPACE_SESSION_SANDBOX_SESSION_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "userspace/aggregate/denials.h"
#include "userspace/aggregate/ledger.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/aggregate/records.h"
#include "userspace/aggregate/sandbox_metrics.h"
#include "userspace/correlate/allowances.h"
#include "userspace/correlate/dns_lookups.h"
#include "userspace/correlate/flow_table.h"
#include "userspace/correlate/name_cache.h"
#include "userspace/correlate/process_table.h"
#include "userspace/correlate/ruleset_history.h"
#include "userspace/event/event.h"
#include "userspace/sandbox/sandbox_identity.h"

namespace sandpiper {

using RecordSink = std::function<void(LogRecord)>;

struct SessionOptions {
  uint64_t dns_timeout_ns = 0;
  std::vector<uint16_t> dns_ports;
  std::vector<Attribute> extra_attributes;
  Severity log_level = Severity::kInfo;  // records below are not made
  // Bounds for each sandbox.
  size_t destinations_max = 10'000;
  size_t flows_max = 65'536;
  size_t names_max = 16'384;
  size_t exited_max = 8'192;
  HistogramKind histograms = HistogramKind::kExplicit;
  // Of events that were recorded at another time, maybe on another host: what to add to their times
  // to get Unix time. Processes are not looked up then.
  std::optional<int64_t> recorded_unix_offset;
};

// The rules that a sandbox was under, for the report.
struct RulesSummary {
  enum class State { kNone, kKnown, kUnknown };

  State state = State::kNone;  // as last told
  bool default_deny = false;
  uint64_t rules = 0;
  uint32_t generation = 0;
  uint64_t changes = 0;         // told of, after the first rule set
  uint64_t changes_by_app = 0;  // among them and the first
  uint64_t refused = 0;
};

class SandboxSession {
 public:
  // `now_ns`: when the sandbox came to be.
  SandboxSession(SandboxIdentity sandbox, const SessionOptions& options,
                 FlowTable::UdpReader read_udp, RecordSink sink, uint64_t now_ns);

  // Another part of it, with what stands on all of its records. Events name it by what is returned,
  // by AttributionBasis: what is not the part's by its cgroup says so instead of naming it.
  std::array<Origin, 3> AddMember(std::vector<Attribute> attributes);

  void OnEvent(const Event& event);
  // A process that was there before we looked.
  void OnExisting(const Exec& process);
  void OnLost(const char* stage, const char* reason, uint16_t kind, uint64_t count = 1) {
    delivery_.lost[{stage, reason, kind}] += count;
  }
  // Kernel counters of all members as read just now; what they add to the last ones is told in the
  // next window.
  void OnCounters(const KernelCounts& counters);
  // The last counters of a member that is no more.
  void OnMemberEnded(const KernelCounts& counters, const ResourceUse& use);
  // All sockets that there are: those that closed, and whose event was lost, end.
  void OnLivingSockets(const absl::flat_hash_set<uint64_t>& living, uint64_t now_ns);

  // What became known of the rules that the sandbox lives under.
  void OnRules(const RulesetOutcome& outcome);

  void set_log_level(Severity level) { log_level_ = level; }
  // Does what is due at `now_ns`.
  void OnTick(uint64_t now_ns);
  uint64_t NextDeadline() const;
  // Bytes must be fresh: see flows().
  void CloseWindow(uint64_t now_ns);
  // Settles everything that is open, closes the window and tells of the end.
  void Stop(uint64_t now_ns);

  // `static_rules`: in force now, if that is known. `resources`: of the members that are there;
  // none for devices.
  void AppendMetrics(std::optional<uint64_t> static_rules,
                     const std::optional<ResourceUse>& resources, MetricSnapshot* out) const;

  const SandboxIdentity& sandbox() const { return sandbox_; }
  const ProcessTable& processes() const { return processes_; }
  const DnsLookups& lookups() const { return lookups_; }
  const Ledger& ledger() const { return ledger_; }
  FlowTable& flows() { return flows_; }
  const FlowTable& flows() const { return flows_; }
  const KernelCounts& counters() const { return counters_; }
  const DeliveryCounts& delivery() const { return delivery_; }
  const RulesSummary& rules() const { return rules_; }
  uint64_t started_ns() const { return started_ns_; }
  SandboxTotals Totals() const;

 private:
  void On(const Exec& exec, uint64_t time_ns);
  void On(const Exit& exit, uint64_t time_ns);
  void On(const Fork& fork, uint64_t time_ns);
  void On(const Connect& connect, uint64_t time_ns);
  void On(const ConnectResult& result, uint64_t time_ns);
  void On(const Denied& denied, uint64_t time_ns);
  void On(const Close& close, uint64_t time_ns);
  void On(const DnsPayload& payload, uint64_t time_ns);
  // Of a namespace, and of nobody: the pipeline sees to them.
  void On(const NftChange&, uint64_t) {}
  void On(const NftLoaded&, uint64_t) {}
  // Of attribution.
  void On(const CgroupCreated&, uint64_t) {}
  void On(const CgroupRemoved&, uint64_t) {}

  void Apply(const DnsChanges& changes, uint64_t time_ns);
  void Apply(const FlowChanges& changes);
  void Decided(const Flow& flow);
  void Ended(const Flow& flow);
  ActorRole RoleOf(const std::optional<RulesetActor>& actor) const;
  const Process* ProcessOf(const std::optional<RulesetActor>& actor) const;
  void Outbound(const Flow& flow);
  void Deny(const Denial& denial, uint64_t count);
  void OnTimedElements(const RulesetTransaction& transaction);
  void ExpireAllowances(uint64_t now_ns);
  bool IsDnsStream(const Flow& flow) const;
  void Emit(LogRecord record) {
    if (record.severity >= log_level_)
      sink_(std::move(record));
  }
  // Of those that each event may make: not made where they would not leave.
  template <typename Make>
  void EmitInfo(const Make& make) {
    if (log_level_ <= Severity::kInfo)
      sink_(make());
  }

  SandboxIdentity sandbox_;
  std::vector<uint16_t> dns_ports_;
  RecordSink sink_;
  Severity log_level_;
  uint64_t started_ns_;
  const std::optional<int64_t> recorded_unix_offset_;
  int64_t unix_offset_;
  uint64_t start_unix_ns_;  // of every series: fixed, also when the wall clock steps

  ProcessTable processes_;
  DnsLookups lookups_;
  NameCache names_;
  Allowances allowances_;
  FlowTable flows_;
  absl::flat_hash_set<uint64_t> dns_streams_;  // TCP sockets that did speak DNS

  Ledger ledger_;
  Denials denials_;
  SandboxMetrics metrics_;
  RecordMaker records_;
  KernelCounts counters_;
  std::unique_ptr<KernelCounts> ended_members_;  // null: none ended
  ResourceUse ended_use_;
  DeliveryCounts delivery_;
  RulesSummary rules_;
  std::vector<std::pair<std::string, uint64_t>> loss_told_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_SANDBOX_SESSION_H_
