# SPDX-License-Identifier: Apache-2.0
"""A sandbox that tries to hide. Records show the actions that the kernel carried out, not
the arguments, addresses and names that a program shows for a moment."""

from __future__ import annotations

import collections
import os
import subprocess
import textwrap

from attribution import Collector, act, egress_of
from checks import args_of, check_complete, check_same
from registry import Skip, scenario
from world import PYTHON, Result, World

TAGS = ("linux-5.10", "linux-6.1")


def lines_of(r: Result) -> list[str]:
    return r.stdout.decode().split()


@scenario()
def address_rewritten_during_the_call(w: World) -> None:
    r = w.exec([w.triggers, "connect-flip", "10.77.0.3", "10.77.0.4", "200"])
    check_complete(r)
    connected = collections.Counter(lines_of(r))
    assert sum(connected.values()) == 200, r.stderr
    recorded = collections.Counter(e["peer"] for e in r.records("egress.outbound"))
    assert recorded == connected, (recorded, connected)
    print("     %s" % dict(connected))


@scenario()
def arguments_rewritten_during_the_call(w: World) -> None:
    r = w.exec([w.triggers, "exec-flip", "50"])
    check_complete(r)
    got = [args_of(e)[2] for e in r.records("process.exec") if args_of(e)[1] == "show"]
    check_same("arguments", got, lines_of(r))
    assert len(got) == 50


@scenario()
def system_calls_of_32_bits(w: World) -> None:
    r = w.exec([w.triggers, "connect-ia32", "10.77.0.3", "8080"])
    if lines_of(r) == ["-38"]:
        raise Skip("this kernel has no 32-bit system calls")
    assert lines_of(r) == ["0"], r.stdout
    check_complete(r)
    assert [(e["peer"], e["network.peer.port"]) for e in r.records("egress.outbound")] == [
        ("10.77.0.3", 8080)
    ]


@scenario()
def program_with_a_false_name(w: World) -> None:
    """The process has changed its arguments, name and memory by the time it connects. Records keep
    those of its exec."""
    r = w.exec([w.triggers, "hide", "10.77.0.3"])
    assert r.status == 0
    check_complete(r)
    (run,), (out,) = (
        [e for e in r.records("process.exec") if args_of(e)[1:] == ("hide", "10.77.0.3")],
        r.records("egress.outbound"),
    )
    assert out["process.pid"] == run["process.pid"], (out, run)
    assert (
        out["process.executable.path"]
        == run["process.executable.path"]
        == os.path.realpath(w.triggers)
    ), out


@scenario()
def sockets_from_outside_the_sandbox(w: World) -> None:
    """Sockets from outside: inherited on the way into the sandbox, and passed by SCM_RIGHTS.
    Connections made in the sandbox are its own, and are marked."""
    inside, outside = w.new_cgroup("evader"), w.new_cgroup("helper")
    c = Collector(w, [inside])
    act(
        w,
        outside,
        """
import os, socket
tcp, udp, handed = socket.socket(), socket.socket(socket.AF_INET,
    socket.SOCK_DGRAM), socket.socket()
ours, theirs = socket.socketpair(socket.AF_UNIX)
def child():
    open(%r + "/cgroup.procs", "w").write(str(os.getpid()))
    tcp.connect(("10.77.0.3", 8080)); tcp.send(b"abc"); actor.read_exactly(tcp, 3); tcp.close()
    _, (fd,), _, _ = socket.recv_fds(theirs, 1, 1)
    passed = socket.socket(fileno=fd)
    passed.connect(("10.77.0.4", 8080)); passed.send(b"defg"); actor.read_exactly(passed,
        4); passed.close()
    actor.lookup("before.test", "A", mode="sendto", sock=udp)
    return 0
socket.send_fds(ours, [b"x"], [handed.fileno()])
handed.close()
actor.fork_and_wait(child)
outer = socket.socket()  # used outside, where it was created
outer.connect(("10.77.0.3", 80))
"""
        % inside,
    )
    events = c.stop()
    hosts, peers, ledger = egress_of(events, "evader")
    check_same("names", hosts, ["before.test"])
    check_same("peers", peers, ["10.77.0.3", "10.77.0.4"])
    outbound = [e for e in events if e["opensandbox.event"] == "egress.outbound"]
    assert all(e["sandbox.attribution"] == "process" for e in outbound), outbound
    bytes_of = {
        e["peer"]: (e["network.io.sent"], e["network.io.received"])
        for e in events
        if e["opensandbox.event"] == "egress.destination"
    }
    assert bytes_of == {"10.77.0.3": (3, 3), "10.77.0.4": (4, 4)}, bytes_of


@scenario()
def own_network_namespace(w: World) -> None:
    """Nothing is reachable in the new namespace. The attempts are recorded all the same."""
    r = w.actor("""
        import sys
        actor.run(["unshare", "-n", sys.executable, "-c",
            "import socket; socket.socket().connect_ex(('10.77.0.3', 8080))"])
    """)
    check_complete(r)
    failed = [
        (e["peer"], e["network.peer.port"], e["error.type"]) for e in r.records("egress.failed")
    ]
    assert failed == [("10.77.0.3", 8080, "unreachable")], failed


@scenario()
def process_leaves_the_cgroup(w: World) -> None:
    """The process creates cgroups below its own, unshares its cgroup namespace, and moves to an
    unwatched cgroup. Below, it stays with its sandbox. Outside, its network namespace identifies it
    while one process of the sandbox stays there, and its actions are marked."""
    inside, outside = w.new_cgroup("escapes"), w.new_cgroup("unwatched")
    c = Collector(w, [inside])
    act(
        w,
        inside,
        """
import os, subprocess, sys
def move(to):
    open(to + "/cgroup.procs", "w").write(str(os.getpid()))
stays = subprocess.Popen(["sleep", "1000"])
os.makedirs(%r + "/a/b")
move(%r + "/a/b")
actor.lookup("below.test", "A")
actor.run(["unshare", "-C", "-m", "sh", "-c", "true in-a-cgroup-namespace"])
move(%r)
actor.lookup("outside.test", "A")
actor.tcp("10.77.0.3", 8080)
actor.run(["true", "outside"])
stays.kill()
"""
        % (inside, inside, outside),
    )
    events = c.stop()
    hosts = {
        e["target.host"]: e.get("sandbox.attribution")
        for e in events
        if e["opensandbox.event"] == "egress.outbound" and "target.host" in e
    }
    assert hosts == {"below.test": None, "outside.test": "namespace"}, hosts
    (out,) = [e for e in events if e["opensandbox.event"] == "egress.outbound" and "peer" in e]
    assert (out["peer"], out["sandbox.attribution"]) == ("10.77.0.3", "namespace"), out
    execs = {
        args_of(e): e.get("sandbox.attribution")
        for e in events
        if e["opensandbox.event"] == "process.exec"
    }
    assert (
        execs[("sh", "-c", "true in-a-cgroup-namespace")] is None
        and execs[("true", "outside")] == "namespace"
    ), execs


@scenario()
def process_moves_to_another_sandbox(w: World) -> None:
    """A process that is moved acts for its new sandbox. A socket stays with the sandbox that
    created it."""
    first, second = w.new_cgroup("from"), w.new_cgroup("to")
    c = Collector(w, [first, second])
    act(
        w,
        first,
        """
import os, socket
kept = socket.socket()
actor.lookup("one.test", "A")
actor.run(["true", "one"])
open(%r + "/cgroup.procs", "w").write(str(os.getpid()))
actor.tcp("10.77.0.4", 8080)
actor.lookup("two.test", "A")
actor.run(["true", "two"])
kept.connect(("10.77.0.3", 8080)); kept.close()
"""
        % second,
    )
    events = c.stop()
    for name, number, peer in (("from", "one", "10.77.0.3"), ("to", "two", "10.77.0.4")):
        hosts, peers, _ = egress_of(events, name)
        check_same("names of " + name, hosts, [number + ".test"])
        check_same("peers of " + name, peers, [peer])
        runs = [
            args_of(e)
            for e in events
            if e["opensandbox.event"] == "process.exec" and e["sandbox_id"] == name
        ]
        check_same("programs of " + name, [r for r in runs if r[0] == "true"], [("true", number)])


@scenario()
def nftables_in_an_own_namespace(w: World) -> None:
    """The sandbox creates user and network namespaces, and rules in them after the collector could
    subscribe. Where BPF programs see only sends, an earlier commit is part of the rules but of no
    count."""
    r = w.actor("""
        import sys
        inner = (
            "import socket, subprocess, time; time.sleep(0.5); "
            "rules = 'add table inet mine; add chain inet mine out "
            "{ type filter hook output priority 0; policy drop; }'; "
            "subprocess.run(['nft', rules], check=True); "
            "socket.socket().connect_ex(('10.77.0.3', 8080))")
        assert actor.run(["unshare", "-U", "-r", "-n", sys.executable, "-c", inner]) == 0
    """)
    assert r.status == 0, r.stderr
    check_complete(r)
    failed = [
        (e["peer"], e["network.peer.port"], e["error.type"]) for e in r.records("egress.failed")
    ]
    assert failed == [("10.77.0.3", 8080, "unreachable")], failed
    changes = r.records("egress.loaded") + r.records("egress.updated")
    assert [e["egress.default"] for e in changes] == ["deny"] and r.metric(
        "sandbox.nftables.transactions", "outcome"
    ) == {("committed",): 1}, changes


@scenario()
def disguised_lookups(w: World) -> None:
    """DNS on another port is a datagram, or a lookup if that port is configured. DNS over TLS,
    HTTPS and QUIC are connections, marked by their destination."""
    code = """
        import socket
        actor.udp("10.77.0.3", 9000)
        for host, port, kind in (("10.77.0.3", 853, socket.SOCK_STREAM), ("1.1.1.1", 443,
            socket.SOCK_STREAM), ("10.77.0.3", 443, socket.SOCK_STREAM)):
            with socket.socket(socket.AF_INET, kind) as s:
                s.connect_ex((host, port))
        for host, port in (("10.77.0.3", 853), ("1.1.1.1", 443)):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.sendto(b"x" * 1200, (host, port))
    """
    subprocess.run(["ip", "-n", w.server, "addr", "add", "1.1.1.1/32", "dev", "lo"], check=True)
    subprocess.run(
        ["ip", "-n", w.client, "route", "add", "1.1.1.1/32", "via", "10.77.0.1"], check=True
    )
    try:
        r = w.actor(code)
    finally:
        subprocess.run(["ip", "-n", w.client, "route", "del", "1.1.1.1/32"], check=True)
        subprocess.run(["ip", "-n", w.server, "addr", "del", "1.1.1.1/32", "dev", "lo"], check=True)
    marks = {
        (e["peer"], e["network.peer.port"], e["network.transport"]): e.get("dns.encrypted")
        for e in r.records("egress.outbound")
    }
    assert marks == {
        ("10.77.0.3", 9000, "udp"): None,
        ("10.77.0.3", 443, "tcp"): None,
        ("10.77.0.3", 853, "tcp"): "dot",
        ("10.77.0.3", 853, "udp"): "doq",
        ("1.1.1.1", 443, "tcp"): "doh",
        ("1.1.1.1", 443, "udp"): "doh3",
    }, marks
    windows = {
        (e["peer"], e["network.peer.port"], e["network.transport"]): e.get("dns.encrypted")
        for e in r.records("egress.destination")
    }
    assert windows == marks, windows
    r = w.actor(
        'actor.lookup("other-port.test", "A", port=5353)', options=["--dns-port", "53,5353"]
    )
    check_complete(r)
    check_same(
        "names", [e["target.host"] for e in r.records("egress.outbound")], ["other-port.test"]
    )


@scenario()
def raw_and_packet_sockets(w: World) -> None:
    """A documented limit (docs/limits.md): there is no record, but bytes that pass the sandbox's IP
    stack are counted."""
    before = (
        w.exec([PYTHON, "-c", "pass"]).metric("sandbox.network.io", "direction").get(("sent",), 0)
    )
    r = w.exec(
        [
            PYTHON,
            "-c",
            textwrap.dedent("""
        import socket
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)  # RFC 3692: for experiments
        for _ in range(10):
            raw.sendto(b"x" * 80, ("10.77.0.3", 0))
        packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        packet.bind((%r, 0x88b5))  # IEEE: for experiments
        packet.send(b"\\xff" * 12 + b"\\x88\\xb5" + b"y" * 50)
    """)
            % (w.client + "0"),
        ]
    )
    assert r.status == 0, r.stderr
    assert not r.records("egress.outbound") and r.report["totals"]["attempts"] == 0
    sent = r.metric("sandbox.network.io", "direction").get(("sent",), 0)
    assert sent - before == 10 * (20 + 80), (before, sent, r.metrics.get("sandbox.network.io"))
