#include "userspace/probe/probes.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bpf/sandpiper_bpf.skel.h"
#include "bpf/sandpiper_casts_bpf.skel.h"
#include "userspace/base/fd.h"
#include "userspace/base/file.h"
#include "userspace/base/lockdown.h"
#include "userspace/base/netns.h"
#include "userspace/base/status.h"
#include "userspace/probe/ladder.h"
#include "userspace/probe/mechanism.h"
#include "userspace/probe/program_runs.h"

namespace sandpiper {
namespace {

// Half of a ring is for whoever comes first. At the first step of the other half, a sandbox's budget would fill half a ring in a second; at
// the last one, 1/256 of it. A sandbox that alone writes all it can is stopped on the way.
constexpr double kSpare = 0.5, kInASecond = 0.5;
constexpr uint64_t kBurst = 1'000'000'000;  // ns

constexpr char kKernelBtf[] = "/sys/kernel/btf/vmlinux";

// libbpf tells its reasons by printing only: the last lines end up in the error of the call that failed.
thread_local std::string libbpf_says;

int KeepLibbpfMessage(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN)
    return 0;
  std::array<char, 1024> line;
  vsnprintf(line.data(), line.size(), format, arguments);
  if (libbpf_says.size() < 4096)
    libbpf_says.append(line.data());
  return 0;
}

endpoint ToKernel(const Endpoint& e) {
  endpoint out = {};
  std::copy(e.address.bytes.begin(), e.address.bytes.end(), out.address);
  out.port = e.port;
  return out;
}

absl::Status LoadError(int error) {
  const std::string details = libbpf_says.substr(0, libbpf_says.find('\n'));
  if (LockdownMode() == "confidentiality")
    return absl::FailedPreconditionError(
        absl::StrCat("the kernel was started with lockdown=confidentiality, where no program may read its data: ", details));
  if (error == EPERM || error == EACCES)
    return absl::PermissionDeniedError(absl::StrCat("the kernel refused to load the probes (", strerror(error),
                                                    "): run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. ", details));
  return ErrnoStatus(error, absl::StrCat("loading the probes: ", details));
}

constexpr char kSocketState[] = "socket.state", kStorage[] = "socket storage", kByCookie[] = "map by cookie";

bool IsAvoided(const ProbeOptions& options, const std::string& probe, const std::string& mechanism) {
  return std::find(options.avoid.begin(), options.avoid.end(), std::make_pair(probe, mechanism)) != options.avoid.end();
}

// Where programs keep what they know of a socket.
ProbeState ChooseSocketState(const ProbeOptions& options, const btf* kernel, sandpiper_bpf* skeleton) {
  ProbeState state = {.probe = kSocketState, .mechanism = kStorage, .reason = ""};
  if (IsAvoided(options, kSocketState, kStorage))
    state.reason = absl::StrCat(kStorage, ": left out by --avoid");
  else if (btf__find_by_name_kind(kernel, "bpf_sk_storage_get_tracing", BTF_KIND_FUNC) <= 0)
    state.reason = absl::StrCat(kStorage, ": this kernel has none for tracing programs, which came with 5.11");
  if (!state.reason.empty())
    state.mechanism = kByCookie;
  skeleton->rodata->cfg_socket_storage = state.reason.empty();
  if (state.reason.empty())
    bpf_map__set_max_entries(skeleton->maps.states_by_cookie, 1);
  return state;
}

// Whether programs on cgroups may have pointers whose fields they load. The two came to them in different kernels.
bool HasTypedPointers() {
  return libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_get_current_task_btf, nullptr) == 1 &&
         libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_skc_to_tcp_sock, nullptr) == 1;
}

// Whether programs may call bpf_rdonly_cast(): programs that are not compiled may call no function of the kernel.
bool HasCasts(const btf* kernel) {
  return btf__find_by_name_kind(kernel, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0 &&
         !ReadFile("/proc/sys/net/core/bpf_jit_enable").value_or("").starts_with('0');
}

// As sandpiper_bpf::open(), from either object: both have the same programs, maps and constants. NULL with errno.
sandpiper_bpf* OpenSkeleton(bool casts) {
  auto* out = static_cast<sandpiper_bpf*>(calloc(1, sizeof(sandpiper_bpf)));
  if (!out)
    return nullptr;
  int error = sandpiper_bpf__create_skeleton(out);
  if (!error) {
    if (casts)
      out->skeleton->data = const_cast<void*>(sandpiper_casts_bpf::elf_bytes(&out->skeleton->data_sz));
    error = bpf_object__open_skeleton(out->skeleton, nullptr);
  }
  if (!error)
    return out;
  sandpiper_bpf::destroy(out);
  errno = -error;
  return nullptr;
}

// Whether programs on tracepoints can be preempted, and so be kept from running: where they are entered with this guard and not with
// preemption off (__DECLARE_TRACE in include/linux/tracepoint.h).
void SetPreemptible(const btf* kernel, sandpiper_bpf* skeleton) {
  const bool preemptible = btf__find_by_name_kind(kernel, "class_srcu_fast_notrace_t", BTF_KIND_TYPEDEF) > 0;
  skeleton->rodata->cfg_preemptible = preemptible;
  if (!preemptible)
    bpf_map__set_max_entries(skeleton->maps.deeds_done, 1);
  const auto& p = skeleton->progs;
  for (bpf_program* program : {p.second_exec, p.second_exit, p.second_fork, p.second_tcp_state})
    bpf_program__set_autoload(program, preemptible);
}

absl::Status SetLimit(const bpf_map* limits, uint32_t ring, uint32_t ring_bytes) {
  ring_limit limit = {};
  limit.spare_bytes = static_cast<uint64_t>(kSpare * ring_bytes);
  limit.step_bytes = (ring_bytes - limit.spare_bytes) / RING_STEPS;
  limit.ns_per_byte = std::max<uint64_t>(1, static_cast<uint64_t>(1e9 / (kInASecond * ring_bytes)));
  limit.burst_ns = kBurst;
  if (bpf_map__update_elem(limits, &ring, sizeof(ring), &limit, sizeof(limit), BPF_ANY))
    return ErrnoStatus(errno, "limiting what one sandbox may take of a ring");
  return absl::OkStatus();
}

}  // namespace

void Probes::SkeletonDeleter::operator()(sandpiper_bpf* skeleton) const { sandpiper_bpf::destroy(skeleton); }
void Probes::LinkDeleter::operator()(bpf_link* link) const { bpf_link__destroy(link); }

Probes::Probes() = default;
Probes::~Probes() = default;

absl::Status Probes::CheckAvoided(const ProbeOptions& options) const {
  std::vector<std::pair<std::string, std::string>> known;
  for (const Ladder& ladder : Ladders(*skeleton_, hook_code_.status())) {
    for (const Ladder::Rung& rung : ladder.rungs)
      known.emplace_back(ladder.probe, rung.Mechanism());
  }
  known.emplace_back(kSocketState, kStorage);
  for (const std::string& mechanism : NftProbe::Mechanisms())
    known.emplace_back("nftables", mechanism);
  for (const std::string& mechanism : DeviceProbe::Mechanisms())
    known.emplace_back("device", mechanism);
  for (const auto& avoided : options.avoid) {
    if (std::find(known.begin(), known.end(), avoided) != known.end())
      continue;
    std::string all;
    for (const auto& [probe, mechanism] : known)
      absl::StrAppend(&all, all.empty() ? "" : ", ", probe, ":", mechanism);
    return absl::InvalidArgumentError(
        absl::StrCat("--avoid ", avoided.first, ":", avoided.second, ": there is no such mechanism, but ", all));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Probes>> Probes::Load(const ProbeOptions& options) {
  if (access(kKernelBtf, R_OK))
    return absl::FailedPreconditionError(
        absl::StrCat(kKernelBtf, " cannot be read: sandpiper needs a kernel built with BTF (CONFIG_DEBUG_INFO_BTF)"));
  libbpf_says.clear();
  libbpf_set_print(KeepLibbpfMessage);
  std::unique_ptr<Probes> probes(new Probes());
  probes->cpus_ = libbpf_num_possible_cpus();
  if (probes->cpus_ <= 0)
    return ErrnoStatus(-probes->cpus_, "counting the CPUs");
  const std::unique_ptr<btf, decltype(&btf__free)> kernel(btf__load_vmlinux_btf(), btf__free);
  if (!kernel)
    return ErrnoStatus(errno, absl::StrCat("reading ", kKernelBtf));
  probes->skeleton_.reset(OpenSkeleton(HasCasts(kernel.get())));
  if (!probes->skeleton_)
    return LoadError(errno);
  sandpiper_bpf* skeleton = probes->skeleton_.get();

  // Where there are reasons, from 6.7 on, rules drop by themselves (nft_do_chain), and the place does not tell.
  if (btf__find_by_name_kind(kernel.get(), kDropReasons, BTF_KIND_ENUM) <= 0)
    probes->hook_code_ = FindFunction("nf_hook_slow");
  if (probes->hook_code_.ok()) {
    skeleton->rodata->cfg_hook_begin = probes->hook_code_->begin;
    skeleton->rodata->cfg_hook_end = probes->hook_code_->end;
  }
  SetPreemptible(kernel.get(), skeleton);
  RETURN_IF_ERROR(probes->CheckAvoided(options));
  for (const Ladder& ladder : Ladders(*skeleton, probes->hook_code_.status())) {
    ProbeState state = {.probe = ladder.probe, .mechanism = "", .reason = ""};
    for (const Ladder::Rung& rung : ladder.rungs) {
      absl::Status available;
      if (state.mechanism.empty()) {
        available = rung.unavailable;
        if (IsAvoided(options, state.probe, rung.Mechanism()))
          available = absl::CancelledError("left out by --avoid");
        if (rung.needs_enum && btf__find_by_name_kind(kernel.get(), rung.needs_enum, BTF_KIND_ENUM) <= 0)
          available = absl::NotFoundError(absl::StrCat("this kernel has no ", rung.needs_enum));
        for (const bpf_program* program : rung.programs)
          available.Update(CheckAvailable(rung.hook, program, kernel.get()));
      }
      const bool use = state.mechanism.empty() && available.ok();
      for (bpf_program* program : rung.programs)
        bpf_program__set_autoload(program, use);
      if (use)
        state.mechanism = rung.Mechanism();
      else if (!available.ok())
        absl::StrAppend(&state.reason, state.reason.empty() ? "" : "; ", rung.Mechanism(), ": ", std::string(available.message()));
    }
    if (state.mechanism.empty() && ladder.required)
      return absl::FailedPreconditionError(absl::StrCat("the probe ", state.probe, " cannot work on this kernel: ", state.reason));
    if (state.probe == "connect.error") {
      skeleton->rodata->cfg_track_calls = state.mechanism == Name(Hook::kSyscallTracepoint);
      if (!skeleton->rodata->cfg_track_calls)
        bpf_map__set_max_entries(skeleton->maps.pending_calls, 1);
    }
    probes->states_.push_back(std::move(state));
  }

  skeleton->rodata->cfg_typed_pointers = HasTypedPointers();
  probes->states_.push_back(ChooseSocketState(options, kernel.get(), skeleton));

  const bool has_modules = btf__find_by_name_kind(kernel.get(), "btf_trace_module_load", BTF_KIND_TYPEDEF) > 0;
  bpf_program__set_autoload(skeleton->progs.handle_module_load, has_modules);
  std::vector<std::string> nft_avoid;
  for (const auto& [probe, mechanism] : options.avoid) {
    if (probe == "nftables")
      nft_avoid.push_back(mechanism);
    if (probe == "device")
      probes->device_avoid_.push_back(mechanism);
  }
  if (options.dns_ports.empty() || options.dns_ports.size() > std::size(skeleton->rodata->cfg_dns_ports))
    return absl::InvalidArgumentError("between one and four DNS ports can be given");
  std::fill(std::begin(skeleton->rodata->cfg_dns_ports), std::end(skeleton->rodata->cfg_dns_ports), 0);
  std::copy(options.dns_ports.begin(), options.dns_ports.end(), skeleton->rodata->cfg_dns_ports);
  bpf_map__set_max_entries(skeleton->maps.critical_ring, options.critical_ring_bytes);
  bpf_map__set_max_entries(skeleton->maps.bulk_ring, options.bulk_ring_bytes);
  if (!options.devices)
    bpf_map__set_max_entries(skeleton->maps.device_flows, 1);
  probes->dns_ports_ = options.dns_ports;
  skeleton->rodata->cfg_discover = options.discover_containers || !options.discover_prefixes.empty();
  skeleton->rodata->cfg_discover_containers = options.discover_containers;
  skeleton->rodata->cfg_shared_netns[0] = NamespaceInode(UniqueFd(open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC)));
  skeleton->rodata->cfg_shared_netns[1] = NamespaceInode(UniqueFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)));
  if (options.program_statistics) {
    probes->statistics_ = UniqueFd(bpf_enable_stats(BPF_STATS_RUN_TIME));
    if (!probes->statistics_.ok())
      return ErrnoStatus(errno, "having the kernel keep statistics of programs (BPF_ENABLE_STATS)");
  }
  libbpf_says.clear();
  if (const int error = sandpiper_bpf::load(skeleton); error)
    return LoadError(-error);
  ASSIGN_OR_RETURN(probes->watches_, WatchCounts::Map(bpf_map__fd(skeleton->maps.watches)));
  probes->nft_ = std::make_unique<NftProbe>(skeleton->obj, std::move(nft_avoid), kernel.get());
  if (options.limit_sandboxes) {
    RETURN_IF_ERROR(SetLimit(skeleton->maps.ring_limits, RING_critical, options.critical_ring_bytes));
    RETURN_IF_ERROR(SetLimit(skeleton->maps.ring_limits, RING_bulk, options.bulk_ring_bytes));
  }
  for (const std::string& prefix : options.discover_prefixes) {
    name_prefix key = {};
    const size_t bytes = std::min<size_t>(prefix.size(), sizeof(key.name));
    key.bits = static_cast<__u32>(bytes * 8);
    std::memcpy(key.name, prefix.data(), bytes);
    constexpr uint8_t kYes = 1;
    if (bpf_map__update_elem(skeleton->maps.cgroup_names, &key, sizeof(key), &kYes, sizeof(kYes), BPF_ANY))
      return ErrnoStatus(errno, absl::StrCat("adding the name prefix \"", prefix, "\" to the kernel's table"));
  }
  return probes;
}

std::vector<ProgramRuns> Probes::ReadRuns() const {
  std::vector<ProgramRuns> out;
  for (const Ladder& ladder : Ladders(*skeleton_, hook_code_.status())) {
    for (const Ladder::Rung& rung : ladder.rungs) {
      for (const bpf_program* program : rung.programs)
        AppendRuns(ladder.probe, program, &out);
    }
  }
  if (nft_)
    nft_->AppendRuns(&out);
  for (const auto& [member, device] : devices_)
    device->AppendRuns(&out);
  // Read after the runs: what is made up for late is no loss.
  const auto& made_up = skeleton_->bss->made_up;
  TakeOffMadeUp({{"exec", made_up[EVENT_EXEC]},
                 {"exit", made_up[EVENT_EXIT]},
                 {"fork", made_up[EVENT_FORK]},
                 {"tcp_state", made_up[EVENT_CONNECT_RESULT]}},
                &out);
  return out;
}

absl::Status Probes::Attach(int cgroup_fd) {
  const AttachTarget target = {.cgroup_fd = cgroup_fd, .storage = skeleton_->maps.socket_states};
  if (bpf_program__autoload(skeleton_->progs.handle_module_load)) {
    if (bpf_link* link = bpf_program__attach(skeleton_->progs.handle_module_load))
      links_.emplace_back(link);
  }
  std::vector<Ladder> ladders = Ladders(*skeleton_, hook_code_.status());
  for (size_t i = 0; i < ladders.size(); ++i) {
    for (const Ladder::Rung& rung : ladders[i].rungs) {
      if (states_[i].mechanism != rung.Mechanism())
        continue;
      for (const bpf_program* program : rung.programs) {
        absl::StatusOr<bpf_link*> link = AttachProgram(rung.hook, program, target);
        if (link.ok()) {
          if (rung.hook == Hook::kStorageIterator)
            tcp_bytes_.reset(*link);
          else
            links_.emplace_back(*link);
          continue;
        }
        if (ladders[i].required)
          return link.status();
        absl::StrAppend(&states_[i].reason, states_[i].reason.empty() ? "" : "; ", std::string(link.status().message()));
        states_[i].mechanism.clear();
        break;
      }
    }
  }
  nft_state_ = states_.size();
  states_.push_back({});
  AttachNft();
  return absl::OkStatus();
}

void Probes::Detach() {
  links_.clear();
  devices_.clear();
  if (nft_)
    nft_->Detach();
}

size_t Probes::members_max() const { return bpf_map__max_entries(skeleton_->maps.members); }

absl::Status Probes::AddMember(uint64_t member) {
  const std::vector<member_counters> zero(static_cast<size_t>(cpus_));
  if (bpf_map__update_elem(skeleton_->maps.members, &member, sizeof(member), zero.data(), zero.size() * sizeof(member_counters),
                           BPF_NOEXIST))
    return ErrnoStatus(errno, "adding a member to the kernel's table");
  return absl::OkStatus();
}

void Probes::RemoveMember(uint64_t member) {
  bpf_map__delete_elem(skeleton_->maps.members, &member, sizeof(member), 0);
  std::erase_if(devices_, [&](const auto& device) { return device.first == member; });
}

absl::Status Probes::WatchCgroup(uint64_t cgroup_id, const owner& owner, bool if_new) {
  const int error =
      watches_.Update(bpf_map__fd(skeleton_->maps.watched_cgroups), cgroup_id, watched_cgroup{.owner = owner, .noted = 0}, if_new);
  return error ? ErrnoStatus(error, "adding a cgroup to the kernel's table") : absl::OkStatus();
}

absl::StatusOr<owner> Probes::OwnerOf(uint64_t cgroup_id) const {
  watched_cgroup out = {};
  if (bpf_map__lookup_elem(skeleton_->maps.watched_cgroups, &cgroup_id, sizeof(cgroup_id), &out, sizeof(out), 0))
    return ErrnoStatus(errno, "looking a cgroup up in the kernel's table");
  return out.owner;
}

void Probes::UnwatchCgroup(uint64_t cgroup_id, uint64_t member) {
  if (const auto owner = OwnerOf(cgroup_id); owner.ok() && owner->member == member)
    watches_.Delete(bpf_map__fd(skeleton_->maps.watched_cgroups), cgroup_id);
}

absl::Status Probes::WatchDevice(unsigned ifindex, const owner& owner) {
  ASSIGN_OR_RETURN(std::unique_ptr<DeviceProbe> device, DeviceProbe::Attach(skeleton_->obj, device_avoid_, ifindex, owner, dns_ports_));
  const bool told = std::any_of(states_.begin(), states_.end(), [](const ProbeState& state) { return state.probe == "device"; });
  if (!told)
    states_.push_back({.probe = "device", .mechanism = device->mechanism(), .reason = device->reason()});
  devices_.emplace_back(owner.member, std::move(device));
  return absl::OkStatus();
}

void Probes::WatchNamespace(uint32_t netns, const owner& owner, bool lends) {
  if (netns == 0)
    return;
  const bpf_map* map = skeleton_->maps.watched_netns;
  netns_owner known = {};
  // Of several sandboxes the first stays; but one of a member that ended, or that turned out to be nobody's, is in the way.
  const bool replace = lends || bpf_map__lookup_elem(map, &netns, sizeof(netns), &known, sizeof(known), 0) ||
                       known.owner.sandbox == owner.sandbox || !ReadCounters(known.owner.member).ok();
  const netns_owner value = {.owner = replace ? owner : known.owner, .lends = lends};
  watches_.Update(bpf_map__fd(map), netns, value, /*if_new=*/false);
}

void Probes::ForgetNamespace(uint32_t netns) {
  watches_.Delete(bpf_map__fd(skeleton_->maps.watched_netns), netns);
  watches_.NamespacesChanged();
}

void Probes::AttachNft() {
  nft_->Attach();
  states_[nft_state_] = {.probe = "nftables", .mechanism = nft_->mechanism(), .reason = nft_->reason()};
  if (nft_->mechanism().empty())
    states_[nft_state_].mechanism = "netlink";  // its notifications name the process, but not whose it is
}

void Probes::OnNftLoaded() { AttachNft(); }

absl::StatusOr<member_counters> Probes::ReadCounters(uint64_t member) const {
  std::vector<member_counters> per_cpu(static_cast<size_t>(cpus_));
  if (bpf_map__lookup_elem(skeleton_->maps.members, &member, sizeof(member), per_cpu.data(), per_cpu.size() * sizeof(member_counters), 0))
    return ErrnoStatus(errno, "reading the counters of a member");
  member_counters sum = {};
  // The struct is nothing but 64-bit counters.
  auto* out = reinterpret_cast<uint64_t*>(&sum);
  for (const member_counters& one : per_cpu) {
    const auto* in = reinterpret_cast<const uint64_t*>(&one);
    for (size_t i = 0; i < sizeof(sum) / sizeof(*out); ++i)
      out[i] += in[i];
  }
  return sum;
}

UdpFlowCounts Probes::ReadUdpFlow(uint64_t cookie, const Endpoint& peer) const {
  const udp_flow_key key = {.cookie = cookie, .peer = ToKernel(peer)};
  udp_flow flow = {};
  if (bpf_map__lookup_elem(skeleton_->maps.udp_flows, &key, sizeof(key), &flow, sizeof(flow), 0))
    return {};
  return {.bytes = {.sent = flow.bytes[DIRECTION_SENT], .received = flow.bytes[DIRECTION_RECEIVED]}, .denied = flow.denied};
}

std::vector<SocketBytes> Probes::ReadSockets() const {
  std::vector<SocketBytes> out = ReadDeviceBytes();
  if (!tcp_bytes_)
    return out;
  const UniqueFd iterator(bpf_iter_create(bpf_link__fd(tcp_bytes_.get())));
  if (!iterator.ok())
    return out;
  std::array<socket_bytes, 128> buffer;
  for (;;) {
    const ssize_t n = read(iterator.get(), buffer.data(), sizeof(buffer));
    if (n <= 0)
      return out;
    for (size_t i = 0; i < static_cast<size_t>(n) / sizeof(socket_bytes); ++i)
      out.push_back({buffer[i].cookie, {buffer[i].bytes[DIRECTION_SENT], buffer[i].bytes[DIRECTION_RECEIVED]}});
  }
}

std::vector<SocketBytes> Probes::ReadDeviceBytes() const {
  std::vector<SocketBytes> out;
  if (devices_.empty())
    return out;
  const bpf_map* map = skeleton_->maps.device_flows;
  device_flow_key key = {};
  device_flow flow = {};
  for (const void* previous = nullptr; bpf_map__get_next_key(map, previous, &key, sizeof(key)) == 0; previous = &key) {
    if (key.transport == TRANSPORT_TCP && bpf_map__lookup_elem(map, &key, sizeof(key), &flow, sizeof(flow), 0) == 0)
      out.push_back({flow.cookie, {flow.bytes[DIRECTION_SENT], flow.bytes[DIRECTION_RECEIVED]}});
  }
  return out;
}

uint64_t Probes::births_lost() const { return skeleton_->bss->births_lost; }

int Probes::critical_ring_fd() const { return bpf_map__fd(skeleton_->maps.critical_ring); }
int Probes::bulk_ring_fd() const { return bpf_map__fd(skeleton_->maps.bulk_ring); }

}  // namespace sandpiper
