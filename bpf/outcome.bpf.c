// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The outcome of a connection attempt: established, failed with an error, or closed with a number
// of bytes.
//
// The outcome of TCP comes from inet_sock_set_state, because the kernel decides it there for
// blocking and non-blocking calls alike. An error before the first packet changes no state, so it
// is taken from the return value of the call.
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/process.bpf.h"
#include "bpf/preemption_backup.bpf.h"
#include "bpf/socket.bpf.h"

#define ERROR_INTERRUPTED 4
#define ERROR_ALREADY_CONNECTED 106
#define ERROR_ALREADY 114
#define ERROR_IN_PROGRESS 115
#define ERROR_RESTART_SYS 512

/*
 * TCP payload that was sent. tcp_sock.bytes_sent is not used: it counts a segment again that
 * netfilter dropped before it left. Instead: acknowledged bytes plus bytes in flight, minus one
 * sequence number for the SYN and, once it was sent, one for the FIN.
 */
static __always_inline __u64 payload_sent(struct tcp_sock *tcp, int state)
{
	__u32 next = tcp->snd_nxt;
	__u64 sent = tcp->bytes_acked + (__u32)(next - tcp->snd_una);
	bool fin = state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_LAST_ACK ||
		   state == TCP_CLOSING;
	__u32 controls = 1 + (fin && next == tcp->write_seq);

	return sent > controls ? sent - controls : 0;
}

/* tcp_rcv_nxt_update() also counts the FIN of the peer as a byte. */
static __always_inline __u64 payload_received(struct tcp_sock *tcp, struct sock *sk)
{
	__u64 received = tcp->bytes_received;

	return received && sk->__sk_common.skc_flags & SOCK_FLAG_DONE ? received - 1 : received;
}

/*
 * The state changes of TCP. A socket without a cookie was never seen by connect.bpf.c. A change
 * from SYN_SENT to CLOSE without an error has two reasons: the caller gave up, or the call is about
 * to return an error.
 */
static __always_inline int on_tcp_state(struct sock *sk, int from, int to, bool is_backup)
{
	struct socket_state *state = NULL;
	__u64 cookie, cgroup_id;
	struct sandbox_ref ref;
	struct tcp_sock *tcp;
	bool watched, reported;

	if (to != TCP_ESTABLISHED && to != TCP_CLOSE)
		return 0;
	cookie = socket_cookie(sk);
	cgroup_id = socket_cgroup_id(sk);
	if (!cookie || sk->sk_protocol != IPPROTO_TCP || is_unwatched(cgroup_id) ||
	    PRIMARY_ALREADY_RAN(is_backup, EVENT_CONNECT_RESULT, cookie, to))
		return 0;
	watched = find_cgroup_owner(cgroup_id, &ref);
	if (!watched || to == TCP_CLOSE)
		state = FIND_SOCKET_STATE(sk, cookie);
	if (!watched && !find_state_owner(cgroup_id, state, &ref))
		return 0;
	if (to == TCP_ESTABLISHED) {
		if (from == TCP_SYN_SENT || from == TCP_SYN_RECV)
			emit_result(&ref, cookie, NULL, TRANSPORT_TCP, 0, 1, 0);
		return 0;
	}
	if (from == TCP_SYN_SENT) {
		reported = emit_result(&ref, cookie, NULL, TRANSPORT_TCP, sk->sk_err, 0, 0) &&
			   sk->sk_err;
	} else {
		tcp = bpf_skc_to_tcp_sock(sk);
		if (!tcp)
			return 0;
		reported = emit_close(&ref, cookie, TRANSPORT_TCP, payload_sent(tcp, from),
				      payload_received(tcp, sk), sk->sk_err);
	}
	if (state)
		state->reported = reported;
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(handle_tcp_state, struct sock *sk, int from, int to)
{
	return on_tcp_state(sk, from, to, false);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(backup_tcp_state, struct sock *sk, int from, int to)
{
	return on_tcp_state(sk, from, to, true);
}

/* An ICMP error arrived for a connected UDP socket. */
static __always_inline int emit_udp_error(struct sock *sk)
{
	__u64 cookie = socket_cookie(sk);
	__u64 cgroup_id = socket_cgroup_id(sk);
	struct sandbox_ref ref;

	if (!cookie || sk->sk_protocol != IPPROTO_UDP || is_unwatched(cgroup_id) ||
	    !find_socket_owner(cgroup_id, FIND_SOCKET_STATE(sk, cookie), &ref))
		return 0;
	emit_result(&ref, cookie, NULL, TRANSPORT_UDP, sk->sk_err, 0, 0);
	return 0;
}

/* The tracepoint exists since 5.14. */
SEC("tp_btf/inet_sk_error_report")
int BPF_PROG(handle_udp_error, struct sock *sk)
{
	return emit_udp_error(sk);
}

/* Second choice: the function that later got the tracepoint. */
SEC("fexit/sock_def_error_report")
int BPF_PROG(handle_udp_error_report, struct sock *sk)
{
	return emit_udp_error(sk);
}

static __always_inline void forget_source(struct socket_state *state, __u64 cookie)
{
	struct source_key key = { .address = state->source, .transport = state->transport };
	struct source *source = bpf_map_lookup_elem(&sources, &key);

	if (source && source->cookie == cookie)
		bpf_map_delete_elem(&sources, &key);
}

/*
 * The end of a UDP socket. TCP is reported here only if it never left CLOSE, or if no other hook
 * reported the end.
 */
SEC("cgroup/sock_release")
int handle_sock_release(struct bpf_sock *ctx)
{
	struct socket_state *state = FIND_SOCKET_STATE(ctx, bpf_get_socket_cookie(ctx));
	struct sandbox_ref ref;
	__u64 cookie;
	bool over;

	if (!state)
		return 1;
	cookie = bpf_get_socket_cookie(ctx);
	if (state->source.port)
		forget_source(state, cookie);
	over = state->transport != TRANSPORT_TCP || (ctx->state == TCP_CLOSE && !state->reported);
	if (over && find_socket_owner(state->cgroup_id, state, &ref))
		emit_close(&ref, cookie, state->transport, 0, 0, 0);
	return 1;
}

static __always_inline bool is_final_error(long result)
{
	return result < 0 && result != -ERROR_IN_PROGRESS && result != -ERROR_ALREADY &&
	       result != -ERROR_INTERRUPTED && result != -ERROR_RESTART_SYS &&
	       result != -ERROR_ALREADY_CONNECTED;
}

/*
 * Errors that a call returns before any packet is sent. Best mechanism: the function of the
 * protocol, because every way to call it passes there.
 */
static __always_inline int handle_call_error(struct sock *sk, __u32 transport,
					     const struct endpoint *peer, long result)
{
	struct socket_state *state;
	struct sandbox_ref ref;
	__u64 cookie;

	if (!is_final_error(result))
		return 0;
	cookie = socket_cookie(sk);
	if (!cookie)
		return 0;
	state = FIND_SOCKET_STATE(sk, cookie);
	if ((state && state->reported) || !find_socket_owner(socket_cgroup_id(sk), state, &ref))
		return 0;
	emit_result(&ref, cookie, peer, transport, -result, 0, RESULT_RETURNED);
	return 0;
}

SEC("fexit/inet_stream_connect")
int BPF_PROG(handle_stream_connect, struct socket *socket, void *address, int length, int flags,
	     int result)
{
	/* Not BPF_CORE_READ: bpf_sk_storage_get() needs a typed pointer. */
	return handle_call_error(socket->sk, TRANSPORT_TCP, NULL, result);
}

/* Without a peer: user space takes the newest attempt of the socket. */
SEC("fexit/udp_sendmsg")
int BPF_PROG(handle_udp_sendmsg, struct sock *sk, void *message, unsigned long length, int result)
{
	return handle_call_error(sk, TRANSPORT_UDP, NULL, result);
}

SEC("fexit/udpv6_sendmsg")
int BPF_PROG(handle_udpv6_sendmsg, struct sock *sk, void *message, unsigned long length, int result)
{
	return handle_call_error(sk, TRANSPORT_UDP, NULL, result);
}

/*
 * Second choice, where fexit is not allowed: the exit of the system call. The call passed
 * connect.bpf.c in the same thread.
 */
static __always_inline int handle_syscall_exit(long result)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct pending_call *call = bpf_map_lookup_elem(&pending_calls, &thread);
	struct sandbox_ref ref;

	if (!call)
		return 0;
	if (is_final_error(result) && find_current_owner(&ref))
		emit_result(&ref, call->cookie, &call->peer, call->transport, -result, 0,
			    RESULT_RETURNED);
	bpf_map_delete_elem(&pending_calls, &thread);
	return 0;
}

/* Layout of every syscalls/sys_exit_* event: 8 common bytes, number, result. */
struct sys_exit_context {
	__u64 common;
	long number;
	long result;
};

SEC("tp/syscalls/sys_exit_connect")
int handle_exit_connect(struct sys_exit_context *ctx)
{
	return handle_syscall_exit(ctx->result);
}

SEC("tp/syscalls/sys_exit_sendto")
int handle_exit_sendto(struct sys_exit_context *ctx)
{
	return handle_syscall_exit(ctx->result);
}

SEC("tp/syscalls/sys_exit_sendmsg")
int handle_exit_sendmsg(struct sys_exit_context *ctx)
{
	return handle_syscall_exit(ctx->result);
}

SEC("tp/syscalls/sys_exit_sendmmsg")
int handle_exit_sendmmsg(struct sys_exit_context *ctx)
{
	return handle_syscall_exit(ctx->result);
}

/*
 * The result is not that of the request. The program only removes the pending call, so that a later
 * call of the thread does not use it.
 */
SEC("tp/syscalls/sys_exit_io_uring_enter")
int handle_exit_io_uring(struct sys_exit_context *ctx)
{
	return handle_syscall_exit(0);
}

/*
 * Bytes of open TCP connections, read by user space once per window. An iterator over socket
 * storage: it visits only sockets that sandboxes used. The socket is locked and referenced while
 * this runs.
 */
SEC("iter/bpf_sk_storage_map")
int handle_tcp_bytes(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct socket_bytes out = {};
	struct sock *sk = ctx->sk;
	struct tcp_sock *tcp;

	if (!sk)
		return 0;
	out.cookie = socket_cookie(sk);
	tcp = bpf_skc_to_tcp_sock(sk);
	if (tcp) {
		out.bytes[DIRECTION_SENT] = payload_sent(tcp, sk->__sk_common.skc_state);
		out.bytes[DIRECTION_RECEIVED] = payload_received(tcp, sk);
	}
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}
