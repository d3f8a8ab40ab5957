// SPDX-License-Identifier: Apache-2.0
/*
 * load WHAT N ROUNDS [RATE]
 *
 * Does WHAT N times in each of ROUNDS rounds, at most RATE times a second. Prints for each round
 * how many nanoseconds one operation takes. In a guest under -icount a nanosecond is an
 * instruction (bench/kernel.sh). WHAT is one of:
 *
 *   connect  a TCP connection over loopback: connect, a byte there and back, close. The server is
 *            a process of its own in the cgroup $SERVER_CGROUP.
 *   attempt  a TCP connect that is refused.
 *   dns      a UDP query to port 53 of loopback and its answer.
 *   packet   the same to another port.
 *   exec     fork, exec of this program, exit, wait.
 *   pid      getpgid(2), for comparison.
 *
 * load serve PORT: the server of dns, until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char* what) {
  perror(what);
  exit(1);
}

static unsigned long long now(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static struct sockaddr_in at(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static void enter_server_cgroup(void) {
  const char* cgroup = getenv("SERVER_CGROUP");
  char path[512];
  int fd;

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!cgroup)
    return;
  snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
  fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, "0", 1) != 1)
    die(path);
  close(fd);
}

/*
 * The socket is created after the process entered the cgroup, because a socket keeps the cgroup in
 * which it was created.
 */
static void serve(int type, int port) {
  struct sockaddr_in address = at(port);
  int ready[2], one = 1;
  char byte;

  if (pipe(ready))
    die("pipe");
  if (fork() == 0) {
    enter_server_cgroup();
    int s = socket(AF_INET, type, 0);

    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s, (void*)&address, sizeof(address)) || (type == SOCK_STREAM && listen(s, 64)))
      die("bind");
    if (write(ready[1], "r", 1) != 1)
      die("write");
    for (;;) {
      char data[512];
      struct sockaddr_in peer;
      socklen_t size = sizeof(peer);

      if (type == SOCK_STREAM) {
        int c = accept(s, NULL, NULL);

        if (recv(c, data, 1, 0) == 1)
          send(c, data, 1, 0);
        close(c);
        continue;
      }
      ssize_t n = recvfrom(s, data, sizeof(data), 0, (void*)&peer, &size);

      if (n > 2) {
        data[2] |= 0x80; /* an answer without records */
        sendto(s, data, n, 0, (void*)&peer, size);
      }
    }
  }
  if (read(ready[0], &byte, 1) != 1)
    exit(1); /* the server printed the reason */
}

static void connect_once(int port, int talk) {
  struct sockaddr_in address = at(port);
  int s = socket(AF_INET, SOCK_STREAM, 0);
  char byte = 'x';

  if (connect(s, (void*)&address, sizeof(address)) == 0 && talk) {
    send(s, &byte, 1, 0);
    recv(s, &byte, 1, 0);
    /* The server closes first, so that no port of this process stays in TIME_WAIT. */
    recv(s, &byte, 1, 0);
  }
  close(s);
}

static void query_once(int s, unsigned id) {
  static const unsigned char question[] = "\0\0\1\0\0\1\0\0\0\0\0\0\5bench\4test\0\0\1\0\1";
  unsigned char data[sizeof(question) - 1];

  memcpy(data, question, sizeof(data));
  data[0] = id >> 8;
  data[1] = id;
  send(s, data, sizeof(data), 0);
  recv(s, data, sizeof(data), 0);
}

static void exec_once(const char* self) {
  pid_t pid = fork();

  if (pid == 0) {
    execl(self, self, "exit", NULL);
    _exit(1);
  }
  waitpid(pid, NULL, 0);
}

/*
 * Waits until operation i of `rate` a second is due. It spins, because the slack of a timer is
 * longer than the time between two operations.
 */
static void pace(unsigned long long begin, long i, long rate) {
  while (rate && now() < begin + i * 1000000000ull / rate)
    ;
}

int main(int argc, char** argv) {
  if (argc == 2)
    return 0; /* started by exec_once() */
  if (argc == 3 && !strcmp(argv[1], "serve")) {
    serve(SOCK_DGRAM, atoi(argv[2]));
    puts("ready");
    fflush(stdout);
    pause();
  }
  if (argc != 4 && argc != 5)
    return 2;
  const char* what = argv[1];
  long n = atol(argv[2]), rate = argc == 5 ? atol(argv[4]) : 0;
  int rounds = atoi(argv[3]), datagrams = !strcmp(what, "dns") || !strcmp(what, "packet"),
      port = !strcmp(what, "dns") ? 53 : 5300, s = -1;

  if (datagrams) {
    struct sockaddr_in address = at(port);

    serve(SOCK_DGRAM, port);
    s = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(s, (void*)&address, sizeof(address)))
      die("connect");
  } else if (!strcmp(what, "connect")) {
    serve(SOCK_STREAM, 5301);
  }
  for (int round = 0; round < rounds; round++) {
    unsigned long long begin = now();

    for (long i = 0; i < n; i++) {
      pace(begin, i, rate);
      if (datagrams)
        query_once(s, i);
      else if (!strcmp(what, "connect"))
        connect_once(5301, 1);
      else if (!strcmp(what, "attempt"))
        connect_once(1, 0);
      else if (!strcmp(what, "exec"))
        exec_once("/proc/self/exe");
      else
        syscall(SYS_getpgid, 0);
    }
    printf("%llu\n", (now() - begin) / n);
    fflush(stdout);
  }
  return 0;
}
