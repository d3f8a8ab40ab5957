"""Counters against the truth when records cannot keep up: exact to the unit, and every loss admitted."""

import os
import signal
import subprocess
import time

from attribution import Collector, act, told
from checks import args_of, complete, invariant, same
from registry import scenario
from scrape import Scrape, free_port, serving

SMALL = ["--ring-bytes", "64K", "--critical-ring-bytes", "64K"]
DEAD = ("10.77.0.4", "9")  # swallows what it gets


def share(w, n):
    """As many as an emulated guest can do in the same time."""
    return n // 50 if w.slow else n


def settled(port, sandboxes, want):
    """The first scrape with all events accounted for, and counts that `want` holds for."""
    for _ in range(600):
        s = Scrape(port)
        accounts = [s.account(x) for x in sandboxes]
        if all(a for a in accounts) and all(p == d + l for a in accounts for p, d, l in a.values()) and want(s):
            return s
        time.sleep(0.2)
    raise AssertionError((accounts[:3], [l for l in s.samples if l[1].get("sandbox_id") == sandboxes[0]]))


@scenario
def a_million_connects(w):
    n = share(w, 1000000) // 4
    one = "%s flood-connect 10.77.0.4 1 %d & " % (w.triggers, n)
    r = w.exec(["sh", "-c", one * 4 + "wait"], options=SMALL)
    assert [int(l) for l in r.stdout.split()] == [n] * 4
    invariant(r)
    assert r.report["totals"]["attempts"] == 4 * n
    attempts = r.metric("sandbox.connect.attempts", "outcome")
    assert sum(attempts.values()) == 4 * n and attempts[("unknown",)] > 0, attempts
    assert r.report["events"]["connect"]["produced"] == 4 * n and r.report["events"]["connect"]["dropped"] > 0, r.report["events"]
    told_lost = sum(e.get("sandpiper.dropped.ring_full.connect", 0) for e in r.of("sandpiper.loss"))
    assert told_lost == r.report["events"]["connect"]["dropped"]


@scenario
def a_million_lookups(w):
    n = share(w, 1000000) // 4
    one = "%s flood-dns %s %s %d %d & "
    r = w.exec(["sh", "-c", "".join(one % (w.triggers, *DEAD, n, i) for i in range(4)) + "wait"], options=[*SMALL, "--dns-port", "9"])
    assert [int(l) for l in r.stdout.split()] == [n] * 4
    invariant(r)
    assert r.report["events"]["dns_query"]["produced"] == 4 * n, r.report["events"]
    queries = r.metric("sandbox.dns.queries", "outcome")
    assert sum(queries.values()) == 4 * n and queries[("unknown",)] > 0, queries


@scenario
def fifty_thousand_programs_in_fifty_sandboxes(w):
    n, port = share(w, 50000) // 50, free_port()
    cgroups = [w.new_cgroup("f%d" % i) for i in range(50)]
    names = [os.path.basename(c) for c in cgroups]
    c = Collector(w, cgroups, options=["--critical-ring-bytes", "8K", "--no-limit-records"], env=serving(port))
    running = [w.start([w.triggers, "flood-exec", str(n)], cgroup=cg) for cg in cgroups]
    for p in running:
        assert p.wait(timeout=280) == 0
        w.stop(p)
        assert int(p.told) == n, p.told
    # The trigger itself is one more.
    s = settled(port, names, lambda s: s.sum("sandbox_process_exits_total") == 50 * (n + 1))
    assert s.by("sandbox_process_execs_total", "sandbox_id") == {(x,): n + 1 for x in names}
    assert s.by("sandbox_process_exits_total", "sandbox_id", "outcome") == {(x, "success"): n + 1 for x in names}
    for x in names:
        account = s.account(x)
        assert account["exec"][0] == n + 1 and account["exit"][0] == n + 1, account
    assert s.sum("sandpiper_events_dropped_total", kind="exec") > 0
    events = c.stop()
    execs = [e for e in events if e["opensandbox.event"] == "process.exec"]
    assert len(execs) == s.sum("sandpiper_events_delivered_total", kind="exec")


@scenario
def a_reader_that_stands_still_for_ten_seconds(w):
    cg, port, n = w.new_cgroup("still"), free_port(), share(w, 50000)
    # A flow whose end was lost is found out in the second window after it.
    c = Collector(w, [cg], options=[*SMALL, "--dns-port", "9", "--window-s", "1"], env=serving(port))
    c.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    floods = [["flood-connect", "10.77.0.4", "1", str(n)], ["flood-dns", *DEAD, str(n), "1"], ["flood-exec", str(n // 50)]]
    running = [w.start([w.triggers, *f], ns=w.client, cgroup=cg) for f in floods]
    for p in running:
        assert p.wait(timeout=280) == 0
    time.sleep(max(0, 10 - (time.monotonic() - began)))
    c.process.send_signal(signal.SIGCONT)
    for p in running:
        w.stop(p)
    s = settled(port, ["still"], lambda s: s.sum("sandbox_connect_attempts_total", network_transport="tcp") == n)
    assert s.sum("sandbox_dns_queries_total", outcome="unknown") == s.account("still")["dns_query"][2] > 0
    assert s.account("still")["dns_query"][0] == n, s.account("still")
    # nsenter runs the trigger: two programs each, one process.
    assert s.sum("sandbox_process_execs_total") == n // 50 + 6, s.by("sandbox_process_execs_total")
    assert s.sum("sandbox_process_exits_total") == n // 50 + 3
    events = c.stop()
    loss = [e for e in events if e["opensandbox.event"] == "sandpiper.loss"]
    for kind in ("connect", "dns_query", "exec"):
        lost = sum(v for e in loss for k, v in e.items() if k.startswith("sandpiper.dropped.") and k.endswith("." + kind))
        assert lost == s.account("still")[kind][2] > 0, (kind, lost, s.account("still"))


@scenario
def a_flood_costs_the_neighbour_nothing(w):
    """One sandbox does what it can to fill the rings; the other one's every lookup, connection and program is told."""
    loud, calm, port, n = w.new_cgroup("loud"), w.new_cgroup("calm"), free_port(), 100 if not w.slow else 10
    # Small enough to fill up.
    c = Collector(w, [loud, calm], options=["--dns-port", "53,9", "--ring-bytes", "128K" if w.slow else "2M"], env=serving(port))
    script = "while :; do %s & wait; done"
    floods = ["flood-connect 10.77.0.4 1 100000", "flood-dns %s %s 100000 1" % DEAD, "flood-exec 2000"]
    running = [w.start(["sh", "-c", script % (w.triggers + " " + f)], ns=w.client, cgroup=loud) for f in floods]
    truth = act(w, calm, """
for i in range(%d):
    _, ips = actor.lookup("q%%d.test" %% i, "A")
    actor.tcp(ips[0], name="q%%d.test" %% i)
    actor.run(["true", str(i)])
""" % n)
    for p in running:
        p.terminate()
    subprocess.run(["sh", "-c", "for i in 1 2 3; do kill -9 $(cat %s/cgroup.procs) 2>/dev/null; sleep 0.2; done; true" % loud])
    for p in running:
        w.stop(p)
    s = settled(port, ["calm", "loud"], lambda s: True)
    assert all(dropped == 0 for _, _, dropped in s.account("calm").values()), s.account("calm")
    limited = s.by("sandpiper_events_dropped_total", "reason", sandbox_id="loud")
    assert limited.get(("rate_limited",), 0) > 0, limited
    events = c.stop()
    assert len(truth["lookups"]) == n
    same("lookups", told(events, "calm")[0], ["q%d.test" % i for i in range(n)])
    same("destinations", [x for x, _ in told(events, "calm")[2]], ["q%d.test" % i for i in range(n)])
    runs = [args_of(e) for e in events if e["opensandbox.event"] == "process.exec" and e["sandbox_id"] == "calm"]
    same("programs", [r for r in runs if r[0] == "true"], [("true", str(i)) for i in range(n)])
