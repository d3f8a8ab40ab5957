// SPDX-License-Identifier: Apache-2.0
// Sends log records from a thread of its own, so that no endpoint, however slow, holds up the
// capture; what cannot be sent waits on disk.
#ifndef SANDPIPER_USERSPACE_EXPORT_LOG_EXPORTER_H_
#define SANDPIPER_USERSPACE_EXPORT_LOG_EXPORTER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "userspace/aggregate/log_record.h"
#include "userspace/export/export_counts.h"
#include "userspace/export/outage.h"
#include "userspace/export/spool.h"

namespace sandpiper {

class LogExporter {
 public:
  struct Options {
    size_t queue_max;  // records in memory that wait
    size_t batch_max;  // records in a request
    std::chrono::milliseconds delay{
        0};  // how long a request may wait to fill, and an outage before what waits is on disk
    bool write_first = false;  // each request is on disk before it is sent, while the disk takes it
  };

  // `spool`: null keeps all in memory.
  LogExporter(std::unique_ptr<OtlpTransport> transport, std::vector<Attribute> resource,
              const Options& options, std::unique_ptr<Spool> spool, TellProblem tell);
  // Stops without waiting for what is left; see BeginFlush.
  ~LogExporter();
  LogExporter(const LogExporter&) = delete;
  LogExporter& operator=(const LogExporter&) = delete;

  // Never blocks. A full queue counts the record as dropped.
  void Push(SharedRecord record);
  // Sends what is queued without waiting for requests to fill. Returns at once.
  void BeginFlush();
  // Waits until all is sent, or on disk while the endpoint fails once more, or `deadline`. What is
  // in memory then goes to disk, or is counted as dropped. Nothing is sent afterwards.
  void FinishFlush(std::chrono::steady_clock::time_point deadline);

  ExportCounts counts() const;

  struct Stored {
    uint64_t bytes = 0;
    uint64_t oldest_unix_ns = 0;  // 0: none
  };
  // What waits on disk; nothing without a spool.
  std::optional<Stored> stored() const;

 private:
  using Lock = std::unique_lock<std::mutex>;

  // The thread that sends.
  void Send();
  bool WaitForWork(Lock* lock);
  void Deliver(Lock* lock);
  // The thread that puts on disk what queues up behind the one that sends.
  void Store();

  std::vector<SharedRecord> TakeBatch();
  // Up to a batch of the queue to disk, after what was taken before it. False, and it is in the
  // queue again, if the disk does not take it.
  bool StoreBatch(Lock* lock);
  bool StoreRequest(const Request& request, Lock* lock);
  // Takes out those that are on disk. True if all are.
  bool StoreRequests(std::deque<Request>* requests, Lock* lock);
  // A batch of the queue, serialized, or nothing.
  std::deque<Request> TakeRequest(Lock* lock);
  // The oldest request on disk.
  std::optional<Spool::Entry> Oldest(Lock* lock);
  void Remove(int64_t id, Lock* lock);
  // After each use of the spool.
  void NoteSpool();
  void Stop();

  const std::vector<Attribute> resource_;
  const Options options_;
  Delivery delivery_;
  const TellProblem tell_;

  std::mutex spool_mutex_;  // never taken while mutex_ is held: a disk may be slow
  std::unique_ptr<Spool> spool_;

  mutable std::mutex mutex_;
  std::condition_variable wake_, store_, idle_;
  std::deque<SharedRecord> queue_;
  Stored stored_;             // as the spool said last
  bool spool_fails_ = false;  // as it did last
  bool storing_ = false;      // a batch of the queue is on its way to disk
  size_t in_hand_ = 0;        // records on their way from the queue to a request or to disk
  bool busy_ = false;         // the thread that sends has something to send
  bool saved_ = true;         // which is also on disk
  bool flushing_ = false, stopping_ = false;
  bool flush_failed_ = false;  // the endpoint did not take something since the flush began
  ExportCounts counts_;
  Outage outage_;
  std::thread sender_, storer_;  // last: they use all the others
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_LOG_EXPORTER_H_
