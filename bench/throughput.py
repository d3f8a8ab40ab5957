# SPDX-License-Identifier: Apache-2.0
"""throughput.py SANDPIPER LOAD SEND SINK [OTELCOL]: how much one core takes. The collector, or what receives, has CPU 0, and what makes the load CPU 1. Prints one
JSON object.
  events   each kind at the highest rate at which nothing is lost, found by halving, and events for each second of the collector's CPU time
  records  log records for each second of CPU time of sandpiper's exporter, to a sink that looks at nothing; beside it, where it is there, the
           OpenTelemetry Collector that takes the same requests and passes them on to the same sink
"""

import json
import os
import re
import subprocess
import sys
import tempfile

from common import Collector, cgroup, cpu_seconds, enter, pinned

sandpiper, load, send, sink = map(os.path.abspath, sys.argv[1:5])
otelcol = sys.argv[5] if len(sys.argv) > 5 else None
SECONDS = 2
RECORDS = 400_000


def run(what, rate, options):
    """(things a second, events a second, lost, events for a second of CPU)"""
    with (
        cgroup(what) as watched,
        Collector(sandpiper, ["--cgroup", watched, *options]) as collector,
    ):
        before, cpu = collector.counts()[0], collector.cpu_seconds()
        things = (rate or MOST[what]) * SECONDS
        done = subprocess.run(
            pinned(1, [load, what, str(things), "1", *([str(rate)] if rate else [])]),
            preexec_fn=enter(watched),
            stdout=subprocess.PIPE,
            check=True,
        )
        each_ns = int(done.stdout.split()[0])
        collector.settle()
        produced, dropped = collector.counts()
        events = produced - before
        return {
            "things_per_s": round(1e9 / each_ns),
            "events_per_s": round(events / (things * each_ns / 1e9)),
            "events": events,
            "lost": dropped,
            "events_per_cpu_s": round(
                (events - dropped) / max(collector.cpu_seconds() - cpu, 0.01)
            ),
        }


MOST = {"dns": 60_000, "attempt": 60_000, "exec": 2_000}


def highest(what, options):
    unpaced = run(what, 0, options)
    if not unpaced["lost"]:
        return {**unpaced, "bound": "what makes the load"}
    low, best, high = 0, None, unpaced["things_per_s"]
    for _ in range(6):
        rate = (low + high) // 2
        tried = run(what, rate, options)
        if tried["lost"]:
            high = rate
        else:
            low, best = rate, tried
    return {**(best or tried), "bound": "the collector", "unpaced": unpaced}


def send_all(protocol, target, gzip):
    return json.loads(
        subprocess.run(
            pinned(1, [send, protocol, target, gzip, str(RECORDS)]),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    )


def exporters():
    out = {}
    process = subprocess.Popen(pinned(0, [sink]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        grpc_port, http_port = process.stdout.readline().split()
        targets = {
            "grpc": "127.0.0.1:%d" % int(grpc_port),
            "http": "http://127.0.0.1:%d/v1/logs" % int(http_port),
        }
        for protocol, target in targets.items():
            for gzip in ("none", "gzip"):
                result = send_all(protocol, target, gzip)
                out["sandpiper, %s, %s" % (protocol, gzip)] = {
                    "records_per_cpu_s": round(result["records"] / result["cpu_s"]),
                    "records_per_s": round(result["records"] / result["wall_s"]),
                }
        if otelcol:
            for gzip in ("none", "gzip"):
                out["otelcol, grpc in, http out, %s" % gzip] = collector_between(
                    targets["http"], gzip
                )
    finally:
        process.stdin.close()
        process.wait(timeout=60)
    return out


def collector_between(target, gzip):
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        config = folder + "/config.yaml"
        with open(config, "w") as f:
            f.write(
                """
receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:14317}}}}
exporters: {otlphttp: {logs_endpoint: "%s", compression: %s}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {logs: {receivers: [otlp], exporters: [otlphttp]}}
"""
                % (target, gzip)
            )
        with open(folder + "/log", "w+") as log:
            process = subprocess.Popen(
                pinned(0, [otelcol, "--config", config]),
                stdout=log,
                stderr=log,
                env={**os.environ, "GOMAXPROCS": "1"},
            )
            try:
                while not re.search("Everything is ready", open(folder + "/log").read()):
                    assert process.poll() is None, open(folder + "/log").read()
                before = cpu_seconds(process.pid)
                result = send_all("grpc", "127.0.0.1:14317", "none")
                return {
                    "records_per_cpu_s": round(
                        result["records"] / (cpu_seconds(process.pid) - before)
                    ),
                    "records_per_s": round(result["records"] / result["wall_s"]),
                }
            finally:
                process.terminate()
                process.wait(timeout=60)


SILENT = ["--no-stdout", "--log-level", "warn"]
print(
    json.dumps(
        {
            "events": {
                what: {"records made": highest(what, []), "counted only": highest(what, SILENT)}
                for what in MOST
            },
            "records": exporters(),
        }
    )
)
