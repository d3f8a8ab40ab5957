# SPDX-License-Identifier: Apache-2.0
"""Actions of programs in a sandbox. Each function acts, checks the result itself, and notes both as
the truth, to which the scenario compares sandpiper's records.

print_truth() prints the truth as one line of JSON. Nothing here knows sandpiper. Functions named
note_* add facts that the calling program knows from its own system calls. expect_denied() and
correct_last_flow() add facts that only the scenario knows.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import dnswire as d

TRUTH = {
    "pid": os.getpid(),
    "lookups": [],
    "flows": [],
    "execs": [],
    "denials": [],
    "ignored_answers": 0,
    "malformed": 0,
}
_idents = iter(range(1000, 65000))
_lock = threading.Lock()

OUTCOMES = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ETIMEDOUT: "timeout",
    errno.EADDRNOTAVAIL: "other",
    errno.EPERM: "denied",
    errno.EACCES: "denied",
}


def print_truth() -> None:
    """The last action of every program: the scenario reads this line."""
    print(json.dumps({"truth": TRUTH}))


def note(kind: str, **fact: Any) -> None:
    with _lock:
        TRUTH[kind].append(fact)


def family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def note_lookup(
    name: str,
    qtype: str | int,
    outcome: str,
    ips: Sequence[str] = (),
    transport: str = "udp",
    server: str = "",
) -> None:
    """Notes a lookup. A type given as a number has the name of RFC 3597, as TYPE65280. `server` is
    the one that was asked last."""
    note(
        "lookups",
        name=name.lower().rstrip(".") or ".",
        type=qtype if isinstance(qtype, str) else f"TYPE{qtype}",
        outcome=outcome,
        ips=sorted(ips),
        transport=transport,
        server=server,
    )


def lookup(
    name: str,
    qtype: str | int = "A",
    server: str = "10.77.0.1",
    mode: str = "connected",
    edns: int = 0,
    timeout: float = 3.0,
    ident: int | None = None,
    sock: socket.socket | None = None,
    port: int = 53,
    mapped: bool = False,
    record: bool = True,
) -> tuple[str, list[str]]:
    """Looks a name up over UDP as a resolver does: it ignores bad answers until a good one arrives
    or the time is up. `mode` is the system call: connected (connect + send), sendto, sendmsg,
    write."""
    ident = next(_idents) if ident is None else ident
    q = d.query(name, qtype, ident, edns)
    target = ("::ffff:" + server) if mapped else server
    s = sock or socket.socket(family(target), socket.SOCK_DGRAM)
    if mode in ("connected", "write") and sock is None:
        s.connect((target, port))
    if mode == "connected":
        s.send(q)
    elif mode == "write":
        os.write(s.fileno(), q)
    elif mode == "sendto":
        s.sendto(q, (target, port))
    elif mode == "sendmsg":
        s.sendmsg([q], [], 0, (target, port))
    outcome, ips, saw_malformed = None, (), False
    end = time.monotonic() + timeout
    while outcome is None:
        left = end - time.monotonic()
        if left <= 0:
            outcome = "malformed" if saw_malformed else "timeout"
            break
        s.settimeout(left)
        try:
            m, peer = s.recvfrom(65535)
        except TimeoutError:
            continue
        if mode in ("sendto", "sendmsg") and peer[0] != target:
            TRUTH["ignored_answers"] += 1
            continue
        try:
            got_id, truncated, rcode, qname, got_type, ips = d.parse(reject_malformed_names(m))
        except (ValueError, IndexError, struct.error):
            TRUTH["malformed"] += 1
            saw_malformed = True
            continue
        if (
            got_id != ident
            or (qname.lower() or ".") != name.lower()
            or got_type != d.TYPES.get(qtype, qtype)
        ):
            TRUTH["ignored_answers"] += 1
            continue
        if truncated:
            if sock is None:
                s.close()
            return lookup_tcp([(name, qtype)], server, ident=ident)
        outcome = d.RCODES.get(rcode, "other")
    if sock is None:
        s.close()
    if record:
        note_lookup(name, qtype, outcome, ips, server=server)
    return outcome, list(ips)


def reject_malformed_names(m: bytes) -> bytes:
    """Rejects names that a careful parser must reject, so that the truth has only well-formed
    messages."""
    if len(m) < 12:
        raise ValueError("short")
    qd, an = struct.unpack("!2H", m[4:8])
    at = skip_name(m, 12) + 4
    for _ in range(an):
        at = skip_name(m, at)
        n = struct.unpack("!H", m[at + 8 : at + 10])[0]
        at += 10 + n
        if at > len(m):
            raise ValueError("past the end of the message")
    return m


def skip_name(m: bytes, at: int) -> int:
    """Returns the offset after a name at offset `at`, or raises ValueError if it is malformed."""
    while True:
        n = m[at]
        if n & 0xC0 == 0xC0:
            if struct.unpack("!H", m[at : at + 2])[0] & 0x3FFF >= at:
                raise ValueError("pointer not backwards")
            return at + 2
        if n > 63:
            raise ValueError("label over 63")
        at += n + 1
        if n == 0:
            return at


def lookup_tcp(
    questions: Sequence[tuple[str, str]],
    server: str = "10.77.0.1",
    trickle: bool = False,
    ident: int | None = None,
    record_flow: bool = True,
) -> tuple[str, list[str]]:
    """Looks names up over one TCP connection; returns the outcome and the addresses of the last
    one. All queries are in one segment, or `trickle` sends one byte a segment."""
    s = socket.socket(family(server), socket.SOCK_STREAM)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.connect((server, 53))
    wire, expected = b"", {}
    for name, qtype in questions:
        i = next(_idents) if ident is None else ident
        q = d.query(name, qtype, i)
        wire += struct.pack("!H", len(q)) + q
        expected[i] = (name, qtype)
    if trickle:
        for i in range(len(wire)):
            s.send(wire[i : i + 1])
            time.sleep(0.002)
    else:
        s.sendall(wire)
    received, outcome, ips = 0, "", []
    for _ in questions:
        n = struct.unpack("!H", read_exactly(s, 2))[0]
        m = read_exactly(s, n)
        received += n + 2
        got_id, _, rcode, _, _, ips = d.parse(m)
        name, qtype = expected.pop(got_id)
        outcome = d.RCODES.get(rcode, "other")
        note_lookup(name, qtype, outcome, ips, transport="tcp", server=server)
    s.close()
    if record_flow:
        note_flow(server, 53, "tcp", "established", len(wire), received, dns=True)
    return outcome, ips


def read_exactly(s: socket.socket, n: int) -> bytes:
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def note_flow(
    peer: str,
    port: int,
    transport: str,
    outcome: str,
    sent: int = 0,
    received: int = 0,
    host: str | None = None,
    dns: bool = False,
    reset: bool = False,
) -> None:
    """Notes an attempt. `host` is the name that an earlier lookup resolved to `peer`; `dns` marks a
    connection that carries lookups; `reset` says that the peer ended it with RST."""
    note(
        "flows",
        peer=peer.replace("::ffff:", "") if "." in peer else peer,
        port=port,
        transport=transport,
        outcome=outcome,
        sent=sent,
        received=received,
        host=host,
        dns=dns,
        reset=reset,
    )


def note_denial(
    target: str, port: int, transport: str, layer: str = "netfilter", count: int = 1
) -> None:
    """Notes a denial that the caller expects. `target` is the name, or else the address."""
    note("denials", target=target, port=port, transport=transport, layer=layer, count=count)


def correct_last_flow(**fields: Any) -> None:
    """Sets fields of the last noted flow that the actor could not see: the bytes that a child sent
    on an inherited socket, or an ICMP error that came after the actor's last call."""
    with _lock:
        TRUTH["flows"][-1].update(fields)


def expect_denied(peer: str, port: int, transport: str, count: int = 1) -> None:
    """Notes that a rule denied the last flow, with `count` denials. The actor cannot know this: a
    drop looks to it like a timeout, and a reject like a closed port or an unreachable host. The
    scenario knows, because it loaded the rule."""
    flow = TRUTH["flows"][-1]
    assert (flow["peer"], flow["port"], flow["transport"]) == (peer, port, transport), flow
    correct_last_flow(outcome="denied")
    note_denial(peer, port, transport, count=count)


def note_ignored_answers(count: int) -> None:
    """Notes answers that a program read from its own socket after the lookup had ended. lookup()
    counts those that it ignores itself."""
    with _lock:
        TRUTH["ignored_answers"] += count


def note_result(key: str, value: Any) -> None:
    """Adds a value to the truth for the checks of this scenario alone."""
    with _lock:
        TRUTH[key] = value


def tcp(
    host_or_ip: str,
    port: int = 8080,
    send: bytes = b"ping",
    name: str | None = None,
    blocking: bool = True,
    mapped: bool = False,
    keep: bool = False,
) -> str | socket.socket:
    """Connects, sends and reads the echo to the end. `name` is the name that an earlier lookup
    resolved to this address."""
    target = ("::ffff:" + host_or_ip) if mapped else host_or_ip
    s = socket.socket(family(target), socket.SOCK_STREAM)
    outcome, received = "established", 0
    try:
        if blocking:
            s.connect((target, port))
        else:
            connect_nonblocking(s, (target, port))
        s.sendall(send)
        if send:
            s.shutdown(socket.SHUT_WR)
            while part := s.recv(65536):
                received += len(part)
    except OSError as e:
        outcome = OUTCOMES.get(e.errno, "other")
    note_flow(
        host_or_ip,
        port,
        "tcp",
        outcome,
        len(send) if outcome == "established" else 0,
        received,
        name,
    )
    if keep:
        return s
    s.close()
    return outcome


def connect_nonblocking(s: socket.socket, address: tuple[Any, ...]) -> None:
    import select

    s.setblocking(False)
    code = s.connect_ex(address)
    if code == errno.EINPROGRESS:
        p = select.poll()
        p.register(s, select.POLLOUT)
        p.poll(20000)
        code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    s.setblocking(True)
    if code:
        raise OSError(code, os.strerror(code))


def udp(
    ip: str,
    port: int = 9000,
    payloads: Sequence[bytes] = (b"ping",),
    connected: bool = True,
    answered: bool = True,
    name: str | None = None,
    mapped: bool = False,
    sock: socket.socket | None = None,
) -> None:
    """Sends datagrams and reads an echo for each, if one is expected."""
    target = ("::ffff:" + ip) if mapped else ip
    s = sock or socket.socket(family(target), socket.SOCK_DGRAM)
    s.settimeout(3)
    sent = received = 0
    outcome = "other"
    try:
        if connected:
            s.connect((target, port))
        for p in payloads:
            sent += s.send(p) if connected else s.sendto(p, (target, port))
            if answered:
                received += len(s.recv(65535))
                outcome = "established"
    except OSError as e:
        outcome = OUTCOMES.get(e.errno, "other") if received == 0 else outcome
    if sock is None:
        s.close()
    note_flow(ip, port, "udp", outcome, sent, received, name)


def run(argv: Sequence[str | bytes], **popen: Any) -> int:
    """Runs a program and notes how it ended. argv may be bytes."""
    p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **popen)
    code = p.wait()
    note(
        "execs",
        argv=[os.fsdecode(a) for a in argv],
        pid=p.pid,
        **({"signal": -code} if code < 0 else {"code": code}),
    )
    return code


def fork_and_wait(function: Callable[[], int]) -> tuple[int, int]:
    """Forks without exec; the exit status of the child is the result of `function`."""
    pid = os.fork()
    if pid == 0:
        os._exit(function() or 0)
    _, status = os.waitpid(pid, 0)
    return pid, status


def run_threads(functions: Sequence[Callable[[], object]]) -> None:
    running = [threading.Thread(target=f) for f in functions]
    for t in running:
        t.start()
    for t in running:
        t.join()
