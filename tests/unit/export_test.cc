// SPDX-License-Identifier: Apache-2.0
// Tests the output: NDJSON lines and OTLP requests.
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include "userspace/base/clock.h"
#include "userspace/export/ndjson.h"
#include "userspace/export/otlp_metrics.h"

namespace sandpiper {
namespace {

LogRecord Sample() {
  return {.time_unix_ns = 1767323045000000006,
          .observed_unix_ns = 1767323046000000000,
          .severity = Severity::kWarn,
          .event = "egress.denied",
          .body = "egress denied a.test",
          .attributes = {{"opensandbox.event", "egress.denied"},
                         {"target.ips", std::vector<std::string>{"192.0.2.1", "2001:db8::1"}},
                         {"count", int64_t{-3}},
                         {"dns.duration_ms", 1.5},
                         {"egress.first_contact", true}}};
}

TEST(Ndjson, RecordIsOneObjectOnOneLine) {
  const std::string line = ToJson(Sample());
  EXPECT_EQ(line.find('\n'), std::string::npos);
  rapidjson::Document json;
  ASSERT_FALSE(json.Parse(line.c_str()).HasParseError()) << line;
  EXPECT_STREQ(json["ts"].GetString(), "2026-01-02T03:04:05.000000006Z");
  EXPECT_STREQ(json["level"].GetString(), "warn");
  EXPECT_STREQ(json["msg"].GetString(), "egress denied a.test");
  EXPECT_STREQ(json["target.ips"][1].GetString(), "2001:db8::1");
  EXPECT_EQ(json["count"].GetInt64(), -3);
  EXPECT_EQ(json["dns.duration_ms"].GetDouble(), 1.5);
  EXPECT_TRUE(json["egress.first_contact"].GetBool());
}

TEST(Otlp, AllKindsOfMetrics) {
  Histogram histogram(HistogramKind::kExplicit, DurationBounds());
  for (const double seconds : {0.001, 0.005, 0.3, 100.0})
    histogram.Record(seconds);
  MetricSnapshot snapshot = {.time_unix_ns = 2000, .families = {}};
  snapshot.Add(MetricNamed("sandbox.dns.queries"),
               {.attributes = {{"sandbox_id", "s"}}, .value = int64_t{5}, .start_unix_ns = 1000});
  snapshot.Add(MetricNamed("sandbox.dns.queries"),
               {.attributes = {{"sandbox_id", "t"}}, .value = int64_t{6}, .start_unix_ns = 1000});
  snapshot.Add(MetricNamed("sandbox.connect.active"),
               {.attributes = {}, .value = int64_t{-1}, .start_unix_ns = 1000});
  snapshot.Add(MetricNamed("egress.system.cpu.utilization"),
               {.attributes = {}, .value = 0.25, .start_unix_ns = 1000});
  snapshot.Add(MetricNamed("egress.dns.query.duration"),
               {.attributes = {}, .value = histogram, .start_unix_ns = 1000});
  const OtlpMetrics request = ToOtlp(snapshot, {}, Temporality::kCumulative);
  std::map<std::string, const opentelemetry::proto::metrics::v1::Metric*> by_name;
  std::map<std::string, std::string> scope;
  for (const auto& one : request.resource_metrics(0).scope_metrics()) {
    for (const auto& metric : one.metrics()) {
      by_name[metric.name()] = &metric;
      scope[metric.name()] = one.scope().name();
    }
  }
  EXPECT_EQ(scope["egress.dns.query.duration"], "opensandbox/egress");
  EXPECT_EQ(scope["sandbox.dns.queries"], "sandpiper");
  const auto& sum = by_name["sandbox.dns.queries"]->sum();
  EXPECT_TRUE(sum.is_monotonic());
  EXPECT_EQ(sum.aggregation_temporality(),
            opentelemetry::proto::metrics::v1::AGGREGATION_TEMPORALITY_CUMULATIVE);
  EXPECT_EQ(sum.data_points_size(), 2);
  EXPECT_EQ(sum.data_points(1).as_int(), 6);
  EXPECT_EQ(sum.data_points(0).start_time_unix_nano(), 1000u);
  EXPECT_EQ(sum.data_points(0).time_unix_nano(), 2000u);
  EXPECT_FALSE(by_name["sandbox.connect.active"]->sum().is_monotonic());
  EXPECT_EQ(by_name["egress.system.cpu.utilization"]->gauge().data_points(0).as_double(), 0.25);
  const auto& point = by_name["egress.dns.query.duration"]->histogram().data_points(0);
  EXPECT_EQ(point.bucket_counts_size(), point.explicit_bounds_size() + 1);
  EXPECT_EQ(point.count(), 4u);
  EXPECT_EQ(point.bucket_counts(0), 2u);  // 0.005 belongs to the bucket it bounds
  EXPECT_EQ(point.bucket_counts(point.bucket_counts_size() - 1), 1u);
}

TEST(Otlp, StalePointHasNoValueAndKeepsItsTime) {
  MetricSnapshot snapshot = {.time_unix_ns = 2000, .families = {}};
  snapshot.Add(
      MetricNamed("sandbox.dns.queries"),
      {.attributes = {}, .value = int64_t{5}, .start_unix_ns = 1000, .time_unix_ns = 1500});
  snapshot.Add(MetricNamed("sandbox.dns.queries"),
               {.attributes = {}, .value = int64_t{5}, .start_unix_ns = 1000, .stale = true});
  const auto sum = ToOtlp(snapshot, {}, Temporality::kDelta)
                       .resource_metrics(0)
                       .scope_metrics(0)
                       .metrics(0)
                       .sum();
  EXPECT_EQ(sum.aggregation_temporality(),
            opentelemetry::proto::metrics::v1::AGGREGATION_TEMPORALITY_DELTA);
  EXPECT_EQ(sum.data_points(0).time_unix_nano(), 1500u);
  EXPECT_EQ(sum.data_points(0).flags(), 0u);
  EXPECT_EQ(sum.data_points(1).flags(), 1u);
  EXPECT_EQ(sum.data_points(1).value_case(),
            opentelemetry::proto::metrics::v1::NumberDataPoint::VALUE_NOT_SET);
}

TEST(Otlp, ExponentialHistogramBuckets) {
  Histogram histogram(HistogramKind::kExponential, {});
  for (const double seconds : {0.0, 1.0, 1.5, 2.0, 4.0})
    histogram.Record(seconds);
  MetricSnapshot snapshot = {.time_unix_ns = 2000, .families = {}};
  snapshot.Add(MetricNamed("sandbox.dns.duration"), {.attributes = {}, .value = histogram});
  const auto metric = ToOtlp(snapshot, {}, Temporality::kCumulative)
                          .resource_metrics(0)
                          .scope_metrics(0)
                          .metrics(0);
  const auto& point = metric.exponential_histogram().data_points(0);
  EXPECT_EQ(point.count(), 5u);
  EXPECT_EQ(point.zero_count(), 1u);
  EXPECT_EQ(point.scale(), histogram.scale());
  uint64_t in_buckets = 0;
  for (const uint64_t bucket : point.positive().bucket_counts())
    in_buckets += bucket;
  EXPECT_EQ(in_buckets, 4u);
}

}  // namespace
}  // namespace sandpiper
