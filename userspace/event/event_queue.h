// SPDX-License-Identifier: Apache-2.0
// Sorts the events of several ring buffers and CPUs by time.
#ifndef SANDPIPER_USERSPACE_EVENT_EVENT_QUEUE_H_
#define SANDPIPER_USERSPACE_EVENT_EVENT_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "userspace/event/event.h"

namespace sandpiper {

// Belongs to the event loop. Not safe to use from several threads.
class EventQueue {
 public:
  void Push(Event event) { events_.push_back(std::move(event)); }
  // Adds an event that `fill(Event*)` fills in place. If `fill` returns false, the event is removed
  // and the result is null. The result is valid until the next call.
  template <typename Fill>
  const Event* PushIf(const Fill& fill) {
    if (fill(&events_.emplace_back()))
      return &events_.back();
    events_.pop_back();
    return nullptr;
  }

  // Removes the events up to `until_ns` and calls `handle(Event&&)` with each, oldest first. Events
  // with the same time keep the order in which they were pushed. `handle` must not push.
  template <typename Handle>
  void DrainUntil(uint64_t until_ns, const Handle& handle) {
    // Sorts indexes instead of events, because events are large.
    order_.clear();
    for (size_t i = 0; i < events_.size(); ++i) {
      if (events_[i].time_ns <= until_ns)
        order_.emplace_back(events_[i].time_ns, i);
    }
    std::sort(order_.begin(), order_.end());
    for (const auto& [time_ns, i] : order_)
      handle(std::move(events_[i]));
    std::erase_if(events_, [&](const Event& event) { return event.time_ns <= until_ns; });
  }

  bool empty() const { return events_.empty(); }
  // CLOCK_BOOTTIME of the newest event. The queue must not be empty.
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
