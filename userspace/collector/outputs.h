// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_COLLECTOR_OUTPUTS_H_
#define SANDPIPER_USERSPACE_COLLECTOR_OUTPUTS_H_

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/aggregate/host_metrics.h"
#include "userspace/aggregate/metric_reader.h"
#include "userspace/base/diagnostics.h"
#include "userspace/config/config.h"
#include "userspace/export/log_exporter.h"
#include "userspace/export/metric_exporter.h"
#include "userspace/export/ndjson.h"
#include "userspace/export/prometheus_exporter.h"
#include "userspace/export/recent_records.h"

namespace sandpiper {

// Everything that leaves the process: records to stdout, to `sandpiper observe` and to OTLP;
// metrics to OTLP, to stdout and to Prometheus. Exporters have threads of their own, so no endpoint
// delays the caller.
//
// Owned by Collector, and by `sandpiper replay`. All calls are made by the main thread.
class Outputs {
 public:
  // Begins a collection of the reader and adds the metrics of all sandboxes.
  using Collect = std::function<void(uint64_t now_ns, MetricReader* reader)>;

  // `ndjson`: where records are written as lines; null: nowhere. It stays the caller's.
  static absl::StatusOr<std::unique_ptr<Outputs>> Start(const Config& config, FILE* ndjson,
                                                        WarningSink warn, Collect collect);
  Outputs(const Outputs&) = delete;
  Outputs& operator=(const Outputs&) = delete;

  // Applies new patterns of text to mask. On an error nothing was changed.
  absl::Status Reload(const Config& config);

  void OnRecord(LogRecord record);
  // `watcher` gets each record as it leaves: masked and truncated.
  void SetWatcher(std::function<void(const LogRecord&)> watcher) { watcher_ = std::move(watcher); }
  // `watcher` gets each record with its secrets, and in full length.
  void SetUnmaskedWatcher(std::function<void(const LogRecord&)> watcher) {
    unmasked_watcher_ = std::move(watcher);
  }
  // The last metrics of a sandbox, and the Unix time when it ended.
  void OnSandboxEnd(uint64_t sandbox, const MetricSnapshot& last, uint64_t time_unix_ns);
  // Sends metrics to the exporters that want them at an interval.
  void ExportMetrics(uint64_t now_ns);
  bool exports_metrics() const { return metric_exporter_ || console_reader_; }
  // Readable when a Prometheus scrape waits for AnswerScrapes. -1: scrapes are off.
  int scrape_fd() const { return prometheus_ ? prometheus_->event_fd() : -1; }
  void AnswerScrapes(uint64_t now_ns);
  // Flushes the lines that were written.
  void Flush();
  // Exports the last metrics, and waits at most `limit` until the exporters have sent everything.
  void Shutdown(uint64_t now_ns, std::chrono::milliseconds limit);

  // The current metrics, for a report.
  MetricSnapshot Metrics(uint64_t now_ns);
  // The records as they left. Empty if Config::recent_records is 0.
  RecentRecords* recent() { return &recent_; }
  // What exporters did not send, as messages for the user.
  std::vector<std::string> Problems() const;

 private:
  // The metrics as one exporter sees them.
  struct Reader {
    MetricReader reader;
    HostMetrics host;
  };

  Outputs(const Config& config, RecordLimits limits, FILE* ndjson, Collect collect)
      : config_(config),
        limits_(std::move(limits)),
        ndjson_(ndjson),
        collect_(std::move(collect)),
        recent_(config.recent_records) {}
  absl::Status StartLogExporter(const WarningSink& warn);
  absl::Status StartMetricExporters(const WarningSink& warn);
  std::unique_ptr<Reader> NewReader() const;
  MetricSnapshot Read(uint64_t now_ns, Reader* reader);

  const Config config_;
  RecordLimits limits_;
  FILE* ndjson_;  // null: no lines
  JsonWriter line_{kLineBytes};
  Collect collect_;
  RecentRecords recent_;
  std::function<void(const LogRecord&)> watcher_, unmasked_watcher_;
  // Null if the configuration does not ask for them.
  std::unique_ptr<LogExporter> log_exporter_;
  std::unique_ptr<MetricExporter> metric_exporter_;
  std::unique_ptr<PrometheusExporter> prometheus_;
  MetricReader::Options reader_options_;
  std::unique_ptr<Reader> otlp_reader_;
  std::unique_ptr<Reader> prometheus_reader_;
  std::unique_ptr<Reader> console_reader_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_OUTPUTS_H_
