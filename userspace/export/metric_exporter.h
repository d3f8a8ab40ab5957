// SPDX-License-Identifier: Apache-2.0
// Sends metrics to an OTLP endpoint from its own thread. Only the newest snapshot waits: after an
// outage the endpoint gets the newest values, without a backlog.
#ifndef SANDPIPER_USERSPACE_EXPORT_METRIC_EXPORTER_H_
#define SANDPIPER_USERSPACE_EXPORT_METRIC_EXPORTER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "userspace/aggregate/metrics.h"
#include "userspace/base/diagnostics.h"
#include "userspace/export/delta.h"
#include "userspace/export/export_counts.h"
#include "userspace/export/otel_config.h"
#include "userspace/export/outage.h"

namespace sandpiper {

class MetricExporter {
 public:
  MetricExporter(std::unique_ptr<OtlpTransport> transport, std::vector<Attribute> resource,
                 Temporality temporality, WarningSink warn);
  // Stops at once. A snapshot that is not sent is lost; see BeginFlush.
  ~MetricExporter();
  MetricExporter(const MetricExporter&) = delete;
  MetricExporter& operator=(const MetricExporter&) = delete;

  // Never blocks. Replaces a snapshot that still waits.
  void Push(MetricSnapshot snapshot);
  // Shortens the time between attempts. Returns at once.
  void BeginFlush();
  // Waits until everything is sent, but not after `deadline`. Counts the rest as dropped. Nothing
  // is sent afterwards.
  void FinishFlush(std::chrono::steady_clock::time_point deadline);

  ExportCounts counts() const;
  // The sequence number of the last snapshot that was sent or dropped.
  uint64_t done() const;

 private:
  using Lock = std::unique_lock<std::mutex>;

  void Run();
  // Requests with the newest snapshot.
  std::deque<Request> EncodeNewest();
  void Deliver(Lock* lock);
  void Stop();

  const std::vector<Attribute> resource_;
  const Temporality temporality_;
  Delivery delivery_;
  // Used by the thread only.
  DeltaState delta_;
  MetricSnapshot taken_;  // the snapshot in the current requests

  mutable std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::optional<MetricSnapshot> newest_;
  bool in_flight_ = false, flushing_ = false, stopping_ = false;
  ExportCounts counts_;
  uint64_t done_ = 0;
  Outage outage_;
  std::thread thread_;  // declared last: it uses all other members
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_METRIC_EXPORTER_H_
