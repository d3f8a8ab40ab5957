// SPDX-License-Identifier: Apache-2.0
/*
 * empty CGROUP: attaches the programs of empty.bpf.c, those on cgroups at CGROUP. Prints "ready"
 * and keeps them attached until it ends. Programs that this kernel does not allow are skipped with
 * a message.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "bench/empty_bpf.skel.h"

int main(int argc, char** argv) {
  int cgroup = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
  struct empty_bpf* skeleton = empty_bpf__open();
  struct bpf_program* program;

  if (cgroup < 0 || !skeleton || empty_bpf__load(skeleton)) {
    perror("empty");
    return 1;
  }
  bpf_object__for_each_program(program, skeleton->obj) {
    struct bpf_link* link = bpf_program__expected_attach_type(program) == BPF_TRACE_RAW_TP ||
                                    bpf_program__type(program) == BPF_PROG_TYPE_TRACING
                                ? bpf_program__attach(program)
                                : bpf_program__attach_cgroup(program, cgroup);

    if (!link)
      fprintf(stderr, "empty: %s cannot be attached\n", bpf_program__name(program));
  }
  puts("ready");
  fflush(stdout);
  pause();
  return 0;
}
