# SPDX-License-Identifier: Apache-2.0
"""Sandboxes with a network stack of their own: sandpiper sees the packets on their device."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from attribution import Collector, act
from checks import check_same
from forward import FORWARD, behind_a_router
from registry import scenario
from world import HERE, PYTHON, SERVER4, SERVER6, SERVICE4, SERVICE6, Event, World, sh

TAGS = ("peers",)


@contextlib.contextmanager
def servers_behind_router(w: World, rules: str = FORWARD) -> Iterator[None]:
    """Routes the servers' addresses through the router too."""
    c, r = w.client, w.tag + "r"
    with behind_a_router(w, rules):
        for address in (SERVER4, SERVICE4, SERVER6, SERVICE6):
            n = "fd%d::%d" if ":" in address else "10.%d.0.%d"
            sh(
                f"ip -n {c} route add {address} via {n % (88, 1)} && "
                f"ip -n {r} route add {address} via {n % (89, 2)}"
            )
        yield


def records_by_kind(events: list[Event], sandbox: str) -> dict[str, list[Event]]:
    own_records = [e for e in events if e["sandbox_id"] == sandbox]
    assert not any(k.startswith("process.") for e in own_records for k in e), own_records
    for e in own_records:
        assert all(v not in ("", None, []) for v in e.values()), e
    return {
        kind: [e for e in own_records if e["opensandbox.event"] == kind]
        for kind in {e["opensandbox.event"] for e in own_records}
    }


def compare(events: list[Event], sandbox: str, truth: dict[str, Any]) -> None:
    """Compares all records of a guest with the truth of its actor."""
    records = records_by_kind(events, sandbox)
    check_same(
        "lookups",
        [
            (
                e["target.host"],
                e["dns.question.type"],
                e["egress.outcome"],
                tuple(sorted(e.get("target.ips", []))),
            )
            for e in records.get("egress.outbound", [])
            if "target.host" in e
        ],
        [
            (x["name"], x["type"], x["outcome"], tuple(sorted(x["ips"])))
            for x in truth["lookups"]
            if x["outcome"] != "denied"
        ],
    )
    check_same(
        "attempts",
        [
            (e["peer"], e["network.peer.port"], e["network.transport"])
            for e in records.get("egress.outbound", [])
            if "peer" in e
        ],
        [
            (f["peer"], f["port"], f["transport"])
            for f in truth["flows"]
            if not f["host"] and not f["dns"]
        ],
    )
    check_same(
        "failed",
        [
            (e.get("peer") or e["target.host"], e["network.peer.port"], e["error.type"])
            for e in records.get("egress.failed", [])
        ],
        [
            (f["host"] or f["peer"], f["port"], f["outcome"])
            for f in truth["flows"]
            if f["outcome"] in ("refused", "unreachable", "reset")
        ],
    )
    want = {}
    for x in truth["denials"]:
        key = (x["target"], x["port"], x["transport"])
        want[key] = want.get(key, 0) + x["count"]
    got = {}
    for e in records.get("egress.denied", []):
        key = (e.get("target.host") or e["peer"], e["network.peer.port"], e["network.transport"])
        got[key] = got.get(key, 0) + e["count"]
    assert got == want, (got, want)
    ledger = {}
    for e in records.get("egress.destination", []):
        k = (e.get("target.host") or e["peer"], e["network.peer.port"], e["network.transport"])
        assert k not in ledger
        ledger[k] = (e["egress.attempts"], e["network.io.sent"], e["network.io.received"])
    want = {}
    for f in truth["flows"]:
        k = (f["host"] or f["peer"], f["port"], f["transport"])
        n, s, r = want.get(k, (0, 0, 0))
        want[k] = (n + 1, s + f["sent"], r + f["received"])
    assert ledger == want, (ledger, want)
    (stopped,) = records["sandbox.stopped"]
    assert (
        stopped["sandbox.connect.attempts"] == len(truth["flows"])
        and stopped["sandpiper.dropped"] == 0
    ), stopped
    assert stopped["sandbox.dns.lookups"] == len(truth["lookups"]), stopped
    assert stopped["sandbox.egress.denied"] == sum(x["count"] for x in truth["denials"]), stopped


@scenario("linux-6.1", "linux-6.12")
def behind_a_veth(w: World) -> None:
    """No cgroup is watched. The host end of the veth shows everything but the process."""
    code = """
import socket
for ip, dns in (("10.77.0.4", "10.77.0.1"), ("fd77::4", "fd77::1")):
    actor.lookup("nx.test", "AAAA", server=dns)
    actor.lookup_tcp([("nx.over-tcp.test", "AAAA")], server=dns)
    actor.tcp(ip, 8080, send=b"x" * 50000)
    actor.tcp(ip, 8080, blocking=False)
    actor.udp(ip, 9000, payloads=[b"a" * 1000, b"b"])
    actor.udp(ip, 9000, payloads=[b"c"], connected=False)
    assert actor.tcp(ip, 1) == "refused"
    actor.udp(ip, 1, answered=False)
    actor.correct_last_flow(outcome="refused")  # the actor did not wait for the ICMP error
    s = socket.socket(actor.family(ip))
    s.settimeout(1.5)  # long enough for a second SYN
    try:
        s.connect((ip, 80))
    except socket.timeout:
        actor.note_flow(ip, 80, "tcp", "denied")
        actor.note_denial(ip, 80, "tcp")
    s.close()
    actor.lookup("one.test", "MX", server=dns)
    assert actor.tcp(ip, 82) == "refused"
    actor.expect_denied(ip, 82, "tcp")
    actor.udp(ip, 9001, payloads=[b"a", b"b"], answered=False)
    actor.note_denial(ip, 9001, "udp", count=2)
"""
    for avoid in ((), ("--avoid", "device:tcx")):
        with servers_behind_router(w):
            c = Collector(
                w, [], options=("--device", "/run/netns/%sr:%sr0=vm" % (w.tag, w.tag), *avoid)
            )
            truth = act(w, None, code)
            events = c.stop()
        compare(events, "vm", truth)


@contextlib.contextmanager
def tap_device(w: World) -> Iterator[tuple[str, str]]:
    """A tap in the router's namespace. The router forwards its packets to the servers."""
    r, tap, s = w.tag + "r", w.tag + "t", w.server
    with servers_behind_router(w):
        sh(
            f"ip -n {r} tuntap add {tap} mode tap && "
            f"ip -n {r} addr add 10.90.0.1/24 dev {tap} && ip -n {r} link set {tap} up"
        )
        sh(f"ip -n {r} neigh add 10.90.0.2 lladdr 02:00:00:00:00:02 nud permanent dev {tap}")
        sh(f"ip -n {s} route add 10.90.0.0/24 via 10.89.0.1")
        link = json.loads(subprocess.check_output(["ip", "-n", r, "-j", "link", "show", tap]))[0]
        try:
            yield "/run/netns/%s:%s" % (r, tap), link["address"]
        finally:
            sh(f"ip -n {s} route del 10.90.0.0/24")


def run_guest(w: World, mac: str, steps: str) -> dict[str, Any]:
    done = subprocess.run(
        ["nsenter", "--net=/run/netns/%sr" % w.tag, PYTHON, HERE + "/guest.py", w.tag + "t", mac],
        input="".join(json.dumps(s) + "\n" for s in steps).encode(),
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.decode().splitlines()[-1])["truth"]


@scenario("linux-6.1")
def behind_a_tap(w: World) -> None:
    with tap_device(w) as (device, mac):
        c = Collector(w, [], options=("--device", device + "=fc-1"))
        got = run_guest(
            w,
            mac,
            [
                ("lookup", "lookup", "one.test", "10.77.0.1"),
                ("established", "tcp", "10.77.0.4", 8080, 50001, "hello"),
                ("again", "tcp", "10.77.0.4", 8080, 50002, "said twice", 1, True),
                ("refused", "tcp", "10.77.0.4", 1, 50003),
                ("denied", "tcp", "10.77.0.4", 80, 50004, "", 3),
                ("rejected", "tcp", "10.77.0.4", 82, 50005),
                ("echo", "udp", "10.77.0.4", 9000, 50006, "ping"),
                ("dropped", "udp", "10.77.0.4", 9001, 50007, "x", False),
                ("dropped again", "udp", "10.77.0.4", 9001, 50007, "y", False),
                ("closed", "udp", "10.77.0.4", 1, 50008, "z", False),
            ],
        )
        events = c.stop()
    assert (
        got["lookup"]
        and got["established"] == ["established", 5]
        and got["again"] == ["established", 10]
    ), got
    assert (
        got["refused"] == ["refused", 0]
        and got["denied"] == ["timeout", 0]
        and got["rejected"] == ["timeout", 0]
    ), got
    assert bytes.fromhex(got["echo"]) == b"ping", got

    def flow(
        port: int, transport: str, outcome: str, sent: int = 0, received: int = 0
    ) -> dict[str, Any]:
        return {
            "peer": "10.77.0.4",
            "port": port,
            "transport": transport,
            "outcome": outcome,
            "sent": sent,
            "received": received,
            "host": "one.test",
            "dns": False,
        }

    truth = {
        "lookups": [{"name": "one.test", "type": "A", "outcome": "ok", "ips": got["lookup"][5]}],
        "flows": [
            flow(8080, "tcp", "established", 5, 5),
            flow(8080, "tcp", "established", 10, 10),
            flow(1, "tcp", "refused"),
            flow(80, "tcp", "denied"),
            flow(82, "tcp", "denied"),
            flow(9000, "udp", "established", 4, 4),
            flow(9001, "udp", "denied", 2),
            flow(1, "udp", "refused", 1),
        ],
        "denials": [
            {"target": "one.test", "port": 80, "transport": "tcp", "count": 1},
            {"target": "one.test", "port": 82, "transport": "tcp", "count": 1},
            {"target": "one.test", "port": 9001, "transport": "udp", "count": 2},
        ],
    }
    compare(events, "fc-1", truth)


@scenario()
def invalid_device_is_an_error(w: World) -> None:
    for argument, why in (
        ("tap0=", "expected NAME=ID"),
        ("/nowhere:tap0=x", "/nowhere"),
        ("a-name-too-long0=x", "1 to 15"),
    ):
        done = subprocess.run(
            [w.sandpiper, "run", "--device", argument], capture_output=True, timeout=60
        )
        assert done.returncode != 0 and why in done.stderr.decode(), done.stderr


@scenario()
def devices_are_added_and_removed(w: World) -> None:
    """A machine is started later, and again: each time its device appears, a sandbox with the
    device's name starts."""
    r = w.tag + "r"
    with servers_behind_router(w):
        sh(f"ip -n {w.server} route add 10.90.0.0/24 via 10.89.0.1")
        c = Collector(w, [], options=("--device", "/run/netns/%s:%st*" % (r, w.tag)))
        for turn in range(2):
            sh(
                f"ip -n {r} tuntap add {w.tag}t mode tap && "
                f"ip -n {r} addr add 10.90.0.1/24 dev {w.tag}t && "
                f"ip -n {r} link set {w.tag}t up"
            )
            sh(f"ip -n {r} neigh add 10.90.0.2 lladdr 02:00:00:00:00:02 nud permanent dev {w.tag}t")
            link = json.loads(
                subprocess.check_output(["ip", "-n", r, "-j", "link", "show", w.tag + "t"])
            )[0]
            for _ in range(200):
                if open(c.path).read().count('"sandbox.started"') == turn + 1:
                    break
                time.sleep(0.1)
            time.sleep(3 if w.slow else 0.5)  # the probe is attached a moment later
            got = run_guest(
                w,
                link["address"],
                [
                    ("it", "tcp", "10.77.0.4", 8080, 50001 + turn, "hello"),
                    ("no", "tcp", "10.77.0.4", 1, 50011 + turn),
                ],
            )
            assert got == {"it": ["established", 5], "no": ["refused", 0]}, got
            sh(f"ip -n {r} link del {w.tag}t")
            time.sleep(3)
        events = c.stop()
        sh(f"ip -n {w.server} route del 10.90.0.0/24")
    name = w.tag + "t"
    assert {e["sandbox_id"] for e in events} == {name}, {e["sandbox_id"] for e in events}
    life = [
        (e["opensandbox.event"], e.get("sandbox.connect.attempts"))
        for e in events
        if e["opensandbox.event"].startswith("sandbox.")
    ]
    assert life == [("sandbox.started", None), ("sandbox.stopped", 2)] * 2, life
