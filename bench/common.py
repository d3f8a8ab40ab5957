# SPDX-License-Identifier: Apache-2.0
"""Helpers of the benchmarks: pinned processes, their CPU time, a cgroup to watch, a collector."""

import contextlib
import glob
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any


def cgroup_mount() -> str:
    """The mount point of cgroup v2."""
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            left, _, right = line.partition(" - ")
            if right.startswith("cgroup2 "):
                return left.split()[4]
    raise SystemExit("bench: cgroup v2 is not mounted")


def read(path: str) -> str:
    with open(path) as f:
        return f.read()


def cpu_seconds(pid: int) -> float:
    """CPU time of all living threads of a process, without its children and ended threads.

    Read in nanoseconds from schedstat: /proc/PID/stat counts ticks of ten milliseconds.
    """
    paths = glob.glob(f"/proc/{pid}/task/*/schedstat")
    assert paths, f"process {pid} has ended, or the kernel has no schedstat"
    spent = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            spent += int(read(path).split()[0])
    return spent / 1e9


def pinned(cpu: int, argv: list[str]) -> list[str]:
    """The command that runs `argv` on this CPU only."""
    return ["taskset", "-c", str(cpu), *argv]


def remove_cgroup(path: str) -> None:
    """Removes an empty cgroup. Waits up to 5 s for its last process to leave it."""
    for _ in range(100):
        try:
            os.rmdir(path)
            return
        except OSError:
            time.sleep(0.05)


@contextlib.contextmanager
def cgroup(name: str) -> Iterator[str]:
    """A new cgroup at the top of the hierarchy; removed at the end."""
    path = f"{cgroup_mount()}/bench-{os.getpid()}-{name}"
    os.makedirs(path)
    try:
        yield path
    finally:
        remove_cgroup(path)


def enter(path: str) -> Callable[[], None]:
    """A preexec_fn that moves the child into the cgroup."""

    def move() -> None:
        with open(path + "/cgroup.procs", "w") as f:
            f.write("0")

    return move


class Collector:
    """A running `sandpiper run`. It starts on all CPUs, as usual; then CPU 0 is its only one."""

    def __init__(
        self, sandpiper: str, arguments: list[str], stdout: int = subprocess.DEVNULL
    ) -> None:
        self.sandpiper = sandpiper
        self.folder = tempfile.TemporaryDirectory(prefix="bench")
        self.socket = self.folder.name + "/socket"
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [sandpiper, "run", "--socket", self.socket, "--canary-interval-ms", "0", *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        output = b""
        while b"ready" not in output:
            line = self.process.stderr.readline()
            assert line, output
            output += line
        self.start_s = time.monotonic() - begin
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            # A thread of the start-up may have ended since.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), {0})

    def __enter__(self) -> "Collector":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        self.folder.cleanup()

    def status(self) -> dict[str, Any]:
        return json.loads(
            subprocess.run(
                [self.sandpiper, "status", "--format", "json", "--socket", self.socket],
                capture_output=True,
                check=True,
            ).stdout
        )

    def counts(self) -> tuple[int, int]:
        """(produced, dropped): events of all sandboxes."""
        sandboxes = self.status()["sandboxes"]
        produced = sum(int(s["produced"]) for s in sandboxes)
        dropped = sum(int(s["dropped"]) for s in sandboxes)
        return produced, dropped

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)

    def wait_idle(self) -> None:
        """Waits until all events are processed: its CPU time no longer grows."""
        before = -1.0
        while self.cpu_seconds() != before:
            before = self.cpu_seconds()
            time.sleep(0.5)
