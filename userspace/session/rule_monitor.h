// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SESSION_RULE_MONITOR_H_
#define SANDPIPER_USERSPACE_SESSION_RULE_MONITOR_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "userspace/aggregate/denials.h"
#include "userspace/aggregate/records.h"
#include "userspace/base/address.h"
#include "userspace/correlate/allowances.h"
#include "userspace/correlate/flow_table.h"
#include "userspace/correlate/process_table.h"
#include "userspace/correlate/ruleset_history.h"
#include "userspace/session/session_context.h"

namespace sandpiper {

// The rules that apply to a sandbox, for the report.
struct RulesSummary {
  // kNone: no rule set was read yet. kUnknown: the last attempt to read one failed.
  enum class State { kNone, kKnown, kUnknown };

  State state = State::kNone;
  // Of the last rule set that could be read.
  bool default_deny = false;
  uint64_t rules = 0;
  uint32_t generation = 0;
  // Rules of iptables-legacy are in force too. They are not read.
  bool has_xtables = false;

  uint64_t changes = 0;         // rule sets after the first one
  uint64_t changes_by_app = 0;  // rule sets that the application made, including the first one
  uint64_t refused = 0;         // transactions that nf_tables rejected
};

// Follows the nftables rules of one sandbox. It emits a record for each change and each rejected
// transaction, with the process that caused it. It also measures the time from a DNS answer to the
// set element that allows its address. Only elements with a timeout are measured, since the
// sidecar adds such an element after each answer.
class RuleMonitor {
 public:
  // `sandbox`: the serial of the sandbox. At `addresses_max` addresses no further one is measured.
  RuleMonitor(uint64_t sandbox, size_t addresses_max, SessionContext* context);

  // Transactions and rule sets of the network namespace of the sandbox.
  void OnRules(const RulesetOutcome& outcome);
  // A DNS answer contains the address.
  void OnAnswer(const Address& address, uint64_t time_ns);
  void OnDenial(const Denial& denial);

  // Removes the elements that timed out. Reports those that an open connection in `flows` uses,
  // since the rules may drop its next packet.
  void ExpireDue(uint64_t now_ns, const FlowTable& flows);
  uint64_t NextDeadline() const { return allowances_.NextDeadline(); }

  const RulesSummary& summary() const { return summary_; }

 private:
  void OnTransaction(const RulesetTransaction& transaction);
  void OnUpdate(const RulesetUpdate& update);
  void OnTimedElements(const RulesetTransaction& transaction);
  ActorRole RoleOf(const std::optional<RulesetActor>& actor) const;
  // Null if there is no actor, or if it is not a process of this sandbox.
  const Process* ProcessOf(const std::optional<RulesetActor>& actor) const;

  const uint64_t sandbox_;
  SessionContext* const context_;
  Allowances allowances_;
  RulesSummary summary_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_RULE_MONITOR_H_
