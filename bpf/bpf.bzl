# SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
"""bpf_skeleton: kernel programs in C, compiled as one unit and wrapped as a C++ skeleton header."""

def bpf_skeleton(name, srcs, hdrs, copts = [], visibility = None):
    """Compiles the sources with clang and generates NAME.skel.h, whose struct is called NAME.

    Not linked of an object for each: the linker of Debian 12 (bpftool gen object) refuses a kernel function that two of them call.

    Args:
      name: name of the library and of the generated struct.
      srcs: the .bpf.c files.
      hdrs: what they include.
      copts: of clang, besides.
      visibility: who may use the library.
    """
    native.genrule(
        name = name + "_skel",
        srcs = srcs + hdrs,
        outs = [name + ".bpf.o", name + ".skel.h"],
        # The multiarch folder holds <asm/types.h>, which clang does not find for a BPF target.
        cmd = ("for source in {srcs}; do echo \"#include \\\"$$source\\\"\"; done | " +
               "clang -g -O2 -Wall -Wextra -Werror -Wno-unused-parameter -target bpf -mcpu=v3 " +
               "-I. -I/usr/include/$$(uname -m)-linux-gnu -D__TARGET_ARCH_$$(uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/') " +
               "{copts} -x c -c - -o $(RULEDIR)/{n}.unit.o && " +
               # Leaves out what is for debuggers.
               "/usr/sbin/bpftool gen object $(location {n}.bpf.o) $(RULEDIR)/{n}.unit.o && " +
               # Nor what clang calls places to jump to: nothing refers to them.
               "llvm-objcopy --wildcard --strip-symbol='LBB*' $(location {n}.bpf.o) && " +
               "/usr/sbin/bpftool gen skeleton $(location {n}.bpf.o) name {n} > $(location {n}.skel.h)").format(
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
