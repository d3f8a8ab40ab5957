// SPDX-License-Identifier: Apache-2.0
// Estimates the number of distinct items without storing them. This is HyperLogLog (Flajolet, Fusy,
// Gandouet, Meunier 2007) with 64-bit hashes. It takes 4 KiB and has a standard error of
// 1.04 / sqrt(4096) = 1.6 %.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_DISTINCT_ESTIMATE_H_
#define SANDPIPER_USERSPACE_AGGREGATE_DISTINCT_ESTIMATE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sandpiper {

class DistinctEstimate {
 public:
  void Add(uint64_t hash);
  size_t Count() const;
  bool empty() const { return registers_.empty(); }

 private:
  static constexpr int kIndexBits = 12;

  std::vector<uint8_t> registers_;  // empty until the first Add
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_DISTINCT_ESTIMATE_H_
