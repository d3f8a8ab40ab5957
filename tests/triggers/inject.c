// SPDX-License-Identifier: Apache-2.0
#include "tests/triggers/triggers.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#if !defined(__x86_64__)
#error "registers are those of x86-64"
#endif

#define THREADS_MAX 256

/*
 * Lets a stopped thread make one system call at its current instruction. Restores code and
 * registers afterwards.
 */
static long call_in(pid_t thread, const unsigned long *call)
{
	struct user_regs_struct before, regs;
	unsigned long code;
	int status;

	if (ptrace(PTRACE_GETREGS, thread, NULL, &before))
		die("PTRACE_GETREGS");
	errno = 0;
	code = ptrace(PTRACE_PEEKTEXT, thread, before.rip, NULL);
	if (errno ||
	    /* the instruction "syscall" */
	    ptrace(PTRACE_POKETEXT, thread, before.rip, (code & ~0xfffful) | 0x050f))
		die("PTRACE_POKETEXT");
	regs = before;
	regs.rax = call[0];
	regs.orig_rax = -1ul; /* do not restart the interrupted system call now */
	regs.rdi = call[1];
	regs.rsi = call[2];
	regs.rdx = call[3];
	regs.r10 = call[4];
	regs.r8 = call[5];
	if (ptrace(PTRACE_SETREGS, thread, NULL, &regs) ||
	    ptrace(PTRACE_SINGLESTEP, thread, NULL, NULL) ||
	    waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_GETREGS, thread, NULL, &regs))
		die("PTRACE_SINGLESTEP");
	if (ptrace(PTRACE_POKETEXT, thread, before.rip, code) ||
	    ptrace(PTRACE_SETREGS, thread, NULL, &before))
		die("PTRACE_SETREGS");
	return regs.rax;
}

/* Returns false if the thread has ended. */
static int stop(pid_t thread)
{
	int status;

	if (ptrace(PTRACE_SEIZE, thread, NULL, NULL)) {
		if (errno != ESRCH)
			die("PTRACE_SEIZE");
		return 0;
	}
	if (ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) ||
	    waitpid(thread, &status, __WALL) != thread)
		die("PTRACE_INTERRUPT");
	return WIFSTOPPED(status);
}

static void make_calls(pid_t thread, char **calls)
{
	for (char **one = calls; *one; one++) {
		unsigned long call[6] = { 0 };
		const char *next = *one;

		for (int i = 0; i < 6 && next; i++) {
			call[i] = strtoul(next, NULL, 0);
			next = strchr(next, ',');
			next = next ? next + 1 : NULL;
		}
		printf("%d %lu %ld\n", thread, call[0], call_in(thread, call));
	}
}

/* Adds the threads in the folder `tasks` that `threads` does not have. Returns their new number. */
static int find_threads(const char *tasks, pid_t *threads, int count)
{
	DIR *folder = opendir(tasks);
	struct dirent *entry;

	if (!folder)
		die(tasks);
	while ((entry = readdir(folder)) && count < THREADS_MAX) {
		pid_t thread = atoi(entry->d_name);
		int i = 0;

		while (i < count && threads[i] != thread)
			i++;
		if (thread > 0 && i == count)
			threads[count++] = thread;
	}
	closedir(folder);
	return count;
}

/*
 * PID NUMBER[,ARGUMENT…]…: makes these system calls in every thread of the process. Prints a line
 * for each: thread, number, result.
 */
int inject(char **args)
{
	pid_t threads[THREADS_MAX];
	int there[THREADS_MAX], count = 0, looked_at = 0;
	char tasks[64];

	snprintf(tasks, sizeof(tasks), "/proc/%s/task", args[0]);
	/*
	 * All threads are stopped first, because they share the code that call_in() changes. A
	 * thread that still ran may have started another one, so the list is read until it has no
	 * new one.
	 */
	while ((count = find_threads(tasks, threads, count)) > looked_at)
		for (; looked_at < count; looked_at++)
			there[looked_at] = stop(threads[looked_at]);
	for (int i = 0; i < count; i++)
		if (there[i])
			make_calls(threads[i], args + 1);
	for (int i = 0; i < count; i++)
		if (there[i] && ptrace(PTRACE_DETACH, threads[i], NULL, NULL))
			die("PTRACE_DETACH");
	return 0;
}
