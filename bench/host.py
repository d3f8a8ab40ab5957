# SPDX-License-Identifier: Apache-2.0
"""host.py SANDPIPER LOAD: the cost of being watched on this machine. Prints one JSON object.

It measures the time that a load takes, watched and unwatched in turns, and prints the median of
the ratios of the pairs. The load has CPU 1, the collector CPU 0. The ratios compare versions on one
machine; no check depends on them.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

from common import Collector, cgroup, enter, pinned

sandpiper, load = map(os.path.abspath, sys.argv[1:3])
PAIRS = 11
LOADS = {"exec": 1500, "connect": 4000, "dns": 20000}
QUERIES = 40000
DNSPERF_PORT = "5353"

# Runs a load in a cgroup. Returns nanoseconds for one operation, and the number of operations.
Load = Callable[[str], tuple[float, int]]


def by_load(operation: str) -> Load:
    def run_once(watched: str) -> tuple[float, int]:
        done = subprocess.run(
            pinned(1, [load, operation, str(LOADS[operation]), "1"]),
            preexec_fn=enter(watched),
            stdout=subprocess.PIPE,
            check=True,
        )
        return int(done.stdout.split()[0]), LOADS[operation]

    return run_once


def by_dnsperf(watched: str) -> tuple[float, int]:
    """dnsperf against a server that answers every query."""
    server = subprocess.Popen(pinned(1, [load, "serve", DNSPERF_PORT]), stdout=subprocess.PIPE)
    try:
        assert b"ready" in server.stdout.readline()
        with tempfile.NamedTemporaryFile("w") as queries:
            queries.writelines(f"q{i}.bench.test A\n" for i in range(1000))
            queries.flush()
            runs = str(QUERIES // 1000)
            server_options = ["-s", "127.0.0.1", "-p", DNSPERF_PORT]
            query_options = ["-d", queries.name, "-n", runs, "-c", "1", "-q", "20"]
            done = subprocess.run(
                pinned(1, ["dnsperf", *server_options, *query_options]),
                preexec_fn=enter(watched),
                stdout=subprocess.PIPE,
                check=True,
            )
        rate = [
            float(line.split()[-1])
            for line in done.stdout.decode().splitlines()
            if "Queries per second" in line
        ]
        return 1e9 / rate[0], QUERIES
    finally:
        server.terminate()
        server.wait()


def run_watched(run_load: Load, watched: str) -> tuple[float, float, int]:
    """(nanoseconds for one operation, CPU seconds of the collector, operations)"""
    ports = ["--dns-port", "53", "--dns-port", DNSPERF_PORT]
    with Collector(sandpiper, ["--cgroup", watched, *ports]) as collector:
        before = collector.cpu_seconds()
        each, count = run_load(watched)
        collector.wait_idle()
        return each, collector.cpu_seconds() - before, count


def measure(run_load: Load) -> dict[str, float]:
    ratios = []
    cpu_s = 0.0
    operations = 0
    with cgroup("host") as watched:
        run_load(watched)  # warms up caches
        for pair in range(PAIRS):
            # Alternate the order, so that a drift of the machine does not favour one side.
            if pair % 2:
                unwatched_ns, _ = run_load(watched)
            watched_ns, spent, count = run_watched(run_load, watched)
            if not pair % 2:
                unwatched_ns, _ = run_load(watched)
            cpu_s += spent
            operations += count
            ratios.append(watched_ns / unwatched_ns)
    ratios.sort()
    return {
        "ratio": round(statistics.median(ratios), 3),
        "p10": round(ratios[len(ratios) // 10], 3),
        "p90": round(ratios[-1 - len(ratios) // 10], 3),
        "collector_cpu_us_each": round(cpu_s / operations * 1e6, 2),
    }


def main() -> None:
    result = {operation: measure(by_load(operation)) for operation in LOADS}
    if shutil.which("dnsperf"):
        result["dnsperf"] = measure(by_dnsperf)
    print(json.dumps(result))


main()
