// SPDX-License-Identifier: Apache-2.0
// Who is due when, for many of whom few are due: what is done at each turn does not grow with their
// number.
#ifndef SANDPIPER_USERSPACE_BASE_SCHEDULE_H_
#define SANDPIPER_USERSPACE_BASE_SCHEDULE_H_

#include <cstdint>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace sandpiper {

class Schedule {
 public:
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  // In place of what was said of `who` before. `deadline_ns`: CLOCK_BOOTTIME, or kNever.
  void Set(uint64_t who, uint64_t deadline_ns) {
    const auto known = by_who_.find(who);
    if ((known == by_who_.end() ? kNever : known->second) == deadline_ns)
      return;
    Remove(who);
    if (deadline_ns == kNever)
      return;
    by_who_[who] = deadline_ns;
    by_time_.emplace(deadline_ns, who);
  }

  void Remove(uint64_t who) {
    if (const auto known = by_who_.find(who); known != by_who_.end()) {
      by_time_.erase({known->second, who});
      by_who_.erase(known);
    }
  }

  // Of all; kNever where nobody waits.
  uint64_t NextDeadline() const { return by_time_.empty() ? kNever : by_time_.begin()->first; }

  // Those that are due at `now_ns`, who are not scheduled any more.
  std::vector<uint64_t> PopDue(uint64_t now_ns) {
    std::vector<uint64_t> out;
    while (!by_time_.empty() && by_time_.begin()->first <= now_ns) {
      out.push_back(by_time_.begin()->second);
      Remove(out.back());
    }
    return out;
  }

 private:
  absl::flat_hash_map<uint64_t, uint64_t> by_who_;
  std::set<std::pair<uint64_t, uint64_t>> by_time_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_SCHEDULE_H_
