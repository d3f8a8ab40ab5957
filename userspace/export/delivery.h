// SPDX-License-Identifier: Apache-2.0
// Sends requests to one endpoint. It divides requests that are too large or partly invalid, gives
// up those that the endpoint rejects, and says how long to wait before the next attempt.
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

// The result of Delivery::Send.
struct Delivered {
  struct Wait {
    std::chrono::milliseconds time{0};
    bool asked = false;  // the endpoint asked for this time; else it is our own backoff
  };
  uint64_t requests = 0;  // finished, with success or without
  // Items: accepted; left out of a partial success; in requests that must not be sent again.
  uint64_t sent = 0, rejected = 0, refused = 0;
  std::optional<Wait> wait;  // time until the first remaining request is sent again
  std::string error;         // the last error, for people
};

// Used by one thread, except Cancel.
class Delivery {
 public:
  Delivery(std::unique_ptr<OtlpTransport> transport, Signal signal);

  // Sends the requests in order, until none is left or one has to be sent again later. Removes the
  // finished ones from `requests`.
  Delivered Send(std::deque<Request>* requests);

  // May be called by any thread. The current attempt and all later ones fail as if they could be
  // repeated.
  void Cancel();

 private:
  bool Divide(std::deque<Request>* requests);
  Delivered::Wait NextWait(const SendResult& result);

  std::unique_ptr<OtlpTransport> transport_;
  Signal signal_;
  std::chrono::milliseconds backoff_;
  int divides_;  // divisions that are left for the requests of this Send
  std::minstd_rand random_{std::random_device{}()};
  std::atomic<bool> cancelled_ = false;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_DELIVERY_H_
