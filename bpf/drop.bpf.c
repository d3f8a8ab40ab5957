// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Packets that netfilter dropped: a denied attempt. To the program a dropped SYN looks like a peer
// that does not answer.
//
// kfree_skb has the packet, its socket and the reason of the drop. It often runs in softirq, where
// `current` is an unrelated task, so the owner comes from the socket of the packet.
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/skb.bpf.h"
#include "bpf/socket.bpf.h"

/*
 * `state` is NULL if the packet has no socket any more. User space then finds the process by the
 * cookie of the attempt.
 */
static __always_inline void emit_denied(struct sandbox_ref *ref, __u64 cookie,
					const struct socket_state *state,
					const struct endpoint *peer, __u32 transport)
{
	struct denied_event *event = RESERVE_BULK(ref, EVENT_DENIED, sizeof(*event));

	if (!event)
		return;
	event->cookie = cookie;
	event->peer = *peer;
	__builtin_memset(&event->process, 0, sizeof(event->process));
	__builtin_memset(event->comm, 0, COMM_BYTES);
	if (state) {
		event->process = state->process;
		__builtin_memcpy(event->comm, state->comm, COMM_BYTES);
	}
	event->transport = transport;
	event->pad0 = 0;
	submit_event(event);
}

/* A DNS query that netfilter dropped: emitted as a query with the flag DNS_DENIED. */
static __always_inline void emit_denied_query(struct sandbox_ref *ref, __u64 cookie,
					      const struct socket_state *state,
					      const struct endpoint *server,
					      const struct skb_packet *p)
{
	struct dns_event *event = RESERVE_BULK(ref, EVENT_DNS_QUERY, sizeof(*event) + DNS_SMALL);
	__u32 bytes = p->payload_bytes;

	if (!event)
		return;
	event->header.flags |= DNS_DENIED;
	event->cookie = cookie;
	__builtin_memset(&event->process, 0, sizeof(event->process));
	if (state)
		event->process = state->process;
	event->server = *server;
	event->transport = TRANSPORT_UDP;
	event->payload_bytes = p->payload_bytes;
	event->tcp_seq = 0;
	event->tcp_ack = 0;
	event->pad0 = 0;
	asm volatile("" : "+r"(bytes));
	if (bytes > DNS_SMALL)
		bytes = DNS_SMALL;
	event->data_bytes = bpf_probe_read_kernel(event->data, bytes, p->payload) ? 0 : bytes;
	submit_event(event);
}

/* TCP retransmits the SYN of an attempt. The attempt is denied once. */
static __always_inline void report_denied_tcp(struct sandbox_ref *ref, __u64 cookie,
					      struct socket_state *state)
{
	if (state->denied)
		return;
	state->denied = 1;
	add(&ref->counters->denied[TRANSPORT_TCP], 1);
	emit_denied(ref, cookie, state, &state->peer, TRANSPORT_TCP);
}

/*
 * Each UDP datagram counts as denied. Only the first one of a flow emits an event; the others are
 * counted in the flow.
 */
static __always_inline void report_denied_udp(struct sandbox_ref *ref, __u64 cookie,
					      struct socket_state *state,
					      const struct endpoint *destination)
{
	struct udp_flow_key key = { .cookie = cookie, .peer = *destination };
	struct udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &key);
	bool created;

	add(&ref->counters->denied[TRANSPORT_UDP], 1);
	if (!flow) {
		/*
		 * NAT changed the destination before the drop, or this is the first datagram of a
		 * connected socket.
		 */
		key.peer = state->peer;
		flow = open_udp_flow(ref, cookie, state, &key.peer, &created);
	}
	if (!flow || !flow->denied)
		emit_denied(ref, cookie, state, &key.peer, TRANSPORT_UDP);
	if (flow)
		add(&flow->denied, 1);
}

static __always_inline struct socket_state *
get_or_create_state(struct sock *sk, struct sandbox_ref *ref, const struct skb_packet *p)
{
	struct socket_state *state = FIND_SOCKET_STATE(sk, socket_cookie(sk));

	if (state)
		return state;
	/* The socket is older than the watch. The packet has the destination. */
	state = GET_SOCKET_STATE(sk, socket_cookie(sk));
	if (!state) {
		add(&ref->counters->storage_failed, 1);
		return NULL;
	}
	state->peer = p->destination;
	state->owner = ref->owner;
	state->cgroup_id = ref->cgroup_id;
	state->transport = p->transport;
	state->dns = is_dns_port(p->destination.port);
	state->ever_dns = state->dns;
	return state;
}

/* True if the packet reached its destination, where the rules are those of the peer. */
static __always_inline bool is_local_delivery(struct sk_buff *skb, const struct skb_packet *p)
{
	void *route = (void *)(BPF_CORE_READ(skb, _skb_refdst) & SKB_DST_PTRMASK);

	if (!route)
		return false;
	if (is_ipv4(&p->source))
		return BPF_CORE_READ((struct rtable *)route, rt_type) == RTN_LOCAL;
	return BPF_CORE_READ((struct rt6_info *)route, rt6i_flags) & RTF_LOCAL;
}

/*
 * A packet that the host forwards for a sandbox in another network namespace. Its owner is found by
 * the source address with which it left the namespace.
 */
static __always_inline int handle_forward_drop(struct sk_buff *skb)
{
	struct source_key key = {};
	struct source *source;
	const struct endpoint *peer;
	struct udp_flow *flow;
	struct sandbox_ref ref;
	struct skb_packet p;

	if (!read_skb(skb, &p))
		return 0;
	key.address = p.source;
	key.transport = p.transport;
	source = bpf_map_lookup_elem(&sources, &key);
	if (!source || source->ambiguous || is_local_delivery(skb, &p) ||
	    !init_ref(&source->owner, source->cgroup_id, &ref))
		return 0;
	if (p.transport == TRANSPORT_TCP) {
		if (source->denied)
			return 0;
		source->denied = 1;
		add(&ref.counters->denied[TRANSPORT_TCP], 1);
		emit_denied(&ref, source->cookie, NULL, &source->peer, TRANSPORT_TCP);
		return 0;
	}
	add(&ref.counters->denied[TRANSPORT_UDP], 1);
	if (is_dns_port(p.destination.port)) {
		emit_denied_query(&ref, source->cookie, NULL, &p.destination, &p);
		return 0;
	}
	peer = &p.destination;
	flow = find_udp_flow(source->cookie, peer);
	if (!flow) {
		peer = &source->peer;
		flow = find_udp_flow(source->cookie, peer);
	}
	if (!flow || !flow->denied)
		emit_denied(&ref, source->cookie, NULL, peer, TRANSPORT_UDP);
	if (flow)
		add(&flow->denied, 1);
	return 0;
}

static __always_inline int handle_netfilter_drop(struct sk_buff *skb)
{
	struct socket_state *state;
	struct skb_packet p;
	struct sandbox_ref ref;
	struct sock *sk;
	__u64 cookie;

	/* The packet arrived on a device: it is forwarded, or it is for a socket of the sandbox. */
	if (skb->skb_iif)
		return handle_forward_drop(skb);
	sk = skb->sk;
	if (!sk ||
	    !find_socket_owner(socket_cgroup_id(sk), FIND_SOCKET_STATE(sk, socket_cookie(sk)),
			       &ref) ||
	    !read_skb(skb, &p))
		return 0;
	state = get_or_create_state(sk, &ref, &p);
	if (!state || is_loopback(&state->peer))
		return 0;
	cookie = socket_cookie(sk);
	if (p.transport == TRANSPORT_TCP) {
		report_denied_tcp(&ref, cookie, state);
	} else if (state->dns) {
		add(&ref.counters->denied[TRANSPORT_UDP], 1);
		emit_denied_query(&ref, cookie, state, &state->peer, &p);
	} else {
		report_denied_udp(&ref, cookie, state, &p.destination);
	}
	return 0;
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(handle_dropped_packet, struct sk_buff *skb, void *location, unsigned int reason)
{
	if (reason != bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NETFILTER_DROP))
		return 0;
	return handle_netfilter_drop(skb);
}

/*
 * Set at load: the code of nf_hook_slow(), the only function that frees packets for netfilter
 * before 6.7.
 */
const volatile __u64 cfg_hook_begin = 0, cfg_hook_end = 0;

/*
 * Second choice, before 5.17, where drops have no reason: the address of the code that frees the
 * packet.
 */
SEC("tp_btf/kfree_skb")
int BPF_PROG(handle_kfree_skb_by_caller, struct sk_buff *skb, __u64 location)
{
	if (location < cfg_hook_begin || location >= cfg_hook_end)
		return 0;
	return handle_netfilter_drop(skb);
}

/*
 * Last choice: the verdict of the netfilter hooks. The packet is freed already, so all data come
 * from the socket.
 */
SEC("fexit/nf_hook_slow")
int BPF_PROG(handle_hook_verdict, struct sk_buff *skb, struct nf_hook_state *hook,
	     const void *entries, unsigned int index, int verdict)
{
	struct socket_state *state;
	struct sandbox_ref ref;
	struct sock *sk = hook->sk;
	__u64 cookie;

	if (verdict >= 0 || !sk ||
	    (hook->hook != NF_INET_LOCAL_OUT && hook->hook != NF_INET_POST_ROUTING))
		return 0;
	state = FIND_SOCKET_STATE(sk, socket_cookie(sk));
	if (!find_socket_owner(socket_cgroup_id(sk), state, &ref) || !state ||
	    is_loopback(&state->peer))
		return 0;
	cookie = socket_cookie(sk);
	if (state->transport == TRANSPORT_TCP)
		report_denied_tcp(&ref, cookie, state);
	else
		report_denied_udp(&ref, cookie, state, &state->peer);
	return 0;
}
