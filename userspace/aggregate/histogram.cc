// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/histogram.h"

#include <algorithm>
#include <cmath>

namespace sandpiper {
namespace {

constexpr double kDurationBounds[] = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
                                      0.5,   0.75, 1,     2.5,  5,     7.5, 10};
constexpr double kConnectBounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                     0.25,   0.5,   0.75,   1,     2.5,  5,     7.5,  10};

// The bucket of a positive value: the largest i with b^i < value.
int64_t IndexOf(double value, int scale) {
  if (scale > 0)
    return static_cast<int64_t>(std::ceil(std::ldexp(std::log2(value), scale))) - 1;
  int exponent;
  const double fraction =
      std::frexp(value, &exponent);  // value = fraction * 2^exponent, fraction in [0.5, 1)
  const int64_t index = exponent - (fraction == 0.5 ? 2 : 1);
  return index >> -scale;
}

}  // namespace

std::span<const double> DurationBounds() { return kDurationBounds; }
std::span<const double> ConnectBounds() { return kConnectBounds; }

Histogram::Histogram(HistogramKind kind, std::span<const double> bounds) : kind_(kind) {
  if (kind == HistogramKind::kExponential)
    return;
  bounds_ = bounds;
}

void Histogram::Downscale(int by) {
  if (by <= 0)
    return;
  scale_ -= by;
  if (buckets_.empty())
    return;
  const int64_t first = offset_ >> by,
                last = (offset_ + static_cast<int64_t>(buckets_.size()) - 1) >> by;
  std::vector<uint64_t> merged(static_cast<size_t>(last - first + 1));
  for (size_t i = 0; i < buckets_.size(); ++i)
    merged[static_cast<size_t>(((offset_ + static_cast<int64_t>(i)) >> by) - first)] += buckets_[i];
  buckets_ = std::move(merged);
  offset_ = first;
}

int Histogram::Reach(int64_t low, int64_t high) {
  if (!buckets_.empty()) {
    low = std::min(low, offset_);
    high = std::max(high, offset_ + static_cast<int64_t>(buckets_.size()) - 1);
  }
  int by = 0;
  while ((high >> by) - (low >> by) >= static_cast<int64_t>(kSizeMax))
    ++by;
  Downscale(by);
  low >>= by;
  high >>= by;
  if (buckets_.empty())
    offset_ = low;
  buckets_.insert(buckets_.begin(), static_cast<size_t>(offset_ - low), 0);
  offset_ = low;
  buckets_.resize(static_cast<size_t>(high - low + 1));
  return by;
}

void Histogram::Record(double value) {
  ++count_;
  sum_ += value;
  if (kind_ == HistogramKind::kExplicit) {
    buckets_.resize(bounds_.size() + 1);
    ++buckets_[static_cast<size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), value) -
                                   bounds_.begin())];
  } else if (!(value > 0)) {
    ++zero_count_;
  } else {
    const int64_t index = IndexOf(value, scale_);
    const int by = Reach(index, index);
    ++buckets_[static_cast<size_t>((index >> by) - offset_)];
  }
}

Histogram& Histogram::operator+=(const Histogram& other) {
  count_ += other.count_;
  sum_ += other.sum_;
  zero_count_ += other.zero_count_;
  if (kind_ == HistogramKind::kExplicit) {
    buckets_.resize(std::max(buckets_.size(), other.buckets_.size()));
    for (size_t i = 0; i < other.buckets_.size(); ++i)
      buckets_[i] += other.buckets_[i];
    return *this;
  }
  Histogram added = other;
  const int scale = std::min(scale_, added.scale_);
  Downscale(scale_ - scale);
  added.Downscale(added.scale_ - scale);
  if (added.buckets_.empty())
    return *this;
  added.Downscale(
      Reach(added.offset_, added.offset_ + static_cast<int64_t>(added.buckets_.size()) - 1));
  for (size_t i = 0; i < added.buckets_.size(); ++i)
    buckets_[static_cast<size_t>(added.offset_ - offset_) + i] += added.buckets_[i];
  return *this;
}

Histogram Histogram::operator-(const Histogram& earlier) const {
  Histogram out = *this;
  out.count_ -= earlier.count_;
  out.sum_ -= earlier.sum_;
  out.zero_count_ -= earlier.zero_count_;
  Histogram before = earlier;
  if (kind_ == HistogramKind::kExponential)
    before.Downscale(before.scale_ - scale_);
  const size_t shift = static_cast<size_t>(before.offset_ - out.offset_);
  for (size_t i = 0; i < before.buckets_.size(); ++i)
    out.buckets_[shift + i] -= before.buckets_[i];
  return out;
}

}  // namespace sandpiper
