# SPDX-License-Identifier: Apache-2.0
"""grpc_library: the messages and services of one .proto file of this repository, in C++."""

def grpc_library(name, src, visibility = None):
    """Generates the classes and compiles them; included as STEM.pb.h and STEM.grpc.pb.h.

    Args:
      name: name of the library.
      src: the .proto file, which imports nothing.
      visibility: the packages that may use the library.
    """
    stem = src[:-len(".proto")]
    native.genrule(
        name = name + "_sources",
        srcs = [src],
        outs = [stem + "." + e for e in ["pb.cc", "pb.h", "grpc.pb.cc", "grpc.pb.h"]],
        cmd = "protoc -I$$(dirname $<) --cpp_out=$(RULEDIR) --grpc_out=$(RULEDIR) " +
              "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin $<",
    )
    native.cc_library(
        name = name,
        srcs = [stem + ".grpc.pb.cc", stem + ".pb.cc"],
        hdrs = [stem + ".grpc.pb.h", stem + ".pb.h"],
        # Generated code may have warnings.
        copts = ["-w"],
        includes = ["."],
        visibility = visibility,
        deps = ["@system//:grpc", "@system//:protobuf"],
    )
