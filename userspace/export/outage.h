// SPDX-License-Identifier: Apache-2.0
// Detects outages of an endpoint. It reports the begin and the end of each one once.
#ifndef SANDPIPER_USERSPACE_EXPORT_OUTAGE_H_
#define SANDPIPER_USERSPACE_EXPORT_OUTAGE_H_

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>

#include "userspace/base/diagnostics.h"
#include "userspace/export/delivery.h"
#include "userspace/export/export_counts.h"

namespace sandpiper {

class Outage {
 public:
  // `what` is the data that is sent, such as "metrics".
  Outage(std::string what, WarningSink warn) : what_(std::move(what)), warn_(std::move(warn)) {}

  // Call with each result of Delivery::Send. `meanwhile` describes how unsent data is handled.
  void Update(const Delivered& delivered, const std::string& meanwhile);
  bool is_active() const { return is_active_; }

 private:
  std::string what_;
  WarningSink warn_;
  bool is_active_ = false;
  std::chrono::steady_clock::time_point since_;
};

// Waits until the next attempt is due or `stopping` is set. `flushing` shortens our own backoff,
// but not a time that the endpoint asked for.
void WaitBeforeRetry(const Delivered::Wait& wait, std::condition_variable* wake,
                     std::unique_lock<std::mutex>* lock, const bool& stopping,
                     const bool& flushing);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_OUTAGE_H_
