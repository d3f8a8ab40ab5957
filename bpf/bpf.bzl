# SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
"""bpf_skeleton: compiles BPF programs in C as one unit and generates a C++ skeleton header."""

def bpf_skeleton(name, srcs, hdrs, copts = [], visibility = None):
    """Compiles the sources with clang and generates NAME.skel.h with the struct NAME.

    The sources are one compilation unit and not an object each. The linker of Debian 12
    (bpftool gen object) rejects a kernel function that two objects call.

    Args:
      name: name of the library and of the generated struct.
      srcs: the .bpf.c files.
      hdrs: the headers that they include.
      copts: more options for clang.
      visibility: of the library.
    """
    native.genrule(
        name = name + "_skel",
        srcs = srcs + hdrs,
        outs = [name + ".bpf.o", name + ".skel.h"],
        # <asm/types.h> is in the multiarch folder, which clang does not search for BPF.
        cmd = ("for source in {srcs}; do echo \"#include \\\"$$source\\\"\"; done | " +
               "clang -g -O2 -Wall -Wextra -Werror -Wno-unused-parameter -target bpf -mcpu=v3 " +
               "-I. -I/usr/include/$$(uname -m)-linux-gnu " +
               "-D__TARGET_ARCH_$$(uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/') " +
               "{copts} -x c -c - -o $(RULEDIR)/{n}.unit.o && " +
               # Linking a single object removes its DWARF sections.
               "/usr/sbin/bpftool gen object $(location {n}.bpf.o) $(RULEDIR)/{n}.unit.o && " +
               # Strip clang's local labels (LBB*): nothing refers to them.
               "llvm-objcopy --wildcard --strip-symbol='LBB*' $(location {n}.bpf.o) && " +
               "/usr/sbin/bpftool gen skeleton $(location {n}.bpf.o) name {n} " +
               "> $(location {n}.skel.h)").format(
            n = name,
            copts = " ".join(copts),
            srcs = " ".join(["$(location %s)" % src for src in srcs]),
        ),
    )
    native.cc_library(
        name = name,
        hdrs = [name + ".skel.h"],
        deps = ["@system//:bpf"],
        visibility = visibility,
    )
