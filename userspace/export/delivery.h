// SPDX-License-Identifier: Apache-2.0
// The sending of requests to one endpoint: what is divided, what is given up, and how long to wait
// before the next try.
#ifndef SANDPIPER_USERSPACE_EXPORT_DELIVERY_H_
#define SANDPIPER_USERSPACE_EXPORT_DELIVERY_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "userspace/export/request.h"
#include "userspace/export/transport.h"

namespace sandpiper {

// What became of requests.
struct Delivered {
  struct Wait {
    std::chrono::milliseconds time{0};
    bool asked = false;  // by the endpoint, and not our own patience
  };
  uint64_t requests = 0;  // that are done with, one way or the other
  uint64_t sent = 0, rejected = 0,
           refused = 0;      // items: taken, left out of a partial success, not taken for good
  std::optional<Wait> wait;  // before the first of those that are left is sent again
  std::string error;         // the last one, for people
};

// Used by one thread, but for Cancel.
class Delivery {
 public:
  Delivery(std::unique_ptr<OtlpTransport> transport, Signal signal);

  // Sends them in order, until none is left or the endpoint wants to be asked again. Takes those
  // that are done with out of `requests`.
  Delivered Send(std::deque<Request>* requests);

  // From any thread: ends what is being sent, as a failure that may be tried again, and everything
  // that is sent later.
  void Cancel();

 private:
  bool Divide(std::deque<Request>* requests);
  Delivered::Wait NextWait(const SendResult& result);

  std::unique_ptr<OtlpTransport> transport_;
  Signal signal_;
  std::chrono::milliseconds backoff_;
  int divides_;  // left, before the next request
  std::minstd_rand random_{std::random_device{}()};
  std::atomic<bool> cancelled_ = false;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_DELIVERY_H_
