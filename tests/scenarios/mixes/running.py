# SPDX-License-Identifier: Apache-2.0
"""Runs a mix: a collector over the cgroups of its sandboxes, and their actors at the same time."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attribution import Collector
from scrape import Scrape, free_port, serving
from world import PYTHON

from mixes.acting import COUNTS, LISTS
from mixes.comparing import Recorded, differences, recorded_metrics
from mixes.expected import Expected, SandboxTruth
from mixes.kinds import KINDS
from mixes.network import Namespace, Network, environment
from mixes.plan import LONG_WINDOW_S, Mix, PlannedAction, PlannedSandbox

if TYPE_CHECKING:
    from world import World

# Longer than each lookup that an actor waits for.
DNS_TIMEOUT_MS = 3000


@dataclasses.dataclass
class Outcome:
    """A mix that ran: the truth of its sandboxes, and the records and metrics."""

    truth: dict[str, SandboxTruth]
    recorded: Recorded
    broken: list[str]  # actions that did not do their part
    unavailable: dict[str, str]  # kinds that this kernel does not have, with the reason


@dataclasses.dataclass
class _Actor:
    sandbox: PlannedSandbox
    argv: list[str]
    process: subprocess.Popen[bytes]
    lines: list[dict[str, Any]] = dataclasses.field(default_factory=list)


_ports = threading.Lock()
_used_ports: set[int] = set()


def own_port() -> int:
    """A free port that no other mix of this run gets."""
    with _ports:
        while (port := free_port()) in _used_ports:
            pass
        _used_ports.add(port)
        return port


def place_of(w: World, cgroup: str, link: str) -> dict[str, str]:
    return {"folder": w.dir, "cgroup": cgroup, "triggers": w.triggers, "link": link}


def start_actor(
    w: World,
    sandbox: PlannedSandbox,
    cgroup: str,
    namespace: Namespace,
    actions: tuple[PlannedAction, ...],
) -> _Actor:
    plan = {
        "actions": [dataclasses.asdict(a) for a in actions],
        "place": place_of(w, cgroup, namespace.link),
    }
    argv = [PYTHON, "-m", "mixes.acting", json.dumps(plan)]
    process = subprocess.Popen(
        [w.triggers, "enter", cgroup, namespace.path(), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )
    return _Actor(sandbox, argv, process)


@contextlib.contextmanager
def namespaces(network: Network, mix: Mix) -> Iterator[dict[str, Namespace]]:
    """The namespace of each sandbox: its own, or one that all others share."""
    taken = []
    try:
        shared = None
        by_sandbox = {}
        for s in mix.sandboxes:
            if s.has_own_network or shared is None:
                taken.append(network.take())
                if not s.has_own_network:
                    shared = taken[-1]
            by_sandbox[s.name] = taken[-1] if s.has_own_network else shared
        yield by_sandbox
    finally:
        for namespace in taken:
            network.give_back(namespace)


def wait_for_actors(actors: list[_Actor], seconds: float) -> list[str]:
    """Waits for all actors, reads what they printed, and returns what went wrong."""
    broken = []
    end = time.monotonic() + seconds
    for a in actors:
        try:
            output, errors = a.process.communicate(timeout=max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            a.process.kill()
            output, errors = a.process.communicate()
            broken.append(f"{a.sandbox.name}: an actor did not end: {output[-2000:]!r}")
        a.lines = [json.loads(line) for line in output.decode().splitlines() if line[:1] == "{"]
        broken += [
            f"action {x['number']}: {x['kind']}: {x['error']}" for x in a.lines if "error" in x
        ]
        if a.process.returncode or errors:
            broken.append(f"{a.sandbox.name}: status {a.process.returncode}: {errors.decode()}")
    return broken


def truth_of(sandbox: PlannedSandbox, actors: list[_Actor]) -> SandboxTruth:
    own = [a for a in actors if a.sandbox is sandbox]
    facts: dict[str, Any] = {key: [] for key in LISTS} | dict.fromkeys(COUNTS, 0)
    for a in own:
        for line in a.lines:
            for key in facts:
                facts[key] += line["facts"][key]
    processes = [(tuple(a.argv), a.process.pid, a.process.returncode) for a in own]
    kinds = {action.number: action.kind for p in sandbox.processes for action in p}
    return SandboxTruth(facts, processes, kinds)


def settle(port: int, truth: dict[str, SandboxTruth], seconds: float) -> Scrape:
    """Reads the metrics until they are those of the truth, or the time is up: outcomes such as a
    timeout come later than the actors' ends."""
    end = time.monotonic() + seconds
    expected = {name: Expected(t).metrics() for name, t in truth.items()}
    while True:
        scrape = Scrape(port)
        recorded = Recorded([], scrape.by)
        is_equal = not any(
            differences(name, want, recorded_metrics(recorded, name), {})
            for name, want in expected.items()
        )
        if is_equal or time.monotonic() > end:
            return scrape
        time.sleep(0.1)


def run(w: World, network: Network, mix: Mix, label: str) -> Outcome:
    """Runs a mix once. `label` is the name of the folder of its cgroups."""
    top = os.path.join(w.cgroups, label)
    cgroups = {s.name: os.path.join(top, s.name) for s in mix.sandboxes}
    for path in cgroups.values():
        os.makedirs(path)
    factor = 10 if w.slow else 1
    options = ["--socket", "", "--spool", "", "--canary-interval-ms", "0"]
    options += ["--window-s", str(LONG_WINDOW_S if w.slow else mix.window_s)]
    options += ["--dns-timeout-ms", str(DNS_TIMEOUT_MS * (3 if w.slow else 1))]
    port = own_port()
    try:
        with namespaces(network, mix) as by_sandbox:
            selected = [f"{path}={name}" for name, path in cgroups.items()]
            collector = Collector(w, selected, options, env=serving(port))
            actors = [
                start_actor(w, s, cgroups[s.name], by_sandbox[s.name], actions)
                for s in mix.sandboxes
                for actions in s.processes
            ]
            broken = wait_for_actors(actors, 60 * factor)
            truth = {s.name: truth_of(s, actors) for s in mix.sandboxes}
            scrape = settle(port, truth, 8 * factor)
            events = collector.stop()
    finally:
        w.remove_cgroups([top])
    unavailable = {
        x["kind"]: x["unavailable"] for a in actors for x in a.lines if "unavailable" in x
    }
    assert unavailable.keys() <= KINDS.keys()
    return Outcome(truth, Recorded(events, scrape.by), broken, unavailable)
