// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/window_reporter.h"

#include <gtest/gtest.h>

#include "bpf/events.h"
#include "tests/unit/session_fixture.h"

namespace sandpiper {
namespace {

using testing::Get;
using testing::kLoopback;
using testing::kOther;
using testing::kWeb;

class WindowReporterTest : public testing::SessionPartTest {
 protected:
  static Flow FlowTo(const Endpoint& peer, uint64_t cookie = 1) {
    return {.cookie = cookie, .peer = peer, .started_ns = 1};
  }
  void Deny(const Endpoint& peer, uint64_t count = 1, DenialLayer layer = DenialLayer::kNetfilter) {
    Flow flow = FlowTo(peer);
    flow.process = {.pid = 42, .start_ns = 1};
    flow.denied_by = layer;
    window_.OnDenial(DenialOf(flow, now_), count);
  }
  void Drop(uint64_t connects) {
    KernelCounts counters;
    counters.dropped[EVENT_CONNECT] = connects;
    events_.OnCounters(counters);
  }
  void Close() { window_.CloseWindow(now_ += kSecond, events_); }

  EventAccounting events_;
  WindowReporter window_{2, &context_};
};

TEST_F(WindowReporterTest, FirstDenialIsEmittedAtOnceWithItsProcess) {
  context_.processes.OnExec({.process = {.pid = 42, .start_ns = 1}, .path = "/bin/app"}, now_);
  Deny(kWeb);
  ASSERT_EQ(records_.Events(), std::vector<std::string>{"egress.denied"});
  EXPECT_EQ(Get(records_.all()[0], "process.executable.path"), "/bin/app");
  EXPECT_EQ(Get(records_.all()[0], "count"), "1");
}

TEST_F(WindowReporterTest, FurtherDenialsAreMergedIntoOneRecord) {
  Deny(kWeb);
  Deny(kWeb, 4);
  Deny(kWeb);
  Close();
  const auto denied = records_.Of("egress.denied");
  ASSERT_EQ(denied.size(), 2u);
  EXPECT_EQ(Get(denied[1], "count"), "5");
}

TEST_F(WindowReporterTest, SingleDenialIsNotRepeatedAtTheEndOfTheWindow) {
  Deny(kWeb);
  Close();
  EXPECT_EQ(records_.Of("egress.denied").size(), 1u);
}

TEST_F(WindowReporterTest, EachWindowEmitsItsFirstDenial) {
  Deny(kWeb);
  Close();
  Deny(kWeb);
  EXPECT_EQ(records_.Of("egress.denied").size(), 2u);
}

TEST_F(WindowReporterTest, DenialsOfTwoLayersAreSeparate) {
  Deny(kWeb, 1, DenialLayer::kNetfilter);
  Deny(kWeb, 1, DenialLayer::kCgroup);
  const auto denied = records_.Of("egress.denied");
  ASSERT_EQ(denied.size(), 2u);
  EXPECT_EQ(Get(denied[0], "egress.layer"), "netfilter");
  EXPECT_EQ(Get(denied[1], "egress.layer"), "cgroup");
}

TEST_F(WindowReporterTest, DenialsOverTheLimitAreOneRecordWithoutDestination) {
  Deny(kWeb);
  Deny(kOther);
  Deny(testing::At({203, 0, 113, 1}, 1));
  Deny(testing::At({203, 0, 113, 2}, 1));
  EXPECT_EQ(records_.Of("egress.denied").size(), 2u);
  Close();
  const auto denied = records_.Of("egress.denied");
  ASSERT_EQ(denied.size(), 3u);
  EXPECT_EQ(Get(denied[2], "count"), "2");
  EXPECT_EQ(Get(denied[2], "peer"), "");
}

TEST_F(WindowReporterTest, DestinationHasFirstContactOnlyInItsFirstWindow) {
  window_.ledger().OnAttempt(FlowTo(kWeb));
  Close();
  window_.ledger().OnAttempt(FlowTo(kWeb));
  Close();
  const auto destinations = records_.Of("egress.destination");
  ASSERT_EQ(destinations.size(), 2u);
  EXPECT_EQ(Get(destinations[0], "egress.first_contact"), "true");
  EXPECT_EQ(Get(destinations[1], "egress.first_contact"), "false");
  EXPECT_EQ(Get(destinations[1], "egress.attempts"), "1");
}

TEST_F(WindowReporterTest, NamedDestinationHasItsAddressesOfTheWindow) {
  Flow flow = FlowTo(kWeb);
  flow.name = "cdn.test";
  window_.ledger().OnAttempt(flow);
  flow.peer.address = kOther.address;
  window_.ledger().OnAttempt(flow);
  Close();
  window_.ledger().OnAttempt(flow);
  Close();
  const auto destinations = records_.Of("egress.destination");
  ASSERT_EQ(destinations.size(), 2u);
  EXPECT_EQ(Get(destinations[0], "target.host"), "cdn.test");
  EXPECT_EQ(Get(destinations[0], "network.peer.address"), "198.51.100.1");
  EXPECT_EQ(Get(destinations[0], "network.peer.addresses"), "192.0.2.9 198.51.100.1");
  EXPECT_EQ(Get(destinations[1], "network.peer.address"), "198.51.100.1");
  EXPECT_EQ(Get(destinations[1], "network.peer.addresses"), "");
}

TEST_F(WindowReporterTest, BothRecordsOfADenialHaveTheAddressOfANamedDestination) {
  Flow flow = FlowTo(kWeb);
  flow.name = "denied.test";
  flow.denied_by = DenialLayer::kNetfilter;
  window_.OnDenial(DenialOf(flow, now_), 1);
  window_.OnDenial(DenialOf(flow, now_), 1);
  Close();
  const auto denied = records_.Of("egress.denied");
  ASSERT_EQ(denied.size(), 2u);
  for (const LogRecord& record : denied) {
    EXPECT_EQ(Get(record, "target.host"), "denied.test");
    EXPECT_EQ(Get(record, "network.peer.address"), "192.0.2.9");
  }
}

TEST_F(WindowReporterTest, IdleDestinationsAndLoopbackCauseNoRecord) {
  window_.ledger().OnAttempt(FlowTo(kWeb));
  window_.ledger().OnAttempt(FlowTo(kLoopback));
  Close();
  Close();
  EXPECT_EQ(records_.Of("egress.destination").size(), 1u);
}

TEST_F(WindowReporterTest, DestinationsAtWarnLevelAreNotKeptForLater) {
  context_.emitter.set_log_level(Severity::kWarn);
  window_.ledger().OnAttempt(FlowTo(kWeb));
  Deny(kWeb);
  Close();
  context_.emitter.set_log_level(Severity::kInfo);
  Close();
  EXPECT_EQ(records_.Events(), std::vector<std::string>{"egress.denied"});
}

TEST_F(WindowReporterTest, LossIsReportedOnceWithWhatWasAdded) {
  Drop(3);
  Close();
  Close();
  Drop(7);
  Close();
  const auto losses = records_.Of("sandpiper.loss");
  ASSERT_EQ(losses.size(), 2u);
  EXPECT_EQ(Get(losses[0], "sandpiper.dropped.ring_full.connect"), "3");
  EXPECT_EQ(Get(losses[1], "sandpiper.dropped.ring_full.connect"), "4");
}

TEST_F(WindowReporterTest, LossHasOnlyTheReasonsOfThisWindow) {
  Drop(3);
  Close();
  events_.OnLost("decode", "malformed_record", EVENT_EXEC, 2);
  Close();
  const LogRecord loss = records_.Of("sandpiper.loss").back();
  EXPECT_EQ(Get(loss, "sandpiper.dropped.malformed_record.exec"), "2");
  EXPECT_EQ(Get(loss, "sandpiper.dropped.ring_full.connect"), "");
  EXPECT_EQ(Get(loss, "sandpiper.dropped"), "2");
}

TEST_F(WindowReporterTest, WindowEmitsDenialsThenDestinationsThenLosses) {
  Deny(kWeb, 2);
  window_.ledger().OnAttempt(FlowTo(kWeb));
  Drop(1);
  Close();
  EXPECT_EQ(records_.Events(), (std::vector<std::string>{"egress.denied", "egress.denied",
                                                         "egress.destination", "sandpiper.loss"}));
}

}  // namespace
}  // namespace sandpiper
