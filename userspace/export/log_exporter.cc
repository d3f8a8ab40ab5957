// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/log_exporter.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/export/otlp_logs.h"

namespace sandpiper {
namespace {

// The minimum time that queued records wait for the endpoint before they go to disk.
constexpr std::chrono::milliseconds kPatience{100};

}  // namespace

LogExporter::LogExporter(std::unique_ptr<OtlpTransport> transport, std::vector<Attribute> resource,
                         const Options& options, std::unique_ptr<Spool> spool, WarningSink warn)
    : resource_(std::move(resource)),
      options_(options),
      delivery_(std::move(transport), Signal::kLogs),
      warn_(warn),
      spool_(std::move(spool)),
      outage_("log records", std::move(warn)) {
  if (spool_)
    UpdateStored();
  sender_ = std::thread([this] { Send(); });
  if (spool_)
    storer_ = std::thread([this] { Store(); });
}

LogExporter::~LogExporter() { Stop(); }

void LogExporter::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  delivery_.Cancel();
  wake_.notify_all();
  store_.notify_all();
  for (std::thread* thread : {&sender_, &storer_}) {
    if (thread->joinable())
      thread->join();
  }
}

void LogExporter::Push(SharedRecord record) {
  const std::lock_guard lock(mutex_);
  if (queue_.size() >= options_.queue_max) {
    ++counts_.dropped_queue_full;
    return;
  }
  queue_.push_back(std::move(record));
  if (queue_.size() == 1 || queue_.size() == options_.batch_max ||
      queue_.size() == options_.queue_max / 2) {
    wake_.notify_all();
    store_.notify_all();
  }
}

std::vector<SharedRecord> LogExporter::PopBatch() {
  const auto end =
      queue_.begin() + static_cast<ptrdiff_t>(std::min(queue_.size(), options_.batch_max));
  std::vector<SharedRecord> batch(std::make_move_iterator(queue_.begin()),
                                  std::make_move_iterator(end));
  queue_.erase(queue_.begin(), end);
  return batch;
}

void LogExporter::UpdateStored() {
  stored_ = {.bytes = spool_->bytes(), .oldest_unix_ns = spool_->oldest_unix_ns()};
  counts_.dropped_spool_full = spool_->counts().full;
  counts_.dropped_spool_old = spool_->counts().old;
  counts_.dropped_spool_corrupt = spool_->counts().corrupt;
}

bool LogExporter::StoreRequest(const Request& request, Lock* lock) {
  lock->unlock();
  std::unique_lock spool_lock(spool_mutex_);
  const absl::Status status = spool_->Append(request, ReadClock(CLOCK_REALTIME));
  lock->lock();
  UpdateStored();
  // The sending thread may have found the queue empty while this batch was being written.
  wake_.notify_all();
  if (!status.ok() && !spool_fails_)
    warn_(absl::StrCat(std::string(status.message()), "; log records are kept in memory"));
  else if (status.ok() && spool_fails_)
    warn_("the spool works again");
  spool_fails_ = !status.ok();
  return status.ok();
}

bool LogExporter::StoreBatch(Lock* lock) {
  idle_.wait(*lock, [&] { return !storing_; });
  std::vector<SharedRecord> batch = PopBatch();
  if (batch.empty())
    return true;
  storing_ = true;
  in_hand_ += batch.size();
  lock->unlock();
  const Request request = {.bytes = EncodeLogs(batch, resource_), .items = batch.size()};
  lock->lock();
  const bool stored = StoreRequest(request, lock);
  storing_ = false;
  in_hand_ -= batch.size();
  if (!stored)
    queue_.insert(queue_.begin(), std::make_move_iterator(batch.begin()),
                  std::make_move_iterator(batch.end()));
  idle_.notify_all();
  return stored;
}

std::optional<Spool::Entry> LogExporter::Oldest(Lock* lock) {
  lock->unlock();
  std::unique_lock spool_lock(spool_mutex_);
  std::optional<Spool::Entry> entry = spool_->Front(ReadClock(CLOCK_REALTIME));
  lock->lock();
  UpdateStored();
  return entry;
}

void LogExporter::Remove(int64_t id, Lock* lock) {
  lock->unlock();
  std::unique_lock spool_lock(spool_mutex_);
  spool_->Remove(id);
  lock->lock();
  UpdateStored();
}

bool LogExporter::WaitForWork(Lock* lock) {
  const auto waits = [&] { return stopping_ || stored_.bytes > 0; };
  wake_.wait(*lock, [&] { return waits() || !queue_.empty(); });
  wake_.wait_for(*lock, options_.delay,
                 [&] { return waits() || flushing_ || queue_.size() >= options_.batch_max; });
  return !stopping_;
}

bool LogExporter::StoreRequests(std::deque<Request>* requests, Lock* lock) {
  while (!requests->empty() && StoreRequest(requests->front(), lock))
    requests->pop_front();
  return requests->empty();
}

std::deque<Request> LogExporter::PopRequest(Lock* lock) {
  const std::vector<SharedRecord> batch = PopBatch();
  if (batch.empty())
    return {};
  in_hand_ += batch.size();
  lock->unlock();
  std::deque<Request> requests = {{.bytes = EncodeLogs(batch, resource_), .items = batch.size()}};
  lock->lock();
  in_hand_ -= batch.size();
  return requests;
}

void LogExporter::Deliver(Lock* lock) {
  if (options_.write_first && spool_ && stored_.bytes == 0)
    StoreBatch(lock);
  std::optional<Spool::Entry> entry = stored_.bytes > 0 ? Oldest(lock) : std::nullopt;
  std::deque<Request> requests = entry ? std::deque<Request>{entry->request} : PopRequest(lock);
  bool whole = true, stored = entry.has_value();
  while (!requests.empty()) {
    saved_ = stored;
    lock->unlock();
    const Delivered delivered = delivery_.Send(&requests);
    lock->lock();
    // Removed from disk first, then counted as sent. If the process is killed before the removal,
    // the next run sends the entry again, and no record was counted twice. If it is killed between
    // the two, the records were sent but never counted.
    if (entry && requests.empty())
      Remove(entry->id, lock);
    counts_.Add(delivered);
    outage_.Update(delivered, spool_ ? "they are kept on disk"
                                     : "they are kept in memory, while there is room");
    store_.notify_all();
    if (!delivered.wait)
      break;
    flush_failed_ |= flushing_;
    whole = whole && delivered.requests == 0 && requests.size() == 1;
    // The rest of a divided request replaces the whole one on disk.
    stored = entry && whole;
    if (spool_ && !stored && StoreRequests(&requests, lock)) {
      stored = true;
      if (entry)
        Remove(entry->id, lock);
    }
    saved_ = stored;
    idle_.notify_all();
    if (!stopping_)
      WaitBeforeRetry(*delivered.wait, &wake_, lock, stopping_, flushing_);
    if (stored)
      return;  // the next call begins with the oldest entry on disk
    if (stopping_)
      break;
  }
  // An entry is still on disk as a whole, so nothing of it is lost. Parts that were sent already
  // are sent again by the next run; backends recognise them as equal records.
  for (const Request& request : requests)
    counts_.dropped_at_exit += entry ? 0 : request.items;
}

void LogExporter::Send() {
  Lock lock(mutex_);
  while (WaitForWork(&lock)) {
    busy_ = true;
    store_.notify_all();
    Deliver(&lock);
    busy_ = false;
    saved_ = true;
    idle_.notify_all();
  }
}

void LogExporter::Store() {
  Lock lock(mutex_);
  while (!stopping_) {
    store_.wait(lock, [&] { return stopping_ || (busy_ && !queue_.empty()); });
    const auto many = [&] {
      return outage_.is_active() ? flushing_ || queue_.size() >= options_.batch_max
                                 : queue_.size() >= options_.queue_max / 2;
    };
    // A working endpoint accepts the records within this time, and nothing is written to disk.
    store_.wait_for(lock, std::max(options_.delay, kPatience),
                    [&] { return stopping_ || !busy_ || (!spool_fails_ && many()); });
    if (!stopping_ && busy_)
      StoreBatch(&lock);
  }
}

void LogExporter::BeginFlush() {
  const std::lock_guard lock(mutex_);
  flushing_ = true;
  wake_.notify_all();
  store_.notify_all();
}

void LogExporter::FinishFlush(std::chrono::steady_clock::time_point deadline) {
  {
    Lock lock(mutex_);
    const auto kept = [&] { return queue_.empty() && in_hand_ == 0 && saved_; };
    idle_.wait_until(lock, deadline,
                     [&] { return kept() && (stored_.bytes == 0 || flush_failed_); });
  }
  Stop();
  Lock lock(mutex_);
  while (spool_ && !queue_.empty() && StoreBatch(&lock)) {
  }
  counts_.dropped_at_exit += queue_.size();
  queue_.clear();
}

ExportCounts LogExporter::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

std::optional<LogExporter::Stored> LogExporter::stored() const {
  const std::lock_guard lock(mutex_);
  return spool_ ? std::optional(stored_) : std::nullopt;
}

}  // namespace sandpiper
