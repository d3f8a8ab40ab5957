// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/collector.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/diagnostics.h"
#include "userspace/base/fd.h"
#include "userspace/base/service_manager.h"
#include "userspace/base/status.h"
#include "userspace/privilege/system_calls.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

// How long to wait for more records after a wake-up, so that a burst costs one wake-up.
constexpr uint64_t kCoalesce = 20 * kMillisecond;
// A record gets its time a little before it appears in the ring buffer. Younger records are not
// delivered yet, since an older one may still appear.
constexpr uint64_t kOrderSlack = 5 * kMillisecond;
// How many records are read from a ring buffer before timers are checked.
constexpr size_t kDrainBudget = 65'536;
// How long the start and the end wait for rules to be read.
constexpr std::chrono::milliseconds kRulesLimit{5'000};

void SleepUntil(uint64_t boot_ns) {
  const timespec t = {.tv_sec = static_cast<time_t>(boot_ns / kSecond),
                      .tv_nsec = static_cast<long>(boot_ns % kSecond)};
  clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &t, nullptr);
}

// Before 5.19, using a map takes CAP_BPF if the kernel denies BPF to unprivileged users
// (c8644cd0efe7).
bool MapsNeedCapability(const Probes& probes) {
  absl::Status status;
  const absl::Status ran =
      RunWithoutCapabilities([&] { status = probes.ReadCounters(0).status(); });
  return !ran.ok() || absl::IsPermissionDenied(status);
}

}  // namespace

Collector::Collector(const Config& config) : config_(config), watchdog_ns_(WatchdogIntervalNs()) {}

absl::StatusOr<std::unique_ptr<Collector>> Collector::Start(const Config& config, FILE* ndjson) {
  std::unique_ptr<Collector> collector(new Collector(config));
  ASSIGN_OR_RETURN(collector->mount_, FindCgroupMount());
  SetDiscovery(config.discovery, &collector->config_.probes);
  ASSIGN_OR_RETURN(collector->probes_, Probes::Load(collector->config_.probes));
  const SessionOptions session = {.dns_timeout_ns = Nanoseconds(config.dns_timeout),
                                  .dns_ports = config.probes.dns_ports,
                                  .extra_attributes = config.extra_attributes,
                                  .log_level = config.log_level,
                                  .destinations_max = config.destinations_max,
                                  .histograms = config.otel.histograms};
  Collector* self = collector.get();
  collector->pipeline_ = std::make_unique<Pipeline>(
      collector->probes_.get(), collector->probes_.get(),
      Pipeline::Options{.cgroups = {.mount = collector->mount_},
                        .session = session,
                        .discovery = config.discovery},
      Pipeline::Outlets{
          .records = [self](LogRecord record) { self->outputs_->OnRecord(std::move(record)); },
          .warn = LogWarnings("pipeline"),
          .on_sandbox_end =
              [self](uint64_t sandbox, const MetricSnapshot& last, uint64_t time_unix_ns) {
                self->outputs_->OnSandboxEnd(sandbox, last, time_unix_ns);
              }});
  if (!config.capture.path.empty()) {
    ASSIGN_OR_RETURN(auto capture, CaptureWriter::Create(config.capture, config.probes.dns_ports,
                                                         LogWarnings("capture")));
    collector->pipeline_->StartCapture(std::move(capture));
  }
  const Probes& probes = *collector->probes_;
  ASSIGN_OR_RETURN(collector->critical_,
                   self->OpenRing(probes.critical_ring_fd(), &self->critical_last_ns_));
  ASSIGN_OR_RETURN(collector->bulk_, self->OpenRing(probes.bulk_ring_fd(), &self->bulk_last_ns_));
  RETURN_IF_ERROR(collector->StartOutputs(ndjson));
  return collector;
}

absl::StatusOr<std::unique_ptr<Ring>> Collector::OpenRing(int map_fd, uint64_t* last_ns) {
  return Ring::Open(map_fd, [this, last_ns](std::span<const std::byte> record) {
    *last_ns = std::max(*last_ns, pipeline_->OnRecord(record));
  });
}

// Threads that talk to the network have no capabilities, and neither have the threads of libraries.
absl::Status Collector::StartOutputs(FILE* ndjson) {
  absl::Status started;
  RETURN_IF_ERROR(RunWithoutCapabilities([&] {
    auto outputs = Outputs::Start(
        config_, ndjson, LogWarnings("outputs"),
        [this](uint64_t now_ns, MetricReader* reader) { pipeline_->Collect(now_ns, reader); });
    started = outputs.status();
    if (outputs.ok())
      outputs_ = *std::move(outputs);
  }));
  return started;
}

absl::StatusOr<ConfigChange> Collector::Reload(const Config& config) {
  RETURN_IF_ERROR(outputs_->Reload(config));
  ConfigChange change = CompareFiles(config_, config);
  config_.window = config.window;
  next_window_ns_ = std::min(next_window_ns_, BootNow() + Nanoseconds(config.window));
  config_.flush_timeout = config.flush_timeout;
  pipeline_->SetLogLevel(config.log_level);
  config_.file = config.file;
  return change;
}

absl::Status Collector::Watch(const std::vector<Sandbox>& sandboxes,
                              const std::vector<Device>& devices, SandboxScope scope,
                              absl::StatusOr<std::unique_ptr<Canary>> canary) {
  // The root of the hierarchy, since a sandbox may be anywhere, and processes of other cgroups may
  // use its network namespace. Neither can happen to a sandbox of ours.
  const std::string& top = scope == SandboxScope::kOwnNamespace ? sandboxes[0].cgroup : mount_;
  const UniqueFd cgroup(open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup.ok())
    return ErrnoStatus(errno, absl::StrCat("opening the cgroup ", top));
  RETURN_IF_ERROR(probes_->Attach(cgroup.get()));
  if (!canary.ok() || *canary)
    pipeline_->WatchCanary(std::move(canary));
  for (const Sandbox& sandbox : sandboxes) {
    ASSIGN_OR_RETURN(const uint64_t serial, pipeline_->AddSandbox(sandbox));
    if (scope == SandboxScope::kOwnNamespace)
      pipeline_->EnterOwnNamespace(serial);
  }
  for (const Device& device : devices)
    RETURN_IF_ERROR(pipeline_->WatchDevice(device));
  pipeline_->Discover(config_.discovery.metadata_wait);
  pipeline_->SyncRules(kRulesLimit);
  const uint64_t now = BootNow();
  pipeline_->Poll(now);
  malloc_trim(0);  // loading the programs took much memory for the kernel's types
  next_window_ns_ = now + Nanoseconds(config_.window);
  next_metrics_ns_ = now + Nanoseconds(config_.otel.metric_interval);
  return absl::OkStatus();
}

absl::Status Collector::Serve(const std::string& path) {
  absl::StatusOr<std::unique_ptr<ApiServer>> api = absl::UnknownError("");
  RETURN_IF_ERROR(
      RunWithoutCapabilities([&] { api = ApiServer::Start(path, outputs_->recent()); }));
  ASSIGN_OR_RETURN(api_, std::move(api));
  return absl::OkStatus();
}

bool Collector::AttachesMore() const {
  return config_.probes.devices || probes_->waits_for_nf_tables();
}

absl::Status Collector::Confine(const Capabilities& kept) {
  // For namespaces, arguments and files of other users' processes (ptrace_may_access() in
  // kernel/ptrace.c).
  Capabilities all = {CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH};
  all.insert(kept.begin(), kept.end());
  if (MapsNeedCapability(*probes_))
    all.insert(CAP_BPF);
  if (AttachesMore()) {
    all.insert({CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN});
    to_confine_ = kept;
  }
  RETURN_IF_ERROR(KeepCapabilities(all));
  if (!config_.limit_system_calls)
    return absl::OkStatus();
  const absl::Status limited =
      LimitSystemCalls(AttachesMore() ? BpfCalls::kAll : BpfCalls::kMapsOnly);
  return limited.ok()
             ? limited
             : absl::Status(limited.code(), absl::StrCat(std::string(limited.message()),
                                                         "; --no-limit-system-calls skips this"));
}

// Drains the bulk ring buffer first. Earlier events of the same process are then in the critical
// one already.
bool Collector::Drain() {
  const bool bulk_empty = bulk_->Drain(kDrainBudget);
  const bool critical_empty = critical_->Drain(kDrainBudget);
  uint64_t horizon = BootNow() - kOrderSlack;
  if (!bulk_empty)
    horizon = std::min(horizon, bulk_last_ns_);
  if (!critical_empty)
    horizon = std::min(horizon, critical_last_ns_);
  pipeline_->DrainUntil(horizon);
  return bulk_empty && critical_empty;
}

void Collector::OnTimers(uint64_t now_ns) {
  pipeline_->Poll(now_ns);
  if (now_ns >= next_window_ns_) {
    pipeline_->CloseWindow(now_ns);
    for (const std::string& missed : NewlyMissed(probes_->ReadRuns(), &missed_reported_))
      LogWarn(missed);
    next_window_ns_ = now_ns + Nanoseconds(config_.window);
  }
  if (now_ns >= next_metrics_ns_) {
    outputs_->ExportMetrics(now_ns);
    next_metrics_ns_ = now_ns + Nanoseconds(config_.otel.metric_interval);
  }
  if (watchdog_ns_ > 0 && now_ns >= next_watchdog_ns_) {
    NotifyServiceManager("WATCHDOG=1");
    next_watchdog_ns_ = now_ns + watchdog_ns_;
  }
}

uint64_t Collector::NextDeadline() const {
  const uint64_t metrics = outputs_->exports_metrics() ? next_metrics_ns_ : next_window_ns_;
  const uint64_t watchdog = watchdog_ns_ > 0 ? next_watchdog_ns_ : next_window_ns_;
  return std::min({pipeline_->NextDeadline(), next_window_ns_, metrics, watchdog});
}

std::vector<pollfd> Collector::PolledFds() const {
  std::vector<int> fds = {critical_->epoll_fd(), bulk_->epoll_fd()};
  const std::vector<int> of_pipeline = pipeline_->event_fds();
  fds.insert(fds.end(), of_pipeline.begin(), of_pipeline.end());
  if (api_)
    fds.push_back(api_->event_fd());
  if (const int fd = outputs_->scrape_fd(); fd >= 0)
    fds.push_back(fd);
  std::vector<pollfd> out;
  for (const int fd : fds)
    out.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  return out;
}

void Collector::ServeRequests() {
  if (api_)
    api_->Answer([this](size_t destinations) { return pipeline_->Describe(destinations); });
  outputs_->AnswerScrapes(BootNow());
}

void Collector::ConfineIfDue() {
  if (!to_confine_ || AttachesMore())
    return;
  if (const absl::Status status = Confine(*std::exchange(to_confine_, std::nullopt)); !status.ok())
    LogWarn(std::string(status.message()));
}

size_t Collector::RunUntil(std::span<const pollfd> waited) {
  std::vector<pollfd> polled = PolledFds();
  const size_t own = polled.size();
  polled.insert(polled.end(), waited.begin(), waited.end());
  bool is_empty = true;
  for (;;) {
    const uint64_t now = BootNow();
    const uint64_t deadline = NextDeadline();
    uint64_t wait_ms = deadline <= now ? 0 : (deadline - now + kMillisecond - 1) / kMillisecond;
    // Records that were too young last time are old enough after the slack.
    wait_ms = std::clamp<uint64_t>(wait_ms, is_empty ? kOrderSlack / kMillisecond : 0, 60'000);
    poll(polled.data(), polled.size(), static_cast<int>(is_empty ? wait_ms : 0));
    for (size_t i = own; i < polled.size(); ++i) {
      if (polled[i].revents != 0)
        return i - own;
    }
    const bool has_records = polled[0].revents != 0 || polled[1].revents != 0;
    if (has_records && is_empty)
      SleepUntil(BootNow() + kCoalesce);
    is_empty = Drain();
    if (is_empty)
      outputs_->Flush();
    OnTimers(BootNow());
    ServeRequests();
    ConfineIfDue();
  }
}

void Collector::WaitForConnections(std::chrono::milliseconds limit) {
  const uint64_t end = BootNow() + Nanoseconds(limit);
  do {
    SleepUntil(BootNow() + kOrderSlack);
    Drain();
    pipeline_->Poll(BootNow());
  } while (pipeline_->open_connections() > 0 && BootNow() < end);
}

void Collector::Shutdown() {
  probes_->Detach();
  // Twice empty with the slack between them: no record from before Detach is still to appear.
  for (int empty = 0; empty < 2;) {
    empty = Drain() ? empty + 1 : 0;
    SleepUntil(BootNow() + kOrderSlack);
  }
  pipeline_->SyncRules(kRulesLimit);
  const uint64_t now = BootNow();
  pipeline_->DrainUntil(now);
  pipeline_->Poll(now);
  pipeline_->Shutdown(now);
  outputs_->Shutdown(now, config_.flush_timeout);
}

}  // namespace sandpiper
