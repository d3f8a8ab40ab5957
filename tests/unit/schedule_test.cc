// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/schedule.h"

#include <gtest/gtest.h>

namespace sandpiper {
namespace {

TEST(Schedule, LatestDeadlineReplacesEarlierOne) {
  Schedule schedule;
  EXPECT_EQ(schedule.NextDeadline(), Schedule::kNever);
  schedule.Set(1, 50);
  schedule.Set(2, 20);
  schedule.Set(1, 10);
  EXPECT_EQ(schedule.NextDeadline(), 10u);
  schedule.Set(1, 30);
  EXPECT_EQ(schedule.NextDeadline(), 20u);
  EXPECT_EQ(schedule.PopDue(25), std::vector<uint64_t>{2});
  EXPECT_TRUE(schedule.PopDue(25).empty());
  schedule.Set(1, Schedule::kNever);
  EXPECT_EQ(schedule.NextDeadline(), Schedule::kNever);
}

TEST(Schedule, PopDueReturnsAllOfOneTimeExceptRemoved) {
  Schedule schedule;
  for (uint64_t id = 1; id <= 4; ++id)
    schedule.Set(id, 100);
  schedule.Remove(3);
  schedule.Remove(9);
  EXPECT_EQ(schedule.PopDue(100), (std::vector<uint64_t>{1, 2, 4}));
  EXPECT_EQ(schedule.NextDeadline(), Schedule::kNever);
}

}  // namespace
}  // namespace sandpiper
