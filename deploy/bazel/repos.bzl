# SPDX-License-Identifier: Apache-2.0
"""External repositories, all of them Debian packages on this machine: the build needs no network.

The oldest supported Bazel is 4.2.3, the version of Debian 12. Its built-in rules load two
repositories that Debian does not ship in a form that it can load; `_stand_in` writes these.
"""

_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "fdo_prefetch_hints",
    "fdo_profile",
    "objc_import",
    "objc_library",
]

def _stand_in_impl(ctx):
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    for path, content in ctx.attr.files.items():
        ctx.file(path, content)

_stand_in = repository_rule(implementation = _stand_in_impl, attrs = {"files": attr.string_dict()})

def sandpiper_repositories():
    native.new_local_repository(
        name = "system",
        path = "/usr",
        build_file = "//deploy/bazel:system.BUILD",
    )
    for name, path in {
        "rules_java": "/usr/share/bazel/rules/java",
        "rules_proto": "/usr/share/bazel/rules/proto",
        "platforms": "/usr/share/bazel/tools/platforms",
        "bazel_skylib": "/usr/share/bazel/tools/skylib",
    }.items():
        native.local_repository(name = name, path = path)

    # Debian's rules_cc 0.0.4 needs a newer Bazel: provide the native rules under its names.
    _stand_in(
        name = "rules_cc",
        files = {
            "BUILD.bazel": "",
            "cc/BUILD.bazel": "",
            "cc/defs.bzl": "".join(["%s = native.%s\n" % (r, r) for r in _CC_RULES]),
        },
    )

    # `bazel test` resolves this label even when no coverage is collected.
    _stand_in(
        name = "remote_coverage_tools",
        files = {"BUILD.bazel": """
filegroup(name = "coverage_report_generator", visibility = ["//visibility:public"])
"""},
    )
