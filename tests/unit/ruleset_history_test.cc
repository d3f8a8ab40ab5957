// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/ruleset_history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

constexpr uint64_t kStart = 1000 * kSecond;
constexpr uint64_t kSandbox = 7;
const Rule kOne{"allow", "10.0.0.1"}, kTwo{"deny", "10.0.0.2"};

class RulesetHistoryTest : public ::testing::Test {
 protected:
  void Bpf(NftChange::Result result, uint32_t thread, uint64_t at_ms, int error = 0,
           const std::string& comm = "nft") {
    history_.OnBpfEvent({.result = result,
                         .error = error,
                         .netns = 1,
                         .process = {thread, 5},
                         .thread = thread,
                         .comm = comm,
                         .actor = kSandbox},
                        kStart + at_ms * kMillisecond);
  }
  void Netlink(uint32_t generation, uint32_t thread, uint64_t at_ms,
               NftOperation operation = NftOperation::kStatic) {
    NftTransaction transaction = {.generation = generation,
                                  .thread = thread,
                                  .comm = "nft",
                                  .operation = operation,
                                  .timed = {},
                                  .seen_ns = kStart + at_ms * kMillisecond};
    history_.OnNetlink({.netns = 1, .transactions = {transaction}, .reading = std::nullopt});
  }
  void Read(uint32_t generation, std::vector<Rule> rules, uint64_t at_ms) {
    history_.OnNetlink({.netns = 1,
                        .transactions = {},
                        .reading = Ruleset{.generation = generation,
                                           .present = !rules.empty(),
                                           .rules = std::move(rules)},
                        .complete_ns = kStart + at_ms * kMillisecond});
  }
  void ReadTables(uint32_t generation, std::vector<TableFlags> tables, uint64_t at_ms) {
    history_.OnNetlink({.netns = 1,
                        .transactions = {},
                        .reading = Ruleset{.generation = generation,
                                           .present = true,
                                           .rules = {},
                                           .tables = std::move(tables)},
                        .complete_ns = kStart + at_ms * kMillisecond});
  }
  void Poll(uint64_t at_ms) { Keep(history_.Poll(kStart + at_ms * kMillisecond)); }
  void Keep(RulesetOutcome out) {
    std::move(out.transactions.begin(), out.transactions.end(),
              std::back_inserter(out_.transactions));
    std::move(out.updates.begin(), out.updates.end(), std::back_inserter(out_.updates));
  }
  // Whether a netlink commit of the thread is joined with a BPF commit.
  bool IsJoined(uint32_t thread) {
    Netlink(++generation_, thread, 10'001);
    const RulesetOutcome out = history_.Drain(kStart + 10'001 * kMillisecond);
    EXPECT_EQ(out.transactions.size(), 1u);
    return !out.transactions.empty() && out.transactions[0].actor->seen_by_bpf;
  }
  uint64_t Count(bool committed) const {
    uint64_t sum = 0;
    for (const RulesetTransaction& transaction : out_.transactions)
      sum += transaction.committed == committed ? transaction.count : 0;
    return sum;
  }

  RulesetHistory history_{RulesetCoverage::kFromNow};
  RulesetOutcome out_;
  uint32_t generation_ = 0;
};

TEST_F(RulesetHistoryTest, RulesThatExistAtTheStartAreAnUpdateWithoutTransaction) {
  Read(40, {kOne}, 0);
  Poll(0);
  ASSERT_EQ(out_.updates.size(), 1u);
  EXPECT_TRUE(out_.updates[0].is_first);
  EXPECT_EQ(out_.updates[0].change.added, (std::vector<Rule>{kOne}));
  EXPECT_FALSE(out_.updates[0].actor);
  EXPECT_TRUE(out_.transactions.empty());
}

TEST_F(RulesetHistoryTest, ChangeHasItsActorInEitherOrderOfEvents) {
  Read(1, {kOne}, 0);
  Poll(0);
  Netlink(2, 50, 10);
  Read(2, {kOne, kTwo}, 11);
  Poll(12);
  EXPECT_TRUE(out_.transactions.empty()) << "the BPF event may still come";
  Bpf(NftChange::Result::kCommitted, 50, 9);
  Poll(20);
  ASSERT_EQ(out_.updates.size(), 2u);
  EXPECT_EQ(out_.updates[1].change.added, (std::vector<Rule>{kTwo}));
  EXPECT_EQ(out_.updates[1].actor->process.pid, 50u);
  EXPECT_TRUE(out_.updates[1].actor->seen_by_bpf);
  EXPECT_EQ(out_.updates[1].time_ns, kStart + 9 * kMillisecond);
  EXPECT_EQ(Count(true), 1u);
}

TEST_F(RulesetHistoryTest, CommitWithoutBpfEventHasTheActorOfNetlink) {
  Read(1, {kOne}, 0);
  Netlink(2, 50, 10);
  Poll(100);
  EXPECT_EQ(Count(true), 0u);
  Poll(400);
  ASSERT_EQ(Count(true), 1u);
  EXPECT_EQ(out_.transactions[0].actor->process.pid, 50u);
  EXPECT_FALSE(out_.transactions[0].actor->seen_by_bpf);
}

TEST_F(RulesetHistoryTest, ReadingsFollowTheirCommitsByGeneration) {
  Read(1, {kOne}, 0);
  Netlink(2, 50, 10);
  Netlink(3, 51, 11);
  Read(2, {kOne, kTwo}, 12);
  Read(3, {kTwo}, 13);
  Poll(1000);
  ASSERT_EQ(out_.updates.size(), 3u);
  EXPECT_EQ(out_.updates[1].actor->process.pid, 50u);
  EXPECT_EQ(out_.updates[2].actor->process.pid, 51u);
  EXPECT_EQ(Count(true), 2u);
}

TEST_F(RulesetHistoryTest, ReadingWaitsForTheMessageOfItsCommit) {
  Read(1, {kOne}, 0);
  Read(2, {kTwo}, 10);
  Poll(11);
  EXPECT_EQ(out_.updates.size(), 1u);
  Netlink(2, 50, 12);
  Poll(500);
  EXPECT_EQ(out_.updates.size(), 2u);
  EXPECT_EQ(Count(true), 1u) << "the gap adds none";
}

TEST_F(RulesetHistoryTest, LostMessagesAreCountedByGeneration) {
  Read(1, {kOne}, 0);
  Netlink(2, 50, 10);
  Netlink(6, 50, 20);
  Read(9, {kTwo}, 30);
  Poll(1000);
  EXPECT_EQ(Count(true), 8u);
}

TEST_F(RulesetHistoryTest, CommitsSinceTheFirstAreCountedFromGenerationOne) {
  history_ = RulesetHistory(RulesetCoverage::kFromFirstCommit);
  Read(3, {kOne}, 0);
  Poll(1000);
  EXPECT_EQ(Count(true), 2u);
}

TEST_F(RulesetHistoryTest, OnlyPossibleProcessIsTheActorOfAnUnreportedCommit) {
  history_ = RulesetHistory(RulesetCoverage::kFromFirstCommit);
  Bpf(NftChange::Result::kSent, 50, 1);
  Bpf(NftChange::Result::kSent, 50, 2);
  Read(2, {kOne}, 10);
  Poll(1000);
  ASSERT_EQ(out_.updates.size(), 1u);
  ASSERT_TRUE(out_.updates[0].actor);
  EXPECT_EQ(out_.updates[0].actor->process.pid, 50u);
  Bpf(NftChange::Result::kSent, 51, 1001);
  Read(3, {kTwo}, 1010);
  Poll(2000);
  ASSERT_EQ(out_.updates.size(), 2u);
  EXPECT_FALSE(out_.updates[1].actor) << "two processes are possible";
}

TEST_F(RulesetHistoryTest, UnchangedRulesAreNoUpdate) {
  Read(1, {kOne}, 0);
  Netlink(2, 50, 10);
  Read(2, {kOne}, 11);
  Poll(1000);
  EXPECT_EQ(out_.updates.size(), 1u);
  EXPECT_EQ(Count(true), 1u);
}

TEST_F(RulesetHistoryTest, DormantTableIsAnUpdateWithItsActor) {
  Read(1, {kOne}, 0);
  Bpf(NftChange::Result::kCommitted, 50, 9);
  Netlink(2, 50, 10);
  ReadTables(2, {{.table = "inet t", .dormant = true}}, 11);
  Poll(1000);
  ASSERT_EQ(out_.updates.size(), 2u);
  EXPECT_EQ(out_.updates[1].change.removed, std::vector<Rule>{kOne});
  ASSERT_TRUE(out_.updates[1].actor);
  EXPECT_EQ(out_.updates[1].actor->sandbox, kSandbox);
}

TEST_F(RulesetHistoryTest, TableThatLeavesWithItsOwnerHasThatActor) {
  Read(1, {kOne}, 0);
  Bpf(NftChange::Result::kCommitted, 50, 9);
  Netlink(2, 50, 10);
  ReadTables(2, {{.table = "inet t", .owned = true}}, 11);
  Poll(1000);
  // The kernel counts no commit for it.
  ReadTables(2, {}, 5000);
  Poll(6000);
  ASSERT_EQ(out_.updates.size(), 3u);
  EXPECT_EQ(out_.updates[2].transactions, 0u);
  ASSERT_TRUE(out_.updates[2].actor);
  EXPECT_EQ(out_.updates[2].actor->process.pid, 50u);
  EXPECT_EQ(Count(true), 1u);
}

TEST_F(RulesetHistoryTest, RulesOfIptablesLegacyAloneAreAnUpdate) {
  Ruleset rules;
  history_.OnNetlink({.netns = 1, .transactions = {}, .reading = rules, .complete_ns = kStart});
  Poll(1);
  EXPECT_TRUE(out_.updates.empty());
  rules.xtables = {{.name = "ip filter", .rules = 1}};
  history_.OnNetlink({.netns = 1, .transactions = {}, .reading = rules, .complete_ns = kStart});
  Poll(2);
  ASSERT_EQ(out_.updates.size(), 1u);
  rules.xtables.clear();
  history_.OnNetlink({.netns = 1, .transactions = {}, .reading = rules, .complete_ns = kStart});
  Poll(3);
  EXPECT_EQ(out_.updates.size(), 2u) << "they were removed";
}

TEST_F(RulesetHistoryTest, RejectedBatchIsOneTransactionWithItsFirstError) {
  Bpf(NftChange::Result::kAborted, 50, 0);
  Bpf(NftChange::Result::kRejected, 50, 1, EEXIST);
  Bpf(NftChange::Result::kRejected, 50, 1, ENOENT);
  Poll(50);
  EXPECT_EQ(Count(false), 0u);
  Poll(150);
  ASSERT_EQ(Count(false), 1u);
  EXPECT_EQ(out_.transactions[0].error, EEXIST);
  EXPECT_FALSE(out_.transactions[0].is_retry);
}

TEST_F(RulesetHistoryTest, RejectedDeleteFollowedByItsRetryIsARetry) {
  Bpf(NftChange::Result::kAborted, 50, 0);
  Bpf(NftChange::Result::kRejected, 50, 1, ENOENT);
  Poll(1000);
  EXPECT_EQ(Count(false), 0u);
  Bpf(NftChange::Result::kCommitted, 51, 1100);
  Netlink(2, 51, 1100);
  Poll(1200);
  ASSERT_EQ(Count(false), 1u) << "it still counts as rejected";
  for (const RulesetTransaction& transaction : out_.transactions)
    EXPECT_EQ(transaction.is_retry, !transaction.committed);
}

TEST_F(RulesetHistoryTest, RejectedDeleteWithoutRetryIsAFailure) {
  Bpf(NftChange::Result::kSent, 50, 0, ENOENT);
  Bpf(NftChange::Result::kSent, 51, 500);
  Netlink(2, 51, 500, NftOperation::kFlush);
  Poll(2500);
  ASSERT_EQ(Count(false), 1u);
  for (const RulesetTransaction& transaction : out_.transactions)
    EXPECT_FALSE(transaction.is_retry);
}

TEST_F(RulesetHistoryTest, UnreadableRulesAreAnErrorAndNotEmpty) {
  Read(1, {kOne}, 0);
  history_.OnNetlink(
      {.netns = 1, .transactions = {}, .reading = absl::AbortedError("kept changing")});
  history_.OnNetlink(
      {.netns = 1, .transactions = {}, .reading = absl::AbortedError("kept changing")});
  Poll(10);
  ASSERT_EQ(out_.updates.size(), 2u) << "reported once";
  EXPECT_FALSE(out_.updates[1].rules.ok());
  EXPECT_EQ(history_.current(), nullptr);
  Read(2, {kTwo}, 20);
  Poll(1000);
  ASSERT_EQ(out_.updates.size(), 3u);
  EXPECT_EQ(out_.updates[2].change.removed, (std::vector<Rule>{kOne}));
}

TEST_F(RulesetHistoryTest, DrainDoesNotWait) {
  Read(1, {kOne}, 0);
  Netlink(2, 50, 10);
  Bpf(NftChange::Result::kAborted, 51, 10);
  Poll(11);
  EXPECT_EQ(Count(true) + Count(false), 0u);
  Keep(history_.Drain(kStart + 11 * kMillisecond));
  EXPECT_EQ(Count(true), 1u);
  EXPECT_EQ(Count(false), 1u);
  EXPECT_EQ(history_.NextDeadline(), std::numeric_limits<uint64_t>::max());
}

// Each limit below protects the memory of a sandbox that floods the kernel with changes.
TEST_F(RulesetHistoryTest, OldestBpfCommitIsDroppedOverTheLimit) {
  for (uint32_t thread = 1; thread <= 4097; ++thread)
    Bpf(NftChange::Result::kCommitted, thread, 0);
  EXPECT_FALSE(IsJoined(1));
  EXPECT_TRUE(IsJoined(4097));
}

TEST_F(RulesetHistoryTest, BpfCommitOlderThanTenSecondsIsDropped) {
  Bpf(NftChange::Result::kCommitted, 1, 0);
  Bpf(NftChange::Result::kCommitted, 2, 1);
  Bpf(NftChange::Result::kCommitted, 3, 10'001);  // drops the first, 10.001 s old
  EXPECT_FALSE(IsJoined(1));
  EXPECT_TRUE(IsJoined(2));
}

TEST_F(RulesetHistoryTest, OldestRejectionEndsOverTheLimit) {
  for (uint32_t thread = 1; thread <= 1025; ++thread)
    Bpf(NftChange::Result::kAborted, thread, 0);
  Poll(1);
  ASSERT_EQ(Count(false), 1u);
  EXPECT_EQ(out_.transactions[0].actor->process.pid, 1u);
  Poll(100);
  EXPECT_EQ(Count(false), 1025u);
}

}  // namespace
}  // namespace sandpiper
