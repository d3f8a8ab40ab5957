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
#include "userspace/base/fd.h"
#include "userspace/base/service_manager.h"
#include "userspace/base/status.h"
#include "userspace/privilege/system_calls.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

// After a wake-up, wait so long for more to come: a burst costs one wake-up.
constexpr uint64_t kCoalesce = 20 * kMillisecond;
// A record that is stamped may be submitted on another CPU a little later: leave out what is
// younger when the others are brought in order.
constexpr uint64_t kOrderSlack = 5 * kMillisecond;
// Records taken from a ring before timers get their turn.
constexpr size_t kDrainBudget = 65'536;
// How long a start and an end wait for rules to be read.
constexpr std::chrono::milliseconds kRulesLimit{5'000};

void SleepUntil(uint64_t boot_ns) {
  const timespec t = {.tv_sec = static_cast<time_t>(boot_ns / kSecond),
                      .tv_nsec = static_cast<long>(boot_ns % kSecond)};
  clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &t, nullptr);
}

// Before 5.19, only who may make maps may use them, where unprivileged users may do neither
// (c8644cd0efe7).
bool MapsNeedCapability(const Probes& probes) {
  absl::Status status;
  const absl::Status ran =
      RunWithoutCapabilities([&] { status = probes.ReadCounters(0).status(); });
  return !ran.ok() || absl::IsPermissionDenied(status);
}

void Tell(const std::string& problem) { fprintf(stderr, "sandpiper: %s\n", problem.c_str()); }

}  // namespace

Collector::Collector(const Config& config) : config_(config), watchdog_ns_(WatchdogIntervalNs()) {}

absl::StatusOr<std::unique_ptr<Collector>> Collector::Start(const Config& config, FILE* ndjson) {
  std::unique_ptr<Collector> collector(new Collector(config));
  ASSIGN_OR_RETURN(collector->mount_, FindCgroupMount());
  SetDiscovery(config.discovery, &collector->config_.probes);
  ASSIGN_OR_RETURN(collector->probes_, Probes::Load(collector->config_.probes));
  const SessionOptions options = {.dns_timeout_ns = Nanoseconds(config.dns_timeout),
                                  .dns_ports = config.probes.dns_ports,
                                  .extra_attributes = config.extra_attributes,
                                  .log_level = config.log_level,
                                  .destinations_max = config.destinations_max,
                                  .histograms = config.otel.histograms};
  Collector* self = collector.get();
  collector->pipeline_ = std::make_unique<Pipeline>(
      collector->probes_.get(), collector->probes_.get(), collector->mount_, options,
      config.discovery, [self](LogRecord record) { self->outputs_->OnRecord(std::move(record)); },
      Tell,
      [self](uint64_t sandbox, const MetricSnapshot& last, uint64_t time_unix_ns) {
        self->outputs_->OnSandboxEnd(sandbox, last, time_unix_ns);
      });
  if (!config.capture.path.empty()) {
    ASSIGN_OR_RETURN(auto capture,
                     CaptureWriter::Create(config.capture, config.probes.dns_ports, Tell));
    collector->pipeline_->StartCapture(std::move(capture));
  }
  const auto handler = [self](uint64_t* last_ns) {
    return [self, last_ns](std::span<const std::byte> record) {
      *last_ns = std::max(*last_ns, self->pipeline_->OnRecord(record));
    };
  };
  ASSIGN_OR_RETURN(collector->critical_, Ring::Open(collector->probes_->critical_ring_fd(),
                                                    handler(&self->critical_last_ns_)));
  ASSIGN_OR_RETURN(collector->bulk_,
                   Ring::Open(collector->probes_->bulk_ring_fd(), handler(&self->bulk_last_ns_)));
  // Who speaks with the world has no capabilities, and threads of libraries neither.
  absl::Status started;
  RETURN_IF_ERROR(RunWithoutCapabilities([&] {
    auto outputs =
        Outputs::Start(config, ndjson, Tell, [self](uint64_t now_ns, MetricReader* reader) {
          self->pipeline_->Collect(now_ns, reader);
        });
    started = outputs.status();
    if (outputs.ok())
      self->outputs_ = *std::move(outputs);
  }));
  RETURN_IF_ERROR(started);
  return collector;
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
                              const std::vector<Device>& devices, bool here,
                              absl::StatusOr<std::unique_ptr<Canary>> canary) {
  // Of the sandbox alone; else at the root, since a sandbox may be anywhere, and others may come
  // into its network namespace.
  const std::string& top = here ? sandboxes[0].cgroup : mount_;
  const UniqueFd cgroup(open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup.ok())
    return ErrnoStatus(errno, absl::StrCat("opening the cgroup ", top));
  RETURN_IF_ERROR(probes_->Attach(cgroup.get()));
  if (!canary.ok() || *canary)
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
  malloc_trim(0);  // what the kernel's types took while programs were loaded
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
  // Namespaces, arguments and files of other users' processes (ptrace_may_access() in
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
                                                         "; --no-limit-system-calls does without"));
}

// Bulk first: whatever a connection's process did before it is then in the critical ring, which is
// drained after.
bool Collector::Drain() {
  const bool bulk_empty = bulk_->Drain(kDrainBudget),
             critical_empty = critical_->Drain(kDrainBudget);
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
    for (const std::string& missed : NewlyMissed(probes_->ReadRuns(), &missed_told_))
      Tell(missed);
    next_window_ns_ = now_ns + Nanoseconds(config_.window);
  }
  if (now_ns >= next_metrics_ns_) {
    outputs_->ExportMetrics(now_ns);
    next_metrics_ns_ = now_ns + Nanoseconds(config_.otel.metric_interval);
  }
  if (watchdog_ns_ > 0 && now_ns >= next_sign_of_life_ns_) {
    NotifyServiceManager("WATCHDOG=1");
    next_sign_of_life_ns_ = now_ns + watchdog_ns_;
  }
}

uint64_t Collector::NextDeadline() const {
  const uint64_t metrics = outputs_->exports_metrics() ? next_metrics_ns_ : next_window_ns_;
  const uint64_t sign_of_life = watchdog_ns_ > 0 ? next_sign_of_life_ns_ : next_window_ns_;
  return std::min({pipeline_->NextDeadline(), next_window_ns_, metrics, sign_of_life});
}

size_t Collector::RunUntil(std::span<const pollfd> waited) {
  std::vector<pollfd> polled = {{.fd = critical_->epoll_fd(), .events = POLLIN, .revents = 0},
                                {.fd = bulk_->epoll_fd(), .events = POLLIN, .revents = 0}};
  for (const int fd : pipeline_->event_fds())
    polled.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  if (api_)
    polled.push_back({.fd = api_->event_fd(), .events = POLLIN, .revents = 0});
  if (const int fd = outputs_->scrape_fd(); fd >= 0)
    polled.push_back({.fd = fd, .events = POLLIN, .revents = 0});
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
    if (all_taken)
      outputs_->Flush();
    OnTimers(BootNow());
    if (api_)
      api_->Answer([this](size_t destinations) { return pipeline_->Describe(destinations); });
    outputs_->AnswerScrapes(BootNow());
    if (to_confine_ && !AttachesMore()) {
      if (const absl::Status status = Confine(*std::exchange(to_confine_, std::nullopt));
          !status.ok())
        Tell(std::string(status.message()));
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
  // Twice empty with the slack between: nothing that was stamped before the call is under way any
  // more.
  for (int empty = 0; empty < 2;) {
    empty = Drain() ? empty + 1 : 0;
    SleepUntil(BootNow() + kOrderSlack);
  }
  pipeline_->SyncRules(kRulesLimit);
  const uint64_t now = BootNow();
  pipeline_->Process(now);
  pipeline_->OnTick(now);
  pipeline_->Stop(now);
  outputs_->Finish(now, config_.flush_timeout);
}

}  // namespace sandpiper
