// SPDX-License-Identifier: Apache-2.0
// The names that a server outside of the sandbox answered NXDOMAIN or REFUSED for.
#ifndef SANDPIPER_USERSPACE_CORRELATE_NEGATIVE_ANSWERS_H_
#define SANDPIPER_USERSPACE_CORRELATE_NEGATIVE_ANSWERS_H_

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "userspace/base/clock.h"
#include "userspace/base/shared_text.h"

namespace sandpiper {

// DnsLookups owns it. A server within the sandbox may repeat such an answer without an upstream
// query, and that is no denial by policy.
class NegativeAnswers {
 public:
  // At `capacity` names, all are forgotten.
  explicit NegativeAnswers(size_t capacity) : capacity_(capacity) {}

  void Add(const SharedText& name, uint64_t time_ns) {
    if (times_.size() >= capacity_)
      times_.clear();
    times_[name] = time_ns;
  }
  // True if the answer was given within the time for which resolvers may cache it.
  bool Contains(const SharedText& name, uint64_t time_ns) const {
    const auto found = times_.find(name);
    return found != times_.end() && time_ns - found->second < kTtl;
  }

 private:
  // The longest time for which resolvers cache a negative answer (RFC 2308 5).
  static constexpr uint64_t kTtl = 3 * 3600 * kSecond;

  size_t capacity_;
  absl::flat_hash_map<SharedText, uint64_t> times_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_NEGATIVE_ANSWERS_H_
