# SPDX-License-Identifier: Apache-2.0
"""Metrics of a sandbox's CPU time, memory and processes, of processes that ran out of memory, and
of the runs of BPF programs."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from attribution import Collector, act
from polling import wait_for
from registry import Skip, scenario
from scrape import Scrape, free_port, serving
from world import PYTHON

if TYPE_CHECKING:
    from world import World

MIB = 1 << 20
HELD = 64 * MIB
# Holds memory, takes a second of CPU time, has three children and prints the CPU time. Then it
# waits for a byte of its input, and so does each child. The children fork too: 8 processes.
USE_RESOURCES = f"""
import os, sys
held = bytearray(os.urandom(1) * {HELD})
while sum(os.times()[:2]) < 1: pass
sleepers = [os.fork() for _ in range(3)]
if 0 in sleepers:
    os.read(0, 1)
    os._exit(0)
print(sum(os.times()[:2]), flush=True)
os.read(0, 1)
"""
PROCESSES = 8


def enter(*cgroups: str) -> None:
    """Moves the calling process into cgroups."""
    for folder in cgroups:
        with open(folder + "/cgroup.procs", "w") as f:
            f.write(str(os.getpid()))


def read(path: str) -> str:
    with open(path) as f:
        return f.read()


@scenario()
def cpu_time_memory_and_processes(w: World) -> None:
    cgroup, port = w.new_cgroup("resources"), free_port()
    collector = Collector(w, [cgroup], env=serving(port))
    process = subprocess.Popen(
        [PYTHON, "-c", USE_RESOURCES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: enter(cgroup),
    )
    assert process.stdout
    spent = float(process.stdout.readline())
    wait_for(lambda: len(read(cgroup + "/cgroup.procs").split()) == PROCESSES)
    s = Scrape(port)
    cpu = s.sum("sandbox_cpu_time_seconds_total")
    stat = dict(line.split() for line in read(cgroup + "/cpu.stat").splitlines())
    # The process's own count includes its start, which the first reading may have missed.
    assert spent - 0.05 <= cpu <= int(stat["usage_usec"]) / 1e6 + 1e-6, (spent, cpu, stat)
    processes = s.by("sandbox_process_count", "sandbox_id")
    assert s.sum("sandbox_process_count") == PROCESSES, processes
    memory = s.sum("sandbox_memory_usage_bytes")
    assert HELD <= memory <= 3 * HELD, memory
    probes = s.by("sandpiper_probe_state", "mechanism", "state", probe="resources")
    assert len(probes) == 1, probes
    process.communicate(b"xxxx", timeout=60)
    wait_for(lambda: Scrape(port).sum("sandbox_process_count") == 0)
    assert Scrape(port).sum("sandbox_cpu_time_seconds_total") >= cpu
    collector.stop()


def limit_memory(w: World, cgroup: str, limit: int) -> str | None:
    """Limits the memory of a cgroup with the controller of cgroup v2. If the controller belongs to
    v1, creates and returns a cgroup of v1 with this limit, which processes must enter too."""
    try:
        for folder in (w.mount, os.path.dirname(cgroup)):
            with open(folder + "/cgroup.subtree_control", "w") as f:
                f.write("+memory")
        with open(cgroup + "/memory.max", "w") as f:
            f.write(str(limit))
        return None
    except OSError:
        v1 = f"/sys/fs/cgroup/memory/{w.tag}-oom"
        try:
            os.mkdir(v1)
            with open(v1 + "/memory.limit_in_bytes", "w") as f:
                f.write(str(limit))
        except OSError as e:
            raise Skip(f"no memory controller can be used: {e}") from e
        return v1


@scenario()
def out_of_memory_kills(w: World) -> None:
    """Of four processes, the kernel kills one for its memory and one is killed with a signal."""
    cgroup, port = w.new_cgroup("oom"), free_port()
    v1 = limit_memory(w, cgroup, 32 * MIB)
    cgroups = [cgroup, v1] if v1 else [cgroup]
    try:
        collector = Collector(w, [cgroup], env=serving(port))
        statuses = [
            subprocess.run(
                [PYTHON, "-c", code], preexec_fn=lambda: enter(*cgroups), capture_output=True
            ).returncode
            for code in (
                "b = bytearray(b'x') * (256 << 20)",
                "import os; os.kill(os.getpid(), 9)",
                "raise SystemExit(3)",
                "",
            )
        ]
        assert statuses == [-9, -9, 3, 0], statuses
        wait_for(lambda: Scrape(port).sum("sandbox_process_exits_total") == 4)
        outcomes = Scrape(port).by("sandbox_process_exits_total", "outcome")
        expected = ("oom", "signal", "failure", "success")
        assert outcomes == {(outcome,): 1 for outcome in expected}, outcomes
        exits = [e for e in collector.stop() if e["opensandbox.event"] == "process.exit"]
        assert [e.get("process.exit.oom") for e in exits] == [True, None, None, None], exits
        assert exits[0]["process.exit.signal"] == 9, exits
    finally:
        if v1:
            os.rmdir(v1)


@scenario()
def bpf_program_statistics(w: World) -> None:
    cgroup, port = w.new_cgroup("runs"), free_port()
    options = ["--program-statistics", "--canary-interval-ms", "0"]
    collector = Collector(w, [cgroup], options=options, env=serving(port))
    act(w, cgroup, "for i in range(20): actor.run(['true'])")
    s = Scrape(port)
    runs = s.by("sandpiper_probe_run_count_total", "program")
    assert runs[("handle_exec",)] >= 21, runs
    assert s.sum("sandpiper_probe_run_time_seconds_total", probe="process") > 0
    assert ("handle_exec",) in s.by("sandpiper_probe_missed_total", "program")
    assert s.sum("sandpiper_table_entries", table="members") == 1
    collector.stop()
