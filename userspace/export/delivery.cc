// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/delivery.h"

#include <algorithm>
#include <utility>

namespace sandpiper {
namespace {

using std::chrono::milliseconds;

// Backoff as in the OpenTelemetry Collector: 5 s at first, then half as much more each time, up to
// 30 s. A random factor between 0.5 and 1.5 applies to each.
constexpr milliseconds kBackoffFirst{5'000}, kBackoffMax{30'000};
// Bytes. Servers accept 4 MiB over gRPC by default, and more over HTTP.
constexpr size_t kRequestMax = 3'500'000;
// How often a rejected request is divided to isolate its invalid part.
constexpr int kDividesMax = 32;
// The limit for the waiting time that an endpoint asks for.
constexpr milliseconds kRetryAfterMax{3'600'000};

}  // namespace

Delivery::Delivery(std::unique_ptr<OtlpTransport> transport, Signal signal)
    : transport_(std::move(transport)),
      signal_(signal),
      backoff_(kBackoffFirst),
      divides_(kDividesMax) {}

bool Delivery::Divide(std::deque<Request>* requests) {
  auto halves = Halve(requests->front(), signal_);
  if (!halves)
    return false;
  requests->front() = std::move(halves->first);
  requests->insert(requests->begin() + 1, std::move(halves->second));
  return true;
}

Delivered::Wait Delivery::NextWait(const SendResult& result) {
  std::uniform_real_distribution<double> jitter(0.5, 1.5);
  Delivered::Wait wait = {
      .time =
          milliseconds(static_cast<long>(static_cast<double>(backoff_.count()) * jitter(random_))),
      .asked = false};
  if (result.retry_after)
    wait = {.time = std::min(*result.retry_after, kRetryAfterMax), .asked = true};
  backoff_ = std::min(backoff_ * 3 / 2, kBackoffMax);
  return wait;
}

Delivered Delivery::Send(std::deque<Request>* requests) {
  Delivered out;
  while (!requests->empty()) {
    const Request& next = requests->front();
    if (next.bytes.size() > kRequestMax && Divide(requests))
      continue;
    const SendResult result = cancelled_ ? SendResult{.verdict = SendResult::kRetry,
                                                      .rejected = 0,
                                                      .retry_after = {},
                                                      .error = "no time left"}
                                         : transport_->Send(next.bytes);
    if (!result.error.empty())
      out.error = result.error;
    if (result.verdict == SendResult::kRetry) {
      out.wait = NextWait(result);
      return out;
    }
    if (result.verdict == SendResult::kSplit && divides_ > 0 && Divide(requests)) {
      --divides_;
      continue;
    }
    if (result.verdict == SendResult::kSent) {
      const uint64_t rejected = std::min(result.rejected, next.items);
      out.rejected += rejected;
      out.sent += next.items - rejected;
      backoff_ = kBackoffFirst;
    } else {
      out.refused += next.items;
    }
    ++out.requests;
    requests->pop_front();
  }
  divides_ = kDividesMax;
  return out;
}

void Delivery::Cancel() {
  cancelled_ = true;
  transport_->Cancel();
}

}  // namespace sandpiper
