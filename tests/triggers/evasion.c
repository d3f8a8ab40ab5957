// SPDX-License-Identifier: Apache-2.0
#include "tests/triggers/triggers.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Variables that a second thread rewrites without pause, to race with the kernel that reads them.
 */
static struct {
	in_addr_t addresses[2];
	volatile in_addr_t *address;
	char *words[2];
	char *volatile *word;
} flip;

static void *rewrite(void *nothing)
{
	for (unsigned i = 0;; i++) {
		if (flip.address)
			*flip.address = flip.addresses[i & 1];
		if (flip.word)
			*flip.word = flip.words[i & 1];
	}
	return nothing;
}

static void start_rewriting(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, rewrite, NULL))
		die("pthread_create");
}

/*
 * A B COUNT: connects COUNT times to an address variable that alternates between A and B. Prints
 * the peer of each connection.
 */
int connect_flip(char **args)
{
	static struct sockaddr_in target;

	target = ipv4(args[0], 8080);
	flip.addresses[0] = target.sin_addr.s_addr;
	flip.addresses[1] = inet_addr(args[1]);
	flip.address = &target.sin_addr.s_addr;
	start_rewriting();
	for (int i = atoi(args[2]); i > 0; i--) {
		struct sockaddr_in peer;
		socklen_t size = sizeof(peer);
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(fd, (struct sockaddr *)&target, sizeof(target)) ||
		    getpeername(fd, (struct sockaddr *)&peer, &size))
			die("connect");
		puts(inet_ntoa(peer.sin_addr));
		close(fd);
	}
	return 0;
}

/*
 * COUNT: starts a program COUNT times while its argument alternates between two words. Each prints
 * the one that it got.
 */
int exec_flip(char **args)
{
	static char first[] = "the-first-word", other[] = "the-other-word";

	for (int i = atoi(args[0]); i > 0; i--) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			static char *argv[] = { "triggers", "show", first, NULL };

			flip.words[0] = first;
			flip.words[1] = other;
			flip.word = &argv[2];
			start_rewriting();
			usleep(1000);
			execv("/proc/self/exe", argv);
			_exit(99);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			return 1;
	}
	return 0;
}

int show(char **args)
{
	puts(args[0]);
	return 0;
}

static long call_ia32(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

/*
 * HOST PORT: connects with the 32-bit system calls. Prints the result of connect, or -38 (ENOSYS)
 * if the kernel has none.
 */
int connect_ia32(char **args)
{
	enum {
		IA32_SOCKET = 359,
		IA32_CONNECT = 362
	};
	struct sockaddr_in *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long fd = call_ia32(IA32_SOCKET, AF_INET, SOCK_STREAM, 0);

	if (low == MAP_FAILED)
		die("mmap");
	*low = ipv4(args[0], atoi(args[1]));
	printf("%ld\n", fd < 0 ? fd : call_ia32(IA32_CONNECT, fd, (long)low, sizeof(*low)));
	return 0;
}

/* HOST: changes its name and its arguments to hide itself, then connects. */
int hide(char **args)
{
	struct sockaddr_in target = ipv4(args[0], 8080);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	prctl(PR_SET_NAME, "kworker/0:1");
	for (char **word = args - 2; *word; word++)
		memset(*word, 'z', strlen(*word));
	return connect(fd, (struct sockaddr *)&target, sizeof(target)) ? 1 : 0;
}
