# SPDX-License-Identifier: Apache-2.0
"""The servers of the scenarios: DNS that behaves as the queried name says, plain TCP and UDP."""

from __future__ import annotations

import socket
import socketserver
import struct
import sys
import threading
import time
from typing import Any

import dnswire as d

PTR = b"\xc0\x0c"  # pointer to the name of the question
# The addresses of the plain servers. Names resolve to A and AAAA.
A, A2, AAAA = "10.77.0.4", "10.77.0.3", "fd77::4"
DNS, DNS2, DNS6 = "10.77.0.1", "10.77.0.3", "fd77::1"


def padded(q: bytes, total: int) -> bytes:
    """Builds a TXT answer of exactly `total` bytes."""
    room = total - len(d.answer(q))
    data, _records = b"", []
    room -= 12  # the record's header after the pointer
    while room > 0:
        n = min(255, room - 1)
        data += bytes([n]) + b"x" * n
        room -= n + 1
        if room == 1:  # a lone length byte
            data, room = data + b"\0", 0
    message = d.answer(q, [d.record(PTR, "TXT", data)])
    assert len(message) == total, (len(message), total)
    return message


def malformed(kind: str, q: bytes) -> bytes:
    head = q[:2] + struct.pack("!5H", 0x8180, 1, 1, 0, 0)
    question = q[12 : d.read_name(q, 12)[1] + 4]
    end = 12 + len(question)
    if kind == "loop":  # points at itself
        return head + question + struct.pack("!H", 0xC000 | end) + b"\0\1\0\1\0\0\0\1\0\4\1\2\3\4"
    if kind == "forward":
        return (
            head
            + question
            + struct.pack("!H", 0xC000 | (end + 10))
            + b"\0\1\0\1\0\0\0\1\0\4\1\2\3\4"
        )
    if kind == "label":  # 64 is a reserved kind of label
        return head + question + b"\x40" + b"a" * 64 + b"\0\0\1\0\1\0\0\0\1\0\4\1\2\3\4"
    if kind == "counts":
        return q[:2] + struct.pack("!5H", 0x8180, 1, 65535, 0, 0) + question
    if kind == "rdlength":
        return head + question + PTR + b"\0\1\0\1\0\0\0\1\xff\xff\1\2\3\4"
    if kind == "empty":
        return b""
    raise ValueError(kind)


def respond(q: bytes, tcp: bool, server_name: str) -> list[bytes | float]:
    """The messages to send back, in order. A number among them is a pause in seconds."""
    if d.opcode(q) != 0 or not d.question_count(q):
        return [d.response(q)]
    qname, _ = d.read_name(q, 12)
    host = qname.lower()
    label = host.split(".")[0]
    qtype = struct.unpack("!H", q[d.read_name(q, 12)[1] :][:2])[0]
    records = {
        1: [d.record(PTR, "A", d.address(A))],
        28: [d.record(PTR, "AAAA", d.address(AAAA))],
    }.get(qtype, [])
    if label == "nx" or host.endswith(".search.test") or label.startswith("nx-"):
        return [d.answer(q, rcode=3)]
    if label in ("servfail", "refused"):
        return [d.answer(q, rcode={"servfail": 2, "refused": 5}[label])]
    if label == "notimp":
        return [d.answer(q, rcode=4)]
    if label == "badvers":
        return [d.with_edns(d.answer(q), 1)]
    if label == "badcookie":
        return [d.with_edns(d.answer(q, rcode=7), 1)]
    if label == "hints" and qtype == 65:
        hints = struct.pack("!HB", 1, 0) + struct.pack("!2H", 4, 4) + d.address(A)
        hints += struct.pack("!2H", 6, 16) + d.address(AAAA)
        return [d.answer(q, [d.record(PTR, "HTTPS", hints)])]
    if qtype == 33:
        target = d.name("node1.test")
        srv = d.record(PTR, "SRV", struct.pack("!3H", 0, 0, 8080) + target)
        return [d.with_additional(d.answer(q, [srv]), [d.record(target, "A", d.address(A))])]
    if label == "foreign":
        return [d.answer(q, [d.record(d.name("other.test"), "A", d.address(A))])]
    if label == "wrongtype":
        return [d.answer(q, [d.record(PTR, "A", d.address(A))])]
    if label == "mapped":
        return [d.answer(q, [d.record(PTR, "AAAA", d.address("::ffff:" + A))])]
    if label == "silent":
        return []
    if label == "once":  # only the second server answers
        return [d.answer(q, records)] if server_name == "second" else []
    if label == "tc" and not tcp:
        return [d.answer(q, flags=0x200)]
    if label == "cname":
        c1, c2 = d.name("c1.test"), d.name("c2.test")
        return [
            d.answer(
                q,
                [
                    d.record(PTR, "CNAME", c1),
                    d.record(c1, "CNAME", c2),
                    d.record(c2, "A", d.address(A)),
                ],
            )
        ]
    if label.startswith("many"):
        return [
            d.answer(
                q,
                [
                    d.record(PTR, "A", d.address("10.77.1.%d" % i))
                    for i in range(1, int(label[4:] or 20) + 1)
                ],
            )
        ]
    if label.startswith("size"):
        return [padded(q, int(label[4:]))]
    if label == "slow":
        return [0.3, d.answer(q, records)]
    if label == "wrongq":  # another question first
        return [
            d.answer(d.query("other.test", qtype, struct.unpack("!H", q[:2])[0]), records),
            0.1,
            d.answer(q, records),
        ]
    if label == "wrongid":
        return [bytes([q[0] ^ 0xFF, q[1]]) + d.answer(q, records)[2:], 0.1, d.answer(q, records)]
    if label.startswith("mal-"):
        return [malformed(label[4:], q)]
    if label.startswith("malok-"):
        return [malformed(label[6:], q), 0.1, d.answer(q, records)]
    return [d.answer(q, records)]


def serve_udp(address: str, server_name: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((address, 53))
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind((DNS2 if address == DNS else DNS, 0 if server_name == "second" else 5353))

    def reply(q: bytes, peer: Any) -> None:
        try:
            if d.read_name(q, 12)[0].startswith("wrongaddr"):
                other.sendto(d.answer(q, [d.record(PTR, "A", d.address("10.77.9.9"))]), peer)
                time.sleep(0.1)
            for part in respond(q, False, server_name):
                if isinstance(part, float):
                    time.sleep(part)
                else:
                    s.sendto(part, peer)
        except (ValueError, IndexError, struct.error):
            pass  # a malformed query gets no answer

    while True:
        q, peer = s.recvfrom(65535)
        threading.Thread(target=reply, args=(q, peer), daemon=True).start()


def serve_tcp_dns(address: str, server_name: str) -> None:
    class Handler(socketserver.BaseRequestHandler):
        def exactly(self, n: int) -> bytes:
            data = b""
            while len(data) < n:
                part = self.request.recv(n - len(data))
                if not part:
                    raise EOFError
                data += part
            return data

        def handle(self) -> None:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while True:
                    q = self.exactly(struct.unpack("!H", self.exactly(2))[0])
                    split = d.read_name(q, 12)[0].startswith("split")
                    for part in respond(q, True, server_name):
                        if isinstance(part, float):
                            time.sleep(part)
                            continue
                        message = struct.pack("!H", len(part)) + part
                        if not split:
                            self.request.sendall(message)
                            continue
                        for i in range(len(message)):  # one byte a segment
                            self.request.sendall(message[i : i + 1])
                            time.sleep(0.002)
            except (EOFError, OSError, IndexError, struct.error):
                pass

    tcp_server((address, 53), Handler)


def tcp_server(address: str, handler: type[socketserver.BaseRequestHandler]) -> None:
    class Server(socketserver.ThreadingTCPServer):
        address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        allow_reuse_address, daemon_threads, request_queue_size = True, True, 512

    server = Server(address, handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


class Echo(socketserver.BaseRequestHandler):
    """Echoes all bytes until the client shuts down its side."""

    def handle(self) -> None:
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except OSError:
            pass


class Http(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while self.rfile.readline() not in (b"\r\n", b""):
            pass
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")


class Reset(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()


def udp_echo(address: str, port: int) -> None:
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, port))
    while True:
        data, peer = s.recvfrom(65535)
        s.sendto(data, peer)


def udp_sink(address: str, port: int) -> None:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, port))
    while True:
        s.recvfrom(65535)


def main() -> None:
    for address, server_name in ((DNS, "first"), (DNS2, "second"), (DNS6, "first")):
        threading.Thread(target=serve_udp, args=(address, server_name), daemon=True).start()
        serve_tcp_dns(address, server_name)
    for address in (A, A2, AAAA):
        tcp_server((address, 8080), Echo)
        tcp_server((address, 80), Http)
        tcp_server((address, 8081), Reset)
        threading.Thread(target=udp_echo, args=(address, 9000), daemon=True).start()
    threading.Thread(target=udp_sink, args=(A, 9001), daemon=True).start()
    time.sleep(0.3)
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
