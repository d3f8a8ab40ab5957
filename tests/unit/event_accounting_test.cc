// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/event_accounting.h"

#include <gtest/gtest.h>

#include "bpf/events.h"

namespace sandpiper {
namespace {

using Losses = EventAccounting::Losses;

TEST(EventAccounting, LossesHaveReasonAndKind) {
  EventAccounting events;
  KernelCounts counters;
  counters.dropped[EVENT_CONNECT] = 3;
  counters.limited[EVENT_CONNECT] = 2;
  counters.storage_failed = 4;
  events.OnCounters(counters);
  events.OnLost("decode", "malformed_record", EVENT_EXEC, 1);
  EXPECT_EQ(events.LossesSoFar(), (Losses{{"malformed_record.exec", 1},
                                          {"no_memory.socket", 4},
                                          {"rate_limited.connect", 2},
                                          {"ring_full.connect", 3}}));
}

TEST(EventAccounting, LossesOfTwoStagesWithOneReasonAddUp) {
  EventAccounting events;
  events.OnLost("decode", "malformed_record", EVENT_EXEC, 1);
  events.OnLost("attribution", "malformed_record", EVENT_EXEC, 2);
  EXPECT_EQ(events.LossesSoFar(), (Losses{{"malformed_record.exec", 3}}));
}

TEST(EventAccounting, NothingLostGivesNoReason) {
  EventAccounting events;
  KernelCounts counters;
  counters.produced[EVENT_EXEC] = 5;
  events.OnCounters(counters);
  EXPECT_TRUE(events.LossesSoFar().empty());
  EXPECT_FALSE(events.has_lost_flow_ends());
}

TEST(EventAccounting, CountersOfRemovedMembersStay) {
  EventAccounting events;
  KernelCounts removed;
  removed.produced[EVENT_EXEC] = 5;
  events.OnMemberEnded(removed, {.user_seconds = 1, .system_seconds = 2});
  events.OnMemberEnded(removed, {.user_seconds = 3, .system_seconds = 4});
  KernelCounts living;
  living.produced[EVENT_EXEC] = 7;
  events.OnCounters(living);
  events.OnCounters(living);
  EXPECT_EQ(events.produced(), 17u);
  EXPECT_EQ(events.ended_use().user_seconds, 4);
  EXPECT_EQ(events.ended_use().system_seconds, 6);
}

TEST(EventAccounting, SumsAreOverAllKinds) {
  EventAccounting events;
  KernelCounts counters;
  counters.produced[EVENT_EXEC] = 2;
  counters.produced[EVENT_CLOSE] = 3;
  events.OnCounters(counters);
  events.OnDelivered(EVENT_EXEC);
  events.OnDelivered(EVENT_CLOSE);
  events.OnDelivered(EVENT_CLOSE);
  EXPECT_EQ(events.produced(), 5u);
  EXPECT_EQ(events.delivered(), 3u);
}

TEST(EventAccounting, OnlyLostClosesAndResultsLeaveFlowsOpen) {
  for (const auto& [kind, expected] : {std::pair{EVENT_CLOSE, true},
                                       {EVENT_CONNECT_RESULT, true},
                                       {EVENT_CONNECT, false},
                                       {EVENT_EXIT, false}}) {
    EventAccounting events;
    KernelCounts counters;
    counters.limited[static_cast<size_t>(kind)] = 1;
    events.OnCounters(counters);
    EXPECT_EQ(events.has_lost_flow_ends(), expected) << kind;
  }
}

}  // namespace
}  // namespace sandpiper
