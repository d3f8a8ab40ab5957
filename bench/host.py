# SPDX-License-Identifier: Apache-2.0
"""host.py SANDPIPER LOAD: what being watched costs on this machine, as ratios of the time that the load takes: off and on in turns, the load on CPU 1 and the collector on CPU 0,
medians of the pairs. For comparison on one machine; nothing is gated on them. Prints one JSON object."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

from common import Collector, cgroup, enter, pinned

sandpiper, load = map(os.path.abspath, sys.argv[1:3])
PAIRS = 11
LOADS = {"exec": 1500, "connect": 4000, "dns": 20000}
QUERIES = 40000


def by_load(what):
    def once(watched):
        done = subprocess.run(
            pinned(1, [load, what, str(LOADS[what]), "1"]),
            preexec_fn=enter(watched),
            stdout=subprocess.PIPE,
            check=True,
        )
        return int(done.stdout.split()[0]), LOADS[what]

    return once


def by_dnsperf(watched):
    """dnsperf against a server that answers all: nanoseconds for a query."""
    server = subprocess.Popen(pinned(1, [load, "serve", "5353"]), stdout=subprocess.PIPE)
    try:
        assert b"ready" in server.stdout.readline()
        with tempfile.NamedTemporaryFile("w") as queries:
            queries.writelines("q%d.bench.test A\n" % i for i in range(1000))
            queries.flush()
            done = subprocess.run(
                pinned(
                    1,
                    [
                        "dnsperf",
                        "-s",
                        "127.0.0.1",
                        "-p",
                        "5353",
                        "-d",
                        queries.name,
                        "-n",
                        str(QUERIES // 1000),
                        "-c",
                        "1",
                        "-q",
                        "20",
                    ],
                ),
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


def measure(once):
    with cgroup("host") as watched:
        ratios, cpu, things = [], 0.0, 0
        once(watched)
        for pair in range(PAIRS):

            def off():
                return once(watched)[0]

            def on():
                nonlocal cpu, things
                with Collector(
                    sandpiper, ["--cgroup", watched, "--dns-port", "53", "--dns-port", "5353"]
                ) as collector:
                    before = collector.cpu_seconds()
                    each, count = once(watched)
                    collector.settle()
                    cpu += collector.cpu_seconds() - before
                    things += count
                    return each

            # Whoever is first is not always the same.
            without, with_it = (off(), on()) if pair % 2 else reversed((on(), off()))
            ratios.append(with_it / without)
    ratios.sort()
    return {
        "ratio": round(statistics.median(ratios), 3),
        "p10": round(ratios[len(ratios) // 10], 3),
        "p90": round(ratios[-1 - len(ratios) // 10], 3),
        "collector_cpu_us_each": round(cpu / things * 1e6, 2),
    }


result = {what: measure(by_load(what)) for what in LOADS}
if shutil.which("dnsperf"):
    result["dnsperf"] = measure(by_dnsperf)
print(json.dumps(result))
