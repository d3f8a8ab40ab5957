// SPDX-License-Identifier: Apache-2.0
// All stages of one sandbox together, on forged events.
#include "userspace/session/sandbox_session.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <map>

#include "bpf/events.h"
#include "tests/unit/dns_wire.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

Endpoint At(const uint8_t (&octets)[4], uint16_t port) { return {Address::FromIpv4(octets), port}; }

const Endpoint kServer = At({192, 0, 2, 53}, 53), kWeb = At({192, 0, 2, 9}, 443),
               kLocal = At({127, 0, 0, 1}, 80);

class SandboxSessionTest : public ::testing::Test {
 protected:
  template <typename Body>
  void Feed(uint16_t kind, Body body) {
    session_.OnEvent(
        {.time_ns = now_ += kMillisecond, .member = 1, .kind = kind, .body = std::move(body)});
  }
  void Look(const std::string& name, uint8_t last) {
    Feed(EVENT_DNS_QUERY, DnsPayload{.cookie = 50,
                                     .is_query = true,
                                     .process = {7, 7},
                                     .server = kServer,
                                     .data = testing::Query(1, name)});
    Feed(EVENT_DNS_ANSWER, DnsPayload{.cookie = 50,
                                      .server = kServer,
                                      .data = testing::Answer(1, name, {testing::ARecord(last)})});
  }
  void Connect(uint64_t cookie, const Endpoint& peer) {
    Feed(EVENT_CONNECT,
         sandpiper::Connect{.cookie = cookie, .process = {7, 7}, .comm = "app", .peer = peer});
  }
  std::vector<LogRecord> Of(const std::string& event) const {
    std::vector<LogRecord> out;
    for (const LogRecord& record : records_) {
      if (record.event == event)
        out.push_back(record);
    }
    return out;
  }
  static std::string Get(const LogRecord& record, const std::string& key) {
    for (const Attribute& attribute : record.attributes) {
      if (attribute.key != key)
        continue;
      if (const auto* text = std::get_if<SharedText>(&attribute.value))
        return std::string(text->view());
      if (const auto* number = std::get_if<int64_t>(&attribute.value))
        return std::to_string(*number);
    }
    return "";
  }
  std::map<std::string, double> Metric(const MetricRow& row, const std::string& key) const {
    MetricSnapshot snapshot;
    session_.AppendMetrics(std::nullopt, std::nullopt, &snapshot);
    std::map<std::string, double> out;
    for (const MetricFamily& family : snapshot.families) {
      if (family.row != &row)
        continue;
      for (const MetricPoint& point : family.points) {
        for (const Attribute& attribute : point.attributes) {
          if (attribute.key == key)
            out[std::string(std::get<SharedText>(attribute.value).view())] +=
                static_cast<double>(std::get<int64_t>(point.value));
        }
      }
    }
    return out;
  }

  std::vector<LogRecord> records_;
  uint64_t now_ = 1000 * kSecond;
  SandboxSession session_{{.serial = 1, .id = "sb", .runtime = "cgroup"},
                          {.dns_timeout_ns = 5 * kSecond,
                           .dns_ports = {53},
                           .extra_attributes = {{"team", "red"}},
                           .flows_max = 100},
                          [](const Flow&) { return FlowTable::UdpCounts{}; },
                          [this](LogRecord record) { records_.push_back(std::move(record)); },
                          now_};
};

TEST_F(SandboxSessionTest, EveryRecordHasIdentityAndItsEvent) {
  Look("a.test", 9);
  Connect(1, kWeb);
  session_.Stop(now_);
  ASSERT_GE(records_.size(), 4u);
  for (const LogRecord& record : records_) {
    EXPECT_EQ(Get(record, "sandbox_id"), "sb");
    EXPECT_EQ(Get(record, "team"), "red");
    EXPECT_EQ(Get(record, "opensandbox.event"), record.event);
    EXPECT_FALSE(record.body.empty());
    EXPECT_GE(record.observed_unix_ns, 1u);
  }
}

TEST_F(SandboxSessionTest, AnAttemptThatALookupExplainsIsNoOutbound) {
  Look("a.test", 9);
  Connect(1, kWeb);
  Connect(2, At({198, 51, 100, 1}, 443));
  const auto outbound = Of("egress.outbound");
  ASSERT_EQ(outbound.size(), 2u);
  EXPECT_EQ(Get(outbound[0], "target.host"), "a.test");
  EXPECT_EQ(Get(outbound[1], "peer"), "198.51.100.1");
  EXPECT_EQ(Get(outbound[1], "target.host"), "");
}

TEST_F(SandboxSessionTest, PermissionDeniedIsDeniedAndNotFailed) {
  Connect(1, kWeb);
  Feed(EVENT_CONNECT_RESULT, ConnectResult{.cookie = 1, .returned = true, .error = EPERM});
  ASSERT_EQ(Of("egress.denied").size(), 1u);
  EXPECT_TRUE(Of("egress.failed").empty());
  EXPECT_EQ(Of("egress.denied")[0].severity, Severity::kWarn);
  EXPECT_EQ(Get(Of("egress.denied")[0], "egress.layer"), "cgroup");
  EXPECT_EQ(Metric(metric::kEgressDenied, "layer"), (std::map<std::string, double>{{"cgroup", 1}}));
  EXPECT_EQ(Metric(metric::kConnectAttempts, "outcome"),
            (std::map<std::string, double>{{"denied", 1}}));
}

TEST_F(SandboxSessionTest, ALateAnswerIsLateAlsoWhenBothAreReadAtOnce) {
  Feed(EVENT_DNS_QUERY, DnsPayload{.cookie = 50,
                                   .is_query = true,
                                   .process = {7, 7},
                                   .server = kServer,
                                   .data = testing::Query(1, "a.test")});
  now_ += 6 * kSecond;
  Feed(EVENT_DNS_ANSWER, DnsPayload{.cookie = 50,
                                    .server = kServer,
                                    .data = testing::Answer(1, "a.test", {testing::ARecord(9)})});
  ASSERT_EQ(Of("egress.outbound").size(), 1u);
  EXPECT_EQ(Get(Of("egress.outbound")[0], "egress.outcome"), "timeout");
  EXPECT_EQ(session_.Totals().ignored_answers, 1u);
}

TEST_F(SandboxSessionTest, LoopbackIsCountedButNoEgress) {
  Connect(1, kLocal);
  Feed(EVENT_CONNECT_RESULT, ConnectResult{.cookie = 1, .error = ECONNREFUSED});
  session_.Stop(now_);
  for (const char* event : {"egress.outbound", "egress.failed", "egress.destination"})
    EXPECT_TRUE(Of(event).empty()) << event;
  EXPECT_EQ(Metric(metric::kConnectAttempts, "outcome"),
            (std::map<std::string, double>{{"refused", 1}}));
  EXPECT_EQ(session_.ledger().destinations().size(), 1u);
}

TEST_F(SandboxSessionTest, ATcpConnectionToPort53IsTellingOnlyIfItSpeaksNoDns) {
  Connect(1, kServer);
  Feed(EVENT_DNS_QUERY, DnsPayload{.cookie = 1,
                                   .is_query = true,
                                   .transport = Transport::kTcp,
                                   .server = kServer,
                                   .tcp_seq = 5,
                                   .data = "x"});
  Feed(EVENT_CLOSE, Close{.cookie = 1});
  EXPECT_TRUE(Of("egress.outbound").empty());
  Connect(2, kServer);
  EXPECT_TRUE(Of("egress.outbound").empty());
  Feed(EVENT_CLOSE, Close{.cookie = 2});
  EXPECT_EQ(Of("egress.outbound").size(), 1u);
}

TEST_F(SandboxSessionTest, LossIsToldOnceForEachWindowAndAddsUp) {
  KernelCounts counts;
  counts.produced[EVENT_CONNECT] = 10;
  counts.dropped[EVENT_CONNECT] = 3;
  session_.OnCounters(counts);
  session_.CloseWindow(now_);
  session_.CloseWindow(now_);
  counts.dropped[EVENT_CONNECT] = 7;
  session_.OnCounters(counts);
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

TEST_F(SandboxSessionTest, AttemptsThatDoNotFitAreUnknownNotForgotten) {
  for (uint64_t cookie = 1; cookie <= 120; ++cookie)
    Connect(cookie, kWeb);
  session_.Stop(now_);
  const auto attempts = Metric(metric::kConnectAttempts, "outcome");
  EXPECT_EQ(attempts, (std::map<std::string, double>{{"unknown", 120}}));
}

TEST_F(SandboxSessionTest, TextFromTheSandboxIsEscapedInEveryRecord) {
  Feed(EVENT_EXEC, sandpiper::Exec{.process = {7, 7},
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
