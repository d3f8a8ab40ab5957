// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/ruleset_history.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

// The kernel side tells of a commit within milliseconds of netlink; the rest is slack for a loaded
// host.
constexpr uint64_t kJoin = 300 * kMillisecond;
// All messages of a refused batch are answered in one go.
constexpr uint64_t kOneBatch = 100 * kMillisecond;
// A program that found its table missing sends the batch again without the deletion.
constexpr uint64_t kRetry = 2 * kSecond;
// What one program sent may explain its next commits, not those of another that gets its pid later.
constexpr uint64_t kSeenMax = 10 * kSecond;
constexpr size_t kSeenCount = 4096;
// Refusals that wait for their error or their retry; past it the oldest is told as it is.
constexpr size_t kRefusalsMax = 1024;

}  // namespace

RulesetActor RulesetHistory::ActorOf(const Seen& seen) {
  return {.process = seen.change.process,
          .comm = seen.change.comm,
          .seen_by_bpf = true,
          .sandbox = seen.change.actor,
          .sidecar = seen.change.sidecar};
}

void RulesetHistory::OnBpfEvent(const NftChange& change, uint64_t time_ns) {
  using Result = NftChange::Result;
  while (!seen_.empty() &&
         (seen_.size() >= kSeenCount || seen_.front().time_ns + kSeenMax < time_ns))
    seen_.pop_front();
  const bool refused =
      change.result == Result::kAborted || change.result == Result::kRejected || change.error != 0;
  if (!refused) {
    seen_.push_back({.time_ns = time_ns, .change = change});
    return;
  }
  if (change.result == Result::kRejected) {
    for (Refusal& refusal : refusals_) {
      if (refusal.thread != change.thread || time_ns > refusal.transaction.time_ns + kOneBatch)
        continue;
      if (refusal.transaction.error == 0)
        refusal.transaction.error = change.error;
      return;
    }
  }
  const Seen seen = {.time_ns = time_ns, .change = change};
  refusals_.push_back({.transaction = {.time_ns = time_ns,
                                       .committed = false,
                                       .actor = ActorOf(seen),
                                       .error = change.error,
                                       .timed = {}},
                       .thread = change.thread});
}

void RulesetHistory::OnNetlink(RulesetNews news) {
  for (NftTransaction& transaction : news.transactions) {
    const uint64_t give_up = transaction.seen_ns + kJoin;
    told_.push_back({.transaction = std::move(transaction), .give_up_ns = give_up});
  }
  if (news.reading)
    readings_.emplace_back(news.complete_ns, *std::move(news.reading));
}

RulesetHistory::Seen* RulesetHistory::FindCommit(const NftTransaction& transaction) {
  for (Seen& seen : seen_) {
    if (!seen.used && seen.change.thread == transaction.thread)
      return &seen;
  }
  return nullptr;
}

std::optional<RulesetActor> RulesetHistory::OnlyOneSeen() const {
  const Seen* one = nullptr;
  for (const Seen& seen : seen_) {
    if (seen.used)
      continue;
    if (one && one->change.process != seen.change.process)
      return std::nullopt;
    one = &seen;
  }
  return one ? std::optional(ActorOf(*one)) : std::nullopt;
}

void RulesetHistory::SettleTransactions(uint64_t now_ns, bool all, uint32_t up_to,
                                        RulesetOutcome* out) {
  while (!told_.empty() && told_.front().transaction.generation <= up_to) {
    NftTransaction& told = told_.front().transaction;
    Seen* seen = FindCommit(told);
    if (!seen && !all && now_ns < told_.front().give_up_ns)
      return;
    if (last_generation_ != 0 && told.generation > last_generation_ + 1)
      out->transactions.push_back(
          {.time_ns = told.seen_ns, .count = told.generation - last_generation_ - 1, .timed = {}});
    last_generation_ = told.generation;
    RulesetTransaction transaction = {
        .time_ns = told.seen_ns, .operation = told.operation, .timed = std::move(told.timed)};
    if (seen) {
      seen->used = true;
      transaction.actor = ActorOf(*seen);
      // Of a send only its end is known, and a program may have sent something else before.
      if (seen->change.result == NftChange::Result::kCommitted)
        transaction.time_ns = seen->time_ns;
      while (!seen_.empty() && seen_.front().used)
        seen_.pop_front();
    } else {
      transaction.actor = RulesetActor{.process = {.pid = told.thread}, .comm = told.comm};
    }
    for (Refusal& refusal : refusals_) {
      const RulesetTransaction& refused = refusal.transaction;
      refusal.transaction.is_retry |=
          refused.error == ENOENT && transaction.operation == NftOperation::kStatic &&
          refused.actor->comm == transaction.actor->comm &&
          refused.time_ns <= transaction.time_ns && transaction.time_ns - refused.time_ns < kRetry;
    }
    if (transaction.operation != NftOperation::kDynamic) {
      ++transactions_since_update_;
      last_actor_ = transaction.actor;
      last_commit_ns_ = transaction.time_ns;
    }
    out->transactions.push_back(std::move(transaction));
    told_.pop_front();
  }
}

void RulesetHistory::SettleRefusals(uint64_t now_ns, bool all, RulesetOutcome* out) {
  size_t left = refusals_.size();
  std::erase_if(refusals_, [&](const Refusal& refusal) {
    const bool too_many = left-- > kRefusalsMax;
    if (!all && !too_many && now_ns < refusal.SettlesAt())
      return false;
    out->transactions.push_back(refusal.transaction);
    return true;
  });
}

uint64_t RulesetHistory::Refusal::SettlesAt() const {
  const bool may_be_retried = transaction.error == ENOENT && !transaction.is_retry;
  return transaction.time_ns + (may_be_retried ? kRetry : kOneBatch);
}

bool RulesetHistory::SettleReading(uint64_t now_ns, bool all, RulesetOutcome* out) {
  if (readings_.empty())
    return false;
  auto& [read_ns, rules] = readings_.front();
  // What led to it may not be known yet: the kernel shows a new generation a moment before it tells
  // of it.
  const bool told = last_generation_ == 0 || !rules.ok() || rules->generation <= last_generation_;
  if (!all && !told && now_ns < read_ns + kJoin)
    return false;
  RulesetUpdate update = {.time_ns = transactions_since_update_ > 0 ? last_commit_ns_ : read_ns,
                          .is_first = !last_told_,
                          .rules = rules,
                          .change = {},
                          .transactions = transactions_since_update_,
                          .actor = last_actor_};
  bool tell = false;
  if (rules.ok()) {
    if (last_generation_ == 0) {
      // Commits that the kernel side saw before netlink was listened to.
      for (Seen& seen : seen_) {
        if (!seen.used && seen.change.result == NftChange::Result::kCommitted &&
            seen.time_ns < read_ns) {
          seen.used = true;
          out->transactions.push_back(
              {.time_ns = seen.time_ns, .actor = ActorOf(seen), .timed = {}});
          update.actor = ActorOf(seen);
        }
      }
    } else if (rules->generation > last_generation_) {
      const std::optional<RulesetActor> actor = OnlyOneSeen();
      if (!update.actor)
        update.actor = actor;
      out->transactions.push_back({.time_ns = read_ns,
                                   .count = rules->generation - last_generation_,
                                   .actor = actor,
                                   .timed = {}});
    }
    last_generation_ = std::max(last_generation_, rules->generation);
    update.change = Compare(last_told_.value_or(Ruleset{}), *rules);
    tell = update.is_first ? rules->present : !update.change.empty();
    current_ = *rules;
    if (tell)
      last_told_ = *rules;
    unknown_told_ = false;
  } else {
    tell = !std::exchange(unknown_told_, true);
    current_.reset();
  }
  transactions_since_update_ = 0;
  last_actor_.reset();
  readings_.pop_front();
  if (tell)
    out->updates.push_back(std::move(update));
  return true;
}

void RulesetHistory::Settle(uint64_t now_ns, bool all, RulesetOutcome* out) {
  // In the order of generations: a reading closes what led to it.
  do {
    const bool reading = !readings_.empty() && readings_.front().second.ok();
    SettleTransactions(
        now_ns, all,
        reading ? readings_.front().second->generation : std::numeric_limits<uint32_t>::max(), out);
  } while (SettleReading(now_ns, all, out));
  SettleRefusals(now_ns, all, out);
}

uint64_t RulesetHistory::NextDeadline() const {
  uint64_t next = told_.empty() ? std::numeric_limits<uint64_t>::max() : told_.front().give_up_ns;
  if (!readings_.empty())
    next = std::min(next, readings_.front().first + kJoin);
  for (const Refusal& refusal : refusals_)
    next = std::min(next, refusal.SettlesAt());
  return next;
}

}  // namespace sandpiper
