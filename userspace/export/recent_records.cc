// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/recent_records.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sandpiper {

void RecentRecords::Push(SharedRecord record) {
  const std::lock_guard lock(mutex_);
  for (Watcher* const watcher : watchers_) {
    if (!watcher->filter_.Matches(*record))
      continue;
    if (watcher->queue_.size() >= kQueueMax) {
      ++watcher->missed_;
      continue;
    }
    watcher->queue_.push_back(record);
    watcher->wake_.notify_one();
  }
  records_.push_back(std::move(record));
  if (records_.size() > keep_)
    records_.pop_front();
}

absl::StatusOr<std::unique_ptr<RecentRecords::Watcher>> RecentRecords::Watch(RecordFilter filter,
                                                                             size_t last) {
  std::unique_ptr<Watcher> watcher(new Watcher(this, std::move(filter)));
  const std::lock_guard lock(mutex_);
  if (watchers_.size() >= kWatchersMax)
    return absl::ResourceExhaustedError(
        absl::StrCat("too many observers (", kWatchersMax, "); stop one of them"));
  for (auto it = records_.rbegin(); it != records_.rend() && watcher->queue_.size() < last; ++it) {
    if (watcher->filter_.Matches(**it))
      watcher->queue_.push_front(*it);
  }
  watchers_.insert(watcher.get());
  return watcher;
}

RecentRecords::Watcher::~Watcher() {
  const std::lock_guard lock(records_->mutex_);
  records_->watchers_.erase(this);
}

RecentRecords::Next RecentRecords::Watcher::Wait(std::chrono::milliseconds limit) {
  std::unique_lock lock(records_->mutex_);
  wake_.wait_for(lock, limit, [&] { return !queue_.empty() || missed_ > 0; });
  // Missed records are newer than all records in the queue.
  if (queue_.empty())
    return {.record = nullptr, .missed = std::exchange(missed_, 0)};
  SharedRecord next = std::move(queue_.front());
  queue_.pop_front();
  return {.record = std::move(next)};
}

}  // namespace sandpiper
