// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/allowances.h"

#include <algorithm>
#include <utility>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

// An element that follows an answer or a denial within this time is its consequence.
constexpr uint64_t kRelatedWithin = 5 * kSecond;

bool IsRecent(uint64_t then_ns, uint64_t now_ns) {
  return then_ns != 0 && now_ns - std::min(then_ns, now_ns) <= kRelatedWithin;
}

}  // namespace

Allowances::State* Allowances::Get(const Address& address, uint64_t now_ns) {
  if (const auto known = states_.find(address); known != states_.end())
    return &known->second;
  if (states_.size() >= capacity_) {
    absl::erase_if(states_, [now_ns](const auto& entry) {
      const State& state = entry.second;
      return state.expires_ns == 0 &&
             !IsRecent(std::max({state.answered_ns, state.denied_ns, state.element_ns}), now_ns);
    });
  }
  return states_.size() >= capacity_ ? nullptr : &states_[address];
}

std::optional<uint64_t> Allowances::OnAnswer(const Address& address, uint64_t time_ns) {
  State* state = Get(address, time_ns);
  if (!state)
    return std::nullopt;
  // The time counts from the proxy's answer. The program's own answer repeats it a moment later.
  if (!IsRecent(state->answered_ns, time_ns))
    state->answered_ns = time_ns;
  const uint64_t added_ns = std::exchange(state->element_ns, 0);
  if (!IsRecent(added_ns, time_ns))
    return std::nullopt;
  return added_ns - std::min(added_ns, time_ns);
}

void Allowances::OnDenied(const Address& address, uint64_t time_ns) {
  if (State* state = Get(address, time_ns))
    state->denied_ns = time_ns;
}

Allowance Allowances::OnElementAdded(const Address& address, uint64_t timeout_ns,
                                     uint64_t time_ns) {
  State* state = Get(address, time_ns);
  Allowance out;
  if (!state)
    return out;
  if (IsRecent(state->answered_ns, time_ns))
    out.after_answer_ns = time_ns - std::min(state->answered_ns, time_ns);
  out.after_denial = IsRecent(state->denied_ns, time_ns);
  state->element_ns = out.after_answer_ns ? 0 : time_ns;
  state->answered_ns = state->denied_ns = 0;
  if (timeout_ns != 0) {
    state->expires_ns = time_ns + timeout_ns;
    next_expiry_ns_ = std::min(next_expiry_ns_, state->expires_ns);
  }
  return out;
}

void Allowances::OnElementRemoved(const Address& address) {
  if (const auto known = states_.find(address); known != states_.end())
    known->second.expires_ns = 0;
}

std::vector<Address> Allowances::ExpireDue(uint64_t now_ns) {
  std::vector<Address> out;
  if (now_ns < next_expiry_ns_)
    return out;
  next_expiry_ns_ = std::numeric_limits<uint64_t>::max();
  for (auto& [address, state] : states_) {
    if (state.expires_ns == 0)
      continue;
    if (state.expires_ns <= now_ns) {
      state.expires_ns = 0;
      out.push_back(address);
    } else {
      next_expiry_ns_ = std::min(next_expiry_ns_, state.expires_ns);
    }
  }
  return out;
}

}  // namespace sandpiper
