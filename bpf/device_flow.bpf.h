/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * TCP connections and UDP sockets of a guest, as the packets on its device show them. Used by
 * device.bpf.c only.
 */
#ifndef SANDPIPER_DEVICE_FLOW_BPF_H
#define SANDPIPER_DEVICE_FLOW_BPF_H

#include <bpf/bpf_helpers.h>

#include "bpf/packet.bpf.h"

#define ERROR_CONNECTION_RESET 104
#define ERROR_CONNECTION_REFUSED 111

const volatile struct owner cfg_owner = {};

/*
 * Too large for the stack. One entry for each CPU is enough, because packets are processed with
 * softirqs off.
 */
struct work {
	struct packet packet;
	struct device_flow_key key;
	struct socket_state state;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct work);
} scratch SEC(".maps");

static __always_inline bool load_scratch(struct sandbox_ref *ref, struct work **work)
{
	const struct owner owner = { .member = cfg_owner.member, .sandbox = cfg_owner.sandbox };
	__u32 zero = 0;

	*work = bpf_map_lookup_elem(&scratch, &zero);
	return *work && init_ref(&owner, 0, ref);
}

/* Random, so that a guest cannot predict cookies and provoke a collision of two flows. */
static __always_inline __u64 new_cookie(void)
{
	return 1ULL << COOKIE_DEVICE_BIT | (__u64)bpf_get_prandom_u32() << 31 |
	       bpf_get_prandom_u32() >> 1;
}

static __always_inline struct device_flow *find_flow(struct work *work, int direction)
{
	struct device_flow_key *key = &work->key;
	const struct packet *p = &work->packet;
	const struct endpoint *guest = direction == DIRECTION_SENT ? &p->source : &p->destination;
	const struct endpoint *peer = direction == DIRECTION_SENT ? &p->destination : &p->source;

	__builtin_memset(key, 0, sizeof(*key));
	key->guest = *guest;
	if (p->transport == TRANSPORT_TCP)
		key->peer = *peer;
	key->member = cfg_owner.member;
	key->transport = p->transport;
	return bpf_map_lookup_elem(&device_flows, key);
}

static __always_inline struct dns_message
make_dns_message(struct sandbox_ref *ref, struct packet *p, __u64 cookie, int direction)
{
	struct dns_message m = {
		.ref = ref,
		.packet = p,
		.server = direction == DIRECTION_SENT ? &p->destination : &p->source,
		.cookie = cookie,
		.kind = direction == DIRECTION_SENT ? EVENT_DNS_QUERY : EVENT_DNS_ANSWER,
	};

	return m;
}

/*
 * Emits the chunk at offset `done` of a TCP segment; returns 0 after the last one. Such chunks are
 * rare, so it finds the flow again. A global function: the verifier checks it once and not at each
 * call.
 */
__noinline int emit_dns_chunk_at(struct __sk_buff *skb, __u32 direction, __u32 done)
{
	struct device_flow *flow;
	struct dns_message m;
	struct sandbox_ref ref;
	struct work *work;

	if (!load_scratch(&ref, &work) || !parse_packet(skb, &work->packet))
		return 0;
	flow = find_flow(work, direction);
	if (!flow)
		return 0;
	m = make_dns_message(&ref, &work->packet, flow->cookie, direction);
	return emit_dns_rest(skb, &m, done);
}

static __always_inline void emit_dns_payload(struct __sk_buff *skb, struct sandbox_ref *ref,
					     struct packet *p, __u64 cookie, int direction)
{
	struct dns_message m = make_dns_message(ref, p, cookie, direction);
	bool more = emit_dns(skb, &m);

	for (int i = 1; i < DNS_CHUNKS_MAX && more; i++)
		more = emit_dns_chunk_at(skb, direction, i * DNS_CHUNK);
}

static __always_inline struct socket_state *init_state(struct work *work)
{
	__builtin_memset(&work->state, 0, sizeof(work->state));
	work->state.peer = work->packet.destination;
	work->state.transport = work->packet.transport;
	return &work->state;
}

static __always_inline void open_tcp_flow(struct sandbox_ref *ref, struct work *work)
{
	struct device_flow flow = { .cookie = new_cookie(), .syn_seq = work->packet.tcp_seq };
	struct socket_state *state = init_state(work);

	flow.next_seq[DIRECTION_SENT] = flow.syn_seq + 1;
	if (bpf_map_update_elem(&device_flows, &work->key, &flow, BPF_ANY))
		add(&ref->counters->storage_failed, 1);
	emit_connect(ref, flow.cookie, state, &state->peer);
	note_source(ref, flow.cookie, state, &work->packet);
}

/*
 * Counts bytes by sequence numbers, so that a retransmission counts once. A FIN takes one number
 * and is no payload.
 */
static __always_inline void account_tcp(struct device_flow *flow, const struct packet *p,
					int direction)
{
	__u32 end = p->tcp_seq + p->payload_bytes;
	__s32 fresh = end - flow->next_seq[direction];

	if (fresh > 0) {
		add(&flow->bytes[direction], fresh);
		flow->next_seq[direction] = end;
	}
	if (p->tcp_flags & TCP_FLAG_FIN && end == flow->next_seq[direction])
		flow->next_seq[direction] = end + 1;
}

static __always_inline void handle_tcp(struct __sk_buff *skb, struct sandbox_ref *ref,
				       struct work *work, int direction)
{
	struct device_flow *flow = find_flow(work, direction);
	struct packet *p = &work->packet;
	__u8 flags = p->tcp_flags;

	if (direction == DIRECTION_SENT &&
	    (flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN) {
		if (!flow || flow->syn_seq != p->tcp_seq)
			open_tcp_flow(ref, work);
		return;
	}
	if (!flow || flow->state == FLOW_CLOSED)
		return;
	if (flow->state == FLOW_TRYING) {
		if (direction == DIRECTION_SENT || p->tcp_ack != flow->syn_seq + 1)
			return;
		if (flags & TCP_FLAG_RST) {
			flow->state = FLOW_CLOSED;
			emit_result(ref, flow->cookie, NULL, TRANSPORT_TCP,
				    ERROR_CONNECTION_REFUSED, 0, 0);
		} else if (flags & TCP_FLAG_SYN) {
			flow->state = FLOW_ESTABLISHED;
			flow->next_seq[DIRECTION_RECEIVED] = p->tcp_seq + 1;
			emit_result(ref, flow->cookie, NULL, TRANSPORT_TCP, 0, 1, 0);
		}
		return;
	}
	if (flags & TCP_FLAG_RST) {
		flow->state = FLOW_CLOSED;
		emit_close(ref, flow->cookie, TRANSPORT_TCP, flow->bytes[DIRECTION_SENT],
			   flow->bytes[DIRECTION_RECEIVED],
			   direction == DIRECTION_RECEIVED ? ERROR_CONNECTION_RESET : 0);
		return;
	}
	account_tcp(flow, p, direction);
	if (is_dns_port(direction == DIRECTION_SENT ? p->destination.port : p->source.port))
		emit_dns_payload(skb, ref, p, flow->cookie, direction);
	if (flags & TCP_FLAG_FIN)
		flow->fin_seen |= 1 << direction;
	if (flow->fin_seen == (1 << DIRECTION_SENT | 1 << DIRECTION_RECEIVED)) {
		flow->state = FLOW_CLOSED;
		emit_close(ref, flow->cookie, TRANSPORT_TCP, flow->bytes[DIRECTION_SENT],
			   flow->bytes[DIRECTION_RECEIVED], 0);
	}
}

static __always_inline __u64 udp_cookie(struct sandbox_ref *ref, struct work *work, int direction)
{
	struct device_flow *flow = find_flow(work, direction);
	struct device_flow fresh = {};

	if (flow)
		return flow->cookie;
	fresh.cookie = new_cookie();
	if (bpf_map_update_elem(&device_flows, &work->key, &fresh, BPF_ANY))
		add(&ref->counters->storage_failed, 1);
	return fresh.cookie;
}

/*
 * As for sockets of the host: the first datagram to a peer is the attempt. An answer to a peer that
 * sent first is none.
 */
static __always_inline void handle_udp(struct __sk_buff *skb, struct sandbox_ref *ref,
				       struct work *work, int direction)
{
	__u64 cookie = udp_cookie(ref, work, direction);
	struct packet *p = &work->packet;
	struct socket_state *state;
	struct udp_flow *flow;
	bool created;

	if (direction == DIRECTION_RECEIVED) {
		if (is_dns_port(p->source.port))
			emit_dns_payload(skb, ref, p, cookie, direction);
		else if (!account_udp_received(ref, cookie, p))
			note_inbound(cookie, p);
		return;
	}
	state = init_state(work);
	if (is_dns_port(p->destination.port)) {
		note_source(ref, cookie, state, p);
		emit_dns_payload(skb, ref, p, cookie, direction);
		return;
	}
	flow = open_udp_flow(ref, cookie, state, &state->peer, &created);
	if (created)
		note_source(ref, cookie, state, p);
	if (flow)
		add(&flow->bytes[DIRECTION_SENT], p->payload_bytes);
}

#endif
