# SPDX-License-Identifier: Apache-2.0
"""scale.py SANDPIPER LOAD: memory, start and cost of an event with many sandboxes. Prints one JSON object: for 10, 1,000 and 10,000 sandboxes that each ran a program
and looked up a name, what the process has (PSS) and what its maps in the kernel take; how long a start takes; and what it does while nothing happens."""

import glob
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

from common import Collector, cgroup, enter, pinned

sandpiper, load = map(os.path.abspath, sys.argv[1:3])
SIZES = (10, 1_000, 10_000)
STARTS = 15
ROUNDS = 5


def pss_kib(pid):
    return int(
        re.search(r"^Pss: *(\d+)", open("/proc/%d/smaps_rollup" % pid).read(), re.M).group(1)
    )


def maps_kib(pid):
    """What the kernel says that the maps take that this process holds (fdinfo)."""
    seen = {}
    for path in glob.glob("/proc/%d/fdinfo/*" % pid):
        try:
            told = dict(re.findall(r"^(\w+):\s*(\S+)", open(path).read(), re.M))
        except FileNotFoundError:
            continue
        if "memlock" in told and "map_id" in told:
            seen[told["map_id"]] = int(told["memlock"])
    return sum(seen.values()) // 1024


def switches(pid):
    return sum(
        int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", open(p).read(), re.M).group(1))
        for p in glob.glob("/proc/%d/task/*/status" % pid)
    )


def cost_of_an_event(collector, cgroups):
    """The same work in one of them, whatever the number of the others; microseconds."""
    before, cpu = collector.counts()[0], collector.cpu_seconds()
    for name in cgroups:
        subprocess.run(
            pinned(1, [load, "attempt", "50000", "1"]),
            preexec_fn=enter(name),
            stdout=subprocess.DEVNULL,
            check=True,
        )
    collector.settle()
    return (collector.cpu_seconds() - cpu) / (collector.counts()[0] - before) * 1e6


def with_sandboxes(count, result):
    with cgroup("scale") as top:
        names = ["%s/s%05d" % (top, i) for i in range(count)]
        for name in names:
            os.mkdir(name)
        try:
            with Collector(sandpiper, ["--cgroup", top + "/s*"]) as collector:
                result["start_ms"] = round(collector.start_s * 1000)
                collector.settle()
                for name in names if count <= 1000 else names[::10]:
                    subprocess.run([load, "exit"], preexec_fn=enter(name), check=True)
                collector.settle()
                result["pss_mib"] = round(pss_kib(collector.process.pid) / 1024, 1)
                result["maps_mib"] = round(maps_kib(collector.process.pid) / 1024, 1)
                result["cpu_us_an_event"] = round(
                    statistics.median(
                        cost_of_an_event(collector, (names[0], names[-1])) for _ in range(ROUNDS)
                    ),
                    2,
                )
        finally:
            for name in names:
                for _ in range(100):
                    try:
                        os.rmdir(name)
                        break
                    except OSError:
                        time.sleep(0.05)


result = {"sandboxes": {}}
for size in SIZES:
    with_sandboxes(size, result["sandboxes"].setdefault(str(size), {}))
with cgroup("start") as one:
    starts = []
    for _ in range(STARTS):
        with Collector(sandpiper, ["--cgroup", one]) as collector:
            starts.append(collector.start_s * 1000)
    result["start_ms"] = {
        "median": round(statistics.median(starts), 1),
        "least": round(min(starts), 1),
    }
    with Collector(sandpiper, ["--cgroup", one]) as collector:
        collector.settle()
        time.sleep(5)
        before, cpu = switches(collector.process.pid), collector.cpu_seconds()
        time.sleep(30)
        result["idle"] = {
            "pss_mib": round(pss_kib(collector.process.pid) / 1024, 1),
            "maps_mib": round(maps_kib(collector.process.pid) / 1024, 1),
            "wakeups_per_s": round((switches(collector.process.pid) - before) / 30, 2),
            "cpu_percent": round((collector.cpu_seconds() - cpu) / 30 * 100, 2),
        }
stripped = "/tmp/bench-stripped-%d" % os.getpid()
shutil.copy(sandpiper, stripped)
os.chmod(stripped, 0o755)
subprocess.run(["strip", stripped], check=True)
result["binary_mib"] = round(os.path.getsize(stripped) / (1 << 20), 2)
os.unlink(stripped)
print(json.dumps(result))
