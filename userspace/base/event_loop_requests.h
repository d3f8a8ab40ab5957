// SPDX-License-Identifier: Apache-2.0
// What other threads ask the event loop, and wait for.
#ifndef SANDPIPER_USERSPACE_BASE_QUESTIONS_H_
#define SANDPIPER_USERSPACE_BASE_QUESTIONS_H_

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "userspace/base/fd.h"

namespace sandpiper {

template <typename T>
class Questions {
 public:
  // From any thread. Nothing if the loop does not get to it within `limit`, or answers no more.
  std::optional<T> Ask(std::chrono::milliseconds limit) {
    std::future<T> answer;
    {
      const std::lock_guard lock(mutex_);
      if (closed_)
        return std::nullopt;
      waiting_.emplace_back();
      answer = waiting_.back().get_future();
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(asked_.get(), &one, sizeof(one));
    if (answer.wait_for(limit) != std::future_status::ready)
      return std::nullopt;
    return answer.get();
  }

  // Readable when somebody waits.
  int event_fd() const { return asked_.get(); }

  // From the loop: one answer for all who wait; `make` is not called if nobody does.
  void Answer(const std::function<T()>& make) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = read(asked_.get(), &count, sizeof(count));
    std::vector<std::promise<T>> waiting;
    {
      const std::lock_guard lock(mutex_);
      waiting = std::exchange(waiting_, {});
    }
    if (waiting.empty())
      return;
    const T answer = make();
    for (std::promise<T>& one : waiting)
      one.set_value(answer);
  }

  // Nobody waits any more; who does gets an empty answer.
  void Close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    Answer([] { return T(); });
  }

 private:
  UniqueFd asked_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex_;
  std::vector<std::promise<T>> waiting_;
  bool closed_ = false;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_QUESTIONS_H_
