# SPDX-License-Identifier: Apache-2.0
"""Reads /metrics of a collector, as Prometheus does."""

from __future__ import annotations

import re
import socket
import urllib.request

SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serving(port: int, **more: str) -> dict[str, str]:
    """The environment of a collector that serves /metrics on this port."""
    return {
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
        **more,
    }


def fetch_metrics_page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return answer.read().decode()


class Scrape:
    """The samples of /metrics at one moment."""

    def __init__(self, port: int) -> None:
        self.samples: list[tuple[str, dict[str, str], float]] = []  # name, labels, value
        for line in fetch_metrics_page(port).splitlines():
            if line and not line.startswith("#"):
                found = SAMPLE.match(line)
                assert found, line
                name, labels, value = found.groups()
                self.samples.append((name, dict(LABEL.findall(labels or "")), float(value)))

    def sum(self, name: str, **labels: str) -> float:
        """The sum over all series of a metric with these labels."""
        return sum(v for n, own, v in self.samples if n == name and labels.items() <= own.items())

    def by(self, name: str, *keys: str, **labels: str) -> dict[tuple[str | None, ...], float]:
        """{values of the labels `keys`: sum} over the series of a metric with `labels`."""
        out: dict[tuple[str | None, ...], float] = {}
        for n, own, value in self.samples:
            if n == name and labels.items() <= own.items():
                key = tuple(own.get(k) for k in keys)
                out[key] = out.get(key, 0) + value
        return out

    def account(self, sandbox: str) -> dict[str | None, tuple[float, ...]]:
        """{kind of event: (produced, delivered, dropped)} of a sandbox."""
        counts = [
            self.by(f"sandpiper_events_{state}_total", "kind", sandbox_id=sandbox)
            for state in ("produced", "delivered", "dropped")
        ]
        return {kind: tuple(c.get((kind,), 0) for c in counts) for (kind,) in set().union(*counts)}
