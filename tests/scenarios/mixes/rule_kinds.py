# SPDX-License-Identifier: Apache-2.0
"""nftables in a sandbox's own network namespace: commits, commits that the kernel refuses, and
packets that the rules drop or reject. Each action has its own table, and its rules stay in force
unless the action removes them."""

from __future__ import annotations

import errno
import socket
import subprocess
import time

import actor
import dnswire as d

from mixes.kinds import Action, kind

TCP_SYNCNT = 7
CHAIN = "table inet %s { chain out { type filter hook output priority 0; policy accept; %s }; }"
SINK = 9001


def nft(a: Action, script: str, refused: bool = False) -> None:
    """Runs nft with a script on its standard input, and expects its success or failure."""

    argv = ["nft", "-f", "-"]
    p = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    _, errors = p.communicate(script.encode())
    actor.note("execs", argv=argv, pid=p.pid, code=p.returncode)
    assert (p.returncode != 0) == refused, (script, p.returncode, errors)


def add_rules(a: Action, *rules: tuple[str, str]) -> None:
    """Commits a table with (address and further conditions, verdict of nft) for each rule."""
    nft(a, table(a, *rules))
    a.transaction("static")
    note_rules("rules", rules)


def table(a: Action, *rules: tuple[str, str]) -> str:
    lines = [f"{'ip6' if ':' in ip else 'ip'} daddr {ip} {verdict};" for ip, verdict in rules]
    return CHAIN % (a.word, " ".join(lines))


def note_rules(which: str, rules: tuple[tuple[str, str], ...]) -> None:
    for ip, verdict in rules:
        actor.note(which, action="allow" if verdict == "accept" else "deny", target=ip)


def connect_denied(ip: str, seconds: float = 0.2) -> None:
    """Connects while a rule drops the SYN."""
    s = socket.socket(actor.family(ip))
    s.settimeout(seconds)
    try:
        s.connect((ip, 8080))
        raise AssertionError("the connection was not denied")
    except TimeoutError:
        actor.note_flow(ip, 8080, "tcp", "denied")
        actor.note_denial(ip, 8080, "tcp")
    s.close()


@kind(rules=True)
def rules_added(a: Action) -> None:
    add_rules(a, *((a.ip(host), a.pick("accept", "drop")) for host in range(1, 6)))


@kind(rules=True)
def rules_added_one_by_one(a: Action) -> None:
    add_rules(a, (a.ip4(1), "drop"))
    for host in (2, 3):
        nft(a, f"add rule inet {a.word} out ip daddr {a.ip4(host)} drop")
        a.transaction("static")
        note_rules("rules", ((a.ip4(host), "drop"),))


@kind(rules=True)
def rules_replaced(a: Action) -> None:
    """One batch deletes the table and creates it with other rules."""
    old, kept, new = ((a.ip4(host), "drop") for host in (1, 2, 3))
    add_rules(a, old, kept)
    nft(a, f"delete table inet {a.word}\n{table(a, kept, new)}")
    a.transaction("static")
    note_rules("removed_rules", (old,))
    note_rules("rules", (new,))


@kind(rules=True)
def rules_removed(a: Action) -> None:
    rules = ((a.ip4(1), "drop"), (a.ip6(2), "accept"))
    add_rules(a, *rules)
    nft(a, f"delete table inet {a.word}")
    a.transaction("flush")
    note_rules("removed_rules", rules)


@kind(rules=True)
def rules_with_timed_elements(a: Action) -> None:
    """Elements with a timeout change no rule, but each batch counts."""
    nft(a, f"table inet {a.word} {{ set learned {{ type ipv4_addr; flags timeout; }}; }}")
    a.transaction("static")
    for host in (1, 2):
        nft(a, f"add element inet {a.word} learned {{ {a.ip4(host)} timeout 600s }}")
        a.transaction("dynamic")


@kind(rules=True)
def rules_refused(a: Action) -> None:
    add_rules(a, (a.ip4(1), "drop"))
    nft(a, f"create table inet {a.word}", refused=True)
    actor.note("refusals", error="EEXIST")


@kind(rules=True)
def rules_refused_without_privilege(a: Action) -> None:
    argv = ["setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all"]
    command = ["nft", "add", "table", "inet", a.word]
    done = a.run([*argv, *command])
    assert done.code != 0
    actor.note("replacements", argv=command, pid=done.pid)
    actor.note("refusals", error="EPERM")


@kind(rules=True)
def rules_only_checked_and_listed(a: Action) -> None:
    a.run(["nft", "-c", "add", "table", "inet", a.word])
    a.run(["nft", "list", "ruleset"])


@kind(rules=True)
def deny_tcp_drop(a: Action) -> None:
    ip = a.ip()
    add_rules(a, (ip, "drop"))
    connect_denied(ip)


@kind(rules=True)
def deny_tcp_reject(a: Action) -> None:
    ip = a.ip()
    target, verdict = a.pick((ip, "reject"), (f"{ip} tcp dport 8080", "reject with tcp reset"))
    add_rules(a, (target, verdict))
    outcome = actor.tcp(ip, blocking=a.pick(True, False))
    assert outcome in ("refused", "unreachable", "other"), outcome
    actor.expect_denied(ip, 8080, "tcp")


@kind(rules=True, slow=True)
def deny_then_allow(a: Action) -> None:
    """The rule is removed before the last SYN: the attempt is denied once, and established."""
    ip = a.ip()
    add_rules(a, (ip, "drop"))
    s = socket.socket(actor.family(ip))
    # The last SYN follows the removal of the rule, on a slow machine too.
    s.setsockopt(socket.IPPROTO_TCP, TCP_SYNCNT, 5)
    s.setblocking(False)
    assert s.connect_ex((ip, 8080)) == errno.EINPROGRESS
    time.sleep(0.1)
    nft(a, f"delete table inet {a.word}")
    a.transaction("flush")
    note_rules("removed_rules", ((ip, "drop"),))
    s.settimeout(30)
    while s.connect_ex((ip, 8080)) not in (0, errno.EISCONN):
        time.sleep(0.1)
    s.sendall(b"allowed")
    actor.read_exactly(s, 7)
    s.close()
    actor.note_denial(ip, 8080, "tcp")
    actor.note_flow(ip, 8080, "tcp", "established", 7, 7)


@kind(rules=True)
def deny_udp_drop(a: Action) -> None:
    ip, count = a.ip(), a.rng.randint(1, 5)
    add_rules(a, (ip, "drop"))
    with socket.socket(actor.family(ip), socket.SOCK_DGRAM) as s:
        is_connected = a.pick(True, False)
        if is_connected:
            s.connect((ip, SINK))
        for _ in range(count):
            try:
                s.send(b"x") if is_connected else s.sendto(b"x", (ip, SINK))
                raise AssertionError("the datagram was not denied")
            except PermissionError:
                pass
    actor.note_flow(ip, SINK, "udp", "denied")
    actor.note_denial(ip, SINK, "udp", count=count)


@kind(rules=True)
def deny_udp_reject(a: Action) -> None:
    ip = a.ip()
    add_rules(a, (ip, "reject"))
    actor.udp(ip, 9000)
    actor.correct_last_flow(sent=0)  # the datagram was rejected
    actor.expect_denied(ip, 9000, "udp")


@kind(rules=True)
def deny_lookup(a: Action) -> None:
    server, name = a.server(), a.name("ok")
    add_rules(a, (server, "drop"))
    with socket.socket(actor.family(server), socket.SOCK_DGRAM) as s:
        try:
            s.sendto(d.query(name, "A", a.number + 1), (server, 53))
            raise AssertionError("the query was not denied")
        except PermissionError:
            actor.note_lookup(name, "A", "denied", server=server)
            actor.note_denial(name, 53, "udp")


@kind(rules=True)
def deny_named_destination(a: Action) -> None:
    _, ips = actor.lookup(a.name("ok"), "A", a.server())
    add_rules(a, (ips[0], "drop"))
    connect_denied(ips[0])
    actor.correct_last_flow(host=a.name("ok"))
    actor.TRUTH["denials"][-1]["target"] = a.name("ok")
