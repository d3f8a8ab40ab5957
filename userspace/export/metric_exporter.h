// SPDX-License-Identifier: Apache-2.0
// Sends metrics from a thread of its own. After an outage the endpoint gets the newest values, and
// not the backlog.
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
#include "userspace/export/delta.h"
#include "userspace/export/export_counts.h"
#include "userspace/export/otel_config.h"
#include "userspace/export/outage.h"

namespace sandpiper {

class MetricExporter {
 public:
  MetricExporter(std::unique_ptr<OtlpTransport> transport, std::vector<Attribute> resource,
                 Temporality temporality, TellProblem tell);
  // Stops without waiting for what is left; see BeginFlush.
  ~MetricExporter();
  MetricExporter(const MetricExporter&) = delete;
  MetricExporter& operator=(const MetricExporter&) = delete;

  // Never blocks. Takes the place of a snapshot that waits.
  void Push(MetricSnapshot snapshot);
  // Tries more often. Returns at once.
  void BeginFlush();
  // Waits until `deadline`; what is left then is counted as dropped. Nothing is sent afterwards.
  void FinishFlush(std::chrono::steady_clock::time_point deadline);

  ExportCounts counts() const;
  // The sequence of the last snapshot that arrived or never will.
  uint64_t done() const;

 private:
  using Lock = std::unique_lock<std::mutex>;

  void Run();
  // Requests of the newest snapshot.
  std::deque<Request> Take();
  void Deliver(Lock* lock);
  void Stop();

  const std::vector<Attribute> resource_;
  const Temporality temporality_;
  Delivery delivery_;
  // Of the thread.
  DeltaState delta_;
  MetricSnapshot taken_;  // of which the requests are made

  mutable std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::optional<MetricSnapshot> newest_;
  bool in_flight_ = false, flushing_ = false, stopping_ = false;
  ExportCounts counts_;
  uint64_t done_ = 0;
  Outage outage_;
  std::thread thread_;  // last: it uses all the others
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_METRIC_EXPORTER_H_
