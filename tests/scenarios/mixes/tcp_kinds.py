# SPDX-License-Identifier: Apache-2.0
"""TCP connections: each way to start one, each way in which it ends."""

from __future__ import annotations

import errno
import select
import socket
import time

import actor

from mixes.kinds import Action, Unavailable, kind

ECHO, RESETS, CLOSES_FIRST, FAST_OPEN, MULTIPATH = 8080, 8081, 8082, 8083, 8084
CLOSED, SILENT = 1, 9
SO_ZEROCOPY, MSG_ZEROCOPY, MSG_FASTOPEN, IPPROTO_MPTCP = 60, 0x4000000, 0x20000000, 262
TCP_SYN_SENT = b"\x02"


def expect(outcome: object, *wanted: str) -> None:
    assert outcome in wanted, f"the connection was {outcome} instead of {wanted}"


def exchange(s: socket.socket, data: bytes) -> None:
    """Sends bytes and reads their echo."""
    s.sendall(data)
    actor.read_exactly(s, len(data))


def note_established(ip: str, port: int, n: int, **more: object) -> None:
    actor.note_flow(ip, port, "tcp", "established", n, n, **more)


def connected(ip: str, port: int = ECHO) -> socket.socket:
    return socket.create_connection((ip, port))


def wait_for_syn(s: socket.socket) -> None:
    while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != TCP_SYN_SENT:
        time.sleep(0.002)


@kind()
def tcp_blocking(a: Action) -> None:
    expect(actor.tcp(a.ip(), send=a.payload()), "established")


@kind()
def tcp_poll(a: Action) -> None:
    expect(actor.tcp(a.ip(), send=a.payload(), blocking=False), "established")


@kind()
def tcp_select(a: Action) -> None:
    ip, port = a.ip(), a.pick(ECHO, CLOSED)
    s = socket.socket(actor.family(ip))
    s.setblocking(False)
    code = s.connect_ex((ip, port))
    if code == errno.EINPROGRESS:
        select.select([], [s], [])
        code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    s.close()
    actor.note_flow(ip, port, "tcp", actor.OUTCOMES.get(code, "other") if code else "established")


@kind()
def tcp_epoll(a: Action) -> None:
    """Several connections at once, on one epoll."""
    poll, open_sockets = select.epoll(), {}
    for host in range(1, 5):
        ip, port = a.ip(host), a.pick(ECHO, ECHO, CLOSED)
        s = socket.socket(actor.family(ip))
        s.setblocking(False)
        code = s.connect_ex((ip, port))
        if code == errno.EINPROGRESS:
            poll.register(s, select.EPOLLOUT)
            open_sockets[s.fileno()] = (s, ip, port)
        else:
            actor.note_flow(ip, port, "tcp", actor.OUTCOMES.get(code, "other"))
            s.close()
    while open_sockets:
        for fd, _ in poll.poll():
            s, ip, port = open_sockets.pop(fd)
            poll.unregister(s)
            code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            outcome = actor.OUTCOMES.get(code, "other") if code else "established"
            actor.note_flow(ip, port, "tcp", outcome)
            s.close()
    poll.close()


@kind()
def tcp_mapped(a: Action) -> None:
    ip, port = a.ip4(), a.pick(ECHO, CLOSED)
    actor.tcp(ip, port, send=a.payload(), mapped=True, blocking=a.pick(True, False))


@kind()
def tcp_common_destination(a: Action) -> None:
    """Every sandbox connects to these addresses."""
    actor.tcp(a.pick("10.79.255.1", "fd79::ff:1"), send=a.payload())


@kind()
def tcp_in_threads(a: Action) -> None:
    attempts = [(a.ip(i + 1), a.pick(ECHO, CLOSED, ECHO), a.payload(100)) for i in range(8)]
    actor.run_threads([lambda x=x: actor.tcp(*x) for x in attempts])


@kind()
def tcp_refused(a: Action) -> None:
    expect(actor.tcp(a.ip(), CLOSED, blocking=a.pick(True, False)), "refused")


@kind()
def tcp_no_route(a: Action) -> None:
    ip = a.pick("192.0.2.%d" % a.number, "2001:db8::%x" % a.number)
    expect(actor.tcp(ip, blocking=a.pick(True, False)), "unreachable")


@kind(weight=1, slow=True)
def tcp_no_host(a: Action) -> None:
    """The neighbour does not answer. Either that is known first, or the last SYN times out."""
    ip, is_blocking = a.place.link % (a.number + 2), a.pick(True, False)
    expect(actor.tcp(ip, blocking=is_blocking), "unreachable", "timeout")


@kind(weight=1, slow=True)
def tcp_timeout(a: Action) -> None:
    expect(actor.tcp(a.ip(), SILENT, blocking=a.pick(True, False)), "timeout")


@kind()
def tcp_no_local_address(a: Action) -> None:
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    code = s.connect_ex((a.ip4(), ECHO))
    s.close()
    assert code, "a socket with a loopback address connected"
    actor.note_flow(a.ip4(), ECHO, "tcp", actor.OUTCOMES.get(code, "other"))


@kind()
def tcp_cancelled(a: Action) -> None:
    ip = a.ip()
    s = socket.socket(actor.family(ip))
    s.setblocking(False)
    assert s.connect_ex((ip, SILENT)) == errno.EINPROGRESS
    time.sleep(a.pick(0, 0.05, 0.2))
    s.close()
    actor.note_flow(ip, SILENT, "tcp", "cancelled")


@kind()
def tcp_fast_open(a: Action) -> None:
    """The first connection gets a cookie. The SYN of the second one has data."""
    for _ in range(2):
        data = a.payload(500)
        s = socket.socket()
        s.sendto(data, MSG_FASTOPEN, (a.ip4(), FAST_OPEN))
        actor.read_exactly(s, len(data))
        s.close()
        note_established(a.ip4(), FAST_OPEN, len(data))


@kind()
def tcp_multipath(a: Action) -> None:
    ip, data = a.ip(), a.payload()
    try:
        s = socket.socket(actor.family(ip), socket.SOCK_STREAM, IPPROTO_MPTCP)
    except OSError as e:
        raise Unavailable(f"MPTCP: {e.strerror}") from e
    s.connect((ip, a.pick(MULTIPATH, ECHO)))
    port = s.getpeername()[1]
    exchange(s, data)
    s.close()
    note_established(ip, port, len(data))


@kind()
def tcp_loopback(a: Action) -> None:
    host = a.pick("127.0.0.1", "::1")
    with socket.create_server((host, 0), family=actor.family(host)) as server:
        port = server.getsockname()[1]
        client = connected(host, port)
        accepted, _ = server.accept()
        client.sendall(b"hello")
        actor.read_exactly(accepted, 5)
        client.close()
        accepted.close()
    actor.note_flow(host, port, "tcp", "established", 5, 0)


@kind()
def tcp_io_uring(a: Action) -> None:
    a.trigger("connect-uring", a.ip4(), str(a.pick(ECHO, CLOSED)))
