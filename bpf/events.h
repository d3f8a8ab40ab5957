/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The contract between the kernel side and user space: ring records, map keys and map values.
 * Included by clang for BPF and by C++. Both sides ship in one binary, so there is no compatibility
 * to keep; kinds are still only appended, because captures are replayed.
 *
 * Times are CLOCK_BOOTTIME nanoseconds. Ports are in host order. Addresses are IPv6, IPv4 as
 * ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that a v4-mapped socket and a plain IPv4 one give the same
 * key. Strings are not NUL-terminated where a length is given.
 */
#ifndef SANDPIPER_EVENTS_H
#define SANDPIPER_EVENTS_H

#include <linux/types.h>

#ifdef __cplusplus
#define SP_ASSERT_SIZE(type, size) static_assert(sizeof(struct type) == (size), #type)
extern "C" {
#else
#define SP_ASSERT_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)
#endif

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

enum event_kind {
	EVENT_NONE = 0,
	EVENT_EXEC = 1,
	EVENT_EXIT = 2,
	EVENT_FORK = 3,
	EVENT_ENTER = 4, /* a living process was moved into the sandbox */
	EVENT_CONNECT = 5,
	EVENT_CONNECT_RESULT = 6,
	EVENT_CLOSE = 7,
	EVENT_DNS_QUERY = 8,
	EVENT_DNS_ANSWER = 9,
	EVENT_DENIED = 10,
	EVENT_NFT = 11,
	EVENT_NFT_LOADED = 12,	   /* nf_tables was loaded: the header alone, of no sandbox */
	EVENT_CGROUP_CREATED = 13, /* a cgroup that may be a sandbox's was made, and is watched from
				   its first process on */
	EVENT_CGROUP_REMOVED = 14, /* a watched cgroup was removed: the header alone */
	EVENT_KIND_COUNT = 15,
};

enum {
	EVENT_KIND_SLOTS = 16, /* room in the counters for kinds to come */
	TRANSPORT_TCP = 0,
	TRANSPORT_UDP = 1,
	TRANSPORT_COUNT = 2,
	NETWORK_IPV4 = 0,
	NETWORK_IPV6 = 1,
	NETWORK_COUNT = 2,
	DIRECTION_SENT = 0,
	DIRECTION_RECEIVED = 1,
	DIRECTION_COUNT = 2,
	RING_CRITICAL = 0, /* named as the maps are */
	RING_BULK = 1,
	RING_COUNT = 2,
	RING_STEPS = 8,
	EXITED_SUCCESS = 0,
	EXITED_FAILURE = 1,
	EXITED_SIGNAL = 2,
	EXITED_OOM = 3, /* by the out-of-memory killer */
	EXITED_COUNT = 4,
	/* One read of the argument area covers what a report needs. */
	ARGS_MAX = 4096,
	/* Path components deepest first, each followed by NUL: the last one may start at 511 and be
	 * of NAME_MAX bytes. */
	PATH_COMPONENT = 256,
	PATH_STARTS = 512,
	SCRIPT_BYTES = 256,
	COMM_BYTES = 16,
	/* DNS payload classes: RFC 1035 UDP limit, one Ethernet frame, and the EDNS size that
	 * servers commonly allow (RFC 6891 6.2.5). */
	DNS_SMALL = 512,
	DNS_FRAME = 1536,
	DNS_CHUNK = 4096,
	CGROUP_PATH_BYTES = 512,
	CGROUP_NAME_PREFIX = 60,
	/* A skb holds at most 64 KiB of payload: 16 chunks. */
	DNS_CHUNKS_MAX = 16,
};

/* A cookie with this bit is of no socket of the host, but of a flow that was seen on a device. */
enum {
	COOKIE_DEVICE_BIT = 63,
};

/*
 * Whose something is. A member is one tree of cgroups, or one device, from its birth to its end; a
 * sandbox is made of members. Neither number is ever used again.
 */
struct owner {
	__u64 member;
	__u64 sandbox;
};
SP_ASSERT_SIZE(owner, 16);

/*
 * What an event is compared with before any look-up: how many of the cgroups (by id) and network
 * namespaces (by inode number) that somebody watches fall into a slot. Never too low. Namespaces
 * that their table pushes out, or the kernel side puts aside, may stay counted.
 */
enum {
	WATCH_SLOTS = 16384,
};

struct watch {
	__u32 counts[WATCH_SLOTS];
	__u32 foreign_sockets; /* 1: a sandbox has used a socket of another cgroup, so that sockets
			       themselves must be asked too */
	__u32 netns_changes; /* counts: a namespace was forgotten, or lost who lived there; what was
				noted before is to be noted again */
};
SP_ASSERT_SIZE(watch, 65544);

static inline __u32 watch_slot(__u64 id)
{
	return id & (WATCH_SLOTS - 1);
}

struct watched_cgroup {
	struct owner owner;
	__u64 noted_netns; /* the network namespace where one of its processes was last noted to
			live; above it, netns_changes of that time */
};
SP_ASSERT_SIZE(watched_cgroup, 24);

/* A member that the kernel side found is its own sandbox until user space says whose it is. */
enum {
	MEMBER_CANDIDATE_BIT = 62,
};

/* In the flags of every kind. */
enum {
	/* Of no watched cgroup, but in the network namespace of a sandbox, or of a socket that a
	 * process of a sandbox uses. */
	EVENT_BY_NAMESPACE = 1 << 15,
	EVENT_BY_PROCESS = 1 << 14,
};

struct event_header {
	__u16 kind;  /* enum event_kind */
	__u16 flags; /* per kind, below */
	__u32 size;  /* of the whole record */
	__u64 time_ns;
	__u64 member;
	__u64 cgroup_id;
};
SP_ASSERT_SIZE(event_header, 32);

/* A process is (tgid, start time): pids are reused. */
struct process_key {
	__u32 tgid;
	__u32 tid;
	__u64 start_ns; /* task_struct.start_boottime of the thread group leader */
};
SP_ASSERT_SIZE(process_key, 16);

struct endpoint {
	__u8 address[16];
	__u16 port;
	__u16 pad0;
	__u32 pad1;
};
SP_ASSERT_SIZE(endpoint, 24);

enum exec_flags {
	EXEC_ARGS_TRUNCATED = 1 << 0,
	EXEC_ARGS_UNREADABLE = 1 << 1,
	EXEC_SCRIPT = 1 << 2, /* the script is the file behind the interpreter that runs */
	EXEC_PATH_TRUNCATED = 1 << 3,
	EXEC_CWD_TRUNCATED = 1 << 4,
};

/*
 * Behind it, one after the other: the components of the path and of the working directory, the
 * script with its NUL, and the arguments, NUL-separated as in /proc/PID/cmdline.
 */
struct exec_event {
	struct event_header header;
	struct process_key process;
	struct process_key parent;
	__u32 netns; /* inode number of the network namespace */
	__u16 path_bytes;
	__u16 cwd_bytes;
	__u16 script_bytes; /* 0 where there is none */
	__u16 args_bytes;
	__u32 pad0;
	char comm[COMM_BYTES];
};
SP_ASSERT_SIZE(exec_event, 96);

enum exit_flags {
	EXIT_OOM = 1 << 0,
};

struct exit_event {
	struct event_header header;
	struct process_key process;
	__u32 status; /* as wait(2) gives it */
	__u32 pad0;
};
SP_ASSERT_SIZE(exit_event, 56);

struct fork_event {
	struct event_header header;
	struct process_key process; /* the child */
	struct process_key parent;
	char comm[COMM_BYTES];
	__u32 netns;
	__u32 pad0;
};
SP_ASSERT_SIZE(fork_event, 88);

/* EVENT_ENTER carries the same facts as a fork. */

struct connect_event {
	struct event_header header;
	__u64 cookie; /* socket cookie, unique for the life of the host */
	struct process_key process;
	struct endpoint peer; /* as the program asked for it, before NAT */
	char comm[COMM_BYTES];
	__u32 transport;
	__u32 netns; /* of the process */
};
SP_ASSERT_SIZE(connect_event, 104);

enum connect_result_flags {
	/* The error was returned to the caller of connect or send; without the flag it comes from
	 * the state of the socket. */
	RESULT_RETURNED = 1 << 0,
};

struct connect_result_event {
	struct event_header header;
	__u64 cookie;
	struct endpoint peer; /* UDP only: one socket may have many */
	__u32 transport;
	__u32 error; /* errno; 0: established (TCP), answered (UDP), or, where TCP ends in CLOSE,
			given up by the caller */
	__u32 established;
	__u32 pad0;
};
SP_ASSERT_SIZE(connect_result_event, 80);

struct close_event {
	struct event_header header;
	__u64 cookie;
	__u64 bytes[DIRECTION_COUNT]; /* TCP payload; UDP: see udp_flows */
	__u32 transport;
	__u32 error; /* pending socket error, as ECONNRESET */
};
SP_ASSERT_SIZE(close_event, 64);

/* Netfilter threw a packet of the sandbox away: the first one of a TCP attempt, the first one of a
 * UDP flow. */
struct denied_event {
	struct event_header header;
	__u64 cookie;
	struct process_key process;
	struct endpoint peer; /* as the program asked for it, before NAT */
	char comm[COMM_BYTES];
	__u32 transport;
	__u32 pad0;
};
SP_ASSERT_SIZE(denied_event, 104);

enum nft_result {
	NFT_COMMITTED = 0,
	NFT_ABORTED = 1,  /* why, NFT_REJECTED of the same thread says */
	NFT_REJECTED = 2, /* a message was answered with an error: one of a batch that is aborted,
			    or one that never was tried */
	NFT_SENT = 3,	  /* something was sent to nfnetlink: refused if there is an error, else
			     committed or only a question */
};

/* A change of nftables rules, or what may be one. */
struct nft_event {
	struct event_header header; /* of who lives in the network namespace */
	struct process_key process; /* who made it */
	__u64 actor;		    /* the member that the process is in, 0 if none */
	__u32 netns;		    /* inode number */
	__s32 error;		    /* -errno, 0 where it is not known */
	__u32 result;		    /* enum nft_result */
	__u32 pad0;
	char comm[COMM_BYTES];
};
SP_ASSERT_SIZE(nft_event, 88);

struct cgroup_event {
	struct event_header header;
	__u32 path_bytes; /* without the NUL; all of CGROUP_PATH_BYTES if it was cut */
	__u32 pad0;
	char path[CGROUP_PATH_BYTES]; /* from the root of the hierarchy */
};
SP_ASSERT_SIZE(cgroup_event, 552);

/* Beginnings of names that a cgroup may have to be looked at: a longest-prefix trie over bytes. */
struct name_prefix {
	__u32 bits;
	char name[CGROUP_NAME_PREFIX];
};
SP_ASSERT_SIZE(name_prefix, 64);

/* Who lives in a network namespace: the first member that was seen there. */
struct netns_owner {
	struct owner owner;
	__u64 claims_unwatched; /* what is in it and in no watched cgroup is the owner's too */
};
SP_ASSERT_SIZE(netns_owner, 24);

enum dns_flags {
	DNS_REDIRECTED = 1 << 0, /* the packet leaves to another destination than the program asked
				    for (NAT) */
	DNS_DENIED = 1 << 1,	 /* it did not leave: netfilter threw it away */
	DNS_LOCAL = 1 << 2,	 /* an answer of a server that is itself part of the sandbox */
};

struct dns_event {
	struct event_header header;
	__u64 cookie;
	struct process_key process; /* who last used the socket to ask */
	struct endpoint server; /* query: where the program sent it, before NAT; answer: source as
				   the socket sees it */
	__u32 transport;
	__u32 payload_bytes; /* of the datagram or of this part of the stream, which may exceed
				data_bytes for datagrams only */
	__u32 data_bytes;
	__u32 tcp_seq; /* of the first byte in data */
	__u32 tcp_ack;
	__u32 pad0;
#ifndef __cplusplus
	__u8 data[];
#endif
};
SP_ASSERT_SIZE(dns_event, 104);

/* Values of `members`, a per-CPU map: only ever added to in the kernel, never reset, so that a
 * reader may differ them. */
struct member_counters {
	__u64 produced[EVENT_KIND_SLOTS];
	__u64 dropped[EVENT_KIND_SLOTS]; /* no room in the ring */
	__u64 limited[EVENT_KIND_SLOTS]; /* more than the sandbox's share of the ring */
	__u64 attempts[TRANSPORT_COUNT][NETWORK_COUNT];
	__u64 attempts_dropped[TRANSPORT_COUNT]
			      [NETWORK_COUNT]; /* those of them whose event found no room */
	__u64 network_io[DIRECTION_COUNT];     /* bytes of IP packets, loopback left out */
	__u64 storage_failed; /* a socket or a flow that the kernel had no memory to remember */
	__u64 denied[TRANSPORT_COUNT]; /* by netfilter: TCP attempts, UDP datagrams; loopback left
					  out */
	__u64 exits[EXITED_COUNT];     /* of processes, by how */
};
SP_ASSERT_SIZE(member_counters, 520);

/* What one sandbox may take of a ring. */
struct ring_limit {
	__u64 spare_bytes; /* while no more than this is in it: all */
	__u64 step_bytes; /* each time that so much more is in it, a byte costs twice as much; 0: no
			     limit */
	__u64 ns_per_byte; /* a budget grows by a byte of the first step in this time */
	__u64 burst_ns;	   /* and is never more than what grows in this time */
};
SP_ASSERT_SIZE(ring_limit, 32);

/* What a sandbox may still take of each ring, when it is nearly full. */
struct ring_budget {
	__u64 full_at_ns[RING_COUNT]; /* when it would be whole again, if nothing more came */
};
SP_ASSERT_SIZE(ring_budget, 16);

struct udp_flow_key {
	__u64 cookie;
	struct endpoint peer;
};
SP_ASSERT_SIZE(udp_flow_key, 32);

struct udp_flow {
	__u64 bytes[DIRECTION_COUNT]; /* payload */
	__u64 denied;		      /* datagrams that netfilter threw away */
};
SP_ASSERT_SIZE(udp_flow, 24);

/* TCP: a connection. UDP: a socket of the guest, the peer left out. */
struct device_flow_key {
	struct endpoint guest, peer;
	__u64 member;
	__u64 transport;
};
SP_ASSERT_SIZE(device_flow_key, 64);

enum device_flow_state {
	FLOW_TRYING = 0,
	FLOW_ESTABLISHED = 1,
	FLOW_CLOSED = 2, /* kept for what is sent again of it */
};

struct device_flow {
	__u64 cookie;
	__u64 bytes[DIRECTION_COUNT];	 /* TCP payload */
	__u32 syn_seq;			 /* sequence number of the SYN */
	__u32 next_seq[DIRECTION_COUNT]; /* sequence numbers */
	__u8 state;
	__u8 fin_seen; /* bit by direction: a FIN was seen */
	__u16 pad0;
};
SP_ASSERT_SIZE(device_flow, 40);

/* One record a living socket that a sandbox used, read from the iterator over socket storage. */
struct socket_bytes {
	__u64 cookie;
	__u64 bytes[DIRECTION_COUNT]; /* TCP payload; 0 for UDP, see udp_flows */
};
SP_ASSERT_SIZE(socket_bytes, 24);

#pragma GCC diagnostic pop

#ifdef __cplusplus
}
#endif
#endif
