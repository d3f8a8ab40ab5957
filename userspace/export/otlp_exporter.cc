#include "userspace/export/otlp_exporter.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sandpiper {
namespace {

using std::chrono::milliseconds;

// As the OpenTelemetry Collector does: 5 s, growing by half, at most 30 s, each time somewhere between half of it and one and a half.
constexpr milliseconds kBackoffFirst{5'000}, kBackoffMax{30'000};
// Between tries while the program waits to end.
constexpr milliseconds kFlushPause{200};

// Servers take 4 MiB by default (gRPC), and more over HTTP.
constexpr size_t kRequestMax = 3'500'000;
// How often a batch that is not taken as a whole is divided, to find what is wrong with it.
constexpr int kDividesMax = 32;
// No endpoint keeps us waiting longer.
constexpr milliseconds kRetryAfterMax{3'600'000};

uint64_t Size(const LogRecord&) { return 1; }
uint64_t Size(const MetricSnapshot& snapshot) { return snapshot.points(); }

}  // namespace

template <typename Item>
OtlpExporter<Item>::OtlpExporter(std::unique_ptr<OtlpTransport> transport, std::vector<Attribute> resource, const Options& options)
    : resource_(std::move(resource)), options_(options), transport_(std::move(transport)), backoff_(kBackoffFirst), thread_([this] {
        Run();
      }) {}

template <typename Item>
OtlpExporter<Item>::~OtlpExporter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

template <typename Item>
void OtlpExporter<Item>::Push(Item item) {
  const std::lock_guard lock(mutex_);
  if (queue_.size() >= options_.queue_max) {
    if constexpr (std::is_same_v<Item, MetricSnapshot>) {
      queue_.pop_front();
    } else {
      ++counts_.dropped_queue_full;
      return;
    }
  }
  queue_.push_back(std::move(item));
  if (queue_.size() == 1 || queue_.size() == options_.batch_max)
    wake_.notify_all();
}

template <typename Item>
auto OtlpExporter<Item>::Take() -> std::deque<Request> {
  std::deque<Request> out;
  if constexpr (std::is_same_v<Item, MetricSnapshot>) {
    // The newest says all.
    taken_ = std::move(queue_.back());
    queue_.clear();
    const bool delta = options_.temporality == Temporality::kDelta;
    out.push_back({.batch = {.snapshot = delta ? delta_.Since(taken_) : taken_, .temporality = options_.temporality}, .bytes = ""});
  } else {
    const auto end = queue_.begin() + static_cast<ptrdiff_t>(std::min(queue_.size(), options_.batch_max));
    out.push_back({.batch = {.records = {std::make_move_iterator(queue_.begin()), std::make_move_iterator(end)}}, .bytes = ""});
    queue_.erase(queue_.begin(), end);
  }
  std::erase_if(out, [](const Request& request) { return request.batch.items() == 0; });
  return out;
}

template <typename Item>
bool OtlpExporter<Item>::Divide(std::deque<Request>* requests) const {
  Batch whole = std::move(requests->front().batch);
  if (whole.items() < 2) {
    requests->front().batch = std::move(whole);
    return false;
  }
  auto [first, second] = std::move(whole).Halve();
  requests->front() = {.batch = std::move(first), .bytes = ""};
  requests->insert(requests->begin() + 1, {.batch = std::move(second), .bytes = ""});
  return true;
}

template <typename Item>
void OtlpExporter<Item>::Settle(const SendResult& result, uint64_t items) {
  if (result.verdict == SendResult::kSent) {
    const uint64_t rejected = std::min<uint64_t>(result.rejected, items);
    counts_.dropped_rejected += rejected;
    counts_.sent += items - rejected;
    backoff_ = kBackoffFirst;
  } else {
    counts_.dropped_refused += items;
  }
}

template <typename Item>
void OtlpExporter<Item>::Pause(const SendResult& result, Lock* lock) {
  const bool flushing = flushing_;
  std::uniform_real_distribution<double> jitter(0.5, 1.5);
  milliseconds pause = flushing ? kFlushPause : milliseconds(static_cast<long>(static_cast<double>(backoff_.count()) * jitter(random_)));
  if (result.retry_after)
    pause = std::min(*result.retry_after, kRetryAfterMax);
  // A flush cuts our own patience short, not what the endpoint asked for.
  wake_.wait_for(*lock, pause, [&] { return stopping_ || (!result.retry_after && flushing_ != flushing); });
  backoff_ = std::min(backoff_ * 3 / 2, kBackoffMax);
}

template <typename Item>
void OtlpExporter<Item>::Deliver(std::deque<Request> requests, Lock* lock) {
  int divides = kDividesMax;
  bool in_part = false;  // some of it was taken
  while (!requests.empty() && !stopping_) {
    lock->unlock();
    Request& next = requests.front();
    if (next.bytes.empty())
      next.bytes = next.batch.Encode(resource_);
    SendResult result;
    if (next.bytes.size() > kRequestMax && next.batch.items() > 1)
      result.verdict = SendResult::kSplit;
    else
      result = transport_->Send(next.bytes);
    lock->lock();
    if (!result.error.empty())
      counts_.last_error = result.error;
    switch (result.verdict) {
      case SendResult::kRetry:
        Pause(result, lock);
        if (std::is_same_v<Item, MetricSnapshot> && !in_part && !queue_.empty())
          requests = Take();
        continue;
      case SendResult::kSplit:
        if ((result.error.empty() || divides-- > 0) && Divide(&requests))
          continue;
        break;
      case SendResult::kSent:
      case SendResult::kRefused:
        break;
    }
    Settle(result, requests.front().batch.items());
    requests.pop_front();
    in_part = true;
  }
  for (const Request& request : requests)
    counts_.dropped_at_exit += request.batch.items();
  if constexpr (std::is_same_v<Item, MetricSnapshot>) {
    counts_.done = taken_.sequence;
    if (options_.temporality == Temporality::kDelta)
      delta_.Commit(taken_);
  }
}

template <typename Item>
void OtlpExporter<Item>::Run() {
  Lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_)
      return;
    wake_.wait_for(lock, options_.delay, [&] { return stopping_ || flushing_ || queue_.size() >= options_.batch_max; });
    if (stopping_)
      return;
    in_flight_ = true;
    Deliver(Take(), &lock);
    in_flight_ = false;
    idle_.notify_all();
  }
}

template <typename Item>
void OtlpExporter<Item>::BeginFlush() {
  const std::lock_guard lock(mutex_);
  flushing_ = true;
  wake_.notify_all();
}

template <typename Item>
void OtlpExporter<Item>::FinishFlush(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  idle_.wait_until(lock, deadline, [&] { return queue_.empty() && !in_flight_; });
  stopping_ = true;
  for (const Item& item : queue_)
    counts_.dropped_at_exit += Size(item);
  queue_.clear();
  wake_.notify_all();
  idle_.wait(lock, [&] { return !in_flight_; });
}

template <typename Item>
ExportCounts OtlpExporter<Item>::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

template class OtlpExporter<LogRecord>;
template class OtlpExporter<MetricSnapshot>;

}  // namespace sandpiper
