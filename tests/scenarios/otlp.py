# SPDX-License-Identifier: Apache-2.0
"""OTLP export: a receiver gets what sandpiper wrote to the record file and the metrics file, over
HTTP and gRPC."""

from __future__ import annotations

import email.utils
import os
import subprocess
import time
from typing import TYPE_CHECKING

from checks import check_complete
from otlp_receiver import (
    ACTIONS,
    Certificates,
    GrpcSink,
    HttpSink,
    check_logs,
    check_metrics,
    common_env,
    logs_only,
    of_signal,
    over_grpc,
    run_in_host_network,
)
from registry import scenario

if TYPE_CHECKING:
    from world import World

TAGS = ("userspace",)


@scenario()
def http_protobuf(w: World) -> None:
    sink = HttpSink()
    env = common_env(
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.url + "/base", OTEL_EXPORTER_OTLP_HEADERS="x-tenant=t%201"
    )
    result = run_in_host_network(w, ACTIONS, env)
    check_complete(result)
    assert sink.paths() == {"/base/v1/logs", "/base/v1/metrics"}
    for _, headers, _ in sink.posts:
        assert headers["Content-Type"] == "application/x-protobuf", headers
        assert headers["x-tenant"] == "t 1", headers
        assert "sandpiper/" in headers["User-Agent"], headers
    check_logs(result, sink.requests(w, "logs"))
    check_metrics(result, sink.requests(w, "metrics"))


@scenario()
def http_endpoint_for_each_signal(w: World) -> None:
    logs, metrics = HttpSink(status=204), HttpSink()
    env = common_env(
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=logs.url + "/otlp/v1/logs",
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=metrics.url + "/api/v1/otlp/v1/metrics",
    )
    result = run_in_host_network(w, ACTIONS, env)
    assert logs.paths() == {"/otlp/v1/logs"}
    assert metrics.paths() == {"/api/v1/otlp/v1/metrics"}
    check_logs(result, logs.requests(w, "logs"))
    check_metrics(result, metrics.requests(w, "metrics"))
    assert not result.stderr, result.stderr


@scenario()
def grpc(w: World) -> None:
    sink = GrpcSink(w)
    env = over_grpc(sink.url, OTEL_EXPORTER_OTLP_HEADERS="X-Tenant=t%201")
    result = run_in_host_network(w, ACTIONS, env)
    requests = sink.stop()
    check_complete(result)
    for request in requests:
        metadata = request["metadata"]
        assert metadata["x-tenant"] == "t 1", metadata
        assert "sandpiper/" in metadata["user-agent"], metadata
    check_logs(result, of_signal(requests, "logs"))
    check_metrics(result, of_signal(requests, "metrics"))


@scenario()
def unavailable_endpoint_gets_the_same_request_again(w: World) -> None:
    http = HttpSink(failures=2)
    result = run_in_host_network(w, ACTIONS, common_env(OTEL_EXPORTER_OTLP_ENDPOINT=http.url))
    check_logs(result, http.requests(w, "logs"))
    grpc_sink = GrpcSink(w, "--codes", "14,14")
    result = run_in_host_network(w, ACTIONS, over_grpc(grpc_sink.url))
    check_logs(result, grpc_sink.stop_with_logs())


@scenario()
def gzip_compression(w: World) -> None:
    gzip = {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    http = HttpSink()
    env = common_env(OTEL_EXPORTER_OTLP_ENDPOINT=http.url, **gzip)
    result = run_in_host_network(w, ACTIONS, env)
    assert all(headers["Content-Encoding"] == "gzip" for _, headers, _ in http.posts)
    check_logs(result, http.requests(w, "logs"))
    check_metrics(result, http.requests(w, "metrics"))
    grpc_sink = GrpcSink(w)
    result = run_in_host_network(w, ACTIONS, over_grpc(grpc_sink.url, **gzip))
    requests = grpc_sink.stop()
    check_logs(result, of_signal(requests, "logs"))
    check_metrics(result, of_signal(requests, "metrics"))


def date_in_four_seconds() -> str:
    return email.utils.formatdate(time.time() + 4, usegmt=True)


@scenario()
def retry_after_is_respected(w: World) -> None:
    """In seconds and as a date: the next attempt comes no earlier."""
    for value in ("3", date_in_four_seconds):
        for status in (429, 503):
            sink = HttpSink(failures=1, failure=(status, {"Retry-After": value}))
            result = run_in_host_network(w, ACTIONS, logs_only(sink.url))
            check_logs(result, sink.requests(w, "logs"))
            first, second = sink.times[:2]
            # A date has whole seconds.
            assert second - first >= 2.9, (status, second - first)


@scenario()
def too_large_request_is_split(w: World) -> None:
    """The endpoint answers 413 for a body of more than 2,000 bytes."""
    sink = HttpSink(body_max=2000)
    result = run_in_host_network(w, ACTIONS, logs_only(sink.url))
    assert len(sink.posts) > 3
    check_logs(result, sink.requests(w, "logs"))
    assert not result.stderr, result.stderr


@scenario()
def tls_with_certificates_on_both_sides(w: World) -> None:
    trusted, other = Certificates(w.dir + "/tls"), Certificates(w.dir + "/tls2")
    http = HttpSink(tls=trusted.server_context())
    env = trusted.client_env(OTEL_EXPORTER_OTLP_ENDPOINT=http.url)
    result = run_in_host_network(w, ACTIONS, env)
    check_logs(result, http.requests(w, "logs"))
    grpc_sink = GrpcSink(w, *trusted.grpc_options())
    env = trusted.client_env(
        OTEL_EXPORTER_OTLP_ENDPOINT=grpc_sink.url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc"
    )
    result = run_in_host_network(w, ACTIONS, env)
    check_logs(result, grpc_sink.stop_with_logs())
    # Both servers reject a client with a certificate of another CA. The client does not fall back
    # to a connection without encryption.
    http.posts.clear()
    grpc_sink = GrpcSink(w, *trusted.grpc_options())
    for endpoint in (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": http.url},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": grpc_sink.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ):
        env = other.client_env(ca=trusted, **endpoint)
        env["SANDPIPER_FLUSH_TIMEOUT_MS"] = "1000"
        result = run_in_host_network(w, ACTIONS, env)
        lost = f"{len(result.events)} log records were not exported"
        assert lost in result.stderr, result.stderr
    assert not http.posts and not grpc_sink.stop()


@scenario()
def unreachable_endpoint_is_reported_at_the_end(w: World) -> None:
    env = common_env(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        OTEL_EXPORTER_OTLP_TIMEOUT="500",
        SANDPIPER_FLUSH_TIMEOUT_MS="1000",
    )
    result = run_in_host_network(w, ACTIONS, env)
    assert result.status == 0
    check_complete(result)
    lost = f"{len(result.events)} log records were not exported"
    assert lost in result.stderr, result.stderr


@scenario()
def rejected_request_is_not_sent_again(w: World) -> None:
    sink = HttpSink(status=400)
    result = run_in_host_network(w, ACTIONS, common_env(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url))
    check_complete(result)
    bodies = [body for path, _, body in sink.posts if path.endswith("logs")]
    assert len(bodies) == len(set(bodies)), "a rejected batch was sent again"
    assert f"{len(result.events)} refused" in result.stderr, result.stderr
    assert "HTTP status 400" in result.stderr, result.stderr


@scenario()
def missing_libcurl_affects_http_only(w: World) -> None:
    """libcurl is loaded at the first use of HTTP. Without it, a start with HTTP fails and says so;
    an exporter over gRPC works, and so does a run without an exporter."""
    folder = os.path.join(w.dir, "broken")
    os.mkdir(folder)
    with open(folder + "/libcurl.so.4", "w"):
        pass

    def run(**env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [w.sandpiper, "exec", "--report", os.devnull, "--", "true"],
            capture_output=True,
            env={
                **os.environ,
                "LD_LIBRARY_PATH": folder,
                "OTEL_EXPORTER_OTLP_TIMEOUT": "100",
                **env,
            },
        )

    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    http = run(**endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
    assert http.returncode == 125, http
    assert b"HTTP needs libcurl" in http.stderr and b"libcurl.so.4" in http.stderr, http
    for other in (run(**endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="grpc"), run()):
        assert other.returncode == 0 and b"libcurl" not in other.stderr, other


@scenario()
def invalid_variables_are_warnings(w: World) -> None:
    env = {"OTEL_SDK_DISABLED": "maybe", "OTEL_LOGS_EXPORTER": "smoke-signals"}
    result = run_in_host_network(w, "pass", env)
    assert result.status == 0 and result.stderr.count("warning: OTEL_") == 2, result.stderr


@scenario()
def no_metric_attribute_names_a_destination(w: World) -> None:
    """checks.check_catalog() checks the keys of attributes in each scenario; this checks values."""
    result = w.actor(ACTIONS)
    for name, points in result.metrics.items():
        for point in points:
            values = point["attributes"].values()
            assert not any("a.test" in v or "10.77" in v for v in values), (name, point)
