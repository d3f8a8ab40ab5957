// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The traffic of a sandbox that has its own kernel, such as a microVM. The host sees only the
// packets on a network device (tap, veth), and no sockets. The outcome of an attempt is derived
// from its packets.
//
// The object is loaded once for each device, so that the owner is a constant and needs no lookup.
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/device_flow.bpf.h"
#include "bpf/packet.bpf.h"

#define ERROR_NETWORK_UNREACHABLE 101
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
