// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// What the sandbox's sockets send and receive: bytes, UDP flows, and the payload of DNS sockets. cgroup_skb sees packets after NAT and
// often in softirq: which socket this is about, and what it asked for, was noted by connect.bpf.c; nothing is taken from "current".
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/socket.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

struct packet {
	struct endpoint source, destination;
	__u32 payload; /* offset */
	__u32 payload_bytes;
	__u32 tcp_seq, tcp_ack;
	__u8 transport;
};

struct ports_header {
	__be16 source, destination;
};

struct tcp_header {
	struct ports_header ports;
	__be32 seq, ack;
	__u8 offset; /* upper half: 32-bit words */
	__u8 flags;
};

static __always_inline bool parse_ports(struct __sk_buff *skb, __u8 protocol, __u32 offset, struct packet *p)
{
	struct tcp_header header;

	if (protocol == IPPROTO_UDP) {
		if (bpf_skb_load_bytes(skb, offset, &header.ports, sizeof(header.ports)))
			return false;
		p->transport = TRANSPORT_UDP;
		p->payload = offset + UDP_HEADER;
	} else if (protocol == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, offset, &header, 14))
			return false;
		p->transport = TRANSPORT_TCP;
		p->payload = offset + (header.offset >> 4) * 4;
		p->tcp_seq = bpf_ntohl(header.seq);
		p->tcp_ack = bpf_ntohl(header.ack);
	} else {
		return false;
	}
	p->source.port = bpf_ntohs(header.ports.source);
	p->destination.port = bpf_ntohs(header.ports.destination);
	p->payload_bytes = skb->len > p->payload ? skb->len - p->payload : 0;
	return true;
}

static __always_inline bool parse_packet(struct __sk_buff *skb, struct packet *p)
{
	__u8 header[IPV6_HEADER], protocol, extension[2];
	__u32 offset = IPV6_HEADER;

	__builtin_memset(p, 0, sizeof(*p));
	if (skb->protocol == bpf_htons(0x0800)) {
		__u32 source, destination;

		if (bpf_skb_load_bytes(skb, 0, header, 20))
			return false;
		__builtin_memcpy(&source, header + 12, 4);
		__builtin_memcpy(&destination, header + 16, 4);
		set_ipv4(&p->source, source, 0);
		set_ipv4(&p->destination, destination, 0);
		return parse_ports(skb, header[9], (header[0] & 0xf) * 4, p);
	}
	if (skb->protocol != bpf_htons(0x86dd) || bpf_skb_load_bytes(skb, 0, header, IPV6_HEADER))
		return false;
	__builtin_memcpy(p->source.address, header + 8, 16);
	__builtin_memcpy(p->destination.address, header + 24, 16);
	protocol = header[6];
	for (int i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
		if (!is_ipv6_extension(protocol))
			break;
		if (bpf_skb_load_bytes(skb, offset, extension, 2))
			return false;
		protocol = extension[0];
		offset += (extension[1] + 1) * 8;
	}
	return parse_ports(skb, protocol, offset, p);
}

struct dns_message {
	struct sandbox_ref *ref;
	struct packet *packet;
	struct process_key process;
	struct endpoint server;
	__u64 cookie;
	__u16 kind;
	__u16 flags;
};

#define EMIT_DNS(class_bytes)                                                                                         \
	do {                                                                                                          \
		struct dns_event *event = reserve_event(&bulk_ring, m->ref, m->kind, sizeof(*event) + (class_bytes)); \
		if (!event)                                                                                           \
			return;                                                                                       \
		event->header.flags = m->flags;                                                                       \
		event->cookie = m->cookie;                                                                            \
		event->process = m->process;                                                                          \
		event->server = m->server;                                                                            \
		event->transport = m->packet->transport;                                                              \
		event->payload_bytes = m->packet->payload_bytes;                                                      \
		event->data_bytes = last + 1;                                                                         \
		event->tcp_seq = m->packet->tcp_seq + done;                                                           \
		event->tcp_ack = m->packet->tcp_ack;                                                                  \
		event->pad0 = 0;                                                                                      \
		if (bpf_skb_load_bytes(skb, m->packet->payload + done, event->data, last + 1))                        \
			event->data_bytes = 0;                                                                        \
		submit_event(event);                                                                                  \
	} while (0)

/*
 * `last` is the length less one: checked from above only, it bounds the length from both sides in a way that every verifier follows. The
 * asm keeps clang from seeing through that.
 */
static __always_inline void emit_dns_part(struct __sk_buff *skb, const struct dns_message *m, __u32 done, __u32 last)
{
	asm volatile("" : "+r"(last));
	if (last < DNS_SMALL)
		EMIT_DNS(DNS_SMALL);
	else if (last < DNS_FRAME)
		EMIT_DNS(DNS_FRAME);
	else if (last < DNS_CHUNK)
		EMIT_DNS(DNS_CHUNK);
}

/* A stream is passed on whole, a datagram up to one chunk. */
static __always_inline void emit_dns(struct __sk_buff *skb, const struct dns_message *m)
{
	__u32 total = m->packet->payload_bytes, done = 0;

	for (int i = 0; i < DNS_CHUNKS_MAX; i++) {
		__u32 left = total - done;

		if (done >= total)
			break;
		emit_dns_part(skb, m, done, (left < DNS_CHUNK ? left : DNS_CHUNK) - 1);
		done += DNS_CHUNK;
		if (m->packet->transport == TRANSPORT_UDP)
			break;
	}
}

static __always_inline void account_udp_sent(struct sandbox_ref *ref, __u64 cookie, struct socket_state *state, const struct packet *p)
{
	struct udp_flow_key key = { .cookie = cookie, .peer = p->destination };
	struct udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &key);
	bool created;

	/* Not known by the packet's own destination: NAT changed it, or this is the first packet of a connected socket. */
	if (!flow)
		flow = open_udp_flow(ref, cookie, state, &state->peer, &created);
	if (flow)
		add(&flow->bytes[DIRECTION_SENT], p->payload_bytes);
}

/* False: the datagram comes from nobody that the socket has a flow with. */
static __always_inline bool account_udp_received(struct sandbox_ref *ref, __u64 cookie, const struct packet *p)
{
	struct udp_flow_key key = { .cookie = cookie, .peer = p->source };
	struct udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &key);

	if (!flow)
		return false;
	if (!flow->bytes[DIRECTION_RECEIVED])
		emit_result(ref, cookie, &p->source, TRANSPORT_UDP, 0, 1, 0);
	/* After an empty datagram the next one is told again, which does no harm. */
	add(&flow->bytes[DIRECTION_RECEIVED], p->payload_bytes);
	return true;
}

/* A peer that speaks first has a flow too, which user space never hears of: to answer it is no attempt of the sandbox. */
static __always_inline void note_inbound(struct __sk_buff *skb, struct sandbox_ref *ref, __u64 cookie, const struct packet *p)
{
	struct udp_flow_key key = { .cookie = cookie, .peer = p->source };
	struct udp_flow flow = { .bytes = { [DIRECTION_RECEIVED] = p->payload_bytes } };
	struct local_server server = { .sandbox = ref->serial, .address = p->destination };
	__u8 yes = 1;

	if (!bpf_map_update_elem(&udp_flows, &key, &flow, BPF_NOEXIST) && skb->ifindex == LOOPBACK_IFINDEX)
		bpf_map_update_elem(&local_servers, &server, &yes, BPF_ANY);
}

static __always_inline __u16 dns_flags(struct sandbox_ref *ref, struct socket_state *state, const struct packet *p, int direction)
{
	struct local_server server = { .sandbox = ref->serial, .address = state->via };

	if (direction == DIRECTION_RECEIVED)
		return bpf_map_lookup_elem(&local_servers, &server) ? DNS_LOCAL : 0;
	state->via = p->destination;
	return same_endpoint(&p->destination, &state->peer) ? 0 : DNS_REDIRECTED;
}

/* A socket that asked before it was watched, or that no hook saw: the port in the packet still says DNS. */
static __always_inline struct socket_state *adopt_dns_socket(struct bpf_sock *sk, __u64 cgroup_id, const struct packet *p)
{
	struct socket_state *state;

	if (p->transport != TRANSPORT_UDP || !is_dns_port(p->destination.port))
		return NULL;
	state = bpf_sk_storage_get(&socket_states, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!state)
		return NULL;
	state->peer = p->destination;
	state->cgroup_id = cgroup_id;
	state->transport = TRANSPORT_UDP;
	state->dns = 1;
	state->ever_dns = 1;
	return state;
}

/* The first packet of an attempt that leaves the namespace: what is dropped on its way further is known by its source. */
static __always_inline void note_source(struct sandbox_ref *ref, __u64 cookie, struct socket_state *state, const struct packet *p)
{
	struct source_key key = { .address = p->source, .transport = p->transport };
	struct source *before = bpf_map_lookup_elem(&sources, &key);
	struct source source = { .tag = ref->tag, .cgroup_id = ref->cgroup_id, .cookie = cookie, .peer = state->peer };

	source.ambiguous = before && serial_of(before->tag) != ref->serial;
	bpf_map_update_elem(&sources, &key, &source, BPF_ANY);
	state->source = p->source;
}

static __always_inline int handle_packet(struct __sk_buff *skb, int direction)
{
	struct socket_state *state;
	struct sandbox_ref ref;
	struct bpf_sock *sk;
	struct packet p;
	__u64 cookie;
	bool leaves;

	if (!find_sandbox(bpf_skb_cgroup_id(skb), &ref))
		return 1;
	if (skb->ifindex != LOOPBACK_IFINDEX)
		add(&ref.counters->network_io[direction], skb->len);
	sk = skb->sk ? bpf_sk_fullsock(skb->sk) : NULL;
	if (!sk)
		return 1;
	state = bpf_sk_storage_get(&socket_states, sk, 0, 0);
	leaves = state && direction == DIRECTION_SENT && !state->source.port && skb->ifindex != LOOPBACK_IFINDEX;
	if (state && state->transport == TRANSPORT_TCP && !state->dns && !leaves)
		return 1;
	if (!state && sk->protocol != IPPROTO_UDP)
		return 1;
	if (!parse_packet(skb, &p))
		return 1;
	cookie = bpf_get_socket_cookie(skb);
	if (leaves)
		note_source(&ref, cookie, state, &p);
	if (state && state->transport == TRANSPORT_TCP && !state->dns)
		return 1;
	if (!state && direction == DIRECTION_SENT)
		state = adopt_dns_socket(sk, ref.cgroup_id, &p);
	if (!state) {
		if (direction == DIRECTION_RECEIVED)
			note_inbound(skb, &ref, cookie, &p);
		return 1;
	}
	if (p.transport == TRANSPORT_UDP && direction == DIRECTION_SENT && !state->dns) {
		account_udp_sent(&ref, cookie, state, &p);
		return 1;
	}
	if (p.transport == TRANSPORT_UDP && direction == DIRECTION_RECEIVED && !(state->ever_dns && is_dns_port(p.source.port))) {
		if (account_udp_received(&ref, cookie, &p))
			return 1;
		/* What comes to a DNS socket is DNS, also from where nothing was asked: user space tells that from an answer. */
		if (!state->ever_dns) {
			note_inbound(skb, &ref, cookie, &p);
			return 1;
		}
	}
	if (p.payload_bytes) {
		struct dns_message m = {
			.ref = &ref,
			.packet = &p,
			.process = state->process,
			.server = direction == DIRECTION_SENT ? state->peer : p.source,
			.cookie = cookie,
			.kind = direction == DIRECTION_SENT ? EVENT_DNS_QUERY : EVENT_DNS_ANSWER,
			.flags = dns_flags(&ref, state, &p, direction),
		};

		emit_dns(skb, &m);
	}
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
