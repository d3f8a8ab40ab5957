# SPDX-License-Identifier: Apache-2.0
"""Draws a mix from a seed. The same seed gives the same sandboxes, processes and actions, and an
action does the same when others are left out."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Iterable

from mixes.kinds import Kind, load

SANDBOXES_MAX = 8
PROCESSES_MAX = 2  # of a sandbox; each one acts on its own
ACTIONS_MAX = 36  # of a mix
LONG_WINDOW_S = 3600


@dataclasses.dataclass(frozen=True)
class PlannedAction:
    number: int  # unique in its mix; part of its addresses and names
    kind: str
    seed: str  # of its own choices


@dataclasses.dataclass(frozen=True)
class PlannedSandbox:
    name: str
    has_own_network: bool
    processes: tuple[tuple[PlannedAction, ...], ...]  # the actions of each process, in order


@dataclasses.dataclass(frozen=True)
class Mix:
    seed: str
    sandboxes: tuple[PlannedSandbox, ...]
    window_s: int  # of the collector: actions are within one window, or spread over several

    def actions(self) -> list[PlannedAction]:
        return [a for s in self.sandboxes for process in s.processes for a in process]

    def only(self, numbers: Collection[int]) -> Mix:
        """The mix with these actions alone. Processes and sandboxes that have none are left out."""
        sandboxes = []
        for s in self.sandboxes:
            chosen = [tuple(a for a in p if a.number in numbers) for p in s.processes]
            if processes := tuple(p for p in chosen if p):
                sandboxes.append(dataclasses.replace(s, processes=processes))
        return dataclasses.replace(self, sandboxes=tuple(sandboxes))

    def __str__(self) -> str:
        lines = [f"window of {self.window_s} s"]
        for s in self.sandboxes:
            network = "network of its own" if s.has_own_network else "shared network"
            lines.append(f"sandbox {s.name}, {network}")
            for i, process in enumerate(s.processes):
                words = " ".join(f"{a.number}:{a.kind}" for a in process)
                lines.append(f"  process {i}: {words}")
        return "\n".join(lines)


def drawn_kinds() -> list[Kind]:
    return [k for k in load().values() if not k.off]


class _Builder:
    """Adds actions to the processes of sandboxes."""

    def __init__(self, seed: str, own_network: Iterable[bool]) -> None:
        self.seed, self.next_number = seed, 1
        self.own_network = list(own_network)
        self.processes: list[list[list[PlannedAction]]] = [
            [[] for _ in range(PROCESSES_MAX)] for _ in self.own_network
        ]

    def add(self, sandbox: int, process: int, kind: Kind) -> None:
        number = self.next_number
        self.next_number += 1
        action = PlannedAction(number, kind.name, f"{self.seed}/{number}")
        # Only the first process changes rules: nft(8) repeats a batch that met another one.
        self.processes[sandbox][0 if kind.changes_rules else process].append(action)

    def mix(self, window_s: int) -> Mix:
        sandboxes = [
            PlannedSandbox(f"box{i}", own, tuple(tuple(p) for p in self.processes[i] if p))
            for i, own in enumerate(self.own_network)
        ]
        return Mix(self.seed, tuple(s for s in sandboxes if s.processes), window_s)


def draw(seed: int) -> Mix:
    """A small mix of random kinds."""
    rng = random.Random(f"mix {seed}")
    own_network = [rng.random() < 0.5 for _ in range(rng.randint(1, SANDBOXES_MAX))]
    builder = _Builder(str(seed), own_network)
    is_slow_taken = set()
    kinds = drawn_kinds()
    count = rng.randint(max(4, len(own_network)), ACTIONS_MAX)
    for i in range(count):
        # Each sandbox gets an action first.
        sandbox = i if i < len(own_network) else rng.randrange(len(own_network))
        process = rng.randrange(PROCESSES_MAX)
        place = (sandbox, process)
        fitting = [
            k
            for k in kinds
            if (own_network[sandbox] or not k.changes_rules)
            and not (k.is_slow and (place in is_slow_taken or k.changes_rules and process))
        ]
        (kind,) = rng.choices(fitting, [k.weight for k in fitting])
        if kind.is_slow:
            is_slow_taken.add(place)
        builder.add(sandbox, process, kind)
    return builder.mix(window_s=rng.choice((1, LONG_WINDOW_S)))


def each_kind_once() -> Mix:
    """A mix with every kind that is drawn, spread over the largest number of sandboxes."""
    builder = _Builder("each", [True] * SANDBOXES_MAX)
    for i, kind in enumerate(sorted(drawn_kinds(), key=lambda k: (not k.is_slow, k.name))):
        builder.add(i % SANDBOXES_MAX, i // SANDBOXES_MAX % PROCESSES_MAX, kind)
    return builder.mix(LONG_WINDOW_S)
