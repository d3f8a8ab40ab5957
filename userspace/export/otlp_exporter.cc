#include "userspace/export/otlp_exporter.h"

#include <algorithm>
#include <random>
#include <type_traits>
#include <utility>

namespace sandpiper {
namespace {

using std::chrono::milliseconds;

// As the OpenTelemetry Collector does: 5 s, growing by half, at most 30 s, each time somewhere between half of it and one and a half.
constexpr milliseconds kBackoffFirst{5'000}, kBackoffMax{30'000};
// Between tries while the program waits to end.
constexpr milliseconds kFlushPause{200};

uint64_t Size(const std::vector<LogRecord>& batch) { return batch.size(); }
uint64_t Size(const std::vector<MetricSnapshot>& batch) {
  uint64_t points = 0;
  for (const MetricSnapshot& snapshot : batch)
    points += snapshot.points();
  return points;
}

}  // namespace

template <typename Item>
OtlpExporter<Item>::OtlpExporter(const OtlpEndpoint& endpoint, std::vector<Attribute> resource, const Options& options)
    : resource_(std::move(resource)), options_(options), transport_(MakeTransport(endpoint)), thread_([this] { Run(); }) {}

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
SendResult OtlpExporter<Item>::SendBatch(const std::vector<Item>& batch) {
  if constexpr (std::is_same_v<Item, MetricSnapshot>) {
    const bool delta = options_.temporality == Temporality::kDelta;
    const SendResult result = transport_->Send(ToOtlp(delta ? delta_.Since(batch.back()) : batch.back(), resource_, options_.temporality));
    if (delta && result.verdict != SendResult::kRetry)
      delta_.Commit(batch.back());
    return result;
  } else {
    return transport_->Send(ToOtlp(batch, resource_));
  }
}

template <typename Item>
void OtlpExporter<Item>::TakeNewer(std::vector<Item>* batch) {
  if constexpr (std::is_same_v<Item, MetricSnapshot>) {
    if (queue_.empty())
      return;
    batch->back() = std::move(queue_.back());
    queue_.clear();
  }
}

template <typename Item>
void OtlpExporter<Item>::Run() {
  std::minstd_rand random(std::random_device{}());
  std::uniform_real_distribution<double> jitter(0.5, 1.5);
  std::unique_lock lock(mutex_);
  milliseconds backoff = kBackoffFirst;
  const auto full = [&] { return stopping_ || flushing_ || queue_.size() >= options_.batch_max; };
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_)
      return;
    wake_.wait_for(lock, options_.delay, full);
    if (stopping_)
      return;
    const size_t size = std::min(queue_.size(), options_.batch_max);
    std::vector<Item> batch(std::make_move_iterator(queue_.begin()), std::make_move_iterator(queue_.begin() + static_cast<long>(size)));
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<long>(size));
    in_flight_ = size;
    SendResult result;
    do {
      lock.unlock();
      result = SendBatch(batch);
      lock.lock();
      if (!result.error.empty())
        counts_.last_error = result.error;
      if (result.verdict == SendResult::kRetry) {
        const bool flushing = flushing_;
        const milliseconds pause =
            flushing ? kFlushPause : milliseconds(static_cast<long>(static_cast<double>(backoff.count()) * jitter(random)));
        wake_.wait_for(lock, pause, [&] { return stopping_ || flushing_ != flushing; });
        backoff = std::min(backoff * 3 / 2, kBackoffMax);
        TakeNewer(&batch);
      }
    } while (result.verdict == SendResult::kRetry && !stopping_);
    const uint64_t items = Size(batch);
    if (result.verdict == SendResult::kSent) {
      const uint64_t rejected = std::min<uint64_t>(result.rejected, items);
      counts_.dropped_rejected += rejected;
      counts_.sent += items - rejected;
      backoff = kBackoffFirst;
    } else if (result.verdict == SendResult::kRefused) {
      counts_.dropped_refused += items;
    } else {
      counts_.dropped_at_exit += items;
    }
    if constexpr (std::is_same_v<Item, MetricSnapshot>)
      counts_.done = batch.back().sequence;
    in_flight_ = 0;
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
  idle_.wait_until(lock, deadline, [&] { return queue_.empty() && in_flight_ == 0; });
  stopping_ = true;
  counts_.dropped_at_exit += Size(std::vector<Item>(queue_.begin(), queue_.end()));
  queue_.clear();
  wake_.notify_all();
  idle_.wait(lock, [&] { return in_flight_ == 0; });
}

template <typename Item>
ExportCounts OtlpExporter<Item>::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

template class OtlpExporter<LogRecord>;
template class OtlpExporter<MetricSnapshot>;

}  // namespace sandpiper
