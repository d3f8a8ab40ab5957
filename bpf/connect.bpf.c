// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Connection attempts, and the state of the sockets that make them.
//
// cgroup sock_addr hooks: the kernel has copied the address from user memory already, so that the
// process cannot change it any more. They run before NAT and for every way to connect or send
// (connect, sendto, sendmsg, sendmmsg, 32-bit calls, io_uring). They belong to the cgroup of the
// socket, not to that of the current task. Each program returns 1, which allows the call.
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/process.bpf.h"
#include "bpf/socket.bpf.h"

static __always_inline struct socket_state *
note_socket(struct bpf_sock_addr *ctx, struct sandbox_ref *ref, const struct endpoint *peer)
{
	struct watch *watch = get_watch();
	struct socket_state *state;
	__u64 cookie;

	if (!ctx->sk)
		return NULL;
	/*
	 * The helper assigns the cookie, which programs on tracepoints only read. The first packet
	 * may be dropped before any other program assigns it.
	 */
	cookie = bpf_get_socket_cookie(ctx);
	state = GET_SOCKET_STATE(ctx->sk, cookie);
	/*
	 * The socket needs storage even when states_by_cookie is used: handle_tcp_bytes iterates
	 * over it.
	 */
	if (!cfg_socket_storage &&
	    !bpf_sk_storage_get(&socket_states, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE))
		state = NULL;
	if (!state) {
		add(&ref->counters->storage_failed, 1);
		return NULL;
	}
	if (ref->flags && watch)
		watch->foreign_sockets = 1;
	fill_current_process(&state->process);
	bpf_get_current_comm(state->comm, COMM_BYTES);
	state->netns = current_netns();
	enter_netns(state->netns, ref);
	state->peer = *peer;
	state->owner = ref->owner;
	state->cgroup_id = ref->cgroup_id;
	state->flags = ref->flags;
	state->transport = ctx->protocol == IPPROTO_TCP ? TRANSPORT_TCP : TRANSPORT_UDP;
	state->dns = is_dns_port(peer->port);
	state->ever_dns |= state->dns;
	state->denied = 0;
	state->reported = 0;
	if (state->transport == TRANSPORT_TCP)
		state->source.port = 0;
	return state;
}

static __always_inline void track_call(__u64 cookie, const struct endpoint *peer, __u32 transport)
{
	struct pending_call call = { .cookie = cookie, .peer = *peer, .transport = transport };
	__u64 thread = bpf_get_current_pid_tgid();

	if (cfg_track_calls)
		bpf_map_update_elem(&pending_calls, &thread, &call, BPF_ANY);
}

/*
 * Returns the socket as a typed pointer, NULL if this kernel gives none. The verifier allows no
 * arithmetic on ctx->sk. Without bpf_rdonly_cast() there is a typed pointer for TCP only, if the
 * program may call bpf_skc_to_tcp_sock().
 */
static __always_inline struct sock *typed_socket(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return NULL;
	if (HAS_CASTS)
		return CAST(struct sock, sk);
	return cfg_typed_pointers && ctx->protocol == IPPROTO_TCP
		       ? (struct sock *)bpf_skc_to_tcp_sock(sk)
		       : NULL;
}

/*
 * Returns the socket as a number that helpers can read from. The verifier does not allow ctx->sk to
 * be converted. But the difference of two pointers is a number. The current task is available both
 * as a pointer and as a number, so the address is that number plus the difference. Without a typed
 * current task, the pointer is read back from the stack.
 */
static __always_inline struct sock *untyped_socket(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *given = ctx->sk;
	struct sock *sk = NULL;

	if (cfg_typed_pointers) {
		__u64 number = bpf_get_current_task();
		__u64 from_task = (__u64)given;

		asm volatile("%0 -= %1" : "+r"(from_task) : "r"(bpf_get_current_task_btf()));
		return (struct sock *)(number + from_task);
	}
	bpf_probe_read_kernel(&sk, sizeof(sk), &given);
	return sk;
}

/*
 * Usually the cgroup of the current task. A helper returns its id, which saves a read of kernel
 * memory.
 */
static __always_inline __u64 untyped_socket_cgroup_id(struct sock *sk)
{
	struct cgroup *cgroup;

	if (!bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return untagged_cgroup_id(sk);
	cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	if (cfg_typed_pointers && cgroup == bpf_get_current_task_btf()->cgroups->dfl_cgrp)
		return bpf_get_current_cgroup_id();
	return BPF_CORE_READ(cgroup, kn, id);
}

static __always_inline __u32 untyped_socket_netns(struct bpf_sock_addr *ctx, struct sock *sk)
{
	if (cfg_typed_pointers &&
	    bpf_get_netns_cookie(ctx) == bpf_get_current_task_btf()->nsproxy->net_ns->net_cookie)
		return current_netns();
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

/*
 * The owner by the cgroup of the socket. sock_addr programs have no helper for it. A socket keeps
 * the cgroup in which it was created.
 */
static __always_inline bool find_sock_addr_owner(struct bpf_sock_addr *ctx, struct sandbox_ref *ref)
{
	struct sock *typed = typed_socket(ctx);
	struct sock *untyped = typed || !ctx->sk ? NULL : untyped_socket(ctx);
	__u64 cgroup_id = 0;
	__u64 user_id;
	__u32 netns = 0;

	if (typed)
		cgroup_id = socket_cgroup_id(typed);
	else if (untyped)
		cgroup_id = untyped_socket_cgroup_id(untyped);
	if (find_cgroup_owner(cgroup_id, ref))
		return true;
	/*
	 * The socket was created before the process entered the sandbox, or it was passed to the
	 * process.
	 */
	user_id = bpf_get_current_cgroup_id();
	if (user_id != cgroup_id && find_cgroup_owner(user_id, ref)) {
		ref->flags = EVENT_BY_PROCESS;
		return true;
	}
	if (typed)
		netns = typed->__sk_common.skc_net.net->ns.inum;
	else if (untyped)
		netns = untyped_socket_netns(ctx, untyped);
	return find_netns_owner(netns, cgroup_id, ref);
}

/*
 * A TCP attempt begins here. connect(2) on a UDP socket sends nothing and may never do so
 * (getaddrinfo(3) sorts addresses with it). Its attempt is the first datagram.
 */
static __always_inline int handle_connect(struct bpf_sock_addr *ctx, const struct endpoint *peer)
{
	struct socket_state *state;
	struct sandbox_ref ref;
	__u64 cookie;

	if ((ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP) ||
	    !find_sock_addr_owner(ctx, &ref))
		return 1;
	state = note_socket(ctx, &ref, peer);
	if (!state || state->transport != TRANSPORT_TCP)
		return 1;
	cookie = bpf_get_socket_cookie(ctx);
	emit_connect(&ref, cookie, state, peer);
	track_call(cookie, peer, TRANSPORT_TCP);
	return 1;
}

static __always_inline int handle_sendmsg(struct bpf_sock_addr *ctx, const struct endpoint *peer)
{
	struct socket_state *state;
	struct sandbox_ref ref;
	bool created;
	__u64 cookie;

	if (ctx->protocol != IPPROTO_UDP || !find_sock_addr_owner(ctx, &ref))
		return 1;
	state = note_socket(ctx, &ref, peer);
	if (!state || state->dns)
		return 1;
	cookie = bpf_get_socket_cookie(ctx);
	open_udp_flow(&ref, cookie, state, peer, &created);
	if (created)
		track_call(cookie, peer, TRANSPORT_UDP);
	return 1;
}

static __always_inline struct endpoint get_peer_ipv4(struct bpf_sock_addr *ctx)
{
	struct endpoint peer;

	set_ipv4(&peer, ctx->user_ip4, bpf_ntohs(ctx->user_port));
	return peer;
}

static __always_inline struct endpoint get_peer_ipv6(struct bpf_sock_addr *ctx)
{
	struct endpoint peer = { .port = bpf_ntohs(ctx->user_port) };
	__u32 *words = (__u32 *)peer.address;

	words[0] = ctx->user_ip6[0];
	words[1] = ctx->user_ip6[1];
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
	return peer;
}

SEC("cgroup/connect4")
int handle_connect4(struct bpf_sock_addr *ctx)
{
	struct endpoint peer = get_peer_ipv4(ctx);

	return handle_connect(ctx, &peer);
}

SEC("cgroup/connect6")
int handle_connect6(struct bpf_sock_addr *ctx)
{
	struct endpoint peer = get_peer_ipv6(ctx);

	return handle_connect(ctx, &peer);
}

SEC("cgroup/sendmsg4")
int handle_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct endpoint peer = get_peer_ipv4(ctx);

	return handle_sendmsg(ctx, &peer);
}

SEC("cgroup/sendmsg6")
int handle_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct endpoint peer = get_peer_ipv6(ctx);

	return handle_sendmsg(ctx, &peer);
}
