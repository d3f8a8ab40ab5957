# SPDX-License-Identifier: Apache-2.0
"""Checks that each folder of userspace/ includes only what its BUILD file declares.

Bazel refuses an include that no dependency reaches, and `visibility` refuses a dependency that
points against the direction of the data. An include that is reached through another dependency
still builds: this check refuses it, so that each BUILD file lists all that its folder uses.
Run from the root of the repository; exits with 1 and one line for each problem.
"""

from __future__ import annotations

import ast
import pathlib
import re
import sys

INCLUDE = re.compile(r'^#include "((?:userspace|bpf|proto)/[^"]+)"', re.M)


def rules(build: pathlib.Path) -> list[ast.Call]:
    """The rules of a BUILD file: Starlark has the syntax of Python."""
    tree = ast.parse(build.read_text())
    return [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]


def strings(node: ast.AST | None) -> list[str]:
    if node is None:
        return []
    found = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
    return [value for value in found if isinstance(value, str)]


def argument(call: ast.Call, name: str) -> ast.AST | None:
    return next((k.value for k in call.keywords if k.arg == name), None)


def declared(build: pathlib.Path) -> set[str]:
    """Packages that the rules of a BUILD file depend on."""
    labels = {label for call in rules(build) for label in strings(argument(call, "deps"))}
    return {label[2:].split(":")[0] for label in labels if label.startswith("//")}


def users(build: pathlib.Path) -> set[str]:
    """Packages of userspace/ that may depend on a package."""
    labels = {
        label
        for call in rules(build)
        for name in ("default_visibility", "visibility")
        for label in strings(argument(call, name))
    }
    return {label[2:].split(":")[0] for label in labels if label.startswith("//userspace")}


def cycle(dependencies: dict[str, set[str]]) -> list[str]:
    """A path of packages from one back to itself; empty if there is none."""
    done: set[str] = set()

    def visit(package: str, path: list[str]) -> list[str]:
        if package in path:
            return [*path[path.index(package) :], package]
        if package in done:
            return []
        for needed in sorted(dependencies.get(package, set())):
            if found := visit(needed, [*path, package]):
                return found
        done.add(package)
        return []

    for package in sorted(dependencies):
        if found := visit(package, []):
            return found
    return []


def check(root: pathlib.Path) -> list[str]:
    problems: list[str] = []
    dependencies: dict[str, set[str]] = {}
    for build in sorted(root.glob("userspace/*/BUILD.bazel")):
        package = str(build.parent.relative_to(root))
        deps = declared(build)
        dependencies[package] = {d for d in deps if d.startswith("userspace/") and d != package}
        used: set[str] = set()
        for source in sorted([*build.parent.glob("*.cc"), *build.parent.glob("*.h")]):
            for include in INCLUDE.findall(source.read_text()):
                folder = "/".join(include.split("/")[:-1])
                used.add(folder)
                if folder != package and folder not in deps:
                    where = source.relative_to(root)
                    problems.append(
                        f"{where}: includes {include}, but {build.parent.name}/"
                        f"BUILD.bazel does not depend on //{folder}"
                    )
        for unused in sorted(dependencies[package] - used):
            problems.append(
                f"{package}/BUILD.bazel: depends on //{unused}, which it never includes"
            )
        # A package may only be seen by those that use it.
    for build in sorted(root.glob("userspace/*/BUILD.bazel")):
        package = str(build.parent.relative_to(root))
        for user in sorted(users(build) - {package, "userspace"}):
            if package not in dependencies.get(user, set()):
                problems.append(
                    f"{package}/BUILD.bazel: visible to //{user}, which does not use it"
                )
    if found := cycle(dependencies):
        problems.append("packages depend on each other: " + " -> ".join(found))
    return problems


def main() -> int:
    problems = check(pathlib.Path("."))
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
