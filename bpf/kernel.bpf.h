/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The kernel types that the programs use. CO-RE relocates each field by name at load, so that the
 * order of fields and the fields left out do not matter. No generated vmlinux.h is needed. A type
 * with the suffix ___vXYZ is the type of the same name as an older kernel defines it.
 */
#ifndef SANDPIPER_KERNEL_BPF_H
#define SANDPIPER_KERNEL_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	struct file *exe_file;
};

struct signal_struct {
	atomic_t live;
	int nr_threads;
	int group_exit_code;
	unsigned int flags;
	struct mm_struct *oom_mm; /* set if the OOM killer chose this process */
};

struct kernfs_node {
	__u64 id;
	const char *name;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state
		/*
		 * first member in every kernel, so that the pointer to it is the pointer to the
		 * cgroup
		 */
		self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	int pid;
	int tgid;
	__u64 start_boottime;
	__u64 self_exec_id;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
	int exit_code;
	char comm[16];
};

struct linux_binprm {
	const char *filename;
	const char *interp;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

/* Up to 5.14: a pointer with tag bits. */
struct sock_cgroup_data___v510 {
	__u64 val;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
	__u64 net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct nsproxy {
	struct net *net_ns;
};

struct module {
	char name[56];
};

struct sock_common {
	possible_net_t skc_net;
	atomic64_t skc_cookie;
	unsigned long skc_flags;
	unsigned short skc_family;
	unsigned char skc_state;
};

struct sk_buff_head {
	struct sk_buff *next;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	struct sock_cgroup_data sk_cgrp_data;
	__u16 sk_protocol;
	int sk_err;
};

struct tcp_sock {
	__u64 bytes_received;
	__u64 bytes_acked;
	__u32 snd_una, snd_nxt, write_seq;
};

struct socket {
	struct sock *sk;
};

struct sk_buff {
	struct sk_buff *next;
	struct sock *sk;
	int skb_iif;
	unsigned int len, data_len;
	__u16 network_header;
	unsigned char *head, *data;
	unsigned long _skb_refdst;
};

struct rtable {
	__u16 rt_type;
};

struct rt6_info {
	__u32 rt6i_flags;
};

struct nf_hook_state {
	__u8 hook;
	struct sock *sk;
};

struct nlmsghdr {
	__u32 nlmsg_len;
	__u16 nlmsg_type;
	__u16 nlmsg_flags;
	__u32 nlmsg_seq;
	__u32 nlmsg_pid;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
};

#pragma clang attribute pop

/*
 * Casts to an untrusted read-only pointer. For a trusted one the verifier searches all kernel types
 * by name at each dereference. A search takes 1.5 ms on 6.18, and all of them are half of the load
 * time. bpf_rdonly_cast() exists since 6.2. A program must not contain a call to a missing function
 * even in dead code. So the same sources are compiled twice, with and without SANDPIPER_CASTS.
 */
#ifdef SANDPIPER_CASTS
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym;
#define HAS_CASTS true
#define CAST(type, pointer) ((type *)bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(type)))
#else
#define HAS_CASTS false
#define CAST(type, pointer) ((type *)(pointer))
#endif
#define READ_ONLY(pointer) CAST(typeof(*(pointer)), pointer)

/* The value differs between kernels; bpf_core_enum_value() reads it by name. */
enum skb_drop_reason {
	SKB_DROP_REASON_NETFILTER_DROP = 8,
};

/* include/net/sock.h: SOCK_DONE is set when the FIN of the peer was processed. */
#define SOCK_FLAG_DONE (1UL << 1)
/* include/linux/sched/signal.h */
#define SIGNAL_GROUP_EXIT 0x00000004
/* include/net/tcp_states.h */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_FIN_WAIT1 4
#define TCP_FIN_WAIT2 5
#define TCP_CLOSE 7
#define TCP_LAST_ACK 9
#define TCP_CLOSING 11
#define LOOPBACK_IFINDEX 1
/* include/linux/skbuff.h: the lowest bit of _skb_refdst says whether the pointer is refcounted. */
#define SKB_DST_PTRMASK ~1UL
/* include/uapi/linux/rtnetlink.h, include/uapi/linux/ipv6_route.h */
#define RTN_LOCAL 2
#define RTF_LOCAL 0x80000000
/* include/uapi/linux/netfilter.h */
#define NF_INET_LOCAL_OUT 3
#define NF_INET_POST_ROUTING 4

#endif
