// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/ladder.h"

#include <utility>

#include "bpf/sandpiper_bpf.skel.h"

namespace sandpiper {

std::vector<Ladder> Ladders(const sandpiper_bpf& skeleton, const absl::Status& hook_code) {
  const auto& p = skeleton.progs;
  std::vector<bpf_program*> process = {p.handle_exec, p.handle_exit, p.handle_fork,
                                       p.handle_attach_task},
                            outcome = {p.handle_tcp_state};
  // After the first ones: the kernel calls them in this order.
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

}  // namespace sandpiper
