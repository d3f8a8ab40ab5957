#include "userspace/pipeline.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/event/decode.h"
#include "userspace/sandbox/cgroup_fs.h"
#include "userspace/sandbox/proc.h"

namespace sandpiper {
namespace {

KernelCounts ToCounts(const sandbox_counters& in) {
  KernelCounts out;
  static_assert(KernelCounts::kKinds == EVENT_KIND_SLOTS);
  std::copy(std::begin(in.produced), std::end(in.produced), out.produced.begin());
  std::copy(std::begin(in.dropped), std::end(in.dropped), out.dropped.begin());
  for (size_t transport = 0; transport < TRANSPORT_COUNT; ++transport) {
    for (size_t network = 0; network < NETWORK_COUNT; ++network) {
      out.attempts[transport][network] = in.attempts[transport][network];
      out.attempts_dropped[transport][network] = in.attempts_dropped[transport][network];
    }
  }
  out.sent = in.network_io[DIRECTION_SENT];
  out.received = in.network_io[DIRECTION_RECEIVED];
  out.storage_failed = in.storage_failed;
  std::copy(std::begin(in.denied), std::end(in.denied), out.denied.begin());
  return out;
}

}  // namespace

Pipeline::Pipeline(Probes* probes, const PipelineOptions& options, RecordSink sink)
    : probes_(probes), options_(options), sink_(std::move(sink)), start_unix_ns_(ReadClock(CLOCK_REALTIME)) {}

absl::Status Pipeline::AddSandbox(const Sandbox& sandbox) {
  ASSIGN_OR_RETURN(const uint64_t id, CgroupId(sandbox.cgroup));
  RETURN_IF_ERROR(probes_->AddSandbox(sandbox.serial));
  const FlowTable::ReadUdp read_udp = [probes = probes_](const Flow& flow) {
    const UdpFlowCounts counts = probes->ReadUdpFlow(flow.cookie, flow.peer);
    return FlowTable::UdpCounts{.sent = counts.bytes.sent, .received = counts.bytes.received, .denied = counts.denied};
  };
  const auto [entry, added] =
      sandboxes_.emplace(sandbox.serial, std::make_unique<SandboxPipeline>(sandbox, options_, read_udp, sink_, BootNow()));
  // The topmost first: what is made below it from here on, the kernel side adds by itself.
  RETURN_IF_ERROR(probes_->WatchCgroup(id, sandbox.serial));
  for (const std::string& below : CgroupsBelow(sandbox.cgroup)) {
    if (const auto below_id = CgroupId(below); below_id.ok())
      RETURN_IF_ERROR(probes_->WatchCgroup(*below_id, sandbox.serial));
  }
  for (const pid_t pid : ProcessesIn(sandbox.cgroup)) {
    if (const auto process = ReadProcess(pid))
      entry->second->OnExisting(*process);
  }
  return absl::OkStatus();
}

uint64_t Pipeline::OnRecord(std::span<const std::byte> record) {
  absl::StatusOr<Event> event = Decode(record);
  if (event.ok()) {
    pending_.push_back(*std::move(event));
    return pending_.back().time_ns;
  }
  const auto owner = OwnerOf(record);
  const auto sandbox = owner ? sandboxes_.find(owner->sandbox) : sandboxes_.end();
  if (sandbox == sandboxes_.end())
    ++unattributed_;
  else
    sandbox->second->OnLost("decode", "malformed_record", owner->kind);
  return 0;
}

void Pipeline::Process(uint64_t until_ns) {
  std::stable_sort(pending_.begin(), pending_.end(), [](const Event& a, const Event& b) { return a.time_ns < b.time_ns; });
  size_t done = 0;
  for (; done < pending_.size() && pending_[done].time_ns <= until_ns; ++done) {
    const Event& event = pending_[done];
    if (const auto sandbox = sandboxes_.find(event.sandbox); sandbox != sandboxes_.end())
      sandbox->second->OnEvent(event);
    else
      ++unattributed_;
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(done));
}

void Pipeline::OnTick(uint64_t now_ns) {
  for (const auto& [serial, sandbox] : sandboxes_)
    sandbox->OnTick(now_ns);
}

uint64_t Pipeline::NextDeadline() const {
  // Records that are younger than the last Process wait for the next.
  uint64_t next = pending_.empty() ? std::numeric_limits<uint64_t>::max() : pending_.back().time_ns;
  for (const auto& [serial, sandbox] : sandboxes_)
    next = std::min(next, sandbox->NextDeadline());
  return next;
}

size_t Pipeline::open_connections() const {
  size_t open = 0;
  for (const auto& [serial, sandbox] : sandboxes_)
    open += sandbox->flows().size();
  return open;
}

void Pipeline::ReadCounters() {
  for (const auto& [serial, sandbox] : sandboxes_) {
    if (const auto counters = probes_->ReadCounters(serial); counters.ok())
      sandbox->OnCounters(ToCounts(*counters));
  }
}

void Pipeline::ReadBytes() {
  for (const TcpBytes& tcp : probes_->ReadTcpBytes()) {
    for (const auto& [serial, sandbox] : sandboxes_)
      sandbox->flows().SetTcpBytes(tcp.cookie, tcp.bytes.sent, tcp.bytes.received);
  }
}

void Pipeline::CloseWindow(uint64_t now_ns) {
  ReadCounters();
  ReadBytes();
  for (const auto& [serial, sandbox] : sandboxes_)
    sandbox->CloseWindow(now_ns);
}

void Pipeline::Stop(uint64_t now_ns) {
  ReadCounters();
  ReadBytes();
  for (const auto& [serial, sandbox] : sandboxes_)
    sandbox->Stop(now_ns);
}

MetricSnapshot Pipeline::Metrics(uint64_t now_ns) {
  ReadCounters();
  MetricSnapshot snapshot = {.time_unix_ns = now_ns + static_cast<uint64_t>(UnixOffset()), .families = {}};
  for (const auto& [serial, sandbox] : sandboxes_)
    sandbox->AppendMetrics(&snapshot);
  host_.Append(start_unix_ns_, &snapshot);
  snapshot.Add(metric::kSandboxCount, {{{"runtime", "cgroup"}}, static_cast<int64_t>(sandboxes_.size()), start_unix_ns_});
  for (const ProbeState& state : probes_->states()) {
    const char* name = state.mechanism.empty() ? "off" : state.reason.empty() ? "on" : "degraded";
    snapshot.Add(metric::kProbeState,
                 {{{"probe", state.probe}, {"mechanism", state.mechanism.empty() ? "none" : state.mechanism}, {"state", std::string(name)}},
                  int64_t{1},
                  start_unix_ns_});
  }
  return snapshot;
}

}  // namespace sandpiper
