/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Empty programs of the same types and at the same hooks as those of sandpiper: the minimum cost of
 * observing there.
 */
#include <linux/bpf.h>

// Needs the types of linux/bpf.h, and stays in a group of its own so that it is not sorted before.
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr* ctx) { return 1; }

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr* ctx) { return 1; }

SEC("cgroup/sock_release")
int sock_release(struct bpf_sock* ctx) { return 1; }

SEC("cgroup_skb/ingress")
int ingress(struct __sk_buff* skb) { return 1; }

SEC("cgroup_skb/egress")
int egress(struct __sk_buff* skb) { return 1; }

SEC("tp_btf/inet_sock_set_state")
int set_state(void* ctx) { return 0; }

SEC("tp_btf/inet_sk_error_report")
int error_report(void* ctx) { return 0; }

SEC("tp_btf/kfree_skb")
int drop(void* ctx) { return 0; }

SEC("tp_btf/sched_process_exec")
int exec(void* ctx) { return 0; }

SEC("tp_btf/sched_process_exit")
int process_exit(void* ctx) { return 0; }

SEC("tp_btf/sched_process_fork")
int process_fork(void* ctx) { return 0; }
