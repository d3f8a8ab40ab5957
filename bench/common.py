# SPDX-License-Identifier: Apache-2.0
"""What the measuring programs share: processes of their own on a CPU of their own, what they took, a cgroup to watch, and a collector that watches it."""

import contextlib
import glob
import json
import os
import signal
import subprocess
import tempfile
import time


def cgroup_mount():
    for line in open("/proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 "):
            return left.split()[4]
    raise SystemExit("bench: cgroup v2 is not mounted")


def cpu_seconds(pid):
    """All threads of a process that lives; its children left out, and threads that ended. In nanoseconds: /proc/PID/stat counts ticks of ten milliseconds."""
    spent, paths = 0, glob.glob("/proc/%d/task/*/schedstat" % pid)
    assert paths, "process %d is gone, or the kernel keeps no schedstat" % pid
    for path in paths:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            spent += int(open(path).read().split()[0])
    return spent / 1e9


def pinned(cpu, argv):
    return ["taskset", "-c", str(cpu), *argv]


@contextlib.contextmanager
def cgroup(name):
    path = "%s/bench-%d-%s" % (cgroup_mount(), os.getpid(), name)
    os.makedirs(path)
    try:
        yield path
    finally:
        for _ in range(100):
            try:
                os.rmdir(path)
                break
            except OSError:
                time.sleep(0.05)


def enter(path):
    def now():
        with open(path + "/cgroup.procs", "w") as f:
            f.write("0")

    return now


class Collector:
    """sandpiper run: starts with all CPUs, as anywhere, and has CPU 0 from then on."""

    def __init__(self, sandpiper, arguments, stdout=subprocess.DEVNULL):
        self.sandpiper, self.folder = sandpiper, tempfile.TemporaryDirectory(prefix="bench")
        self.socket = self.folder.name + "/socket"
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [sandpiper, "run", "--socket", self.socket, "--canary-interval-ms", "0", *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        said = b""
        while b"ready" not in said:
            line = self.process.stderr.readline()
            assert line, said
            said += line
        self.start_s = time.monotonic() - begin
        for thread in os.listdir("/proc/%d/task" % self.process.pid):
            with contextlib.suppress(ProcessLookupError):  # one that only starts things
                os.sched_setaffinity(int(thread), {0})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        self.folder.cleanup()

    def status(self):
        return json.loads(
            subprocess.run(
                [self.sandpiper, "status", "--format", "json", "--socket", self.socket],
                capture_output=True,
                check=True,
            ).stdout
        )

    def counts(self):
        """(produced, dropped) of all sandboxes."""
        all_of_them = self.status()["sandboxes"]
        return sum(int(s["produced"]) for s in all_of_them), sum(
            int(s["dropped"]) for s in all_of_them
        )

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def settle(self):
        """Until it has worked off what there is: its CPU time stands still."""
        before = -1.0
        while self.cpu_seconds() != before:
            before = self.cpu_seconds()
            time.sleep(0.5)
