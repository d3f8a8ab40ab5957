// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Denied, and not merely broken: packets of the sandbox that netfilter threw away. A dropped SYN
// looks to the program like a dead peer; the kernel says why it dropped it, and whose it was. Runs
// in softirq too: whose is told by the packet's socket, never by "current".
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/skb.bpf.h"
#include "bpf/socket.bpf.h"

/* `state` is left out where the packet has no socket any more: user space knows the attempt by its
 * cookie. */
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

/* A query that netfilter threw away is still a question: user space hears it as one, denied. */
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

/* TCP: the SYN of one attempt is sent again and again, and denied once. */
static __always_inline void report_denied_tcp(struct sandbox_ref *ref, __u64 cookie,
					      struct socket_state *state)
{
	if (state->denied)
		return;
	state->denied = 1;
	add(&ref->counters->denied[TRANSPORT_TCP], 1);
	emit_denied(ref, cookie, state, &state->peer, TRANSPORT_TCP);
}

/* UDP: each datagram is a send of its own and counts; the first one of a flow is told, the rest is
 * in the flow. */
static __always_inline void report_denied_udp(struct sandbox_ref *ref, __u64 cookie,
					      struct socket_state *state,
					      const struct endpoint *destination)
{
	struct udp_flow_key key = { .cookie = cookie, .peer = *destination };
	struct udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &key);
	bool created;

	add(&ref->counters->denied[TRANSPORT_UDP], 1);
	if (!flow) {
		/* NAT changed the destination before the drop, or this is the first datagram of a
		 * connected socket. */
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
	/* A socket from before the sandbox was watched: the packet tells where it goes. */
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

/* At its destination, where the rules are the peer's own. */
static __always_inline bool is_local_delivery(struct sk_buff *skb, const struct skb_packet *p)
{
	void *route = (void *)(BPF_CORE_READ(skb, _skb_refdst) & SKB_DST_PTRMASK);

	if (!route)
		return false;
	if (is_ipv4(&p->source))
		return BPF_CORE_READ((struct rtable *)route, rt_type) == RTN_LOCAL;
	return BPF_CORE_READ((struct rt6_info *)route, rt6i_flags) & RTF_LOCAL;
}

/* Forwarded by the host for a sandbox in a namespace of its own: known by the source that the
 * packet left it with. */
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

	/* What came in by a device is on its way through, or to one of the sandbox's sockets. */
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

/* The code of nf_hook_slow(), the only one that drops what a hook refuses. */
const volatile __u64 cfg_hook_begin = 0, cfg_hook_end = 0;

/* Next best, where drops carry no reason, before 5.17: the place that drops it. */
SEC("tp_btf/kfree_skb")
int BPF_PROG(handle_kfree_skb_by_caller, struct sk_buff *skb, __u64 location)
{
	if (location < cfg_hook_begin || location >= cfg_hook_end)
		return 0;
	return handle_netfilter_drop(skb);
}

/* Last, the verdict of the hooks. The packet is gone by then, so all is taken from the socket. */
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
