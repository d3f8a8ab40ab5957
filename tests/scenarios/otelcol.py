# SPDX-License-Identifier: Apache-2.0
"""A real OpenTelemetry Collector accepts every request over each transport and rejects none."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from checks import check_complete
from otlp_receiver import ACTIONS, run_in_host_network
from peer_checks import same_records
from peers import peers_of
from registry import scenario
from world import HERE

if TYPE_CHECKING:
    from world import World

TAGS = ("peers", "userspace")


@scenario()
def example_configuration_is_valid(w: World) -> None:
    peers = peers_of(w)
    config = os.path.join(HERE, "../../deploy/otelcol/config.yaml")
    done = subprocess.run(
        [peers.folder + "/otelcol", "validate", "--config", config],
        capture_output=True,
        timeout=60,
        env={**os.environ, "LOKI": "http://loki:3100", "PROMETHEUS": peers.prometheus},
    )
    assert done.returncode == 0, done.stderr


@scenario()
def accepts_every_request(w: World) -> None:
    peers = peers_of(w)
    grpc = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": peers.url("grpc"),
    }
    http = {"OTEL_EXPORTER_OTLP_ENDPOINT": peers.url("http")}
    gzip = {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    transports = {
        "grpc": grpc,
        "grpc-gzip": {**grpc, **gzip},
        "grpc-unix": {**grpc, "OTEL_EXPORTER_OTLP_ENDPOINT": "unix://" + peers.socket},
        "http": http,
        "http-gzip": {**http, **gzip},
    }
    for name, env in transports.items():
        before = peers.collector_counts()
        result = run_in_host_network(
            w,
            ACTIONS,
            {
                **env,
                "OTEL_SERVICE_NAME": name,
                "OTEL_METRIC_EXPORT_INTERVAL": "200",
                "OTEL_BLRP_SCHEDULE_DELAY": "50",
                "SANDPIPER_FLUSH_TIMEOUT_MS": "60000",
            },
        )
        check_complete(result)
        assert not result.stderr, (name, result.stderr)
        after = peers.collector_counts()
        more = {key: value - before.get(key, 0) for key, value in after.items()}
        points = sum(map(len, result.metrics.values()))
        accepted = more["otelcol_receiver_accepted_log_records"]
        assert accepted == len(result.events), (name, before, after)
        accepted = more["otelcol_receiver_accepted_metric_points"]
        assert accepted >= points, (name, before, after)
        rejected = {k: n for k, n in more.items() if ("refused" in k or "failed" in k) and n}
        assert not rejected, (name, rejected)
        same_records(result.events, peers.store.records(name))
