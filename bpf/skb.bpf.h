/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Packets as the kernel's struct sk_buff, for programs on tracepoints (drop.bpf.c). Reads from the
 * linear part only, which holds all headers.
 */
#ifndef SANDPIPER_SKB_BPF_H
#define SANDPIPER_SKB_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "bpf/socket.bpf.h"

struct skb_packet {
	struct endpoint source, destination;
	const void *payload;
	__u32 payload_bytes; /* in the linear part of the buffer */
	__u8 transport;
};

/* Reads addresses, ports and the UDP payload. TCP and UDP headers both begin with the ports. */
static __always_inline bool read_skb(struct sk_buff *skb, struct skb_packet *p)
{
	const unsigned char *head = BPF_CORE_READ(skb, head);
	const unsigned char *network = head + BPF_CORE_READ(skb, network_header);
	__u32 linear_end = (BPF_CORE_READ(skb, data) - head) + BPF_CORE_READ(skb, len) -
			   BPF_CORE_READ(skb, data_len);
	__u32 payload_at;
	__u8 header[IPV6_HEADER], protocol, extension[2];
	__be16 ports[2];
	__u32 offset;

	__builtin_memset(p, 0, sizeof(*p));
	if (bpf_probe_read_kernel(header, 20, network))
		return false;
	if (header[0] >> 4 == 4) {
		__u32 source, destination;

		__builtin_memcpy(&source, header + 12, 4);
		__builtin_memcpy(&destination, header + 16, 4);
		set_ipv4(&p->source, source, 0);
		set_ipv4(&p->destination, destination, 0);
		protocol = header[9];
		offset = (header[0] & 0xf) * 4;
	} else if (header[0] >> 4 == 6) {
		if (bpf_probe_read_kernel(header, IPV6_HEADER, network))
			return false;
		__builtin_memcpy(p->source.address, header + 8, 16);
		__builtin_memcpy(p->destination.address, header + 24, 16);
		protocol = header[6];
		offset = IPV6_HEADER;
		for (int i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
			if (!is_ipv6_extension(protocol))
				break;
			if (bpf_probe_read_kernel(extension, 2, network + offset))
				return false;
			protocol = extension[0];
			offset += (extension[1] + 1) * 8;
		}
	} else {
		return false;
	}
	if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) ||
	    bpf_probe_read_kernel(ports, sizeof(ports), network + offset))
		return false;
	p->transport = protocol == IPPROTO_TCP ? TRANSPORT_TCP : TRANSPORT_UDP;
	p->source.port = bpf_ntohs(ports[0]);
	p->destination.port = bpf_ntohs(ports[1]);
	if (protocol == IPPROTO_UDP) {
		p->payload = network + offset + UDP_HEADER;
		payload_at = (const unsigned char *)p->payload - head;
		p->payload_bytes = linear_end > payload_at ? linear_end - payload_at : 0;
	}
	return true;
}

#endif
