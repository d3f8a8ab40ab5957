// SPDX-License-Identifier: Apache-2.0
#include "tests/triggers/triggers.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int ring = -1;
static char *sq, *cq;
static struct io_uring_sqe *sqes;
static struct io_uring_params params;

int uring_open(void)
{
	ring = syscall(SYS_io_uring_setup, 4, &params);
	if (ring < 0)
		return -1;
	sq = mmap(NULL, params.sq_off.array + params.sq_entries * 4, PROT_READ | PROT_WRITE,
		  MAP_SHARED, ring, IORING_OFF_SQ_RING);
	cq = mmap(NULL, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
		  PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	sqes = mmap(NULL, params.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED,
		    ring, IORING_OFF_SQES);
	return sq == MAP_FAILED || cq == MAP_FAILED || sqes == MAP_FAILED ? -1 : 0;
}

static int submit(const struct io_uring_sqe *request)
{
	unsigned *tail = (unsigned *)(sq + params.sq_off.tail),
		 *mask = (unsigned *)(sq + params.sq_off.ring_mask);
	unsigned *head = (unsigned *)(cq + params.cq_off.head),
		 *cq_mask = (unsigned *)(cq + params.cq_off.ring_mask);
	struct io_uring_cqe *cqes = (void *)(cq + params.cq_off.cqes);
	int result;

	sqes[0] = *request;
	((unsigned *)(sq + params.sq_off.array))[*tail & *mask] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		die("io_uring_enter");
	result = cqes[*head & *cq_mask].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

int uring_connect(int fd, const struct sockaddr_in *address)
{
	struct io_uring_sqe request = { .opcode = IORING_OP_CONNECT,
					.fd = fd,
					.addr = (unsigned long)address,
					.off = sizeof(*address) };

	return submit(&request);
}

int uring_sendmsg(int fd, const void *data, size_t size, const struct sockaddr_in *address)
{
	struct iovec part = { .iov_base = (void *)data, .iov_len = size };
	struct msghdr message = { .msg_name = (void *)address,
				  .msg_namelen = address ? sizeof(*address) : 0,
				  .msg_iov = &part,
				  .msg_iovlen = 1 };
	struct io_uring_sqe request = {
		.opcode = IORING_OP_SENDMSG, .fd = fd, .addr = (unsigned long)&message, .len = 1
	};

	return submit(&request);
}
