// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/outputs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/collector/health.h"
#include "userspace/export/metrics_json.h"
#include "userspace/export/ndjson.h"

namespace sandpiper {
namespace {

absl::StatusOr<RecordLimits> MakeLimits(const Config& config) {
  return RecordLimits::Make({.argument_patterns = config.redact_arguments,
                             .host_patterns = config.redact_hosts,
                             .attributes_max = config.otel.attribute_count_max,
                             .characters_max = config.otel.attribute_characters_max});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Outputs>> Outputs::Start(const Config& config, FILE* ndjson,
                                                        WarningSink warn, Collect collect) {
  ASSIGN_OR_RETURN(RecordLimits limits, MakeLimits(config));
  std::unique_ptr<Outputs> outputs(
      new Outputs(config, std::move(limits), ndjson, std::move(collect)));
  outputs->reader_options_ = {.series_max = config.series_max,
                              .by_sandbox = config.sandbox_in_metrics,
                              .start_unix_ns = ReadClock(CLOCK_REALTIME),
                              .extra = config.extra_attributes};
  RETURN_IF_ERROR(outputs->StartLogExporter(warn));
  RETURN_IF_ERROR(outputs->StartMetricExporters(warn));
  return outputs;
}

std::unique_ptr<Outputs::Reader> Outputs::NewReader() const {
  return std::make_unique<Reader>(
      Reader{.reader = MetricReader(reader_options_), .host = HostMetrics()});
}

absl::Status Outputs::StartLogExporter(const WarningSink& warn) {
  const OtelConfig& otel = config_.otel;
  if (!otel.logs.otlp)
    return absl::OkStatus();
  std::unique_ptr<Spool> spool;
  if (!config_.spool.path.empty()) {
    spool = std::make_unique<Spool>(config_.spool);
    if (const absl::Status status = spool->Open(); !status.ok()) {
      if (config_.spool_write_first)
        return status;
      warn(absl::StrCat(std::string(status.message()),
                        "; log records are kept in memory until it can be used"));
    }
  }
  const LogExporter::Options options = {.queue_max = otel.log_queue_max,
                                        .batch_max = otel.log_batch_max,
                                        .delay = otel.log_delay,
                                        .write_first = config_.spool_write_first};
  ASSIGN_OR_RETURN(auto transport, MakeTransport(*otel.logs.otlp, Signal::kLogs));
  log_exporter_ = std::make_unique<LogExporter>(std::move(transport), otel.resource, options,
                                                std::move(spool), warn);
  return absl::OkStatus();
}

absl::Status Outputs::StartMetricExporters(const WarningSink& warn) {
  const OtelConfig& otel = config_.otel;
  if (otel.metrics.otlp) {
    ASSIGN_OR_RETURN(auto transport, MakeTransport(*otel.metrics.otlp, Signal::kMetrics));
    metric_exporter_ = std::make_unique<MetricExporter>(std::move(transport), otel.resource,
                                                        otel.temporality, warn);
    otlp_reader_ = NewReader();
  }
  if (otel.metrics.prometheus) {
    ASSIGN_OR_RETURN(prometheus_,
                     PrometheusExporter::Start(*otel.metrics.prometheus, otel.resource));
    prometheus_reader_ = NewReader();
  }
  if (otel.metrics.console && ndjson_)
    console_reader_ = NewReader();
  return absl::OkStatus();
}

absl::Status Outputs::Reload(const Config& config) {
  ASSIGN_OR_RETURN(limits_, MakeLimits(config));
  return absl::OkStatus();
}

void Outputs::OnRecord(LogRecord record) {
  if (unmasked_watcher_)
    unmasked_watcher_(record);
  limits_.Apply(&record);
  const auto shared = std::make_shared<const LogRecord>(std::move(record));
  if (ndjson_) {
    line_.Clear();
    AppendJson(*shared, &line_);
    line_.Put('\n');
    fwrite(line_.view().data(), 1, line_.view().size(), ndjson_);
  }
  if (watcher_)
    watcher_(*shared);
  if (config_.recent_records > 0)
    recent_.Push(shared);
  if (log_exporter_)
    log_exporter_->Push(shared);
}

MetricSnapshot Outputs::Read(uint64_t now_ns, Reader* reader) {
  collect_(now_ns, &reader->reader);
  const uint64_t start = reader_options_.start_unix_ns;
  MetricSnapshot own;
  reader->host.Append(start, &own);
  reader->host.AppendOwn(start, &own);
  const auto type = [](const OtlpEndpoint& endpoint, const char* signal) {
    return absl::StrCat("otlp_", endpoint.protocol == OtlpProtocol::kGrpc ? "grpc" : "http", "_",
                        signal, "_exporter");
  };
  if (log_exporter_)
    AppendLogExporter(type(*config_.otel.logs.otlp, "log"), *log_exporter_, start, &own);
  if (metric_exporter_)
    AppendExporter(MetricNamed("otel.sdk.exporter.metric_data_point.exported"),
                   type(*config_.otel.metrics.otlp, "metric"), metric_exporter_->counts(), start,
                   &own);
  reader->reader.AddHost(std::move(own));
  return reader->reader.Finish();
}

MetricSnapshot Outputs::Metrics(uint64_t now_ns) {
  const std::unique_ptr<Reader> reader = NewReader();
  return Read(now_ns, reader.get());
}

void Outputs::OnSandboxEnd(uint64_t sandbox, const MetricSnapshot& last, uint64_t time_unix_ns) {
  for (Reader* reader : {otlp_reader_.get(), prometheus_reader_.get(), console_reader_.get()}) {
    if (reader)
      reader->reader.OnSandboxEnd(sandbox, last, time_unix_ns);
  }
}

void Outputs::ExportMetrics(uint64_t now_ns) {
  if (metric_exporter_) {
    otlp_reader_->reader.OnExported(metric_exporter_->done());
    metric_exporter_->Push(Read(now_ns, otlp_reader_.get()));
  }
  if (console_reader_) {
    const MetricSnapshot snapshot = Read(now_ns, console_reader_.get());
    console_reader_->reader.OnExported(snapshot.sequence);
    fputs(ToJson(snapshot).c_str(), ndjson_);
  }
}

void Outputs::AnswerScrapes(uint64_t now_ns) {
  if (!prometheus_)
    return;
  prometheus_->Answer([&] {
    MetricSnapshot snapshot = Read(now_ns, prometheus_reader_.get());
    prometheus_reader_->reader.OnExported(snapshot.sequence);
    return snapshot;
  });
}

void Outputs::Flush() {
  if (ndjson_)
    fflush(ndjson_);
}

void Outputs::Shutdown(uint64_t now_ns, std::chrono::milliseconds limit) {
  prometheus_.reset();
  ExportMetrics(now_ns);
  Flush();
  const auto deadline = std::chrono::steady_clock::now() + limit;
  if (log_exporter_)
    log_exporter_->BeginFlush();
  if (metric_exporter_) {
    metric_exporter_->BeginFlush();
    metric_exporter_->FinishFlush(deadline);
  }
  if (log_exporter_)
    log_exporter_->FinishFlush(deadline);
}

std::vector<std::string> Outputs::Problems() const {
  std::vector<std::string> out;
  const auto add = [&](const char* signal, const ExportCounts& counts) {
    if (counts.dropped() > 0)
      out.push_back(absl::StrCat(
          counts.dropped(), " ", signal, " were not exported (", counts.dropped_queue_full,
          " queue full, ", counts.dropped_refused, " refused, ", counts.dropped_rejected,
          " rejected, ", counts.dropped_at_exit, " not sent in time, ", counts.dropped_spool_full,
          " spool full, ", counts.dropped_spool_old, " kept too long, ",
          counts.dropped_spool_corrupt, " unreadable in the spool): ", counts.last_error));
  };
  if (log_exporter_) {
    add("log records", log_exporter_->counts());
    if (const auto stored = log_exporter_->stored(); stored && stored->bytes > 0)
      out.push_back(absl::StrCat(stored->bytes, " bytes of log records are kept in ",
                                 config_.spool.path, " for the next run"));
  }
  if (metric_exporter_)
    add("data points of metrics", metric_exporter_->counts());
  return out;
}

}  // namespace sandpiper
