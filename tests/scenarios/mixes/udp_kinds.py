# SPDX-License-Identifier: Apache-2.0
"""Datagrams that are no lookups."""

from __future__ import annotations

import socket

import actor
import dnswire as d

from mixes.dns_kinds import UDP_SEGMENT
from mixes.kinds import Action, disconnect, kind

ECHO, SINK, CLOSED = 9000, 9001, 1
MIXED_PEERS = "a connected socket that also sends to another address is recorded with one peer"


def datagram_socket(ip: str) -> socket.socket:
    s = socket.socket(actor.family(ip), socket.SOCK_DGRAM)
    s.settimeout(3)
    return s


def send(ip: str, *payloads: bytes, **options: object) -> None:
    """Sends datagrams to the echo server, and expects an answer to each."""
    actor.udp(ip, ECHO, payloads, **options)
    flow = actor.TRUTH["flows"][-1]
    assert flow["received"] == flow["sent"], f"the peer did not answer: {flow}"


def note_answered(ip: str, sent: int, received: int) -> None:
    actor.note_flow(ip, ECHO, "udp", "established" if received else "other", sent, received)


@kind()
def udp_connected(a: Action) -> None:
    send(a.ip(), *(a.payload(1400) for _ in range(3)))


@kind()
def udp_addressed(a: Action) -> None:
    send(a.ip(), *(a.payload(1400) for _ in range(3)), connected=False)


@kind()
def udp_mapped(a: Action) -> None:
    send(a.ip4(), a.payload(900), connected=a.pick(True, False), mapped=True)


@kind()
def udp_fragments(a: Action) -> None:
    send(a.ip(), b"f" * a.pick(3000, 9000), connected=a.pick(True, False))


@kind()
def udp_empty_datagram(a: Action) -> None:
    actor.udp(a.ip(), port=SINK, payloads=[b"", b"x"], answered=False)


@kind()
def udp_many_peers(a: Action) -> None:
    """One socket sends to many addresses."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for host in range(1, a.rng.randint(3, 20)):
        send(a.ip4(host), a.payload(300), connected=False, sock=s)
    s.close()


@kind()
def udp_refused(a: Action) -> None:
    actor.udp(a.ip(), port=CLOSED, payloads=[a.payload(100)])


@kind()
def udp_without_an_answer(a: Action) -> None:
    payloads = [a.payload(100) for _ in range(3)]
    actor.udp(a.ip(), SINK, payloads, connected=a.pick(True, False), answered=False)


@kind()
def udp_no_route(a: Action) -> None:
    ip = a.pick("192.0.2.%d" % a.number, "2001:db8::%x" % a.number)
    actor.udp(ip, connected=False)


@kind()
def udp_connect_alone(a: Action) -> None:
    """A connect sends nothing: there is no attempt."""
    ip = a.ip()
    with datagram_socket(ip) as s:
        s.connect((ip, ECHO))


@kind()
def udp_connect_twice(a: Action) -> None:
    """One socket, connected to one peer and then to another."""
    with datagram_socket(a.ip4()) as s:
        for host in (1, 2):
            s.connect((a.ip4(host), ECHO))
            data = a.payload(500)
            s.send(data)
            note_answered(a.ip4(host), len(data), len(s.recv(65535)))


@kind()
def udp_unspecified_family(a: Action) -> None:
    """The socket is connected, disconnected, and then sends to another peer."""
    with datagram_socket(a.ip4()) as s:
        s.connect((a.ip4(1), ECHO))
        sent = s.send(a.payload(300))
        note_answered(a.ip4(1), sent, len(s.recv(65535)))
        disconnect(s)
        send(a.ip4(2), a.payload(300), connected=False, sock=s)


@kind()
def udp_segmented(a: Action) -> None:
    """One send, which the kernel cuts into three datagrams."""
    ip, size = a.ip(), a.rng.randint(100, 1000)
    with datagram_socket(ip) as s:
        s.connect((ip, ECHO))
        s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        sent = s.send(b"g" * size * 3)
        note_answered(ip, sent, sum(len(s.recv(65535)) for _ in range(3)))


@kind()
def udp_in_threads(a: Action) -> None:
    """Each thread has its own socket."""
    peers = [(a.ip(i + 1), a.payload(200)) for i in range(6)]
    actor.run_threads([lambda p=p: actor.udp(p[0], payloads=[p[1]]) for p in peers])


@kind()
def udp_shared_over_fork(a: Action) -> None:
    ip, data = a.ip(), a.payload(400)
    with datagram_socket(ip) as s:
        s.connect((ip, ECHO))
        s.send(b"parent")
        s.recv(100)

        def child() -> int:
            s.send(data)
            return 0 if s.recv(65535) == data else 1

        pid, status = actor.fork_and_wait(child)
        a.forked(status, pid)
        assert status == 0
    note_answered(ip, len(data) + 6, len(data) + 6)


@kind()
def udp_loopback(a: Action) -> None:
    host = a.pick("127.0.0.1", "::1")
    with datagram_socket(host) as server, datagram_socket(host) as client:
        server.bind((host, 0))
        port = server.getsockname()[1]
        client.sendto(b"hello", (host, port))
        data, peer = server.recvfrom(100)
        server.sendto(data, peer)
        client.recv(100)
    actor.note_flow(host, port, "udp", "established", 5, 5)


@kind(off=MIXED_PEERS)
def udp_connected_and_addressed(a: Action) -> None:
    """connect(A), sendto(B), send(): the last one goes to A."""
    with datagram_socket(a.ip4()) as s:
        s.connect((a.ip4(1), ECHO))
        s.sendto(b"other", (a.ip4(2), SINK))
        s.send(b"first")
        received = len(s.recv(65535))
    actor.note_flow(a.ip4(2), SINK, "udp", "other", 5, 0)
    note_answered(a.ip4(1), 5, received)


@kind(weight=1, slow=True, off=MIXED_PEERS)
def udp_connected_and_asking(a: Action) -> None:
    """connect(A), a query to a DNS server by sendto, send() to A. The socket does not receive the
    server's answer, because it is connected to A."""
    server, name = a.ip4(53), a.name("ok")
    with datagram_socket(a.ip4()) as s:
        s.connect((a.ip4(1), ECHO))
        s.sendto(d.query(name, "A", a.number + 1), (server, 53))
        s.send(b"first")
        received = len(s.recv(65535))
    actor.note_lookup(name, "A", "timeout", server=server)
    note_answered(a.ip4(1), 5, received)


@kind(off=MIXED_PEERS)
def dns_connected_and_sending(a: Action) -> None:
    """connect(server), sendto(B), and a query to the server by send()."""
    server, name = a.ip4(53), a.name("ok")
    with datagram_socket(server) as s:
        s.connect((server, 53))
        s.sendto(b"other", (a.ip4(2), SINK))
        outcome, _ = actor.lookup(name, "A", server, sock=s)
        assert outcome == "ok", outcome
    actor.note_flow(a.ip4(2), SINK, "udp", "other", 5, 0)
