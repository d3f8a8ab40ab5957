# SPDX-License-Identifier: Apache-2.0
"""What docs/querying-loki.md and the dashboards promise: each query, run against a real Loki and Prometheus, tells what the sandboxes did."""

import glob
import ipaddress
import json
import os
import re
import shutil
import time

from attribution import Collector, act
from packaging import documents
from peers import get, same_records
from registry import Skip, scenario
from world import HERE

TAGS = ("peers", "userspace")

PAGE = os.path.join(HERE, "../../docs/querying-loki.md")
DASHBOARDS = os.path.join(HERE, "../../deploy/grafana/*.json")
DENY = "table inet egress { chain out { type filter hook output priority 0; ip daddr 10.77.0.9 tcp dport 443 reject with tcp reset; }; }"

BEFORE = """
actor.lookup("old.test", "A")
_, ips = actor.lookup("a.test", "A")
actor.lookup("a.test", "AAAA")
actor.tcp(ips[0], name="a.test", send=b"x" * 1000)
actor.tcp(ips[0], name="a.test", send=b"x" * 500)
actor.tcp("10.77.0.3", port=1)
for i in range(3):
    actor.tcp("10.77.0.9", port=443)
actor.run(["%(scratch)s"])
"""
AFTER = """
import subprocess
subprocess.run(["nft", "add", "table", "inet", "mine", "{ chain out { type filter hook output priority 1; udp dport 9 drop; }; }"], check=True)
actor.lookup("nx.test", "A")
"""
OTHER = """
actor.lookup("b.test", "A")
_, ips = actor.lookup("a.test", "A")
actor.tcp(ips[0], name="a.test")
"""


def peers_of(w):
    if not w.peers:
        raise Skip("without the peers; tests/run.sh e2e has them")
    return w.peers


def queries():
    """{heading: query} of the page."""
    return dict(
        re.findall(r"^### (.+?)\n(?:(?!^#).*\n)*?```logql\n(.+?)\n```", open(PAGE).read(), re.M)
    )


def vector(peers, query, *labels):
    """{values of these labels: number}."""
    out = {}
    for series in peers.query(query):
        key = tuple(series["metric"].get(l, "") for l in labels)
        assert key not in out and set(series["metric"]) <= set(labels), series
        out[key] = float(series["value"][1])
    return out


def direct(peers, **more):
    """Straight to Loki and Prometheus, as `sandpiper`."""
    return {
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": peers.loki + "/otlp/v1/logs",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": peers.prometheus + "/api/v1/otlp/v1/metrics",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "SANDPIPER_FLUSH_TIMEOUT_MS": "30000",
        "SANDPIPER_WINDOW_S": "1",
        "SANDPIPER_LOG_LEVEL": "info",
        **more,
    }


@scenario()
def every_query_of_the_page_and_the_dashboards(w):
    peers = peers_of(w)
    a, b = w.new_cgroup("loki-a"), w.new_cgroup("loki-b")
    scratch = "/tmp/%s-scratch" % w.tag
    shutil.copy("/bin/true", scratch)
    try:
        c = Collector(w, [a + "=sb-abc", b + "=sb-xyz"], env=direct(peers))
        with w.nft(DENY):
            first = act(w, a, BEFORE % {"scratch": scratch})
            act(w, b, OTHER)
            last = act(w, a, AFTER)
        time.sleep(1.5)  # a window ends
        events = c.stop()
    finally:
        os.unlink(scratch)
    same_records(events, peers.entries('{service_name="sandpiper"}'))
    page, told = queries(), {}

    def expect(heading, labels, want):
        told[heading] = vector(peers, page[heading], *labels)
        assert told[heading] == want, (heading, told[heading], want)

    assert {"a.test", "nx.test"} <= {x["name"] for t in (first, last) for x in t["lookups"]}
    lookups = {}
    for x in first["lookups"] + last["lookups"]:
        lookups[(x["name"],)] = lookups.get((x["name"],), 0) + 1
    expect(
        "Which hosts it reached in the last hour, and with how many connections",
        ("target_host",),
        {("a.test",): 2},
    )
    expect("Which hosts it looked up, and how often", ("target_host",), lookups)
    expect(
        "Which addresses it tried that no lookup explains",
        (
            "peer",
            "network_peer_port",
        ),
        {("10.77.0.3", "1"): 1, ("10.77.0.9", "443"): 3},
    )
    expect(
        "How many bytes it sent to each destination",
        (
            "target_host",
            "peer",
        ),
        {("a.test", ""): 1500, ("", "10.77.0.3"): 0, ("", "10.77.0.9"): 0},
    )
    network, within = ipaddress.ip_network("10.77.0.4/30"), {}
    for x in first["lookups"] + last["lookups"]:
        if any(ipaddress.ip_address(ip) in network for ip in x["ips"]):
            within[(x["name"],)] = within.get((x["name"],), 0) + 1
    expect("What resolved into a network", ("target_host",), within)
    expect(
        "What failed, and how",
        (
            "target_host",
            "peer",
            "error_type",
        ),
        {("", "10.77.0.3", "refused"): 1},
    )
    order = [
        line
        for _, line, _ in sorted(
            peers.entries(page["Programs and egress, in their order"]), key=lambda e: e[0]
        )
    ]
    told["Programs and egress, in their order"] = None
    wanted = [
        e["opensandbox.event"]
        for e in events
        if e["sandbox_id"] == "sb-abc"
        and e["opensandbox.event"] in ("process.exec", "egress.outbound", "egress.denied")
    ]
    assert len(order) == len(wanted) and any(
        "process.exec" in l and os.path.basename(scratch) in l for l in order
    ), order
    at = [
        next(i for i, l in enumerate(order) if part in l)
        for part in ("old.test", "a.test", "10.77.0.3", os.path.basename(scratch), "nx.test")
    ]
    assert at == sorted(at), order
    rules = [
        line
        for _, line, _ in sorted(
            peers.entries(page["Which rules it was under, and who changed them"]),
            key=lambda e: e[0],
        )
    ]
    told["Which rules it was under, and who changed them"] = None
    assert (
        len(rules) == 3
        and rules[0].startswith("egress.loaded default=allow")
        and "10.77.0.9 tcp dport 443" in rules[0]
    ), rules
    assert (
        rules[1].startswith("egress.updated")
        and "udp dport 9" in rules[1]
        and rules[1].endswith("by=nft")
    ), rules
    assert (
        rules[2].startswith("egress.updated default=allow added=[] removed=")
        and "udp dport 9" in rules[2]
    ), rules
    expect(
        "The destinations that were denied most",
        ("sandbox_id", "target_host", "peer"),
        {("sb-abc", "", "10.77.0.9"): 3},
    )
    expect(
        "Destinations that a sandbox had not contacted before",
        ("sandbox_id", "target_host", "peer"),
        {
            ("sb-abc", "a.test", ""): 1,
            ("sb-abc", "", "10.77.0.3"): 1,
            ("sb-abc", "", "10.77.0.9"): 1,
            ("sb-xyz", "a.test", ""): 1,
        },
    )
    fresh = {(h,): n for (h,), n in lookups.items()}
    fresh[("b.test",)], fresh[("a.test",)] = 1, fresh[("a.test",)] + 1
    expect("Hosts that no sandbox had looked up in the hour before", ("target_host",), fresh)
    expect(
        "How many different hosts each looked up",
        ("sandbox_id",),
        {("sb-abc",): len(lookups), ("sb-xyz",): 2},
    )
    expect("Sandboxes that changed their own rules", ("sandbox_id",), {("sb-abc",): 1})
    expect(
        "Programs that were started from scratch folders",
        (
            "sandbox_id",
            "process_executable_path",
        ),
        {("sb-abc", scratch): 1},
    )
    expect("Whether anything was missed", ("sandbox_id",), {})
    expect("Whether a collector is silent", (), {})
    assert 0 < len(within) < len(lookups)
    assert set(told) == set(page), "not tested: %r" % (set(page) - set(told))
    dashboards(peers)
    alerts(peers)


def alerts(peers):
    """Loki understands each rule's expression; those about what was just done fire, and no other."""
    rules = [
        r
        for g in documents(open(os.path.join(HERE, "../../deploy/loki/rules.yaml")).read())[0][
            "groups"
        ]
        for r in g["rules"]
    ]
    fired = {
        r["alert"]: {s["metric"].get("sandbox_id") for s in peers.query(r["expr"])} for r in rules
    }
    want = {
        "SandboxTamperedWithItsRules": {"sb-abc"},
        "SandboxRanFromScratchFolder": {"sb-abc"},
        "SandboxReachedSomethingNew": set(),
        "SandpiperMissedEvents": set(),
    }
    assert fired == want, fired


def filled_in(expression):
    for variable, value in (("$__rate_interval", "5m"), ("$__range", "1h"), ("$sandbox", "sb-abc")):
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    return expression


def dashboards(peers):
    """Every panel's query is understood; those named here have something to tell of what was just done."""
    with_data = 0
    for path in glob.glob(DASHBOARDS):
        board = json.load(open(path))
        for panel in board["panels"]:
            for target in panel["targets"]:
                query = filled_in(target["expr"])
                if target["datasource"]["type"] == "loki":
                    answer = peers.entries(query) if panel["type"] == "logs" else peers.query(query)
                else:
                    now = time.time()
                    answer = json.loads(
                        get(
                            peers.prometheus + "/api/v1/query_range",
                            query=query,
                            start=now - 600,
                            end=now,
                            step=1,
                        )
                    )["data"]["result"]
                assert answer, "%s: %s tells nothing: %s" % (
                    os.path.basename(path),
                    panel["title"],
                    query,
                )
                with_data += 1
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                name, label = re.match(
                    r"label_values\((\w+), (\w+)\)", variable["definition"]
                ).groups()
                now = time.time()
                values = json.loads(
                    get(
                        peers.prometheus + "/api/v1/label/%s/values" % label,
                        **{"match[]": name, "start": now - 600, "end": now},
                    )
                )["data"]
                assert {"sb-abc", "sb-xyz"} <= set(values), values
    assert with_data > 30
