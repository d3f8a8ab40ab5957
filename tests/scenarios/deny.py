# SPDX-License-Identifier: Apache-2.0
"""Denials: attempts that netfilter rejects, and failures that only look like it."""

from __future__ import annotations

import datetime
import subprocess

from attribution import Collector, act
from checks import check_everything
from polling import wait_for
from registry import scenario
from scrape import Scrape, free_port, serving
from world import World

TAGS = ("peers",)

DROP = """table inet fence {
  chain out {
    type filter hook output priority 0; policy accept;
    ct state established,related accept
    tcp dport { 80, 81 } drop
    udp dport 9001 drop
    tcp dport 82 reject with tcp reset
    tcp dport 83 reject
    udp dport 9003 reject
    ip daddr 10.77.0.4 tcp dport 84 counter drop
  }
}"""


def seconds(ts: str) -> float:
    return datetime.datetime.fromisoformat(ts[:26]).timestamp()


@scenario("hosts", "kernels")
def tcp_output_drop(w: World) -> None:
    with w.nft(DROP):
        r = w.actor("""
            import socket
            for ip in ("10.77.0.4", "fd77::4"):
                s = socket.socket(actor.family(ip))
                s.settimeout(1.5)  # long enough for a second SYN, which is no second denial
                try:
                    s.connect((ip, 80))
                except socket.timeout:
                    actor.note_flow(ip, 80, "tcp", "denied")
                    actor.note_denial(ip, 80, "tcp")
                s.close()
            actor.tcp("10.77.0.4", 8080)
        """)
    check_everything(r)


@scenario()
def denied_at_once_and_not_at_the_timeout(w: World) -> None:
    """The program gets a timeout after three seconds; the denial has the time of the first SYN."""
    with w.nft(DROP):
        r = w.actor("""
            outcome = actor.tcp("10.77.0.4", 81)
            assert outcome == "timeout", outcome
            actor.expect_denied("10.77.0.4", 81, "tcp")
        """)
    check_everything(r)
    denied, asked = r.records("egress.denied")[0], r.records("egress.outbound")[0]
    assert seconds(denied["ts"]) - seconds(asked["ts"]) < 1, (denied, asked)
    assert denied["process.pid"] == r.truth["pid"]


@scenario()
def reject_is_a_denial(w: World) -> None:
    with w.nft(DROP):
        check_everything(
            w.actor("""
            import socket
            for ip in ("10.77.0.4", "fd77::4"):
                for port in (82, 83):
                    outcome = actor.tcp(ip, port)
                    assert outcome in ("refused", "unreachable", "other"), outcome
                    actor.expect_denied(ip, port, "tcp")
                actor.udp(ip, 9003)
                actor.correct_last_flow(sent=0)  # the datagram was rejected
                actor.expect_denied(ip, 9003, "udp")
        """)
        )


@scenario("linux-5.10")
def udp_send_fails_with_eperm(w: World) -> None:
    with w.nft(DROP):
        check_everything(
            w.actor("""
            for ip in ("10.77.0.4", "fd77::4"):
                for connected in (True, False):
                    actor.udp(ip, 9001, connected=connected)
                    actor.note_denial(ip, 9001, "udp")
                    actor.udp(ip, 9000, connected=connected)
            actor.udp("10.77.0.4", 9001, connected=False, mapped=True)
            actor.note_denial("10.77.0.4", 9001, "udp")
        """)
        )


@scenario("linux-5.10")
def denied_before_any_packet_left(w: World) -> None:
    """The first datagram of a connected socket is denied. The attempt ends with its socket, and so
    the metrics have it while the sandbox still runs."""
    port = free_port()
    cgroup = w.new_cgroup("denied-first")
    with w.nft(DROP):
        collector = Collector(w, [cgroup], env=serving(port))
        act(w, cgroup, "for ip in ('10.77.0.4', 'fd77::4'): actor.udp(ip, 9001)")
        outcomes = {("denied", "ipv4"): 1, ("denied", "ipv6"): 1}
        attempts = "sandbox_connect_attempts_total"
        wait_for(lambda: Scrape(port).by(attempts, "outcome", "network_type") == outcomes)
        collector.stop()


@scenario()
def denied_destination_has_its_name(w: World) -> None:
    with w.nft(DROP):
        check_everything(
            w.actor("""
            import socket
            _, ips = actor.lookup("files.test", "A")
            for _ in range(3):
                s = socket.socket()
                s.settimeout(0.2)
                try:
                    s.connect((ips[0], 84))
                except socket.timeout:
                    actor.note_flow(ips[0], 84, "tcp", "denied", host="files.test")
                    actor.note_denial("files.test", 84, "tcp")
                s.close()
        """)
        )


@scenario()
def repeated_denials_are_one_record_with_a_count(w: World) -> None:
    n = 5000
    with w.nft(DROP):
        r = w.actor(
            """
            import socket
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            denied = 0
            for i in range(%d):
                try:
                    s.sendto(b"x", ("10.77.0.4", 9001))
                except PermissionError:
                    denied += 1
            s.close()
            actor.note_flow("10.77.0.4", 9001, "udp", "denied")
            actor.note_denial("10.77.0.4", 9001, "udp", count=denied)
        """
            % n
        )
    check_everything(r)
    assert sorted(e["count"] for e in r.records("egress.denied")) == [1, n - 1], r.records(
        "egress.denied"
    )


@scenario()
def windows_of_a_denied_flow_add_up(w: World) -> None:
    with w.nft(DROP):
        r = w.actor(
            """
            import socket, time
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            for i in range(30):
                try:
                    s.sendto(b"x", ("10.77.0.4", 9001))
                except PermissionError:
                    actor.note_denial("10.77.0.4", 9001, "udp")
                time.sleep(0.1)
            s.close()
            actor.note_flow("10.77.0.4", 9001, "udp", "denied")
        """,
            options=["--window-s", "1"],
        )
    check_everything(r)
    assert len(r.records("egress.denied")) >= 4, r.records("egress.denied")


@scenario()
def allowed_during_the_attempt(w: World) -> None:
    """The rule is removed before the second SYN: the attempt is denied first and then established,
    and both are recorded."""
    with w.nft(
        "table inet fence { chain out { type filter hook output priority 0; "
        "tcp dport 8080 drop; }; }"
    ):
        r = w.actor("""
            import socket, subprocess, threading
            s = socket.socket()
            TCP_SYNCNT = 7
            # The last SYN follows the removal of the rule, on a slow machine too.
            s.setsockopt(socket.IPPROTO_TCP, TCP_SYNCNT, 5)
            t = threading.Thread(target=s.connect, args=(("10.77.0.4", 8080),))
            t.start()
            while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\\x02":
                pass
            actor.run(["nft", "delete", "table", "inet", "fence"])
            t.join()
            s.close()
            actor.note_flow("10.77.0.4", 8080, "tcp", "established")
            actor.note_denial("10.77.0.4", 8080, "tcp")
        """)
    check_everything(r)


@scenario()
def established_connection_is_cut_off(w: World) -> None:
    with w.nft("table inet fence { chain out { type filter hook output priority 0; }; }"):
        r = w.actor("""
            import socket
            s = socket.create_connection(("10.77.0.4", 8080))
            s.sendall(b"before"); actor.read_exactly(s, 6)
            actor.run(["nft", "add", "rule", "inet", "fence", "out", "tcp", "dport", "8080",
                "drop"])
            s.send(b"after")
            actor.note_denial("10.77.0.4", 8080, "tcp")
            actor.run(["nft", "flush", "ruleset"])
            actor.read_exactly(s, 5)
            s.close()
            actor.note_flow("10.77.0.4", 8080, "tcp", "established", 11, 11)
        """)
    check_everything(r)


@scenario()
def inbound_drop_is_no_denial(w: World) -> None:
    """A rule that drops answers denies nothing that the sandbox sends."""
    with w.nft(
        "table inet fence { chain in { type filter hook input priority 0; "
        "tcp sport 8080 drop; udp sport 9000 drop; }; }"
    ):
        check_everything(
            w.actor("""
            import socket
            s = socket.socket()
            s.settimeout(0.5)
            try:
                s.connect(("10.77.0.4", 8080))
            except socket.timeout:
                actor.note_flow("10.77.0.4", 8080, "tcp", "cancelled")
            s.close()
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.connect(("10.77.0.4", 9000))
            s.send(b"x")
            s.close()
            actor.note_flow("10.77.0.4", 9000, "udp", "other", 1, 0)
        """)
        )


@scenario()
def refused_and_silent_peers_are_no_denials(w: World) -> None:
    with w.nft(DROP):
        r = w.actor("""
            actor.tcp("10.77.0.4", 1)
            actor.tcp("10.77.0.4", 9)
            actor.udp("10.77.0.4", 9, answered=False)
        """)
    check_everything(r)
    assert not r.records("egress.denied")


@scenario()
def blocked_dns_server(w: World) -> None:
    with w.nft(
        "table inet fence { chain out { type filter hook output priority 0; "
        "ip daddr 10.77.0.3 udp dport 53 drop; }; }"
    ):
        r = w.actor("""
            import socket, dnswire as d
            for mode in ("connect", "sendto"):
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                q = d.query("blocked-%s.test" % mode, "A", 77)
                try:
                    if mode == "connect":
                        s.connect(("10.77.0.3", 53)); s.send(q)
                    else:
                        s.sendto(q, ("10.77.0.3", 53))
                except PermissionError:
                    actor.note_lookup("blocked-%s.test" % mode, "A", "denied")
                    actor.note_denial("blocked-%s.test" % mode, 53, "udp")
                s.close()
        """)
    check_everything(r)
    for e in r.records("egress.denied"):
        assert e["peer"] == "10.77.0.3" and e["dns.question.type"] == "A", e


@scenario()
def blocked_dns_server_with_a_fallback(w: World) -> None:
    with w.nft(
        "table inet fence { chain out { type filter hook output priority 0; "
        "ip daddr 10.77.0.3 udp dport 53 drop; }; }"
    ):
        w.write_resolv("nameserver 10.77.0.3\nnameserver 10.77.0.1\noptions timeout:1 attempts:2\n")
        try:
            r = w.actor("""
                import socket
                got = socket.getaddrinfo("a.test", 8080, socket.AF_INET, socket.SOCK_STREAM)
                actor.note_lookup("a.test", "A", "ok", [g[4][0] for g in got])
                actor.note_denial("a.test", 53, "udp")
            """)
        finally:
            w.write_resolv("nameserver 10.77.0.1\noptions timeout:1 attempts:2\n")
    check_everything(r)


@scenario()
def flood_of_denied_attempts_is_counted_exactly(w: World) -> None:
    """More denials than the ring holds: lost records are reported, and the counter stays exact."""
    n = 2000 if w.slow else 20000
    with w.nft(
        "table inet fence { chain out { type filter hook output priority 0; "
        "ip daddr 10.77.8.0/24 udp dport 9001 drop; }; }"
    ):
        w.exec(["ip", "route", "replace", "10.77.8.0/24", "via", "10.77.0.1"])
        r = w.actor(
            """
            import socket
            denied = 0
            for i in range(%d):
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                try:
                    s.sendto(b"x", ("10.77.8.%%d" %% (i %% 250), 9001))
                except PermissionError:
                    denied += 1
                s.close()
            print(denied)
        """
            % n,
            options=["--ring-bytes", "4096"],
        )
    denied = int(r.stdout.split()[0])
    assert denied == n
    assert r.metric("sandbox.egress.denied", "layer", "network.transport") == {
        ("netfilter", "udp"): n
    }, r.metrics
    assert r.report["totals"]["denied"] == n


@scenario()
def report_lists_denials(w: World) -> None:
    with w.nft(DROP):
        done = subprocess.run(
            w.in_sandbox_net(
                [w.sandpiper, "exec", "--", "curl", "-s", "--max-time", "1", "http://10.77.0.4/"]
            ),
            capture_output=True,
            timeout=60,
        )
    text = done.stdout.decode()
    assert "denied" in text and "1 denied" in text, text


@scenario("linux-5.10", "linux-6.1")
def every_mechanism_gives_the_same_records(w: World) -> None:
    """The mechanisms for kernels without drop reasons, where they exist and are allowed."""
    avoid = []
    for mechanism in ("tp_btf", "tp_btf (call site)"):
        avoid += ["--avoid", "egress.denied:" + mechanism]
        with w.nft(DROP):
            r = w.actor(
                """
                import socket
                s = socket.socket()
                s.settimeout(0.3)
                try:
                    s.connect(("10.77.0.4", 80))
                except socket.timeout:
                    actor.note_flow("10.77.0.4", 80, "tcp", "denied")
                    actor.note_denial("10.77.0.4", 80, "tcp")
                s.close()
                for connected in (True, False):
                    actor.udp("10.77.0.4", 9001, connected=connected)
                    actor.note_denial("10.77.0.4", 9001, "udp")
            """,
                options=avoid,
            )
        (probe,) = [p for p in r.report["probes"] if p["probe"] == "egress.denied"]
        if probe.get("mechanism"):
            assert (
                probe["mechanism"] in ("tp_btf (call site)", "fexit")
                and "egress.denied:" + probe["mechanism"] not in avoid
            ), probe
            check_everything(r)
        else:  # the gap is reported
            assert (
                any("egress.denied" in g for g in r.report["gaps"]) or not r.report["complete"]
            ), r.report
