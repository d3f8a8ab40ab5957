// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/health.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "userspace/aggregate/metrics.h"

namespace sandpiper {
namespace {

// The points of one metric, "value key=value key=value".
std::vector<std::string> Points(const MetricSnapshot& snapshot, const MetricRow& row) {
  std::vector<std::string> out;
  for (const MetricFamily& family : snapshot.families) {
    if (family.row != &row)
      continue;
    for (const MetricPoint& point : family.points) {
      std::string text;
      if (const auto* number = std::get_if<int64_t>(&point.value))
        text = absl::StrCat(*number);
      else if (const auto* real = std::get_if<double>(&point.value))
        text = absl::StrCat(*real);
      for (const Attribute& attribute : point.attributes)
        text += " " + std::string(attribute.key.view()) + "=" +
                std::string(std::get<SharedText>(attribute.value).view());
      out.push_back(text);
    }
  }
  return out;
}
using Texts = std::vector<std::string>;

TEST(AppendProbes, EachStateHasItsName) {
  MetricSnapshot out;
  AppendProbes({{.probe = "a", .mechanism = "fentry", .reason = ""},
                {.probe = "b", .mechanism = "kprobe", .reason = "fentry: no BTF"},
                {.probe = "c", .mechanism = "", .reason = "no hook"},
                {.probe = "d", .mechanism = "cgroup", .reason = ""}},
               {"d"}, 1, &out);
  EXPECT_EQ(
      Points(out, MetricNamed("sandpiper.probe.state")),
      (Texts{"1 probe=a mechanism=fentry state=on", "1 probe=b mechanism=kprobe state=degraded",
             "1 probe=c mechanism=none state=off", "1 probe=d mechanism=cgroup state=blind"}));
}

TEST(AppendPrograms, InstancesOfOneProgramAreSummed) {
  MetricSnapshot out;
  AppendPrograms({{.probe = "device", .program = "ingress", .missed = 2},
                  {.probe = "device", .program = "ingress", .missed = 3}},
                 1, &out);
  EXPECT_EQ(Points(out, MetricNamed("sandpiper.probe.missed")),
            Texts{"5 probe=device program=ingress"});
}

TEST(AppendPrograms, RunsWithoutStatisticsAreLeftOut) {
  MetricSnapshot out;
  AppendPrograms({{.probe = "a", .program = "counted", .time_ns = 2'000'000'000, .count = 4},
                  {.probe = "a", .program = "uncounted"}},
                 1, &out);
  EXPECT_EQ(Points(out, MetricNamed("sandpiper.probe.run_count")),
            Texts{"4 probe=a program=counted"});
  EXPECT_EQ(Points(out, MetricNamed("sandpiper.probe.run_time")),
            Texts{"2 probe=a program=counted"});
  EXPECT_EQ(Points(out, MetricNamed("sandpiper.probe.missed")).size(), 2u);
}

TEST(AppendTables, EntriesAndCapacity) {
  MetricSnapshot out;
  AppendTables({{.table = "flows", .entries = 3, .capacity = 9}}, 1, &out);
  EXPECT_EQ(Points(out, MetricNamed("sandpiper.table.entries")), Texts{"3 table=flows"});
  EXPECT_EQ(Points(out, MetricNamed("sandpiper.table.capacity")), Texts{"9 table=flows"});
}

TEST(AppendExporter, OnlyLossesThatHappenedHaveAPoint) {
  MetricSnapshot out;
  ExportCounts counts;
  counts.dropped_queue_full = 2;
  AppendExporter(MetricNamed("otel.sdk.exporter.log.exported"), "otlp_http_log_exporter", counts, 1,
                 &out);
  EXPECT_EQ(Points(out, MetricNamed("otel.sdk.exporter.log.exported")),
            (Texts{"0 otel.component.type=otlp_http_log_exporter "
                   "otel.component.name=otlp_http_log_exporter/0",
                   "2 otel.component.type=otlp_http_log_exporter "
                   "otel.component.name=otlp_http_log_exporter/0 error.type=queue_full"}));
}

}  // namespace
}  // namespace sandpiper
