// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/bounded_fifo.h"

#include <gtest/gtest.h>

#include <deque>

namespace sandpiper {
namespace {

TEST(BoundedFifo, PushOverTheCapacityReturnsTheOldest) {
  for (const size_t capacity : {0, 1, 2, 7}) {
    BoundedFifo<int> fifo(capacity);
    std::deque<int> expected;
    for (int i = 0; i < 50; ++i) {
      expected.push_back(i);
      const std::optional<int> oldest = fifo.Push(i);
      ASSERT_EQ(oldest.has_value(), expected.size() > capacity) << capacity << " " << i;
      if (oldest) {
        EXPECT_EQ(*oldest, expected.front());
        expected.pop_front();
      }
    }
  }
}

}  // namespace
}  // namespace sandpiper
