/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * All maps and the constants of the programs. Sizes and constants marked "set at load" are written
 * by userspace/probe before the programs are loaded.
 */
#ifndef SANDPIPER_MAPS_BPF_H
#define SANDPIPER_MAPS_BPF_H

#include "bpf/kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#include "bpf/events.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * The facts about a socket that a sandbox used. connect.bpf.c fills it in the context of the
 * process that uses the socket. Programs in softirq read it, where `current` is an unrelated task.
 */
struct socket_state {
	struct process_key process;
	struct endpoint peer;		 /* last destination that the program passed, before NAT */
	struct endpoint dns_destination; /* DNS: destination of the last query, after NAT */
	/* Address of its packets as they leave the network namespace; port 0 before the first one.
	 */
	struct endpoint source;
	struct owner owner;
	__u64 cgroup_id; /* cgroup of the socket */
	char comm[COMM_BYTES];
	__u32 netns; /* network namespace of the process, inode number */
	__u8 transport;
	__u8 dns;      /* the last destination is a DNS server */
	__u8 ever_dns; /* a DNS server was among the destinations */
	__u8 denied;   /* TCP: the denied event of this attempt was emitted */
	__u16 flags;   /* flags for its events: EVENT_BY_NAMESPACE, EVENT_BY_PROCESS */
	__u8 reported; /* TCP: the end of this attempt was emitted */
	__u8 pad0[5];
};

struct source_key {
	struct endpoint address;
	__u32 transport;
	__u32 pad0;
};

/*
 * Attributes packets by their source address. The host forwards them after they entered another
 * network namespace, where they have no socket.
 */
struct source {
	struct owner owner;
	__u64 cgroup_id;
	__u64 cookie;
	struct endpoint peer;
	__u8 denied; /* TCP: as in socket_state */
	/* sockets of two sandboxes used it, because namespaces may have the same addresses */
	__u8 ambiguous;
	__u8 pad0[6];
};

struct local_server {
	__u64 sandbox;
	struct endpoint address;
};

/*
 * A system call that passed connect.bpf.c and has not returned yet. Used only by the mechanism that
 * reads errors at syscall tracepoints.
 */
struct pending_call {
	__u64 cookie;
	struct endpoint peer;
	__u32 transport;
	__u32 pad0;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct watch);
} watches SEC(".maps");

/*
 * By cgroup id. cgroup.bpf.c adds each child of a watched cgroup before a process can enter it.
 * 65536 covers a host with hundreds of containers that have nested cgroups. Entries are allocated
 * when they are added.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct watched_cgroup);
} watched_cgroups SEC(".maps");

/* By inode number of the network namespace. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct netns_owner);
} watched_netns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct member_counters);
} members SEC(".maps");

/*
 * Members that ended: the top cgroup was removed. Their sockets may still emit events while they
 * close, but a network namespace is no longer attributed to them.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u8);
} ended_members SEC(".maps");

/*
 * Name prefixes of cgroups that may be sandboxes. A name with 64 hexadecimal digits, which runtimes
 * give to containers, needs no entry here.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256);
	__type(key, struct name_prefix);
	__type(value, __u8);
} cgroup_names SEC(".maps");

/*
 * Process events: exec, exit, fork, moves. They are few and each one is needed, so that the bulk
 * ring cannot crowd them out. Size set at load.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 * 1024 * 1024);
} critical_ring SEC(".maps");

/* Events that a program can produce in a flood: DNS and connections. Size set at load. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} bulk_ring SEC(".maps");

/* Index: RING_CRITICAL or RING_BULK. Written at load. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RING_COUNT);
	__type(key, __u32);
	__type(value, struct ring_limit);
} ring_limits SEC(".maps");

/* Keyed by sandbox. An entry that the LRU evicts starts again with a full budget. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct ring_budget);
} ring_budgets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_state);
} socket_states SEC(".maps");

/*
 * By socket cookie: replaces socket_states on kernels where programs on tracepoints may not use
 * socket storage. Size set at load: one entry if it is unused.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct socket_state);
} states_by_cookie SEC(".maps");

/*
 * Size set at load. An LRU: a socket with more peers than entries is recorded as new attempts
 * again, and causes no error for other sockets.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct udp_flow_key);
	__type(value, struct udp_flow);
} udp_flows SEC(".maps");

/* Size set at load: one entry if no device is watched. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct device_flow_key);
	__type(value, struct device_flow);
} device_flows SEC(".maps");

/* Size set at load. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct source_key);
	__type(value, struct source);
} sources SEC(".maps");

/*
 * Sockets that receive datagrams over loopback, such as the DNS proxy of a sandbox. Answers from
 * these addresses are local.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct local_server);
	__type(value, __u8);
} local_servers SEC(".maps");

/* Size set at load: one entry if errors are read at function exits (fexit) instead. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64); /* bpf_get_current_pid_tgid() */
	__type(value, struct pending_call);
} pending_calls SEC(".maps");

/*
 * Makes one exit event of several threads of a process that end at the same moment: the first
 * thread adds the entry and reports.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct process_key);
	__type(value, __u8);
} reported_exits SEC(".maps");

/*
 * Set at load: whether new cgroups are checked at all, and whether those with the name of a
 * container are candidates.
 */
const volatile __u8 cfg_discover = 0;
const volatile __u8 cfg_discover_containers = 0;

/*
 * Set at load: network namespaces that are never attributed to one sandbox: the host's, and the
 * collector's.
 */
const volatile __u32 cfg_shared_netns[2] = {};

/* Set at load: socket_state is in socket storage, else in states_by_cookie. */
const volatile __u8 cfg_socket_storage = 1;

/*
 * Set at load: the kernel gives cgroup programs the current task and TCP sockets as typed (BTF)
 * pointers. Fields are then loaded directly; otherwise each one costs a helper call. Programs on
 * tracepoints always have typed pointers.
 */
const volatile __u8 cfg_typed_pointers = 0;

/* Set at load: programs at syscall tracepoints are attached and need pending_calls. */
const volatile __u8 cfg_track_calls = 0;

#endif
