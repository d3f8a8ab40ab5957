# SPDX-License-Identifier: Apache-2.0
"""The real programs that the e2e tier sends to: VictoriaLogs, Prometheus and an OpenTelemetry
Collector, on loopback. The Collector passes logs and metrics on to the two others. It listens on
a unix socket too, which can be reached from every network namespace."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from peer_checks import Event, last_values, same_metrics, same_records
from registry import Skip
from scrape import free_port
from victorialogs import VictoriaLogs

if TYPE_CHECKING:
    from world import World

COLLECTOR = """
receivers:
  otlp:
    protocols:
      grpc: {endpoint: %(socket)s, transport: unix, max_recv_msg_size_mib: 4}
  otlp/tcp:
    protocols:
      grpc: {endpoint: "127.0.0.1:%(grpc)d"}
      http: {endpoint: "127.0.0.1:%(http)d"}
exporters:
  otlp_http/victorialogs:
    logs_endpoint: %(logs_endpoint)s
    compression: none
    sending_queue: {enabled: false}
  otlp_http/prometheus:
    endpoint: http://127.0.0.1:%(prometheus)d/api/v1/otlp
    compression: none
    sending_queue: {enabled: false}
service:
  telemetry:
    logs: {level: warn}
    metrics:
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %(telemetry)d}}}}]
  pipelines:
    logs: {receivers: [otlp, otlp/tcp], exporters: [otlp_http/victorialogs]}
    metrics: {receivers: [otlp, otlp/tcp], exporters: [otlp_http/prometheus]}
"""
PROMETHEUS = """
global: {scrape_interval: 1h}
otlp: {promote_resource_attributes: [service.name]}
storage: {tsdb: {out_of_order_time_window: 10m}}
"""
COUNTER_OF_COLLECTOR = re.compile(
    r"(otelcol_\w+?)(?:_total|__[a-z_]+_total)?(?:\{.*\})? ([0-9.e+]+)$"
)


def get(url: str, **parameters: str | float) -> str:
    if parameters:
        url += "?" + urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def wait_until_ready(name: str, is_ready: Callable[[], object], seconds: int = 60) -> None:
    for _ in range(seconds * 10):
        try:
            if is_ready():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(name + " did not become ready")


class Peers:
    """Starts and stops the programs of one run of the scenarios, which tests/e2e/peers.sh built
    in `folder`. The World owns it and ends its processes."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.runs = 0
        names = ("victorialogs", "prometheus", "grpc", "http", "telemetry")
        self.ports = {name: free_port() for name in names}
        self.store = VictoriaLogs(self.url("victorialogs"))
        self.prometheus = self.url("prometheus")

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self, w: World) -> None:
        self.w, self.socket = w, os.path.join(w.dir, "collector.sock")
        self.start_store()
        self.start_prometheus()
        self.start_collector()

    def spawn(self, name: str, argv: list[str]) -> None:
        with open(os.path.join(self.w.dir, name + ".log"), "ab") as log:
            self.running[name] = subprocess.Popen(argv, stdout=log, stderr=log)
        self.w.residents.append(self.running[name])

    def stop(self, name: str) -> None:
        child = self.running.pop(name)
        child.terminate()
        child.wait(timeout=60)
        self.w.residents.remove(child)

    def start_store(self) -> None:
        binary, folder = self.folder + "/victoria-logs", os.path.join(self.w.dir, "victorialogs")
        self.spawn(
            "victoria-logs", VictoriaLogs.command(binary, self.ports["victorialogs"], folder)
        )
        wait_until_ready("VictoriaLogs", self.store.is_ready)

    def stop_store(self) -> None:
        self.stop("victoria-logs")

    def start_prometheus(self) -> None:
        config = os.path.join(self.w.dir, "prometheus.yaml")
        with open(config, "w") as f:
            f.write(PROMETHEUS)
        self.spawn(
            "prometheus",
            [
                self.folder + "/prometheus",
                "--config.file",
                config,
                "--storage.tsdb.path",
                os.path.join(self.w.dir, "prometheus"),
                "--web.listen-address",
                f"127.0.0.1:{self.ports['prometheus']}",
                "--web.enable-otlp-receiver",
                "--log.level=warn",
            ],
        )
        wait_until_ready("Prometheus", lambda: get(self.prometheus + "/-/ready"))

    def start_collector(self) -> None:
        config = os.path.join(self.w.dir, "collector.yaml")
        values = {
            **self.ports,
            "socket": self.socket,
            "logs_endpoint": self.store.logs_endpoint,
        }
        with open(config, "w") as f:
            f.write(COLLECTOR % values)
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.spawn("otelcol", [self.folder + "/otelcol", "--config", config])
        wait_until_ready(
            "the Collector", lambda: os.path.exists(self.socket) and self.collector_counts()
        )

    def new_run(self) -> tuple[str, dict[str, str]]:
        """A new service name, by which the records of one run of sandpiper can be found, and the
        environment that sends them to the Collector."""
        self.runs += 1
        name = f"run-{self.runs}"
        return name, {
            "OTEL_SERVICE_NAME": name,
            "OTEL_EXPORTER_OTLP_ENDPOINT": "unix://" + self.socket,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "OTEL_BLRP_MAX_QUEUE_SIZE": "100000",
            "SANDPIPER_FLUSH_TIMEOUT_MS": "60000",
        }

    def direct(self, **more: str) -> dict[str, str]:
        """The environment that sends to VictoriaLogs and Prometheus without the Collector."""
        return {
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": self.store.logs_endpoint,
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": self.prometheus + "/api/v1/otlp/v1/metrics",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            "SANDPIPER_FLUSH_TIMEOUT_MS": "30000",
            "SANDPIPER_WINDOW_S": "1",
            "SANDPIPER_LOG_LEVEL": "info",
            **more,
        }

    def query_prometheus(self, promql: str, **range_: float) -> list[Any]:
        """The result of a query now or, with start, end and step, over a range."""
        path = "/api/v1/query_range" if range_ else "/api/v1/query"
        answer = json.loads(get(self.prometheus + path, query=promql, **range_))
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def collector_counts(self) -> dict[str, float]:
        """{metric of the Collector: sum over its series} since it started."""
        sums: dict[str, float] = {}
        page = get(self.url("telemetry") + "/metrics")
        for line in page.splitlines():
            if found := COUNTER_OF_COLLECTOR.match(line):
                sums[found[1]] = sums.get(found[1], 0) + float(found[2])
        return sums


def peers_of(w: World) -> Peers:
    """The peers of this run; without them the scenario is skipped."""
    if not w.peers:
        raise Skip("needs the servers that tests/run.sh e2e starts")
    return w.peers


class RunOutput:
    """The records and metrics that one run of sandpiper wrote to its files."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.metrics: dict[str, list[Event]] | None = None

    def add(self, events: list[Event], metrics: dict[str, list[Event]] | None = None) -> None:
        self.events += events
        self.metrics = metrics

    def check(self, peers: Peers, name: str) -> None:
        """Asserts that the peers received the same for the service `name`."""
        same_records(self.events, peers.store.records(name))
        if self.metrics is not None:
            same_metrics(self.metrics, last_values(peers, name))
