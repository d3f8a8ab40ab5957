/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Every map, once. User space sets the sizes marked "set at load". */
#ifndef SANDPIPER_MAPS_BPF_H
#define SANDPIPER_MAPS_BPF_H

#include "bpf/kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#include "bpf/events.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What a socket of a sandbox is about. Filled in the context of the program that uses it, read
 * where no program is running. */
struct socket_state {
	struct process_key process;
	struct endpoint peer;		 /* last destination asked for, before NAT */
	struct endpoint dns_destination; /* DNS: where the last query went, after NAT */
	struct endpoint
		source; /* its own, as it leaves the network namespace; port 0 until a packet did */
	struct owner owner;
	__u64 cgroup_id; /* of the socket */
	char comm[COMM_BYTES];
	__u32 netns; /* of the process */
	__u8 transport;
	__u8 dns;      /* the last destination is a DNS server */
	__u8 ever_dns; /* a DNS server was among the destinations */
	__u8 denied;   /* TCP: a packet of this attempt was denied, and told */
	__u16 flags;   /* of its events: EVENT_BY_… */
	__u8 reported; /* TCP: user space knows how this attempt ended */
	__u8 pad0[5];
};

struct source_key {
	struct endpoint address;
	__u32 transport;
	__u32 pad0;
};

/* Whose packets come from an address. They lose their socket when they enter another network
 * namespace. */
struct source {
	struct owner owner;
	__u64 cgroup_id;
	__u64 cookie;
	struct endpoint peer;
	__u8 denied;	/* TCP: as in socket_state */
	__u8 ambiguous; /* sockets of two sandboxes had it: namespaces may share addresses */
	__u8 pad0[6];
};

struct local_server {
	__u64 sandbox;
	struct endpoint address;
};

/* A call that may still return an error; only for the mechanism that reads results from syscall
 * tracepoints. */
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

/* By cgroup id. Children of a watched cgroup are added by cgroup.bpf.c before anything can run in
 * them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct watched_cgroup);
} watched_cgroups SEC(".maps");

/* By inode number. */
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

/* Members whose cgroup was removed. Their sockets may still close; nobody can be said to live with
 * them any more. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u8);
} ended_members SEC(".maps");

/* Which new cgroups are looked at. A name of 64 hexadecimal digits, as runtimes give containers, is
 * without being here. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256);
	__type(key, struct name_prefix);
	__type(value, __u8);
} cgroup_names SEC(".maps");

/* Rare and precious: exec, exit, fork, moves. Set at load. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 * 1024 * 1024);
} critical_ring SEC(".maps");

/* What a program can flood: DNS and connections. Set at load. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} bulk_ring SEC(".maps");

/* By ring. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RING_COUNT);
	__type(key, __u32);
	__type(value, struct ring_limit);
} ring_limits SEC(".maps");

/* By sandbox. One that was pushed out begins anew with all of it. */
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

/* By cookie, where programs on tracepoints may not use the storage of sockets. Set at load: one
 * entry where they may. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct socket_state);
} states_by_cookie SEC(".maps");

/* Set at load. LRU: a socket that talks to more peers than fit is seen as new attempts, never as an
 * error for the others. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct udp_flow_key);
	__type(value, struct udp_flow);
} udp_flows SEC(".maps");

/* Set at load: one entry where no device is watched. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct device_flow_key);
	__type(value, struct device_flow);
} device_flows SEC(".maps");

/* Set at load. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct source_key);
	__type(value, struct source);
} sources SEC(".maps");

/* Where sockets of a sandbox serve datagrams from within its own network namespace, as a DNS proxy
 * does. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct local_server);
	__type(value, __u8);
} local_servers SEC(".maps");

/* Set at load: one entry where errors of calls are told by functions. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64); /* pid_tgid */
	__type(value, struct pending_call);
} pending_calls SEC(".maps");

/* Threads of one process that end at the same moment: the first one here reports the exit. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct process_key);
	__type(value, __u8);
} reported_exits SEC(".maps");

/* Look at new cgroups; those of containers. */
const volatile __u8 cfg_discover = 0;
const volatile __u8 cfg_discover_containers = 0;

/* Network namespaces that lend nothing: the host's, and our own. */
const volatile __u32 cfg_shared_netns[2] = {};

/* The states of sockets are in their storage. */
const volatile __u8 cfg_socket_storage = 1;

/*
 * Programs on cgroups may have the current task, and a TCP socket, as pointers whose fields the
 * verifier lets them load; where not, each field is copied by a helper. Programs on tracepoints are
 * given such pointers everywhere.
 */
const volatile __u8 cfg_typed_pointers = 0;

/* The syscall tracepoints are in use: fill pending_calls. */
const volatile __u8 cfg_track_calls = 0;

#endif
