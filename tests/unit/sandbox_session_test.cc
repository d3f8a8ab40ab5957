// SPDX-License-Identifier: Apache-2.0
// The parts of a session together, on synthetic events.
#include "userspace/session/sandbox_session.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <limits>

#include "bpf/events.h"
#include "tests/unit/dns_wire.h"
#include "tests/unit/session_fixture.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

using testing::Get;
using testing::kDnsServer;
using testing::kLoopback;
using testing::kOther;
using testing::kWeb;

constexpr ProcessKey kApp = {.pid = 7, .start_ns = 7};

class SandboxSessionTest : public ::testing::Test {
 protected:
  template <typename Body>
  void Feed(uint16_t kind, Body body) {
    session_.OnEvent(
        {.time_ns = now_ += kMillisecond, .member = 1, .kind = kind, .body = std::move(body)});
  }
  void Query(const std::string& name) {
    Feed(EVENT_DNS_QUERY, DnsPayload{.cookie = 50,
                                     .is_query = true,
                                     .process = kApp,
                                     .server = kDnsServer,
                                     .data = testing::Query(1, name)});
  }
  void Answer(const std::string& name, uint8_t last) {
    Feed(EVENT_DNS_ANSWER, DnsPayload{.cookie = 50,
                                      .server = kDnsServer,
                                      .data = testing::Answer(1, name, {testing::ARecord(last)})});
  }
  void LookUp(const std::string& name, uint8_t last) {
    Query(name);
    Answer(name, last);
  }
  void Connect(uint64_t cookie, const Endpoint& peer) {
    Feed(EVENT_CONNECT,
         sandpiper::Connect{.cookie = cookie, .process = kApp, .comm = "app", .peer = peer});
  }
  void Establish(uint64_t cookie) {
    Feed(EVENT_CONNECT_RESULT, ConnectResult{.cookie = cookie, .established = true});
  }
  std::vector<LogRecord> Of(const std::string& event) const { return records_.Of(event); }
  MetricSnapshot Metrics() const {
    MetricSnapshot snapshot;
    session_.AppendMetrics(std::nullopt, std::nullopt, &snapshot);
    return snapshot;
  }
  std::map<std::string, int64_t> Outcomes() const {
    return testing::ValuesBy(Metrics(), MetricNamed("sandbox.connect.attempts"), "outcome");
  }

  testing::ReceivedRecords records_;
  uint64_t now_ = 1000 * kSecond;
  SandboxSession session_{
      {.serial = 1, .id = "sb", .runtime = "cgroup"},
      {.dns_timeout_ns = 5 * kSecond,
       .dns_ports = {53},
       .extra_attributes = {{"team", "red"}},
       .flows_max = 100,
       .read_resolv_conf = [](pid_t) { return ResolvConf{.text = "nameserver 192.0.2.53\n"}; }},
      [](const Flow&) { return FlowTable::UdpCounts{}; },
      records_.Sink(),
      now_};
};

TEST_F(SandboxSessionTest, EveryRecordHasIdentityAndItsEvent) {
  LookUp("a.test", 9);
  Connect(1, kWeb);
  session_.Stop(now_);
  ASSERT_GE(records_.all().size(), 4u);
  for (const LogRecord& record : records_.all()) {
    EXPECT_EQ(Get(record, "sandbox_id"), "sb");
    EXPECT_EQ(Get(record, "team"), "red");
    EXPECT_EQ(Get(record, "opensandbox.event"), record.event);
    EXPECT_FALSE(record.body.empty());
    EXPECT_GE(record.observed_unix_ns, 1u);
  }
}

TEST_F(SandboxSessionTest, RecordsAreInTheOrderOfTheirEvents) {
  LookUp("a.test", 9);
  Connect(1, kOther);
  Feed(EVENT_CONNECT_RESULT, ConnectResult{.cookie = 1, .returned = true, .error = EPERM});
  KernelCounts counters;
  counters.dropped[EVENT_CONNECT] = 1;
  session_.OnCounters(counters);
  session_.Stop(now_);
  EXPECT_EQ(records_.Events(),
            (std::vector<std::string>{"sandbox.started", "egress.outbound", "egress.outbound",
                                      "egress.denied", "egress.destination", "sandpiper.loss",
                                      "sandbox.stopped"}));
}

TEST_F(SandboxSessionTest, MemberAttributesAreOnTheRecordsOfItsOrigin) {
  const auto origins = session_.AddMember({{"container.id", "c1"}});
  for (const AttributionBasis basis : {AttributionBasis::kCgroup, AttributionBasis::kNamespace}) {
    Feed(EVENT_EXEC,
         sandpiper::Exec{
             .origin = origins[static_cast<size_t>(basis)], .process = kApp, .path = "/bin/app"});
  }
  const auto execs = Of("process.exec");
  ASSERT_EQ(execs.size(), 2u);
  EXPECT_EQ(Get(execs[0], "container.id"), "c1");
  EXPECT_EQ(Get(execs[0], "sandbox.attribution"), "");
  EXPECT_EQ(Get(execs[1], "container.id"), "");
  EXPECT_EQ(Get(execs[1], "sandbox.attribution"), "namespace");
}

TEST_F(SandboxSessionTest, ConnectionToALookedUpAddressIsNoOutbound) {
  LookUp("a.test", 9);
  Connect(1, kWeb);
  Connect(2, kOther);
  const auto outbound = Of("egress.outbound");
  ASSERT_EQ(outbound.size(), 2u);
  EXPECT_EQ(Get(outbound[0], "target.host"), "a.test");
  EXPECT_EQ(Get(outbound[1], "peer"), "198.51.100.1");
  EXPECT_EQ(Get(outbound[1], "target.host"), "");
}

TEST_F(SandboxSessionTest, PermissionErrorIsDeniedAndNotFailed) {
  Connect(1, kWeb);
  Feed(EVENT_CONNECT_RESULT, ConnectResult{.cookie = 1, .returned = true, .error = EPERM});
  ASSERT_EQ(Of("egress.denied").size(), 1u);
  EXPECT_TRUE(Of("egress.failed").empty());
  EXPECT_EQ(Of("egress.denied")[0].severity, Severity::kWarn);
  EXPECT_EQ(Get(Of("egress.denied")[0], "egress.layer"), "cgroup");
  EXPECT_EQ(testing::ValuesBy(Metrics(), MetricNamed("sandbox.egress.denied"), "layer"),
            (std::map<std::string, int64_t>{{"cgroup", 1}}));
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"denied", 1}}));
}

TEST_F(SandboxSessionTest, DenialByNetfilterShowsInALaterAllowance) {
  Feed(EVENT_DENIED, sandpiper::Denied{.cookie = 1, .process = kApp, .peer = kWeb});
  RulesetTransaction transaction = {.time_ns = now_ + kMillisecond};
  transaction.timed = {{.set = "allowed", .address = kWeb.address}};
  session_.OnRules({.transactions = {transaction}, .updates = {}});
  EXPECT_EQ(testing::Total(Metrics(), MetricNamed("sandbox.connect.before_allow")), 1);
}

TEST_F(SandboxSessionTest, LateAnswerIsLateAlsoIfReadTogetherWithItsQuery) {
  Query("a.test");
  now_ += 6 * kSecond;
  Answer("a.test", 9);
  ASSERT_EQ(Of("egress.outbound").size(), 1u);
  EXPECT_EQ(Get(Of("egress.outbound")[0], "egress.outcome"), "timeout");
  EXPECT_EQ(session_.Totals().ignored_answers, 1u);
}

TEST_F(SandboxSessionTest, LoopbackIsCountedWithoutEgressRecords) {
  Connect(1, kLoopback);
  Feed(EVENT_CONNECT_RESULT, ConnectResult{.cookie = 1, .error = ECONNREFUSED});
  session_.Stop(now_);
  for (const char* event : {"egress.outbound", "egress.failed", "egress.destination"})
    EXPECT_TRUE(Of(event).empty()) << event;
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"refused", 1}}));
  EXPECT_EQ(session_.ledger().destinations().size(), 1u);
}

TEST_F(SandboxSessionTest, TcpToADnsPortIsOutboundOnlyIfItCarriedNoDns) {
  Connect(1, kDnsServer);
  Feed(EVENT_DNS_QUERY, DnsPayload{.cookie = 1,
                                   .is_query = true,
                                   .transport = Transport::kTcp,
                                   .server = kDnsServer,
                                   .tcp_seq = 5,
                                   .data = "x"});
  Feed(EVENT_CLOSE, Close{.cookie = 1});
  EXPECT_TRUE(Of("egress.outbound").empty());
  Connect(2, kDnsServer);
  EXPECT_TRUE(Of("egress.outbound").empty());
  Feed(EVENT_CLOSE, Close{.cookie = 2});
  EXPECT_EQ(Of("egress.outbound").size(), 1u);
}

TEST_F(SandboxSessionTest, ClosedSocketNoLongerCountsAsDnsConnection) {
  Connect(1, kDnsServer);
  Feed(EVENT_DNS_QUERY,
       DnsPayload{.cookie = 1, .is_query = true, .transport = Transport::kTcp, .data = "x"});
  Feed(EVENT_CLOSE, Close{.cookie = 1});
  Connect(1, kDnsServer);
  Feed(EVENT_CLOSE, Close{.cookie = 1});
  EXPECT_EQ(Of("egress.outbound").size(), 1u);
}

TEST_F(SandboxSessionTest, LossIsReportedOncePerWindowAndAddsUp) {
  KernelCounts counters;
  counters.produced[EVENT_CONNECT] = 10;
  counters.dropped[EVENT_CONNECT] = 3;
  session_.OnCounters(counters);
  session_.CloseWindow(now_);
  session_.CloseWindow(now_);
  counters.dropped[EVENT_CONNECT] = 7;
  session_.OnCounters(counters);
  session_.OnLost("decode", "malformed_record", EVENT_EXEC);
  session_.Stop(now_);
  const auto losses = Of("sandpiper.loss");
  ASSERT_EQ(losses.size(), 2u);
  EXPECT_EQ(Get(losses[0], "sandpiper.dropped.ring_full.connect"), "3");
  EXPECT_EQ(Get(losses[1], "sandpiper.dropped.ring_full.connect"), "4");
  EXPECT_EQ(Get(losses[1], "sandpiper.dropped.malformed_record.exec"), "1");
  EXPECT_EQ(Get(losses[1], "sandpiper.dropped"), "5");
  EXPECT_EQ(Get(Of("sandbox.stopped")[0], "sandpiper.dropped"), "8");
}

TEST_F(SandboxSessionTest, AttemptsOverTheLimitAreUnknown) {
  for (uint64_t cookie = 1; cookie <= 120; ++cookie)
    Connect(cookie, kWeb);
  session_.Stop(now_);
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"unknown", 120}}));
}

TEST_F(SandboxSessionTest, LivingSocketsEndFlowsOnlyIfACloseWasLost) {
  Connect(1, kWeb);
  Establish(1);
  session_.OnLivingSockets({}, now_);
  session_.OnLivingSockets({}, now_);
  EXPECT_EQ(session_.flows().size(), 1u);
  KernelCounts counters;
  counters.dropped[EVENT_CLOSE] = 1;
  session_.OnCounters(counters);
  session_.OnLivingSockets({}, now_);
  EXPECT_EQ(session_.flows().size(), 1u);
  session_.OnLivingSockets({}, now_);
  EXPECT_EQ(session_.flows().size(), 0u);
}

TEST_F(SandboxSessionTest, NextDeadlineIsTheEarliestOfAllParts) {
  constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(session_.NextDeadline(), kNever);
  RulesetTransaction transaction = {.time_ns = now_};
  transaction.timed = {{.address = kWeb.address, .timeout_ms = 3'600'000}};
  session_.OnRules({.transactions = {transaction}, .updates = {}});
  EXPECT_EQ(session_.NextDeadline(), now_ + 3600 * kSecond);
  Query("a.test");
  const uint64_t lookup = session_.NextDeadline();
  EXPECT_LT(lookup, now_ + 60 * kSecond);
  Connect(1, kWeb);
  Feed(EVENT_CONNECT_RESULT, ConnectResult{.cookie = 1});
  EXPECT_LT(session_.NextDeadline(), lookup);
}

TEST_F(SandboxSessionTest, ExpireDueEndsLookupsFlowsAndAllowances) {
  Connect(1, kWeb);
  Establish(1);
  RulesetTransaction transaction = {.time_ns = now_};
  transaction.timed = {{.address = kWeb.address, .timeout_ms = 1'000}};
  session_.OnRules({.transactions = {transaction}, .updates = {}});
  Query("a.test");
  Connect(2, kOther);
  Feed(EVENT_CONNECT_RESULT, ConnectResult{.cookie = 2});
  session_.ExpireDue(now_ + 60 * kSecond);
  EXPECT_EQ(testing::Total(Metrics(), MetricNamed("sandbox.nftables.expired_in_use")), 1);
  EXPECT_EQ(testing::Total(Metrics(), MetricNamed("sandbox.dns.queries")), 1);
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"cancelled", 1}, {"established", 1}}));
}

TEST_F(SandboxSessionTest, StopRecordHasTheTotals) {
  LookUp("a.test", 9);
  Query("open.test");
  Connect(1, kWeb);
  Connect(2, kOther);
  Feed(EVENT_CONNECT_RESULT, ConnectResult{.cookie = 2, .returned = true, .error = EPERM});
  KernelCounts counters;
  counters.produced[EVENT_EXEC] = 3;
  counters.produced[EVENT_EXIT] = 2;
  counters.attempts[0][0] = 4;
  counters.attempts[1][1] = 1;
  counters.denied = {5, 6};
  session_.OnCounters(counters);
  session_.Stop(now_);
  const LogRecord stopped = Of("sandbox.stopped")[0];
  EXPECT_EQ(Get(stopped, "sandbox.dns.lookups"), "2");
  EXPECT_EQ(Get(stopped, "sandbox.connect.attempts"), "5");
  EXPECT_EQ(Get(stopped, "sandbox.process.execs"), "3");
  EXPECT_EQ(Get(stopped, "sandbox.process.exits"), "2");
  EXPECT_EQ(Get(stopped, "sandbox.egress.destinations"), "2");
  EXPECT_EQ(Get(stopped, "sandbox.egress.denied"), "12");
  EXPECT_EQ(Get(stopped, "sandpiper.produced"), "5");
  EXPECT_EQ(Get(stopped, "sandpiper.delivered"), "6");
}

TEST_F(SandboxSessionTest, LogLevelChangesWhichRecordsAreEmitted) {
  session_.set_log_level(Severity::kWarn);
  LookUp("a.test", 9);
  Feed(EVENT_EXEC, sandpiper::Exec{.process = kApp, .path = "/bin/app"});
  Connect(1, kWeb);
  Feed(EVENT_CONNECT_RESULT, ConnectResult{.cookie = 1, .returned = true, .error = EPERM});
  EXPECT_EQ(records_.Events(), (std::vector<std::string>{"sandbox.started", "egress.denied"}));
  session_.set_log_level(Severity::kInfo);
  Feed(EVENT_EXIT, sandpiper::Exit{.process = kApp});
  EXPECT_EQ(records_.Events().back(), "process.exit");
}

TEST_F(SandboxSessionTest, ProcessBeforeTheSessionIsKnownWithoutRecord) {
  session_.OnExisting({.process = kApp, .path = "/bin/app"});
  EXPECT_EQ(session_.processes().All().size(), 1u);
  EXPECT_EQ(records_.all().size(), 1u);
}

TEST_F(SandboxSessionTest, DeadProcessIsDroppedOnlyIfAnExitWasLost) {
  session_.OnExisting({.process = {.pid = 0x7fffffff, .start_ns = 1}, .path = "/bin/app"});
  session_.CloseWindow(now_);
  session_.CloseWindow(now_);
  EXPECT_EQ(session_.processes().All().size(), 1u);
  KernelCounts counters;
  counters.limited[EVENT_EXIT] = 1;
  session_.OnCounters(counters);
  session_.CloseWindow(now_);
  session_.CloseWindow(now_);
  EXPECT_EQ(session_.processes().All().size(), 0u);
}

TEST_F(SandboxSessionTest, TextFromTheSandboxIsEscapedInEveryRecord) {
  Feed(EVENT_EXEC, sandpiper::Exec{.process = kApp,
                                   .comm = "a\nb",
                                   .path = std::string("/tmp/\xff"),
                                   .working_directory = std::string("/\n"),
                                   .script = std::string("\x1b"),
                                   .args = {"\xc3", "ok"}});
  const LogRecord exec = Of("process.exec")[0];
  EXPECT_EQ(Get(exec, "process.executable.path"), "/tmp/\\xff");
  EXPECT_EQ(Get(exec, "process.working_directory"), "/\\x0a");
  EXPECT_EQ(Get(exec, "process.interpreted_script"), "\\x1b");
  EXPECT_EQ(exec.body.find('\xff'), std::string::npos);
  EXPECT_GE(session_.Totals().escaped_texts, 4u);
}

}  // namespace
}  // namespace sandpiper
