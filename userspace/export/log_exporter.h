// SPDX-License-Identifier: Apache-2.0
// Sends log records to an OTLP endpoint from its own threads, so that a slow endpoint never delays
// the collector. Records that cannot be sent wait on disk, or in memory if there is no spool.
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
#include "userspace/base/diagnostics.h"
#include "userspace/export/export_counts.h"
#include "userspace/export/outage.h"
#include "userspace/export/spool.h"

namespace sandpiper {

class LogExporter {
 public:
  struct Options {
    size_t queue_max;  // records that wait in memory
    size_t batch_max;  // records in a request
    // How long a batch may wait for more records. In an outage, how long records may wait in memory
    // before they go to disk.
    std::chrono::milliseconds delay{0};
    bool write_first = false;  // write each request to disk before it is sent, if the disk works
  };

  // `spool` may be null: then records wait in memory only.
  LogExporter(std::unique_ptr<OtlpTransport> transport, std::vector<Attribute> resource,
              const Options& options, std::unique_ptr<Spool> spool, WarningSink warn);
  // Stops at once. Records in memory are lost; see BeginFlush.
  ~LogExporter();
  LogExporter(const LogExporter&) = delete;
  LogExporter& operator=(const LogExporter&) = delete;

  // Never blocks. A full queue counts the record as dropped.
  void Push(SharedRecord record);
  // Sends queued records without waiting for full batches. Returns at once.
  void BeginFlush();
  // Waits until all records are sent, but not after `deadline`. It also stops to wait if all
  // records are on disk and the endpoint failed since BeginFlush. Then writes records in memory to
  // disk, or counts them as dropped. Nothing is sent afterwards.
  void FinishFlush(std::chrono::steady_clock::time_point deadline);

  ExportCounts counts() const;

  struct Stored {
    uint64_t bytes = 0;
    uint64_t oldest_unix_ns = 0;  // 0: nothing is stored
  };
  // The records on disk; nothing without a spool.
  std::optional<Stored> stored() const;

 private:
  using Lock = std::unique_lock<std::mutex>;

  // The thread that sends requests.
  void Send();
  bool WaitForWork(Lock* lock);
  void Deliver(Lock* lock);
  // The thread that writes queued records to disk while the other one is busy.
  void Store();

  std::vector<SharedRecord> PopBatch();
  // Writes up to one batch of the queue to disk, after a batch that is on its way there. False if
  // the disk fails; the records are in the queue again then.
  bool StoreBatch(Lock* lock);
  bool StoreRequest(const Request& request, Lock* lock);
  // Writes the requests to disk and removes them from `requests`. True if all are on disk.
  bool StoreRequests(std::deque<Request>* requests, Lock* lock);
  // The next batch of the queue as a request, or nothing.
  std::deque<Request> PopRequest(Lock* lock);
  // The oldest request on disk.
  std::optional<Spool::Entry> Oldest(Lock* lock);
  void Remove(int64_t id, Lock* lock);
  // Copies the state of the spool. Call after each use of it.
  void UpdateStored();
  void Stop();

  const std::vector<Attribute> resource_;
  const Options options_;
  Delivery delivery_;
  const WarningSink warn_;

  std::mutex spool_mutex_;  // never locked while mutex_ is held: a disk may be slow
  std::unique_ptr<Spool> spool_;

  mutable std::mutex mutex_;
  std::condition_variable wake_, store_, idle_;
  std::deque<SharedRecord> queue_;
  Stored stored_;             // the spool's state after its last use
  bool spool_fails_ = false;  // the last write to the spool failed
  bool storing_ = false;      // a batch of the queue is being written to disk
  size_t in_hand_ = 0;        // records on their way from the queue to a request or to disk
  bool busy_ = false;         // the sending thread has a request
  bool saved_ = true;         // that request is also on disk
  bool flushing_ = false, stopping_ = false;
  bool flush_failed_ = false;  // an attempt failed since the flush began
  ExportCounts counts_;
  Outage outage_;
  std::thread sender_, storer_;  // declared last: they use all other members
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_LOG_EXPORTER_H_
