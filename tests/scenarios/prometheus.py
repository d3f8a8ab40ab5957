"""Metrics in a real Prometheus, over its OTLP receiver: every one, by the name and labels that docs/metrics.md gives, with the value that it had."""

import json
import os
import re

from attribution import Collector, act
from checks import complete
from loki import direct, peers_of
from metrics import wait_for
from otlp import ACT, host_net
from peers import get, name_in_loki
from registry import scenario
from world import HERE

OWN_LABELS = {"__name__", "job", "instance", "service_name"}


def names():
    """{name in the catalog: name in Prometheus}, of docs/metrics.md."""
    page = open(os.path.join(HERE, "../../docs/metrics.md")).read()
    return dict(re.findall(r"^\| `[^`]+` \| `([^`]+)`<br>`([^`]+)` \|", page, re.M))


def last_values(peers, job):
    """{(name, labels): value} of each series' last sample; stale markers are none."""
    answer = json.loads(get(peers.prometheus + "/api/v1/query", query='{job="%s"}[10m]' % job))
    assert answer["status"] == "success", answer
    return {(s["metric"]["__name__"], tuple(sorted((k, v) for k, v in s["metric"].items() if k not in OWN_LABELS))): float(s["values"][-1][1])
            for s in answer["data"]["result"]}


def expected(metrics):
    """{(name, labels): value} of the file."""
    out = {}
    for name, points in metrics.items():
        for p in points:
            labels = {name_in_loki(k): {True: "true", False: "false"}.get(v, str(v)) if isinstance(v, bool) else str(v) for k, v in p["attributes"].items()}

            def put(suffix, value, **more):
                out[(names()[name] + suffix, tuple(sorted({**labels, **more}.items())))] = float(value)
            if "value" in p:
                put("", p["value"])
                continue
            put("_count", p["count"])
            put("_sum", p["sum"])
            put("_bucket", p["count"], le="+Inf")
    return out


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
        want = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, float("inf")}
        assert {bound for bound, _ in buckets} - {0.0005, 0.001, 0.0025} == want, (name, buckets)


@scenario
def every_metric_has_its_name_labels_and_value(w):
    peers = peers_of(w)
    r = host_net(w, ACT, direct(peers, OTEL_SERVICE_NAME="by-name"))
    complete(r)
    assert not r.stderr, r.stderr
    got, want = last_values(peers, "by-name"), expected(r.metrics)
    moving = tuple(n for k, n in names().items() if k.startswith(("egress.system.", "process.", "otel.sdk.")))
    for key, value in want.items():
        assert key in got, "Prometheus lacks %r; of that name it has %r" % (key, [k for k in got if k[0] == key[0]])
        if not key[0].startswith(moving):
            assert abs(got[key] - value) <= 1e-9 * abs(value), (key, got[key], value)
    check_buckets(got)
    extra = {k for k in got if dict(k[1]).get("le", "+Inf") == "+Inf" and k not in want and k[0] != "target_info" and not k[0].startswith(moving)}
    assert not extra, extra
    # Of what the catalog has, what this sandbox could have.
    told = {re.sub(r"_(count|sum|bucket)$", "", n) for n, _ in got}
    assert len(told) > 25, told


@scenario
def series_end_with_their_sandbox(w):
    peers = peers_of(w)
    gone, stays = w.new_cgroup("gone"), w.new_cgroup("stays")
    c = Collector(w, [gone, stays], env=direct(peers, OTEL_SERVICE_NAME="ends"))

    def now():
        result = json.loads(get(peers.prometheus + "/api/v1/query", query='sandbox_process_execs_total{job="ends"}'))["data"]["result"]
        return {s["metric"]["sandbox_id"]: float(s["value"][1]) for s in result}
    truth = act(w, gone, "actor.run(['true']); actor.run(['true'])")
    act(w, stays, "actor.run(['true'])")
    # nsenter, unshare, sh, mount and the interpreter bring the actor where it acts.
    execs = 5 + len(truth["execs"])
    wait_for(lambda: now() == {"gone": execs, "stays": 6})
    os.rmdir(gone)
    wait_for(lambda: set(now()) == {"stays"})
    last = {dict(labels)["sandbox_id"]: v for (name, labels), v in last_values(peers, "ends").items() if name == "sandbox_process_execs_total"}
    assert last == {"gone": execs, "stays": 6}, last
    c.stop()
