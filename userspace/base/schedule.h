// SPDX-License-Identifier: Apache-2.0
// Deadlines of many items, of which few are due at a time. The work of a step depends on the number
// of due items and not on the number of all.
#ifndef SANDPIPER_USERSPACE_BASE_SCHEDULE_H_
#define SANDPIPER_USERSPACE_BASE_SCHEDULE_H_

#include <cstdint>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace sandpiper {

// Belongs to the event loop. Not safe to use from several threads.
class Schedule {
 public:
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  // Replaces the deadline of the item. `deadline_ns`: CLOCK_BOOTTIME, or kNever to remove it.
  void Set(uint64_t id, uint64_t deadline_ns) {
    const auto known = by_id_.find(id);
    if ((known == by_id_.end() ? kNever : known->second) == deadline_ns)
      return;
    Remove(id);
    if (deadline_ns == kNever)
      return;
    by_id_[id] = deadline_ns;
    by_time_.emplace(deadline_ns, id);
  }

  void Remove(uint64_t id) {
    if (const auto known = by_id_.find(id); known != by_id_.end()) {
      by_time_.erase({known->second, id});
      by_id_.erase(known);
    }
  }

  // The earliest deadline; kNever if there is none.
  uint64_t NextDeadline() const { return by_time_.empty() ? kNever : by_time_.begin()->first; }

  // Removes the items that are due at `now_ns` and returns them, earliest first.
  std::vector<uint64_t> PopDue(uint64_t now_ns) {
    std::vector<uint64_t> out;
    while (!by_time_.empty() && by_time_.begin()->first <= now_ns) {
      out.push_back(by_time_.begin()->second);
      Remove(out.back());
    }
    return out;
  }

 private:
  absl::flat_hash_map<uint64_t, uint64_t> by_id_;    // deadline of each item
  std::set<std::pair<uint64_t, uint64_t>> by_time_;  // deadline and item
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_SCHEDULE_H_
