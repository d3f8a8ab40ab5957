# SPDX-License-Identifier: Apache-2.0
"""Lookups: each way to ask, and each way in which a server misbehaves."""

from __future__ import annotations

import socket
import time

import actor
import dnswire as d

from mixes.kinds import SECOND_SERVER, Action, kind

UDP_SEGMENT = 103


def expect(outcome: str, wanted: str) -> None:
    assert outcome == wanted, f"the lookup was {outcome} instead of {wanted}"


def ask(a: Action, behaviour: str, wanted: str = "ok", **options: object) -> list[str]:
    """Looks up A or AAAA at a server of either family, and expects this outcome."""
    options = {"qtype": a.pick("A", "AAAA"), "server": a.server(), **options}
    outcome, ips = actor.lookup(a.name(behaviour), **options)
    expect(outcome, wanted)
    return ips


@kind()
def dns_connected(a: Action) -> None:
    ask(a, "ok", mode=a.pick("connected", "write"))


@kind()
def dns_addressed(a: Action) -> None:
    ask(a, "ok", mode=a.pick("sendto", "sendmsg"))


@kind()
def dns_ipv6_server(a: Action) -> None:
    ask(a, "ok", server=a.ip6(53), edns=a.pick(0, 1232))


@kind()
def dns_mapped_server(a: Action) -> None:
    """An IPv6 socket asks an IPv4 server."""
    ask(a, "ok", server=a.ip4(53), mapped=True, mode=a.pick("connected", "sendto"))


@kind()
def dns_edns(a: Action) -> None:
    ask(a, "ok", edns=a.pick(512, 1232, 4096))


@kind()
def dns_other_types(a: Action) -> None:
    for qtype in ("TXT", "MX", "NS"):
        actor.lookup(a.name("ok"), qtype, server=a.server())


@kind()
def dns_mixed_case(a: Action) -> None:
    actor.lookup(a.name("ok").title(), "A", server=a.server())


@kind()
def dns_nxdomain(a: Action) -> None:
    ask(a, "nx", "nxdomain")


@kind()
def dns_servfail(a: Action) -> None:
    ask(a, "servfail", "servfail")


@kind()
def dns_refused(a: Action) -> None:
    ask(a, "refused", "refused")


@kind()
def dns_not_implemented(a: Action) -> None:
    ask(a, "notimp", "other")


@kind()
def dns_cname_chain(a: Action) -> None:
    assert ask(a, "cname")


@kind()
def dns_several_addresses(a: Action) -> None:
    ips = ask(a, "many", qtype="A")
    assert len(ips) == 5, ips


def connect_by_name(a: Action, behaviour: str) -> None:
    """Connections to each address of an answer have the name of the question."""
    for ip in ask(a, behaviour):
        is_blocking = a.pick(True, False)
        actor.tcp(ip, 8080, send=a.payload(), name=a.name(behaviour), blocking=is_blocking)


@kind()
def dns_named_connection(a: Action) -> None:
    connect_by_name(a, a.pick("cname", "ok"))


@kind()
def dns_named_addresses(a: Action) -> None:
    connect_by_name(a, "many")


@kind()
def dns_retry(a: Action) -> None:
    """The first query gets no answer. The same query, sent again, is no second lookup."""
    server, name = a.server(), a.name("second-try")
    s = socket.socket(actor.family(server), socket.SOCK_DGRAM)
    s.connect((server, 53))
    s.send(d.query(name, "A", a.number + 1))
    time.sleep(0.2)
    outcome, _ = actor.lookup(name, "A", server, sock=s, ident=a.number + 1)
    s.close()
    expect(outcome, "ok")


@kind()
def dns_second_server(a: Action) -> None:
    """A resolver asks its second server, because the first one is silent."""
    name = a.name("once")
    first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    first.sendto(d.query(name, "A", a.number + 1), (a.ip4(53), 53))
    time.sleep(0.1)
    server = a.ip4(SECOND_SERVER)
    outcome, _ = actor.lookup(name, "A", server, ident=a.number + 1, mode="sendto", sock=first)
    first.close()
    expect(outcome, "ok")


@kind(prompt=True)
def dns_truncated(a: Action) -> None:
    """The answer over UDP has the TC bit: the same lookup continues over TCP."""
    ask(a, "tc")


@kind()
def dns_duplicate_answer(a: Action) -> None:
    server = a.server()
    s = socket.socket(actor.family(server), socket.SOCK_DGRAM)
    s.connect((server, 53))
    outcome, _ = actor.lookup(a.name("twice"), "A", server, sock=s)
    expect(outcome, "ok")
    s.recv(4096)
    actor.note_ignored_answers(1)
    s.close()


@kind()
def dns_forged_id(a: Action) -> None:
    ask(a, "wrongid")


@kind()
def dns_other_question(a: Action) -> None:
    ask(a, "wrongq")


@kind()
def dns_late_answer(a: Action) -> None:
    ask(a, "slow")


@kind(weight=1, slow=True)
def dns_silent(a: Action) -> None:
    ask(a, "silent", "timeout", timeout=0.5)


@kind(weight=1, slow=True)
def dns_malformed_answer(a: Action) -> None:
    ask(a, "mal-" + a.pick("loop", "forward", "label", "counts"), "malformed", timeout=0.5)


@kind()
def dns_malformed_then_good(a: Action) -> None:
    ask(a, "malok-" + a.pick("loop", "forward", "label", "counts"))


@kind()
def dns_answer_of_another_address(a: Action) -> None:
    """The answer comes from an address that was not asked. The socket is not connected, so that
    the program gets to see it."""
    ask(a, "wrongaddr", server=a.ip4(53), mode=a.pick("sendto", "sendmsg"))


@kind()
def dns_tcp(a: Action) -> None:
    expect(actor.lookup_tcp([(a.name("ok"), a.pick("A", "AAAA"))], a.server())[0], "ok")


@kind()
def dns_tcp_many_questions(a: Action) -> None:
    questions = [(a.name(f"q{i}"), a.pick("A", "AAAA")) for i in range(4)]
    actor.lookup_tcp(questions, a.server(), trickle=a.pick(True, False))


@kind()
def dns_tcp_split_answer(a: Action) -> None:
    actor.lookup_tcp([(a.name("split"), "A")], a.server())


@kind()
def dns_many_on_one_socket(a: Action) -> None:
    """One socket, two servers, several questions."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for i in range(4):
        server = a.ip4(a.pick(53, SECOND_SERVER))
        expect(actor.lookup(a.name(f"q{i}"), "A", server, mode="sendto", sock=s)[0], "ok")
    s.close()


@kind()
def dns_in_threads(a: Action) -> None:
    servers = [a.server() for _ in range(8)]

    def look_up(i: int) -> None:
        actor.lookup(a.name(f"t{i}"), "A", servers[i])

    actor.run_threads([lambda i=i: look_up(i) for i in range(8)])


@kind()
def dns_sendmmsg(a: Action) -> None:
    a.trigger("dns-sendmmsg", a.ip4(53))


@kind()
def dns_io_uring(a: Action) -> None:
    a.trigger("dns-uring", a.ip4(53))


@kind()
def dns_and_a_peer_on_one_socket(a: Action) -> None:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    actor.lookup(a.name("q0"), "A", a.ip4(53), mode="sendto", sock=s)
    actor.udp(a.ip4(2), payloads=[a.payload(900)], connected=False, sock=s)
    actor.lookup(a.name("q1"), "A", a.ip4(53), mode="sendto", sock=s)
    s.close()


@kind(off="a UDP_SEGMENT send with several queries is recorded as one lookup")
def dns_segmented(a: Action) -> None:
    """One send of several queries, which the kernel cuts into datagrams."""
    names = [a.name(f"g{i}") for i in range(3)]
    queries = [d.query(name, "A", a.number * 8 + i) for i, name in enumerate(names)]
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(3)
    s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(queries[0]))
    s.sendto(b"".join(queries), (a.ip4(53), 53))
    for _ in names:
        _, _, rcode, name, _, ips = d.parse(s.recv(4096))
        actor.note_lookup(name, "A", d.RCODES.get(rcode, "other"), ips, server=a.ip4(53))
    s.close()
