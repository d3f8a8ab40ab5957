// SPDX-License-Identifier: Apache-2.0
// Keeps the last items that were pushed, up to a capacity. An empty one allocates no memory, since
// each sandbox has some.
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

  // Adds the item. If that exceeds the capacity, removes the oldest item and returns it.
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
  size_t oldest_ = 0;  // index of the oldest item, once items_ is full
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_BOUNDED_FIFO_H_
