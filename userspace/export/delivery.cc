// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/delivery.h"

#include <algorithm>
#include <utility>

namespace sandpiper {
namespace {

using std::chrono::milliseconds;

// As the OpenTelemetry Collector does: 5 s, growing by half, at most 30 s, each time somewhere
// between half of it and one and a half.
constexpr milliseconds kBackoffFirst{5'000}, kBackoffMax{30'000};
// Servers take 4 MiB by default (gRPC), and more over HTTP.
constexpr size_t kRequestMax = 3'500'000;
// How often a request that is not taken as a whole is divided, to find what is wrong with it.
constexpr int kDividesMax = 32;
// No endpoint keeps us waiting longer.
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
