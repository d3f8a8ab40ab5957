# SPDX-License-Identifier: Apache-2.0
"""kernel.py SANDPIPER LOAD EMPTY [QUICK]: the cost of observing each kind of event, in the kernel.

It runs in a guest under -icount, where a nanosecond is an instruction. It prints one JSON object
after the word "bench". QUICK leaves out the other tools.

Each collector is stopped (SIGSTOP) during a measurement, so that only the kernel's part is counted.
The rings are large enough for the events of that time.

A fork with exec and exit costs three hundred times as much as its observation, and varies by more.
So for "exec", only the instructions within the BPF programs are counted.
"""

import ctypes
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from common import cgroup_mount

sandpiper, empty = map(os.path.abspath, (sys.argv[1], sys.argv[3]))
is_quick = len(sys.argv) > 4
# In memory: a program on the host's file system would wait for that file system at its start.
load = shutil.copy(sys.argv[2], "/tmp/load")
top = cgroup_mount() + "/bench"

ROUNDS = 7
# Operations in a round: it is long compared with a clock tick, and its events fit the ring.
EVENTS = {"pid": 20000, "packet": 1000, "dns": 1000, "attempt": 1000, "connect": 300, "exec": 60}
COMMITS = 10
BPFTRACE_CONNECT = (
    'kprobe:tcp_v4_connect { printf("%s %d\\n", comm, pid); } '
    'kretprobe:tcp_v4_connect { printf("%d\\n", retval); }'
)
BPFTRACE_EXEC = "tracepoint:syscalls:sys_enter_execve { join(args->argv); }"
# Other tools to compare with, by operation.
TOOLS = {
    "attempt": {"tcpconnect": ["tcpconnect"], "bpftrace": ["bpftrace", "-e", BPFTRACE_CONNECT]},
    "exec": {"execsnoop": ["execsnoop"], "bpftrace": ["bpftrace", "-e", BPFTRACE_EXEC]},
}
RUN = [sandpiper, "run", "--cgroup", top + "/watched", "--ring-bytes", "64M"]
RUN += ["--critical-ring-bytes", "64M", "--no-limit-records", "--canary-interval-ms", "0"]
RUN += ["--socket", ""]

SYS_BPF = 321  # x86_64
BPF_PROG_GET_NEXT_ID = 11
BPF_PROG_GET_FD_BY_ID = 13
BPF_OBJ_GET_INFO_BY_FD = 15
BPF_ATTR_SIZE = 128
# struct bpf_prog_info: its size here, and the offsets of two members.
INFO_SIZE = 256
INFO_NAME = slice(64, 80)
INFO_VERIFIED_INSNS = slice(216, 220)

# {program name: (runs, nanoseconds)}
Runs = dict[str, tuple[int, int]]


def enter(cgroup: str) -> Callable[[], None]:
    """A preexec_fn that moves the child into the cgroup, and makes it a batch task.

    A batch task does not preempt the task that wakes it. Otherwise the differences would contain
    the scheduler's choice, which depends on earlier run time.
    """

    def move() -> None:
        with open(os.path.join(top, cgroup, "cgroup.procs"), "w") as f:
            f.write("0")
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    return move


def measure(operation: str, cgroup: str) -> float:
    """Nanoseconds for one operation: the median of all rounds but the first.

    The working directory is the root: the cost of an exec grows with the depth of its directory.
    """
    out = subprocess.run(
        [load, operation, str(EVENTS[operation]), str(ROUNDS)],
        cwd="/",
        stdout=subprocess.PIPE,
        preexec_fn=enter(cgroup),
        check=True,
        env={**os.environ, "SERVER_CGROUP": os.path.join(top, "server")},
    )
    return statistics.median(int(x) for x in out.stdout.split()[1:])


def program_count() -> int:
    """The number of loaded BPF programs."""
    return subprocess.run(["bpftool", "prog", "show"], capture_output=True).stdout.count(b"tag ")


class Observer:
    """A program that observes. It is stopped once it is ready, and killed at the end.

    `ready_on` is "stdout" or "stderr" if the program prints the word "ready" there, else None.
    """

    def __init__(self, argv: list[str], ready_on: str | None) -> None:
        self.programs_before = program_count()
        self.ready_on = ready_on
        is_stderr = ready_on == "stderr"
        self.process = subprocess.Popen(
            argv,
            stdout=subprocess.DEVNULL if is_stderr else subprocess.PIPE,
            stderr=subprocess.PIPE if is_stderr else subprocess.DEVNULL,
        )

    def __enter__(self) -> "Observer":
        if self.ready_on == "stdout":
            assert b"ready" in self.process.stdout.readline()
        elif self.ready_on == "stderr":
            self.wait_for_line()
        else:
            self.wait_for_programs()
        self.process.send_signal(signal.SIGSTOP)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def wait_for_line(self) -> None:
        line = b""
        while b"ready" not in line:
            line = self.process.stderr.readline()
            assert line, f"{self.process.args!r} ended"
        time.sleep(1)

    def wait_for_programs(self) -> None:
        """Waits until programs are loaded, and 20 s more for them to be attached."""
        for _ in range(100):
            assert self.process.poll() is None, f"{self.process.args!r} ended"
            if program_count() > self.programs_before:
                time.sleep(20)
                return
            time.sleep(1)
        raise SystemExit(f"kernel.py: {self.process.args!r} loaded no programs")


def run_counts() -> Runs:
    """Runs and time of all programs, while the kernel keeps these statistics."""
    shown = subprocess.run(["bpftool", "--json", "prog", "show"], capture_output=True, check=True)
    out: Runs = {}
    for program in json.loads(shown.stdout):
        if program.get("run_cnt"):
            runs, ns = out.get(program["name"], (0, 0))
            out[program["name"]] = (runs + program["run_cnt"], ns + program["run_time_ns"])
    return out


def runs_since(before: Runs) -> Runs:
    out = {}
    for name, (runs, ns) in run_counts().items():
        runs_before, ns_before = before.get(name, (0, 0))
        out[name] = (runs - runs_before, ns - ns_before)
    return out


def total_ns(counts: Runs) -> int:
    return sum(ns for _, ns in counts.values())


def bpf(command: int, *words: bytes) -> tuple[int, bytes]:
    """bpf(2) with these first members of its argument. Returns its result and the argument."""
    attr = ctypes.create_string_buffer(b"".join(words), BPF_ATTR_SIZE)
    result = ctypes.CDLL(None, use_errno=True).syscall(SYS_BPF, command, attr, BPF_ATTR_SIZE)
    return result, attr.raw


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def verified_instructions() -> dict[str, int]:
    """The instructions that the verifier processed for each program.

    They are in struct bpf_prog_info since Linux 5.16.
    """
    out: dict[str, int] = {}
    last = 0
    while True:
        failed, attr = bpf(BPF_PROG_GET_NEXT_ID, u32(last))
        if failed:
            return out
        last = int.from_bytes(attr[4:8], "little")
        fd, _ = bpf(BPF_PROG_GET_FD_BY_ID, u32(last))
        if fd < 0:
            continue
        info = ctypes.create_string_buffer(INFO_SIZE)
        address = ctypes.addressof(info).to_bytes(8, "little")
        failed, _ = bpf(BPF_OBJ_GET_INFO_BY_FD, u32(fd), u32(INFO_SIZE), address)
        if not failed:
            name = info.raw[INFO_NAME].split(b"\0")[0].decode()
            out[name] = int.from_bytes(info.raw[INFO_VERIFIED_INSNS], "little")
        os.close(fd)


def set_statistics(value: str) -> None:
    """Switches the statistics of all programs. The guest is for this measurement only."""
    with open("/proc/sys/kernel/bpf_stats_enabled", "w") as f:
        f.write(value + "\n")


def within_programs(operation: str, cgroup: str) -> float:
    """Nanoseconds that all loaded programs spend for one operation."""
    set_statistics("1")
    before = run_counts()
    measure(operation, cgroup)
    spent = total_ns(runs_since(before))
    set_statistics("0")
    return spent / (EVENTS[operation] * ROUNDS)


def per_program(counts: Runs, operations: int) -> dict[str, list[float]]:
    """{name: [runs for an operation, nanoseconds for a run]}"""
    return {
        name: [round(runs / operations, 2), round(ns / runs)]
        for name, (runs, ns) in sorted(counts.items())
        if runs
    }


def measure_programs(operation: str) -> dict[str, Any]:
    """The cost within each program, while sandpiper runs with --program-statistics.

    These figures are the same in each run; the differences to "alone" vary with the guest's own
    work. Statistics cost each run some instructions, so their sum is higher than the difference.
    """
    operations = EVENTS[operation] * ROUNDS
    before = run_counts()
    measure(operation, "plain")
    unwatched = runs_since(before)
    before = run_counts()
    measure(operation, "watched")
    watched = runs_since(before)
    frequent = {name: c for name, c in watched.items() if c[0] >= operations / 2}
    return {
        "within programs": {
            "unwatched": total_ns(unwatched) / operations,
            "watched": total_ns(watched) / operations,
        },
        "programs": per_program(frequent, operations),
    }


def measure_nft_commit() -> dict[str, Any]:
    """The cost within the programs on a commit. nft(8) itself takes a thousand times as much."""
    before = run_counts()
    for i in range(COMMITS):
        subprocess.run(["nft", f"add table inet bench{i}"], preexec_fn=enter("watched"), check=True)
    counts = {
        name: c
        for name, c in runs_since(before).items()
        if name.startswith(("handle_nft", "handle_netlink"))
    }
    spent = total_ns(counts) / COMMITS
    return {
        "watched": spent,
        "within programs": {"watched": spent},
        "programs": per_program(counts, COMMITS),
    }


def measure_tools(alone: dict[str, float], events: dict[str, Any]) -> None:
    # Some of the tools look up their tracepoints there.
    if not os.path.isdir("/sys/kernel/tracing/events"):
        subprocess.run(["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"], check=True)
    for operation, tools in TOOLS.items():
        for name, argv in tools.items():
            if shutil.which(argv[0]):
                with Observer(argv, None):
                    events[operation][name] = cost(operation, "watched", alone)


def cost(operation: str, cgroup: str, alone: dict[str, float]) -> float:
    """The additional cost of one operation while an observer runs."""
    if operation == "exec":
        return within_programs(operation, cgroup)
    return measure(operation, cgroup) - alone[operation]


def main() -> None:
    for name in ("watched", "plain", "server"):
        os.makedirs(os.path.join(top, name), exist_ok=True)
    alone = {operation: measure(operation, "watched") for operation in EVENTS}
    with Observer([empty, cgroup_mount()], "stdout"):
        floor = {operation: cost(operation, "watched", alone) for operation in EVENTS}
    with Observer(RUN, "stderr"):
        verified = verified_instructions()
        watched = {operation: cost(operation, "watched", alone) for operation in EVENTS}
        unwatched = {operation: cost(operation, "plain", alone) for operation in EVENTS}
    events: dict[str, Any] = {
        operation: {
            "alone": alone[operation],
            "empty programs": floor[operation],
            "unwatched": unwatched[operation],
            "watched": watched[operation],
        }
        for operation in EVENTS
    }
    if not is_quick:
        measure_tools(alone, events)
    with Observer([*RUN, "--program-statistics"], "stderr"):
        for operation in EVENTS:
            if operation != "pid":
                events[operation].update(measure_programs(operation))
        events["nft commit"] = measure_nft_commit()
    result = {"kernel": os.uname().release, "events": events, "verified": verified}
    print("bench " + json.dumps(result), flush=True)


main()
