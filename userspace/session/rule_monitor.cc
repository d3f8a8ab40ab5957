// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/rule_monitor.h"

#include <vector>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

bool HasOpenConnection(const FlowTable& flows, const Address& address) {
  bool found = false;
  flows.ForEach([&](const Flow& flow) {
    found |= flow.peer.address == address && flow.outcome == ConnectOutcome::kEstablished;
  });
  return found;
}

}  // namespace

RuleMonitor::RuleMonitor(uint64_t sandbox, size_t addresses_max, SessionContext* context)
    : sandbox_(sandbox), context_(context), allowances_(addresses_max) {}

void RuleMonitor::OnRules(const RulesetOutcome& outcome) {
  for (const RulesetTransaction& transaction : outcome.transactions)
    OnTransaction(transaction);
  for (const RulesetUpdate& update : outcome.updates)
    OnUpdate(update);
}

void RuleMonitor::OnTransaction(const RulesetTransaction& transaction) {
  context_->metrics.OnTransaction(transaction);
  if (!transaction.timed.empty())
    OnTimedElements(transaction);
  if (transaction.committed || transaction.is_retry)
    return;
  ++summary_.refused;
  context_->emitter.Emit([&](RecordMaker& records, int64_t unix_offset) {
    return records.UpdateFailed(transaction, RoleOf(transaction.actor),
                                ProcessOf(transaction.actor), unix_offset);
  });
}

void RuleMonitor::OnUpdate(const RulesetUpdate& update) {
  const ActorRole role = RoleOf(update.actor);
  context_->emitter.Emit([&](RecordMaker& records, int64_t unix_offset) {
    return records.RulesUpdated(update, role, ProcessOf(update.actor), unix_offset);
  });
  summary_.state = update.rules.ok() ? RulesSummary::State::kKnown : RulesSummary::State::kUnknown;
  if (!update.rules.ok())
    return;
  summary_.default_deny = update.rules->default_deny;
  summary_.rules = update.rules->rules.size() + update.rules->rules_omitted;
  summary_.generation = update.rules->generation;
  summary_.has_xtables = !update.rules->xtables.empty();
  summary_.changes += !update.is_first;
  summary_.changes_by_app += role == ActorRole::kApp;
}

void RuleMonitor::OnTimedElements(const RulesetTransaction& transaction) {
  std::vector<AllowedElement> added;
  for (const TimedElement& element : transaction.timed) {
    if (!element.added) {
      allowances_.OnElementRemoved(element.address);
      continue;
    }
    const Allowance allowance = allowances_.OnElementAdded(
        element.address, element.timeout_ms * kMillisecond, transaction.time_ns);
    if (allowance.after_answer_ns)
      context_->metrics.OnAllowed(*allowance.after_answer_ns);
    if (allowance.after_denial)
      context_->metrics.OnConnectBeforeAllow();
    added.push_back(
        {&element, allowance, context_->names.Find(element.address, transaction.time_ns)});
  }
  if (added.empty())
    return;
  context_->emitter.EmitDebug([&](RecordMaker& records, int64_t unix_offset) {
    return records.Allowed(added, transaction, RoleOf(transaction.actor),
                           ProcessOf(transaction.actor), unix_offset);
  });
}

void RuleMonitor::OnAnswer(const Address& address, uint64_t time_ns) {
  if (const auto after = allowances_.OnAnswer(address, time_ns))
    context_->metrics.OnAllowed(*after);
}

void RuleMonitor::OnDenial(const Denial& denial) {
  if (denial.layer == DenialLayer::kNetfilter && denial.peer)
    allowances_.OnDenied(*denial.peer, denial.time_ns);
}

void RuleMonitor::ExpireDue(uint64_t now_ns, const FlowTable& flows) {
  for (const Address& address : allowances_.ExpireDue(now_ns)) {
    if (!HasOpenConnection(flows, address))
      continue;
    context_->metrics.OnExpiredInUse();
    context_->emitter.EmitDebug([&](RecordMaker& records, int64_t unix_offset) {
      return records.ExpiredInUse(address, context_->names.Find(address, now_ns), now_ns,
                                  unix_offset);
    });
  }
}

ActorRole RuleMonitor::RoleOf(const std::optional<RulesetActor>& actor) const {
  if (!actor || !actor->seen_by_bpf)
    return ActorRole::kUnknown;
  if (actor->sandbox != sandbox_)
    return actor->sandbox == 0 ? ActorRole::kHost : ActorRole::kSandbox;
  return actor->sidecar ? ActorRole::kSidecar : ActorRole::kApp;
}

const Process* RuleMonitor::ProcessOf(const std::optional<RulesetActor>& actor) const {
  return actor ? context_->processes.Find(actor->process) : nullptr;
}

}  // namespace sandpiper
