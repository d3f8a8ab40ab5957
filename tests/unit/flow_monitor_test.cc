// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/flow_monitor.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/unit/dns_wire.h"
#include "tests/unit/session_fixture.h"

namespace sandpiper {
namespace {

using testing::Get;
using testing::kDnsServer;
using testing::kLoopback;
using testing::kWeb;
using testing::Total;
using testing::ValuesBy;

class FlowMonitorTest : public testing::SessionPartTest {
 protected:
  void Connect(uint64_t cookie, const Endpoint& peer, Transport transport = Transport::kTcp) {
    flows_.OnConnect({.cookie = cookie, .transport = transport, .comm = "app", .peer = peer},
                     now_ += kMillisecond);
  }
  void Fail(uint64_t cookie, int error) {
    flows_.OnResult({.cookie = cookie, .returned = true, .error = error}, now_ += kMillisecond);
  }
  void Establish(uint64_t cookie) {
    flows_.OnResult({.cookie = cookie, .established = true}, now_ += kMillisecond);
  }
  void Close(uint64_t cookie, int error = 0) {
    flows_.OnClose({.cookie = cookie, .error = error}, now_ += kMillisecond);
  }
  std::map<std::string, int64_t> Outcomes() const {
    return ValuesBy(Metrics(), MetricNamed("sandbox.connect.attempts"), "outcome");
  }
  const Destination& DestinationOf(const Endpoint& peer) const {
    return ledger_.destinations().find(ViewOf({.peer = peer}))->second;
  }

  RuleMonitor rules_{1, 100, &context_};
  Ledger ledger_{100};
  std::vector<std::pair<Denial, uint64_t>> denials_;
  FlowTable::UdpCounts udp_counts_;
  DenialSink on_denial_ = [this](const Denial& denial, uint64_t count) {
    denials_.emplace_back(denial, count);
  };
  DnsMonitor dns_{{.timeout_ns = kSecond, .ports = {53}}, &context_, &rules_, &ledger_, on_denial_};
  FlowMonitor flows_{
      2, [this](const Flow&) { return udp_counts_; }, &context_, &dns_, &ledger_, on_denial_};
};

TEST_F(FlowMonitorTest, AttemptToAnAddressWithoutNameIsOutbound) {
  Connect(1, kWeb);
  ASSERT_EQ(records_.Events(), std::vector<std::string>{"egress.outbound"});
  EXPECT_EQ(Get(records_.all()[0], "peer"), "192.0.2.9");
}

TEST_F(FlowMonitorTest, AttemptToALookedUpAddressHasNoRecordOfItsOwn) {
  context_.names.Learn(kWeb.address, "a.test", 60, now_);
  Connect(1, kWeb);
  EXPECT_TRUE(records_.all().empty());
  ASSERT_EQ(ledger_.destinations().size(), 1u);
  EXPECT_EQ(ledger_.destinations().begin()->first.host.view(), "a.test");
}

TEST_F(FlowMonitorTest, NameFromAServerOfTheSandboxesChoiceIsMarked) {
  context_.names.Learn(kWeb.address, "a.test", 60, now_, NameSource::kUntrusted);
  Connect(1, kWeb);
  Fail(1, ECONNREFUSED);
  ASSERT_EQ(records_.Events(), std::vector<std::string>{"egress.failed"});
  EXPECT_EQ(Get(records_.all()[0], "target.host"), "a.test");
  EXPECT_EQ(Get(records_.all()[0], "target.host.source"), "dns_untrusted");
  EXPECT_EQ(Get(records_.all()[0], "network.peer.address"), "192.0.2.9");
  EXPECT_EQ(ledger_.destinations().begin()->first.host.view(), "a.test");
}

TEST_F(FlowMonitorTest, NameFromAServerWithinTheSandboxNamesNoDestination) {
  context_.names.Learn(kWeb.address, "pypi.org", 60, now_, NameSource::kSandbox);
  Connect(1, kWeb);
  ASSERT_EQ(records_.Events(), std::vector<std::string>{"egress.outbound"});
  EXPECT_EQ(Get(records_.all()[0], "peer"), "192.0.2.9");
  EXPECT_EQ(Get(records_.all()[0], "target.host.source"), "dns_untrusted");
  EXPECT_TRUE(ledger_.destinations().begin()->first.host.empty());
  EXPECT_EQ(ledger_.destinations().begin()->first.address, kWeb.address);
}

TEST_F(FlowMonitorTest, LoopbackIsCountedWithoutNameAndRecord) {
  context_.names.Learn(kLoopback.address, "a.test", 60, now_);
  Connect(1, kLoopback);
  Fail(1, ECONNREFUSED);
  EXPECT_TRUE(records_.all().empty());
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"refused", 1}}));
  EXPECT_TRUE(ledger_.destinations().begin()->first.host.empty());
}

TEST_F(FlowMonitorTest, FailedAttemptIsReportedWithItsError) {
  Connect(1, kWeb);
  Fail(1, ECONNREFUSED);
  ASSERT_EQ(records_.Of("egress.failed").size(), 1u);
  EXPECT_EQ(Get(records_.Of("egress.failed")[0], "error.type"), "refused");
  EXPECT_TRUE(denials_.empty());
  EXPECT_EQ(DestinationOf(kWeb).total.failed, 1u);
}

TEST_F(FlowMonitorTest, PermissionErrorIsADenialByTheCgroupAndNoFailure) {
  Connect(1, kWeb);
  Fail(1, EPERM);
  EXPECT_TRUE(records_.Of("egress.failed").empty());
  ASSERT_EQ(denials_.size(), 1u);
  EXPECT_EQ(denials_[0].first.layer, DenialLayer::kCgroup);
  EXPECT_EQ(ValuesBy(Metrics(), MetricNamed("sandbox.egress.denied"), "layer"),
            (std::map<std::string, int64_t>{{"cgroup", 1}}));
}

TEST_F(FlowMonitorTest, DenialByNetfilterIsReportedOnceAndNotCountedHere) {
  Connect(1, kWeb);
  flows_.OnDenied({.cookie = 1, .peer = kWeb}, now_);
  Fail(1, EPERM);
  ASSERT_EQ(denials_.size(), 1u);
  EXPECT_EQ(denials_[0].first.layer, DenialLayer::kNetfilter);
  EXPECT_TRUE(ValuesBy(Metrics(), MetricNamed("sandbox.egress.denied"), "layer").empty());
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"denied", 1}}));
}

TEST_F(FlowMonitorTest, DenialOfAnUnknownConnectionHasItsName) {
  context_.names.Learn(kWeb.address, "a.test", 60, now_);
  flows_.OnDenied({.cookie = 99, .comm = "app", .peer = kWeb}, now_);
  ASSERT_EQ(denials_.size(), 1u);
  EXPECT_EQ(denials_[0].first.destination.host.view(), "a.test");
  EXPECT_EQ(denials_[0].first.layer, DenialLayer::kNetfilter);
  EXPECT_EQ(denials_[0].first.comm, "app");
}

TEST_F(FlowMonitorTest, WindowReportsOnlyNewDeniedDatagrams) {
  Connect(1, kWeb, Transport::kUdp);
  flows_.OnDenied({.cookie = 1, .transport = Transport::kUdp, .peer = kWeb}, now_);
  udp_counts_.denied = 5;
  flows_.CloseWindow(now_);
  flows_.CloseWindow(now_);
  ASSERT_EQ(denials_.size(), 2u);
  EXPECT_EQ(denials_[0].second, 1u);
  EXPECT_EQ(denials_[1].second, 4u);
}

TEST_F(FlowMonitorTest, CloseReportsDeniedDatagramsOfItsWindow) {
  Connect(1, kWeb, Transport::kUdp);
  flows_.OnDenied({.cookie = 1, .transport = Transport::kUdp, .peer = kWeb}, now_);
  udp_counts_.denied = 3;
  Close(1);
  ASSERT_EQ(denials_.size(), 2u);
  EXPECT_EQ(denials_[1].second, 2u);
}

TEST_F(FlowMonitorTest, WindowHasTheBytesOfOpenFlows) {
  Connect(1, kWeb, Transport::kUdp);
  udp_counts_ = {.sent = 10, .received = 20, .denied = 0};
  flows_.CloseWindow(now_);
  udp_counts_ = {.sent = 15, .received = 20, .denied = 0};
  Close(1);
  const DestinationStats& total = ledger_.destinations().begin()->second.total;
  EXPECT_EQ(total.sent, 15u);
  EXPECT_EQ(total.received, 20u);
}

TEST_F(FlowMonitorTest, ResetOfAnEstablishedConnectionIsAFailure) {
  Connect(1, kWeb);
  Establish(1);
  EXPECT_TRUE(records_.Of("egress.failed").empty());
  Close(1, ECONNRESET);
  ASSERT_EQ(records_.Of("egress.failed").size(), 1u);
  EXPECT_EQ(Get(records_.Of("egress.failed")[0], "error.type"), "reset");
}

TEST_F(FlowMonitorTest, UnansweredDatagramIsNoFailure) {
  Connect(1, kWeb, Transport::kUdp);
  Close(1);
  EXPECT_TRUE(records_.Of("egress.failed").empty());
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"other", 1}}));
}

TEST_F(FlowMonitorTest, TcpToADnsPortIsOutboundOnlyIfItCarriedNoDns) {
  Connect(1, kDnsServer);
  dns_.OnPayload({.cookie = 1, .is_query = true, .transport = Transport::kTcp, .data = "x"}, now_);
  Close(1);
  EXPECT_TRUE(records_.Of("egress.outbound").empty());
  Connect(2, kDnsServer);
  EXPECT_TRUE(records_.Of("egress.outbound").empty());
  Close(2);
  EXPECT_EQ(records_.Of("egress.outbound").size(), 1u);
}

TEST_F(FlowMonitorTest, AttemptOverTheLimitIsUnknownAtOnce) {
  for (uint64_t cookie = 1; cookie <= 3; ++cookie)
    Connect(cookie, kWeb);
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"unknown", 1}}));
  EXPECT_EQ(DestinationOf(kWeb).total.attempts, 3u);
}

TEST_F(FlowMonitorTest, AttemptThatTheProgramGaveUpIsDecidedAfterItsDelay) {
  Connect(1, kWeb);
  flows_.OnResult({.cookie = 1, .error = 0}, now_);
  EXPECT_TRUE(Outcomes().empty());
  const uint64_t deadline = flows_.NextDeadline();
  ASSERT_GT(deadline, now_);
  flows_.ExpireDue(deadline - 1);
  EXPECT_TRUE(Outcomes().empty());
  flows_.ExpireDue(deadline);
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"cancelled", 1}}));
}

TEST_F(FlowMonitorTest, ExpireDueLeavesEstablishedConnectionsOpen) {
  Connect(1, kWeb);
  Establish(1);
  flows_.ExpireDue(now_ + 3600 * kSecond);
  EXPECT_EQ(flows_.table().size(), 1u);
}

TEST_F(FlowMonitorTest, ShutdownMakesOpenAttemptsUnknown) {
  Connect(1, kWeb);
  flows_.Shutdown(now_);
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"unknown", 1}}));
  EXPECT_EQ(flows_.table().size(), 0u);
  EXPECT_TRUE(records_.Of("egress.failed").empty());
}

TEST_F(FlowMonitorTest, FlowEndsOnceItsSocketIsMissingTwice) {
  Connect(1, kWeb);
  Establish(1);
  Connect(2, kWeb);
  Establish(2);
  flows_.EndClosedSockets({2}, now_);
  EXPECT_EQ(flows_.table().size(), 2u);
  flows_.EndClosedSockets({2}, now_);
  EXPECT_EQ(flows_.table().size(), 1u);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.connect.active")), 1);
}

}  // namespace
}  // namespace sandpiper
