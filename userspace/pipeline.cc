#include "userspace/pipeline.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <set>
#include <utility>

#include "userspace/base/clock.h"
#include "userspace/base/netns.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"
#include "userspace/event/decode.h"
#include "userspace/probe/nft_probe.h"
#include "userspace/sandbox/cgroup_fs.h"
#include "userspace/sandbox/proc.h"

namespace sandpiper {
namespace {

KernelCounts ToCounts(const member_counters& in) {
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

// A removed cgroup is watched on for so long: connections close a moment after their process.
constexpr uint64_t kLinger = kSecond;

// What stands on the records of one part of a sandbox.
std::vector<Attribute> AttributesOf(const std::optional<Container>& container, const CgroupPath& path, Role role) {
  std::vector<Attribute> out;
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty())
      out.push_back({key, CleanId(value)});
  };
  add("sandbox.role", Name(role));
  add("container.id", path.container_id);
  if (!container) {
    add("k8s.pod.uid", path.pod_uid);
    return out;
  }
  const bool in_pod = !container->pod.uid.empty() || !container->pod.name.empty();
  add(in_pod ? "k8s.container.name" : "container.name", container->name);
  add("container.image.name", container->image);
  add("k8s.pod.name", container->pod.name);
  add("k8s.namespace.name", container->pod.name_space);
  add("k8s.pod.uid", container->pod.uid.empty() ? path.pod_uid : container->pod.uid);
  return out;
}

std::string RuntimeOf(const Decision& decision) {
  if (decision.container && !decision.container->runtime.empty())
    return decision.container->runtime;
  if (!decision.path.runtime.empty())
    return decision.path.runtime;
  return decision.path.unit.empty() ? "cgroup" : "systemd";
}

}  // namespace

Pipeline::Pipeline(Probes* probes, std::string mount, const PipelineOptions& options, const DiscoveryOptions& discovery, RecordSink sink,
                   Attribution::Tell tell)
    : probes_(probes),
      options_(options),
      sink_(std::move(sink)),
      attribution_(
          probes, std::move(mount), discovery, [this](const Decision& decision, Held held) { OnJoin(decision, std::move(held)); },
          [this](uint64_t member) {
            if (const auto it = members_.find(member); it != members_.end() && it->second.gone_ns == 0)
              it->second.gone_ns = next_end_ns_ = 1;
          },
          tell),
      tell_(std::move(tell)),
      namespaces_(
          [this](uint64_t sandbox) {
            std::vector<pid_t> pids;
            for (const auto& [serial, member] : members_) {
              if (member.sandbox != sandbox || member.path.empty())
                continue;
              const std::vector<pid_t> more = ProcessesIn(member.path);
              pids.insert(pids.end(), more.begin(), more.end());
            }
            pids.push_back(getpid());  // for a sandbox that lives where we do
            return pids;
          },
          [this](uint64_t serial, const RulesetOutcome& outcome) {
            if (const auto sandbox = sandboxes_.find(serial); sandbox != sandboxes_.end())
              sandbox->second->OnRules(outcome);
          },
          [this](uint32_t netns, uint64_t sandbox, bool lends) {
            const auto member = std::find_if(members_.begin(), members_.end(), [&](const auto& m) { return m.second.sandbox == sandbox; });
            if (sandbox == 0)
              probes_->ForgetNamespace(netns);
            else if (member != members_.end())
              probes_->WatchNamespace(netns, {.member = member->first, .sandbox = sandbox}, lends);
          }),
      start_unix_ns_(ReadClock(CLOCK_REALTIME)) {
  if (NfTablesIsThere())
    namespaces_.Begin(/*fresh=*/false);
}

SandboxPipeline* Pipeline::FindOrAdd(const std::string& id, const std::string& runtime, uint64_t born_ns) {
  // One whose cgroups are all gone is about to end: what comes now under its id is another.
  const auto lives = [&](const auto& member) { return member.second.sandbox == by_id_.at(id) && member.second.gone_ns == 0; };
  if (by_id_.contains(id) && std::any_of(members_.begin(), members_.end(), lives))
    return sandboxes_.at(by_id_.at(id)).get();
  const uint64_t serial = next_sandbox_++;
  const FlowTable::ReadUdp read_udp = [probes = probes_](const Flow& flow) {
    const UdpFlowCounts counts = probes->ReadUdpFlow(flow.cookie, flow.peer);
    return FlowTable::UdpCounts{.sent = counts.bytes.sent, .received = counts.bytes.received, .denied = counts.denied};
  };
  const SandboxIdentity identity = {.serial = serial, .id = id, .runtime = runtime};
  by_id_[id] = serial;
  return sandboxes_.emplace(serial, std::make_unique<SandboxPipeline>(identity, options_, read_udp, sink_, born_ns)).first->second.get();
}

absl::StatusOr<uint64_t> Pipeline::AddSandbox(const Sandbox& sandbox) {
  SandboxPipeline* const added = FindOrAdd(sandbox.id, "cgroup", BootNow());
  // Roles are told where there is more than one.
  const Role role = sandbox.sidecars.empty() ? Role::kNone : Role::kApp;
  RETURN_IF_ERROR(AddCgroup(added, sandbox.cgroup, role));
  for (const std::string& sidecar : sandbox.sidecars)
    RETURN_IF_ERROR(AddCgroup(added, sidecar, Role::kSidecar));
  return added->sandbox().serial;
}

absl::Status Pipeline::AddCgroup(SandboxPipeline* sandbox, const std::string& path, Role role) {
  ASSIGN_OR_RETURN(const uint64_t id, CgroupId(path));
  const owner owner = {.member = attribution_.NextMember(), .sandbox = sandbox->sandbox().serial};
  RETURN_IF_ERROR(probes_->AddMember(owner.member));
  const CgroupPath parsed = ParseCgroupPath(path);
  std::vector<Attribute> attributes;
  if (role != Role::kNone)
    attributes.push_back({"sandbox.role", std::string(Name(role))});
  members_[owner.member] = {.sandbox = owner.sandbox,
                            .cgroup_id = id,
                            .path = path,
                            .role = role,
                            .origin = sandbox->AddOrigin(std::move(attributes)),
                            .origin_by_namespace = sandbox->AddOrigin({{"sandbox.attribution", std::string("namespace")}})};
  // The topmost first: what is made below it from here on, the kernel side adds by itself.
  RETURN_IF_ERROR(probes_->WatchCgroup(id, owner));
  WatchBelow(path, owner);
  OnExisting(sandbox, path);
  return absl::OkStatus();
}

void Pipeline::WatchBelow(const std::string& path, const owner& owner) {
  for (const std::string& below : CgroupsBelow(path)) {
    if (const auto id = CgroupId(below); id.ok())
      (void)probes_->WatchCgroup(*id, owner);
  }
}

void Pipeline::OnExisting(SandboxPipeline* sandbox, const std::string& path) {
  for (const pid_t pid : ProcessesIn(path)) {
    if (const auto process = ReadProcess(pid)) {
      sandbox->OnExisting(*process);
      namespaces_.Enter(sandbox->sandbox().serial, process->netns, pid);
    }
  }
}

absl::Status Pipeline::WatchDevice(const Device& device) {
  const std::string path = device.netns.empty() ? "/proc/self/ns/net" : device.netns;
  auto watch = std::make_unique<DeviceWatch>();
  watch->device = device;
  watch->netns = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!watch->netns.ok())
    return ErrnoStatus(errno, absl::StrCat("opening the network namespace ", path));
  RETURN_IF_ERROR(RunInNamespace(watch->netns, [&] {
    auto links = LinkWatch::Open();
    if (links.ok())
      watch->links = *std::move(links);
    return links.status();
  }));
  device_watches_.push_back(std::move(watch));
  WorkDevices(BootNow());
  return absl::OkStatus();
}

absl::Status Pipeline::AddDevice(const DeviceWatch& watch, const LinkChange& link, uint64_t now_ns) {
  SandboxPipeline* const sandbox = FindOrAdd(watch.device.id.empty() ? CleanId(link.name) : watch.device.id, "device", now_ns);
  const owner owner = {.member = attribution_.NextMember(), .sandbox = sandbox->sandbox().serial};
  RETURN_IF_ERROR(probes_->AddMember(owner.member));
  Member& member = members_[owner.member];
  member.sandbox = owner.sandbox;
  member.device = link.name;
  member.watch = &watch;
  member.ifindex = link.ifindex;
  const absl::Status status = RunInNamespace(watch.netns, [&] { return probes_->WatchDevice(link.ifindex, owner); });
  if (!status.ok())
    member.gone_ns = next_end_ns_ = 1;
  return status;
}

void Pipeline::WorkDevices(uint64_t now_ns) {
  for (const auto& watch : device_watches_) {
    const auto changes = watch->links->Take();
    if (!changes.ok()) {
      tell_(std::string(changes.status().message()));
      continue;
    }
    for (const LinkChange& link : *changes) {
      if (link.gone) {
        for (auto& [serial, member] : members_) {
          if (member.watch == watch.get() && member.ifindex == link.ifindex && member.gone_ns == 0) {
            member.gone_ns = now_ns;
            next_end_ns_ = std::min(next_end_ns_, now_ns + kLinger);
          }
        }
      } else if (fnmatch(watch->device.name.c_str(), link.name.c_str(), 0) == 0) {
        if (const absl::Status status = AddDevice(*watch, link, now_ns); !status.ok())
          tell_(absl::StrCat("the device ", Escape(link.name), ": ", std::string(status.message())));
      }
    }
  }
}

std::vector<int> Pipeline::event_fds() const {
  std::vector<int> fds = {namespaces_.event_fd(), attribution_.event_fd()};
  for (const auto& watch : device_watches_)
    fds.push_back(watch->links->fd());
  return fds;
}

void Pipeline::Discover(std::chrono::milliseconds limit) {
  std::set<std::string> taken;
  for (const auto& [serial, member] : members_) {
    if (!member.path.empty())
      taken.insert(member.path);
  }
  attribution_.Scan(taken);
  attribution_.Settle(limit);
}

// The path may belong to another cgroup by now, if this one is gone already: what has its id is looked at, and nothing else.
void Pipeline::OnJoin(const Decision& decision, Held held) {
  const Candidate& candidate = decision.candidate;
  const std::string path = attribution_.mount() + candidate.cgroup;
  const auto id = CgroupId(path);
  const bool there = id.ok() && *id == candidate.cgroup_id;
  const auto known = members_.find(candidate.member);
  const uint64_t before = known == members_.end() ? 0 : known->second.sandbox;
  SandboxPipeline* const sandbox = FindOrAdd(decision.selected->id, RuntimeOf(decision), before == 0 ? candidate.born_ns : BootNow());
  const owner owner = {.member = candidate.member, .sandbox = sandbox->sandbox().serial};
  if (before == owner.sandbox)
    return;
  if (before == 0)
    (void)probes_->AddMember(candidate.member);  // unless it was found, and is there already
  Member& member = members_[candidate.member];
  if (const auto former = sandboxes_.find(before); former != sandboxes_.end()) {
    const KernelCounts counts = CountsOf(candidate.member, member);
    former->second->OnMemberEnded(counts);
    member.before += counts;
  }
  member.sandbox = owner.sandbox;
  member.cgroup_id = candidate.cgroup_id;
  member.path = there ? path : "";
  member.role = decision.selected->role;
  member.container_id = decision.path.container_id;
  member.origin = sandbox->AddOrigin(AttributesOf(decision.container, decision.path, decision.selected->role));
  member.origin_by_namespace = sandbox->AddOrigin({{"sandbox.attribution", std::string("namespace")}});
  for (const auto& [kind, count] : held.lost)
    sandbox->OnLost("attribution", "too_many_waiting", kind, count);
  if (there) {
    (void)probes_->WatchCgroup(candidate.cgroup_id, owner);
    WatchBelow(path, owner);
  }
  for (const Event& event : held.events)
    Deliver(event);
  if (there)
    OnExisting(sandbox, path);
  else if (member.gone_ns == 0)
    member.gone_ns = next_end_ns_ = 1;
  if (before != 0)
    EndIfEmpty(before, BootNow());
}

void Pipeline::EnterOwnNamespace(uint64_t serial) { namespaces_.Enter(serial, OwnNetworkNamespace(), getpid()); }

// Programs tell which namespace they are in when they start, are moved in, and connect.
void Pipeline::NoteNamespaces(const Event& event, uint64_t sandbox) {
  if (const auto* exec = std::get_if<Exec>(&event.what))
    namespaces_.Enter(sandbox, exec->netns, static_cast<pid_t>(exec->process.pid));
  else if (const auto* fork = std::get_if<Fork>(&event.what))
    namespaces_.Enter(sandbox, fork->netns, static_cast<pid_t>(fork->process.pid));
  else if (const auto* connect = std::get_if<Connect>(&event.what))
    namespaces_.Enter(sandbox, connect->netns, static_cast<pid_t>(connect->process.pid));
  else if (const auto* change = std::get_if<NftChange>(&event.what))
    namespaces_.OnChange(*change, sandbox, event.time_ns);
  else if (std::holds_alternative<Exit>(event.what))
    namespaces_.OnExit(sandbox);
}

uint64_t Pipeline::OnRecord(std::span<const std::byte> record) {
  absl::StatusOr<Event> event = Decode(record);
  if (event.ok()) {
    pending_.push_back(*std::move(event));
    return pending_.back().time_ns;
  }
  const auto owner = OwnerOf(record);
  const auto member = owner ? members_.find(owner->member) : members_.end();
  const auto sandbox = member == members_.end() ? sandboxes_.end() : sandboxes_.find(member->second.sandbox);
  if (sandbox == sandboxes_.end())
    ++unattributed_;
  else
    sandbox->second->OnLost("decode", "malformed_record", owner->kind);
  return 0;
}

void Pipeline::Deliver(const Event& event) {
  const auto it = members_.find(event.member);
  const auto sandbox = it == members_.end() ? sandboxes_.end() : sandboxes_.find(it->second.sandbox);
  if (sandbox == sandboxes_.end()) {
    ++unattributed_;
    return;
  }
  Member& member = it->second;
  Event placed = event;
  std::visit(
      [&](auto& what) {
        if constexpr (requires { what.origin; })
          what.origin = event.by_namespace ? member.origin_by_namespace : member.origin;
      },
      placed.what);
  if (auto* change = std::get_if<NftChange>(&placed.what)) {
    const auto actor = members_.find(change->actor_member);
    change->actor = actor == members_.end() ? 0 : actor->second.sandbox;
    change->sidecar = actor != members_.end() && actor->second.role == Role::kSidecar;
  }
  sandbox->second->OnEvent(placed);
  NoteNamespaces(placed, it->second.sandbox);
  if (std::holds_alternative<CgroupGone>(event.what) && event.cgroup_id == member.cgroup_id) {
    member.gone_ns = event.time_ns;
    next_end_ns_ = std::min(next_end_ns_, event.time_ns + kLinger);
  }
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
    if (std::holds_alternative<CgroupMade>(event.what))
      attribution_.OnMade(event);
    if (!attribution_.Keep(event))
      Deliver(event);
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(done));
  FinishMembers(until_ns);
}

// The kernel side produces nothing more for it; what it produced before is through when all of that time has been worked off.
void Pipeline::EndMembers(uint64_t now_ns) {
  if (now_ns < next_end_ns_)
    return;
  next_end_ns_ = std::numeric_limits<uint64_t>::max();
  for (auto& [serial, member] : members_) {
    if (member.gone_ns == 0 || member.unwatched_ns != 0)
      continue;
    if (now_ns < member.gone_ns + kLinger) {
      next_end_ns_ = std::min(next_end_ns_, member.gone_ns + kLinger);
      continue;
    }
    if (member.cgroup_id != 0)
      probes_->UnwatchCgroup(member.cgroup_id);
    member.unwatched_ns = BootNow();
  }
}

void Pipeline::FinishMembers(uint64_t until_ns) {
  std::set<uint64_t> left;
  for (auto it = members_.begin(); it != members_.end();) {
    const auto& [serial, member] = *it;
    if (member.unwatched_ns == 0 || member.unwatched_ns > until_ns) {
      ++it;
      continue;
    }
    if (const auto sandbox = sandboxes_.find(member.sandbox); sandbox != sandboxes_.end())
      sandbox->second->OnMemberEnded(CountsOf(serial, member));
    left.insert(member.sandbox);
    probes_->RemoveMember(serial);
    attribution_.Forget(serial);
    it = members_.erase(it);
  }
  for (const uint64_t sandbox : left)
    EndIfEmpty(sandbox, until_ns);
}

void Pipeline::EndIfEmpty(uint64_t serial, uint64_t now_ns) {
  const auto sandbox = sandboxes_.find(serial);
  if (sandbox == sandboxes_.end() ||
      std::any_of(members_.begin(), members_.end(), [&](const auto& member) { return member.second.sandbox == serial; }))
    return;
  namespaces_.OnSandboxEnd(serial, now_ns);
  sandbox->second->OnCounters({});
  if (sandbox->second->flows().size() > 0)
    ReadBytes();
  sandbox->second->Stop(now_ns);
  if (const auto named = by_id_.find(sandbox->second->sandbox().id); named != by_id_.end() && named->second == serial)
    by_id_.erase(named);
  sandboxes_.erase(sandbox);
}

void Pipeline::OnTick(uint64_t now_ns) {
  attribution_.Work(now_ns);
  WorkDevices(now_ns);
  EndMembers(now_ns);
  namespaces_.Work(now_ns, /*all=*/false);
  for (const auto& [serial, sandbox] : sandboxes_)
    sandbox->OnTick(now_ns);
}

uint64_t Pipeline::NextDeadline() const {
  // Records that are younger than the last Process wait for the next.
  uint64_t next = std::min({namespaces_.NextDeadline(), attribution_.NextDeadline(), next_end_ns_});
  if (!pending_.empty())
    next = std::min(next, pending_.back().time_ns);
  for (const auto& [serial, member] : members_) {
    if (member.unwatched_ns != 0)
      next = std::min(next, member.unwatched_ns);
  }
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

KernelCounts Pipeline::CountsOf(uint64_t serial, const Member& member) const {
  const auto counters = probes_->ReadCounters(serial);
  return counters.ok() ? ToCounts(*counters) - member.before : KernelCounts{};
}

void Pipeline::ReadCounters() {
  std::map<uint64_t, KernelCounts> sums;
  for (const auto& [serial, member] : members_)
    sums[member.sandbox] += CountsOf(serial, member);
  for (const auto& [serial, sandbox] : sandboxes_)
    sandbox->OnCounters(sums[serial]);
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
  attribution_.Finish();
  namespaces_.Work(now_ns, /*all=*/true);
  ReadCounters();
  ReadBytes();
  for (const auto& [serial, sandbox] : sandboxes_)
    sandbox->Stop(now_ns);
}

v1::ListSandboxesResponse Pipeline::Describe() {
  ReadCounters();
  v1::ListSandboxesResponse out;
  out.set_waiting(attribution_.waiting());
  out.set_unattributed(unattributed_);
  std::map<uint64_t, v1::Sandbox*> by_serial;
  for (const auto& [serial, sandbox] : sandboxes_) {
    v1::Sandbox* described = by_serial[serial] = out.add_sandboxes();
    const SandboxTotals totals = sandbox->Totals();
    described->set_id(sandbox->sandbox().id);
    described->set_runtime(sandbox->sandbox().runtime);
    described->set_started_unix_ns(sandbox->started_ns() + static_cast<uint64_t>(UnixOffset()));
    described->set_lookups(totals.lookups);
    described->set_attempts(totals.attempts);
    described->set_denied(totals.denied);
    described->set_execs(totals.execs);
    described->set_destinations(totals.destinations);
    described->set_produced(totals.produced);
    uint64_t dropped = 0;
    for (const auto& [what, count] : totals.dropped)
      dropped += count;
    described->set_dropped(dropped);
  }
  for (const auto& [serial, member] : members_) {
    v1::Member* described = by_serial.at(member.sandbox)->add_members();
    described->set_cgroup(Escape(member.path));
    described->set_role(Name(member.role));
    described->set_container_id(Escape(member.container_id));
    described->set_device(Escape(member.device));
  }
  return out;
}

MetricSnapshot Pipeline::Metrics(uint64_t now_ns) {
  ReadCounters();
  MetricSnapshot snapshot = {.time_unix_ns = now_ns + static_cast<uint64_t>(UnixOffset()), .families = {}};
  for (const auto& [serial, sandbox] : sandboxes_) {
    // One that ends while another has its id already would be a second series of the same name.
    const auto named = by_id_.find(sandbox->sandbox().id);
    if (named == by_id_.end() || named->second == serial)
      sandbox->AppendMetrics(namespaces_.StaticRules(serial), &snapshot);
  }
  host_.Append(start_unix_ns_, &snapshot);
  std::map<std::string, int64_t> by_runtime;
  for (const auto& [serial, sandbox] : sandboxes_)
    ++by_runtime[sandbox->sandbox().runtime];
  for (const auto& [runtime, count] : by_runtime)
    snapshot.Add(metric::kSandboxCount, {{{"runtime", runtime}}, count, start_unix_ns_});
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
