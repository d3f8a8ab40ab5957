# SPDX-License-Identifier: Apache-2.0
"""Metrics in a real Prometheus, over its OTLP receiver: every series has the name and labels of
docs/metrics.md and its value, and the dashboards' queries find them."""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import time
from typing import TYPE_CHECKING

from attribution import Collector, act
from checks import check_complete, check_same
from dashboards import DEPLOY, panels_of_dashboards
from otlp_receiver import ACTIONS, run_in_host_network
from peer_checks import Series, last_values, same_metrics
from peers import get, peers_of
from polling import wait_for
from questions import run_two_sandboxes
from registry import scenario

if TYPE_CHECKING:
    from world import World

TAGS = ("peers", "userspace")

INFINITY = float("inf")
BOUNDS = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, INFINITY}
SHORT_BOUNDS = {0.0005, 0.001, 0.0025}


def check_buckets(got: dict[Series, float]) -> None:
    """Every histogram has the documented bounds, and each bucket includes those before it."""
    series: dict[Series, list[tuple[float, float]]] = {}
    for (name, labels), value in got.items():
        if name.endswith("_bucket"):
            rest = tuple((k, v) for k, v in labels if k != "le")
            series.setdefault((name, rest), []).append((float(dict(labels)["le"]), value))
    assert series
    for (name, _), buckets in series.items():
        buckets.sort()
        counts = [count for _, count in buckets]
        assert counts == sorted(counts), (name, buckets)
        assert {bound for bound, _ in buckets} - SHORT_BOUNDS == BOUNDS, (name, buckets)


@scenario()
def every_metric_has_its_name_labels_and_value(w: World) -> None:
    peers = peers_of(w)
    result = run_in_host_network(w, ACTIONS, peers.direct(OTEL_SERVICE_NAME="by-name"))
    check_complete(result)
    assert not result.stderr, result.stderr
    got = last_values(peers, "by-name")
    same_metrics(result.metrics, got)
    check_buckets(got)
    names = {re.sub(r"_(count|sum|bucket)$", "", name) for name, _ in got}
    assert len(names) > 25, names


@scenario()
def rejected_point_costs_only_itself(w: World) -> None:
    """Prometheus answers 400 for a request with a point of delta temporality and stores no point
    of it."""
    peers = peers_of(w)
    sender = os.path.join(os.path.dirname(w.sink), "metric_sender")
    done = subprocess.run(
        [sender, peers.prometheus + "/api/v1/otlp/v1/metrics", "1000", "500"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "sent 998 rejected 2\n", (done.stdout, done.stderr)
    result = peers.query_prometheus("test_number_total")
    check_same(
        "points",
        [(s["metric"]["i"], float(s["value"][1])) for s in result],
        [(str(i), i) for i in range(1000) if (i + 1) % 500],
    )


@scenario()
def series_end_with_their_sandbox(w: World) -> None:
    peers = peers_of(w)
    ending, staying = w.new_cgroup("prom-ending"), w.new_cgroup("prom-staying")
    env = peers.direct(OTEL_SERVICE_NAME="ends")
    collector = Collector(w, [ending + "=ending", staying + "=staying"], env=env)

    def execs_now() -> dict[str, float]:
        result = peers.query_prometheus('sandbox_process_execs_total{job="ends"}')
        return {s["metric"]["sandbox_id"]: float(s["value"][1]) for s in result}

    truth = act(w, ending, "actor.run(['true']); actor.run(['true'])")
    act(w, staying, "actor.run(['true'])")
    # nsenter, unshare, sh, mount and the interpreter run before the actor's own programs.
    execs = 5 + len(truth["execs"])
    wait_for(lambda: execs_now() == {"ending": execs, "staying": 6})
    os.rmdir(ending)
    wait_for(lambda: set(execs_now()) == {"staying"})
    last = {
        dict(labels)["sandbox_id"]: value
        for (name, labels), value in last_values(peers, "ends").items()
        if name == "sandbox_process_execs_total"
    }
    assert last == {"ending": execs, "staying": 6}, last
    collector.stop()


@scenario()
def dashboard_panels_have_data(w: World) -> None:
    """Every panel that queries Prometheus has data of two sandboxes, and so has the variable that
    lists them. Panels that query Loki are in loki.py."""
    peers = peers_of(w)
    run_two_sandboxes(w, peers.direct(OTEL_SERVICE_NAME="dashboards"))
    now = time.time()
    period = {"start": now - 600, "end": now}
    panels = panels_of_dashboards("prometheus")
    for title, _, query in panels:
        assert peers.query_prometheus(query, **period, step=1), f"{title} has no data: {query}"
    assert len(panels) > 20
    for path in glob.glob(DEPLOY + "/grafana/*.json"):
        with open(path) as f:
            variables = json.load(f)["templating"]["list"]
        for variable in variables:
            if variable["type"] == "query":
                found = re.match(r"label_values\((\w+), (\w+)\)", variable["definition"])
                assert found, variable
                url = f"{peers.prometheus}/api/v1/label/{found[2]}/values"
                values = json.loads(get(url, **{"match[]": found[1]}, **period))["data"]
                assert {"sb-abc", "sb-xyz"} <= set(values), values
