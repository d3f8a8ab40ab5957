// SPDX-License-Identifier: Apache-2.0
// Tests the view of an exporter, over any order of events, exports, and starts and ends of
// sandboxes.
#include "userspace/aggregate/metric_reader.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "userspace/export/delta.h"

namespace sandpiper {
namespace {

constexpr uint64_t kStart = 1'000;

MetricSnapshot Execs(const std::string& id, int64_t count, uint64_t start) {
  MetricSnapshot out;
  out.Add(MetricNamed("sandbox.process.execs"),
          {.attributes = {{"sandbox_id", id}}, .value = count, .start_unix_ns = start});
  return out;
}

// The points of one metric.
std::vector<MetricPoint> Of(const MetricSnapshot& snapshot, const MetricRow& row) {
  for (const MetricFamily& family : snapshot.families) {
    if (family.row == &row)
      return family.points;
  }
  return {};
}

bool IsOverflow(const MetricPoint& point) {
  return point.attributes[0].key == "otel.metric.overflow";
}

TEST(MetricReader, EndedSandboxIsRepeatedUntilExportedThenMarkedStale) {
  MetricReader reader({.start_unix_ns = kStart});
  reader.OnSandboxEnd(1, Execs("a", 7, 10), 100);
  for (const uint64_t time : {200u, 300u}) {  // the first was not read
    reader.Begin(time);
    const auto points = Of(reader.Finish(), MetricNamed("sandbox.process.execs"));
    ASSERT_EQ(points.size(), 1u);
    EXPECT_FALSE(points[0].stale);
    EXPECT_EQ(std::get<int64_t>(points[0].value), 7);
    EXPECT_EQ(points[0].time_unix_ns, 100u);
    EXPECT_EQ(points[0].start_unix_ns, 10u);
  }
  reader.OnExported(2);
  reader.Begin(400);
  const MetricSnapshot third = reader.Finish();
  ASSERT_EQ(Of(third, MetricNamed("sandbox.process.execs")).size(), 1u);
  EXPECT_TRUE(Of(third, MetricNamed("sandbox.process.execs"))[0].stale);
  reader.OnExported(third.sequence);
  reader.Begin(500);
  EXPECT_TRUE(reader.Finish().families.empty());
}

TEST(MetricReader, RestartedSandboxStartsNewSeriesAndIsNotStale) {
  MetricReader reader({.start_unix_ns = kStart});
  reader.OnSandboxEnd(1, Execs("a", 7, 10), 100);
  reader.Begin(200);
  reader.Add(2, Execs("a", 1, 150));
  const auto points = Of(reader.Finish(), MetricNamed("sandbox.process.execs"));
  ASSERT_EQ(points.size(),
            2u);  // the last value of the old series comes first: its time is earlier
  EXPECT_EQ(points[0].start_unix_ns, 10u);
  EXPECT_EQ(points[0].time_unix_ns, 100u);
  EXPECT_EQ(points[1].start_unix_ns, 150u);
  reader.OnExported(1);
  reader.Begin(300);
  reader.Add(2, Execs("a", 2, 150));
  const auto next = Of(reader.Finish(), MetricNamed("sandbox.process.execs"));
  ASSERT_EQ(next.size(), 1u);
  EXPECT_FALSE(next[0].stale);
}

TEST(MetricReader, TimeNeverDecreasesWhenClockIsSetBack) {
  MetricReader reader({.start_unix_ns = kStart});
  uint64_t last = 0;
  for (const uint64_t time : {10'000u, 500u, 600u, 20'000u}) {
    reader.Begin(time);
    const uint64_t told = reader.Finish().time_unix_ns;
    EXPECT_GT(told, last);
    EXPECT_GE(told, time);
    last = told;
  }
  EXPECT_EQ(last, 20'000u);
}

TEST(MetricReader, WithoutSandboxIdPointsAreSummedByOtherAttributes) {
  MetricReader reader({.by_sandbox = false, .start_unix_ns = kStart});
  const auto queries = [](const char* id, const char* outcome, int64_t count) {
    MetricSnapshot out;
    out.Add(MetricNamed("sandbox.dns.queries"),
            {.attributes = {{"sandbox_id", std::string(id)}, {"outcome", std::string(outcome)}},
             .value = count,
             .start_unix_ns = 5});
    return out;
  };
  reader.OnSandboxEnd(1, queries("a", "ok", 100), 10);
  reader.Begin(20);
  reader.Add(2, queries("b", "ok", 1));
  reader.Add(3, queries("c", "denied", 2));
  std::map<std::string, int64_t> told;
  for (const MetricPoint& point : Of(reader.Finish(), MetricNamed("sandbox.dns.queries"))) {
    ASSERT_EQ(point.attributes.size(), 1u);
    EXPECT_EQ(point.start_unix_ns, kStart);
    told[std::string(std::get<SharedText>(point.attributes[0].value).view())] =
        std::get<int64_t>(point.value);
  }
  EXPECT_EQ(told, (std::map<std::string, int64_t>{{"ok", 101}, {"denied", 2}}));
}

// Sandboxes start, count, end and start again under their names, and exports succeed or fail, in
// any order. No series ever decreases, and no name appears twice at one time. With any limit, each
// count is exported once: cumulative and as deltas.
class AnyInterleaving : public ::testing::TestWithParam<size_t> {};

TEST_P(AnyInterleaving, SumsAreExact) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    MetricReader reader({.series_max = GetParam(), .start_unix_ns = kStart});
    DeltaState delta;
    struct Living {
      std::string id;
      int64_t count;
      uint64_t start;
    };
    std::map<uint64_t, Living> living;
    std::map<std::pair<std::string, uint64_t>, int64_t> told;  // {series, start} -> last value
    int64_t truth = 0, by_delta = 0;
    uint64_t now = kStart, next_serial = 1, sent = 0;
    const auto collect = [&](bool arrives) {
      reader.OnExported(sent);
      reader.Begin(++now);
      for (const auto& [serial, sandbox] : living)
        reader.Add(serial, Execs(sandbox.id, sandbox.count, sandbox.start));
      const MetricSnapshot snapshot = reader.Finish();
      if (!arrives)
        return;
      sent = snapshot.sequence;
      for (const MetricPoint& point :
           Of(delta.Since(snapshot), MetricNamed("sandbox.process.execs"))) {
        EXPECT_GT(std::get<int64_t>(point.value), 0);
        by_delta += std::get<int64_t>(point.value);
      }
      delta.Commit(snapshot);
      size_t own = 0;
      std::map<std::string, uint64_t> times;
      for (const MetricPoint& point : Of(snapshot, MetricNamed("sandbox.process.execs"))) {
        const std::string series = SeriesKey(point.attributes);
        const uint64_t time = point.time_unix_ns ? point.time_unix_ns : snapshot.time_unix_ns;
        EXPECT_GT(time, times[series]) << "out of order, or twice";
        times[series] = time;
        own += !IsOverflow(point);
        if (point.stale)
          continue;
        int64_t& last = told[{series, point.start_unix_ns}];
        EXPECT_GE(std::get<int64_t>(point.value), last) << "a sum went down";
        last = std::get<int64_t>(point.value);
      }
      EXPECT_LT(own, GetParam());
    };
    for (int step = 0; step < 400; ++step) {
      switch (random() % 6) {
        case 0: {
          const std::string id = "s" + std::to_string(random() % 20);
          const bool there = std::any_of(living.begin(), living.end(),
                                         [&](const auto& l) { return l.second.id == id; });
          if (!there)
            living[next_serial++] = {.id = id, .count = 0, .start = ++now};
          break;
        }
        case 1:
          if (!living.empty()) {
            const auto it = std::next(living.begin(), static_cast<long>(random() % living.size()));
            reader.OnSandboxEnd(it->first, Execs(it->second.id, it->second.count, it->second.start),
                                ++now);
            living.erase(it);
          }
          break;
        case 2:
          collect(random() % 3 != 0);
          break;
        default:
          if (!living.empty()) {
            const auto it = std::next(living.begin(), static_cast<long>(random() % living.size()));
            const int64_t more = static_cast<int64_t>(random() % 100);
            it->second.count += more;
            truth += more;
          }
      }
    }
    collect(true);
    int64_t sum = 0;
    for (const auto& [series, value] : told)
      sum += value;
    EXPECT_EQ(sum, truth) << "seed " << seed;
    EXPECT_EQ(by_delta, truth) << "seed " << seed;
  }
}
INSTANTIATE_TEST_SUITE_P(MetricReader, AnyInterleaving, ::testing::Values(1, 2, 5, 1000));

TEST(MetricReader, OverflowIsOneSeriesWithOneAttribute) {
  MetricReader reader({.series_max = 3, .start_unix_ns = kStart});
  reader.Begin(10);
  for (uint64_t serial = 1; serial <= 10; ++serial)
    reader.Add(serial, Execs("s" + std::to_string(serial), 1, 5));
  const auto points = Of(reader.Finish(), MetricNamed("sandbox.process.execs"));
  ASSERT_EQ(points.size(), 3u);
  ASSERT_TRUE(IsOverflow(points[2]));
  EXPECT_EQ(points[2].attributes.size(), 1u);
  EXPECT_TRUE(std::get<bool>(points[2].attributes[0].value));
  EXPECT_EQ(std::get<int64_t>(points[2].value), 8);
}

TEST(Delta, DifferencesOfHistogramsAndGaugesWithStartTimes) {
  DeltaState delta;
  const auto snapshot = [](uint64_t time, int records, int64_t memory) {
    Histogram histogram(HistogramKind::kExponential, {});
    for (int i = 1; i <= records; ++i)
      histogram.Record(i);
    MetricSnapshot out = {.time_unix_ns = time};
    out.Add(MetricNamed("sandbox.dns.duration"),
            {.attributes = {}, .value = histogram, .start_unix_ns = 1});
    out.Add(MetricNamed("sandbox.memory.usage"),
            {.attributes = {}, .value = memory, .start_unix_ns = 1});
    return out;
  };
  delta.Commit(snapshot(10, 3, 50));
  // A failed export leaves no gap: the next one covers its time too.
  for (const uint64_t time : {20u, 30u}) {
    const MetricSnapshot difference = delta.Since(snapshot(time, 8, 40));
    EXPECT_EQ(
        std::get<Histogram>(Of(difference, MetricNamed("sandbox.dns.duration"))[0].value).count(),
        5u);
    EXPECT_EQ(Of(difference, MetricNamed("sandbox.dns.duration"))[0].start_unix_ns, 10u);
    EXPECT_EQ(std::get<int64_t>(Of(difference, MetricNamed("sandbox.memory.usage"))[0].value), 40);
  }
  delta.Commit(snapshot(30, 8, 40));
  EXPECT_TRUE(Of(delta.Since(snapshot(40, 8, 40)), MetricNamed("sandbox.dns.duration")).empty());
}

}  // namespace
}  // namespace sandpiper
