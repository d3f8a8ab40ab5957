# SPDX-License-Identifier: Apache-2.0
"""throughput.py SANDPIPER LOAD SEND SINK [OTELCOL]: the throughput of one core.

The collector or the receiver has CPU 0, the load generator CPU 1. It prints one JSON object with
two members:

"events" has the highest rate without loss for each kind, found by halving. It also has the number
of events for each second of the collector's CPU time.

"records" has the number of log records for each second of CPU time of sandpiper's exporter. They
are sent to a sink that does not read them. With OTELCOL, it also has the figures of an
OpenTelemetry Collector that receives the same requests and forwards them to that sink.
"""

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from common import Collector, cgroup, cpu_seconds, enter, pinned, read

sandpiper, load, send, sink = map(os.path.abspath, sys.argv[1:5])
otelcol = sys.argv[5] if len(sys.argv) > 5 else None
SECONDS = 2
RECORDS = 400_000
HALVINGS = 6
# Operations a second, at least as many as the load generator can do.
MOST = {"dns": 60_000, "attempt": 60_000, "exec": 2_000}
COUNTED_ONLY = ["--no-stdout", "--log-level", "warn"]
OTELCOL_ENDPOINT = "127.0.0.1:14317"
OTELCOL_CONFIG = """
receivers: {otlp: {protocols: {grpc: {endpoint: %s}}}}
exporters: {otlphttp: {logs_endpoint: "%s", compression: %s}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {logs: {receivers: [otlp], exporters: [otlphttp]}}
"""


def run(operation: str, rate: int | None, options: list[str]) -> dict[str, Any]:
    """Runs a load at `rate` operations a second; None: as fast as it can."""
    with (
        cgroup(operation) as watched,
        Collector(sandpiper, ["--cgroup", watched, *options]) as collector,
    ):
        before = collector.counts()[0]
        cpu = collector.cpu_seconds()
        count = (rate or MOST[operation]) * SECONDS
        pace = [str(rate)] if rate else []
        done = subprocess.run(
            pinned(1, [load, operation, str(count), "1", *pace]),
            preexec_fn=enter(watched),
            stdout=subprocess.PIPE,
            check=True,
        )
        each_ns = int(done.stdout.split()[0])
        collector.wait_idle()
        produced, dropped = collector.counts()
        events = produced - before
        cpu_s = max(collector.cpu_seconds() - cpu, 0.01)
        return {
            "things_per_s": round(1e9 / each_ns),
            "events_per_s": round(events / (count * each_ns / 1e9)),
            "events": events,
            "lost": dropped,
            "events_per_cpu_s": round((events - dropped) / cpu_s),
        }


def highest_rate(operation: str, options: list[str]) -> dict[str, Any]:
    unpaced = run(operation, None, options)
    if not unpaced["lost"]:
        return {**unpaced, "bound": "the load generator"}
    low = 0
    high = unpaced["things_per_s"]
    result = unpaced
    for _ in range(HALVINGS):
        rate = (low + high) // 2
        tried = run(operation, rate, options)
        if tried["lost"]:
            high = rate
            if not low:  # no rate without loss is known yet
                result = tried
        else:
            low = rate
            result = tried
    return {**result, "bound": "the collector", "unpaced": unpaced}


def send_all(protocol: str, target: str, compression: str) -> dict[str, float]:
    """Sends RECORDS log records with sandpiper's exporter."""
    done = subprocess.run(
        pinned(1, [send, protocol, target, compression, str(RECORDS)]),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def rates(sent: dict[str, float], cpu_s: float) -> dict[str, int]:
    return {
        "records_per_cpu_s": round(sent["records"] / cpu_s),
        "records_per_s": round(sent["records"] / sent["wall_s"]),
    }


def exporters() -> dict[str, dict[str, int]]:
    out = {}
    process = subprocess.Popen(pinned(0, [sink]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        grpc_port, http_port = map(int, process.stdout.readline().split())
        targets = {
            "grpc": f"127.0.0.1:{grpc_port}",
            "http": f"http://127.0.0.1:{http_port}/v1/logs",
        }
        for protocol, target in targets.items():
            for compression in ("none", "gzip"):
                sent = send_all(protocol, target, compression)
                out[f"sandpiper, {protocol}, {compression}"] = rates(sent, sent["cpu_s"])
        if otelcol:
            for compression in ("none", "gzip"):
                name = f"otelcol, grpc in, http out, {compression}"
                out[name] = forward(targets["http"], compression)
    finally:
        process.stdin.close()
        process.wait(timeout=60)
    return out


def forward(target: str, compression: str) -> dict[str, int]:
    """The rates of an OpenTelemetry Collector between sandpiper's exporter and the sink."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        config = folder + "/config.yaml"
        with open(config, "w") as f:
            f.write(OTELCOL_CONFIG % (OTELCOL_ENDPOINT, target, compression))
        log_path = folder + "/log"
        with open(log_path, "w") as log:
            process = subprocess.Popen(
                pinned(0, [otelcol, "--config", config]),
                stdout=log,
                stderr=log,
                env={**os.environ, "GOMAXPROCS": "1"},
            )
        try:
            while "Everything is ready" not in read(log_path):
                assert process.poll() is None, read(log_path)
            before = cpu_seconds(process.pid)
            sent = send_all("grpc", OTELCOL_ENDPOINT, "none")
            return rates(sent, cpu_seconds(process.pid) - before)
        finally:
            process.terminate()
            process.wait(timeout=60)


def main() -> None:
    events = {
        operation: {
            "records built": highest_rate(operation, []),
            "counted only": highest_rate(operation, COUNTED_ONLY),
        }
        for operation in MOST
    }
    print(json.dumps({"events": events, "records": exporters()}))


main()
