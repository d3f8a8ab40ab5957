#include "userspace/collector.h"

#include <fcntl.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/fd.h"
#include "userspace/base/status.h"
#include "userspace/export/metrics_json.h"
#include "userspace/export/ndjson.h"
#include "userspace/health.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

// After a wake-up, wait so long for more to come: a burst costs one wake-up.
constexpr uint64_t kCoalesce = 20 * kMillisecond;
// A record that is stamped may be submitted on another CPU a little later: leave out what is younger when the others are brought in order.
constexpr uint64_t kOrderSlack = 5 * kMillisecond;
// Records taken from a ring before timers get their turn.
constexpr size_t kDrainBudget = 65'536;
// How long a start and an end wait for rules to be read.
constexpr std::chrono::milliseconds kRulesLimit{5'000};

void SleepUntil(uint64_t boot_ns) {
  const timespec t = {.tv_sec = static_cast<time_t>(boot_ns / kSecond), .tv_nsec = static_cast<long>(boot_ns % kSecond)};
  clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &t, nullptr);
}

void Tell(const std::string& problem) { fprintf(stderr, "sandpiper: %s\n", problem.c_str()); }

}  // namespace

Collector::Collector(const Config& config, FILE* ndjson) : config_(config), ndjson_(ndjson) {}

absl::StatusOr<std::unique_ptr<Collector>> Collector::Start(const Config& config, FILE* ndjson) {
  std::unique_ptr<Collector> collector(new Collector(config, ndjson));
  ASSIGN_OR_RETURN(collector->mount_, FindCgroupMount());
  SetDiscovery(config.discovery, &collector->config_.probes);
  ASSIGN_OR_RETURN(collector->probes_, Probes::Load(collector->config_.probes));
  const PipelineOptions options = {.dns_timeout_ns = Nanoseconds(config.dns_timeout),
                                   .dns_ports = config.probes.dns_ports,
                                   .extra_attributes = config.extra_attributes,
                                   .log_level = config.log_level,
                                   .destinations_max = config.destinations_max,
                                   .histograms = config.otel.histograms};
  Collector* self = collector.get();
  collector->pipeline_ = std::make_unique<Pipeline>(
      collector->probes_.get(), collector->mount_, options, config.discovery,
      [self](LogRecord record) { self->OnRecord(std::move(record)); }, Tell,
      [self](uint64_t sandbox, const MetricSnapshot& last, uint64_t time_unix_ns) { self->OnSandboxEnd(sandbox, last, time_unix_ns); });
  const auto handler = [self](uint64_t* last_ns) {
    return [self, last_ns](std::span<const std::byte> record) { *last_ns = std::max(*last_ns, self->pipeline_->OnRecord(record)); };
  };
  ASSIGN_OR_RETURN(collector->critical_, Ring::Open(collector->probes_->critical_ring_fd(), handler(&self->critical_last_ns_)));
  ASSIGN_OR_RETURN(collector->bulk_, Ring::Open(collector->probes_->bulk_ring_fd(), handler(&self->bulk_last_ns_)));
  RETURN_IF_ERROR(collector->StartExporters());
  return collector;
}

absl::StatusOr<RecordLimits> Collector::MakeLimits(const Config& config) const {
  return RecordLimits::Make({.argument_patterns = config.redact_arguments,
                             .host_patterns = config.redact_hosts,
                             .attributes_max = config.otel.attribute_count_max,
                             .characters_max = config.otel.attribute_characters_max});
}

absl::StatusOr<ConfigChange> Collector::Reload(const Config& config) {
  ASSIGN_OR_RETURN(RecordLimits limits, MakeLimits(config));
  ConfigChange change = CompareFiles(config_, config);
  limits_ = std::move(limits);
  config_.window = config.window;
  next_window_ns_ = std::min(next_window_ns_, BootNow() + Nanoseconds(config.window));
  config_.flush_timeout = config.flush_timeout;
  pipeline_->SetLogLevel(config.log_level);
  config_.file = config.file;
  return change;
}

absl::Status Collector::StartExporters() {
  const OtelConfig& otel = config_.otel;
  ASSIGN_OR_RETURN(limits_, MakeLimits(config_));
  reader_options_ = {.series_max = config_.series_max,
                     .by_sandbox = config_.sandbox_in_metrics,
                     .start_unix_ns = ReadClock(CLOCK_REALTIME),
                     .extra = config_.extra_attributes};
  const auto new_reader = [&] { return std::make_unique<Reader>(Reader{.reader = MetricReader(reader_options_), .host = HostMetrics()}); };
  if (otel.logs.otlp) {
    std::unique_ptr<Spool> spool;
    if (!config_.spool.path.empty()) {
      spool = std::make_unique<Spool>(config_.spool);
      if (const absl::Status status = spool->Open(); !status.ok()) {
        if (config_.spool.durable)
          return status;
        Tell(absl::StrCat(std::string(status.message()), "; log records are kept in memory until it can be used"));
      }
    }
    const LogExporter::Options options = {
        .queue_max = otel.log_queue_max, .batch_max = otel.log_batch_max, .delay = otel.log_delay, .write_first = config_.spool.durable};
    log_exporter_ =
        std::make_unique<LogExporter>(MakeTransport(*otel.logs.otlp, Signal::kLogs), otel.resource, options, std::move(spool), Tell);
  }
  if (otel.metrics.otlp) {
    metric_exporter_ =
        std::make_unique<MetricExporter>(MakeTransport(*otel.metrics.otlp, Signal::kMetrics), otel.resource, otel.temporality, Tell);
    otlp_reader_ = new_reader();
  }
  if (otel.metrics.prometheus) {
    ASSIGN_OR_RETURN(prometheus_, PrometheusExporter::Start(*otel.metrics.prometheus, otel.resource));
    prometheus_reader_ = new_reader();
  }
  if (otel.metrics.console && ndjson_)
    console_reader_ = new_reader();
  return absl::OkStatus();
}

absl::Status Collector::Watch(const std::vector<Sandbox>& sandboxes, const std::vector<Device>& devices, bool here) {
  // Of the sandbox alone; else at the root, since a sandbox may be anywhere, and others may come into its network namespace.
  const std::string& top = here ? sandboxes[0].cgroup : mount_;
  const UniqueFd cgroup(open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup.ok())
    return ErrnoStatus(errno, absl::StrCat("opening the cgroup ", top));
  // Before there is a probe that would find its cgroup.
  absl::StatusOr<std::unique_ptr<Canary>> canary = absl::CancelledError("not asked for");
  const bool sings = !here && config_.canary_interval.count() > 0;
  if (sings)
    canary = Canary::Create(mount_, {.interval = config_.canary_interval, .dns_port = config_.probes.dns_ports[0]});
  RETURN_IF_ERROR(probes_->Attach(cgroup.get()));
  if (sings)
    pipeline_->WatchCanary(std::move(canary));
  for (const Sandbox& sandbox : sandboxes) {
    ASSIGN_OR_RETURN(const uint64_t serial, pipeline_->AddSandbox(sandbox));
    if (here)
      pipeline_->EnterOwnNamespace(serial);
  }
  for (const Device& device : devices)
    RETURN_IF_ERROR(pipeline_->WatchDevice(device));
  pipeline_->Discover(config_.discovery.metadata_wait);
  pipeline_->SyncRules(kRulesLimit);
  const uint64_t now = BootNow();
  pipeline_->OnTick(now);
  next_window_ns_ = now + Nanoseconds(config_.window);
  next_metrics_ns_ = now + Nanoseconds(config_.otel.metric_interval);
  return absl::OkStatus();
}

absl::Status Collector::Serve(const std::string& path) {
  ASSIGN_OR_RETURN(api_, ApiServer::Start(path));
  return absl::OkStatus();
}

void Collector::OnRecord(LogRecord record) {
  limits_->Apply(&record);
  if (ndjson_)
    fprintf(ndjson_, "%s\n", ToJson(record).c_str());
  if (log_exporter_)
    log_exporter_->Push(std::move(record));
}

// Bulk first: whatever a connection's process did before it is then in the critical ring, which is drained after.
bool Collector::Drain() {
  const bool bulk_empty = bulk_->Drain(kDrainBudget), critical_empty = critical_->Drain(kDrainBudget);
  uint64_t horizon = BootNow() - kOrderSlack;
  if (!bulk_empty)
    horizon = std::min(horizon, bulk_last_ns_);
  if (!critical_empty)
    horizon = std::min(horizon, critical_last_ns_);
  pipeline_->Process(horizon);
  return bulk_empty && critical_empty;
}

void Collector::OnTimers(uint64_t now_ns) {
  pipeline_->OnTick(now_ns);
  if (now_ns >= next_window_ns_) {
    pipeline_->CloseWindow(now_ns);
    next_window_ns_ = now_ns + Nanoseconds(config_.window);
  }
  if (now_ns >= next_metrics_ns_) {
    ExportMetrics(now_ns);
    next_metrics_ns_ = now_ns + Nanoseconds(config_.otel.metric_interval);
  }
}

MetricSnapshot Collector::Collect(uint64_t now_ns, Reader* reader) {
  pipeline_->Collect(now_ns, &reader->reader);
  const uint64_t start = reader_options_.start_unix_ns;
  MetricSnapshot own;
  reader->host.Append(start, &own);
  reader->host.AppendOwn(start, &own);
  const auto type = [](const OtlpEndpoint& endpoint, const char* signal) {
    return absl::StrCat("otlp_", endpoint.protocol == OtlpProtocol::kGrpc ? "grpc" : "http", "_", signal, "_exporter");
  };
  if (log_exporter_)
    AppendLogExporter(type(*config_.otel.logs.otlp, "log"), *log_exporter_, start, &own);
  if (metric_exporter_)
    AppendExporter(metric::kPointsExported, type(*config_.otel.metrics.otlp, "metric"), metric_exporter_->counts(), start, &own);
  reader->reader.AddHost(std::move(own));
  return reader->reader.Finish();
}

MetricSnapshot Collector::Metrics(uint64_t now_ns) {
  Reader reader = {.reader = MetricReader(reader_options_), .host = HostMetrics()};
  return Collect(now_ns, &reader);
}

void Collector::OnSandboxEnd(uint64_t sandbox, const MetricSnapshot& last, uint64_t time_unix_ns) {
  for (Reader* reader : {otlp_reader_.get(), prometheus_reader_.get(), console_reader_.get()}) {
    if (reader)
      reader->reader.OnSandboxEnd(sandbox, last, time_unix_ns);
  }
}

void Collector::ExportMetrics(uint64_t now_ns) {
  if (metric_exporter_) {
    otlp_reader_->reader.OnExported(metric_exporter_->done());
    metric_exporter_->Push(Collect(now_ns, otlp_reader_.get()));
  }
  if (console_reader_) {
    const MetricSnapshot snapshot = Collect(now_ns, console_reader_.get());
    console_reader_->reader.OnExported(snapshot.sequence);
    fputs(ToJson(snapshot).c_str(), ndjson_);
  }
}

uint64_t Collector::NextDeadline() const {
  const uint64_t metrics = exports_metrics() ? next_metrics_ns_ : next_window_ns_;
  return std::min({pipeline_->NextDeadline(), next_window_ns_, metrics});
}

size_t Collector::RunUntil(std::span<const pollfd> waited) {
  std::vector<pollfd> polled = {{.fd = critical_->epoll_fd(), .events = POLLIN, .revents = 0},
                                {.fd = bulk_->epoll_fd(), .events = POLLIN, .revents = 0}};
  for (const int fd : pipeline_->event_fds())
    polled.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  if (api_)
    polled.push_back({.fd = api_->event_fd(), .events = POLLIN, .revents = 0});
  if (prometheus_)
    polled.push_back({.fd = prometheus_->event_fd(), .events = POLLIN, .revents = 0});
  const size_t rings = polled.size();
  polled.insert(polled.end(), waited.begin(), waited.end());
  bool all_taken = true;
  for (;;) {
    const uint64_t now = BootNow(), deadline = NextDeadline();
    uint64_t wait_ms = deadline <= now ? 0 : (deadline - now + kMillisecond - 1) / kMillisecond;
    // What was too young to be brought in order last time is old enough after the slack.
    wait_ms = std::clamp<uint64_t>(wait_ms, all_taken ? kOrderSlack / kMillisecond : 0, 60'000);
    poll(polled.data(), polled.size(), static_cast<int>(all_taken ? wait_ms : 0));
    for (size_t i = rings; i < polled.size(); ++i) {
      if (polled[i].revents != 0)
        return i - rings;
    }
    const bool woken = polled[0].revents != 0 || polled[1].revents != 0;
    if (woken && all_taken)
      SleepUntil(BootNow() + kCoalesce);
    all_taken = Drain();
    if (ndjson_ && all_taken)
      fflush(ndjson_);
    OnTimers(BootNow());
    if (api_)
      api_->Answer([this] { return pipeline_->Describe(); });
    if (prometheus_) {
      prometheus_->Answer([this] {
        MetricSnapshot snapshot = Collect(BootNow(), prometheus_reader_.get());
        prometheus_reader_->reader.OnExported(snapshot.sequence);
        return snapshot;
      });
    }
  }
}

void Collector::Settle(std::chrono::milliseconds limit) {
  const uint64_t end = BootNow() + Nanoseconds(limit);
  do {
    SleepUntil(BootNow() + kOrderSlack);
    Drain();
    pipeline_->OnTick(BootNow());
  } while (pipeline_->open_connections() > 0 && BootNow() < end);
}

void Collector::Finish() {
  probes_->Detach();
  // Twice empty with the slack between: nothing that was stamped before the call is under way any more.
  for (int empty = 0; empty < 2;) {
    empty = Drain() ? empty + 1 : 0;
    SleepUntil(BootNow() + kOrderSlack);
  }
  pipeline_->SyncRules(kRulesLimit);
  const uint64_t now = BootNow();
  pipeline_->Process(now);
  pipeline_->OnTick(now);
  pipeline_->Stop(now);
  prometheus_.reset();
  ExportMetrics(now);
  if (ndjson_)
    fflush(ndjson_);
  const auto deadline = std::chrono::steady_clock::now() + config_.flush_timeout;
  if (log_exporter_)
    log_exporter_->BeginFlush();
  if (metric_exporter_) {
    metric_exporter_->BeginFlush();
    metric_exporter_->FinishFlush(deadline);
  }
  if (log_exporter_)
    log_exporter_->FinishFlush(deadline);
}

std::vector<std::string> Collector::ExportProblems() const {
  std::vector<std::string> out;
  const auto tell = [&](const char* signal, const ExportCounts& counts) {
    if (counts.dropped() > 0)
      out.push_back(absl::StrCat(counts.dropped(), " ", signal, " were not exported (", counts.dropped_queue_full, " queue full, ",
                                 counts.dropped_refused, " refused, ", counts.dropped_rejected, " rejected, ", counts.dropped_at_exit,
                                 " not sent in time, ", counts.dropped_spool_full, " spool full, ", counts.dropped_spool_old,
                                 " kept too long, ", counts.dropped_spool_corrupt, " unreadable in the spool): ", counts.last_error));
  };
  if (log_exporter_) {
    tell("log records", log_exporter_->counts());
    if (const auto stored = log_exporter_->stored(); stored && stored->bytes > 0)
      out.push_back(absl::StrCat(stored->bytes, " bytes of log records are kept in ", config_.spool.path, " for the next run"));
  }
  if (metric_exporter_)
    tell("data points of metrics", metric_exporter_->counts());
  return out;
}

}  // namespace sandpiper
