// SPDX-License-Identifier: Apache-2.0
#include "tests/triggers/triggers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void print_lookups(const char *const *names, int count, const char *server)
{
	printf("{\"truth\": {\"lookups\": [");
	for (int i = 0; i < count; i++)
		printf("%s{\"name\": \"%s.test\", \"type\": \"A\", \"outcome\": \"ok\", \"ips\": "
		       "[\"10.77.0.4\"], \"transport\": \"udp\", \"server\": \"%s\"}",
		       i ? ", " : "", names[i], server);
	printf("], \"flows\": [], \"execs\": [], \"ignored_answers\": 0, \"malformed\": 0}}\n");
}

static void expect_answers(int fd, int count)
{
	char answer[512];

	for (int i = 0; i < count; i++)
		if (recv(fd, answer, sizeof(answer), 0) < 12)
			die("answer");
}

int dns_sendmmsg(char **args)
{
	static const char *const names[] = { "m0", "m1", "m2", "m3" };
	struct sockaddr_in server = ipv4(args[0], 53);
	unsigned char queries[4][64];
	struct mmsghdr messages[4] = { 0 };
	struct iovec parts[4];
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (int i = 0; i < 4; i++) {
		parts[i] = (struct iovec){ queries[i], dns_query(queries[i], 100 + i, names[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_name = &server,
						       .msg_namelen = sizeof(server),
						       .msg_iov = &parts[i],
						       .msg_iovlen = 1 };
	}
	if (sendmmsg(fd, messages, 4, 0) != 4)
		die("sendmmsg");
	expect_answers(fd, 4);
	print_lookups(names, 4, args[0]);
	return 0;
}

int dns_uring(char **args)
{
	static const char *const names[] = { "u0", "u1" };
	struct sockaddr_in server = ipv4(args[0], 53);
	unsigned char query[64];
	int connected = socket(AF_INET, SOCK_DGRAM, 0), loose = socket(AF_INET, SOCK_DGRAM, 0);

	if (uring_open())
		die("io_uring");
	if (uring_sendmsg(loose, query, dns_query(query, 1, names[0]), &server) < 0)
		die("sendmsg");
	expect_answers(loose, 1);
	if (uring_connect(connected, &server) ||
	    uring_sendmsg(connected, query, dns_query(query, 2, names[1]), NULL) < 0)
		die("connect");
	expect_answers(connected, 1);
	print_lookups(names, 2, args[0]);
	return 0;
}

static void print_flow(const char *address, int port, const char *outcome, size_t sent,
		       size_t received)
{
	printf("{\"truth\": {\"lookups\": [], \"flows\": [{\"peer\": \"%s\", \"port\": %d, "
	       "\"transport\": \"tcp\", \"outcome\": \"%s\", "
	       "\"sent\": %zu, \"received\": %zu, \"host\": null, \"dns\": false, \"reset\": "
	       "false}], \"execs\": [], "
	       "\"ignored_answers\": 0, \"malformed\": 0}}\n",
	       address, port, outcome, sent, received);
}

int connect_uring(char **args)
{
	struct sockaddr_in server = ipv4(args[0], atoi(args[1]));
	int fd = socket(AF_INET, SOCK_STREAM, 0), result;
	char echo[8];

	if (uring_open())
		die("io_uring");
	result = uring_connect(fd, &server);
	if (result) {
		print_flow(args[0], atoi(args[1]), result == -ECONNREFUSED ? "refused" : "other", 0,
			   0);
		return 0;
	}
	if (send(fd, "12345678", 8, 0) != 8 || recv(fd, echo, 8, MSG_WAITALL) != 8)
		die("echo");
	print_flow(args[0], atoi(args[1]), "established", 8, 8);
	return 0;
}

/*
 * The error is returned by io_uring only. args[1] is the outcome that a host reports without a hook
 * for it.
 */
int connect_unreachable_uring(char **args)
{
	struct sockaddr_in server = ipv4(args[0], 80);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (uring_open())
		die("io_uring");
	if (uring_connect(fd, &server) != -ENETUNREACH)
		die("expected ENETUNREACH");
	print_flow(args[0], 80, args[1], 0, 0);
	return 0;
}

/*
 * ADDRESS PORT COUNT [STEP]: starts COUNT connects and closes each at once. Each one goes to an
 * address STEP further within ADDRESS/8. Prints the number of connects.
 */
int flood_connect(char **args)
{
	struct sockaddr_in server = ipv4(args[0], atoi(args[1]));
	long count = atol(args[2]), step = args[3] ? atol(args[3]) : 0, made = 0;
	in_addr_t first = ntohl(server.sin_addr.s_addr);

	for (; made < count; made++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

		if (fd < 0)
			break;
		server.sin_addr.s_addr =
			htonl((first & 0xff000000) | ((first + made * step) & 0xffffff));
		connect(fd, (struct sockaddr *)&server, sizeof(server));
		close(fd);
	}
	printf("%ld\n", made);
	return 0;
}

/*
 * ADDRESS PORT COUNT SEED: sends COUNT queries with different names as fast as possible. Prints the
 * number of queries sent.
 */
int flood_dns(char **args)
{
	enum {
		BATCH = 64
	};
	struct sockaddr_in server = ipv4(args[0], atoi(args[1]));
	long count = atol(args[2]), sent = 0;
	unsigned seed = strtoul(args[3], NULL, 10);
	unsigned char queries[BATCH][64];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	while (sent < count) {
		long n = count - sent < BATCH ? count - sent : BATCH;
		int done;

		for (int i = 0; i < n; i++) {
			char name[32];

			snprintf(name, sizeof(name), "r%x-%lx", seed, sent + i);
			parts[i] = (struct iovec){
				queries[i], dns_query(queries[i], (int)(sent + i) & 0xffff, name)
			};
			messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_name = &server,
								     .msg_namelen = sizeof(server),
								     .msg_iov = &parts[i],
								     .msg_iovlen = 1 } };
		}
		done = sendmmsg(fd, messages, n, 0);
		if (done < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			die("sendmmsg");
		sent += done > 0 ? done : 0;
	}
	printf("%ld\n", sent);
	return 0;
}
