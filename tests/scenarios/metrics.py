# SPDX-License-Identifier: Apache-2.0
"""Exported metrics: the sums that a receiver computes equal the real counts, for every temporality
and aggregation, and across ends of sandboxes, overflows and steps of the clock."""

from __future__ import annotations

import os
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attribution import Collector, act
from otlp_receiver import (
    ACTIONS,
    CHANGING_METRICS,
    CUMULATIVE,
    DELTA,
    HttpSink,
    Message,
    attributes,
    common_env,
    metrics_of,
    run_in_host_network,
)
from polling import wait_for
from registry import Skip, scenario
from scrape import Scrape, fetch_metrics_page, free_port, serving

if TYPE_CHECKING:
    from world import World

# The point's flag that its series ended.
NO_RECORDED_VALUE = 1
PREFIXES = (
    "egress_",
    "sandbox_",
    "sandpiper_",
    "process_",
    "otel_",
    "exposer_",
    "target_info",
)
# promtool's complaint about names that the contract prescribes.
KNOWN_COMPLAINT = 'non-histogram and non-summary metrics should not have "_count" suffix'
ALWAYS_EXPORTED = (
    "sandbox.dns.queries",
    "sandbox.connect.attempts",
    "sandpiper.events.produced",
)


def points(w: World, sink: HttpSink) -> Iterator[tuple[str, int | None, Message, Message]]:
    """(metric, temporality, attributes, point) of all requests, in their order."""
    for metric in metrics_of(sink.requests(w, "metrics")):
        (kind,) = {"sum", "gauge", "histogram", "exponentialHistogram"} & set(metric)
        data = metric[kind]
        for point in data.get("dataPoints", []):
            temporality = data.get("aggregationTemporality")
            yield metric["name"], temporality, attributes(point), point


def scrape_when(port: int, metric: str, value: float) -> Scrape:
    """Scrapes until the sum over a metric's series has this value."""

    def scrape() -> Scrape | None:
        found = Scrape(port)
        return found if found.sum(metric) == value else None

    return wait_for(scrape)


@scenario("userspace")
def prometheus_endpoint_is_valid(w: World) -> None:
    if subprocess.run(["which", "promtool"], capture_output=True).returncode:
        raise Skip("there is no promtool: deploy/setup.sh --with-runtimes installs it")
    cgroup, port = w.new_cgroup("prom"), free_port()
    env = serving(port, OPENSANDBOX_EGRESS_METRICS_EXTRA_ATTRS="team=red")
    collector = Collector(w, [cgroup + '=p"r\\om'], env=env)
    act(w, cgroup, textwrap.dedent(ACTIONS))
    wait_for(lambda: Scrape(port).sum("sandbox_process_exits_total") >= 3)
    s = Scrape(port)
    assert s.by("sandbox_dns_queries_total", "outcome", "network_transport") == {("ok", "udp"): 2}
    attempts = s.by("sandbox_connect_attempts_total", "outcome")
    assert attempts == {("established",): 1, ("refused",): 1}
    assert s.sum("egress_dns_query_duration_seconds_count") == 2
    assert s.sum("egress_dns_query_duration_seconds_bucket", le="+Inf") == 2
    ids = {own["sandbox_id"] for n, own, _ in s.samples if n == "sandbox_dns_queries_total"}
    assert ids == {'p\\"r\\\\\\\\om'}, ids
    for name, labels, _ in s.samples:
        if not name.startswith(("exposer_", "target_info")):
            assert labels["team"] == "red", (name, labels)
    page = fetch_metrics_page(port)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True
    )
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if line]
    # Status 3: the page can be read, but promtool would choose other names.
    assert done.returncode in (0, 3), complaints
    complaints = [line for line in complaints if not line.endswith(KNOWN_COMPLAINT)]
    assert not complaints, complaints
    names = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}
    unknown = [name for name in names if not name.startswith(PREFIXES)]
    assert not unknown, unknown
    collector.stop()


@scenario("userspace")
def disabled_sdk_opens_no_socket(w: World) -> None:
    collector = Collector(
        w,
        [w.new_cgroup("disabled")],
        options=["--socket", ""],
        env={**serving(free_port()), "OTEL_SDK_DISABLED": "true"},
    )
    folder = f"/proc/{collector.process.pid}/fd"
    links = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]
    assert not any(link.startswith("socket:") for link in links), links
    collector.stop()


@scenario("userspace")
def port_in_use_is_an_error(w: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        done = subprocess.run(
            [w.sandpiper, "run", "--cgroup", w.cgroups],
            env={**os.environ, **serving(port)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1, done
    assert str(port) in done.stderr and done.stderr.count("\n") == 1, done.stderr


def add_deltas(w: World, sink: HttpSink) -> dict[tuple[str, Any], float]:
    """{series: sum of its deltas}. Asserts that no two deltas of a series overlap in time."""
    sums: dict[tuple[str, Any], float] = {}
    last_end: dict[tuple[str, Any], int] = {}
    for name, temporality, attrs, point in points(w, sink):
        if name.startswith(CHANGING_METRICS) or temporality is None:
            continue
        key = (name, tuple(sorted(attrs.items())))
        number = float(point.get("asInt", point.get("asDouble", point.get("count", 0))))
        # This sum also decreases, and OTLP has no deltas of such sums.
        if name == "sandbox.connect.active":
            assert temporality == CUMULATIVE
            sums[key] = number
            continue
        assert temporality == DELTA and number > 0, (name, point)
        assert int(point["startTimeUnixNano"]) >= last_end.get(key, 0), "two deltas overlap"
        last_end[key] = int(point["timeUnixNano"])
        sums[key] = sums.get(key, 0) + number
        if "duration" in name:
            buckets = sum(int(b) for b in point["positive"].get("bucketCounts", []))
            assert buckets + int(point.get("zeroCount", 0)) == number, point
    return sums


@scenario("userspace")
def deltas_and_exponential_histograms(w: World) -> None:
    sink = HttpSink()
    histogram = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
    env = common_env(
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
        OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="Delta",
        **{histogram: "base2_exponential_bucket_histogram"},
    )
    code = ACTIONS + "\n    import time; time.sleep(1); actor.lookup('b.test', 'A')"
    result = run_in_host_network(w, code, env)
    sums = add_deltas(w, sink)
    for name, ps in result.metrics.items():
        for p in ps:
            key = (name, tuple(sorted(p["attributes"].items())))
            value = float(p.get("value", p.get("count")))
            if key in sums or (value and name in ALWAYS_EXPORTED):
                assert abs(sums[key] - value) < 1e-6, (key, sums[key], value)
    client = (("leg", "client"), ("sandbox_id", result.report["sandbox_id"]))
    assert sums[("sandbox.dns.duration", client)] == 3


@scenario("userspace")
def series_of_a_reused_name_start_again(w: World) -> None:
    """A sandbox ends, and a new one has its name: its series end and start again."""
    os.makedirs(w.cgroups + "/ends")
    sink = HttpSink()
    env = common_env(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_LOGS_EXPORTER="none")
    collector = Collector(w, [w.cgroups + "/ends/box-*"], env=env)

    def ended_series() -> int:
        return len(
            {
                point["startTimeUnixNano"]
                for name, _, _, point in points(w, sink)
                if name == "sandbox.dns.queries" and point.get("flags") == NO_RECORDED_VALUE
            }
        )

    for lookups in (3, 4):
        before = ended_series()
        cgroup = w.new_cgroup("ends/box-x")
        act(w, cgroup, f"for i in range({lookups}): actor.lookup('t%d.test' % i, 'A')")
        os.rmdir(cgroup)
        wait_for(lambda before=before: ended_series() > before)
    collector.stop()
    by_start: dict[int, list[Message]] = {}
    for name, _, attrs, point in points(w, sink):
        if name == "sandbox.dns.queries" and attrs["sandbox_id"] == "box-x":
            by_start.setdefault(int(point["startTimeUnixNano"]), []).append(point)
    assert len(by_start) == 2, by_start
    for start, lookups in zip(sorted(by_start), (3, 4), strict=True):
        series = by_start[start]
        values = [int(p["asInt"]) for p in series if p.get("flags") != NO_RECORDED_VALUE]
        assert values == sorted(values) and values[-1] == lookups, values
        assert series[-1].get("flags") == NO_RECORDED_VALUE, series[-1]
        assert "asInt" not in series[-1], series[-1]
        assert all(int(p["timeUnixNano"]) >= start for p in series)


@scenario("userspace")
def overflow_series_counts_the_rest(w: World) -> None:
    """Six sandboxes with at most four series of a metric: the last series is the sum of the
    others' sandboxes, and keeps it when they end."""
    cgroups = [w.new_cgroup(f"many{i}") for i in range(6)]
    port = free_port()
    collector = Collector(w, cgroups, options=["--metric-series-max", "4"], env=serving(port))
    for i, cgroup in enumerate(cgroups):
        act(w, cgroup, f"for i in range({i + 1}): actor.lookup('x%d.test' % i, 'A')")
    metric = "sandbox_dns_queries_total"
    s = scrape_when(port, metric, sum(range(1, 7)))
    by_sandbox = s.by(metric, "sandbox_id")
    overflow = s.sum(metric, otel_metric_overflow="true")
    assert len(by_sandbox) == 4, by_sandbox
    assert by_sandbox[(None,)] == overflow > 0, by_sandbox
    for cgroup in cgroups:
        os.rmdir(cgroup)
    s = scrape_when(port, "sandbox_count", 0)
    assert s.sum(metric, otel_metric_overflow="true") == overflow
    collector.stop()


@scenario("userspace")
def without_sandbox_id(w: World) -> None:
    cgroups = [w.new_cgroup(f"n{i}") for i in range(3)]
    port = free_port()
    collector = Collector(w, cgroups, options=["--no-metric-sandbox-id"], env=serving(port))
    for cgroup in cgroups:
        act(w, cgroup, "actor.lookup('n.test', 'A')")
    s = scrape_when(port, "sandbox_dns_queries_total", 3)
    assert s.by("sandbox_dns_queries_total", "outcome") == {("ok",): 3}
    assert not any("sandbox_id" in labels for _, labels, _ in s.samples)
    assert [n for n, _, _ in s.samples].count("sandbox_process_execs_total") == 1
    collector.stop()


@scenario()
def wall_clock_steps(w: World) -> None:
    """The wall clock steps an hour back and two hours forward: the series continue, and the times
    of their points do not decrease."""
    if not w.slow:
        raise Skip("the scenario sets the clock; only guests of the vm tier run it")
    cgroup, sink = w.new_cgroup("clock"), HttpSink()
    collector = Collector(w, [cgroup], env=common_env(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url))
    now = time.time()
    try:
        for step in (0, -3600, 7200):
            time.clock_settime(time.CLOCK_REALTIME, time.time() + step)
            act(w, cgroup, "actor.lookup('c.test', 'A')")
            before = len(sink.posts)
            wait_for(lambda before=before: len(sink.posts) > before + 4)
    finally:
        time.clock_settime(time.CLOCK_REALTIME, time.time() - 3600)
    assert abs(time.time() - now) < 600
    collector.stop()
    last: dict[Any, tuple[int, int, int]] = {}
    for name, _, attrs, point in points(w, sink):
        if name != "sandbox.dns.queries":
            continue
        key = tuple(sorted(attrs.items()))
        at, start = int(point["timeUnixNano"]), int(point["startTimeUnixNano"])
        number = int(point["asInt"])
        if key in last:
            last_at, last_start, last_number = last[key]
            assert at > last_at and start == last_start, (last[key], point)
            assert number >= last_number, (last[key], point)
        last[key] = (at, start, number)
    assert sum(number for _, _, number in last.values()) == 3
