// SPDX-License-Identifier: Apache-2.0
// Synchronous requests from other threads to the event loop.
#ifndef SANDPIPER_USERSPACE_BASE_EVENT_LOOP_REQUESTS_H_
#define SANDPIPER_USERSPACE_BASE_EVENT_LOOP_REQUESTS_H_

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

// Several threads may wait at once. The event loop serves all of them with one response.
template <typename T>
class EventLoopRequests {
 public:
  // Blocks the calling thread until the event loop responds. Returns nothing if that takes longer
  // than `limit`, or after Close. Safe from every thread except the event loop's.
  std::optional<T> Call(std::chrono::milliseconds limit) {
    std::future<T> response;
    {
      const std::lock_guard lock(mutex_);
      if (closed_)
        return std::nullopt;
      waiting_.emplace_back();
      response = waiting_.back().get_future();
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(wakeup_.get(), &one, sizeof(one));
    if (response.wait_for(limit) != std::future_status::ready)
      return std::nullopt;
    return response.get();
  }

  // Becomes readable when a request waits.
  int event_fd() const { return wakeup_.get(); }

  // Sends the result of `make` to all waiting threads. Does not call `make` if none waits. Only the
  // event loop calls this.
  void Serve(const std::function<T()>& make) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = read(wakeup_.get(), &count, sizeof(count));
    std::vector<std::promise<T>> waiting;
    {
      const std::lock_guard lock(mutex_);
      waiting = std::exchange(waiting_, {});
    }
    if (waiting.empty())
      return;
    const T response = make();
    for (std::promise<T>& one : waiting)
      one.set_value(response);
  }

  // Rejects later requests. Threads that wait now get an empty response.
  void Close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    Serve([] { return T(); });
  }

 private:
  UniqueFd wakeup_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex_;
  std::vector<std::promise<T>> waiting_;
  bool closed_ = false;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_EVENT_LOOP_REQUESTS_H_
