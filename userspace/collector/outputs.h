// SPDX-License-Identifier: Apache-2.0
// Everything that leaves: records to stdout and OTLP, metrics to OTLP, stdout and who scrapes them.
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
#include "userspace/config/config.h"
#include "userspace/export/log_exporter.h"
#include "userspace/export/metric_exporter.h"
#include "userspace/export/ndjson.h"
#include "userspace/export/prometheus_exporter.h"
#include "userspace/export/recent_records.h"

namespace sandpiper {

class Outputs {
 public:
  // Has all sandboxes tell the reader of their metrics as they are now.
  using Collect = std::function<void(uint64_t now_ns, MetricReader* reader)>;

  // `ndjson`: where records go as lines, or null; stays the caller's.
  static absl::StatusOr<std::unique_ptr<Outputs>> Start(const Config& config, FILE* ndjson,
                                                        TellProblem tell, Collect collect);
  Outputs(const Outputs&) = delete;
  Outputs& operator=(const Outputs&) = delete;

  // What records may not show. An error: nothing was changed.
  absl::Status Reload(const Config& config);

  void OnRecord(LogRecord record);
  // Sees each record as it leaves: hidden and cut.
  void SetWatcher(std::function<void(const LogRecord&)> watcher) { watcher_ = std::move(watcher); }
  // The last values of a sandbox, and when (Unix time) it ended.
  void OnSandboxEnd(uint64_t sandbox, const MetricSnapshot& last, uint64_t time_unix_ns);
  void ExportMetrics(uint64_t now_ns);
  // To those that ask at intervals of ours.
  bool exports_metrics() const { return metric_exporter_ || console_reader_; }
  // Readable when somebody scrapes; -1: nobody can.
  int scrape_fd() const { return prometheus_ ? prometheus_->event_fd() : -1; }
  void AnswerScrapes(uint64_t now_ns);
  // What is written is there to be read.
  void Flush();
  // The last metrics, and what exporters still hold, for at most `limit`.
  void Finish(uint64_t now_ns, std::chrono::milliseconds limit);

  // All there is to tell now, for a report.
  MetricSnapshot Metrics(uint64_t now_ns);
  // Records as they left; none where Config::recent_records is 0.
  RecentRecords* recent() { return &recent_; }
  // Endpoints that records or points did not reach, one line each, for people.
  std::vector<std::string> Problems() const;

 private:
  // For an exporter of metrics: its view of them.
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
  absl::Status StartExporters(const TellProblem& tell);
  MetricSnapshot Read(uint64_t now_ns, Reader* reader);

  const Config config_;
  RecordLimits limits_;
  FILE* ndjson_;
  JsonWriter line_{kLineBytes};
  Collect collect_;
  RecentRecords recent_;
  std::function<void(const LogRecord&)> watcher_;
  std::unique_ptr<LogExporter> log_exporter_;
  std::unique_ptr<MetricExporter> metric_exporter_;
  std::unique_ptr<PrometheusExporter> prometheus_;
  MetricReader::Options reader_options_;
  std::unique_ptr<Reader> otlp_reader_, prometheus_reader_,
      console_reader_;  // null where there is no such exporter
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_OUTPUTS_H_
