# SPDX-License-Identifier: Apache-2.0
"""The scenarios, in the order of their definition, and how a pattern selects among them.

A module registers its scenarios by itself: run.py imports every module of this folder that uses
`@scenario`. Tags say in which tiers a scenario runs. A module's `TAGS`, defined above its first
scenario, count for all of its scenarios.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from world import World

# Each tag with its meaning; the vm tier (tests/vm/guests.sh) and tests/run.sh select by them.
TAGS = {
    "peers": "the e2e tier sends its records to real servers and reads them back",
    "userspace": "about runtimes, exporters or configuration: the same on every kernel, so that"
    " guests leave it out",
    "kernels": "runs on every kernel of the vm tier",
    "hosts": "runs on the guests that lack something: modules' BTF, memory, cgroup v2 alone",
    "lockdown": "runs on the guest whose kernel is locked down for confidentiality",
    "systemd": "runs on the guest that systemd boots",
    "linux-5.10": "runs on 5.10 too",
    "linux-6.1": "runs on 6.1 too",
    "linux-6.12": "runs on 6.12 too",
    "linux-sid": "runs on the newest kernel too",
}

Function = Callable[["World"], None]


class Skip(Exception):
    """This machine cannot run the scenario; the message says why."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str  # MODULE.FUNCTION
    run: Function
    tags: frozenset[str]

    def matches(self, part: str) -> bool:
        """Whether one part of a pattern selects it: `@TAG`, or a piece of the name."""
        return part[1:] in self.tags if part.startswith("@") else part in self.name


SCENARIOS: list[Scenario] = []


def scenario(*tags: str) -> Callable[[Function], Function]:
    """Registers a function as a scenario with these tags besides those of its module."""

    def register(function: Function) -> Function:
        module = sys.modules[function.__module__]
        all_tags = frozenset(tags) | frozenset(getattr(module, "TAGS", ()))
        name = f"{function.__module__}.{function.__name__}"
        if unknown := all_tags - TAGS.keys():
            raise ValueError(f"{name}: unknown tags {sorted(unknown)}; known: {sorted(TAGS)}")
        SCENARIOS.append(Scenario(name, function, all_tags))
        return function

    return register


def select(pattern: str) -> list[Scenario]:
    """The scenarios that match a part of the pattern, without those that a part after a minus
    matches.

    A part that selects nothing is an error: it is a name that was changed or mistyped.
    """
    parts = [p for p in pattern.split(",") if p]
    wanted = [p for p in parts if not p.startswith("-")]
    unwanted = [p[1:] for p in parts if p.startswith("-")]
    for part in wanted + unwanted:
        if part.startswith("@") and part[1:] not in TAGS:
            raise ValueError(f"unknown tag {part}; known: {sorted(TAGS)}")
        if not any(s.matches(part) for s in SCENARIOS):
            raise ValueError(f"no scenario matches {part!r}")
    return [
        s
        for s in SCENARIOS
        if (not wanted or any(s.matches(p) for p in wanted))
        and not any(s.matches(p) for p in unwanted)
    ]
