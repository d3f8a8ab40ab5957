// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/ruleset_history.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <set>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

// The BPF event of a commit and its netlink message are milliseconds apart. The rest is slack for a
// loaded host.
constexpr uint64_t kJoinWait = 300 * kMillisecond;
// The kernel answers all messages of a rejected batch at once.
constexpr uint64_t kBatchWait = 100 * kMillisecond;
// A program that tried to delete a missing table sends the batch again without the deletion.
constexpr uint64_t kRetryWait = 2 * kSecond;
// A commit explains later netlink messages of its thread only this long, since another program may
// get the same thread id.
constexpr uint64_t kBpfCommitLifetime = 10 * kSecond;
constexpr size_t kBpfCommitsMax = 4096;
// Rejections that wait for their error or their retry. Over the limit the oldest is reported as it
// is.
constexpr size_t kRejectionsMax = 1024;

}  // namespace

RulesetActor RulesetHistory::ActorOf(const BpfCommit& commit) {
  return {.process = commit.change.process,
          .comm = commit.change.comm,
          .seen_by_bpf = true,
          .sandbox = commit.change.actor,
          .sandbox_id = commit.change.actor_id,
          .sidecar = commit.change.sidecar};
}

void RulesetHistory::OnBpfEvent(const NftChange& change, uint64_t time_ns) {
  using Result = NftChange::Result;
  while (!bpf_commits_.empty() && (bpf_commits_.size() >= kBpfCommitsMax ||
                                   bpf_commits_.front().time_ns + kBpfCommitLifetime < time_ns))
    bpf_commits_.pop_front();
  const bool is_rejected =
      change.result == Result::kAborted || change.result == Result::kRejected || change.error != 0;
  const BpfCommit commit = {.time_ns = time_ns, .change = change};
  if (!is_rejected) {
    bpf_commits_.push_back(commit);
    return;
  }
  if (change.result == Result::kRejected) {
    for (Rejection& rejection : rejections_) {
      if (rejection.thread != change.thread || time_ns > rejection.transaction.time_ns + kBatchWait)
        continue;
      if (rejection.transaction.error == 0)
        rejection.transaction.error = change.error;
      return;
    }
  }
  rejections_.push_back({.transaction = {.time_ns = time_ns,
                                         .committed = false,
                                         .actor = ActorOf(commit),
                                         .error = change.error,
                                         .timed = {}},
                         .thread = change.thread});
}

void RulesetHistory::OnNetlink(RulesetNews news) {
  for (NftTransaction& transaction : news.transactions) {
    const uint64_t deadline_ns = transaction.seen_ns + kJoinWait;
    netlink_commits_.push_back({.transaction = std::move(transaction), .deadline_ns = deadline_ns});
  }
  if (news.reading)
    readings_.push_back({.time_ns = news.complete_ns, .rules = *std::move(news.reading)});
}

RulesetHistory::BpfCommit* RulesetHistory::FindBpfCommit(const NftTransaction& transaction) {
  for (BpfCommit& commit : bpf_commits_) {
    if (!commit.is_joined && commit.change.thread == transaction.thread)
      return &commit;
  }
  return nullptr;
}

std::optional<RulesetActor> RulesetHistory::OnlyActor() const {
  const BpfCommit* only = nullptr;
  for (const BpfCommit& commit : bpf_commits_) {
    if (commit.is_joined)
      continue;
    if (only && only->change.process != commit.change.process)
      return std::nullopt;
    only = &commit;
  }
  return only ? std::optional(ActorOf(*only)) : std::nullopt;
}

void RulesetHistory::JoinCommits(uint64_t now_ns, Wait wait, uint32_t last_generation,
                                 RulesetOutcome* out) {
  while (!netlink_commits_.empty() &&
         netlink_commits_.front().transaction.generation <= last_generation) {
    NetlinkCommit& commit = netlink_commits_.front();
    BpfCommit* const seen = FindBpfCommit(commit.transaction);
    if (!seen && wait == Wait::kUntilDeadline && now_ns < commit.deadline_ns)
      return;
    AddCommit(std::move(commit), seen, out);
    netlink_commits_.pop_front();
  }
}

void RulesetHistory::AddCommit(NetlinkCommit commit, BpfCommit* seen, RulesetOutcome* out) {
  NftTransaction& reported = commit.transaction;
  // Each commit raises the generation by one: a gap is the number of lost messages.
  if (last_generation_ != 0 && reported.generation > last_generation_ + 1)
    out->transactions.push_back({.time_ns = reported.seen_ns,
                                 .count = reported.generation - last_generation_ - 1,
                                 .timed = {}});
  last_generation_ = reported.generation;
  RulesetTransaction transaction = {.time_ns = reported.seen_ns,
                                    .operation = reported.operation,
                                    .timed = std::move(reported.timed)};
  if (seen) {
    seen->is_joined = true;
    transaction.actor = ActorOf(*seen);
    // The time of a kSent event is the end of the call, which may have sent something else before.
    if (seen->change.result == NftChange::Result::kCommitted)
      transaction.time_ns = seen->time_ns;
    while (!bpf_commits_.empty() && bpf_commits_.front().is_joined)
      bpf_commits_.pop_front();
  } else {
    transaction.actor = RulesetActor{.process = {.pid = reported.thread}, .comm = reported.comm};
  }
  MarkRetries(transaction);
  if (transaction.operation != NftOperation::kDynamic) {
    ++transactions_since_update_;
    last_actor_ = transaction.actor;
    last_commit_ns_ = transaction.time_ns;
  }
  out->transactions.push_back(std::move(transaction));
}

void RulesetHistory::MarkRetries(const RulesetTransaction& commit) {
  for (Rejection& rejection : rejections_) {
    RulesetTransaction& rejected = rejection.transaction;
    rejected.is_retry |= rejected.error == ENOENT && commit.operation == NftOperation::kStatic &&
                         rejected.actor->comm == commit.actor->comm &&
                         rejected.time_ns <= commit.time_ns &&
                         commit.time_ns - rejected.time_ns < kRetryWait;
  }
}

void RulesetHistory::EndRejections(uint64_t now_ns, Wait wait, RulesetOutcome* out) {
  size_t left = rejections_.size();
  std::erase_if(rejections_, [&](const Rejection& rejection) {
    const bool is_over_limit = left-- > kRejectionsMax;
    if (wait == Wait::kUntilDeadline && !is_over_limit && now_ns < rejection.DeadlineNs())
      return false;
    out->transactions.push_back(rejection.transaction);
    return true;
  });
}

uint64_t RulesetHistory::Rejection::DeadlineNs() const {
  const bool may_be_retried = transaction.error == ENOENT && !transaction.is_retry;
  return transaction.time_ns + (may_be_retried ? kRetryWait : kBatchWait);
}

void RulesetHistory::AddUnreportedCommits(const Reading& reading, RulesetUpdate* update,
                                          RulesetOutcome* out) {
  if (last_generation_ == 0) {
    // The BPF programs saw these commits before sandpiper subscribed to netlink.
    for (BpfCommit& commit : bpf_commits_) {
      if (commit.is_joined || commit.change.result != NftChange::Result::kCommitted ||
          commit.time_ns >= reading.time_ns)
        continue;
      commit.is_joined = true;
      update->actor = ActorOf(commit);
      out->transactions.push_back({.time_ns = commit.time_ns, .actor = update->actor, .timed = {}});
    }
  } else if (reading.rules->generation > last_generation_) {
    const std::optional<RulesetActor> actor = OnlyActor();
    if (!update->actor)
      update->actor = actor;
    out->transactions.push_back({.time_ns = reading.time_ns,
                                 .count = reading.rules->generation - last_generation_,
                                 .actor = actor,
                                 .timed = {}});
  }
}

void RulesetHistory::FindOwner(const Ruleset& rules, RulesetUpdate* update) {
  std::set<std::string> owned;
  for (const TableFlags& table : rules.tables) {
    if (table.owned)
      owned.insert(table.table);
  }
  if (update->actor) {
    for (const std::string& table : owned)
      table_owners_.try_emplace(table, *update->actor);
  }
  for (auto it = table_owners_.begin(); it != table_owners_.end();) {
    if (owned.contains(it->first)) {
      ++it;
      continue;
    }
    if (!update->actor)
      update->actor = it->second;
    it = table_owners_.erase(it);
  }
}

bool RulesetHistory::JoinReading(uint64_t now_ns, Wait wait, RulesetOutcome* out) {
  if (readings_.empty())
    return false;
  const Reading& reading = readings_.front();
  const absl::StatusOr<Ruleset>& rules = reading.rules;
  // The kernel shows a new generation a moment before netlink reports its commit.
  const bool is_complete =
      last_generation_ == 0 || !rules.ok() || rules->generation <= last_generation_;
  if (wait == Wait::kUntilDeadline && !is_complete && now_ns < reading.time_ns + kJoinWait)
    return false;
  RulesetUpdate update = {
      .time_ns = transactions_since_update_ > 0 ? last_commit_ns_ : reading.time_ns,
      .is_first = !last_reported_,
      .rules = rules,
      .change = {},
      .transactions = transactions_since_update_,
      .actor = last_actor_};
  bool is_news = false;
  if (rules.ok()) {
    AddUnreportedCommits(reading, &update, out);
    last_generation_ = std::max(last_generation_, rules->generation);
    update.change = Compare(last_reported_.value_or(Ruleset{}), *rules);
    is_news = update.is_first ? rules->present || !rules->xtables.empty() : !update.change.empty();
    FindOwner(*rules, &update);
    current_ = *rules;
    if (is_news)
      last_reported_ = *rules;
    is_failure_reported_ = false;
  } else {
    is_news = !is_failure_reported_;
    is_failure_reported_ = true;
    current_.reset();
  }
  transactions_since_update_ = 0;
  last_actor_.reset();
  readings_.pop_front();
  if (is_news)
    out->updates.push_back(std::move(update));
  return true;
}

RulesetOutcome RulesetHistory::Poll(uint64_t now_ns) { return Join(now_ns, Wait::kUntilDeadline); }

RulesetOutcome RulesetHistory::Drain(uint64_t now_ns) { return Join(now_ns, Wait::kNo); }

RulesetOutcome RulesetHistory::Join(uint64_t now_ns, Wait wait) {
  RulesetOutcome out;
  // In the order of generations: a reading follows the commits that it contains.
  do {
    const bool has_rules = !readings_.empty() && readings_.front().rules.ok();
    const uint32_t last_generation =
        has_rules ? readings_.front().rules->generation : std::numeric_limits<uint32_t>::max();
    JoinCommits(now_ns, wait, last_generation, &out);
  } while (JoinReading(now_ns, wait, &out));
  EndRejections(now_ns, wait, &out);
  return out;
}

uint64_t RulesetHistory::NextDeadline() const {
  uint64_t next = std::numeric_limits<uint64_t>::max();
  if (!netlink_commits_.empty())
    next = netlink_commits_.front().deadline_ns;
  if (!readings_.empty())
    next = std::min(next, readings_.front().time_ns + kJoinWait);
  for (const Rejection& rejection : rejections_)
    next = std::min(next, rejection.DeadlineNs());
  return next;
}

}  // namespace sandpiper
