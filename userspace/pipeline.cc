#include "userspace/pipeline.h"

#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "userspace/base/clock.h"
#include "userspace/base/netns.h"
#include "userspace/base/status.h"
#include "userspace/event/decode.h"
#include "userspace/probe/nft_probe.h"
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

std::vector<pid_t> ProcessesOf(const Sandbox& sandbox) {
  std::vector<pid_t> pids;
  if (!sandbox.cgroup.empty())
    pids = ProcessesIn(sandbox.cgroup);
  for (const std::string& sidecar : sandbox.sidecars) {
    const std::vector<pid_t> more = ProcessesIn(sidecar);
    pids.insert(pids.end(), more.begin(), more.end());
  }
  return pids;
}

}  // namespace

Pipeline::Pipeline(Probes* probes, const PipelineOptions& options, RecordSink sink)
    : probes_(probes),
      options_(options),
      sink_(std::move(sink)),
      namespaces_(
          [this](uint64_t serial) {
            std::vector<pid_t> pids;
            if (const auto sandbox = sandboxes_.find(serial); sandbox != sandboxes_.end())
              pids = ProcessesOf(sandbox->second->sandbox());
            pids.push_back(getpid());  // for a sandbox that lives where we do
            return pids;
          },
          [this](uint64_t serial, const RulesetOutcome& outcome) {
            if (const auto sandbox = sandboxes_.find(serial); sandbox != sandboxes_.end())
              sandbox->second->OnRules(outcome);
          },
          [this](uint32_t netns) { probes_->ForgetNamespace(netns); }),
      start_unix_ns_(ReadClock(CLOCK_REALTIME)) {
  if (NfTablesIsThere())
    namespaces_.Begin(/*fresh=*/false);
}

absl::Status Pipeline::AddSandbox(const Sandbox& sandbox) {
  RETURN_IF_ERROR(probes_->AddSandbox(sandbox.serial));
  const FlowTable::ReadUdp read_udp = [probes = probes_](const Flow& flow) {
    const UdpFlowCounts counts = probes->ReadUdpFlow(flow.cookie, flow.peer);
    return FlowTable::UdpCounts{.sent = counts.bytes.sent, .received = counts.bytes.received, .denied = counts.denied};
  };
  const auto [entry, added] =
      sandboxes_.emplace(sandbox.serial, std::make_unique<SandboxPipeline>(sandbox, options_, read_udp, sink_, BootNow()));
  if (!sandbox.cgroup.empty())
    RETURN_IF_ERROR(WatchCgroups(sandbox.cgroup, sandbox.serial, /*sidecar=*/false));
  for (const std::string& sidecar : sandbox.sidecars)
    RETURN_IF_ERROR(WatchCgroups(sidecar, sandbox.serial, /*sidecar=*/true));
  for (const Device& device : sandbox.devices)
    RETURN_IF_ERROR(WatchDevice(device, sandbox.serial));
  for (const pid_t pid : ProcessesOf(sandbox)) {
    if (const auto process = ReadProcess(pid)) {
      entry->second->OnExisting(*process);
      Enter(sandbox.serial, process->netns, process->process.pid);
    }
  }
  return absl::OkStatus();
}

// The topmost first: what is made below it from here on, the kernel side adds by itself.
absl::Status Pipeline::WatchCgroups(const std::string& path, uint64_t serial, bool sidecar) {
  ASSIGN_OR_RETURN(const uint64_t id, CgroupId(path));
  RETURN_IF_ERROR(probes_->WatchCgroup(id, serial, sidecar));
  for (const std::string& below : CgroupsBelow(path)) {
    if (const auto below_id = CgroupId(below); below_id.ok())
      RETURN_IF_ERROR(probes_->WatchCgroup(*below_id, serial, sidecar));
  }
  return absl::OkStatus();
}

absl::Status Pipeline::WatchDevice(const Device& device, uint64_t serial) {
  const std::string path = device.netns.empty() ? "/proc/self/ns/net" : device.netns;
  const UniqueFd netns(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns.ok())
    return ErrnoStatus(errno, absl::StrCat("opening the network namespace ", path));
  return RunInNamespace(netns, [&] {
    const unsigned ifindex = if_nametoindex(device.name.c_str());
    return ifindex != 0 ? probes_->WatchDevice(ifindex, serial)
                        : ErrnoStatus(errno, absl::StrCat("the device ", device.name, " in the network namespace ", path));
  });
}

void Pipeline::Enter(uint64_t serial, uint32_t netns, uint32_t pid) {
  probes_->WatchNamespace(netns, serial);
  namespaces_.Enter(serial, netns, static_cast<pid_t>(pid));
}

void Pipeline::EnterOwnNamespace(uint64_t serial) { Enter(serial, OwnNetworkNamespace(), static_cast<uint32_t>(getpid())); }

// Programs tell which namespace they are in when they start, are moved in, and connect.
void Pipeline::NoteNamespaces(const Event& event) {
  if (const auto* exec = std::get_if<Exec>(&event.what))
    namespaces_.Enter(event.sandbox, exec->netns, static_cast<pid_t>(exec->process.pid));
  else if (const auto* fork = std::get_if<Fork>(&event.what))
    namespaces_.Enter(event.sandbox, fork->netns, static_cast<pid_t>(fork->process.pid));
  else if (const auto* connect = std::get_if<Connect>(&event.what))
    namespaces_.Enter(event.sandbox, connect->netns, static_cast<pid_t>(connect->process.pid));
  else if (const auto* change = std::get_if<NftChange>(&event.what))
    namespaces_.OnChange(*change, event.sandbox, event.time_ns);
  else if (std::holds_alternative<Exit>(event.what))
    namespaces_.OnExit(event.sandbox);
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
    if (std::holds_alternative<NftLoaded>(event.what)) {
      probes_->OnNftLoaded();
      namespaces_.Begin(/*fresh=*/true);
      continue;
    }
    const auto sandbox = sandboxes_.find(event.sandbox);
    if (sandbox == sandboxes_.end()) {
      ++unattributed_;
      continue;
    }
    sandbox->second->OnEvent(event);
    NoteNamespaces(event);
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(done));
}

void Pipeline::OnTick(uint64_t now_ns) {
  namespaces_.Work(now_ns, /*all=*/false);
  for (const auto& [serial, sandbox] : sandboxes_)
    sandbox->OnTick(now_ns);
}

uint64_t Pipeline::NextDeadline() const {
  // Records that are younger than the last Process wait for the next.
  uint64_t next = std::min(namespaces_.NextDeadline(), pending_.empty() ? std::numeric_limits<uint64_t>::max() : pending_.back().time_ns);
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
  namespaces_.Work(now_ns, /*all=*/true);
  ReadCounters();
  ReadBytes();
  for (const auto& [serial, sandbox] : sandboxes_)
    sandbox->Stop(now_ns);
}

MetricSnapshot Pipeline::Metrics(uint64_t now_ns) {
  ReadCounters();
  MetricSnapshot snapshot = {.time_unix_ns = now_ns + static_cast<uint64_t>(UnixOffset()), .families = {}};
  for (const auto& [serial, sandbox] : sandboxes_)
    sandbox->AppendMetrics(namespaces_.StaticRules(serial), &snapshot);
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
