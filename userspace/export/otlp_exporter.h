// Hands batches of one signal to a thread of their own that sends them, so that no endpoint, however slow, holds up the capture.
#ifndef SANDPIPER_USERSPACE_EXPORT_OTLP_EXPORTER_H_
#define SANDPIPER_USERSPACE_EXPORT_OTLP_EXPORTER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "userspace/export/batch.h"
#include "userspace/export/delta.h"
#include "userspace/export/otel_config.h"
#include "userspace/export/transport.h"

namespace sandpiper {

// Log records, or data points.
struct ExportCounts {
  uint64_t sent = 0;
  uint64_t dropped_queue_full = 0;
  uint64_t dropped_refused = 0;   // the endpoint said no for good
  uint64_t dropped_rejected = 0;  // a partial success
  uint64_t dropped_at_exit = 0;   // not sent when the time to flush was over
  uint64_t done = 0;              // metrics: the sequence of the last snapshot that arrived or never will
  std::string last_error;

  uint64_t dropped() const { return dropped_queue_full + dropped_refused + dropped_rejected + dropped_at_exit; }
};

// `Item` is a LogRecord, or a MetricSnapshot: of those only the newest is kept, since a cumulative value replaces the one before.
template <typename Item>
class OtlpExporter {
 public:
  struct Options {
    size_t queue_max;
    size_t batch_max;
    std::chrono::milliseconds delay{0};                  // how long a batch may wait to fill
    Temporality temporality = Temporality::kCumulative;  // of metrics
  };

  OtlpExporter(std::unique_ptr<OtlpTransport> transport, std::vector<Attribute> resource, const Options& options);
  // Stops without waiting for what is queued; see BeginFlush.
  ~OtlpExporter();
  OtlpExporter(const OtlpExporter&) = delete;
  OtlpExporter& operator=(const OtlpExporter&) = delete;

  // Never blocks. A full queue counts the item as dropped; of snapshots the oldest makes room.
  void Push(Item item);
  // Sends what is queued without waiting for batches to fill. Returns at once.
  void BeginFlush();
  // Waits for it until `deadline`; what is left then is counted as dropped. Nothing is sent afterwards.
  void FinishFlush(std::chrono::steady_clock::time_point deadline);

  ExportCounts counts() const;

 private:
  using Batch = std::conditional_t<std::is_same_v<Item, LogRecord>, LogBatch, MetricBatch>;
  // A request that is under way: serialized once, and sent again with the same bytes.
  struct Request {
    Batch batch;
    std::string bytes;  // empty: not yet serialized
  };
  using Lock = std::unique_lock<std::mutex>;

  void Run();
  // Takes what is to be sent next out of the queue.
  std::deque<Request> Take();
  // Sends all of it, or drops and counts it.
  void Deliver(std::deque<Request> requests, Lock* lock);
  // Waits before the same is sent again, as long as `result` asks or the backoff says.
  void Pause(const SendResult& result, Lock* lock);
  void Settle(const SendResult& result, uint64_t items);
  bool Divide(std::deque<Request>* requests) const;

  const std::vector<Attribute> resource_;
  const Options options_;
  std::unique_ptr<OtlpTransport> transport_;
  // Of the thread.
  DeltaState delta_;
  MetricSnapshot taken_;  // the newest that Take took, of which the requests are made
  std::chrono::milliseconds backoff_;
  std::minstd_rand random_{std::random_device{}()};

  mutable std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<Item> queue_;
  bool in_flight_ = false;
  bool flushing_ = false, stopping_ = false;
  ExportCounts counts_;
  std::thread thread_;  // last: it uses all the others
};

extern template class OtlpExporter<LogRecord>;
extern template class OtlpExporter<MetricSnapshot>;

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_OTLP_EXPORTER_H_
