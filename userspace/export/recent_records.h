// SPDX-License-Identifier: Apache-2.0
// Keeps the newest records for observers, and passes each new record to them. A slow observer
// misses records and gets their number; it never delays the collector or other observers.
// Thread-safe.
#ifndef SANDPIPER_USERSPACE_EXPORT_RECENT_RECORDS_H_
#define SANDPIPER_USERSPACE_EXPORT_RECENT_RECORDS_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "absl/status/statusor.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/export/record_filter.h"

namespace sandpiper {

class RecentRecords {
 public:
  // `keep`: the number of records to keep.
  explicit RecentRecords(size_t keep) : keep_(keep) {}
  RecentRecords(const RecentRecords&) = delete;
  RecentRecords& operator=(const RecentRecords&) = delete;

  // Never waits for observers.
  void Push(SharedRecord record);

  struct Next {
    SharedRecord record;  // null: none within the time limit, or `missed` is set
    uint64_t missed = 0;  // records that were dropped because the queue was full
  };

  // One observer. It must not outlive the RecentRecords.
  class Watcher {
   public:
    ~Watcher();
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

    // Waits for the next record, at most for `limit`.
    Next Wait(std::chrono::milliseconds limit);

   private:
    friend class RecentRecords;
    Watcher(RecentRecords* records, RecordFilter filter)
        : records_(records), filter_(std::move(filter)) {}

    RecentRecords* const records_;
    const RecordFilter filter_;
    std::condition_variable wake_;
    std::deque<SharedRecord> queue_;
    uint64_t missed_ = 0;
  };

  static constexpr size_t kWatchersMax = 16, kQueueMax = 4'096;

  // Adds an observer of the records that match `filter`. It gets the newest `last` of those kept,
  // and then all new ones. ResourceExhausted if there are kWatchersMax observers already.
  absl::StatusOr<std::unique_ptr<Watcher>> Watch(RecordFilter filter, size_t last);

 private:
  const size_t keep_;
  std::mutex mutex_;
  std::deque<SharedRecord> records_;
  std::set<Watcher*> watchers_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_RECENT_RECORDS_H_
