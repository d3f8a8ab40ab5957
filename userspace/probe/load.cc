// SPDX-License-Identifier: Apache-2.0
// From options to programs that the kernel has accepted; see Probes.
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
#include <future>

#include "bpf/sandpiper_bpf.skel.h"
#include "bpf/sandpiper_casts_bpf.skel.h"
#include "userspace/base/fd.h"
#include "userspace/base/file.h"
#include "userspace/base/lockdown.h"
#include "userspace/base/netns.h"
#include "userspace/base/status.h"
#include "userspace/probe/ladder.h"
#include "userspace/probe/mechanism.h"
#include "userspace/probe/probes.h"
#include "userspace/probe/shared_maps.h"

namespace sandpiper {
namespace {

// Half of a ring is for whoever comes first. At the first step of the other half, a sandbox's
// budget would fill half a ring in a second; at the last one, 1/256 of it. A sandbox that alone
// writes all it can is stopped on the way.
constexpr double kSpare = 0.5, kInASecond = 0.5;
constexpr uint64_t kBurst = 1'000'000'000;  // ns

constexpr char kKernelBtf[] = "/sys/kernel/btf/vmlinux";

// libbpf tells its reasons by printing only: the last lines end up in the error of the call that
// failed.
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
        absl::StrCat("the kernel refused to load the probes (", strerror(error),
                     "): run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. ", details));
  return ErrnoStatus(error, absl::StrCat("loading the probes: ", details));
}

constexpr char kSocketState[] = "socket.state", kStorage[] = "socket storage",
               kByCookie[] = "map by cookie";

bool IsAvoided(const ProbeOptions& options, const std::string& probe,
               const std::string& mechanism) {
  return std::find(options.avoid.begin(), options.avoid.end(), std::make_pair(probe, mechanism)) !=
         options.avoid.end();
}

// Where programs keep what they know of a socket.
ProbeState ChooseSocketState(const ProbeOptions& options, const btf* kernel,
                             sandpiper_bpf* skeleton) {
  ProbeState state = {.probe = kSocketState, .mechanism = kStorage, .reason = ""};
  if (IsAvoided(options, kSocketState, kStorage))
    state.reason = absl::StrCat(kStorage, ": left out by --avoid");
  else if (btf__find_by_name_kind(kernel, "bpf_sk_storage_get_tracing", BTF_KIND_FUNC) <= 0)
    state.reason =
        absl::StrCat(kStorage, ": this kernel has none for tracing programs, which came with 5.11");
  if (!state.reason.empty())
    state.mechanism = kByCookie;
  skeleton->rodata->cfg_socket_storage = state.reason.empty();
  bpf_map__set_max_entries(skeleton->maps.states_by_cookie,
                           state.reason.empty() ? 1 : options.flows_max);
  return state;
}

// Whether programs on cgroups may have pointers whose fields they load. The two came to them in
// different kernels.
bool HasTypedPointers() {
  return libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_get_current_task_btf,
                                 nullptr) == 1 &&
         libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_skc_to_tcp_sock,
                                 nullptr) == 1;
}

// Whether programs may call bpf_rdonly_cast(): programs that are not compiled may call no function
// of the kernel.
bool HasCasts(const btf* kernel) {
  return btf__find_by_name_kind(kernel, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0 &&
         !ReadFile("/proc/sys/net/core/bpf_jit_enable").value_or("").starts_with('0');
}

// As sandpiper_bpf::open(), from either object: both have the same programs, maps and constants.
// NULL with errno.
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

// Whether programs on tracepoints can be preempted, and so be kept from running: where they are
// entered with this guard and not with preemption off (__DECLARE_TRACE in
// include/linux/tracepoint.h).
void SetPreemptible(const btf* kernel, sandpiper_bpf* skeleton) {
  const bool preemptible =
      btf__find_by_name_kind(kernel, "class_srcu_fast_notrace_t", BTF_KIND_TYPEDEF) > 0;
  skeleton->rodata->cfg_preemptible = preemptible;
  if (!preemptible)
    bpf_map__set_max_entries(skeleton->maps.primary_runs, 1);
  const auto& p = skeleton->progs;
  for (bpf_program* program : {p.backup_exec, p.backup_exit, p.backup_fork, p.backup_tcp_state})
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
    return absl::InvalidArgumentError(absl::StrCat("--avoid ", avoided.first, ":", avoided.second,
                                                   ": there is no such mechanism, but ", all));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Probes>> Probes::Load(const ProbeOptions& given) {
  ProbeOptions options = given;
  for (auto& [probe, mechanism] : options.avoid) {
    if (mechanism == kCallSiteFormerName)
      mechanism = kCallSite;
  }
  if (access(kKernelBtf, R_OK))
    return absl::FailedPreconditionError(absl::StrCat(
        kKernelBtf,
        " cannot be read: sandpiper needs a kernel built with BTF (CONFIG_DEBUG_INFO_BTF)"));
  libbpf_messages.clear();
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

  // Where there are reasons, from 6.7 on, rules drop by themselves (nft_do_chain), and the place
  // does not tell.
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
        if (rung.needs_enum &&
            btf__find_by_name_kind(kernel.get(), rung.needs_enum, BTF_KIND_ENUM) <= 0)
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
        absl::StrAppend(&state.reason, state.reason.empty() ? "" : "; ", rung.Mechanism(), ": ",
                        std::string(available.message()));
    }
    if (state.mechanism.empty() && ladder.required)
      return absl::FailedPreconditionError(
          absl::StrCat("the probe ", state.probe, " cannot work on this kernel: ", state.reason));
    if (state.probe == "connect.error") {
      skeleton->rodata->cfg_track_calls = state.mechanism == Name(Hook::kSyscallTracepoint);
      if (!skeleton->rodata->cfg_track_calls)
        bpf_map__set_max_entries(skeleton->maps.pending_calls, 1);
    }
    probes->states_.push_back(std::move(state));
  }

  skeleton->rodata->cfg_typed_pointers = HasTypedPointers();
  probes->states_.push_back(ChooseSocketState(options, kernel.get(), skeleton));

  const bool has_modules =
      btf__find_by_name_kind(kernel.get(), "btf_trace_module_load", BTF_KIND_TYPEDEF) > 0;
  bpf_program__set_autoload(skeleton->progs.handle_module_load, has_modules);
  std::vector<std::string> nft_avoid;
  for (const auto& [probe, mechanism] : options.avoid) {
    if (probe == "nftables")
      nft_avoid.push_back(mechanism);
    if (probe == "device")
      probes->device_avoid_.push_back(mechanism);
  }
  if (options.dns_ports.empty() ||
      options.dns_ports.size() > std::size(skeleton->rodata->cfg_dns_ports))
    return absl::InvalidArgumentError("between one and four DNS ports can be given");
  std::fill(std::begin(skeleton->rodata->cfg_dns_ports), std::end(skeleton->rodata->cfg_dns_ports),
            0);
  std::copy(options.dns_ports.begin(), options.dns_ports.end(), skeleton->rodata->cfg_dns_ports);
  bpf_map__set_max_entries(skeleton->maps.critical_ring, options.critical_ring_bytes);
  bpf_map__set_max_entries(skeleton->maps.bulk_ring, options.bulk_ring_bytes);
  for (bpf_map* flows : {skeleton->maps.udp_flows, skeleton->maps.sources})
    bpf_map__set_max_entries(flows, options.flows_max);
  bpf_map__set_max_entries(skeleton->maps.device_flows, options.devices ? options.flows_max : 1);
  probes->dns_ports_ = options.dns_ports;
  skeleton->rodata->cfg_discover =
      options.discover_containers || !options.discover_prefixes.empty();
  skeleton->rodata->cfg_discover_containers = options.discover_containers;
  skeleton->rodata->cfg_shared_netns[0] =
      NamespaceInode(UniqueFd(open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC)));
  skeleton->rodata->cfg_shared_netns[1] =
      NamespaceInode(UniqueFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)));
  if (options.program_statistics) {
    probes->statistics_ = UniqueFd(bpf_enable_stats(BPF_STATS_RUN_TIME));
    if (!probes->statistics_.ok())
      return ErrnoStatus(errno, "having the kernel keep statistics of programs (BPF_ENABLE_STATS)");
  }
  libbpf_messages.clear();
  if (const int error = CreateMaps(skeleton->obj); error)
    return LoadError(error);
  // Beside the others: each reads all of the kernel's types, and has its programs verified. Nobody
  // is watched yet.
  probes->nft_ = std::make_unique<NftProbe>(skeleton->obj, std::move(nft_avoid), kernel.get());
  probes->nft_attached_ =
      std::async(std::launch::async, [nft = probes->nft_.get()] { nft->Attach(); });
  if (const int error = sandpiper_bpf::load(skeleton); error)
    return LoadError(-error);
  ASSIGN_OR_RETURN(probes->watches_, WatchCounts::Map(bpf_map__fd(skeleton->maps.watches)));
  if (options.limit_sandboxes) {
    RETURN_IF_ERROR(
        SetLimit(skeleton->maps.ring_limits, RING_CRITICAL, options.critical_ring_bytes));
    RETURN_IF_ERROR(SetLimit(skeleton->maps.ring_limits, RING_BULK, options.bulk_ring_bytes));
  }
  for (const std::string& prefix : options.discover_prefixes) {
    name_prefix key = {};
    const size_t bytes = std::min<size_t>(prefix.size(), sizeof(key.name));
    key.bits = static_cast<__u32>(bytes * 8);
    std::memcpy(key.name, prefix.data(), bytes);
    constexpr uint8_t kYes = 1;
    if (bpf_map__update_elem(skeleton->maps.cgroup_names, &key, sizeof(key), &kYes, sizeof(kYes),
                             BPF_ANY))
      return ErrnoStatus(
          errno, absl::StrCat("adding the name prefix \"", prefix, "\" to the kernel's table"));
  }
  return probes;
}

}  // namespace sandpiper
