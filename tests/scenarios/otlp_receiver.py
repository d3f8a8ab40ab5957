# SPDX-License-Identifier: Apache-2.0
"""Receivers of OTLP over HTTP and gRPC that keep what they receive, and comparisons of it with the
files that sandpiper wrote in the same run."""

from __future__ import annotations

import gzip
import http.server
import json
import os
import socketserver
import ssl
import subprocess
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from checks import check_same
from scrape import free_port
from world import HERE, PYTHON

if TYPE_CHECKING:
    from world import Result, World

# Lookups, connections, and a program with an argument that is no UTF-8.
ACTIONS = """
    _, ips = actor.lookup("a.test", "A")
    actor.lookup("a.test", "AAAA")
    actor.tcp(ips[0], name="a.test")
    actor.tcp("10.77.0.3", port=1)
    actor.run(["printf", "\\xff\\n"])
"""
# Metrics of the host and of sandpiper itself, which change between two readings.
CHANGING_METRICS = ("egress.system.", "process.", "otel.sdk.")
# opentelemetry.proto.metrics.v1.AggregationTemporality
DELTA, CUMULATIVE = 1, 2

Message = dict[str, Any]


def value_of(any_value: Message) -> Any:
    """An AnyValue of protobuf's JSON form as a Python value."""
    if "arrayValue" in any_value:
        return [value_of(x) for x in any_value["arrayValue"].get("values", [])]
    ((kind, value),) = any_value.items()
    return int(value) if kind == "intValue" else value


def attributes(message: Message) -> Message:
    """The attributes of a record, point or resource. No key may occur twice."""
    pairs = [(a["key"], value_of(a["value"])) for a in message.get("attributes", [])]
    assert len(dict(pairs)) == len(pairs), f"duplicate key in {pairs}"
    return dict(pairs)


def records(requests: Iterable[Message]) -> list[tuple[Message, Message]]:
    """(log record, attributes of its resource) of every record in these requests."""
    return [
        (record, attributes(resource["resource"]))
        for request in requests
        for resource in request["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]


def metrics_of(requests: Iterable[Message]) -> Iterator[Message]:
    """Every metric in these requests, in their order."""
    for request in requests:
        for resource in request["resourceMetrics"]:
            for scope in resource["scopeMetrics"]:
                yield from scope["metrics"]


def count(requests: Iterable[Message]) -> int:
    """The number of log records in these requests."""
    return len(records(requests))


def check_logs(result: Result, requests: Iterable[Message]) -> None:
    """Asserts that the requests have every record of the file, once, with the same fields."""
    received = records(requests)
    assert len(received) == len(result.events), (len(received), len(result.events))
    for (record, resource), event in zip(received, result.events, strict=True):
        event = dict(event)
        event.pop("ts")
        assert record["severityText"] == event.pop("level").upper()
        assert record["body"]["stringValue"] == event.pop("msg")
        assert record["eventName"] == event["opensandbox.event"]
        assert int(record["timeUnixNano"]) > 0
        assert int(record["observedTimeUnixNano"]) > 0
        assert attributes(record) == event, (attributes(record), event)
        assert resource["service.name"] == "probe" and resource["team"] == "red", resource
        assert resource["service.version"], resource
        assert "sandbox_id" not in resource


def check_metrics(result: Result, requests: Iterable[Message]) -> None:
    """Asserts that the last values equal the metrics file, and that every series starts once and
    never decreases."""
    series: dict[tuple[str, Any], tuple[float, str]] = {}
    for metric in metrics_of(requests):
        data = metric.get("sum") or metric.get("gauge") or metric["histogram"]
        if "gauge" not in metric:
            assert data["aggregationTemporality"] == CUMULATIVE, metric
        for point in data["dataPoints"]:
            key = (metric["name"], tuple(sorted(attributes(point).items())))
            number = float(point.get("asInt", point.get("asDouble", point.get("count", 0))))
            start = point["startTimeUnixNano"]
            if key in series and (metric.get("sum") or {}).get("isMonotonic"):
                assert number >= series[key][0] and start == series[key][1], key
            series[key] = (number, start)
    want = {
        (name, tuple(sorted(p["attributes"].items()))): float(p.get("value", p.get("count")))
        for name, points in result.metrics.items()
        if not name.startswith(CHANGING_METRICS)
        for p in points
    }
    got = [(k, n) for k, (n, _) in series.items() if not k[0].startswith(CHANGING_METRICS)]
    check_same("series", got, list(want.items()))
    assert {
        "egress.system.cpu.utilization",
        "egress.system.memory.usage_bytes",
        "process.cpu.time",
        "otel.sdk.exporter.log.exported",
    } <= {name for name, _ in series}


def common_env(**more: str) -> dict[str, str]:
    """The environment of exporters in these scenarios, without their endpoint."""
    return {
        "OTEL_SERVICE_NAME": "probe",
        "OTEL_RESOURCE_ATTRIBUTES": "team=red",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
        "SANDPIPER_FLUSH_TIMEOUT_MS": "60000",
        **more,
    }


def logs_only(url: str, **more: str) -> dict[str, str]:
    """The environment that exports log records over HTTP, and no metrics."""
    return common_env(
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=url + "/v1/logs", OTEL_METRICS_EXPORTER="none", **more
    )


def over_grpc(url: str, **more: str) -> dict[str, str]:
    """The environment that exports log records and metrics over gRPC."""
    return common_env(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc", **more)


Handler = type[http.server.BaseHTTPRequestHandler]


def serve(
    handler: Handler,
    address: Any = ("127.0.0.1", 0),
    kind: Callable[[Any, Handler], Any] = http.server.ThreadingHTTPServer,
) -> Any:
    """Starts an HTTP server on its own thread, and returns the server."""
    server: socketserver.BaseServer = kind(address, handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class HttpSink:
    """An HTTP server that keeps what is posted to it.

    It does not keep the first `failures` requests and answers them with `failure`, (status,
    headers). A header's value may be a function. A body of more than `body_max` bytes gets 413."""

    def __init__(
        self,
        failures: int = 0,
        status: int = 200,
        failure: tuple[int, dict[str, str | Callable[[], str]]] = (503, {}),
        tls: ssl.SSLContext | None = None,
        body_max: int | None = None,
    ) -> None:
        sink = self
        self.posts: list[tuple[str, dict[str, str], bytes]] = []  # path, headers, body
        self.times: list[float] = []  # of every request, on the monotonic clock
        self.failures = failures

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                sink.times.append(time.monotonic())
                if sink.failures > 0:
                    sink.failures -= 1
                    self.send_response(failure[0])
                    for key, value in failure[1].items():
                        self.send_header(key, value() if callable(value) else value)
                elif body_max and len(body) > body_max:
                    self.send_response(413)
                else:
                    sink.posts.append((self.path, dict(self.headers), body))
                    self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = serve(Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_address[1]}"

    def paths(self) -> set[str]:
        return {path for path, _, _ in self.posts}

    def requests(self, w: World, signal: str) -> list[Message]:
        """The decoded requests of a signal, "logs" or "metrics"."""
        return [decode(w, signal, body) for path, _, body in self.posts if path.endswith(signal)]


def decode(w: World, signal: str, body: bytes) -> Message:
    """A request of this signal in protobuf's JSON form."""
    done = subprocess.run([w.sink, signal], input=body, capture_output=True, check=True)
    return json.loads(done.stdout)


class GrpcSink:
    """A gRPC server of OTLP, tests/e2e/otlp_sink.cc, with its options. It ends with the scenario
    or with stop(), which returns what it received."""

    def __init__(self, w: World, *options: str, port: int = 0, address: str = "127.0.0.1") -> None:
        self.w = w
        self.port = port or free_port()
        command = [w.sink, "grpc", str(self.port), "--address", address, *options]
        self.process = w.start(command, ready="ready")
        scheme = "https" if "--tls" in options else "http"
        self.url = f"{scheme}://{address}:{self.port}"

    def stop(self) -> list[Message]:
        """Every request: its metadata and "logs" or "metrics"."""
        return [json.loads(line) for line in self.w.stop(self.process).splitlines()]

    def stop_with_logs(self) -> list[Message]:
        """The requests of log records that it accepted."""
        return of_signal(self.stop(), "logs")


def of_signal(requests: list[Message], signal: str) -> list[Message]:
    """The requests of one signal among those that GrpcSink.stop() returned."""
    return [request[signal] for request in requests if signal in request]


def run_in_host_network(
    w: World, code: str, env: dict[str, str], options: Sequence[str] = ()
) -> Result:
    """Like w.actor(), but sandpiper runs in the host's network, where the receivers are. Only the
    actor enters the sandbox's network."""
    script = f"""
import ctypes, os, sys
fd = os.open('/run/netns/{w.client}', os.O_RDONLY)
assert ctypes.CDLL(None, use_errno=True).setns(fd, 0) == 0
sys.path.insert(0, {HERE!r})
import actor
{textwrap.dedent(code)}
actor.print_truth()
"""
    in_sandbox_net = w.in_sandbox_net
    w.in_sandbox_net = lambda argv: argv
    try:
        return w.exec([PYTHON, "-c", script], options, env)
    finally:
        w.in_sandbox_net = in_sandbox_net


class Certificates:
    """A CA in a folder, and certificates that it signed for "server" and "client"."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "san"), "w") as f:
            f.write("subjectAltName=IP:127.0.0.1")
        self._openssl("req -x509", *self._new_key("ca"), "-out ca.pem -days 1")
        for name in ("server", "client"):
            self._openssl("req", *self._new_key(name), f"-out {name}.csr")
            self.sign(name, days=1)

    def sign(self, name: str, days: int) -> None:
        """Writes a certificate that expires after so many days."""
        self._openssl(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial",
            f"-out {name}.pem -days {days} -extfile san",
        )

    def pem(self, name: str) -> str:
        return os.path.join(self.folder, name + ".pem")

    def key(self, name: str) -> str:
        return os.path.join(self.folder, name + ".key")

    def server_context(self) -> ssl.SSLContext:
        """A server that accepts clients of this CA only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem("server"), self.key("server"))
        context.load_verify_locations(self.pem("ca"))
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def grpc_options(self) -> tuple[str, ...]:
        """Options of a GrpcSink that accepts clients of this CA only."""
        return "--tls", self.pem("server"), self.key("server"), self.pem("ca")

    def client_env(self, ca: Certificates | None = None, **more: str) -> dict[str, str]:
        """The environment of a client of this CA that trusts the servers of `ca`."""
        return common_env(
            OTEL_EXPORTER_OTLP_CERTIFICATE=(ca or self).pem("ca"),
            OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=self.pem("client"),
            OTEL_EXPORTER_OTLP_CLIENT_KEY=self.key("client"),
            **more,
        )

    def _new_key(self, name: str) -> tuple[str, ...]:
        return (
            "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes",
            f"-keyout {name}.key -subj /CN={name}",
        )

    def _openssl(self, *arguments: str) -> None:
        command = ["openssl", *" ".join(arguments).split()]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
