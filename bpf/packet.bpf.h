/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Packets as struct __sk_buff, for the programs on cgroups (packet.bpf.c) and on devices
 * (device.bpf.c): parses the headers and emits the DNS payload.
 */
#ifndef SANDPIPER_PACKET_BPF_H
#define SANDPIPER_PACKET_BPF_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/socket.bpf.h"

struct packet {
	struct endpoint source, destination;
	__u32 bytes; /* length of the IP packet; the frame may have padding */
	/* offsets in the IP packet: of the TCP or UDP header, and of its payload */
	__u32 header, payload;
	__u32 payload_bytes;
	__u32 tcp_seq, tcp_ack;
	__u8 tcp_flags;
	__u8 transport;
};

struct ports_header {
	__be16 source, destination;
};

struct tcp_header {
	struct ports_header ports;
	__be32 seq, ack;
	__u8 offset; /* upper four bits: length of the header in 32-bit words */
	__u8 flags;
};

#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10
/* RFC 791 section 3.1: only the first fragment has ports. */
#define IPV4_FRAGMENT_OFFSET 0x1fff

/*
 * Set at load: bytes before the IP header. 0 for cgroup programs, which get no link-layer header.
 */
const volatile __u32 cfg_link_header = 0;

static __always_inline long load_packet(struct __sk_buff *skb, __u32 offset, void *to, __u32 bytes)
{
	return bpf_skb_load_bytes(skb, cfg_link_header + offset, to, bytes);
}

static __always_inline bool parse_ports(struct __sk_buff *skb, __u8 protocol, __u32 offset,
					struct packet *p)
{
	struct tcp_header header;

	p->header = offset;
	if (protocol == IPPROTO_UDP) {
		if (load_packet(skb, offset, &header.ports, sizeof(header.ports)))
			return false;
		p->transport = TRANSPORT_UDP;
		p->payload = offset + UDP_HEADER;
	} else if (protocol == IPPROTO_TCP) {
		if (load_packet(skb, offset, &header, 14))
			return false;
		p->transport = TRANSPORT_TCP;
		p->payload = offset + (header.offset >> 4) * 4;
		p->tcp_seq = bpf_ntohl(header.seq);
		p->tcp_ack = bpf_ntohl(header.ack);
		p->tcp_flags = header.flags;
	} else {
		return false;
	}
	p->source.port = bpf_ntohs(header.ports.source);
	p->destination.port = bpf_ntohs(header.ports.destination);
	p->payload_bytes = p->bytes > p->payload ? p->bytes - p->payload : 0;
	return true;
}

/*
 * Skips the IPv6 extension headers. Returns the offset behind them and, in the upper half, the
 * protocol there; -1 if the packet ends before. A global function: the verifier checks the loop
 * once and not for each exit from it.
 */
__noinline int skip_extensions(struct __sk_buff *skb, __u32 protocol)
{
	__u32 offset = IPV6_HEADER;
	__u8 extension[2];

	for (int i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
		if (!is_ipv6_extension(protocol))
			break;
		if (load_packet(skb, offset, extension, 2))
			return -1;
		protocol = extension[0];
		offset += (extension[1] + 1) * 8;
	}
	return protocol << 16 | offset;
}

static __always_inline bool parse_packet(struct __sk_buff *skb, struct packet *p)
{
	__u8 header[IPV6_HEADER];
	int transport;

	__builtin_memset(p, 0, sizeof(*p));
	if (skb->protocol == bpf_htons(0x0800)) {
		__u32 source, destination;

		if (load_packet(skb, 0, header, 20) ||
		    ((header[6] << 8 | header[7]) & IPV4_FRAGMENT_OFFSET))
			return false;
		p->bytes = header[2] << 8 | header[3];
		if (!p->bytes) /* BIG TCP, over 64 KiB: iph_totlen() in include/net/ip.h */
			p->bytes = skb->len;
		__builtin_memcpy(&source, header + 12, 4);
		__builtin_memcpy(&destination, header + 16, 4);
		set_ipv4(&p->source, source, 0);
		set_ipv4(&p->destination, destination, 0);
		return parse_ports(skb, header[9], (header[0] & 0xf) * 4, p);
	}
	if (skb->protocol != bpf_htons(0x86dd) || load_packet(skb, 0, header, IPV6_HEADER))
		return false;
	p->bytes = header[4] << 8 | header[5];
	p->bytes = p->bytes ? p->bytes + IPV6_HEADER : skb->len;
	__builtin_memcpy(p->source.address, header + 8, 16);
	__builtin_memcpy(p->destination.address, header + 24, 16);
	transport = skip_extensions(skb, header[6]);
	return transport >= 0 && parse_ports(skb, transport >> 16, transport & 0xffff, p);
}

struct dns_message {
	struct sandbox_ref *ref;
	struct packet *packet;
	const struct process_key *process; /* NULL if unknown */
	const struct endpoint *server;
	__u64 cookie;
	__u16 kind;
	__u16 flags;
};

/*
 * Emits `last + 1` bytes of payload from the offset `done` on, in a record with room for
 * `class_bytes`. That must be a constant, because the size of a reservation is one.
 */
static __always_inline void emit_dns_record(struct __sk_buff *skb, const struct dns_message *m,
					    __u32 done, __u32 last, const __u32 class_bytes)
{
	struct dns_event *event = RESERVE_BULK(m->ref, m->kind, sizeof(*event) + class_bytes);

	if (!event)
		return;
	event->header.flags |= m->flags;
	event->cookie = m->cookie;
	if (m->process)
		event->process = *m->process;
	else
		__builtin_memset(&event->process, 0, sizeof(event->process));
	event->server = *m->server;
	event->transport = m->packet->transport;
	event->payload_bytes = m->packet->payload_bytes;
	event->data_bytes = last + 1;
	event->tcp_seq = m->packet->tcp_seq + done;
	event->tcp_ack = m->packet->tcp_ack;
	event->pad0 = 0;
	asm volatile("" : "+r"(last));
	if (last >= class_bytes ||
	    load_packet(skb, m->packet->payload + done, event->data, last + 1))
		event->data_bytes = 0;
	submit_event(event);
}

/*
 * The number of bytes for one record, minus 1. A length must be proved to be at least 1 and at most
 * DNS_CHUNK. For the length minus 1, an unsigned comparison with the upper bound proves both, on
 * every verifier. Older ones forget the bound later, so emit_dns_record() compares again. The asm
 * keeps clang from removing the comparisons.
 */
static __always_inline __u32 last_index(__u32 left)
{
	__u32 last = (left < DNS_CHUNK ? left : DNS_CHUNK) - 1;

	asm volatile("" : "+r"(last));
	return last;
}

static __always_inline void emit_first_dns_chunk(struct __sk_buff *skb, const struct dns_message *m,
						 __u32 last)
{
	if (last < DNS_SMALL)
		emit_dns_record(skb, m, 0, last, DNS_SMALL);
	else if (last < DNS_FRAME)
		emit_dns_record(skb, m, 0, last, DNS_FRAME);
	else if (last < DNS_CHUNK)
		emit_dns_record(skb, m, 0, last, DNS_CHUNK);
}

/*
 * Emits the first chunk. Returns true if there is more: a TCP segment is emitted completely, a
 * datagram up to DNS_CHUNK bytes.
 */
static __always_inline bool emit_dns(struct __sk_buff *skb, const struct dns_message *m)
{
	__u32 total = m->packet->payload_bytes;

	if (!total)
		return false;
	emit_first_dns_chunk(skb, m, last_index(total));
	return total > DNS_CHUNK && m->packet->transport == TRANSPORT_TCP;
}

static __always_inline void emit_dns_chunk(struct __sk_buff *skb, const struct dns_message *m,
					   __u32 done, __u32 last)
{
	if (last < DNS_CHUNK)
		emit_dns_record(skb, m, done, last, DNS_CHUNK);
}

/* Emits the chunk at offset `done` of a TCP segment. Returns true if there is more after it. */
static __always_inline bool emit_dns_rest(struct __sk_buff *skb, const struct dns_message *m,
					  __u32 done)
{
	__u32 total = m->packet->payload_bytes;
	__u32 left = total - done;

	if (total <= done)
		return false;
	emit_dns_chunk(skb, m, done, last_index(left));
	return left > DNS_CHUNK;
}

/* Adds to the flow from the source of the datagram. False if there is no such flow. */
static __always_inline bool account_udp_received(struct sandbox_ref *ref, __u64 cookie,
						 const struct packet *p)
{
	struct udp_flow_key key = { .cookie = cookie, .peer = p->source };
	struct udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &key);

	if (!flow)
		return false;
	if (!flow->bytes[DIRECTION_RECEIVED])
		emit_result(ref, cookie, &p->source, TRANSPORT_UDP, 0, 1, 0);
	/* After an empty datagram the next one reports the answer again, which changes nothing. */
	add(&flow->bytes[DIRECTION_RECEIVED], p->payload_bytes);
	return true;
}

/*
 * Adds a flow for a peer that sent first, so that an answer to it is no attempt of the sandbox.
 * User space gets no event. Returns true if the flow is new.
 */
static __always_inline bool note_inbound(__u64 cookie, const struct packet *p)
{
	struct udp_flow_key key = { .cookie = cookie, .peer = p->source };
	struct udp_flow flow = { .bytes = { [DIRECTION_RECEIVED] = p->payload_bytes } };

	return !bpf_map_update_elem(&udp_flows, &key, &flow, BPF_NOEXIST);
}

/*
 * Records the source address of the first packet of an attempt that leaves the namespace. If the
 * host drops a later packet, drop.bpf.c finds the owner by that address. Not inlined, so that its
 * stack is not part of the caller's, which is limited to 512 bytes.
 */
static __noinline int note_source(struct sandbox_ref *ref, __u64 cookie, struct socket_state *state,
				  const struct packet *p)
{
	struct source_key key = { .address = p->source, .transport = p->transport };
	struct source *before = bpf_map_lookup_elem(&sources, &key);
	struct source source = { .owner = ref->owner,
				 .cgroup_id = ref->cgroup_id,
				 .cookie = cookie,
				 .peer = state->peer };

	source.ambiguous = before && before->owner.sandbox != ref->owner.sandbox;
	bpf_map_update_elem(&sources, &key, &source, BPF_ANY);
	state->source = p->source;
	return 0;
}

#endif
