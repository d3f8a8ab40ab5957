// SPDX-License-Identifier: Apache-2.0
#include "tests/triggers/triggers.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void die(const char *what)
{
	perror(what);
	exit(100);
}

struct sockaddr_in ipv4(const char *address, int port)
{
	struct sockaddr_in out = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, address, &out.sin_addr) != 1)
		die(address);
	return out;
}

size_t dns_query(unsigned char *out, int id, const char *name)
{
	static const unsigned char header[] = { 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	static const unsigned char tail[] = "\4test\0\0\1\0\1";
	size_t n = strlen(name);

	memcpy(out, header, sizeof(header));
	out[0] = id >> 8;
	out[1] = id;
	out[12] = n;
	memcpy(out + 13, name, n);
	memcpy(out + 13 + n, tail, sizeof(tail) - 1);
	return 13 + n + sizeof(tail) - 1;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(char **);
	} triggers[] = {
		{ "dns-sendmmsg", dns_sendmmsg },
		{ "dns-uring", dns_uring },
		{ "connect-uring", connect_uring },
		{ "connect-unreachable-uring", connect_unreachable_uring },
		{ "exec-vfork", exec_vfork },
		{ "exec-clone3", exec_clone3 },
		{ "exec-into-cgroup", exec_into_cgroup },
		{ "exec-memfd", exec_memfd },
		{ "exec-thread", exec_thread },
		{ "exec-double-fork", exec_double_fork },
		{ "connect-flip", connect_flip },
		{ "connect-ia32", connect_ia32 },
		{ "enter", enter },
		{ "exec-flip", exec_flip },
		{ "show", show },
		{ "hide", hide },
		{ "inject", inject },
		{ "flood-connect", flood_connect },
		{ "flood-dns", flood_dns },
		{ "flood-exec", flood_exec },
		{ "flood-fork", flood_fork },
		{ "storm", storm },
	};

	if (argc > 1 && !strcmp(argv[1], "exit"))
		return atoi(argv[2]);
	for (size_t i = 0; argc > 1 && i < sizeof(triggers) / sizeof(*triggers); i++)
		if (!strcmp(argv[1], triggers[i].name))
			return triggers[i].run(argv + 2);
	fprintf(stderr, "triggers: no such trigger\n");
	return 101;
}
