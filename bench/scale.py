# SPDX-License-Identifier: Apache-2.0
"""scale.py SANDPIPER LOAD: memory, start time and cost of an event with many sandboxes.

Prints one JSON object. For 10, 1,000 and 10,000 sandboxes, each of which ran a program, it has the
memory of the process (PSS) and of its maps in the kernel. It also has the time of a start, the
activity of an idle collector, and the size of the binary.
"""

import glob
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from common import Collector, cgroup, enter, pinned, read, remove_cgroup

sandpiper, load = map(os.path.abspath, sys.argv[1:3])
SIZES = (10, 1_000, 10_000)
STARTS = 15
ROUNDS = 5
IDLE_S = 30


def pss_mib(pid: int) -> float:
    kib = re.search(r"^Pss: *(\d+)", read(f"/proc/{pid}/smaps_rollup"), re.M).group(1)
    return round(int(kib) / 1024, 1)


def maps_mib(pid: int) -> float:
    """Memory of the BPF maps that this process holds, by the kernel's own count (fdinfo)."""
    memory_of_map = {}
    for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
        try:
            info = dict(re.findall(r"^(\w+):\s*(\S+)", read(path), re.M))
        except FileNotFoundError:
            continue
        if "memlock" in info and "map_id" in info:
            memory_of_map[info["map_id"]] = int(info["memlock"])
    return round(sum(memory_of_map.values()) / (1 << 20), 1)


def wakeups(pid: int) -> int:
    """Voluntary context switches of all threads so far."""
    pattern = re.compile(r"^voluntary_ctxt_switches:\s*(\d+)", re.M)
    paths = glob.glob(f"/proc/{pid}/task/*/status")
    return sum(int(pattern.search(read(path)).group(1)) for path in paths)


def us_per_event(collector: Collector, cgroups: list[str]) -> float:
    """CPU time for an event of these sandboxes, in microseconds."""
    events = collector.counts()[0]
    cpu = collector.cpu_seconds()
    for name in cgroups:
        subprocess.run(
            pinned(1, [load, "attempt", "50000", "1"]),
            preexec_fn=enter(name),
            stdout=subprocess.DEVNULL,
            check=True,
        )
    collector.wait_idle()
    return (collector.cpu_seconds() - cpu) / (collector.counts()[0] - events) * 1e6


def measure_sandboxes(count: int) -> dict[str, float]:
    with cgroup("scale") as top:
        names = [f"{top}/s{i:05d}" for i in range(count)]
        for name in names:
            os.mkdir(name)
        try:
            with Collector(sandpiper, ["--cgroup", top + "/s*"]) as collector:
                collector.wait_idle()
                for name in names if count <= 1000 else names[::10]:
                    subprocess.run([load, "exit"], preexec_fn=enter(name), check=True)
                collector.wait_idle()
                pss = pss_mib(collector.process.pid)
                maps = maps_mib(collector.process.pid)
                # The same work for each number of sandboxes.
                ends = [names[0], names[-1]]
                costs = [us_per_event(collector, ends) for _ in range(ROUNDS)]
                return {
                    "start_ms": round(collector.start_s * 1000),
                    "pss_mib": pss,
                    "maps_mib": maps,
                    "cpu_us_an_event": round(statistics.median(costs), 2),
                }
        finally:
            for name in names:
                remove_cgroup(name)


def measure_start(watched: str) -> dict[str, float]:
    starts = []
    for _ in range(STARTS):
        with Collector(sandpiper, ["--cgroup", watched]) as collector:
            starts.append(collector.start_s * 1000)
    return {"median": round(statistics.median(starts), 1), "least": round(min(starts), 1)}


def measure_idle(watched: str) -> dict[str, float]:
    with Collector(sandpiper, ["--cgroup", watched]) as collector:
        pid = collector.process.pid
        collector.wait_idle()
        time.sleep(5)
        before = wakeups(pid)
        cpu = collector.cpu_seconds()
        time.sleep(IDLE_S)
        return {
            "pss_mib": pss_mib(pid),
            "maps_mib": maps_mib(pid),
            "wakeups_per_s": round((wakeups(pid) - before) / IDLE_S, 2),
            "cpu_percent": round((collector.cpu_seconds() - cpu) / IDLE_S * 100, 2),
        }


def stripped_mib() -> float:
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        stripped = shutil.copy(sandpiper, folder + "/stripped")
        os.chmod(stripped, 0o755)
        subprocess.run(["strip", stripped], check=True)
        return round(os.path.getsize(stripped) / (1 << 20), 2)


def main() -> None:
    result: dict[str, Any] = {
        "sandboxes": {str(size): measure_sandboxes(size) for size in SIZES},
    }
    with cgroup("start") as one:
        result["start_ms"] = measure_start(one)
        result["idle"] = measure_idle(one)
    result["binary_mib"] = stripped_mib()
    print(json.dumps(result))


main()
