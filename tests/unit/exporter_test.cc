// SPDX-License-Identifier: Apache-2.0
// What becomes of records and points when an endpoint takes them, or part of them, or not.
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/fake_endpoint.h"
#include "userspace/export/log_exporter.h"
#include "userspace/export/metric_exporter.h"
#include "userspace/export/otlp_metrics.h"

namespace sandpiper {
namespace {

constexpr auto kLong = std::chrono::seconds(60);

ExportCounts SendLogs(Endpoint* endpoint, const std::vector<std::string>& bodies) {
  LogExporter exporter(
      std::make_unique<FakeTransport>(endpoint), {},
      {.queue_max = 10'000, .batch_max = 512, .delay = kLong, .write_first = false}, nullptr,
      [](const std::string&) {});
  for (const std::string& body : bodies)
    exporter.Push(std::make_shared<const LogRecord>(LogRecord{.event = "e", .body = body}));
  exporter.BeginFlush();
  exporter.FinishFlush(std::chrono::steady_clock::now() + kLong);
  return exporter.counts();
}

TEST(Exporter, InvalidRecordIsIsolated) {
  for (const int bad : {0, 1, 255, 256, 511}) {
    Endpoint endpoint;
    std::multiset<std::string> taken;
    endpoint.answer = [&](const std::string& request) {
      const auto bodies = Bodies(request);
      if (std::find(bodies.begin(), bodies.end(), std::to_string(bad)) != bodies.end())
        return Answer(SendResult::kSplit);
      taken.insert(bodies.begin(), bodies.end());
      return Answer(SendResult::kSent);
    };
    const ExportCounts counts = SendLogs(&endpoint, Numbers(512));
    EXPECT_EQ(counts.sent, 511u);
    EXPECT_EQ(counts.dropped_refused, 1u);
    EXPECT_EQ(taken.size(), 511u);
    EXPECT_EQ(std::set<std::string>(taken.begin(), taken.end()).size(), 511u) << "told twice";
  }
}

TEST(Exporter, DivisionOfInvalidBatchIsLimited) {
  Endpoint endpoint;
  endpoint.answer = [](const std::string&) { return Answer(SendResult::kSplit); };
  const ExportCounts counts = SendLogs(&endpoint, Numbers(512));
  EXPECT_EQ(counts.sent, 0u);
  EXPECT_EQ(counts.dropped_refused, 512u);
  EXPECT_LT(endpoint.asked.size(), 70u);
}

TEST(Exporter, RejectedRequestIsNotRetried) {
  Endpoint endpoint;
  endpoint.answer = [](const std::string&) { return Answer(SendResult::kRefused); };
  EXPECT_EQ(SendLogs(&endpoint, Numbers(100)).dropped_refused, 100u);
  EXPECT_EQ(endpoint.asked.size(), 1u);
}

TEST(Exporter, RetrySendsSameBytes) {
  Endpoint endpoint;
  endpoint.answer = [&](const std::string&) {
    return Answer(endpoint.asked.size() < 5 ? SendResult::kRetry : SendResult::kSent);
  };
  EXPECT_EQ(SendLogs(&endpoint, Numbers(100)).sent, 100u);
  EXPECT_EQ(endpoint.asked.size(), 5u);
  EXPECT_EQ(std::set<std::string>(endpoint.asked.begin(), endpoint.asked.end()).size(), 1u);
}

TEST(Exporter, LargeBatchIsDividedBeforeSending) {
  Endpoint endpoint;
  std::vector<std::string> bodies;
  for (int i = 0; i < 100; ++i)
    bodies.push_back(std::to_string(i) + std::string(200'000, 'x'));
  bodies.push_back(
      std::string(5'000'000, 'y'));  // nothing to divide: sent, for the endpoint to decide
  EXPECT_EQ(SendLogs(&endpoint, bodies).sent, 101u);
  std::vector<std::string> told;
  for (const std::string& request : endpoint.asked) {
    const auto some = Bodies(request);
    EXPECT_TRUE(request.size() <= 3'500'000 || some.size() == 1);
    told.insert(told.end(), some.begin(), some.end());
  }
  EXPECT_EQ(told, bodies);
}

TEST(Exporter, PartialSuccessIsCountedAndNotRetried) {
  Endpoint endpoint;
  endpoint.answer = [](const std::string&) {
    return SendResult{.verdict = SendResult::kSent,
                      .rejected = 3,
                      .retry_after = std::nullopt,
                      .error = "too old"};
  };
  const ExportCounts counts = SendLogs(&endpoint, Numbers(10));
  EXPECT_EQ(counts.sent, 7u);
  EXPECT_EQ(counts.dropped_rejected, 3u);
  EXPECT_EQ(endpoint.asked.size(), 1u);
}

MetricSnapshot Execs(uint64_t sequence, int64_t count) {
  MetricSnapshot out = {.time_unix_ns = 1000 * sequence, .sequence = sequence, .families = {}};
  out.Add(MetricNamed("sandbox.process.execs"),
          {.attributes = {{"sandbox_id", "a"}}, .value = count, .start_unix_ns = 1});
  out.Add(MetricNamed("sandbox.memory.usage"),
          {.attributes = {{"sandbox_id", "a"}}, .value = count, .start_unix_ns = 1});
  return out;
}

int64_t ExecsIn(const std::string& request) {
  OtlpMetrics parsed;
  EXPECT_TRUE(parsed.ParseFromString(request));
  for (const auto& metric : parsed.resource_metrics(0).scope_metrics(0).metrics()) {
    if (metric.has_sum())
      return metric.sum().data_points(0).as_int();
  }
  return 0;
}

// While the endpoint is away, values go on; it gets the newest, or their whole difference, and
// never the backlog.
class AfterOutage : public ::testing::TestWithParam<Temporality> {};

TEST_P(AfterOutage, NewestSnapshotIsSent) {
  Endpoint endpoint;
  int64_t sum = 0, last = 0;
  size_t taken = 0;
  endpoint.answer = [&](const std::string& request) {
    if (endpoint.asked.size() % 3 != 0)
      return Answer(SendResult::kRetry);
    last = ExecsIn(request);
    sum += last;
    ++taken;
    return Answer(SendResult::kSent);
  };
  MetricExporter exporter(std::make_unique<FakeTransport>(&endpoint), {}, GetParam(),
                          [](const std::string&) {});
  for (uint64_t i = 1; i <= 200; ++i)
    exporter.Push(Execs(i, static_cast<int64_t>(10 * i)));
  exporter.BeginFlush();
  exporter.FinishFlush(std::chrono::steady_clock::now() + kLong);
  EXPECT_EQ(exporter.done(), 200u);
  EXPECT_LE(taken, endpoint.asked.size() / 3);
  EXPECT_EQ(GetParam() == Temporality::kDelta ? sum : last, 2000);
}
INSTANTIATE_TEST_SUITE_P(Exporter, AfterOutage,
                         ::testing::Values(Temporality::kCumulative, Temporality::kDelta));

TEST(Exporter, InvalidPointIsIsolated) {
  Endpoint endpoint;
  std::set<std::string> taken;
  endpoint.answer = [&](const std::string& request) {
    OtlpMetrics parsed;
    EXPECT_TRUE(parsed.ParseFromString(request));
    std::set<std::string> ids;
    for (const auto& metric : parsed.resource_metrics(0).scope_metrics(0).metrics()) {
      for (const auto& point : metric.sum().data_points())
        ids.insert(point.attributes(0).value().string_value());
    }
    if (ids.contains("77"))
      return Answer(SendResult::kSplit);
    taken.merge(ids);
    return Answer(SendResult::kSent);
  };
  MetricSnapshot snapshot = {.time_unix_ns = 5, .sequence = 1, .families = {}};
  for (const std::string& id : Numbers(300))
    snapshot.Add(MetricNamed("sandbox.process.execs"),
                 {.attributes = {{"sandbox_id", id}}, .value = int64_t{1}, .start_unix_ns = 1});
  MetricExporter exporter(std::make_unique<FakeTransport>(&endpoint), {}, Temporality::kCumulative,
                          [](const std::string&) {});
  exporter.Push(snapshot);
  exporter.BeginFlush();
  exporter.FinishFlush(std::chrono::steady_clock::now() + kLong);
  EXPECT_EQ(taken.size(), 299u);
  EXPECT_EQ(exporter.counts().dropped_refused, 1u);
}

}  // namespace
}  // namespace sandpiper
