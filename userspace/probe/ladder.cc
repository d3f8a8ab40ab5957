// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/ladder.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bpf/sandpiper_bpf.skel.h"
#include "userspace/base/status.h"
#include "userspace/probe/kernel_features.h"

namespace sandpiper {
namespace {

// OK if the rung can be used on this kernel, else the reason.
absl::Status CheckRung(const ProbeOptions& options, const Ladder& ladder, const Ladder::Rung& rung,
                       const btf* kernel) {
  if (rung.needs_enum && !HasType(kernel, rung.needs_enum, BTF_KIND_ENUM))
    return absl::NotFoundError(absl::StrCat("this kernel has no ", rung.needs_enum));
  if (IsAvoided(options, ladder.probe, rung.Mechanism()))
    return absl::CancelledError(kAvoided);
  RETURN_IF_ERROR(rung.unavailable);
  for (const bpf_program* program : rung.programs)
    RETURN_IF_ERROR(CheckAvailable(rung.hook, program, kernel));
  return absl::OkStatus();
}

}  // namespace

ProbeOptions WithCurrentNames(const ProbeOptions& given) {
  ProbeOptions out = given;
  for (auto& [probe, mechanism] : out.avoid) {
    if (mechanism == kCallSiteFormerName)
      mechanism = kCallSite;
  }
  return out;
}

bool IsAvoided(const ProbeOptions& options, const std::string& probe,
               const std::string& mechanism) {
  return std::find(options.avoid.begin(), options.avoid.end(), std::make_pair(probe, mechanism)) !=
         options.avoid.end();
}

std::vector<Ladder> Ladders(const sandpiper_bpf& skeleton, const absl::Status& hook_code) {
  const auto& p = skeleton.progs;
  std::vector<bpf_program*> process = {p.handle_exec, p.handle_exit, p.handle_fork,
                                       p.handle_attach_task};
  std::vector<bpf_program*> outcome = {p.handle_tcp_state};
  // The backups come after their primaries, because the kernel calls programs in the order of
  // attachment.
  if (skeleton.rodata->cfg_preemptible) {
    process.insert(process.end(), {p.backup_exec, p.backup_exit, p.backup_fork});
    outcome.push_back(p.backup_tcp_state);
  }
  return {
      {"cgroup",
       true,
       {{Hook::kTracepoint,
         {p.handle_cgroup_mkdir, p.handle_cgroup_rmdir, p.handle_cgroup_release}}}},
      {"process", true, {{Hook::kTracepoint, std::move(process)}}},
      {"connect",
       true,
       {{Hook::kCgroup,
         {p.handle_connect4, p.handle_connect6, p.handle_sendmsg4, p.handle_sendmsg6,
          p.handle_sock_release}}}},
      {"packet", true, {{Hook::kCgroup, {p.handle_egress, p.handle_ingress}}}},
      {"connect.outcome", true, {{Hook::kTracepoint, std::move(outcome)}}},
      {"connect.error",
       false,
       {{Hook::kFunctionExit,
         {p.handle_stream_connect, p.handle_udp_sendmsg, p.handle_udpv6_sendmsg}},
        {Hook::kSyscallTracepoint,
         {p.handle_exit_connect, p.handle_exit_sendto, p.handle_exit_sendmsg,
          p.handle_exit_sendmmsg, p.handle_exit_io_uring}}}},
      {"egress.denied",
       false,
       {{Hook::kTracepoint, {p.handle_dropped_packet}, kDropReasons},
        {Hook::kTracepoint, {p.handle_kfree_skb_by_caller}, nullptr, kCallSite, hook_code},
        {Hook::kFunctionExit, {p.handle_hook_verdict}}}},
      {"udp.error",
       false,
       {{Hook::kTracepoint, {p.handle_udp_error}},
        {Hook::kFunctionExit, {p.handle_udp_error_report}}}},
      {"tcp.bytes", false, {{Hook::kStorageIterator, {p.handle_tcp_bytes}}}},
  };
}

ProbeState ChooseMechanism(const ProbeOptions& options, const Ladder& ladder, const btf* kernel) {
  ProbeState state = {.probe = ladder.probe, .mechanism = "", .reason = ""};
  for (const Ladder::Rung& rung : ladder.rungs) {
    bool is_chosen = false;
    if (state.mechanism.empty()) {
      const absl::Status status = CheckRung(options, ladder, rung, kernel);
      is_chosen = status.ok();
      if (is_chosen)
        state.mechanism = rung.Mechanism();
      else
        AppendReason(rung.Mechanism(), std::string(status.message()), &state.reason);
    }
    for (bpf_program* program : rung.programs)
      bpf_program__set_autoload(program, is_chosen);
  }
  return state;
}

}  // namespace sandpiper
