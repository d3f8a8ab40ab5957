// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The traffic on a network device (tap, veth) of the host that connects a sandbox with its own
// kernel, such as a microVM. Its sockets are not in the host's kernel. The outcome of an attempt is
// derived from its packets.
//
// The object is loaded once for each device, so that the owner is a constant and needs no lookup.
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/packet.bpf.h"

#define ERROR_NETWORK_UNREACHABLE 101
#define ERROR_CONNECTION_RESET 104
#define ERROR_CONNECTION_REFUSED 111
#define ERROR_HOST_UNREACHABLE 113
#define IPPROTO_ICMP 1
#define IPPROTO_ICMPV6 58
#define ICMP_HEADER 8
/* RFC 792; RFC 4443 section 3.1 */
#define ICMP_UNREACHABLE 3
#define ICMPV6_UNREACHABLE 1
/* include/uapi/linux/if_packet.h, include/uapi/linux/bpf.h */
#define PACKET_OUTGOING 4
#define TCX_NEXT -1

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

/*
 * A random number: if it could be predicted, a guest could give two of its flows the cookie of
 * another flow.
 */
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

static __always_inline __u32 icmp_error(bool ipv6, __u8 code)
{
	if (code == (ipv6 ? 4 : 3))
		return ERROR_CONNECTION_REFUSED;
	return code == 0 ? ERROR_NETWORK_UNREACHABLE : ERROR_HOST_UNREACHABLE;
}

/*
 * Reads the addresses of the IP header that an ICMP error quotes. Returns the offset behind it; 0
 * if it carries neither TCP nor UDP.
 */
static __always_inline __u32 parse_quoted(struct __sk_buff *skb, bool ipv6, __u32 offset,
					  struct packet *p)
{
	__u8 header[IPV6_HEADER], protocol;

	if (load_packet(skb, offset, header, ipv6 ? IPV6_HEADER : 20))
		return 0;
	protocol = ipv6 ? header[6] : header[9];
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return 0;
	p->transport = protocol == IPPROTO_TCP ? TRANSPORT_TCP : TRANSPORT_UDP;
	if (ipv6) {
		__builtin_memcpy(p->source.address, header + 8, 16);
		__builtin_memcpy(p->destination.address, header + 24, 16);
		return offset + IPV6_HEADER;
	}
	set_ipv4(&p->source, *(__u32 *)(header + 12), 0);
	set_ipv4(&p->destination, *(__u32 *)(header + 16), 0);
	return offset + (header[0] & 0xf) * 4;
}

/*
 * An ICMP "unreachable" error. It quotes the beginning of the packet that caused it; every sender
 * quotes as much as is read here.
 */
static __always_inline void handle_icmp(struct __sk_buff *skb, struct sandbox_ref *ref,
					struct work *work)
{
	bool ipv6 = skb->protocol == bpf_htons(0x86dd);
	struct packet *p = &work->packet;
	struct device_flow *flow;
	struct ports_header ports;
	__u32 offset = IPV6_HEADER;
	__u8 header[20], icmp[2], protocol;

	if (load_packet(skb, 0, header, sizeof(header)))
		return;
	protocol = ipv6 ? header[6] : header[9];
	if (!ipv6)
		offset = (header[0] & 0xf) * 4;
	if (protocol != (ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ||
	    load_packet(skb, offset, icmp, sizeof(icmp)) ||
	    icmp[0] != (ipv6 ? ICMPV6_UNREACHABLE : ICMP_UNREACHABLE))
		return;
	offset = parse_quoted(skb, ipv6, offset + ICMP_HEADER, p);
	if (!offset || load_packet(skb, offset, &ports, sizeof(ports)))
		return;
	p->source.port = bpf_ntohs(ports.source);
	p->destination.port = bpf_ntohs(ports.destination);
	flow = find_flow(work, DIRECTION_SENT);
	if (!flow || (p->transport == TRANSPORT_TCP && flow->state != FLOW_TRYING))
		return;
	if (p->transport == TRANSPORT_TCP)
		flow->state = FLOW_CLOSED;
	emit_result(ref, flow->cookie, &p->destination, p->transport, icmp_error(ipv6, icmp[1]), 0,
		    0);
}

/* `direction` is that of the guest: its packets enter the host by the device's ingress. */
static __always_inline void handle_frame(struct __sk_buff *skb, int direction)
{
	struct sandbox_ref ref;
	struct work *work;
	bool parsed;

	if (!load_scratch(&ref, &work))
		return;
	parsed = parse_packet(skb, &work->packet);
	add(&ref.counters->network_io[direction], work->packet.bytes);
	if (!parsed) {
		if (direction == DIRECTION_RECEIVED)
			handle_icmp(skb, &ref, work);
		return;
	}
	if (work->packet.transport == TRANSPORT_TCP)
		handle_tcp(skb, &ref, work, direction);
	else
		handle_udp(skb, &ref, work, direction);
}

/*
 * tcx, since 6.6: the program is detached with its link, and the filters of the device stay as they
 * were.
 */
SEC("tc")
int handle_device_ingress(struct __sk_buff *skb)
{
	handle_frame(skb, DIRECTION_SENT);
	return TCX_NEXT;
}

SEC("tc")
int handle_device_egress(struct __sk_buff *skb)
{
	handle_frame(skb, DIRECTION_RECEIVED);
	return TCX_NEXT;
}

/*
 * Before 6.6: the filter of a packet socket, which passes no packet to the socket. A tc filter
 * would stay attached after the collector was killed. The size of a socket filter counts against
 * net.core.optmem_max, usually 20 KiB. Therefore the attached program only makes a tail call.
 */
SEC("socket")
int handle_device_packet_body(struct __sk_buff *skb)
{
	handle_frame(skb, skb->pkt_type == PACKET_OUTGOING ? DIRECTION_RECEIVED : DIRECTION_SENT);
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} packet_body SEC(".maps");

SEC("socket")
int handle_device_packet(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &packet_body, 0);
	return 0;
}
