// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/event_accounting.h"

#include <array>
#include <numeric>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "bpf/events.h"
#include "userspace/aggregate/records.h"
#include "userspace/event/event_kind.h"

namespace sandpiper {
namespace {

uint64_t Sum(const std::array<uint64_t, KernelCounts::kKinds>& by_kind) {
  return std::accumulate(by_kind.begin(), by_kind.end(), uint64_t{0});
}

}  // namespace

void EventAccounting::OnCounters(const KernelCounts& counters) {
  counters_ = counters;
  if (ended_members_)
    counters_ += *ended_members_;
}

void EventAccounting::OnMemberEnded(const KernelCounts& counters, const ResourceUse& use) {
  if (!ended_members_)
    ended_members_ = std::make_unique<KernelCounts>();
  *ended_members_ += counters;
  ended_use_.user_seconds += use.user_seconds;
  ended_use_.system_seconds += use.system_seconds;
}

EventAccounting::Losses EventAccounting::LossesSoFar() const {
  Losses out;
  for (uint16_t kind = 1; kind < EVENT_KIND_COUNT; ++kind) {
    if (counters_.dropped[kind] > 0)
      out[absl::StrCat("ring_full.", KindName(kind))] = counters_.dropped[kind];
    if (counters_.limited[kind] > 0)
      out[absl::StrCat("rate_limited.", KindName(kind))] = counters_.limited[kind];
  }
  for (const auto& [key, count] : delivery_.lost)
    out[absl::StrCat(std::get<1>(key), ".", KindName(std::get<2>(key)))] += count;
  if (counters_.storage_failed > 0)
    out[kNoMemory] = counters_.storage_failed;
  return out;
}

uint64_t EventAccounting::produced() const { return Sum(counters_.produced); }

uint64_t EventAccounting::delivered() const { return Sum(delivery_.delivered); }

bool EventAccounting::has_lost_flow_ends() const {
  return counters_.lost(EVENT_CLOSE) + counters_.lost(EVENT_CONNECT_RESULT) > 0;
}

}  // namespace sandpiper
