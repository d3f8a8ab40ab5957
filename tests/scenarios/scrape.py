# SPDX-License-Identifier: Apache-2.0
"""Reads /metrics of a collector as Prometheus would."""

import re
import socket
import urllib.request

SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serving(port, **more):
    """The environment of a collector that serves there."""
    return {
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
        **more,
    }


def text(port):
    with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=60) as r:
        return r.read().decode()


class Scrape:
    def __init__(self, port):
        self.samples = []
        for line in text(port).splitlines():
            if line and not line.startswith("#"):
                name, labels, value = SAMPLE.match(line).groups()
                self.samples.append((name, dict(LABEL.findall(labels or "")), float(value)))

    def sum(self, name, **labels):
        return sum(v for n, l, v in self.samples if n == name and labels.items() <= l.items())

    def by(self, name, *keys, **labels):
        out = {}
        for n, l, v in self.samples:
            if n == name and labels.items() <= l.items():
                key = tuple(l.get(k) for k in keys)
                out[key] = out.get(key, 0) + v
        return out

    def account(self, sandbox):
        """{kind: (produced, delivered, dropped)}"""
        names = ["sandpiper_events_%s_total" % n for n in ("produced", "delivered", "dropped")]
        counts = [self.by(n, "kind", sandbox_id=sandbox) for n in names]
        return {kind: tuple(c.get((kind,), 0) for c in counts) for (kind,) in set().union(*counts)}
