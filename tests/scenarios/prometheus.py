# SPDX-License-Identifier: Apache-2.0
"""Metrics in a real Prometheus, over its OTLP receiver: every one, by the name and labels that docs/metrics.md gives, with the value that it had."""

import json
import os
import re
import subprocess

from attribution import Collector, act
from checks import complete, same
from loki import direct, peers_of
from metrics import wait_for
from otlp import ACT, host_net
from peers import get, last_values, same_metrics
from registry import scenario

TAGS = ("peers", "userspace")


def check_buckets(got):
    """Every histogram has the bounds of the contract, and each bucket holds those before it."""
    series = {}
    for (name, labels), value in got.items():
        if name.endswith("_bucket"):
            rest = tuple((k, v) for k, v in labels if k != "le")
            series.setdefault((name, rest), []).append((float(dict(labels)["le"]), value))
    assert series
    for (name, _), buckets in series.items():
        buckets.sort()
        counts = [count for _, count in buckets]
        assert counts == sorted(counts), (name, buckets)
        want = {
            0.005,
            0.01,
            0.025,
            0.05,
            0.075,
            0.1,
            0.25,
            0.5,
            0.75,
            1,
            2.5,
            5,
            7.5,
            10,
            float("inf"),
        }
        assert {bound for bound, _ in buckets} - {0.0005, 0.001, 0.0025} == want, (name, buckets)


@scenario()
def every_metric_has_its_name_labels_and_value(w):
    peers = peers_of(w)
    r = host_net(w, ACT, direct(peers, OTEL_SERVICE_NAME="by-name"))
    complete(r)
    assert not r.stderr, r.stderr
    got = last_values(peers, "by-name")
    same_metrics(r.metrics, got)
    check_buckets(got)
    # Of what the catalog has, what this sandbox could have.
    told = {re.sub(r"_(count|sum|bucket)$", "", n) for n, _ in got}
    assert len(told) > 25, told


@scenario()
def one_point_that_prometheus_refuses_costs_one(w):
    """It answers 400 for a request with one of delta temporality in it, and takes nothing of the request."""
    peers = peers_of(w)
    sender = os.path.join(os.path.dirname(w.sink), "metric_sender")
    done = subprocess.run(
        [sender, peers.prometheus + "/api/v1/otlp/v1/metrics", "1000", "500"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "sent 998 refused 2\n", (done.stdout, done.stderr)
    result = json.loads(get(peers.prometheus + "/api/v1/query", query="test_number_total"))["data"][
        "result"
    ]
    same(
        "points",
        [(s["metric"]["i"], float(s["value"][1])) for s in result],
        [(str(i), i) for i in range(1000) if (i + 1) % 500],
    )


@scenario()
def series_end_with_their_sandbox(w):
    peers = peers_of(w)
    gone, stays = w.new_cgroup("prom-gone"), w.new_cgroup("prom-stays")
    c = Collector(
        w, [gone + "=gone", stays + "=stays"], env=direct(peers, OTEL_SERVICE_NAME="ends")
    )

    def now():
        result = json.loads(
            get(peers.prometheus + "/api/v1/query", query='sandbox_process_execs_total{job="ends"}')
        )["data"]["result"]
        return {s["metric"]["sandbox_id"]: float(s["value"][1]) for s in result}

    truth = act(w, gone, "actor.run(['true']); actor.run(['true'])")
    act(w, stays, "actor.run(['true'])")
    # nsenter, unshare, sh, mount and the interpreter bring the actor where it acts.
    execs = 5 + len(truth["execs"])
    wait_for(lambda: now() == {"gone": execs, "stays": 6})
    os.rmdir(gone)
    wait_for(lambda: set(now()) == {"stays"})
    last = {
        dict(labels)["sandbox_id"]: v
        for (name, labels), v in last_values(peers, "ends").items()
        if name == "sandbox_process_execs_total"
    }
    assert last == {"gone": execs, "stays": 6}, last
    c.stop()
