// SPDX-License-Identifier: Apache-2.0
// The last so many of what was put in. Takes no memory while it is empty, of which there may be one
// for each sandbox.
#ifndef SANDPIPER_USERSPACE_BASE_BOUNDED_FIFO_H_
#define SANDPIPER_USERSPACE_BASE_BOUNDED_FIFO_H_

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace sandpiper {

template <typename T>
class BoundedFifo {
 public:
  explicit BoundedFifo(size_t capacity) : capacity_(capacity) {}

  // Returns the oldest one where there is no room for both.
  std::optional<T> Push(T item) {
    if (items_.size() < capacity_) {
      items_.push_back(std::move(item));
      return std::nullopt;
    }
    if (capacity_ == 0)
      return item;
    std::optional<T> oldest = std::exchange(items_[oldest_], std::move(item));
    oldest_ = (oldest_ + 1) % capacity_;
    return oldest;
  }

 private:
  size_t capacity_;
  std::vector<T> items_;
  size_t oldest_ = 0;  // where there is no room
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_BOUNDED_FIFO_H_
