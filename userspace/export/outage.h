// SPDX-License-Identifier: Apache-2.0
// The time in which an endpoint does not answer: waiting through it, and telling people of it once.
#ifndef SANDPIPER_USERSPACE_EXPORT_OUTAGE_H_
#define SANDPIPER_USERSPACE_EXPORT_OUTAGE_H_

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>

#include "userspace/export/delivery.h"
#include "userspace/export/export_counts.h"

namespace sandpiper {

class Outage {
 public:
  // `what` is sent, as "metrics".
  Outage(std::string what, TellProblem tell) : what_(std::move(what)), tell_(std::move(tell)) {}

  // `meanwhile`: what becomes of what is not sent, for people.
  void Note(const Delivered& delivered, const std::string& meanwhile);
  bool lasts() const { return lasts_; }

 private:
  std::string what_;
  TellProblem tell_;
  bool lasts_ = false;
  std::chrono::steady_clock::time_point since_;
};

// Waits until the next try is due, or `stopping`. That `flushing` begins cuts our own patience
// short, not what the endpoint asked for.
void WaitBeforeRetry(const Delivered::Wait& wait, std::condition_variable* wake,
                     std::unique_lock<std::mutex>* lock, const bool& stopping,
                     const bool& flushing);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_OUTAGE_H_
