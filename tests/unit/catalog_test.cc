// SPDX-License-Identifier: Apache-2.0
// Tests the catalogue of metrics, its names in Prometheus, and its page.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>

#include "userspace/export/catalog_markdown.h"
#include "userspace/export/prometheus_exporter.h"
#include "userspace/export/prometheus_names.h"

namespace sandpiper {
namespace {

TEST(MetricCatalog, RowsAreUniqueAndDescribed) {
  std::map<std::string, int> names, prometheus_names;
  for (const MetricRow& row : kMetrics) {
    EXPECT_EQ(names[row.name]++, 0) << row.name;
    EXPECT_EQ(prometheus_names[PrometheusName(row)]++, 0) << row.name;
    EXPECT_NE(row.meaning[0], '\0');
  }
}

TEST(MetricCatalog, DocumentIsUpToDate) {
  std::ifstream file("docs/metrics.md");
  const std::string document{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(document.empty());
  EXPECT_EQ(document, WithMetricTable(document))
      << "run: bazel run //userspace/export:write_catalog -- \"$PWD/docs\"";
}

// As prometheus/otlptranslator makes them of the same names, kinds and units.
TEST(Prometheus, NamesEqualThoseOfItsTranslator) {
  EXPECT_EQ(PrometheusName(MetricNamed("egress.dns.query.duration")),
            "egress_dns_query_duration_seconds");
  EXPECT_EQ(PrometheusName(MetricNamed("egress.policy.denied_total")),
            "egress_policy_denied_total");
  EXPECT_EQ(PrometheusName(MetricNamed("egress.nftables.rules.count")),
            "egress_nftables_rules_count");
  EXPECT_EQ(PrometheusName(MetricNamed("egress.nftables.updates.count")),
            "egress_nftables_updates_count_total");
  EXPECT_EQ(PrometheusName(MetricNamed("egress.system.memory.usage_bytes")),
            "egress_system_memory_usage_bytes");
  EXPECT_EQ(PrometheusName(MetricNamed("egress.system.cpu.utilization")),
            "egress_system_cpu_utilization_ratio");
  EXPECT_EQ(PrometheusName(MetricNamed("sandbox.cpu.time")), "sandbox_cpu_time_seconds_total");
  EXPECT_EQ(PrometheusName(MetricNamed("sandbox.connect.active")), "sandbox_connect_active");
  EXPECT_EQ(PrometheusLabel("network.transport"), "network_transport");
  EXPECT_EQ(PrometheusLabel("0day"), "key_0day");
}

TEST(Prometheus, AllKindsOfPoints) {
  Histogram histogram(HistogramKind::kExplicit, DurationBounds());
  histogram.Record(0.3);
  histogram.Record(100);
  MetricSnapshot snapshot;
  snapshot.Add(MetricNamed("sandbox.dns.duration"),
               {.attributes = {{"leg", "client"}}, .value = histogram});
  snapshot.Add(MetricNamed("sandbox.dns.queries"),
               {.attributes = {{"otel.metric.overflow", true}}, .value = int64_t{7}});
  snapshot.Add(MetricNamed("sandbox.connect.active"), {.attributes = {}, .value = int64_t{-2}});
  // An old sandbox's last value, its successor's, and a series that has ended.
  snapshot.Add(MetricNamed("sandbox.process.execs"),
               {.attributes = {{"sandbox_id", "a"}}, .value = int64_t{9}, .time_unix_ns = 5});
  snapshot.Add(MetricNamed("sandbox.process.execs"),
               {.attributes = {{"sandbox_id", "a"}}, .value = int64_t{1}});
  snapshot.Add(MetricNamed("sandbox.process.execs"),
               {.attributes = {{"sandbox_id", "b"}}, .value = int64_t{4}, .stale = true});
  const auto families = ToPrometheus(snapshot, {{"service.name", "s"}});
  ASSERT_EQ(families.size(), 5u);
  const auto& buckets = families[0].metric[0].histogram.bucket;
  EXPECT_EQ(buckets.size(), DurationBounds().size() + 1);
  EXPECT_EQ(buckets[6].cumulative_count, 0u);
  EXPECT_EQ(buckets[7].cumulative_count, 1u);
  EXPECT_EQ(buckets.back().cumulative_count, 2u);
  EXPECT_EQ(families[1].metric[0].label[0].name, "otel_metric_overflow");
  EXPECT_EQ(families[1].metric[0].label[0].value, "true");
  EXPECT_EQ(families[1].metric[0].counter.value, 7);
  EXPECT_EQ(families[2].metric[0].gauge.value, -2);
  ASSERT_EQ(families[3].metric.size(), 1u);
  EXPECT_EQ(families[3].metric[0].counter.value, 1);
  EXPECT_EQ(families[4].name, "target_info");
}

}  // namespace
}  // namespace sandpiper
