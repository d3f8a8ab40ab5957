/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Shared by all programs on sockets and packets: endpoints, the owner and state of a socket, and
 * the events of a connection attempt.
 */
#ifndef SANDPIPER_SOCKET_BPF_H
#define SANDPIPER_SOCKET_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "bpf/emit.bpf.h"

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPV6_HEADER 40
#define IPV6_EXTENSIONS_MAX 4 /* more than any network stack sends */
#define UDP_HEADER 8

/*
 * Set at load: ports of DNS servers; unused slots are 0. A proxy behind a redirect may listen on
 * another port, because the port before NAT is compared.
 */
const volatile __u16 cfg_dns_ports[4] = { 53 };

static __always_inline bool is_dns_port(__u16 port)
{
	return port && (port == cfg_dns_ports[0] || port == cfg_dns_ports[1] ||
			port == cfg_dns_ports[2] || port == cfg_dns_ports[3]);
}

static __always_inline void set_ipv4(struct endpoint *e, __u32 address_be, __u16 port)
{
	__builtin_memset(e, 0, sizeof(*e));
	e->address[10] = 0xff;
	e->address[11] = 0xff;
	__builtin_memcpy(e->address + 12, &address_be, 4);
	e->port = port;
}

static __always_inline bool is_ipv4(const struct endpoint *e)
{
	const __u32 *words = (const __u32 *)e->address;

	return words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff);
}

static __always_inline bool is_loopback(const struct endpoint *e)
{
	const __u64 *halves = (const __u64 *)e->address;

	return is_ipv4(e) ? e->address[12] == 127
			  : halves[0] == 0 && halves[1] == bpf_cpu_to_be64(1);
}

/* Hop-by-hop options, routing, destination options: RFC 8200 section 4. */
static __always_inline bool is_ipv6_extension(__u8 protocol)
{
	return protocol == 0 || protocol == 43 || protocol == 60;
}

static __always_inline bool same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	const __u64 *x = (const __u64 *)a->address;
	const __u64 *y = (const __u64 *)b->address;

	return x[0] == y[0] && x[1] == y[1] && a->port == b->port;
}

static const struct socket_state no_state = {};

static __always_inline struct socket_state *new_state_by_cookie(__u64 cookie)
{
	bpf_map_update_elem(&states_by_cookie, &cookie, &no_state, BPF_NOEXIST);
	return bpf_map_lookup_elem(&states_by_cookie, &cookie);
}

/*
 * The state of a socket, NULL if it has none. `sk` is a pointer that bpf_sk_storage_get() takes in
 * this program type. `its_cookie` is evaluated only if it is needed. A macro, because the verifier
 * must see the type of `sk`.
 */
#define FIND_SOCKET_STATE(sk, its_cookie)                                          \
	({                                                                         \
		struct socket_state *_state;                                       \
		if (cfg_socket_storage) {                                          \
			_state = bpf_sk_storage_get(&socket_states, sk, 0, 0);     \
		} else {                                                           \
			__u64 _cookie = its_cookie;                                \
			_state = bpf_map_lookup_elem(&states_by_cookie, &_cookie); \
		}                                                                  \
		_state;                                                            \
	})

/* As above, but adds a missing state. NULL if the kernel has no memory for it. */
#define GET_SOCKET_STATE(sk, its_cookie)                                                  \
	(cfg_socket_storage ? (struct socket_state *)bpf_sk_storage_get(                  \
				      &socket_states, sk, 0, BPF_SK_STORAGE_GET_F_CREATE) \
			    : new_state_by_cookie(its_cookie))

/*
 * For programs on tracepoints, which cannot call bpf_get_socket_cookie(). 0 if no cgroup program
 * has assigned a cookie: then no sandbox used the socket.
 */
static __always_inline __u64 socket_cookie(struct sock *sk)
{
	return sk->__sk_common.skc_cookie.counter;
}

/* Up to 5.14 the pointer to the cgroup carries tag bits, and each field is read by a helper. */
static __always_inline __u64 untagged_cgroup_id(struct sock *sk)
{
	struct sock_cgroup_data___v510 *data =
		(void *)__builtin_preserve_access_index(&sk->sk_cgrp_data);
	__u64 tagged = BPF_CORE_READ(data, val);

	if (tagged & 1) /* it holds cgroup v1 class ids and no pointer */
		return 0;
	return BPF_CORE_READ((struct cgroup *)(tagged & ~3ULL), kn, id);
}

/*
 * The cgroup of the socket, for programs without a helper that returns it. `sk` must be a typed
 * pointer.
 */
static __always_inline __u64 socket_cgroup_id(struct sock *sk)
{
	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return READ_ONLY(sk)->sk_cgrp_data.cgroup->kn->id;
	return untagged_cgroup_id(sk);
}

/* Fast path for sockets outside every sandbox: one array lookup. */
static __always_inline bool is_unwatched(__u64 cgroup_id)
{
	struct watch *watch = get_watch();

	return watch && !watch->counts[watch_slot(cgroup_id)] && !watch->foreign_sockets;
}

/*
 * The owner that connect.bpf.c stored in the state when a sandbox used a socket of another cgroup.
 */
static __always_inline bool find_state_owner(__u64 cgroup_id, const struct socket_state *state,
					     struct sandbox_ref *ref)
{
	if (!state || !state->flags || !init_ref(&state->owner, cgroup_id, ref))
		return false;
	ref->flags = state->flags;
	return true;
}

/* The owner by the cgroup of the socket, else by its state. */
static __always_inline bool find_socket_owner(__u64 cgroup_id, const struct socket_state *state,
					      struct sandbox_ref *ref)
{
	return find_cgroup_owner(cgroup_id, ref) || find_state_owner(cgroup_id, state, ref);
}

/* Counts an attempt and emits EVENT_CONNECT. */
static __always_inline void emit_connect(struct sandbox_ref *ref, __u64 cookie,
					 const struct socket_state *state,
					 const struct endpoint *peer)
{
	__u32 transport = state->transport & 1;
	__u32 network = is_ipv4(peer) ? NETWORK_IPV4 : NETWORK_IPV6;
	struct connect_event *event;

	add(&ref->counters->attempts[transport][network], 1);
	event = RESERVE_BULK(ref, EVENT_CONNECT, sizeof(*event));
	if (!event) {
		add(&ref->counters->attempts_dropped[transport][network], 1);
		return;
	}
	event->cookie = cookie;
	event->process = state->process;
	event->peer = *peer;
	__builtin_memcpy(event->comm, state->comm, COMM_BYTES);
	event->transport = transport;
	event->netns = state->netns;
	submit_event(event);
}

/*
 * Without `peer`, user space finds the attempt by the socket alone. Returns false if the event was
 * dropped.
 */
static __always_inline bool emit_result(struct sandbox_ref *ref, __u64 cookie,
					const struct endpoint *peer, __u32 transport, __u32 error,
					__u32 established, __u16 flags)
{
	struct connect_result_event *event =
		RESERVE_BULK(ref, EVENT_CONNECT_RESULT, sizeof(*event));

	if (!event)
		return false;
	event->header.flags |= flags;
	event->cookie = cookie;
	if (peer)
		event->peer = *peer;
	else
		__builtin_memset(&event->peer, 0, sizeof(event->peer));
	event->transport = transport;
	event->error = error;
	event->established = established;
	event->pad0 = 0;
	submit_event(event);
	return true;
}

static __always_inline bool emit_close(struct sandbox_ref *ref, __u64 cookie, __u32 transport,
				       __u64 sent, __u64 received, __u32 error)
{
	struct close_event *event = RESERVE_BULK(ref, EVENT_CLOSE, sizeof(*event));

	if (!event)
		return false;
	event->cookie = cookie;
	event->bytes[DIRECTION_SENT] = sent;
	event->bytes[DIRECTION_RECEIVED] = received;
	event->transport = transport;
	event->error = error;
	submit_event(event);
	return true;
}

static __always_inline struct udp_flow *find_udp_flow(__u64 cookie, const struct endpoint *peer)
{
	struct udp_flow_key key = { .cookie = cookie, .peer = *peer };

	return bpf_map_lookup_elem(&udp_flows, &key);
}

/*
 * Returns the flow to `peer`. Adds it, and reports the attempt, if there is none. NULL, after
 * counting, if the kernel has no memory for it.
 */
static __always_inline struct udp_flow *open_udp_flow(struct sandbox_ref *ref, __u64 cookie,
						      const struct socket_state *state,
						      const struct endpoint *peer, bool *created)
{
	struct udp_flow_key key = { .cookie = cookie, .peer = *peer };
	struct udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &key);
	struct udp_flow zero = {};

	*created = false;
	if (flow)
		return flow;
	/* Two threads may add the same flow. Only one of them reports the attempt. */
	*created = !bpf_map_update_elem(&udp_flows, &key, &zero, BPF_NOEXIST);
	flow = bpf_map_lookup_elem(&udp_flows, &key);
	if (!flow)
		add(&ref->counters->storage_failed, 1);
	if (*created || !flow)
		emit_connect(ref, cookie, state, peer);
	return flow;
}

#endif
