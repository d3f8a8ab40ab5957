# SPDX-License-Identifier: Apache-2.0
"""The kinds of action, and the context that each action has: its own addresses, names and random
choices, which depend on nothing but the seed and the action's number."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import json
import os
import random
import socket
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import actor

T = TypeVar("T")

# Further lists of the truth, beside those of actor.TRUTH.
MORE_FACTS = ("replacements", "forks", "transactions", "refusals", "rules", "removed_rules")
# The domain of all names; servers.py answers as the labels before it say.
DOMAIN = "mix"
FIRST_SERVER, SECOND_SERVER = 53, 54  # the last part of their addresses


class Unavailable(Exception):
    """This kernel does not have the system call or protocol; the message says which."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an actor acts."""

    folder: str  # for files of its own
    cgroup: str
    triggers: str  # the program of tests/triggers
    link: str  # a template of addresses that no host has, on the link of its namespace


@dataclasses.dataclass(frozen=True)
class Ended:
    """A program that ended. The code of one that a signal ended is negative."""

    pid: int
    code: int
    output: bytes


class Action:
    """One action in a sandbox. Every address and name of it contains its number, so that a record
    that differs shows the action it belongs to."""

    def __init__(self, number: int, seed: str, place: Place) -> None:
        self.number, self.rng, self.place = number, random.Random(seed), place
        self.word = f"n{number}"

    def pick(self, *choices: T) -> T:
        return self.rng.choice(choices)

    def ip4(self, host: int = 1) -> str:
        return f"10.79.{self.number}.{host}"

    def ip6(self, host: int = 1) -> str:
        return f"fd79::{self.number:x}:{host:x}"

    def ip(self, host: int = 1) -> str:
        """An address of either family."""
        return self.pick(self.ip4, self.ip6)(host)

    def server(self, host: int = FIRST_SERVER) -> str:
        """A DNS server. Each address is one, but only the second one answers names with `once`."""
        return self.ip(host)

    def name(self, behaviour: str, host: int = 1) -> str:
        """A name, which resolves to ip4(host) and ip6(host) unless the behaviour says otherwise."""
        return f"{behaviour}.h{host}.{self.word}.{DOMAIN}"

    def payload(self, most: int = 5000) -> bytes:
        return b"p" * self.rng.randint(1, most)

    def transaction(self, operation: str) -> None:
        """Notes a committed batch of nftables."""
        actor.note("transactions", operation=operation)

    def run(self, argv: Sequence[str], **popen: Any) -> Ended:
        """Runs a program and notes it."""
        p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **popen)
        output, _ = p.communicate()
        code = p.returncode
        end = {"signal": -code} if code < 0 else {"code": code}
        actor.note("execs", argv=list(argv), pid=p.pid, **end)
        return Ended(p.pid, code, output)

    def trigger(self, *arguments: str) -> None:
        """Runs a trigger and takes over the truth that it prints."""
        done = self.run([self.place.triggers, *arguments])
        if done.code == 100:
            raise Unavailable(f"the trigger {arguments[0]} cannot run")
        assert done.code == 0, (arguments, done)
        for line in done.output.decode().splitlines():
            if line.startswith('{"truth"'):
                self.adopt(json.loads(line)["truth"], done.pid)

    def adopt(self, truth: dict[str, Any], pid: int) -> None:
        """Takes over the notes of another process."""
        for what, facts in truth.items():
            for fact in facts if isinstance(facts, list) else ():
                actor.note(what, **{"acted_by": pid, **fact})

    def forked(self, status: int, pid: int) -> None:
        """Notes the end of a child that executed no program. `status` is that of waitpid."""
        code = os.waitstatus_to_exitcode(status)
        end = {"signal": -code} if code < 0 else {"code": code}
        actor.note("forks", pid=pid, **end)


def disconnect(s: socket.socket) -> None:
    """connect() to AF_UNSPEC, which Python does not have."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.connect(s.fileno(), bytes(16), 16):
        raise OSError(ctypes.get_errno(), "connect to AF_UNSPEC")


@dataclasses.dataclass(frozen=True)
class Kind:
    name: str
    act: Callable[[Action], None]
    weight: int  # how often it is drawn, compared with other kinds
    is_slow: bool  # takes seconds; each actor has one slow action at most
    changes_rules: bool  # needs a network namespace of its sandbox's own
    is_prompt: bool  # its steps follow each other within half a second: not for slow guests
    off: str  # why it is not drawn now; empty: it is


KINDS: dict[str, Kind] = {}


def kind(
    weight: int = 2, slow: bool = False, rules: bool = False, prompt: bool = False, off: str = ""
) -> Callable[[Callable[[Action], None]], Callable[[Action], None]]:
    """Registers a function as a kind of action of its name."""

    def register(act: Callable[[Action], None]) -> Callable[[Action], None]:
        KINDS[act.__name__] = Kind(act.__name__, act, weight, slow, rules, prompt, off)
        return act

    return register


def load() -> dict[str, Kind]:
    """All kinds, in the order of their definition."""
    for module in ("dns", "tcp", "tcp_data", "udp", "process", "rule"):
        importlib.import_module(f"mixes.{module}_kinds")

    return KINDS
