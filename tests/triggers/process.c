// SPDX-License-Identifier: Apache-2.0
#include "tests/triggers/triggers.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char *self(void)
{
	static char path[4096];

	if (readlink("/proc/self/exe", path, sizeof(path) - 1) <= 0)
		die("readlink");
	return path;
}

static void print_exec(const char *name, pid_t pid, int status)
{
	printf("{\"truth\": {\"lookups\": [], \"flows\": [], \"execs\": [{\"argv\": [\"%s\", "
	       "\"exit\", \"%d\"], \"pid\": %d, \"code\": "
	       "%d}], "
	       "\"ignored_answers\": 0, \"malformed\": 0}}\n",
	       name, WEXITSTATUS(status), pid, WEXITSTATUS(status));
}

int exec_vfork(char **args)
{
	char *argv[] = { "by-vfork", "exit", "3", NULL };
	int status;
	pid_t pid = vfork();

	(void)args;
	if (pid == 0) {
		execv(self(), argv);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	print_exec(argv[0], pid, status);
	return 0;
}

int exec_clone3(char **args)
{
	struct clone_args clone = { .exit_signal = SIGCHLD };
	char *argv[] = { "by-clone3", "exit", "4", NULL };
	int status;
	pid_t pid = syscall(SYS_clone3, &clone, sizeof(clone));

	(void)args;
	if (pid == 0) {
		execv(self(), argv);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	print_exec(argv[0], pid, status);
	return 0;
}

/* CGROUP: clone3 starts the child in this cgroup. */
int exec_into_cgroup(char **args)
{
	struct clone_args clone = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	char *argv[] = { "into-cgroup", "exit", "8", NULL };
	int folder = open(args[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC), status;
	pid_t pid;

	if (folder < 0)
		die(args[0]);
	clone.cgroup = folder;
	pid = syscall(SYS_clone3, &clone, sizeof(clone));
	if (pid < 0)
		die("clone3");
	if (pid == 0) {
		execv(self(), argv);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	print_exec(argv[0], pid, status);
	return 0;
}

int exec_memfd(char **args)
{
	char *argv[] = { "by-memfd", "exit", "5", NULL };
	int from = open(self(), O_RDONLY), to = memfd_create("hidden", MFD_CLOEXEC), status;
	struct stat st;
	pid_t pid;

	(void)args;
	fstat(from, &st);
	for (off_t at = 0; at < st.st_size;)
		if (sendfile(to, from, &at, st.st_size - at) <= 0)
			die("sendfile");
	pid = fork();
	if (pid == 0) {
		syscall(SYS_execveat, to, "", argv, environ, AT_EMPTY_PATH);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	print_exec(argv[0], pid, status);
	return 0;
}

static void *exec_from_thread(void *unused)
{
	char *argv[] = { "by-thread", "exit", "6", NULL };

	(void)unused;
	execv(self(), argv);
	_exit(99);
}

/*
 * A thread that is not the leader calls exec. The process keeps its pid, and the other threads end.
 */
int exec_thread(char **args)
{
	int status;
	pid_t pid = fork();

	(void)args;
	if (pid == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, exec_from_thread, NULL);
		pause();
	}
	waitpid(pid, &status, 0);
	print_exec("by-thread", pid, status);
	return 0;
}

/* The grandchild outlives its parent and the wait of this process. Its pid is read from a pipe. */
int exec_double_fork(char **args)
{
	char *argv[] = { "by-double-fork", "exit", "7", NULL };
	int ends[2];
	pid_t pid, child;

	(void)args;
	if (pipe2(ends, O_CLOEXEC))
		die("pipe2");
	child = fork();
	if (child == 0) {
		pid = fork();
		if (pid == 0) {
			usleep(50000);
			execv(self(), argv);
			_exit(99);
		}
		if (write(ends[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(98);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	if (read(ends[0], &pid, sizeof(pid)) != sizeof(pid))
		die("read");
	print_exec(argv[0], pid, 7 << 8);
	return 0;
}

/*
 * CGROUP NAMESPACE PROGRAM ARGUMENT…: joins the cgroup, then the network namespace, and executes
 * the program. No other program runs in the cgroup or, outside of the cgroup, in the namespace.
 */
int enter(char **args)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", args[0]);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		die(path);
	fd = open(args[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(args[1]);
	execv(args[2], args + 2);
	die(args[2]);
	return 1;
}

/* COUNT: runs COUNT programs one after the other. Prints how many exited with 0. */
int flood_exec(char **args)
{
	char *argv[] = { "flood", "exit", "0", NULL };
	const long count = atol(args[0]);
	volatile long made = 0;

	for (volatile long i = 0; i < count; i++) {
		int status;
		pid_t child = vfork();

		if (child < 0)
			die("vfork");
		if (child == 0) {
			execv("/proc/self/exe", argv);
			_exit(127);
		}
		if (waitpid(child, &status, 0) == child && status == 0)
			made++;
	}
	printf("%ld\n", made);
	return 0;
}

/*
 * COUNT: calls fork COUNT times with as many processes at a time as allowed. Prints how many were
 * started.
 */
int flood_fork(char **args)
{
	long tries = atol(args[0]), made = 0;

	for (; tries > 0; tries--) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid > 0)
			made++;
		else /* the limit is reached: reap ended processes */
			while (waitpid(-1, NULL, WNOHANG) > 0)
				;
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	printf("%ld\n", made);
	return 0;
}
