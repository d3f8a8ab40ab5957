// SPDX-License-Identifier: Apache-2.0
// What is done at times: deadlines, windows, the end; and what was counted by then. See
// SandboxSession.
#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bpf/events.h"
#include "userspace/base/clock.h"
#include "userspace/event/event_kind.h"
#include "userspace/sandbox/proc.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {
namespace {

uint64_t Sum(const std::array<uint64_t, KernelCounts::kKinds>& by_kind) {
  return std::accumulate(by_kind.begin(), by_kind.end(), uint64_t{0});
}

// Everything that was produced and will never be delivered, by reason and kind.
std::map<std::string, uint64_t> Losses(const KernelCounts& counters,
                                       const DeliveryCounts& delivery) {
  std::map<std::string, uint64_t> out;
  for (uint16_t kind = 1; kind < EVENT_KIND_COUNT; ++kind) {
    if (counters.dropped[kind] > 0)
      out[absl::StrCat("ring_full.", KindName(kind))] = counters.dropped[kind];
    if (counters.limited[kind] > 0)
      out[absl::StrCat("rate_limited.", KindName(kind))] = counters.limited[kind];
  }
  for (const auto& [key, count] : delivery.lost)
    out[absl::StrCat(std::get<1>(key), ".", KindName(std::get<2>(key)))] += count;
  if (counters.storage_failed > 0)
    out[kNoMemory] = counters.storage_failed;
  return out;
}

}  // namespace

void SandboxSession::OnCounters(const KernelCounts& counters) {
  counters_ = counters;
  if (ended_members_)
    counters_ += *ended_members_;
}

void SandboxSession::OnMemberEnded(const KernelCounts& counters, const ResourceUse& use) {
  if (!ended_members_)
    ended_members_ = std::make_unique<KernelCounts>();
  *ended_members_ += counters;
  ended_use_.user_seconds += use.user_seconds;
  ended_use_.system_seconds += use.system_seconds;
}

void SandboxSession::OnLivingSockets(const absl::flat_hash_set<uint64_t>& living, uint64_t now_ns) {
  if (counters_.lost(EVENT_CLOSE) + counters_.lost(EVENT_CONNECT_RESULT) == 0)
    return;
  Apply(flows_.EndClosedSockets(living, now_ns));
}

void SandboxSession::OnTick(uint64_t now_ns) {
  ExpireAllowances(now_ns);
  Apply(lookups_.ExpireDue(now_ns), now_ns);
  Apply(flows_.ExpireDue(now_ns));
}

uint64_t SandboxSession::NextDeadline() const {
  return std::min({lookups_.NextDeadline(), flows_.NextDeadline(), allowances_.NextDeadline()});
}

void SandboxSession::CloseWindow(uint64_t now_ns) {
  unix_offset_ = recorded_unix_offset_.value_or(UnixOffset());  // follow steps of the wall clock
  flows_.RefreshUdp();
  flows_.DrainDenials(
      [&](const Flow& flow, uint64_t count) { Deny(DenialOf(flow, now_ns), count); });
  for (const Denials::WindowEntry& entry : denials_.CloseWindow())
    Emit(records_.Denied(entry, now_ns, unix_offset_));
  flows_.ForEach([&](const Flow& flow) { ledger_.OnBytes(flow); });
  for (const Ledger::WindowEntry& entry : ledger_.CloseWindow())
    EmitInfo([&] { return records_.Destination(entry, now_ns, unix_offset_); });
  // What is gone and nobody told of.
  if (counters_.lost(EVENT_EXIT) > 0)
    processes_.DropDead([](const ProcessKey& process) { return IsAlive(process); });

  std::map<std::string, uint64_t> losses = Losses(counters_, delivery_);
  const std::vector<std::pair<std::string, uint64_t>> now_lost(losses.begin(), losses.end());
  for (const auto& [what, told] : loss_told_)
    losses[what] -= told;
  std::erase_if(losses, [](const auto& entry) { return entry.second == 0; });
  if (!losses.empty())
    Emit(records_.Loss({losses.begin(), losses.end()}, now_ns, unix_offset_));
  loss_told_ = now_lost;
}

void SandboxSession::Stop(uint64_t now_ns) {
  Apply(lookups_.Shutdown(now_ns), now_ns);
  Apply(flows_.Shutdown(now_ns));
  CloseWindow(now_ns);
  Emit(records_.Stopped(Totals(), now_ns, unix_offset_));
}

SandboxTotals SandboxSession::Totals() const {
  SandboxTotals totals = {.lookups = metrics_.lookups(),
                          .attempts = 0,
                          .execs = counters_.produced[EVENT_EXEC],
                          .exits = counters_.produced[EVENT_EXIT],
                          .denied = metrics_.denied() + counters_.denied[0] + counters_.denied[1],
                          .destinations = ledger_.distinct(),
                          .destinations_estimated = ledger_.distinct_is_estimated(),
                          .ignored_answers = lookups_.ignored_answers(),
                          .malformed_messages = lookups_.malformed_messages(),
                          .escaped_texts = records_.escaped_texts(),
                          .produced = Sum(counters_.produced),
                          .delivered = Sum(delivery_.delivered),
                          .dropped = {}};
  for (const auto& by_network : counters_.attempts)
    totals.attempts += by_network[0] + by_network[1];
  const std::map<std::string, uint64_t> losses = Losses(counters_, delivery_);
  totals.dropped.assign(losses.begin(), losses.end());
  return totals;
}

void SandboxSession::AppendMetrics(std::optional<uint64_t> static_rules,
                                   const std::optional<ResourceUse>& resources,
                                   MetricSnapshot* out) const {
  SandboxGauges gauges = {.destinations = ledger_.distinct(),
                          .destinations_estimated = ledger_.distinct_is_estimated(),
                          .static_rules = static_rules,
                          .resources = resources};
  if (gauges.resources)
    *gauges.resources += ended_use_;
  metrics_.Append(counters_, delivery_, gauges, records_.identity(), start_unix_ns_, out);
}

}  // namespace sandpiper
