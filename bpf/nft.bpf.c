// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Changes of nftables rules: which process made them, in which network namespace, and whether the
// kernel accepted them.
//
// A separate object, because nf_tables is a module on most kernels. Programs that attach to it can
// be loaded only after it. User space reads the rules themselves over netlink.
#include "bpf/kernel.bpf.h"
#include <asm/ptrace.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/emit.bpf.h"
#include "bpf/process.bpf.h"

#define AF_NETLINK 16
#define NETLINK_NETFILTER 12
/* include/uapi/linux/netlink.h, include/uapi/linux/netfilter/nfnetlink.h */
#define NLMSG_ERROR 2
#define NFNL_MSG_BATCH_BEGIN 16
#define NFNL_SUBSYS_NFTABLES 10
/*
 * include/linux/netfilter/nfnetlink.h. The other actions abort a batch that is tried again or that
 * was only a check.
 */
#define NFNL_ABORT_NONE 0

/* Bound of the loop over the answers that wait in the receive queue of the sender. */
#define ACKS_MAX 8

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64); /* bpf_get_current_pid_tgid() */
	__type(value, __u64);
} commits_in_progress SEC(".maps");

/* Set at load: the collector's process, which only reads rules. */
const volatile __u32 cfg_own_tgid = 0;

/*
 * Emits the change. Its owner is that of the network namespace. If that has none, the sandbox that
 * made the change becomes its owner.
 */
static __always_inline int emit_nft(struct net *net, __u32 result, __s32 error)
{
	__u64 cgroup_id = bpf_get_current_cgroup_id();
	struct netns_owner *resident;
	struct watched_cgroup *actor;
	struct owner owner;
	__u32 netns = BPF_CORE_READ(net, ns.inum);
	struct sandbox_ref ref;
	struct nft_event *event;

	if (bpf_get_current_pid_tgid() >> 32 == cfg_own_tgid)
		return 0;
	resident = bpf_map_lookup_elem(&watched_netns, &netns);
	actor = bpf_map_lookup_elem(&watched_cgroups, &cgroup_id);
	if (resident) {
		owner = resident->owner;
	} else if (actor) {
		owner = actor->owner;
		note_netns(netns, &owner);
	} else {
		return 0;
	}
	if (!init_ref(&owner, cgroup_id, &ref))
		return 0;
	event = RESERVE_CRITICAL(&ref, EVENT_NFT, sizeof(*event));
	if (!event)
		return 0;
	fill_current_process(&event->process);
	bpf_get_current_comm(event->comm, COMM_BYTES);
	event->actor = actor ? actor->owner.member : 0;
	event->netns = netns;
	event->error = error;
	event->result = result;
	event->pad0 = 0;
	submit_event(event);
	return 0;
}

/*
 * True for messages that change something. The types alternate between GET, NEW and DEL in no
 * regular order, so the GETs are listed.
 */
static __always_inline bool is_change(__u16 type)
{
	const __u64 gets = 1ULL << 1 | 1ULL << 4 | 1ULL << 7 | 1ULL << 10 | 1ULL << 13 |
			   1ULL << 16 | 1ULL << 19 | 1ULL << 21 | 1ULL << 23 | 1ULL << 25 |
			   1ULL << 33;

	if (type == NFNL_MSG_BATCH_BEGIN)
		return true;
	return type >> 8 == NFNL_SUBSYS_NFTABLES && !(gets >> (type & 63) & 1);
}

static __always_inline bool is_nfnetlink(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_family) == AF_NETLINK &&
	       BPF_CORE_READ(sk, sk_protocol) == NETLINK_NETFILTER;
}

static __always_inline int handle_netlink_ack(struct sk_buff *request, struct nlmsghdr *message,
					      int error)
{
	struct sock *sk = BPF_CORE_READ(request, sk);

	if (error >= 0 || !sk || BPF_CORE_READ(sk, sk_protocol) != NETLINK_NETFILTER ||
	    !is_change(BPF_CORE_READ(message, nlmsg_type)))
		return 0;
	return emit_nft(BPF_CORE_READ(sk, __sk_common.skc_net.net), NFT_REJECTED, error);
}

SEC("fexit/nf_tables_commit")
int BPF_PROG(handle_nft_commit, struct net *net, struct sk_buff *skb, int result)
{
	return result == 0 ? emit_nft(net, NFT_COMMITTED, 0) : 0;
}

SEC("fexit/nf_tables_abort")
int BPF_PROG(handle_nft_abort, struct net *net, struct sk_buff *skb, int action, int result)
{
	return action == NFNL_ABORT_NONE ? emit_nft(net, NFT_ABORTED, 0) : 0;
}

SEC("fexit/netlink_ack")
int BPF_PROG(handle_netlink_ack_exit, struct sk_buff *request, struct nlmsghdr *message, int error)
{
	return handle_netlink_ack(request, message, error);
}

SEC("kprobe/nf_tables_commit")
int BPF_KPROBE(handle_nft_commit_entry, struct net *net)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u64 pointer = (__u64)net;

	bpf_map_update_elem(&commits_in_progress, &thread, &pointer, BPF_ANY);
	return 0;
}

SEC("kretprobe/nf_tables_commit")
int BPF_KRETPROBE(handle_nft_commit_return, int result)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u64 *net = bpf_map_lookup_elem(&commits_in_progress, &thread);

	if (net && result == 0)
		emit_nft((struct net *)*net, NFT_COMMITTED, 0);
	bpf_map_delete_elem(&commits_in_progress, &thread);
	return 0;
}

SEC("kprobe/nf_tables_abort")
int BPF_KPROBE(handle_nft_abort_entry, struct net *net, struct sk_buff *skb, int action)
{
	return action == NFNL_ABORT_NONE ? emit_nft(net, NFT_ABORTED, 0) : 0;
}

SEC("kprobe/netlink_ack")
int BPF_KPROBE(handle_netlink_ack_entry, struct sk_buff *request, struct nlmsghdr *message,
	       int error)
{
	return handle_netlink_ack(request, message, error);
}

/*
 * The kernel processes a batch while it is sent. After the send, the receive queue of the sender
 * holds the errors of its messages. No error means that the batch was committed, or that it was
 * only a query. User space decides by the notification of a new generation.
 */
static __always_inline int handle_netlink_send(struct sock *sk)
{
	struct sk_buff *first =
		(struct sk_buff *)__builtin_preserve_access_index(&sk->sk_receive_queue);
	struct sk_buff *skb;
	struct {
		struct nlmsghdr header;
		__s32 error;
		struct nlmsghdr request;
	} ack;
	__s32 error = 0;

	skb = BPF_CORE_READ(sk, sk_receive_queue.next);
	for (int i = 0; i < ACKS_MAX; i++) {
		if (!skb || skb == first)
			break;
		if (!bpf_probe_read_kernel(&ack, sizeof(ack), BPF_CORE_READ(skb, data)) &&
		    ack.header.nlmsg_type == NLMSG_ERROR && ack.error < 0 &&
		    is_change(ack.request.nlmsg_type)) {
			error = ack.error;
			break;
		}
		skb = BPF_CORE_READ(skb, next);
	}
	return emit_nft(BPF_CORE_READ(sk, __sk_common.skc_net.net), NFT_SENT, error);
}

SEC("fexit/netlink_sendmsg")
int BPF_PROG(handle_netlink_sendmsg, struct socket *socket, void *message, unsigned long length,
	     int result)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);

	return is_nfnetlink(sk) ? handle_netlink_send(sk) : 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(handle_socket_send, struct sock *sk, int result, int flags)
{
	return is_nfnetlink(sk) ? handle_netlink_send(sk) : 0;
}
