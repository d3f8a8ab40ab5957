// SPDX-License-Identifier: Apache-2.0
// A distribution of values, in one of the two forms of OTLP.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_HISTOGRAM_H_
#define SANDPIPER_USERSPACE_AGGREGATE_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sandpiper {

enum class HistogramKind { kExplicit, kExponential };

// Bounds in seconds (OpenTelemetry semantic conventions, dns-metrics). Those for connects begin
// lower: on a local network connects are faster than lookups.
std::span<const double> DurationBounds();
std::span<const double> ConnectBounds();

class Histogram {
 public:
  // OpenTelemetry specification, metrics/sdk.md, Base2 Exponential Bucket Histogram Aggregation.
  static constexpr size_t kSizeMax = 160;
  static constexpr int kScaleMax = 20;

  // `bounds` must outlive the histogram. An exponential one ignores them and chooses its own.
  Histogram(HistogramKind kind, std::span<const double> bounds);

  void Record(double value);
  // `other` has the same kind and bounds.
  Histogram& operator+=(const Histogram& other);
  // The values recorded since `earlier`, a copy of this histogram.
  Histogram operator-(const Histogram& earlier) const;

  HistogramKind kind() const { return kind_; }
  uint64_t count() const { return count_; }
  double sum() const { return sum_; }
  // Empty before the first value. Explicit (OTLP HistogramDataPoint): there is one bucket more than
  // bounds, and a bound belongs to the lower bucket. Exponential (ExponentialHistogramDataPoint):
  // bucket i holds (b^(offset+i), b^(offset+i+1)] with b = 2^(2^-scale).
  const std::vector<uint64_t>& buckets() const { return buckets_; }
  std::span<const double> bounds() const { return bounds_; }
  int scale() const { return scale_; }
  int64_t offset() const { return offset_; }
  uint64_t zero_count() const { return zero_count_; }

 private:
  // Halves the resolution `by` times.
  void Downscale(int by);
  // Extends the buckets to these indices. Downscales if that takes more than kSizeMax buckets, and
  // returns by how much.
  int Reach(int64_t low, int64_t high);

  HistogramKind kind_;
  std::span<const double> bounds_;
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0, zero_count_ = 0;
  double sum_ = 0;
  int scale_ = kScaleMax;
  int64_t offset_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_HISTOGRAM_H_
