// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/dns_monitor.h"

#include <gtest/gtest.h>

#include <optional>

#include "tests/unit/dns_wire.h"
#include "tests/unit/session_fixture.h"

namespace sandpiper {
namespace {

using testing::Get;
using testing::kDnsServer;
using testing::kWeb;
using testing::Total;
using testing::ValuesBy;

class DnsMonitorTest : public testing::SessionPartTest {
 protected:
  void Query(const std::string& name, unsigned id = 1) { Feed(QueryOf(name, id)); }
  void Answer(const std::string& name, unsigned id = 1, unsigned rcode = 0) {
    Feed(AnswerOf(name, id, rcode));
  }
  static DnsPayload QueryOf(const std::string& name, unsigned id = 1) {
    return {.cookie = 50,
            .is_query = true,
            .process = {.pid = 7, .start_ns = 7},
            .server = kDnsServer,
            .data = testing::Query(id, name)};
  }
  static DnsPayload AnswerOf(const std::string& name, unsigned id = 1, unsigned rcode = 0) {
    return {.cookie = 50,
            .server = kDnsServer,
            .data = testing::Answer(id, name, {testing::ARecord(9)}, rcode)};
  }
  void Feed(const DnsPayload& payload) { dns_.OnPayload(payload, now_ += kMillisecond); }
  std::map<std::string, int64_t> Outcomes() const {
    return ValuesBy(Metrics(), MetricNamed("sandbox.dns.queries"), "outcome");
  }

  RuleMonitor rules_{1, 100, &context_};
  Ledger ledger_{100};
  std::vector<std::pair<Denial, uint64_t>> denials_;
  DnsMonitor dns_{
      {.timeout_ns = 5 * kSecond, .ports = {53, 5353}},
      &context_,
      &rules_,
      &ledger_,
      [this](const Denial& denial, uint64_t count) { denials_.emplace_back(denial, count); }};
};

TEST_F(DnsMonitorTest, AnsweredLookupIsEmittedCountedAndLearned) {
  Query("a.test");
  EXPECT_TRUE(records_.all().empty());
  Answer("a.test");
  ASSERT_EQ(records_.Events(), std::vector<std::string>{"egress.outbound"});
  EXPECT_EQ(Get(records_.all()[0], "target.host"), "a.test");
  EXPECT_EQ(Get(records_.all()[0], "server.address"), "192.0.2.53");
  EXPECT_EQ(Get(records_.all()[0], "server.port"), "53");
  EXPECT_EQ(Get(records_.all()[0], "dns.queries"), "1");
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"ok", 1}}));
  EXPECT_EQ(ledger_.questions().size(), 1u);
  EXPECT_EQ(context_.names.Find(kWeb.address, now_).view(), "a.test");
}

TEST_F(DnsMonitorTest, AnswerStartsTheMeasurementOfItsAllowance) {
  Query("a.test");
  Answer("a.test");
  RulesetTransaction transaction = {.time_ns = now_ + kMillisecond};
  transaction.timed = {{.set = "allowed", .address = kWeb.address}};
  rules_.OnRules({.transactions = {transaction}, .updates = {}});
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.dns.allow.duration")), 1);
}

TEST_F(DnsMonitorTest, LookupWithoutAnswerExpires) {
  Query("a.test");
  ASSERT_LT(dns_.NextDeadline(), now_ + 30 * kSecond);
  dns_.ExpireDue(dns_.NextDeadline() - 1);
  EXPECT_TRUE(records_.all().empty());
  dns_.ExpireDue(dns_.NextDeadline());
  ASSERT_EQ(records_.all().size(), 1u);
  EXPECT_EQ(Get(records_.all()[0], "egress.outcome"), "timeout");
}

TEST_F(DnsMonitorTest, LateAnswerIsLateAlsoIfReadTogetherWithItsQuery) {
  dns_.OnPayload(QueryOf("a.test"), now_);
  dns_.OnPayload(AnswerOf("a.test"), now_ + 60 * kSecond);
  ASSERT_EQ(records_.all().size(), 1u);
  EXPECT_EQ(Get(records_.all()[0], "egress.outcome"), "timeout");
  EXPECT_EQ(dns_.lookups().ignored_answers(), 1u);
}

TEST_F(DnsMonitorTest, ShutdownEndsOpenLookupsBeforeTheirTimeout) {
  Query("a.test");
  dns_.Shutdown(now_);
  EXPECT_EQ(records_.all().size(), 1u);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.dns.queries")), 1);
}

TEST_F(DnsMonitorTest, DenialByTheProxyOfTheSandboxIsADenialAndNoLookupRecord) {
  Query("bad.test");
  DnsPayload answer = AnswerOf("bad.test", 1, 3);
  answer.local_server = true;
  Feed(answer);
  dns_.Shutdown(now_);
  EXPECT_TRUE(records_.all().empty());
  ASSERT_EQ(denials_.size(), 1u);
  EXPECT_EQ(denials_[0].first.layer, DenialLayer::kDns);
  EXPECT_EQ(denials_[0].first.destination.host.view(), "bad.test");
  EXPECT_EQ(ValuesBy(Metrics(), MetricNamed("sandbox.egress.denied"), "layer")["dns"], 1);
}

TEST_F(DnsMonitorTest, QueriesThatNetfilterDroppedAreOneDenialWithTheirCount) {
  DnsPayload query = QueryOf("a.test");
  query.denied = true;
  Feed(query);
  Feed(query);
  dns_.Shutdown(now_);
  ASSERT_EQ(denials_.size(), 1u);
  EXPECT_EQ(denials_[0].first.layer, DenialLayer::kNetfilter);
  EXPECT_EQ(denials_[0].second, 2u);
  EXPECT_TRUE(records_.all().empty());
}

TEST_F(DnsMonitorTest, LookupThatSucceedsAfterADroppedQueryIsBoth) {
  DnsPayload query = QueryOf("a.test");
  query.denied = true;
  Feed(query);
  Query("a.test");
  Answer("a.test");
  dns_.Shutdown(now_);
  EXPECT_EQ(denials_.size(), 1u);
  ASSERT_EQ(records_.all().size(), 1u);
  EXPECT_EQ(Get(records_.all()[0], "egress.outcome"), "ok");
}

TEST_F(DnsMonitorTest, LookupsAreCountedAlsoAtWarnLevel) {
  context_.emitter.set_log_level(Severity::kWarn);
  Query("a.test");
  Answer("a.test");
  EXPECT_TRUE(records_.all().empty());
  EXPECT_EQ(Outcomes(), (std::map<std::string, int64_t>{{"ok", 1}}));
}

TEST_F(DnsMonitorTest, OnlyTcpToADnsPortMayCarryDns) {
  EXPECT_TRUE(dns_.MayCarryDns({.transport = Transport::kTcp, .peer = {.port = 53}}));
  EXPECT_TRUE(dns_.MayCarryDns({.transport = Transport::kTcp, .peer = {.port = 5353}}));
  EXPECT_FALSE(dns_.MayCarryDns({.transport = Transport::kTcp, .peer = {.port = 443}}));
  EXPECT_FALSE(dns_.MayCarryDns({.transport = Transport::kUdp, .peer = {.port = 53}}));
}

TEST_F(DnsMonitorTest, TcpSocketHasCarriedDnsUntilItCloses) {
  DnsPayload query = QueryOf("a.test");
  EXPECT_FALSE(dns_.HasCarriedDns(50));
  Feed(query);
  EXPECT_FALSE(dns_.HasCarriedDns(50));  // UDP
  query.transport = Transport::kTcp;
  Feed(query);
  EXPECT_TRUE(dns_.HasCarriedDns(50));
  dns_.OnClose(50);
  EXPECT_FALSE(dns_.HasCarriedDns(50));
}

class NameSourceTest : public DnsMonitorTest {
 protected:
  // The source of the name that an answer of `server` gives.
  NameSource SourceFrom(const Endpoint& server, bool is_local) {
    DnsPayload query = QueryOf("a.test"), answer = AnswerOf("a.test");
    query.server = answer.server = server;
    answer.process = query.process;
    answer.local_server = is_local;
    monitor_.OnPayload(query, now_ += kMillisecond);
    monitor_.OnPayload(answer, now_ += kMillisecond);
    return context_.names.FindWithSource(kWeb.address, now_).source;
  }

  DnsMonitor monitor_{{.timeout_ns = 5 * kSecond,
                       .ports = {53},
                       .is_given_server = [](const Address& server, const ProcessKey&,
                                             uint64_t) { return server == kDnsServer.address; }},
                      &context_,
                      &rules_,
                      &ledger_,
                      [](const Denial&, uint64_t) {}};
};

TEST_F(NameSourceTest, GivenServerIsTrustedWhereverItRuns) {
  EXPECT_EQ(SourceFrom(kDnsServer, /*is_local=*/false), NameSource::kDns);
  EXPECT_EQ(SourceFrom(kDnsServer, /*is_local=*/true), NameSource::kDns);
}

TEST_F(NameSourceTest, OtherServerIsUntrusted) {
  EXPECT_EQ(SourceFrom(testing::At({198, 51, 100, 1}, 53), false), NameSource::kUntrusted);
}

TEST_F(NameSourceTest, ServerWithinTheSandboxGivesItsOwnWord) {
  EXPECT_EQ(SourceFrom(testing::At({127, 0, 0, 1}, 53), true), NameSource::kSandbox);
}

TEST_F(NameSourceTest, ServerWithinTheSandboxThatForwardsHasTheSourceOfItsUpstream) {
  const Endpoint local = testing::At({127, 0, 0, 1}, 53);
  DnsPayload query = QueryOf("a.test"), forwarded = QueryOf("a.test", 9);
  query.server = local;
  forwarded.cookie = 60;
  forwarded.process = {.pid = 8, .start_ns = 8};
  DnsPayload upstream = AnswerOf("a.test", 9), answer = AnswerOf("a.test");
  upstream.cookie = 60;
  upstream.process = forwarded.process;
  answer.server = local;
  answer.process = query.process;
  answer.local_server = true;
  for (const DnsPayload& payload : {query, forwarded, upstream, answer})
    monitor_.OnPayload(payload, now_ += kMillisecond);
  EXPECT_EQ(context_.names.Find(kWeb.address, now_).view(), "a.test");
  EXPECT_EQ(context_.names.FindWithSource(kWeb.address, now_).source, NameSource::kDns);
}

TEST_F(DnsMonitorTest, RequestsAreRecordedButAreNoLookups) {
  DnsPayload update = QueryOf("a.test");
  update.data[2] = 5 << 3;
  Feed(update);
  dns_.Shutdown(now_);
  ASSERT_EQ(records_.all().size(), 1u);
  EXPECT_EQ(Get(records_.all()[0], "dns.opcode"), "UPDATE");
  EXPECT_EQ(Get(records_.all()[0], "dns.question.type"), "");
  EXPECT_EQ(Outcomes()["timeout"], 0);
  EXPECT_TRUE(ledger_.questions().empty());
}

TEST_F(DnsMonitorTest, FailureOfAForwardedLookupNamesTheFailingLeg) {
  const auto error_of = [&](unsigned id, bool is_forwarded,
                            std::optional<unsigned> upstream_rcode) {
    DnsPayload query = QueryOf("a.test", id), forwarded = QueryOf("a.test", 100 + id);
    query.redirected = true;
    forwarded.cookie = 60;
    forwarded.process = {.pid = 8, .start_ns = 8};
    DnsPayload upstream = AnswerOf("a.test", 100 + id, upstream_rcode.value_or(0));
    upstream.cookie = 60;
    DnsPayload answer = AnswerOf("a.test", id, 2);
    answer.local_server = true;
    Feed(query);
    if (is_forwarded)
      Feed(forwarded);
    if (upstream_rcode)
      Feed(upstream);
    Feed(answer);
    dns_.Shutdown(now_);
    return Get(records_.all().back(), "error");
  };
  EXPECT_EQ(error_of(1, false, std::nullopt), "no upstream");
  EXPECT_EQ(error_of(2, true, std::nullopt), "upstream timeout");
  EXPECT_EQ(error_of(3, true, 2), "upstream server failure");
  EXPECT_EQ(error_of(4, true, 5), "upstream refused");
  EXPECT_EQ(error_of(5, true, 0), "server failure");
}

}  // namespace
}  // namespace sandpiper
