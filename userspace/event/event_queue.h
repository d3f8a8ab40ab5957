// SPDX-License-Identifier: Apache-2.0
// Events of several rings and CPUs, in the order in which they happened.
#ifndef SANDPIPER_USERSPACE_EVENT_EVENT_QUEUE_H_
#define SANDPIPER_USERSPACE_EVENT_EVENT_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "userspace/event/event.h"

namespace sandpiper {

class EventQueue {
 public:
  void Push(Event event) { events_.push_back(std::move(event)); }
  // A fresh one, for `fill` to make what it is; forgotten if that is false. Returns what is filled,
  // or null; valid until the next call.
  template <typename Fill>
  const Event* PushIf(const Fill& fill) {
    if (fill(&events_.emplace_back()))
      return &events_.back();
    events_.pop_back();
    return nullptr;
  }

  // Hands those up to `until_ns` to `take`, the oldest first, those of one moment as they were
  // pushed; `take` must not push.
  template <typename Take>
  void DrainUntil(uint64_t until_ns, const Take& take) {
    // Of events only where they are: an event is large.
    order_.clear();
    for (size_t i = 0; i < events_.size(); ++i) {
      if (events_[i].time_ns <= until_ns)
        order_.emplace_back(events_[i].time_ns, i);
    }
    std::sort(order_.begin(), order_.end());
    for (const auto& [time_ns, i] : order_)
      take(std::move(events_[i]));
    std::erase_if(events_, [&](const Event& event) { return event.time_ns <= until_ns; });
  }

  bool empty() const { return events_.empty(); }
  // CLOCK_BOOTTIME of the youngest; not of an empty queue.
  uint64_t newest_ns() const {
    return std::max_element(events_.begin(), events_.end(),
                            [](const Event& a, const Event& b) { return a.time_ns < b.time_ns; })
        ->time_ns;
  }

 private:
  std::vector<Event> events_;
  std::vector<std::pair<uint64_t, size_t>> order_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_EVENT_QUEUE_H_
