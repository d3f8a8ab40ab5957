// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/event_queue.h"

#include <gtest/gtest.h>

#include <random>

namespace sandpiper {
namespace {

Event At(uint64_t time_ns, uint64_t member) { return {.time_ns = time_ns, .member = member}; }

std::vector<std::pair<uint64_t, uint64_t>> Drain(EventQueue* queue, uint64_t until_ns) {
  std::vector<std::pair<uint64_t, uint64_t>> out;
  queue->DrainUntil(until_ns,
                    [&](Event&& event) { out.emplace_back(event.time_ns, event.member); });
  return out;
}

using Drained = std::vector<std::pair<uint64_t, uint64_t>>;

TEST(EventQueue, DrainReturnsDueEventsOldestFirst) {
  EventQueue queue;
  for (const uint64_t time : {30, 10, 40, 20})
    queue.Push(At(time, time));
  EXPECT_EQ(queue.newest_ns(), 40u);
  EXPECT_EQ(Drain(&queue, 29), (Drained{{10, 10}, {20, 20}}));
  queue.Push(At(35, 35));
  EXPECT_EQ(Drain(&queue, 29), Drained{});
  EXPECT_EQ(Drain(&queue, 40), (Drained{{30, 30}, {35, 35}, {40, 40}}));
  EXPECT_TRUE(queue.empty());
}

TEST(EventQueue, EventsOfOneTimeKeepTheirOrder) {
  EventQueue queue;
  for (uint64_t i = 0; i < 100; ++i)
    queue.Push(At(i % 3, i));
  uint64_t last_time = 0;
  uint64_t last = 0;
  for (const auto& [time, member] : Drain(&queue, 3)) {
    EXPECT_TRUE(time > last_time || (time == last_time && member >= last)) << time << " " << member;
    last_time = time;
    last = member;
  }
}

TEST(EventQueue, EachEventIsDrainedOnce) {
  EventQueue queue;
  std::mt19937 random(1);
  uint64_t pushed = 0;
  uint64_t drained = 0;
  uint64_t until = 0;
  for (int round = 0; round < 200; ++round) {
    for (unsigned n = random() % 20; n > 0; --n, ++pushed)
      queue.Push(At(until + random() % 50, pushed));
    until += random() % 30;
    drained += Drain(&queue, until).size();
  }
  drained += Drain(&queue, ~0ull).size();
  EXPECT_EQ(drained, pushed);
}

}  // namespace
}  // namespace sandpiper
