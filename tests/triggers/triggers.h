// SPDX-License-Identifier: Apache-2.0
/*
 * Triggers: small actions for the scenarios that Python cannot do, such as io_uring, vfork or
 * system calls of 32-bit programs. Most print what they did as one line {"truth": …}, in the form
 * of tests/scenarios/actor.py. args[] are the arguments after the name of the trigger.
 */
#ifndef SANDPIPER_TESTS_TRIGGERS_H
#define SANDPIPER_TESTS_TRIGGERS_H

#include <netinet/in.h>
#include <stddef.h>

int dns_sendmmsg(char **args);
int dns_uring(char **args);
int connect_uring(char **args);
int connect_unreachable_uring(char **args);
int exec_vfork(char **args);
int exec_clone3(char **args);
int exec_into_cgroup(char **args);
int exec_memfd(char **args);
int exec_thread(char **args);
int exec_double_fork(char **args);
int connect_flip(char **args);
int connect_ia32(char **args);
int enter(char **args);
int exec_flip(char **args);
int show(char **args);
int hide(char **args);
int inject(char **args);
int flood_connect(char **args);
int flood_dns(char **args);
int flood_exec(char **args);
int flood_fork(char **args);
int storm(char **args);

struct sockaddr_in ipv4(const char *address, int port);
/* Writes a query of type A for "NAME.test" to `out`. Returns its length. */
size_t dns_query(unsigned char *out, int id, const char *name);
void die(const char *what);

/* io_uring with one request at a time. Returns as the system call does. */
int uring_open(void);
int uring_connect(int fd, const struct sockaddr_in *address);
int uring_sendmsg(int fd, const void *data, size_t size, const struct sockaddr_in *address);

#endif
