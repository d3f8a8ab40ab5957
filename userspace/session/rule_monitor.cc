// SPDX-License-Identifier: Apache-2.0
// The rules that a sandbox lives under, and what they let through for a while; see SandboxSession.
#include <optional>
#include <vector>

#include "userspace/base/clock.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {

ActorRole SandboxSession::RoleOf(const std::optional<RulesetActor>& actor) const {
  if (!actor || !actor->seen_by_bpf)
    return ActorRole::kUnknown;
  if (actor->sandbox != sandbox_.serial)
    return ActorRole::kHost;
  return actor->sidecar ? ActorRole::kSidecar : ActorRole::kApp;
}

const Process* SandboxSession::ProcessOf(const std::optional<RulesetActor>& actor) const {
  return actor ? processes_.Find(actor->process) : nullptr;
}

void SandboxSession::OnTimedElements(const RulesetTransaction& transaction) {
  std::vector<AllowedElement> told;
  for (const TimedElement& element : transaction.timed) {
    if (!element.added) {
      allowances_.OnElementRemoved(element.address);
      continue;
    }
    const Allowance allowance = allowances_.OnElementAdded(
        element.address, element.timeout_ms * kMillisecond, transaction.time_ns);
    if (allowance.after_answer_ns)
      metrics_.OnAllowed(*allowance.after_answer_ns);
    if (allowance.after_denial)
      metrics_.OnConnectBeforeAllow();
    told.push_back({&element, allowance, names_.Find(element.address, transaction.time_ns)});
  }
  if (log_level_ == Severity::kDebug && !told.empty())
    Emit(records_.Allowed(told, transaction, RoleOf(transaction.actor),
                          ProcessOf(transaction.actor), unix_offset_));
}

// A connection whose address is let through no more, while it is open: its next packet may be the
// last.
void SandboxSession::ExpireAllowances(uint64_t now_ns) {
  for (const Address& address : allowances_.ExpireDue(now_ns)) {
    bool in_use = false;
    flows_.ForEach([&](const Flow& flow) {
      in_use |= flow.peer.address == address && flow.outcome == ConnectOutcome::kEstablished;
    });
    if (!in_use)
      continue;
    metrics_.OnExpiredInUse();
    if (log_level_ == Severity::kDebug)
      Emit(records_.ExpiredInUse(address, names_.Find(address, now_ns), now_ns, unix_offset_));
  }
}

void SandboxSession::OnRules(const RulesetOutcome& outcome) {
  for (const RulesetTransaction& transaction : outcome.transactions) {
    metrics_.OnTransaction(transaction);
    if (!transaction.timed.empty())
      OnTimedElements(transaction);
    if (transaction.committed || transaction.is_retry)
      continue;
    ++rules_.refused;
    Emit(records_.RulesRefused(transaction, RoleOf(transaction.actor), ProcessOf(transaction.actor),
                               unix_offset_));
  }
  for (const RulesetUpdate& update : outcome.updates) {
    const ActorRole role = RoleOf(update.actor);
    Emit(records_.RulesUpdated(update, role, ProcessOf(update.actor), unix_offset_));
    rules_.state = update.rules.ok() ? RulesSummary::State::kKnown : RulesSummary::State::kUnknown;
    if (!update.rules.ok())
      continue;
    rules_.default_deny = update.rules->default_deny;
    rules_.rules = update.rules->rules.size() + update.rules->rules_omitted;
    rules_.generation = update.rules->generation;
    rules_.changes += !update.is_first;
    rules_.changes_by_app += role == ActorRole::kApp;
  }
}

}  // namespace sandpiper
