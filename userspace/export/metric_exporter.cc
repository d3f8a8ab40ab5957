// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/metric_exporter.h"

#include <utility>

#include "userspace/export/otlp_metrics.h"

namespace sandpiper {

MetricExporter::MetricExporter(std::unique_ptr<OtlpTransport> transport,
                               std::vector<Attribute> resource, Temporality temporality,
                               WarningSink warn)
    : resource_(std::move(resource)),
      temporality_(temporality),
      delivery_(std::move(transport), Signal::kMetrics),
      outage_("metrics", std::move(warn)),
      thread_([this] { Run(); }) {}

MetricExporter::~MetricExporter() { Stop(); }

void MetricExporter::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  delivery_.Cancel();
  wake_.notify_all();
  if (thread_.joinable())
    thread_.join();
}

void MetricExporter::Push(MetricSnapshot snapshot) {
  const std::lock_guard lock(mutex_);
  newest_ = std::move(snapshot);
  wake_.notify_all();
}

std::deque<Request> MetricExporter::EncodeNewest() {
  taken_ = *std::move(newest_);
  newest_.reset();
  const MetricSnapshot& sent = temporality_ == Temporality::kDelta ? delta_.Since(taken_) : taken_;
  if (sent.points() == 0)
    return {};
  return {
      {.bytes = ToOtlp(sent, resource_, temporality_).SerializeAsString(), .items = sent.points()}};
}

void MetricExporter::Deliver(Lock* lock) {
  std::deque<Request> requests = EncodeNewest();
  bool in_part = false;  // a part of the snapshot was sent: the rest has to follow
  while (!requests.empty() && !stopping_) {
    lock->unlock();
    const Delivered delivered = delivery_.Send(&requests);
    lock->lock();
    counts_.Add(delivered);
    in_part |= delivered.requests > 0;
    outage_.Update(delivered, "the newest values are sent when the endpoint answers");
    if (!delivered.wait)
      break;
    WaitBeforeRetry(*delivered.wait, &wake_, lock, stopping_, flushing_);
    if (!in_part && newest_)
      requests = EncodeNewest();
  }
  for (const Request& request : requests)
    counts_.dropped_at_exit += request.items;
  done_ = taken_.sequence;
  if (temporality_ == Temporality::kDelta)
    delta_.Commit(taken_);
}

void MetricExporter::Run() {
  Lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || newest_; });
    if (stopping_)
      return;
    in_flight_ = true;
    Deliver(&lock);
    in_flight_ = false;
    idle_.notify_all();
  }
}

void MetricExporter::BeginFlush() {
  const std::lock_guard lock(mutex_);
  flushing_ = true;
  wake_.notify_all();
}

void MetricExporter::FinishFlush(std::chrono::steady_clock::time_point deadline) {
  {
    Lock lock(mutex_);
    idle_.wait_until(lock, deadline, [&] { return !newest_ && !in_flight_; });
  }
  Stop();
  if (newest_)
    counts_.dropped_at_exit += newest_->points();
  newest_.reset();
}

ExportCounts MetricExporter::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

uint64_t MetricExporter::done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

}  // namespace sandpiper
