// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// What the sandbox's sockets send and receive: bytes, UDP flows, and the payload of DNS sockets.
// cgroup_skb sees packets after NAT and often in softirq: which socket this is about, and what it
// asked for, was noted by connect.bpf.c; nothing is taken from "current".
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#include "bpf/packet.bpf.h"

static __always_inline void account_udp_sent(struct sandbox_ref *ref, __u64 cookie,
					     struct socket_state *state, const struct packet *p)
{
	struct udp_flow_key key = { .cookie = cookie, .peer = p->destination };
	struct udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &key);
	bool created;

	/* Not known by the packet's own destination: NAT changed it, or this is the first packet of
	 * a connected socket. */
	if (!flow)
		flow = open_udp_flow(ref, cookie, state, &state->peer, &created);
	if (flow)
		add(&flow->bytes[DIRECTION_SENT], p->payload_bytes);
}

/* Who answers over loopback is a server within the sandbox. */
static __always_inline void note_server(struct __sk_buff *skb, struct sandbox_ref *ref,
					__u64 cookie, const struct packet *p)
{
	struct local_server server = { .sandbox = ref->owner.sandbox, .address = p->destination };
	__u8 yes = 1;

	if (note_inbound(cookie, p) && skb->ifindex == LOOPBACK_IFINDEX)
		bpf_map_update_elem(&local_servers, &server, &yes, BPF_ANY);
}

/* A server of its own answers over loopback, as it was noted. */
static __always_inline __u16 dns_flags(struct __sk_buff *skb, struct sandbox_ref *ref,
				       const struct socket_state *state, int direction)
{
	struct local_server server = { .sandbox = ref->owner.sandbox,
				       .address = state->dns_destination };

	if (direction == DIRECTION_RECEIVED)
		return skb->ifindex == LOOPBACK_IFINDEX &&
				       bpf_map_lookup_elem(&local_servers, &server)
			       ? DNS_LOCAL
			       : 0;
	return same_endpoint(&state->dns_destination, &state->peer) ? 0 : DNS_REDIRECTED;
}

/* A socket that asked before it was watched, or that no hook saw: the port in the packet still says
 * DNS. */
static __always_inline struct socket_state *
adopt_dns_socket(struct bpf_sock *sk, __u64 cookie, __u64 cgroup_id, const struct packet *p)
{
	struct socket_state *state;

	if (p->transport != TRANSPORT_UDP || !is_dns_port(p->destination.port))
		return NULL;
	state = GET_SOCKET_STATE(sk, cookie);
	if (!state)
		return NULL;
	state->peer = p->destination;
	state->cgroup_id = cgroup_id;
	state->transport = TRANSPORT_UDP;
	state->dns = 1;
	state->ever_dns = 1;
	return state;
}

static __always_inline struct dns_message
make_dns_message(struct __sk_buff *skb, struct sandbox_ref *ref, struct socket_state *state,
		 struct packet *p, const struct endpoint *server, __u64 cookie, int direction)
{
	struct dns_message m = {
		.ref = ref,
		.packet = p,
		.process = &state->process,
		.server = server,
		.cookie = cookie,
		.kind = direction == DIRECTION_SENT ? EVENT_DNS_QUERY : EVENT_DNS_ANSWER,
		.flags = dns_flags(skb, ref, state, direction),
	};

	return m;
}

/*
 * One more chunk of a stream, of which 0 is the last. `header`: the offset of TCP's. Such chunks
 * are rare: it works out anew whose they are, and is not static, so that the verifier looks at it
 * once and not at each call; nor does it parse what is before that header, of which there are many
 * ways for the verifier to follow. Who answers on a stream is whom it was opened to.
 */
__noinline int emit_dns_chunk_at(struct __sk_buff *skb, __u32 direction, __u32 done, __u32 header)
{
	struct bpf_sock *sk = skb->sk ? bpf_sk_fullsock(skb->sk) : NULL;
	struct socket_state *state = sk ? FIND_SOCKET_STATE(sk, bpf_get_socket_cookie(skb)) : NULL;
	struct packet p = { .bytes = skb->len };
	struct dns_message m;
	struct sandbox_ref ref;

	if (!state || !find_socket_owner(bpf_skb_cgroup_id(skb), state, &ref) ||
	    !parse_ports(skb, IPPROTO_TCP, header, &p))
		return 0;
	m = make_dns_message(skb, &ref, state, &p, &state->peer, bpf_get_socket_cookie(skb),
			     direction);
	return emit_dns_rest(skb, &m, done);
}

/* The offset of TCP's header where the packet is of DNS and there is more of it than was passed on,
 * else 0. */
static __always_inline __u32 account_packet(struct __sk_buff *skb, __u64 cgroup_id, int direction)
{
	struct socket_state *state;
	struct dns_message m;
	struct sandbox_ref ref;
	struct bpf_sock *sk;
	struct packet p;
	bool plain_tcp, leaves;
	__u64 cookie;

	sk = skb->sk ? bpf_sk_fullsock(skb->sk) : NULL;
	state = sk ? FIND_SOCKET_STATE(sk, bpf_get_socket_cookie(skb)) : NULL;
	plain_tcp = state && state->transport == TRANSPORT_TCP && !state->dns;
	if (plain_tcp && skb->ifindex == LOOPBACK_IFINDEX)
		return 0;
	if (!find_socket_owner(cgroup_id, state, &ref))
		return 0;
	if (skb->ifindex != LOOPBACK_IFINDEX)
		add(&ref.counters->network_io[direction], skb->len);
	if (!sk)
		return 0;
	leaves = state && direction == DIRECTION_SENT && !state->source.port &&
		 skb->ifindex != LOOPBACK_IFINDEX;
	if (plain_tcp && !leaves)
		return 0;
	if (!state && sk->protocol != IPPROTO_UDP)
		return 0;
	if (!parse_packet(skb, &p))
		return 0;
	cookie = bpf_get_socket_cookie(skb);
	if (leaves)
		note_source(&ref, cookie, state, &p);
	if (plain_tcp)
		return 0;
	if (!state && direction == DIRECTION_SENT)
		state = adopt_dns_socket(sk, cookie, ref.cgroup_id, &p);
	if (!state) {
		if (direction == DIRECTION_RECEIVED)
			note_server(skb, &ref, cookie, &p);
		return 0;
	}
	if (p.transport == TRANSPORT_UDP && direction == DIRECTION_SENT && !state->dns) {
		account_udp_sent(&ref, cookie, state, &p);
		return 0;
	}
	if (p.transport == TRANSPORT_UDP && direction == DIRECTION_RECEIVED &&
	    !(state->ever_dns && is_dns_port(p.source.port))) {
		if (account_udp_received(&ref, cookie, &p))
			return 0;
		/* What comes to a DNS socket is DNS, also from where nothing was asked: user space
		 * tells that from an answer. */
		if (!state->ever_dns) {
			note_server(skb, &ref, cookie, &p);
			return 0;
		}
	}
	if (direction == DIRECTION_SENT)
		state->dns_destination = p.destination;
	m = make_dns_message(skb, &ref, state, &p,
			     direction == DIRECTION_SENT ? &state->peer : &p.source, cookie,
			     direction);
	return emit_dns(skb, &m) ? p.header : 0;
}

/* Not static, so that what they need of the stack is not there beside what emit_more_dns needs. */
__noinline int account_sent_packet(struct __sk_buff *skb, __u64 cgroup_id)
{
	return account_packet(skb, cgroup_id, DIRECTION_SENT);
}

__noinline int account_received_packet(struct __sk_buff *skb, __u64 cgroup_id)
{
	return account_packet(skb, cgroup_id, DIRECTION_RECEIVED);
}

/* Clang unrolls it: a loop would need registers that are saved for each packet, also for those of
 * nobody. */
static __always_inline void emit_dns_chunks(struct __sk_buff *skb, int direction, __u32 header)
{
	for (int i = 1; i < DNS_CHUNKS_MAX; i++) {
		if (!emit_dns_chunk_at(skb, direction, i * DNS_CHUNK, header))
			break;
	}
}

static __always_inline int handle_packet(struct __sk_buff *skb, int direction)
{
	__u64 cgroup_id = bpf_skb_cgroup_id(skb);
	__u32 header;

	if (is_unwatched(cgroup_id))
		return 1;
	header = direction == DIRECTION_SENT ? account_sent_packet(skb, cgroup_id)
					     : account_received_packet(skb, cgroup_id);
	if (header)
		emit_dns_chunks(skb, direction, header);
	return 1;
}

SEC("cgroup_skb/egress")
int handle_egress(struct __sk_buff *skb)
{
	return handle_packet(skb, DIRECTION_SENT);
}

SEC("cgroup_skb/ingress")
int handle_ingress(struct __sk_buff *skb)
{
	return handle_packet(skb, DIRECTION_RECEIVED);
}
