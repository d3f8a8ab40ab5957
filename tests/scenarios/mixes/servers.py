# SPDX-License-Identifier: Apache-2.0
"""The servers of the mixes. All of 10.79.0.0/16 and fd79::/32 is local here, and every address has
the same servers. The names that are looked up say how a DNS server answers."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import dnswire as d
import servers

from mixes.kinds import SECOND_SERVER
from mixes.tcp_kinds import CLOSES_FIRST, ECHO, FAST_OPEN, IPPROTO_MPTCP, MULTIPATH, RESETS
from mixes.udp_kinds import ECHO as UDP_ECHO
from mixes.udp_kinds import SINK as UDP_SINK

IP_PKTINFO, IPV6_FREEBIND = 8, 78
PTR = servers.PTR
A, AAAA = 1, 28
Datagram = tuple[bytes, Any, str]  # data, peer, the local address that it came to


def address_of(name: str, qtype: int, host: int | None = None) -> bytes | None:
    """The address that a name BEHAVIOUR.hHOST.nNUMBER.mix has, or none for this type."""
    labels = name.lower().split(".")
    if labels[-1] == "test":  # the names of tests/triggers
        return d.address("10.77.0.4") if qtype == A else None
    number, host = int(labels[-2][1:]), host or int(labels[-3][1:])
    if qtype == A:
        return d.address(f"10.79.{number}.{host}")
    return d.address(f"fd79::{number:x}:{host:x}") if qtype == AAAA else None


def records(name: str, qtype: int, owner: bytes = PTR, host: int | None = None) -> list[bytes]:
    address = address_of(name, qtype, host)
    return [d.record(owner, "A" if qtype == A else "AAAA", address)] if address else []


def cname_answer(q: bytes, name: str, qtype: int) -> bytes:
    first, last = d.name("c1." + name), d.name("c2." + name)
    chain = [d.record(PTR, "CNAME", first), d.record(first, "CNAME", last)]
    return d.answer(q, chain + records(name, qtype, last))


class Retries:
    """Recognises the second query of a client. The next one is a first query again, since later
    mixes ask the same names."""

    def __init__(self) -> None:
        self._lock, self._seen = threading.Lock(), set()

    def is_second(self, question: tuple[str, int, Any]) -> bool:
        with self._lock:
            self._seen ^= {question}
            return question not in self._seen


RETRIES = Retries()


def respond(q: bytes, peer: Any, is_tcp: bool, is_second: bool) -> list[bytes | float]:
    """The messages to send back, in order. A number among them is a pause in seconds."""
    name, end = d.read_name(q, 12)
    qtype = struct.unpack("!H", q[end : end + 2])[0]
    behaviour = name.lower().split(".")[0]
    good = d.answer(q, records(name, qtype))
    rcodes = {"nx": 3, "servfail": 2, "refused": 5, "notimp": 4}
    if behaviour in rcodes:
        return [d.answer(q, rcode=rcodes[behaviour])]
    if behaviour.startswith("mal-"):
        return [servers.malformed(behaviour[4:], q)]
    if behaviour.startswith("malok-"):
        return [servers.malformed(behaviour[6:], q), 0.05, good]
    if behaviour == "many":
        several = [record for host in range(1, 6) for record in records(name, qtype, PTR, host)]
        return [d.answer(q, several)]
    other = d.query("other." + name, qtype, struct.unpack("!H", q[:2])[0])
    answers: dict[str, Callable[[], list[bytes | float]]] = {
        "silent": lambda: [],
        "once": lambda: [good] if is_second else [],
        "second-try": lambda: [good] if RETRIES.is_second((name, qtype, peer)) else [],
        "tc": lambda: [good] if is_tcp else [d.answer(q, flags=0x200)],
        "cname": lambda: [cname_answer(q, name, qtype)],
        "twice": lambda: [good, good],
        "slow": lambda: [0.15, good],
        "wrongid": lambda: [bytes([q[0] ^ 0xFF]) + good[1:], 0.05, good],
        "wrongq": lambda: [d.answer(other, records(name, qtype)), 0.05, good],
    }
    return answers.get(behaviour, lambda: [good])()


class UdpServer:
    """Receives datagrams on all addresses, and answers from the address that was asked."""

    def __init__(self, family: int, port: int) -> None:
        self.socket = s = socket.socket(family, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            # A route makes the addresses local, but no interface has them.
            s.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            self.level, self.option = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO
        else:
            s.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            self.level, self.option = socket.IPPROTO_IP, IP_PKTINFO
        s.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))

    def receive(self) -> Datagram:
        data, ancillary, _, peer = self.socket.recvmsg(65535, 256)
        info = next(value for level, _, value in ancillary if level == self.level)
        packed = info[:16] if self.level == socket.IPPROTO_IPV6 else info[8:12]
        return data, peer, socket.inet_ntop(self.socket.family, packed)

    def send(self, data: bytes, peer: Any, local: str) -> None:
        packed = socket.inet_pton(self.socket.family, local)
        is_ipv6 = self.level == socket.IPPROTO_IPV6
        info = packed + bytes(4) if is_ipv6 else bytes(4) + packed + bytes(4)
        self.socket.sendmsg([data], [(self.level, self.option, info)], 0, peer)

    def serve(self, answer: Callable[[UdpServer, Datagram], None]) -> None:
        def run() -> None:
            while True:
                answer(self, self.receive())

        threading.Thread(target=run, daemon=True).start()


def echo(server: UdpServer, datagram: Datagram) -> None:
    server.send(*datagram)


def ignore(server: UdpServer, datagram: Datagram) -> None:
    pass


def is_second(local: str) -> bool:
    return local.endswith((f".{SECOND_SERVER}", f":{SECOND_SERVER:x}"))


def answer_dns(server: UdpServer, datagram: Datagram) -> None:
    def reply() -> None:
        q, peer, local = datagram
        try:
            if d.read_name(q, 12)[0].startswith("wrongaddr"):
                other = local.rsplit(".", 1)[0] + ".99"
                server.send(d.answer(q, [d.record(PTR, "A", d.address(other))]), peer, other)
                time.sleep(0.05)
            for part in respond(q, peer, False, is_second(local)):
                if isinstance(part, float):
                    time.sleep(part)
                else:
                    server.send(part, peer, local)
        except (ValueError, IndexError, struct.error):
            pass  # a malformed query gets no answer

    threading.Thread(target=reply, daemon=True).start()


def serve_dns_stream(client: socket.socket) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = client.makefile("rb")
    while len(size := stream.read(2)) == 2:
        q = stream.read(struct.unpack("!H", size)[0])
        is_split = d.read_name(q, 12)[0].startswith("split")
        for part in respond(q, None, True, False):
            if isinstance(part, float):
                time.sleep(part)
                continue
            message = struct.pack("!H", len(part)) + part
            step = 1 if is_split else len(message)
            for at in range(0, len(message), step):
                client.sendall(message[at : at + step])
                time.sleep(0.002 if is_split else 0)


def echo_stream(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def reset(client: socket.socket) -> None:
    client.recv(1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close_first(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    while client.recv(65536):
        pass


def serve_tcp(port: int, handle: Callable[[socket.socket], None], protocol: int = 0) -> None:
    """Accepts connections over IPv6 and IPv4."""
    try:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, protocol)
    except OSError:  # a kernel without MPTCP: the same port, over TCP
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if port == FAST_OPEN:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 64)
    listener.bind(("::", port))
    listener.listen(1024)

    def one(client: socket.socket) -> None:
        # The sandbox may end the connection at any time.
        with contextlib.suppress(OSError, IndexError, struct.error), client:
            handle(client)

    def run() -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=one, args=(client,), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()


def main() -> None:
    for family in (socket.AF_INET, socket.AF_INET6):
        UdpServer(family, 53).serve(answer_dns)
        UdpServer(family, UDP_ECHO).serve(echo)
        UdpServer(family, UDP_SINK).serve(ignore)
    serve_tcp(53, serve_dns_stream)
    for port, handle in ((ECHO, echo_stream), (RESETS, reset), (CLOSES_FIRST, close_first)):
        serve_tcp(port, handle)
    serve_tcp(FAST_OPEN, echo_stream)
    serve_tcp(MULTIPATH, echo_stream, IPPROTO_MPTCP)
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
