# SPDX-License-Identifier: Apache-2.0
"""The self-test of a running collector: the probes must see a process of its own, the canary."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from attribution import Collector, act
from checks import args_of
from polling import wait_for
from registry import scenario
from scrape import Scrape, free_port, serving

if TYPE_CHECKING:
    from world import World


def interval(milliseconds: int) -> list[str]:
    return ["--canary-interval-ms", str(milliseconds)]


def cgroup_name(collector: Collector) -> str:
    """The name of the canary's cgroup, in the root of the hierarchy."""
    return f"sandpiper-canary-{collector.process.pid}"


@scenario()
def actions_are_not_reported(w: World) -> None:
    """No record, metric, namespace or cgroup shows the canary's actions."""
    cgroup, port = w.new_cgroup("birds"), free_port()
    namespaces = set(os.listdir("/run/netns"))
    collector = Collector(w, [cgroup], options=interval(500), env=serving(port))
    act(w, cgroup, "actor.run(['true'])")
    time.sleep(3)
    s = Scrape(port)
    states = s.by("sandpiper_probe_state", "probe", "state")
    assert states[("canary", "on")] == 1, states
    assert not [key for key in states if key[1] == "blind"], states
    assert s.sum("sandbox_count") == 1
    events = collector.stop()
    execs = [args_of(e) for e in events if e["opensandbox.event"] == "process.exec"]
    assert execs.count(("true",)) == 1, execs
    assert s.by("sandbox_process_execs_total", "sandbox_id") == {("birds",): len(execs)}
    assert {e["sandbox_id"] for e in events} == {"birds"}
    assert not [e for e in events if e.get("target.host") == "canary.invalid"]
    for word in ("self-test", "blind", "canary"):
        assert word not in collector.stderr, collector.stderr
    assert set(os.listdir("/run/netns")) == namespaces
    assert cgroup_name(collector) not in os.listdir(w.mount)


@scenario()
def cgroup_of_a_killed_collector_is_removed(w: World) -> None:
    """The canary's keeper removes it. If the keeper is killed too, the next collector does."""
    cgroup = w.new_cgroup("killed")
    collector = Collector(w, [cgroup], options=interval(500))
    name = cgroup_name(collector)
    assert name in os.listdir(w.mount)
    collector.stop(signal.SIGKILL)
    wait_for(lambda: name not in os.listdir(w.mount))
    collector = Collector(w, [cgroup], options=interval(3_600_000))
    name = cgroup_name(collector)
    os.kill(collector.keeper(), signal.SIGKILL)
    collector.stop(signal.SIGKILL)
    assert name in os.listdir(w.mount)
    collector = Collector(w, [cgroup])
    assert name not in os.listdir(w.mount)
    collector.stop()


@scenario()
def removed_cgroup_is_reported(w: World) -> None:
    port = free_port()
    collector = Collector(w, [w.new_cgroup("nest")], options=interval(300), env=serving(port))
    nest = os.path.join(w.mount, cgroup_name(collector))

    def is_removed() -> bool:
        try:
            os.rmdir(nest)
        except OSError:
            return False  # the canary runs just now
        return True

    wait_for(is_removed)
    wait_for(lambda: Scrape(port).sum("sandpiper_probe_state", probe="canary", state="off") == 1)
    collector.stop()
    assert collector.stderr.count("its cgroup was removed") == 1, collector.stderr


def detach(pid: int, program: str) -> None:
    """Detaches a BPF program of this process from its cgroup, as a fault would."""
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{fd}") as f:
            info = dict(line.split(":\t") for line in f.read().splitlines() if ":\t" in line)
        if "link_id" not in info:
            continue
        shown = subprocess.run(
            ["bpftool", "prog", "show", "id", info["prog_id"]],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        # The kernel keeps 15 characters of a program's name.
        if f"name {program[:15]} " in shown:
            subprocess.run(["bpftool", "link", "detach", "id", info["link_id"]], check=True)
            return
    raise AssertionError("no link of " + program)


@scenario()
def blind_probe_is_reported(w: World) -> None:
    """A program is detached: its probe becomes blind, the others stay on."""
    for program, probe in (("handle_egress", "packet"), ("handle_connect4", "connect")):
        port = free_port()
        cgroup = w.new_cgroup("blind-" + probe)
        collector = Collector(w, [cgroup], options=interval(300), env=serving(port))
        time.sleep(2)
        detach(collector.process.pid, program)

        def is_blind(port: int = port, probe: str = probe) -> bool:
            return Scrape(port).sum("sandpiper_probe_state", probe=probe, state="blind") == 1

        wait_for(is_blind)
        s = Scrape(port)
        assert s.sum("sandpiper_probe_state", probe="process", state="on") == 1
        time.sleep(2)
        collector.stop()
        errors = [line for line in collector.stderr.splitlines() if "self-test failed" in line]
        assert len(errors) == 1 and probe in errors[0], collector.stderr
