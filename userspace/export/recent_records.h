// SPDX-License-Identifier: Apache-2.0
// The records of a while, and each new one, for those who look on. Whoever is slow misses some, is
// told how many, and holds up nobody.
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
  // `keep`: records, the newest.
  explicit RecentRecords(size_t keep) : keep_(keep) {}
  RecentRecords(const RecentRecords&) = delete;
  RecentRecords& operator=(const RecentRecords&) = delete;

  // Never waits for those who look on.
  void Push(SharedRecord record);

  struct Next {
    SharedRecord record;  // null: none came in time
    uint64_t missed = 0;  // for want of room, instead of it
  };

  // One who looks on; it must not outlive the records.
  class Watcher {
   public:
    ~Watcher();
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

    // Waits for at most `limit`.
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

  // Sees first those of the records that are there, at most the last `last` of them, then all that
  // come. ResourceExhausted where kWatchersMax look on already.
  absl::StatusOr<std::unique_ptr<Watcher>> Watch(RecordFilter filter, size_t last);

 private:
  const size_t keep_;
  std::mutex mutex_;
  std::deque<SharedRecord> records_;
  std::set<Watcher*> watchers_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_RECENT_RECORDS_H_
