# SPDX-License-Identifier: Apache-2.0
"""nftables: the rules in force, and the author of each change. The truth is the input of nft(8) and
its answers."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from attribution import Collector, act
from checks import check_complete, check_everything, check_same
from registry import scenario
from world import Event, Result, World

TAGS = ("peers",)

OUT = "table inet fence { chain out { type filter hook output priority 0; policy %s; %s }; }"


def rules_of(event: Event, key: str = "rules") -> list[tuple[str, str]]:
    return [(r["action"], r["target"]) for r in event.get(key, [])]


def transactions(r: Result) -> dict[Any, float]:
    return {
        k: n for k, n in r.metric("sandbox.nftables.transactions", "operation", "outcome").items()
    }


def probe(r: Result) -> dict[str, Any]:
    return [p for p in r.report["probes"] if p["probe"] == "nftables"][0]


REPLACE = """delete table inet fence
table inet fence { set a { type ipv4_addr; flags interval; elements = { %s }; };
    chain out { type filter hook output priority 0; policy drop; ip daddr @a accept; }; }"""


@scenario()
def loaded_at_the_start(w: World) -> None:
    with w.nft(
        OUT
        % (
            "drop",
            "ct state established,related accept; "
            "ip daddr 10.77.0.0/24 tcp dport 443 accept; ip6 daddr fd77::1 accept; "
            'tcp dport { 25, 587 } drop; oifname "lo" accept; meta mark 0x1 accept; '
            "udp dport 1000-2000 accept; counter;",
        )
    ):
        r = w.exec(["true"])
    check_complete(r)
    (loaded,) = r.records("egress.loaded")
    assert (
        loaded["egress.default"] == "deny"
        and loaded["rules.source"] == "nftables"
        and loaded["level"] == "info"
    ), loaded
    assert rules_of(loaded) == [
        ("allow", "ct state established,related"),
        ("allow", "10.77.0.0/24 tcp dport 443"),
        ("allow", "fd77::1"),
        ("deny", "tcp dport { 25, 587 }"),
        ("allow", 'oifname "lo"'),
        ("allow", "meta mark 0x00000001"),
        ("allow", "udp dport 1000-2000"),
    ], rules_of(loaded)
    assert not r.records("egress.updated") and not r.records("egress.update_failed")
    assert r.metric("egress.nftables.rules.count") == {(): 8}, r.metrics


@scenario()
def sets_are_listed_by_element(w: World) -> None:
    with w.nft("""table inet fence {
      set allow { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.0.2.1,
          198.51.100.5-198.51.100.9, 203.0.113.0/24, 255.255.255.255 }; }
      set allow6 { type ipv6_addr; flags interval; elements = { fd00::/8, 2001:db8::1 }; }
      set pairs { type ipv4_addr . inet_service; flags interval;
          elements = { 10.1.0.0/16 . 8000-8080, 10.2.0.1 . 53 }; }
      set learned { type ipv4_addr; timeout 1h; elements = { 1.2.3.4 }; }
      set ports { type inet_service; elements = { 80, 443 }; }
      chain web { ip daddr 192.0.2.9 accept; ip daddr 192.0.2.10 drop; }
      chain out {
        type filter hook output priority 0; policy drop;
        ip daddr @allow accept
        ip6 daddr @allow6 accept
        ip daddr . tcp dport @pairs accept
        ip daddr @learned accept
        ip daddr 10.9.0.0/16 tcp dport @ports accept
        ip daddr != 10.0.0.0/8 meta skuid 33 drop
        tcp dport vmap { 22: drop, 80: jump web }
        ip daddr { 192.0.2.77, 192.0.2.78 } reject
      }
    }"""):
        r = w.exec(["true"])
    (loaded,) = r.records("egress.loaded")
    assert rules_of(loaded) == [
        ("allow", "10.0.0.0/8"),
        ("allow", "192.0.2.1"),
        ("allow", "198.51.100.5-198.51.100.9"),
        ("allow", "203.0.113.0/24"),
        ("allow", "255.255.255.255"),
        ("allow", "2001:db8::1"),
        ("allow", "fd00::/8"),
        ("allow", "10.1.0.0/16 tcp dport 8000-8080"),
        ("allow", "10.2.0.1 tcp dport 53"),
        ("allow", "ip daddr @learned"),
        ("allow", "10.9.0.0/16 tcp dport @ports"),
        ("deny", "ip daddr != 10.0.0.0/8 meta skuid 33"),
        ("deny", "tcp dport 22"),
        ("allow", "192.0.2.9 tcp dport 80"),
        ("deny", "192.0.2.10 tcp dport 80"),
        ("deny", "192.0.2.77"),
        ("deny", "192.0.2.78"),
    ], rules_of(loaded)
    # 10 rules and 5 + 2 + 2 + 2 permanent elements.
    assert r.metric("egress.nftables.rules.count") == {(): 21}, r.metric(
        "egress.nftables.rules.count"
    )


@scenario()
def empty_ruleset_is_not_reported(w: World) -> None:
    r = w.exec(["true"])
    check_complete(r)
    assert (
        not r.records("egress.loaded")
        and not r.records("egress.updated")
        and r.report["rules"]["state"] == "none"
    )


@scenario("kernels")
def change_by_the_application_warns(w: World) -> None:
    with w.nft(OUT % ("drop", "ip daddr 10.77.0.4 accept;")):
        r = w.actor("""
            actor.run(["nft", "add", "rule", "inet", "fence", "out", "ip", "daddr", "192.0.2.1",
                "accept"])
        """)
    check_everything(r)
    (updated,) = r.records("egress.updated")
    assert rules_of(updated) == [("allow", "192.0.2.1")] and "rules.removed" not in updated, updated
    assert (
        updated["level"] == "warn"
        and updated["sandbox.role"] == "app"
        and updated["egress.default"] == "deny"
    ), updated
    assert (
        updated["process.pid"] == r.truth["execs"][0]["pid"]
        and updated["process.executable.name"] == "nft"
    ), updated
    assert transactions(r) == {("static", "committed"): 1} and r.metric(
        "egress.nftables.updates.count"
    ) == {(): 1}


@scenario()
def first_rules_are_loaded_not_updated(w: World) -> None:
    with w.nft(""):
        r = w.actor("""
            import subprocess
            rules = (b"table ip t { chain c { type filter hook output priority 5; policy drop; "
                     b"ip daddr 10.0.0.1 accept; }; }")
            subprocess.run(["nft", "-f", "-"], input=rules, check=True)
        """)
    (loaded,) = r.records("egress.loaded")
    assert (
        loaded["sandbox.role"] == "app"
        and loaded["level"] == "warn"
        and rules_of(loaded) == [("allow", "10.0.0.1")]
    ), loaded
    assert not r.records("egress.updated") and transactions(r) == {("static", "committed"): 1}


@scenario()
def flush_by_the_application_warns(w: World) -> None:
    with w.nft(OUT % ("drop", "ip daddr 10.77.0.4 accept;")):
        r = w.actor('actor.run(["nft", "flush", "ruleset"])')
    (updated,) = r.records("egress.updated")
    assert (
        updated["egress.default"] == "allow"
        and rules_of(updated) == []
        and rules_of(updated, "rules.removed") == [("allow", "10.77.0.4")]
    ), updated
    assert updated["level"] == "warn" and updated["sandbox.role"] == "app"
    assert transactions(r) == {("flush", "committed"): 1}
    assert r.report["rules"] == {
        "state": "known",
        "default": "allow",
        "count": 0,
        "generation": updated["nftables.generation"],
        "changes": 1,
        "changes_by_application": 1,
        "refused": 0,
    }, r.report["rules"]
    assert r.metric("egress.nftables.rules.count") == {(): 0}


@scenario("hosts", "kernels")
def replaced_in_one_transaction(w: World) -> None:
    """The rule set is deleted and created again in one transaction. The record has the true
    difference, and there is no record without one."""
    with w.nft("table inet fence { }\n" + REPLACE % "10.0.0.0/8, 192.0.2.1"):
        r = w.actor(
            """
            import subprocess, time
            for elements in ("10.0.0.0/8, 192.0.2.1", "10.0.0.0/8, 192.0.2.2",
                "10.0.0.0/8, 192.0.2.2"):
                subprocess.run(["nft", "-f", "-"], input=(%r %% elements).encode(), check=True)
                time.sleep(0.5)
        """
            % REPLACE
        )
    (updated,) = r.records("egress.updated")
    assert rules_of(updated) == [("allow", "192.0.2.2")] and rules_of(updated, "rules.removed") == [
        ("allow", "192.0.2.1")
    ], updated
    assert transactions(r) == {("static", "committed"): 3}, transactions(r)


@scenario()
def elements_with_a_timeout_are_dynamic(w: World) -> None:
    with w.nft(
        "table inet fence { set learned { type ipv4_addr; flags timeout; }; "
        "chain out { type filter hook output priority 0; policy drop; "
        "ip daddr @learned accept; oifname lo accept; }; }"
    ):
        r = w.actor("""
            for i in range(5):
                actor.run(["nft", "add element inet fence learned { 192.0.2.%d timeout 60s }" % i])
            actor.run(["nft", "add element inet fence learned { 192.0.2.200 }"])
        """)
    check_everything(r)
    assert transactions(r) == {("dynamic", "committed"): 5, ("static", "committed"): 1}, (
        transactions(r)
    )
    assert r.metric("egress.nftables.updates.count") == {(): 6}
    # The rule set lists the set by its name, because its elements change.
    assert not r.records("egress.updated"), r.records("egress.updated")
    assert r.metric("egress.nftables.rules.count") == {(): 3}


@scenario()
def rejected_changes(w: World) -> None:
    with w.nft(OUT % ("accept", "")):
        r = w.actor("""
            errors = []
            unprivileged = ["setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all"]
            for argv, error in (
                (["nft", "delete", "table", "inet", "nosuch"], "ENOENT"),
                (["nft", "create", "table", "inet", "fence"], "EEXIST"),
                ([*unprivileged, "nft", "add", "table", "inet", "mine"], "EPERM"),
            ):
                assert actor.run(argv) != 0
                errors.append(error)
            actor.run(["nft", "-c", "add", "table", "inet", "only_checked"])
            actor.run(["nft", "list", "table", "inet", "nosuch"])
            actor.run(["nft", "list", "ruleset"])
            actor.note_result("errors", errors)
        """)
    failed = r.records("egress.update_failed")
    check_same("errors", [e["error"] for e in failed], r.truth["errors"])
    assert all(
        e["level"] == "warn" and e["sandbox.role"] == "app" and "rules" not in e for e in failed
    ), failed
    assert transactions(r) == {("other", "aborted"): 3}, transactions(r)
    assert not r.records("egress.updated")


@scenario()
def changed_from_the_host(w: World) -> None:
    with w.nft(OUT % ("drop", "ip daddr 10.77.0.4 accept;")):
        cg = w.new_cgroup("guarded")
        p = act(w, cg, "print('up', flush=True); sys.stdin.readline()", wait=False)
        p.stdout.readline()
        c = Collector(w, [cg])
        nft = subprocess.Popen(
            [
                "nsenter",
                "--net=/run/netns/" + w.client,
                "nft",
                "add",
                "rule",
                "inet",
                "fence",
                "out",
                "ip",
                "daddr",
                "192.0.2.1",
                "drop",
            ]
        )
        assert nft.wait() == 0
        p.communicate(b"\n", timeout=60)
        events = c.stop()
    (updated,) = [e for e in events if e["opensandbox.event"] == "egress.updated"]
    assert (
        updated["actor"] == "host"
        and updated["level"] == "info"
        and updated["process.pid"] == nft.pid
        and "sandbox.role" not in updated
    ), updated
    assert (
        rules_of(updated) == [("deny", "192.0.2.1")] and updated["process.executable.name"] == "nft"
    )


@scenario()
def changed_by_the_sidecar(w: World) -> None:
    with w.nft(""):
        app, side = w.new_cgroup("pod-app"), w.new_cgroup("pod-side")
        p = act(
            w,
            app,
            "print('up', flush=True); sys.stdin.readline(); actor.run(['nft', 'flush', 'ruleset'])",
            wait=False,
        )
        p.stdout.readline()
        c = Collector(w, [app + "=pod", side + "=pod:sidecar"])
        rules = OUT % ("drop", "ip daddr 10.77.0.4 accept;")
        act(
            w,
            side,
            "import subprocess; subprocess.run(['nft', '-f', '-'], input=%r, check=True)"
            % rules.encode(),
        )
        c.wait_for("egress.loaded")
        p.communicate(b"\n", timeout=60)
        events = c.stop()
    assert {e["sandbox_id"] for e in events} == {"pod"}
    loaded, updated = [
        e for e in events if e["opensandbox.event"] in ("egress.loaded", "egress.updated")
    ]
    assert (
        loaded["opensandbox.event"] == "egress.loaded"
        and loaded["sandbox.role"] == "sidecar"
        and loaded["level"] == "info"
    ), loaded
    assert (
        updated["sandbox.role"] == "app"
        and updated["level"] == "warn"
        and rules_of(updated, "rules.removed") == [("allow", "10.77.0.4")]
    ), updated


@scenario()
def two_namespaces_with_the_same_tables(w: World) -> None:
    """Each namespace has one change, and none is reported for the other."""
    a, b = w.new_cgroup("left"), w.new_cgroup("right")
    rules = OUT % ("drop", "ip daddr 192.0.2.%d accept;")
    code = """
import ctypes, os, subprocess
assert ctypes.CDLL(None).unshare(0x40000000) == 0  # CLONE_NEWNET
actor.run(["true"])
print("up", flush=True)
sys.stdin.readline()
subprocess.run(["nft", "-f", "-"], input=%r, check=True)
print("done", flush=True)
sys.stdin.readline()
"""
    ps = [act(w, cg, code % (rules % n).encode(), wait=False) for cg, n in ((a, 1), (b, 2))]
    for p in ps:
        p.stdout.readline()
    c = Collector(w, [a, b])
    for p in ps:
        p.stdin.write(b"\n")
        p.stdin.flush()
        p.stdout.readline()
    for p in ps:
        p.communicate(b"\n", timeout=60)
    events = c.stop()
    for name, n in (("left", 1), ("right", 2)):
        changes = [
            e
            for e in events
            if e["sandbox_id"] == name
            and e["opensandbox.event"] in ("egress.loaded", "egress.updated")
        ]
        assert len(changes) == 1 and rules_of(changes[0]) == [("allow", "192.0.2.%d" % n)], changes


@scenario()
def reused_namespace_number(w: World) -> None:
    """Namespaces follow one another. The sandbox enters each, and the host changes its rules. The
    kernel reuses the number of a removed one at once."""
    cg = w.new_cgroup("serial")
    numbers = []
    c = Collector(w, [cg])
    for n in range(1, 5):
        p = act(
            w,
            cg,
            """
import ctypes, os
assert ctypes.CDLL(None).unshare(0x40000000) == 0  # CLONE_NEWNET
actor.run(["true"])
print(os.getpid(), os.stat("/proc/self/ns/net").st_ino, flush=True)
sys.stdin.readline()
""",
            wait=False,
        )
        pid, number = map(int, p.stdout.readline().split())
        numbers.append(number)
        inside = ["nsenter", "--net=/proc/%d/ns/net" % pid, "nft"]
        subprocess.run(inside + ["-f", "-"], input=(OUT % ("drop", "")).encode(), check=True)
        c.wait_for("egress.loaded", n)
        subprocess.run(
            inside
            + ["add", "rule", "inet", "fence", "out", "ip", "daddr", "192.0.2.%d" % n, "accept"],
            check=True,
        )
        c.wait_for("egress.updated", n)
        p.communicate(b"\n", timeout=60)
        time.sleep(2)  # the collector releases a namespace without processes
    events = c.stop()
    print("     numbers: %r" % numbers)
    assert len(set(numbers)) < len(numbers), numbers
    updated = [e for e in events if e["opensandbox.event"] == "egress.updated"]
    assert [rules_of(e) for e in updated] == [[("allow", "192.0.2.%d" % n)] for n in range(1, 5)], (
        updated
    )
    assert {(e["sandbox_id"], e["actor"]) for e in updated} == {("serial", "host")}, updated


@scenario()
def iptables_nft_rules_are_read(w: World) -> None:
    with w.nft(""):
        r = w.actor("""
            actor.run(["iptables", "-A", "OUTPUT", "-d", "172.16.0.0/12", "-p", "tcp", "--dport",
                "443", "-j", "DROP"])
            actor.run(["iptables", "-A", "OUTPUT", "-d", "10.0.0.1", "-j", "ACCEPT"])
            actor.run(["iptables", "-P", "OUTPUT", "DROP"])
        """)
    check_complete(r)
    assert transactions(r) == {("static", "committed"): 3}, transactions(r)
    changes = r.records("egress.loaded") + r.records("egress.updated")
    rules = [rule for e in changes for rule in rules_of(e)]
    assert rules == [("deny", "172.16.0.0/12 tcp dport 443"), ("allow", "10.0.0.1")], rules
    assert changes[-1]["egress.default"] == "deny"
