// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/histogram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

namespace sandpiper {
namespace {

uint64_t Sum(const Histogram& histogram) {
  return std::accumulate(histogram.buckets().begin(), histogram.buckets().end(), uint64_t{0});
}

// The two ends of bucket i.
std::pair<double, double> Ends(const Histogram& histogram, size_t i) {
  const double step = std::ldexp(1.0, -histogram.scale());
  const double low = static_cast<double>(histogram.offset() + static_cast<int64_t>(i)) * step;
  return {std::exp2(low), std::exp2(low + step)};
}

TEST(Histogram, BoundBelongsToLowerBucket) {
  Histogram histogram(HistogramKind::kExplicit, DurationBounds());
  histogram.Record(0.005);
  histogram.Record(0.0051);
  EXPECT_EQ(histogram.buckets()[0], 1u);
  EXPECT_EQ(histogram.buckets()[1], 1u);
}

TEST(ExponentialHistogram, PowerOfTwoBelongsToLowerBucket) {
  for (const double value : {0.25, 1.0, 2.0, 1024.0}) {
    Histogram histogram(HistogramKind::kExponential, {});
    histogram.Record(value);
    EXPECT_NEAR(Ends(histogram, 0).second, value, value * 1e-6);
    histogram.Record(1e-9);  // so small that the scale is below 3
    histogram.Record(1e9);
    EXPECT_LE(histogram.scale(), 2);
    for (size_t i = 0; i < histogram.buckets().size(); ++i) {
      const auto [low, high] = Ends(histogram, i);
      if (low < value && value <= high) {
        EXPECT_EQ(histogram.buckets()[i], 1u) << value;
      }
    }
  }
}

TEST(ExponentialHistogram, EveryValueIsInItsBucket) {
  std::mt19937 random(1);
  std::lognormal_distribution<double> values(-5, 3);
  Histogram histogram(HistogramKind::kExponential, {});
  std::vector<double> all;
  for (int i = 0; i < 5000; ++i) {
    all.push_back(values(random));
    histogram.Record(all.back());
  }
  histogram.Record(0);
  EXPECT_LE(histogram.buckets().size(), Histogram::kSizeMax);
  EXPECT_EQ(histogram.zero_count(), 1u);
  EXPECT_EQ(Sum(histogram) + histogram.zero_count(), histogram.count());
  for (size_t i = 0; i < histogram.buckets().size(); ++i) {
    const auto [low, high] = Ends(histogram, i);
    const auto inside =
        std::count_if(all.begin(), all.end(), [&](double v) { return low < v && v <= high; });
    EXPECT_NEAR(static_cast<double>(histogram.buckets()[i]), static_cast<double>(inside), 1)
        << i;  // a value at an end, by rounding
  }
}

class BothKinds : public ::testing::TestWithParam<HistogramKind> {};

// The sum of two histograms equals the histogram of all values, and subtracting one part gives the
// other.
TEST_P(BothKinds, SumsAndDifferences) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    std::lognormal_distribution<double> values(static_cast<double>(round % 9) - 6,
                                               0.1 * (round % 30));
    Histogram whole(GetParam(), ConnectBounds()), first = whole, second = whole;
    const int split = static_cast<int>(random() % 100);
    for (int i = 0; i < 100; ++i) {
      const double value = values(random);
      whole.Record(value);
      (i < split ? first : second).Record(value);
    }
    const Histogram early = first;
    Histogram sum = first;
    sum += second;
    EXPECT_EQ(sum.count(), 100u);
    EXPECT_EQ(Sum(sum), 100u);
    EXPECT_EQ(sum.buckets().size() <= Histogram::kSizeMax, true);
    if (sum.scale() == whole.scale() && sum.offset() == whole.offset()) {
      EXPECT_EQ(sum.buckets(), whole.buckets());
    }
    const Histogram difference = whole - early;
    EXPECT_EQ(difference.count(), static_cast<uint64_t>(100 - split));
    EXPECT_EQ(Sum(difference), static_cast<uint64_t>(100 - split));
    for (const uint64_t bucket : difference.buckets())
      EXPECT_LE(bucket, 100u);
  }
}
INSTANTIATE_TEST_SUITE_P(Histogram, BothKinds,
                         ::testing::Values(HistogramKind::kExplicit, HistogramKind::kExponential));

}  // namespace
}  // namespace sandpiper
