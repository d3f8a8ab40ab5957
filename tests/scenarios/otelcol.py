# SPDX-License-Identifier: Apache-2.0
"""A real OpenTelemetry Collector takes every request, over each transport, and refuses none."""

import os
import subprocess

from checks import complete
from loki import peers_of
from otlp import ACT, host_net
from peers import same_records
from registry import scenario
from world import HERE

TAGS = ("peers", "userspace")


@scenario()
def the_example_configuration_is_valid(w):
    peers = peers_of(w)
    config = os.path.join(HERE, "../../deploy/otelcol/config.yaml")
    done = subprocess.run(
        [peers.folder + "/otelcol", "validate", "--config", config],
        capture_output=True,
        timeout=60,
        env={**os.environ, "LOKI": peers.loki, "PROMETHEUS": peers.prometheus},
    )
    assert done.returncode == 0, done.stderr


@scenario()
def takes_every_request(w):
    peers = peers_of(w)
    ways = {
        "grpc": {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:%(grpc)d" % peers.ports,
        },
        "grpc-gzip": {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:%(grpc)d" % peers.ports,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        },
        "grpc-unix": {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "unix://" + peers.socket,
        },
        "http": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:%(http)d" % peers.ports},
        "http-gzip": {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:%(http)d" % peers.ports,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        },
    }
    for way, env in ways.items():
        before = peers.collector_counts()
        r = host_net(
            w,
            ACT,
            {
                **env,
                "OTEL_SERVICE_NAME": way,
                "OTEL_METRIC_EXPORT_INTERVAL": "200",
                "OTEL_BLRP_SCHEDULE_DELAY": "50",
                "SANDPIPER_FLUSH_TIMEOUT_MS": "60000",
            },
        )
        complete(r)
        assert not r.stderr, (way, r.stderr)
        after = peers.collector_counts()

        def more(name):
            return after.get(name, 0) - before.get(name, 0)

        assert more("otelcol_receiver_accepted_log_records") == len(r.events), (way, before, after)
        assert more("otelcol_receiver_accepted_metric_points") >= sum(
            map(len, r.metrics.values())
        ), (way, before, after)
        refused = {k: more(k) for k in after if ("refused" in k or "failed" in k) and more(k)}
        assert not refused, (way, refused)
        same_records(r.events, peers.entries('{service_name="%s"}' % way))
