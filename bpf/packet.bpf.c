// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Traffic of the sandboxes' sockets: bytes, UDP flows, and the payload of DNS.
//
// cgroup_skb hooks: they see each packet with its socket, after NAT and often in softirq, where
// `current` is an unrelated task. The destination that the program passed, and its process, come
// from the socket_state that connect.bpf.c filled. Each program returns 1, which lets the packet
// pass.
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#include "bpf/packet.bpf.h"

static __always_inline void account_udp_sent(struct sandbox_ref *ref, __u64 cookie,
					     struct socket_state *state, const struct packet *p)
{
	struct udp_flow_key key = { .cookie = cookie, .peer = p->destination };
	struct udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &key);
	bool created;

	/*
	 * The flow has another address: NAT changed the destination, or this is the first datagram
	 * of a connected socket.
	 */
	if (!flow)
		flow = open_udp_flow(ref, cookie, state, &state->peer, &created);
	if (flow)
		add(&flow->bytes[DIRECTION_SENT], p->payload_bytes);
}

/* A socket that receives datagrams over loopback is a server in the sandbox. */
static __always_inline void note_server(struct __sk_buff *skb, struct sandbox_ref *ref,
					__u64 cookie, const struct packet *p)
{
	struct local_server server = { .sandbox = ref->owner.sandbox, .address = p->destination };
	__u8 yes = 1;

	if (note_inbound(cookie, p) && skb->ifindex == LOOPBACK_IFINDEX)
		bpf_map_update_elem(&local_servers, &server, &yes, BPF_ANY);
}

/*
 * Flags of a DNS message. An answer is local if its server was recorded by note_server(). A query
 * is redirected if NAT changed its destination.
 */
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

/*
 * Adds the state of a UDP socket that sent its query before it was watched, or that no hook saw.
 * The destination port says that it is DNS.
 */
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
 * Emits the chunk at offset `done` of a TCP segment; returns 0 after the last one. `header` is the
 * offset of the TCP header. On TCP the DNS server is the peer of connect().
 *
 * Such chunks are rare, so it finds the owner and the state again. It does not parse the IP header,
 * because the verifier would follow each of its variants. A global function: the verifier checks it
 * once and not at each call.
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

/*
 * Counts a packet and emits its DNS payload. If there is more of it than the first chunk, returns
 * the offset of the TCP header, else 0. Each return as early as possible saves instructions for the
 * packets that need no more: most packets are TCP payload.
 */
static __always_inline __u32 account_packet(struct __sk_buff *skb, __u64 cgroup_id, int direction)
{
	struct socket_state *state;
	struct dns_message m;
	struct sandbox_ref ref;
	struct bpf_sock *sk;
	struct packet p;
	bool is_plain_tcp, is_first_to_leave;
	__u64 cookie;

	sk = skb->sk ? bpf_sk_fullsock(skb->sk) : NULL;
	state = sk ? FIND_SOCKET_STATE(sk, bpf_get_socket_cookie(skb)) : NULL;
	is_plain_tcp = state && state->transport == TRANSPORT_TCP && !state->dns;
	/* Not counted: network_io is without loopback. */
	if (is_plain_tcp && skb->ifindex == LOOPBACK_IFINDEX)
		return 0;
	if (!find_socket_owner(cgroup_id, state, &ref))
		return 0;
	if (skb->ifindex != LOOPBACK_IFINDEX)
		add(&ref.counters->network_io[direction], skb->len);
	if (!sk)
		return 0;
	/* Its source address is needed if the host drops a later packet, see note_source(). */
	is_first_to_leave = state && direction == DIRECTION_SENT && !state->source.port &&
			    skb->ifindex != LOOPBACK_IFINDEX;
	/* The kernel counts the bytes of TCP itself, see outcome.bpf.c. */
	if (is_plain_tcp && !is_first_to_leave)
		return 0;
	/* TCP without a state: an accepted connection, or one that is older than the watch. */
	if (!state && sk->protocol != IPPROTO_UDP)
		return 0;
	if (!parse_packet(skb, &p))
		return 0;
	cookie = bpf_get_socket_cookie(skb);
	if (is_first_to_leave)
		note_source(&ref, cookie, state, &p);
	if (is_plain_tcp)
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
		/*
		 * Datagrams to a DNS socket are recorded as DNS, also from a source that was not
		 * asked. User space separates them from answers.
		 */
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

/*
 * Global functions, so that their stack is not added to that of emit_dns_chunk_at(): the limit of
 * 512 bytes holds for a chain of calls.
 */
__noinline int account_sent_packet(struct __sk_buff *skb, __u64 cgroup_id)
{
	return account_packet(skb, cgroup_id, DIRECTION_SENT);
}

__noinline int account_received_packet(struct __sk_buff *skb, __u64 cgroup_id)
{
	return account_packet(skb, cgroup_id, DIRECTION_RECEIVED);
}

/*
 * clang unrolls the loop. Otherwise it needs callee-saved registers, which every packet would pay
 * for, also those of unwatched sockets.
 */
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
