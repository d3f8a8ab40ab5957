// SPDX-License-Identifier: Apache-2.0
#include "tests/triggers/triggers.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX 1000
#define RUNNING_MAX 8
#define THREADS 4

/* How a child ends. */
enum ending {
	EXITS,
	KILLS_ITSELF,
	ENDS_WITH_THREADS,
	EXECS,
	FAILS_TO_EXEC,
	EXECS_IN_A_GRANDCHILD,
	EXECS_AFTER_VFORK,
	ENDINGS
};

struct child {
	pid_t pid, grandchild;
	enum ending ending;
	int code;   /* of the child as planned: the argument of a program */
	int status; /* as waitpid returned it */
};

static struct child children[CHILDREN_MAX];

static void *end_after(void *microseconds)
{
	usleep((intptr_t)microseconds);
	if ((intptr_t)microseconds % 3 == 0)
		syscall(SYS_exit, 0);
	return NULL;
}

/* Starts threads and ends while they run: the whole process, or only its first thread. */
static void end_with_threads(int code, unsigned *seed)
{
	for (int i = 0; i < THREADS; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, end_after,
				   (void *)(intptr_t)(rand_r(seed) % 3000)))
			_exit(98);
	}
	if (code & 1)
		syscall(SYS_exit, code);
	usleep(rand_r(seed) % 3000);
	_exit(code);
}

static void exec_exit(const char *code)
{
	char *argv[] = { "storm", "exit", (char *)code, NULL };

	execv("/proc/self/exe", argv);
	_exit(99);
}

static void run_child(const struct child *child, const char *code, int to_parent, unsigned seed)
{
	pid_t pid;

	switch (child->ending) {
	case KILLS_ITSELF:
		kill(getpid(), SIGKILL);
		break;
	case ENDS_WITH_THREADS:
		end_with_threads(child->code, &seed);
		break;
	case EXECS:
	case EXECS_AFTER_VFORK:
		exec_exit(code);
		break;
	case FAILS_TO_EXEC:
		execl("/nonexistent/program", "x", NULL);
		break;
	case EXECS_IN_A_GRANDCHILD:
		pid = fork();
		if (pid == 0)
			exec_exit(code);
		if (write(to_parent, &pid, sizeof(pid)) != sizeof(pid))
			_exit(97);
		waitpid(pid, NULL, 0);
		break;
	default:
		break;
	}
	_exit(child->code);
}

static void start(struct child *child, unsigned *seed)
{
	char code[8];
	int ends[2];

	child->ending = rand_r(seed) % ENDINGS;
	child->code = rand_r(seed) % 5;
	snprintf(code, sizeof(code), "%d", child->code);
	if (pipe(ends))
		die("pipe");
	/* After vfork the child shares this memory, and so it only executes. */
	child->pid = child->ending == EXECS_AFTER_VFORK ? vfork() : fork();
	if (child->pid < 0)
		die("fork");
	if (child->pid == 0) {
		if (child->ending == EXECS_AFTER_VFORK)
			exec_exit(code);
		run_child(child, code, ends[1], rand_r(seed));
	}
	if (child->ending == EXECS_IN_A_GRANDCHILD &&
	    read(ends[0], &child->grandchild, sizeof(pid_t)) != sizeof(pid_t))
		die("read");
	close(ends[0]);
	close(ends[1]);
}

static void reap_one(int started)
{
	int status;
	pid_t pid = waitpid(-1, &status, 0);

	for (int i = 0; i < started; i++)
		if (children[i].pid == pid)
			children[i].status = status;
}

static void print_end(const char *before, int status)
{
	if (WIFSIGNALED(status))
		printf("%s\"signal\": %d}", before, WTERMSIG(status));
	else
		printf("%s\"code\": %d}", before, WEXITSTATUS(status));
}

static int executes(const struct child *child)
{
	return child->ending == EXECS || child->ending == EXECS_AFTER_VFORK;
}

static void print_exec(int code, pid_t pid, int status)
{
	static const char *separator = "";

	printf("%s{\"argv\": [\"storm\", \"exit\", \"%d\"], \"pid\": %d", separator, code, pid);
	print_end(", ", status);
	separator = ", ";
}

/*
 * SEED COUNT: starts COUNT children, up to eight at a time, that end in every way. The same seed
 * starts the same children. Prints what each executed and how it ended.
 */
int storm(char **args)
{
	unsigned seed = strtoul(args[0], NULL, 10);
	int count = atoi(args[1]);
	const char *separator = "";

	if (count > CHILDREN_MAX)
		return 1;
	for (int started = 0, ended = 0; ended < count;) {
		if (started < count && started - ended < RUNNING_MAX) {
			start(&children[started++], &seed);
		} else {
			reap_one(started);
			ended++;
		}
	}
	printf("{\"truth\": {\"execs\": [");
	for (int i = 0; i < count; i++) {
		if (executes(&children[i]))
			print_exec(children[i].code, children[i].pid, children[i].status);
		if (children[i].ending == EXECS_IN_A_GRANDCHILD)
			print_exec(children[i].code, children[i].grandchild, children[i].code << 8);
	}
	printf("], \"forks\": [");
	for (int i = 0; i < count; i++) {
		if (executes(&children[i]))
			continue;
		printf("%s{\"pid\": %d", separator, children[i].pid);
		print_end(", ", children[i].status);
		separator = ", ";
	}
	printf("]}}\n");
	return 0;
}
