// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/distinct_estimate.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sandpiper {

void DistinctEstimate::Add(uint64_t hash) {
  registers_.resize(size_t{1} << kIndexBits);
  // The first bits of the hash select a register. It keeps the largest number of leading zeros of
  // the remaining bits.
  const int rank = std::countl_zero(hash << kIndexBits | uint64_t{1} << (kIndexBits - 1)) + 1;
  uint8_t& slot = registers_[hash >> (64 - kIndexBits)];
  slot = std::max(slot, static_cast<uint8_t>(rank));
}

size_t DistinctEstimate::Count() const {
  if (registers_.empty())
    return 0;
  const double m = static_cast<double>(registers_.size());
  double sum = 0, zeros = 0;
  for (const uint8_t rank : registers_) {
    sum += std::ldexp(1.0, -rank);
    zeros += rank == 0;
  }
  const double raw = 0.7213 / (1 + 1.079 / m) * m * m / sum;
  // A small number of items leaves registers empty; their number gives a better estimate then.
  return static_cast<size_t>(
      std::lround(raw <= 2.5 * m && zeros > 0 ? m * std::log(m / zeros) : raw));
}

}  // namespace sandpiper
