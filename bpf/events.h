/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The contract between the BPF programs and user space: records of the ring buffers, and keys and
 * values of the maps that both sides use. clang compiles it for BPF, and the C++ compiler for the
 * collector.
 *
 * One binary holds both sides, so there is no other version to be compatible with. Event kinds are
 * still only appended, because replay reads captures of earlier releases.
 *
 * Units, unless a field says otherwise: times are CLOCK_BOOTTIME in nanoseconds. Sizes are bytes.
 * Ports are in host byte order. Addresses are IPv6 in network byte order. An IPv4 address is stored
 * as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). So an IPv4 socket and a v4-mapped IPv6 socket give the same
 * key. A string that has a length field has no NUL.
 */
#ifndef SANDPIPER_EVENTS_H
#define SANDPIPER_EVENTS_H

#include <linux/types.h>

#ifdef __cplusplus
#define SP_ASSERT(condition, message) static_assert(condition, message)
extern "C" {
#else
#define SP_ASSERT(condition, message) _Static_assert(condition, message)
#endif
/* Both compilers must lay a struct out in the same way. */
#define SP_ASSERT_SIZE(type, size) SP_ASSERT(sizeof(struct type) == (size), #type)

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

enum event_kind {
	EVENT_NONE = 0,
	EVENT_EXEC = 1,
	EVENT_EXIT = 2,
	EVENT_FORK = 3,
	/* A running process was moved into the sandbox. Its record is fork_event. */
	EVENT_ENTER = 4,
	EVENT_CONNECT = 5,
	EVENT_CONNECT_RESULT = 6,
	EVENT_CLOSE = 7,
	EVENT_DNS_QUERY = 8,
	EVENT_DNS_ANSWER = 9,
	EVENT_DENIED = 10,
	EVENT_NFT = 11,
	EVENT_NFT_LOADED = 12, /* nf_tables was loaded: only the header, and no owner */
	/* A new cgroup that may be a sandbox. It is watched before its first process. */
	EVENT_CGROUP_CREATED = 13,
	EVENT_CGROUP_REMOVED = 14, /* a watched cgroup was removed: only the header */
	EVENT_KIND_COUNT = 15,
};

/* Slots of the counters by event kind. There is room for kinds to come. */
enum {
	EVENT_KIND_SLOTS = 16,
};
SP_ASSERT((int)EVENT_KIND_COUNT <= (int)EVENT_KIND_SLOTS,
	  "an event kind has no slot in member_counters");

/* Indexes of the counters and of byte counts. */
enum {
	TRANSPORT_TCP = 0,
	TRANSPORT_UDP = 1,
	TRANSPORT_COUNT = 2,
	NETWORK_IPV4 = 0,
	NETWORK_IPV6 = 1,
	NETWORK_COUNT = 2,
	DIRECTION_SENT = 0,
	DIRECTION_RECEIVED = 1,
	DIRECTION_COUNT = 2,
	EXITED_SUCCESS = 0,
	EXITED_FAILURE = 1,
	EXITED_SIGNAL = 2,
	EXITED_OOM = 3, /* killed by the OOM killer */
	EXITED_COUNT = 4,
};

/* The ring buffers, see critical_ring and bulk_ring in maps.bpf.h. */
enum {
	RING_CRITICAL = 0,
	RING_BULK = 1,
	RING_COUNT = 2,
	/* Price steps of a ring that fills up, see struct ring_limit: the last costs 2^7 times. */
	RING_STEPS = 8,
};

/* Bounds of an exec record. */
enum {
	/*
	 * The first bytes of the arguments: as many as one read of a page gets, and enough for
	 * reports.
	 */
	ARGS_MAX = 4096,
	/*
	 * A path is recorded component by component, deepest first, each with its NUL. A component
	 * has at most NAME_MAX (255) bytes. The last one starts before offset PATH_STARTS.
	 */
	PATH_COMPONENT = 256,
	PATH_STARTS = 512,
	COMM_BYTES = 16, /* TASK_COMM_LEN */
};

/* Bounds of a DNS record. */
enum {
	/*
	 * Sizes of its data: the UDP limit of RFC 1035, one Ethernet frame, and the EDNS size that
	 * servers commonly allow (RFC 6891 6.2.5).
	 */
	DNS_SMALL = 512,
	DNS_FRAME = 1536,
	DNS_CHUNK = 4096,
	/* An skb holds at most 64 KiB of payload: 16 chunks. */
	DNS_CHUNKS_MAX = 16,
};

/* Bounds of a cgroup's path in a record, and of a name prefix. */
enum {
	CGROUP_PATH_BYTES = 512,
	CGROUP_NAME_PREFIX = 60,
};

/*
 * The cookie of a flow on a watched device has this bit. A socket cookie of the host never has it.
 */
enum {
	COOKIE_DEVICE_BIT = 63,
};

/*
 * The owner of an event. A member is one cgroup subtree or one network device, from creation to
 * removal. A sandbox consists of members. Numbers of both kinds are never used again.
 */
struct owner {
	__u64 member; /* 0: none */
	__u64 sandbox;
};
SP_ASSERT_SIZE(owner, 16);

/*
 * The filter before any map lookup. counts[] holds, for each hash slot, the number of watched
 * cgroups (by id) and watched network namespaces (by inode number). A count is never too low. It
 * can stay too high for a namespace that the LRU of watched_netns evicted.
 */
enum {
	WATCH_SLOTS = 16384,
};

struct watch {
	__u32 counts[WATCH_SLOTS];
	/*
	 * 1: a sandbox used a socket that belongs to another cgroup. Programs must then also look
	 * at the state of sockets of unwatched cgroups.
	 */
	__u32 foreign_sockets;
	/*
	 * Version of watched_netns: grows when a namespace or its owner was removed. BPF programs
	 * then record the namespaces of processes again.
	 */
	__u32 netns_changes;
};
SP_ASSERT_SIZE(watch, 65544);

static inline __u32 watch_slot(__u64 id)
{
	return id & (WATCH_SLOTS - 1);
}

struct watched_cgroup {
	struct owner owner;
	/*
	 * Low half: the network namespace (inode number) that note_netns() last recorded for a
	 * process of this cgroup. High half: netns_changes at that time.
	 */
	__u64 noted_netns;
};
SP_ASSERT_SIZE(watched_cgroup, 24);

/*
 * Bit of a member that a BPF program created for a sandbox candidate. It is a sandbox of its own
 * until user space decides about it.
 */
enum {
	MEMBER_CANDIDATE_BIT = 62,
};

/* Flags of every kind. */
enum {
	/*
	 * How the owner was found if not by a watched cgroup: by the network namespace of a
	 * sandbox, or because a process of a sandbox uses the socket.
	 */
	EVENT_BY_NAMESPACE = 1 << 15,
	EVENT_BY_PROCESS = 1 << 14,
};

struct event_header {
	__u16 kind;	 /* enum event_kind */
	__u16 flags;	 /* depends on the kind, see below */
	__u32 size;	 /* of the whole record, this header included */
	__u64 time_ns;	 /* when the program emitted it, CLOCK_BOOTTIME */
	__u64 member;	 /* owner; 0 if none */
	__u64 cgroup_id; /* of the process or socket; 0 for a device */
};
SP_ASSERT_SIZE(event_header, 32);

/* Identifies a process or thread: ids are reused, but not with the same start time. */
struct process_key {
	__u32 tgid;	/* process id */
	__u32 tid;	/* thread id */
	__u64 start_ns; /* start_boottime of the thread group leader */
};
SP_ASSERT_SIZE(process_key, 16);

struct endpoint {
	__u8 address[16]; /* IPv6, network byte order */
	__u16 port;	  /* host byte order */
	__u16 pad0;
	__u32 pad1;
};
SP_ASSERT_SIZE(endpoint, 24);

enum exec_flags {
	EXEC_ARGS_TRUNCATED = 1 << 0,
	EXEC_ARGS_UNREADABLE = 1 << 1,
	EXEC_SCRIPT = 1 << 2, /* the executable is the interpreter of a script */
	EXEC_PATH_TRUNCATED = 1 << 3,
	EXEC_CWD_TRUNCATED = 1 << 4,
};

/*
 * The struct is followed by four texts without padding. They are the executable's path, the working
 * directory, the script's path with its NUL, and the arguments. Paths are components, deepest
 * first, each with its NUL. Arguments are separated by NUL, as in /proc/PID/cmdline.
 */
struct exec_event {
	struct event_header header;
	struct process_key process; /* the thread that called exec */
	struct process_key parent;
	__u32 netns; /* inode number of the network namespace */
	__u16 path_bytes;
	__u16 cwd_bytes;
	__u16 script_bytes; /* 0 if there is no script, or its path cannot be read */
	__u16 args_bytes;
	__u32 pad0;
	char comm[COMM_BYTES]; /* name of the thread, ends with NUL */
};
SP_ASSERT_SIZE(exec_event, 96);

enum exit_flags {
	EXIT_OOM = 1 << 0,
};

struct exit_event {
	struct event_header header;
	struct process_key process; /* its last thread */
	__u32 status;		    /* as wait(2) returns it */
	__u32 pad0;
};
SP_ASSERT_SIZE(exit_event, 56);

struct fork_event {
	struct event_header header;
	struct process_key process; /* the new process */
	struct process_key parent;
	char comm[COMM_BYTES];
	__u32 netns;
	__u32 pad0;
};
SP_ASSERT_SIZE(fork_event, 88);

struct connect_event {
	struct event_header header;
	__u64 cookie;		    /* socket cookie, unique until the host restarts */
	struct process_key process; /* that uses the socket */
	struct endpoint peer;	    /* destination that the program passed, before NAT */
	char comm[COMM_BYTES];
	__u32 transport; /* TRANSPORT_TCP or TRANSPORT_UDP */
	__u32 netns;	 /* network namespace of the process, inode number */
};
SP_ASSERT_SIZE(connect_event, 104);

enum connect_result_flags {
	/* connect(2) or send(2) returned the error; else it comes from the socket's state */
	RESULT_RETURNED = 1 << 0,
};

struct connect_result_event {
	struct event_header header;
	__u64 cookie;	      /* of the socket, as in connect_event */
	struct endpoint peer; /* UDP only, because a UDP socket may have many peers; else 0 */
	__u32 transport;
	/*
	 * errno. 0 means established (TCP) or answered (UDP). With `established` 0 it means that
	 * the caller gave up (TCP).
	 */
	__u32 error;
	__u32 established; /* 1: the peer accepted (TCP) or answered (UDP) */
	__u32 pad0;
};
SP_ASSERT_SIZE(connect_result_event, 80);

struct close_event {
	struct event_header header;
	__u64 cookie;		      /* of the socket, as in connect_event */
	__u64 bytes[DIRECTION_COUNT]; /* TCP payload; for UDP see udp_flows */
	__u32 transport;
	__u32 error; /* errno that is pending on the socket, as ECONNRESET */
};
SP_ASSERT_SIZE(close_event, 64);

/*
 * Netfilter dropped a packet of the sandbox. Emitted for the first packet of a TCP attempt and for
 * the first one of a UDP flow. member_counters.denied counts TCP attempts and all UDP datagrams.
 */
struct denied_event {
	struct event_header header;
	__u64 cookie;
	struct process_key process; /* all 0 if the packet had no socket any more */
	struct endpoint peer;	    /* destination that the program passed, before NAT */
	char comm[COMM_BYTES];
	__u32 transport;
	__u32 pad0;
};
SP_ASSERT_SIZE(denied_event, 104);

enum nft_result {
	NFT_COMMITTED = 0,
	NFT_ABORTED = 1, /* the cause is in an NFT_REJECTED event of the same thread */
	/* A message was answered with an error. The batch was aborted or not tried at all. */
	NFT_REJECTED = 2,
	/*
	 * Bytes were sent to nfnetlink. With an error, the change was rejected. Without, it was
	 * committed or it was only a query.
	 */
	NFT_SENT = 3,
};

/* A change of nftables rules, or a message to nfnetlink that may be one. */
struct nft_event {
	struct event_header header; /* the member is the owner of the network namespace */
	struct process_key process; /* the process that made the change */
	__u64 actor;		    /* the member of that process, 0 if none */
	__u32 netns;		    /* network namespace of the rules, inode number */
	__s32 error;		    /* -errno, 0 if unknown */
	__u32 result;		    /* enum nft_result */
	__u32 pad0;
	char comm[COMM_BYTES];
};
SP_ASSERT_SIZE(nft_event, 88);

struct cgroup_event {
	struct event_header header;
	__u32 path_bytes; /* without the NUL; CGROUP_PATH_BYTES - 1 if the path was cut */
	__u32 pad0;
	char path[CGROUP_PATH_BYTES]; /* from the root of the cgroup hierarchy */
};
SP_ASSERT_SIZE(cgroup_event, 552);

/* Key of the longest-prefix trie over cgroup names: the first `bits` bits of `name`. */
struct name_prefix {
	__u32 bits;
	char name[CGROUP_NAME_PREFIX];
};
SP_ASSERT_SIZE(name_prefix, 64);

/* Owner of a network namespace: the first member that had a process there. */
struct netns_owner {
	struct owner owner;
	/* 1: sockets and packets there that no watched cgroup owns belong to the owner, too */
	__u64 claims_unwatched;
};
SP_ASSERT_SIZE(netns_owner, 24);

enum dns_flags {
	/* NAT: the packet leaves to another destination than the program asked for */
	DNS_REDIRECTED = 1 << 0,
	DNS_DENIED = 1 << 1, /* netfilter dropped the packet */
	DNS_LOCAL = 1 << 2,  /* the server that answers is itself in the sandbox */
};

struct dns_event {
	struct event_header header;
	__u64 cookie;		    /* of the socket */
	struct process_key process; /* last process that used the socket to send */
	/*
	 * Query: destination that the program passed, before NAT. Answer: source address of the
	 * packet.
	 */
	struct endpoint server;
	__u32 transport;
	/*
	 * Payload of the datagram, or of this segment of the stream. A datagram may be larger than
	 * its data_bytes.
	 */
	__u32 payload_bytes;
	__u32 data_bytes; /* bytes in data[]; 0 if they could not be read */
	__u32 tcp_seq;	  /* sequence number of data[0] */
	__u32 tcp_ack;	  /* acknowledgment number of the segment */
	__u32 pad0;
#ifndef __cplusplus
	__u8 data[];
#endif
};
SP_ASSERT_SIZE(dns_event, 104);

/*
 * Value of `members`, a per-CPU map. BPF programs only add to it and never reset it, so that a
 * reader can subtract two readings.
 */
struct member_counters {
	__u64 produced[EVENT_KIND_SLOTS]; /* events by kind: emitted, dropped or limited */
	__u64 dropped[EVENT_KIND_SLOTS];  /* the ring buffer was full */
	/* the sandbox had used up its share of the ring buffer */
	__u64 limited[EVENT_KIND_SLOTS];
	__u64 attempts[TRANSPORT_COUNT][NETWORK_COUNT]; /* TCP connects, first UDP datagrams */
	__u64 attempts_dropped[TRANSPORT_COUNT]
			      /* attempts without an EVENT_CONNECT: it was dropped or limited */
			      [NETWORK_COUNT];
	__u64 network_io[DIRECTION_COUNT]; /* bytes of IP packets, without loopback */
	/* entries (socket state, flow, cgroup) that a map had no memory for */
	__u64 storage_failed;
	/* by netfilter, without loopback: TCP attempts, UDP datagrams */
	__u64 denied[TRANSPORT_COUNT];
	__u64 exits[EXITED_COUNT]; /* ended processes */
};
SP_ASSERT_SIZE(member_counters, 520);

/* How much one sandbox may write to a ring buffer; see take_budget(). */
struct ring_limit {
	__u64 spare_bytes; /* There is no limit while the ring holds at most this many bytes. */
	/*
	 * The price of a byte doubles with each step of this size that the ring holds above
	 * spare_bytes. 0: no limit.
	 */
	__u64 step_bytes;
	/* Price of a byte on the first step: the time in which the budget grows by one byte. */
	__u64 ns_per_byte;
	__u64 burst_ns; /* the largest budget, as the time in which it grows */
};
SP_ASSERT_SIZE(ring_limit, 32);

/* The rest of a sandbox's budget, for each ring. */
struct ring_budget {
	/* the time at which the budget is full again if nothing more is written */
	__u64 full_at_ns[RING_COUNT];
};
SP_ASSERT_SIZE(ring_budget, 16);

struct udp_flow_key {
	__u64 cookie; /* of the socket */
	struct endpoint peer;
};
SP_ASSERT_SIZE(udp_flow_key, 32);

struct udp_flow {
	__u64 bytes[DIRECTION_COUNT]; /* UDP payload */
	__u64 denied;		      /* datagrams that netfilter dropped */
};
SP_ASSERT_SIZE(udp_flow, 24);

/* A TCP connection on a watched device. For UDP a socket of the guest: the peer is 0. */
struct device_flow_key {
	struct endpoint guest, peer;
	__u64 member;
	__u64 transport; /* TRANSPORT_TCP or TRANSPORT_UDP */
};
SP_ASSERT_SIZE(device_flow_key, 64);

enum device_flow_state {
	FLOW_TRYING = 0,
	FLOW_ESTABLISHED = 1,
	FLOW_CLOSED = 2, /* kept so that a retransmission is not taken for a new attempt */
};

struct device_flow {
	__u64 cookie;			 /* random, with COOKIE_DEVICE_BIT */
	__u64 bytes[DIRECTION_COUNT];	 /* TCP payload */
	__u32 syn_seq;			 /* sequence number of the SYN */
	__u32 next_seq[DIRECTION_COUNT]; /* next expected sequence number */
	__u8 state;			 /* TCP: enum device_flow_state */
	__u8 fin_seen;			 /* bit n: a FIN was seen in direction n */
	__u16 pad0;
};
SP_ASSERT_SIZE(device_flow, 40);

/* Record of the socket-storage iterator: one for each open socket that a sandbox used. */
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
