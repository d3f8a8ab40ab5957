# SPDX-License-Identifier: Apache-2.0
"""TCP connections: each way to send data, and each way in which a connection or its user ends."""

from __future__ import annotations

import os
import signal
import socket
import struct
import tempfile

import actor

from mixes.kinds import Action, disconnect, kind
from mixes.tcp_kinds import (
    CLOSED,
    CLOSES_FIRST,
    ECHO,
    RESETS,
    SILENT,
    connected,
    exchange,
    expect,
    note_established,
    wait_for_syn,
)

SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000


@kind()
def tcp_megabyte(a: Action) -> None:
    actor.tcp(a.ip(), send=b"m" * a.pick(300_000, 1_000_000))


@kind()
def tcp_without_data(a: Action) -> None:
    actor.tcp(a.ip(), send=b"", blocking=a.pick(True, False))


@kind()
def tcp_reset_by_peer(a: Action) -> None:
    ip = a.ip()
    s = connected(ip, RESETS)
    s.send(b"x")
    try:
        s.recv(1)
        raise AssertionError("the peer did not reset the connection")
    except ConnectionResetError:
        actor.note_flow(ip, RESETS, "tcp", "established", 1, 0, reset=True)
    s.close()


@kind()
def tcp_reset_by_us(a: Action) -> None:
    """SO_LINGER 0: close sends RST."""
    ip, data = a.ip(), a.payload()
    s = connected(ip)
    exchange(s, data)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    note_established(ip, ECHO, len(data))


@kind()
def tcp_peer_closes_first(a: Action) -> None:
    ip, data = a.ip(), a.payload()
    s = connected(ip, CLOSES_FIRST)
    assert s.recv(1) == b""
    s.sendall(data)
    s.close()
    actor.note_flow(ip, CLOSES_FIRST, "tcp", "established", len(data), 0)


@kind()
def tcp_half_close(a: Action) -> None:
    ip, data = a.ip(), a.payload()
    s = connected(ip)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    actor.read_exactly(s, len(data))
    assert s.recv(1) == b""
    s.close()
    note_established(ip, ECHO, len(data))


@kind()
def tcp_connect_again(a: Action) -> None:
    """One socket: refused, and then connected elsewhere."""
    s = socket.socket()
    for host, port in ((1, CLOSED), (2, CLOSED), (3, ECHO)):
        code = s.connect_ex((a.ip4(host), port))
        outcome = actor.OUTCOMES.get(code, "other") if code else "established"
        expect(outcome, "established" if port == ECHO else "refused")
        actor.note_flow(a.ip4(host), port, "tcp", outcome)
    s.close()


@kind()
def tcp_unspecified_family(a: Action) -> None:
    """connect() to AF_UNSPEC ends the connection, and the socket connects again."""
    s, data = socket.socket(), a.payload(900)
    for host in (1, 2):
        s.connect((a.ip4(host), ECHO))
        exchange(s, data)
        note_established(a.ip4(host), ECHO, len(data))
        disconnect(s)
    s.close()


@kind()
def tcp_shared_over_fork(a: Action) -> None:
    """The child sends on the parent's connection."""
    ip, data = a.ip(), a.payload()
    s = connected(ip)

    def child() -> int:
        exchange(s, data)
        return 5

    pid, status = actor.fork_and_wait(child)
    a.forked(status, pid)
    exchange(s, b"parent")
    s.close()
    note_established(ip, ECHO, len(data) + 6)


@kind()
def tcp_killed_while_connecting(a: Action) -> None:
    """The child has the only descriptor of the socket when it is killed."""
    ip = a.ip()
    s = socket.socket(actor.family(ip))
    pid = os.fork()
    if pid == 0:
        s.connect((ip, SILENT))
        os._exit(99)
    wait_for_syn(s)
    s.close()
    os.kill(pid, signal.SIGKILL)
    a.forked(os.waitpid(pid, 0)[1], pid)
    actor.note_flow(ip, SILENT, "tcp", "cancelled")
    actor.TRUTH["flows"][-1]["acted_by"] = pid


@kind()
def tcp_killed_while_connected(a: Action) -> None:
    ip, data = a.ip(), a.payload()
    s = connected(ip)
    exchange(s, data)
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(99)
    s.close()
    os.kill(pid, signal.SIGKILL)
    a.forked(os.waitpid(pid, 0)[1], pid)
    note_established(ip, ECHO, len(data))


@kind()
def tcp_sendfile(a: Action) -> None:
    ip, data = a.ip(), a.payload(60_000)
    s = connected(ip)
    with tempfile.TemporaryFile(dir=a.place.folder) as f:
        f.write(data)
        f.flush()
        at = 0
        while at < len(data):
            at += os.sendfile(s.fileno(), f.fileno(), at, len(data) - at)
    actor.read_exactly(s, len(data))
    s.close()
    note_established(ip, ECHO, len(data))


@kind()
def tcp_zerocopy(a: Action) -> None:
    ip, data = a.ip(), a.payload(60_000)
    s = connected(ip)
    s.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    at = 0
    while at < len(data):
        at += s.send(data[at:], MSG_ZEROCOPY)
    actor.read_exactly(s, len(data))
    s.close()
    note_established(ip, ECHO, len(data))
