// SPDX-License-Identifier: Apache-2.0
// Requests divided: every item in one half or the other, in order, and no metric without points.
#include "userspace/export/request.h"

#include <gtest/gtest.h>

#include "tests/unit/fake_endpoint.h"
#include "userspace/export/otlp_metrics.h"

namespace sandpiper {
namespace {

TEST(Halve, DividesLogs) {
  for (const uint64_t count : {2u, 3u, 512u}) {
    OtlpLogs logs;
    for (uint64_t i = 0; i < count; ++i) {
      // Of several resources, as another program might have written them.
      auto* resource = i % 5 == 0 ? logs.add_resource_logs()
                                  : logs.mutable_resource_logs(logs.resource_logs_size() - 1);
      auto* scope = resource->scope_logs_size() == 0 ? resource->add_scope_logs()
                                                     : resource->mutable_scope_logs(0);
      scope->add_log_records()->mutable_body()->set_string_value(std::to_string(i));
    }
    const auto halves = Halve({logs.SerializeAsString(), count}, Signal::kLogs);
    ASSERT_TRUE(halves);
    EXPECT_EQ(halves->first.items + halves->second.items, count);
    auto all = Bodies(halves->first.bytes);
    EXPECT_EQ(all.size(), halves->first.items);
    const auto rest = Bodies(halves->second.bytes);
    all.insert(all.end(), rest.begin(), rest.end());
    EXPECT_EQ(all, Numbers(static_cast<int>(count)));
  }
}

std::vector<int64_t> Points(const std::string& bytes) {
  OtlpMetrics metrics;
  EXPECT_TRUE(metrics.ParseFromString(bytes));
  std::vector<int64_t> out;
  for (const auto& metric : metrics.resource_metrics(0).scope_metrics(0).metrics()) {
    const size_t before = out.size();
    for (const auto& point : metric.sum().data_points())
      out.push_back(point.as_int());
    for (const auto& point : metric.gauge().data_points())
      out.push_back(point.as_int());
    for (const auto& point : metric.histogram().data_points())
      out.push_back(static_cast<int64_t>(point.count()));
    for (const auto& point : metric.exponential_histogram().data_points())
      out.push_back(static_cast<int64_t>(point.count()));
    EXPECT_GT(out.size(), before) << metric.name() << " has no points";
  }
  return out;
}

TEST(Halve, DividesAllKindsOfMetrics) {
  OtlpMetrics metrics;
  auto* scope = metrics.add_resource_metrics()->add_scope_metrics();
  int64_t next = 0;
  for (int i = 0; i < 10; ++i) {
    auto* metric = scope->add_metrics();
    metric->set_name("m" + std::to_string(i));
    for (int k = 0; k <= i % 3; ++k, ++next) {
      switch (i % 4) {
        case 0:
          metric->mutable_sum()->add_data_points()->set_as_int(next);
          break;
        case 1:
          metric->mutable_gauge()->add_data_points()->set_as_int(next);
          break;
        case 2:
          metric->mutable_histogram()->add_data_points()->set_count(static_cast<uint64_t>(next));
          break;
        case 3:
          metric->mutable_exponential_histogram()->add_data_points()->set_count(
              static_cast<uint64_t>(next));
          break;
      }
    }
  }
  const auto halves =
      Halve({metrics.SerializeAsString(), static_cast<uint64_t>(next)}, Signal::kMetrics);
  ASSERT_TRUE(halves);
  auto all = Points(halves->first.bytes);
  EXPECT_EQ(all.size(), halves->first.items);
  for (const int64_t point : Points(halves->second.bytes))
    all.push_back(point);
  ASSERT_EQ(all.size(), static_cast<size_t>(next));
  for (size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(all[i], static_cast<int64_t>(i));
}

TEST(Halve, SingleItemIsNotDivided) {
  EXPECT_FALSE(Halve({"", 0}, Signal::kLogs));
  EXPECT_FALSE(Halve({"", 1}, Signal::kLogs));
  EXPECT_FALSE(Halve({"\xff\xff\xff", 5}, Signal::kLogs));
}

}  // namespace
}  // namespace sandpiper
