# SPDX-License-Identifier: Apache-2.0
"""Drops in the forward chain of a container host, outside of the sandbox's network namespace."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from attribution import Collector, act
from checks import check_everything
from registry import scenario
from world import World, sh

TAGS = ("peers",)


@contextlib.contextmanager
def behind_a_router(w: World, rules: str) -> Iterator[None]:
    """Connects the sandbox's network to the servers at 10.89.0.2 and fd89::2, through a router with
    these rules."""
    c, s, r = w.client, w.server, w.tag + "r"
    sh(f"ip netns add {r}")
    try:
        sh(f"ip link add {r}c netns {c} type veth peer name {r}0 netns {r}")
        sh(f"ip link add {r}s netns {s} type veth peer name {r}1 netns {r}")
        for ns, device, n, own in (
            (c, r + "c", 88, 2),
            (r, r + "0", 88, 1),
            (r, r + "1", 89, 1),
            (s, r + "s", 89, 2),
        ):
            sh(f"ip netns exec {ns} sysctl -q -w net.ipv6.conf.{device}.accept_dad=0")
            sh(
                f"ip -n {ns} addr add 10.{n}.0.{own}/24 dev {device} && "
                f"ip -n {ns} addr add fd{n}::{own}/64 dev {device} nodad && "
                f"ip -n {ns} link set {device} up"
            )
        sh(f"ip netns exec {r} sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        sh(
            f"ip -n {c} route add 10.89.0.0/24 via 10.88.0.1 && "
            f"ip -n {c} route add fd89::/64 via fd88::1"
        )
        sh(
            f"ip -n {s} route add 10.88.0.0/24 via 10.89.0.1 && "
            f"ip -n {s} route add fd88::/64 via fd89::1"
        )
        with w.nft(rules, ns=r):
            yield
    finally:
        for ns, device in ((c, r + "c"), (s, r + "s")):
            subprocess.run(["ip", "-n", ns, "link", "del", device], stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", r])


FORWARD = """table inet filter { chain f { type filter hook forward priority 0; policy accept;
    ct state established,related accept; tcp dport 80 drop; udp dport 9001 drop;
    tcp dport 82 reject; };
  chain p { type filter hook prerouting priority -150; tcp dport 81 drop; }; }"""


@scenario("linux-5.10", "linux-6.1")
def dropped_by_the_host(w: World) -> None:
    with behind_a_router(w, FORWARD):
        r = w.actor("""
            import socket
            for ip in ("10.89.0.2", "fd89::2"):
                for port in (80, 81):
                    s = socket.socket(actor.family(ip))
                    s.settimeout(1.5)  # long enough for a second SYN
                    try:
                        s.connect((ip, port))
                    except socket.timeout:
                        actor.note_flow(ip, port, "tcp", "denied")
                        actor.note_denial(ip, port, "tcp")
                    s.close()
                assert actor.tcp(ip, 82) == "refused"
                actor.expect_denied(ip, 82, "tcp")
                for connected in (True, False):
                    actor.udp(ip, 9001, payloads=[b"a", b"b"], connected=connected, answered=False)
                    actor.expect_denied(ip, 9001, "udp", count=2)
                assert actor.tcp(ip, 1) == "refused"
        """)
    check_everything(r)
    assert {e["process.pid"] for e in r.records("egress.denied") if "process.pid" in e} == {
        r.truth["pid"]
    }


@scenario()
def drop_by_the_peer_is_no_denial(w: World) -> None:
    """The peer drops the packet on arrival, which is no policy on the sandbox's way."""
    with behind_a_router(w, FORWARD):
        r = w.actor("""
            import socket
            for ip in ("10.89.0.2", "fd89::2"):
                s = socket.socket(actor.family(ip))
                s.settimeout(0.5)
                try:
                    s.connect((ip, 9))
                except socket.timeout:
                    actor.note_flow(ip, 9, "tcp", "cancelled")
                s.close()
        """)
    check_everything(r)


@scenario()
def two_sandboxes_behind_one_router(w: World) -> None:
    """Each sandbox gets its own denials, although both use one address behind the router."""
    a, b = w.new_cgroup("north"), w.new_cgroup("south")
    with behind_a_router(w, FORWARD):
        c = Collector(w, [a, b])
        code = """
import socket
for i in range(5):
    s = socket.socket()
    s.settimeout(0.1)
    try:
        s.connect(("10.89.0.2", %d))
    except socket.timeout:
        pass
    s.close()
"""
        running = [act(w, cg, code % port, wait=False) for cg, port in ((a, 80), (b, 81))]
        for p in running:
            p.communicate(timeout=120)
            assert p.returncode == 0
        events = c.stop()
    for name, port in (("north", 80), ("south", 81)):
        denied = [
            e
            for e in events
            if e["opensandbox.event"] == "egress.denied" and e["sandbox_id"] == name
        ]
        assert {e["network.peer.port"] for e in denied} == {port} and sum(
            e["count"] for e in denied
        ) == 5, denied
        stopped = [
            e
            for e in events
            if e["opensandbox.event"] == "sandbox.stopped" and e["sandbox_id"] == name
        ][0]
        assert stopped["sandbox.egress.denied"] == 5, stopped
