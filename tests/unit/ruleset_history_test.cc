// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/ruleset_history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

constexpr uint64_t kStart = 1000 * kSecond;
constexpr uint64_t kMe = 7;
const Rule kOne{"allow", "10.0.0.1"}, kTwo{"deny", "10.0.0.2"};

class RulesetHistoryTest : public ::testing::Test {
 protected:
  void Kernel(NftChange::Result result, uint32_t thread, uint64_t at_ms, int error = 0,
              const std::string& comm = "nft") {
    history_.OnBpfEvent({.result = result,
                         .error = error,
                         .netns = 1,
                         .process = {thread, 5},
                         .thread = thread,
                         .comm = comm,
                         .actor = kMe},
                        kStart + at_ms * kMillisecond);
  }
  void Told(uint32_t generation, uint32_t thread, uint64_t at_ms,
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
  void Poll(uint64_t at_ms) {
    RulesetOutcome out = history_.Poll(kStart + at_ms * kMillisecond);
    std::move(out.transactions.begin(), out.transactions.end(),
              std::back_inserter(out_.transactions));
    std::move(out.updates.begin(), out.updates.end(), std::back_inserter(out_.updates));
  }
  uint64_t Count(bool committed) const {
    uint64_t sum = 0;
    for (const RulesetTransaction& transaction : out_.transactions)
      sum += transaction.committed == committed ? transaction.count : 0;
    return sum;
  }

  RulesetHistory history_{RulesetCoverage::kFromNow};
  RulesetOutcome out_;
};

TEST_F(RulesetHistoryTest, WhatIsThereAtTheStartIsLoadedAndNoTransaction) {
  Read(40, {kOne}, 0);
  Poll(0);
  ASSERT_EQ(out_.updates.size(), 1u);
  EXPECT_TRUE(out_.updates[0].is_first);
  EXPECT_EQ(out_.updates[0].change.added, (std::vector<Rule>{kOne}));
  EXPECT_FALSE(out_.updates[0].actor);
  EXPECT_TRUE(out_.transactions.empty());
}

TEST_F(RulesetHistoryTest, AChangeHasItsActorWhicheverWordComesFirst) {
  Read(1, {kOne}, 0);
  Poll(0);
  Told(2, 50, 10);
  Read(2, {kOne, kTwo}, 11);
  Poll(12);
  EXPECT_TRUE(out_.transactions.empty()) << "who it was may still come";
  Kernel(NftChange::Result::kCommitted, 50, 9);
  Poll(20);
  ASSERT_EQ(out_.updates.size(), 2u);
  EXPECT_EQ(out_.updates[1].change.added, (std::vector<Rule>{kTwo}));
  EXPECT_EQ(out_.updates[1].actor->process.pid, 50u);
  EXPECT_TRUE(out_.updates[1].actor->seen_by_bpf);
  EXPECT_EQ(out_.updates[1].time_ns, kStart + 9 * kMillisecond);
  EXPECT_EQ(Count(true), 1u);
}

TEST_F(RulesetHistoryTest, WithoutTheKernelSideNetlinkNamesTheProcess) {
  Read(1, {kOne}, 0);
  Told(2, 50, 10);
  Poll(100);
  EXPECT_EQ(Count(true), 0u);
  Poll(400);
  ASSERT_EQ(Count(true), 1u);
  EXPECT_EQ(out_.transactions[0].actor->process.pid, 50u);
  EXPECT_FALSE(out_.transactions[0].actor->seen_by_bpf);
}

TEST_F(RulesetHistoryTest, ReadingsAreClosedInTheOrderOfGenerations) {
  Read(1, {kOne}, 0);
  Told(2, 50, 10);
  Told(3, 51, 11);
  Read(2, {kOne, kTwo}, 12);
  Read(3, {kTwo}, 13);
  Poll(1000);
  ASSERT_EQ(out_.updates.size(), 3u);
  EXPECT_EQ(out_.updates[1].actor->process.pid, 50u);
  EXPECT_EQ(out_.updates[2].actor->process.pid, 51u);
  EXPECT_EQ(Count(true), 2u);
}

TEST_F(RulesetHistoryTest, TheKernelShowsAGenerationBeforeItTellsOfIt) {
  Read(1, {kOne}, 0);
  Read(2, {kTwo}, 10);
  Poll(11);
  EXPECT_EQ(out_.updates.size(), 1u);
  Told(2, 50, 12);
  Poll(500);
  EXPECT_EQ(out_.updates.size(), 2u);
  EXPECT_EQ(Count(true), 1u) << "and not one more for the gap";
}

TEST_F(RulesetHistoryTest, LostNotificationsAreCountedByTheGenerations) {
  Read(1, {kOne}, 0);
  Told(2, 50, 10);
  Told(6, 50, 20);
  Read(9, {kTwo}, 30);
  Poll(1000);
  EXPECT_EQ(Count(true), 8u);
}

TEST_F(RulesetHistoryTest, AFreshNamespaceBeginsAtOne) {
  history_ = RulesetHistory(RulesetCoverage::kFromFirstCommit);
  Read(3, {kOne}, 0);
  Poll(1000);
  EXPECT_EQ(Count(true), 2u);
}

TEST_F(RulesetHistoryTest, WhoMadeWhatNetlinkDidNotTellOf) {
  history_ = RulesetHistory(RulesetCoverage::kFromFirstCommit);
  Kernel(NftChange::Result::kSent, 50, 1);
  Kernel(NftChange::Result::kSent, 50, 2);
  Read(2, {kOne}, 10);
  Poll(1000);
  ASSERT_EQ(out_.updates.size(), 1u);
  ASSERT_TRUE(out_.updates[0].actor);
  EXPECT_EQ(out_.updates[0].actor->process.pid, 50u);
  Kernel(NftChange::Result::kSent, 51, 1001);
  Read(3, {kTwo}, 1010);
  Poll(2000);
  ASSERT_EQ(out_.updates.size(), 2u);
  EXPECT_FALSE(out_.updates[1].actor) << "it may have been either";
}

TEST_F(RulesetHistoryTest, TheSameRulesAgainAreNoChange) {
  Read(1, {kOne}, 0);
  Told(2, 50, 10);
  Read(2, {kOne}, 11);
  Poll(1000);
  EXPECT_EQ(out_.updates.size(), 1u);
  EXPECT_EQ(Count(true), 1u);
}

TEST_F(RulesetHistoryTest, OneBatchIsOneRefusalWithItsFirstError) {
  Kernel(NftChange::Result::kAborted, 50, 0);
  Kernel(NftChange::Result::kRejected, 50, 1, EEXIST);
  Kernel(NftChange::Result::kRejected, 50, 1, ENOENT);
  Poll(50);
  EXPECT_EQ(Count(false), 0u);
  Poll(150);
  ASSERT_EQ(Count(false), 1u);
  EXPECT_EQ(out_.transactions[0].error, EEXIST);
  EXPECT_FALSE(out_.transactions[0].is_retry);
}

TEST_F(RulesetHistoryTest, ADeleteThatFoundNothingAndIsSentAgainWithoutItIsNoFailure) {
  Kernel(NftChange::Result::kAborted, 50, 0);
  Kernel(NftChange::Result::kRejected, 50, 1, ENOENT);
  Poll(1000);
  EXPECT_EQ(Count(false), 0u);
  Kernel(NftChange::Result::kCommitted, 51, 1100);
  Told(2, 51, 1100);
  Poll(1200);
  ASSERT_EQ(Count(false), 1u) << "it is counted all the same";
  for (const RulesetTransaction& transaction : out_.transactions)
    EXPECT_EQ(transaction.is_retry, !transaction.committed);
}

TEST_F(RulesetHistoryTest, ADeleteThatFoundNothingAndIsLeftAtThatIsAFailure) {
  Kernel(NftChange::Result::kSent, 50, 0, ENOENT);
  Kernel(NftChange::Result::kSent, 51, 500);
  Told(2, 51, 500, NftOperation::kFlush);
  Poll(2500);
  ASSERT_EQ(Count(false), 1u);
  for (const RulesetTransaction& transaction : out_.transactions)
    EXPECT_FALSE(transaction.is_retry);
}

TEST_F(RulesetHistoryTest, RulesThatCannotBeReadAreUnknownAndNeverEmpty) {
  Read(1, {kOne}, 0);
  history_.OnNetlink(
      {.netns = 1, .transactions = {}, .reading = absl::AbortedError("kept changing")});
  history_.OnNetlink(
      {.netns = 1, .transactions = {}, .reading = absl::AbortedError("kept changing")});
  Poll(10);
  ASSERT_EQ(out_.updates.size(), 2u) << "told once";
  EXPECT_FALSE(out_.updates[1].rules.ok());
  EXPECT_EQ(history_.current(), nullptr);
  Read(2, {kTwo}, 20);
  Poll(1000);
  ASSERT_EQ(out_.updates.size(), 3u);
  EXPECT_EQ(out_.updates[2].change.removed, (std::vector<Rule>{kOne}));
}

}  // namespace
}  // namespace sandpiper
