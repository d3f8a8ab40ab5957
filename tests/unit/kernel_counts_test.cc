// SPDX-License-Identifier: Apache-2.0
// Tests the sums and differences of the counters of BPF programs.
#include <gtest/gtest.h>

#include <limits>

#include "userspace/aggregate/sandbox_metrics.h"

namespace sandpiper {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(KernelCounts, DifferenceIsRightAfterWrap) {
  KernelCounts before, now;
  before.produced[1] = kMax - 2;
  now.produced[1] = 5;  // eight more
  before.attempts[1][0] = before.sent = before.denied[1] = before.limited[3] = before.exits[3] =
      kMax;
  now.attempts[1][0] = now.sent = now.denied[1] = now.limited[3] = now.exits[3] = 0;
  const KernelCounts news = now - before;
  EXPECT_EQ(news.produced[1], 8u);
  EXPECT_EQ(news.attempts[1][0], 1u);
  EXPECT_EQ(news.sent, 1u);
  EXPECT_EQ(news.denied[1], 1u);
  EXPECT_EQ(news.limited[3], 1u);
  EXPECT_EQ(news.exits[3], 1u);
}

TEST(KernelCounts, SumCoversEveryCounter) {
  KernelCounts one;
  for (size_t kind = 0; kind < KernelCounts::kKinds; ++kind)
    one.produced[kind] = one.dropped[kind] = one.limited[kind] = kind + 1;
  one.attempts = {{{1, 2}, {3, 4}}};
  one.attempts_dropped = {{{5, 6}, {7, 8}}};
  one.denied = {9, 10};
  one.exits = {11, 12, 13, 14};
  one.sent = 15;
  one.received = 16;
  one.storage_failed = 17;
  KernelCounts two = one;
  two += one;
  const KernelCounts back = two - one;
  EXPECT_EQ(two.exits[3], 28u);
  EXPECT_EQ(two.attempts_dropped[1][1], 16u);
  EXPECT_EQ(two.storage_failed, 34u);
  EXPECT_EQ(two.lost(2), 12u);
  EXPECT_EQ(back.produced, one.produced);
  EXPECT_EQ(back.dropped, one.dropped);
  EXPECT_EQ(back.limited, one.limited);
  EXPECT_EQ(back.attempts, one.attempts);
  EXPECT_EQ(back.attempts_dropped, one.attempts_dropped);
  EXPECT_EQ(back.denied, one.denied);
  EXPECT_EQ(back.exits, one.exits);
  EXPECT_EQ(back.sent + back.received + back.storage_failed, 48u);
}

}  // namespace
}  // namespace sandpiper
