"""bpf_skeleton: kernel programs in C, linked into one object and wrapped as a C++ skeleton header."""

def bpf_skeleton(name, srcs, hdrs, visibility = None):
    """Compiles each source with clang, links the objects and generates NAME.skel.h, whose struct is called NAME.

    Args:
      name: name of the library and of the generated struct.
      srcs: the .bpf.c files.
      hdrs: what they include.
      visibility: who may use the library.
    """
    objects = []
    for src in srcs:
        out = src.replace(".bpf.c", ".bpf.o")
        objects.append(out)
        native.genrule(
            name = out.replace(".", "_"),
            srcs = [src] + hdrs,
            outs = [out],
            # The multiarch folder holds <asm/types.h>, which clang does not find for a BPF target.
            cmd = "clang -g -O2 -Wall -Wextra -Werror -Wno-unused-parameter -target bpf -mcpu=v3 " +
                  "-I. -I/usr/include/$$(uname -m)-linux-gnu -D__TARGET_ARCH_$$(uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/') " +
                  "-c $(location %s) -o $@" % src,
        )
    native.genrule(
        name = name + "_skel",
        srcs = objects,
        outs = [name + ".bpf.o", name + ".skel.h"],
        cmd = ("/usr/sbin/bpftool gen object $(location {n}.bpf.o) $(SRCS) && " +
               "/usr/sbin/bpftool gen skeleton $(location {n}.bpf.o) name {n} > $(location {n}.skel.h)").format(n = name),
    )
    native.cc_library(
        name = name,
        hdrs = [name + ".skel.h"],
        deps = ["@system//:bpf"],
        visibility = visibility,
    )
