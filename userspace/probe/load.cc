// SPDX-License-Identifier: Apache-2.0
// Probes::Load: chooses the mechanisms for this kernel, configures the BPF programs and loads them.
#include <bpf/bpf.h>
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
#include <future>
#include <type_traits>

#include "bpf/sandpiper_bpf.skel.h"
#include "bpf/sandpiper_casts_bpf.skel.h"
#include "userspace/base/fd.h"
#include "userspace/base/lockdown.h"
#include "userspace/base/netns.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"
#include "userspace/probe/kernel_features.h"
#include "userspace/probe/ladder.h"
#include "userspace/probe/mechanism.h"
#include "userspace/probe/probes.h"
#include "userspace/probe/shared_maps.h"

namespace sandpiper {
namespace {

// The budget of a sandbox (struct ring_limit). The first half of a ring is free for all. On the
// first price step of the other half a sandbox may write half a ring in a second. On the last step
// it may write 1/256 of a ring. So a single sandbox cannot fill the ring.
constexpr double kSpareShare = 0.5;
constexpr double kShareInASecond = 0.5;
constexpr uint64_t kBurstNs = 1'000'000'000;

// libbpf only prints the reason of an error. The lines are kept for the error of the failed call.
thread_local std::string libbpf_messages;

int KeepLibbpfMessage(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN)
    return 0;
  std::array<char, 1024> line;
  vsnprintf(line.data(), line.size(), format, arguments);
  if (libbpf_messages.size() < 4096)
    libbpf_messages.append(line.data());
  return 0;
}

absl::Status LoadError(int error) {
  const std::string details = libbpf_messages.substr(0, libbpf_messages.find('\n'));
  if (LockdownMode() == "confidentiality")
    return absl::FailedPreconditionError(
        absl::StrCat("the kernel was started with lockdown=confidentiality, where no program may "
                     "read its data: ",
                     details));
  if (error == EPERM || error == EACCES)
    return absl::PermissionDeniedError(
        absl::StrCat("the kernel denied loading the probes (", strerror(error),
                     "): run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. ", details));
  return ErrnoStatus(error, absl::StrCat("loading the probes: ", details));
}

// The probe "socket.state" has no hook. Its mechanism is the place of struct socket_state.
constexpr char kSocketState[] = "socket.state";
constexpr char kStorage[] = "socket storage";
constexpr char kByCookie[] = "map by cookie";

std::vector<std::string> AvoidedOf(const ProbeOptions& options, const std::string& probe) {
  std::vector<std::string> out;
  for (const auto& [avoided, mechanism] : options.avoid) {
    if (avoided == probe)
      out.push_back(mechanism);
  }
  return out;
}

// Chooses the place of struct socket_state.
ProbeState ChooseSocketState(const ProbeOptions& options, const btf* kernel,
                             sandpiper_bpf* skeleton) {
  ProbeState state = {.probe = kSocketState, .mechanism = kStorage, .reason = ""};
  if (IsAvoided(options, kSocketState, kStorage))
    AppendReason(kStorage, kAvoided, &state.reason);
  else if (!HasType(kernel, "bpf_sk_storage_get_tracing", BTF_KIND_FUNC))
    AppendReason(kStorage, "tracing programs cannot use it before Linux 5.11", &state.reason);
  const bool has_storage = state.reason.empty();
  if (!has_storage)
    state.mechanism = kByCookie;
  skeleton->rodata->cfg_socket_storage = has_storage;
  bpf_map__set_max_entries(skeleton->maps.states_by_cookie, has_storage ? 1 : options.flows_max);
  return state;
}

// As sandpiper_bpf::open(), with the object that uses bpf_rdonly_cast() or the one that does not.
// Both have the same programs, maps and constants. NULL, with errno, on failure.
sandpiper_bpf* OpenSkeleton(bool casts) {
  auto* out = static_cast<sandpiper_bpf*>(calloc(1, sizeof(sandpiper_bpf)));
  if (!out)
    return nullptr;
  int error = sandpiper_bpf__create_skeleton(out);
  if (!error) {
    if (casts)
      out->skeleton->data =
          const_cast<void*>(sandpiper_casts_bpf::elf_bytes(&out->skeleton->data_sz));
    error = bpf_object__open_skeleton(out->skeleton, nullptr);
  }
  if (!error)
    return out;
  sandpiper_bpf::destroy(out);
  errno = -error;
  return nullptr;
}

// Enables the backup programs (bpf/preemption_backup.bpf.h) if tracepoint programs can be
// preempted.
void SetPreemptible(bool preemptible, sandpiper_bpf* skeleton) {
  skeleton->rodata->cfg_preemptible = preemptible;
  if (!preemptible)
    bpf_map__set_max_entries(skeleton->maps.primary_runs, 1);
  const auto& p = skeleton->progs;
  for (bpf_program* program : {p.backup_exec, p.backup_exit, p.backup_fork, p.backup_tcp_state})
    bpf_program__set_autoload(program, preemptible);
}

absl::Status SetLimit(const bpf_map* limits, uint32_t ring, uint32_t ring_bytes) {
  ring_limit limit = {};
  limit.spare_bytes = static_cast<uint64_t>(kSpareShare * ring_bytes);
  limit.step_bytes = (ring_bytes - limit.spare_bytes) / RING_STEPS;
  limit.ns_per_byte =
      std::max<uint64_t>(1, static_cast<uint64_t>(1e9 / (kShareInASecond * ring_bytes)));
  limit.burst_ns = kBurstNs;
  if (bpf_map__update_elem(limits, &ring, sizeof(ring), &limit, sizeof(limit), BPF_ANY))
    return ErrnoStatus(errno, "setting the share of a sandbox in a ring buffer");
  return absl::OkStatus();
}

absl::Status AddNamePrefix(const bpf_map* names, const std::string& prefix) {
  name_prefix key = {};
  const size_t bytes = std::min<size_t>(prefix.size(), sizeof(key.name));
  key.bits = static_cast<__u32>(bytes * 8);
  std::memcpy(key.name, prefix.data(), bytes);
  constexpr uint8_t kYes = 1;
  if (bpf_map__update_elem(names, &key, sizeof(key), &kYes, sizeof(kYes), BPF_ANY))
    return ErrnoStatus(
        errno, absl::StrCat("adding the name prefix \"", prefix, "\" to the kernel's table"));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckAvoided(const ProbeOptions& given) {
  // Only the names of mechanisms are used: the programs of this skeleton are null.
  sandpiper_bpf skeleton = {};
  std::remove_pointer_t<decltype(skeleton.rodata)> constants = {};
  skeleton.rodata = &constants;
  std::vector<std::pair<std::string, std::string>> known;
  for (const Ladder& ladder : Ladders(skeleton, absl::OkStatus())) {
    for (const Ladder::Rung& rung : ladder.rungs)
      known.emplace_back(ladder.probe, rung.Mechanism());
  }
  known.emplace_back(kSocketState, kStorage);
  for (const std::string& mechanism : NftProbe::Mechanisms())
    known.emplace_back("nftables", mechanism);
  for (const std::string& mechanism : DeviceProbe::Mechanisms())
    known.emplace_back("device", mechanism);
  for (const auto& avoided : WithCurrentNames(given).avoid) {
    if (std::find(known.begin(), known.end(), avoided) != known.end())
      continue;
    std::string all;
    for (const auto& [probe, mechanism] : known)
      absl::StrAppend(&all, all.empty() ? "" : ", ", probe, ":", mechanism);
    return absl::InvalidArgumentError(
        absl::StrCat("\"", Escape(avoided.first), ":", Escape(avoided.second),
                     "\" is not a mechanism of a probe (known: ", all, ")"));
  }
  return absl::OkStatus();
}

absl::Status Probes::Open(const btf* kernel) {
  cpus_ = libbpf_num_possible_cpus();
  if (cpus_ <= 0)
    return ErrnoStatus(-cpus_, "counting the CPUs");
  skeleton_.reset(OpenSkeleton(HasCasts(kernel)));
  return skeleton_ ? absl::OkStatus() : LoadError(errno);
}

void Probes::DetectKernelFeatures(const btf* kernel) {
  // The call site is needed only on kernels without drop reasons. It would be wrong from 6.7 on,
  // where nft_do_chain() frees packets itself.
  if (!HasType(kernel, kDropReasons, BTF_KIND_ENUM))
    hook_code_ = FindFunction("nf_hook_slow");
  if (hook_code_.ok()) {
    skeleton_->rodata->cfg_hook_begin = hook_code_->begin;
    skeleton_->rodata->cfg_hook_end = hook_code_->end;
  }
  skeleton_->rodata->cfg_typed_pointers = HasTypedPointers();
  SetPreemptible(HasPreemptibleTracepoints(kernel), skeleton_.get());
  bpf_program__set_autoload(skeleton_->progs.handle_module_load,
                            HasType(kernel, "btf_trace_module_load", BTF_KIND_TYPEDEF));
}

absl::Status Probes::ChooseMechanisms(const ProbeOptions& options, const btf* kernel) {
  for (const Ladder& ladder : Ladders(*skeleton_, hook_code_.status())) {
    ProbeState state = ChooseMechanism(options, ladder, kernel);
    if (state.mechanism.empty() && ladder.required)
      return absl::FailedPreconditionError(
          absl::StrCat("the probe ", state.probe, " cannot work on this kernel: ", state.reason));
    if (state.probe == "connect.error") {
      const bool track_calls = state.mechanism == Name(Hook::kSyscallTracepoint);
      skeleton_->rodata->cfg_track_calls = track_calls;
      if (!track_calls)
        bpf_map__set_max_entries(skeleton_->maps.pending_calls, 1);
    }
    states_.push_back(std::move(state));
  }
  states_.push_back(ChooseSocketState(options, kernel, skeleton_.get()));
  return absl::OkStatus();
}

absl::Status Probes::Configure(const ProbeOptions& options) {
  auto* constants = skeleton_->rodata;
  if (options.dns_ports.empty() || options.dns_ports.size() > std::size(constants->cfg_dns_ports))
    return absl::InvalidArgumentError("give between one and four DNS ports");
  dns_ports_ = options.dns_ports;
  std::fill(std::begin(constants->cfg_dns_ports), std::end(constants->cfg_dns_ports), 0);
  std::copy(dns_ports_.begin(), dns_ports_.end(), constants->cfg_dns_ports);
  constants->cfg_discover = options.discover_containers || !options.discover_prefixes.empty();
  constants->cfg_discover_containers = options.discover_containers;
  constants->cfg_shared_netns[0] =
      NamespaceInode(UniqueFd(open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC)));
  constants->cfg_shared_netns[1] =
      NamespaceInode(UniqueFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)));

  const auto& maps = skeleton_->maps;
  bpf_map__set_max_entries(maps.critical_ring, options.critical_ring_bytes);
  bpf_map__set_max_entries(maps.bulk_ring, options.bulk_ring_bytes);
  for (bpf_map* flows : {maps.udp_flows, maps.sources})
    bpf_map__set_max_entries(flows, options.flows_max);
  bpf_map__set_max_entries(maps.device_flows, options.devices ? options.flows_max : 1);

  device_avoid_ = AvoidedOf(options, "device");
  if (options.program_statistics) {
    statistics_ = UniqueFd(bpf_enable_stats(BPF_STATS_RUN_TIME));
    if (!statistics_.ok())
      return ErrnoStatus(errno, "enabling the kernel's statistics of programs (BPF_ENABLE_STATS)");
  }
  return absl::OkStatus();
}

absl::Status Probes::LoadPrograms(const ProbeOptions& options, const btf* kernel) {
  libbpf_messages.clear();
  if (const int error = CreateMaps(skeleton_->obj); error)
    return LoadError(error);
  // Loaded in parallel, because each object reads all kernel types and has its programs verified.
  // It may attach already: no cgroup is watched yet.
  nft_ = std::make_unique<NftProbe>(skeleton_->obj, AvoidedOf(options, "nftables"), kernel);
  nft_attached_ = std::async(std::launch::async, [nft = nft_.get()] { nft->Attach(); });
  if (const int error = sandpiper_bpf::load(skeleton_.get()); error)
    return LoadError(-error);
  return absl::OkStatus();
}

absl::Status Probes::FillTables(const ProbeOptions& options) {
  const auto& maps = skeleton_->maps;
  ASSIGN_OR_RETURN(watches_, WatchCounts::Map(bpf_map__fd(maps.watches)));
  if (options.limit_sandboxes) {
    RETURN_IF_ERROR(SetLimit(maps.ring_limits, RING_CRITICAL, options.critical_ring_bytes));
    RETURN_IF_ERROR(SetLimit(maps.ring_limits, RING_BULK, options.bulk_ring_bytes));
  }
  for (const std::string& prefix : options.discover_prefixes)
    RETURN_IF_ERROR(AddNamePrefix(maps.cgroup_names, prefix));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Probes>> Probes::Load(const ProbeOptions& given) {
  const ProbeOptions options = WithCurrentNames(given);
  libbpf_messages.clear();
  libbpf_set_print(KeepLibbpfMessage);
  ASSIGN_OR_RETURN(const Btf kernel, ReadKernelTypes());
  std::unique_ptr<Probes> probes(new Probes());
  RETURN_IF_ERROR(probes->Open(kernel.get()));
  probes->DetectKernelFeatures(kernel.get());
  RETURN_IF_ERROR(CheckAvoided(options));
  RETURN_IF_ERROR(probes->ChooseMechanisms(options, kernel.get()));
  RETURN_IF_ERROR(probes->Configure(options));
  RETURN_IF_ERROR(probes->LoadPrograms(options, kernel.get()));
  RETURN_IF_ERROR(probes->FillTables(options));
  return probes;
}

}  // namespace sandpiper
