# SPDX-License-Identifier: Apache-2.0
"""Compares counters with the truth when records cannot keep up: counters stay exact, every loss is
reported, and memory stays within the limit of docs/security.md."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from attribution import Collector, act, egress_of
from checks import args_of, check_event_counts, check_same
from registry import Skip, scenario
from scrape import Scrape, free_port, serving
from world import HERE, PYTHON, World

SILENT_PEER = ("10.77.0.4", "9")  # drops all packets
MEMORY_MAX = 128 << 20  # the limit in docs/security.md


def check_memory(c: Collector) -> None:
    """The collector's peak of resident memory."""
    peak = (
        int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/%d/status" % c.process.pid).read())[1])
        << 10
    )
    assert peak < MEMORY_MAX, peak
    print("     peak memory: %d MiB" % (peak >> 20))


def small_rings(w: World) -> list[str]:
    """Rings so small that a flood fills them, in an emulated guest too."""
    size = "4K" if w.slow else "64K"
    return ["--ring-bytes", size, "--critical-ring-bytes", size]


def scale(w: World, n: int) -> int:
    """Scales a number to what an emulated guest can do in the same time."""
    return n // 50 if w.slow else n


def scrape_when_accounted(port: int, sandboxes: Any, condition: Any) -> Any:
    """Waits for a scrape that accounts for all events and for which `condition` holds."""
    for _ in range(600):
        s = Scrape(port)
        accounts = [s.account(x) for x in sandboxes]
        if (
            all(a for a in accounts)
            and all(
                produced == delivered + dropped
                for a in accounts
                for produced, delivered, dropped in a.values()
            )
            and condition(s)
        ):
            return s
        time.sleep(0.2)
    raise AssertionError(
        (accounts[:3], [line for line in s.samples if line[1].get("sandbox_id") == sandboxes[0]])
    )


@scenario()
def million_connects(w: World) -> None:
    n = scale(w, 1000000) // 4
    command = "%s flood-connect 10.77.0.4 1 %d & " % (w.triggers, n)
    r = w.exec(["sh", "-c", command * 4 + "wait"], options=small_rings(w))
    assert [int(line) for line in r.stdout.split()] == [n] * 4
    check_event_counts(r)
    assert r.report["totals"]["attempts"] == 4 * n
    attempts = r.metric("sandbox.connect.attempts", "outcome")
    assert sum(attempts.values()) == 4 * n and attempts[("unknown",)] > 0, attempts
    assert (
        r.report["events"]["connect"]["produced"] == 4 * n
        and r.report["events"]["connect"]["dropped"] > 0
    ), r.report["events"]
    reported = sum(
        e.get("sandpiper.dropped.ring_full.connect", 0) for e in r.records("sandpiper.loss")
    )
    assert reported == r.report["events"]["connect"]["dropped"]


@scenario()
def million_lookups(w: World) -> None:
    n = scale(w, 1000000) // 4
    command = "%s flood-dns %s %s %d %d & "
    r = w.exec(
        [
            "sh",
            "-c",
            "".join(command % (w.triggers, *SILENT_PEER, n, i) for i in range(4)) + "wait",
        ],
        options=[*small_rings(w), "--dns-port", "9"],
    )
    assert [int(line) for line in r.stdout.split()] == [n] * 4
    check_event_counts(r)
    assert r.report["events"]["dns_query"]["produced"] == 4 * n, r.report["events"]
    queries = r.metric("sandbox.dns.queries", "outcome")
    assert sum(queries.values()) == 4 * n and queries[("unknown",)] > 0, queries


@scenario()
def fifty_thousand_programs_in_fifty_sandboxes(w: World) -> None:
    n, port = scale(w, 50000) // 50, free_port()
    cgroups = [w.new_cgroup("f%d" % i) for i in range(50)]
    names = [os.path.basename(c) for c in cgroups]
    c = Collector(
        w, cgroups, options=["--critical-ring-bytes", "4K", "--no-limit-records"], env=serving(port)
    )
    # An emulated guest starts programs too slowly for a flood, unless the reader is stopped.
    if w.slow:
        c.process.send_signal(signal.SIGSTOP)
    running = [w.start([w.triggers, "flood-exec", str(n)], cgroup=cg) for cg in cgroups]
    for p in running:
        assert p.wait(timeout=280) == 0
        w.stop(p)
        assert int(p.output) == n, p.output
    c.process.send_signal(signal.SIGCONT)

    # In each cgroup the trigger itself is one more program.
    def skipped_runs(s: Any, what: str) -> float:
        return s.sum("sandpiper_probe_missed_total", program="handle_" + what)

    s = scrape_when_accounted(
        port,
        names,
        lambda s: s.sum("sandbox_process_exits_total") + skipped_runs(s, "exit") >= 50 * (n + 1),
    )
    for what in ("exec", "exit"):
        counts = s.by("sandbox_process_%ss_total" % what, "sandbox_id")
        assert counts.keys() == {(x,) for x in names} and max(counts.values()) <= n + 1, counts
        assert 0 <= 50 * (n + 1) - sum(counts.values()) <= skipped_runs(s, what), (
            what,
            counts,
            skipped_runs(s, what),
        )
        assert all(s.account(x)[what][0] == counts[(x,)] for x in names), what
    assert {
        outcome for _, outcome in s.by("sandbox_process_exits_total", "sandbox_id", "outcome")
    } == {"success"}
    assert s.sum("sandpiper_events_dropped_total", kind="exec") > 0
    check_memory(c)
    events = c.stop()
    execs = [e for e in events if e["opensandbox.event"] == "process.exec"]
    assert len(execs) == s.sum("sandpiper_events_delivered_total", kind="exec")


@scenario()
def stopped_reader_for_ten_seconds(w: World) -> None:
    cg, port, n = w.new_cgroup("still"), free_port(), scale(w, 50000)
    # A flow without its lost close event ends in the second window after it.
    c = Collector(
        w, [cg], options=[*small_rings(w), "--dns-port", "9", "--window-s", "1"], env=serving(port)
    )
    c.process.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    floods = [
        ["flood-connect", "10.77.0.4", "1", str(n)],
        ["flood-dns", *SILENT_PEER, str(n), "1"],
        ["flood-exec", str(n // 50)],
    ]
    running = [w.start([w.triggers, *f], ns=w.client, cgroup=cg) for f in floods]
    for p in running:
        assert p.wait(timeout=280) == 0
    time.sleep(max(0, 10 - (time.monotonic() - start)))
    c.process.send_signal(signal.SIGCONT)
    for p in running:
        w.stop(p)
    s = scrape_when_accounted(
        port,
        ["still"],
        lambda s: s.sum("sandbox_connect_attempts_total", network_transport="tcp") == n,
    )
    assert (
        s.sum("sandbox_dns_queries_total", outcome="unknown")
        == s.account("still")["dns_query"][2]
        > 0
    )
    assert s.account("still")["dns_query"][0] == n, s.account("still")
    # nsenter runs the trigger: two programs each, one process.
    assert s.sum("sandbox_process_execs_total") == n // 50 + 6, s.by("sandbox_process_execs_total")
    assert s.sum("sandbox_process_exits_total") == n // 50 + 3
    check_memory(c)
    events = c.stop()
    loss = [e for e in events if e["opensandbox.event"] == "sandpiper.loss"]
    for kind in ("connect", "dns_query", "exec"):
        lost = sum(
            v
            for e in loss
            for k, v in e.items()
            if k.startswith("sandpiper.dropped.") and k.endswith("." + kind)
        )
        assert lost == s.account("still")[kind][2] > 0, (kind, lost, s.account("still"))


@scenario("linux-6.1")
def flood_does_not_affect_a_neighbour(w: World) -> None:
    """One sandbox floods the rings. Every lookup, connection and program of the other one is
    recorded."""
    loud, calm, port, n = (
        w.new_cgroup("loud"),
        w.new_cgroup("calm"),
        free_port(),
        100 if not w.slow else 10,
    )
    # The ring is small enough to fill up.
    c = Collector(
        w,
        [loud, calm],
        options=["--dns-port", "53,9", "--ring-bytes", "128K" if w.slow else "2M"],
        env=serving(port),
    )
    script = "while :; do %s & wait; done"
    floods = [
        "flood-connect 10.77.0.4 1 100000",
        "flood-dns %s %s 100000 1" % SILENT_PEER,
        "flood-exec 2000",
    ]
    running = [
        w.start(["sh", "-c", script % (w.triggers + " " + f)], ns=w.client, cgroup=loud)
        for f in floods
    ]
    truth = act(
        w,
        calm,
        """
for i in range(%d):
    _, ips = actor.lookup("q%%d.test" %% i, "A")
    actor.tcp(ips[0], name="q%%d.test" %% i)
    actor.run(["true", str(i)])
"""
        % n,
    )
    for p in running:
        p.terminate()
    subprocess.run(
        [
            "sh",
            "-c",
            "for i in 1 2 3; do kill -9 $(cat %s/cgroup.procs) 2>/dev/null; sleep 0.2; done; true"
            % loud,
        ]
    )
    for p in running:
        w.stop(p)
    s = scrape_when_accounted(port, ["calm", "loud"], lambda s: True)
    assert all(dropped == 0 for _, _, dropped in s.account("calm").values()), s.account("calm")
    limited = s.by("sandpiper_events_dropped_total", "reason", sandbox_id="loud")
    # An emulated guest may produce no more events than the reader processes.
    assert w.slow or limited.get(("rate_limited",), 0) > 0, limited
    check_memory(c)
    events = c.stop()
    assert len(truth["lookups"]) == n
    check_same("lookups", egress_of(events, "calm")[0], ["q%d.test" % i for i in range(n)])
    check_same(
        "destinations",
        [x for x, _ in egress_of(events, "calm")[2]],
        ["q%d.test" % i for i in range(n)],
    )
    runs = [
        args_of(e)
        for e in events
        if e["opensandbox.event"] == "process.exec" and e["sandbox_id"] == "calm"
    ]
    check_same(
        "programs", [r for r in runs if r[0] == "true"], [("true", str(i)) for i in range(n)]
    )


@contextlib.contextmanager
def limit_processes(pids: int, cg: str) -> Iterator[str | None]:
    """Limits the processes of a cgroup. Where the pids controller is in v1, the limit is on a v1
    cgroup: returns the folder that processes must enter too."""
    v1_cgroup, top = None, os.path.dirname(os.path.dirname(cg))
    try:
        if "pids" in open(os.path.join(top, "cgroup.controllers")).read().split():
            for parent in (top, os.path.dirname(cg)):
                with open(os.path.join(parent, "cgroup.subtree_control"), "w") as f:
                    f.write("+pids")
            limited = cg
        elif os.path.isdir("/sys/fs/cgroup/pids"):
            limited = v1_cgroup = "/sys/fs/cgroup/pids/sandpiper-bomb-%d" % os.getpid()
            os.makedirs(v1_cgroup)
        else:
            raise Skip("there is no pids controller")
        with open(os.path.join(limited, "pids.max"), "w") as f:
            f.write(str(pids))
        yield v1_cgroup
    finally:
        if v1_cgroup:
            os.rmdir(v1_cgroup)


@scenario()
def fork_bomb_under_a_limit(w: World) -> None:
    """The sandbox starts as many processes as it may, again and again. Each is counted, and the
    neighbour's programs are recorded."""
    bomb, calm, port, n = (
        w.new_cgroup("bomb"),
        w.new_cgroup("beside-a-bomb"),
        free_port(),
        scale(w, 50000),
    )
    # The ring is small enough to fill up. The neighbour's programs stay within its share, which is
    # half of the ring a second.
    c = Collector(w, [bomb, calm], options=["--critical-ring-bytes", "256K"], env=serving(port))
    with limit_processes(200, bomb) as v1_cgroup:
        enter = "echo $$ > %s/cgroup.procs; " % v1_cgroup if v1_cgroup else ""
        running = w.start(
            ["sh", "-c", enter + "exec %s flood-fork %d" % (w.triggers, n)], cgroup=bomb
        )
        act(w, calm, "for i in range(10): actor.run(['true', str(i)])")
        assert running.wait(timeout=280) == 0
        w.stop(running)
    forked = int(running.output)
    assert n // 4 < forked <= n, (forked, n)
    s = scrape_when_accounted(
        port,
        ["bomb", "beside-a-bomb"],
        lambda s: s.sum("sandbox_process_exits_total", sandbox_id="bomb") == forked + 1,
    )
    assert s.account("bomb")["exit"][0] == forked + 1 and s.account("bomb")["fork"][0] == forked, (
        s.account("bomb")
    )
    assert s.sum("sandbox_process_execs_total", sandbox_id="bomb") == 2
    check_memory(c)
    events = c.stop()
    runs = [
        args_of(e)
        for e in events
        if e["opensandbox.event"] == "process.exec" and e["sandbox_id"] == "beside-a-bomb"
    ]
    check_same(
        "programs", [r for r in runs if r[0] == "true"], [("true", str(i)) for i in range(10)]
    )


@scenario()
def connects_to_a_whole_network(w: World) -> None:
    """Connects to more addresses of a /8 than the ledger keeps apart: sums stay exact, the number
    of destinations is estimated, memory stays bounded."""
    wide, calm, port, n, destinations_max = (
        w.new_cgroup("wide"),
        w.new_cgroup("narrow"),
        free_port(),
        scale(w, 200000),
        1000 if not w.slow else 100,
    )
    route = ["ip", "-n", w.client, "route"]
    subprocess.run([*route, "add", "10.0.0.0/8", "via", "10.77.0.1"], check=True)
    try:
        c = Collector(
            w,
            [wide, calm],
            options=["--destinations-max", str(destinations_max), "--window-s", "2"],
            env=serving(port),
        )
        running = w.start(
            [w.triggers, "flood-connect", "10.128.0.0", "1", str(n), "41"], ns=w.client, cgroup=wide
        )
        act(w, calm, "actor.tcp('10.77.0.3', 8080)")
        assert running.wait(timeout=280) == 0
        w.stop(running)
        assert int(running.output) == n
        s = scrape_when_accounted(
            port,
            ["wide", "narrow"],
            lambda s: s.sum("sandbox_connect_attempts_total", sandbox_id="wide") == n,
        )
        assert s.account("wide")["connect"][0] == n, s.account("wide")
        lost = s.account("wide")["connect"][2]
        check_memory(c)
        events = c.stop()
    finally:
        subprocess.run([*route, "del", "10.0.0.0/8"], check=True)
    windows = [
        e
        for e in events
        if e["opensandbox.event"] == "egress.destination" and e["sandbox_id"] == "wide"
    ]
    assert sum(e["egress.attempts"] for e in windows) == n - lost, (
        sum(e["egress.attempts"] for e in windows),
        n,
        lost,
    )
    assert len({e["peer"] for e in windows if "peer" in e}) == destinations_max and any(
        "peer" not in e for e in windows
    )
    (stopped,) = [
        e
        for e in events
        if e["opensandbox.event"] == "sandbox.stopped" and e["sandbox_id"] == "wide"
    ]
    estimate = stopped["sandbox.egress.destinations"]
    assert (
        stopped["sandbox.egress.destinations.estimated"]
        and abs(estimate - (n - lost)) < (n - lost) * 0.09
    ), (stopped, n, lost)
    check_same("peers", egress_of(events, "narrow")[1], ["10.77.0.3"])


@scenario()
def rules_change_continuously(w: World) -> None:
    """The sandbox commits rules in its own network namespace as fast as nft can. Each transaction
    is counted, and the neighbour's change is recorded."""
    churn, calm, port = w.new_cgroup("rule-storm"), w.new_cgroup("steady"), free_port()
    c = Collector(w, [churn, calm], env=serving(port))
    rules = (
        "add table inet fence; add set inet fence s { type ipv4_addr; flags timeout; "
        "}; add set inet fence t { type ipv4_addr; }; "
        "add chain inet fence out { type filter hook output priority 0; }"
    )
    storm = "%s %s 3 %d" % (PYTHON, os.path.join(HERE, "nft_storm.py"), 30 if w.slow else 2000)
    running = w.start(
        ["unshare", "-n", "sh", "-c", "nft '%s' && exec %s" % (rules, storm)], cgroup=churn
    )
    with w.nft(""):
        act(
            w,
            calm,
            (
                "assert actor.run(['nft', 'add table inet calm; "
                "add chain inet calm out { type filter hook output priority 0; policy drop; "
                "}']) == 0"
            ),
        )
    assert running.wait(timeout=280) == 0
    w.stop(running)
    done = json.loads(running.output.splitlines()[-1])
    s = scrape_when_accounted(
        port,
        ["rule-storm", "steady"],
        lambda s: (
            s.sum("sandbox_nftables_transactions_total", sandbox_id="rule-storm")
            >= sum(done.values())
        ),
    )
    by = s.by(
        "sandbox_nftables_transactions_total", "operation", "outcome", sandbox_id="rule-storm"
    )
    # The first transaction created the table. With netlink alone it may precede the subscription in
    # that namespace, and its content is not known then (docs/limits.md).
    unknown = by.pop(("other", "committed"), 0)
    assert unknown <= 1 and by.pop(("static", "committed")) + unknown in (
        done["static"],
        done["static"] + 1,
    ), (by, unknown, done)
    assert by == {("dynamic", "committed"): done["dynamic"]}, (by, done)
    check_memory(c)
    events = c.stop()
    # The namespace belonged to the calm sandbox for one command: its rules are reported as loaded
    # or as updated.
    assert [
        e
        for e in events
        if e["opensandbox.event"] in ("egress.loaded", "egress.updated")
        and e["sandbox_id"] == "steady"
    ], events


@scenario()
def udp_peers_over_the_limit(w: World) -> None:
    """Each peer of a socket is one attempt, and another one after its flow was evicted, which
    --kernel-flows-max decides."""
    n = 3000
    script = (
        """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for turn in range(2):
    for port in range(20000, 20000 + %d):
        s.sendto(b"x", ("10.77.0.4", port))
"""
        % n
    )
    for options, least, most in ([], n, n), (["--kernel-flows-max", "1024"], n + n // 2, 2 * n):
        r = w.exec([PYTHON, "-c", script], options=options)
        assert r.status == 0, r.stderr
        check_event_counts(r)
        assert least <= r.report["totals"]["attempts"] <= most, r.report["totals"]
