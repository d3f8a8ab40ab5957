# SPDX-License-Identifier: Apache-2.0
"""guest.py DEVICE HOST_MAC: a machine behind a tap with its own network stack, so that no socket of
the host carries its packets.

Acts, and prints the truth as one line of JSON. Nothing here knows sandpiper.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import dnswire

OWN, MAC = "10.90.0.2", bytes.fromhex("020000000002")
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def packed(address: str) -> bytes:
    return bytes(int(x) for x in address.split("."))


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Guest:
    def __init__(self, device: str, host_mac: str) -> None:
        self.host_mac = host_mac
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(
            self.fd, 0x400454CA, struct.pack("16sH22x", device.encode(), 0x0002 | 0x1000)
        )  # TUNSETIFF, IFF_TAP | IFF_NO_PI

    def send(self, peer: str, protocol: int, segment: bytes) -> None:
        pseudo = packed(OWN) + packed(peer) + struct.pack("!BBH", 0, protocol, len(segment))
        at = 16 if protocol == 6 else 6
        segment = segment[:at] + struct.pack("!H", checksum(pseudo + segment)) + segment[at + 2 :]
        header = struct.pack(
            "!BBHHHBBH4s4s",
            0x45,
            0,
            20 + len(segment),
            0,
            0,
            64,
            protocol,
            0,
            packed(OWN),
            packed(peer),
        )
        header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
        os.write(self.fd, self.host_mac + MAC + b"\x08\x00" + header + segment)

    def receive(self, wanted: Callable[[str, int, bytes], Any], limit: float = 5.0) -> Any:
        """Returns the first segment for which wanted(peer, protocol, segment) returns a value; None
        after the time limit."""
        end = time.monotonic() + limit
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                break
            frame = os.read(self.fd, 65536)
            if frame[12:14] != b"\x08\x00":
                continue
            ip = frame[14 : 14 + struct.unpack("!H", frame[16:18])[0]]
            found = wanted(".".join(map(str, ip[12:16])), ip[9], ip[20:])
            if found is not None:
                return found
        return None

    def udp(
        self,
        peer: str,
        port: int,
        own: int,
        payload: bytes,
        answered: bool = True,
        limit: float = 5.0,
    ) -> bytes | None:
        self.send(peer, 17, struct.pack("!4H", own, port, 8 + len(payload), 0) + payload)
        if not answered:
            return None
        return self.receive(
            lambda p, proto, s: (
                s[8:] if (p, proto, s[:4]) == (peer, 17, struct.pack("!2H", port, own)) else None
            ),
            limit,
        )

    def lookup(self, name: str, server: str, own: int = 40000) -> Any:
        """Sends the query, and sends it again after a while, as a resolver does."""
        query = dnswire.query(name, "A", own)
        for _ in range(2):
            answer = self.udp(server, 53, own, query, limit=1.0)
            if answer:
                return dnswire.parse(answer)
        return None

    def segment(self, c: Any, flags: int, payload: bytes = b"") -> None:
        self.send(
            c["peer"],
            6,
            struct.pack(
                "!HHIIBBHHH", c["own"], c["port"], c["seq"], c["ack"], 5 << 4, flags, 65535, 0, 0
            )
            + payload,
        )

    def next_segment(self, c: Any, limit: float = 5.0) -> Any:
        def wanted(peer: str, protocol: int, s: bytes) -> Any:
            if (peer, protocol, s[:4]) != (c["peer"], 6, struct.pack("!2H", c["port"], c["own"])):
                return None
            seq, ack, offset, flags = struct.unpack("!IIBB", s[4:14])
            return seq, ack, flags, s[(offset >> 4) * 4 :]

        return self.receive(wanted, limit)

    def tcp(
        self,
        peer: str,
        port: int,
        own: int,
        payload: bytes = b"",
        syns: int = 1,
        again: bool = False,
    ) -> tuple[str, int]:
        """Connects with up to `syns` SYNs, sends, and reads to the end. `again` sends the payload
        twice, as after a loss."""
        c = {"peer": peer, "port": port, "own": own, "seq": 1000000000 + own, "ack": 0}
        for _ in range(syns):
            self.segment(c, SYN)
            reply = self.next_segment(c, 5.0 if syns == 1 else 0.5)
            if reply:
                break
        if not reply:
            return "timeout", 0
        seq, _, flags, _ = reply
        if flags & RST:
            return "refused", 0
        c["seq"] += 1
        c["ack"] = (seq + 1) & 0xFFFFFFFF
        self.segment(c, ACK)
        for _ in range(2 if again else 1):
            self.segment(c, ACK | PSH, payload)
        c["seq"] += len(payload)
        self.segment(c, ACK | FIN)
        c["seq"] += 1
        received = 0
        while reply := self.next_segment(c):
            seq, _, flags, data = reply
            if flags & RST:
                return "reset", received
            if seq == c["ack"]:
                received += len(data)
                c["ack"] = (c["ack"] + len(data) + (flags & FIN)) & 0xFFFFFFFF
                self.segment(c, ACK)
                if flags & FIN:
                    break
        return "established", received


def main() -> None:
    guest = Guest(sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")))
    truth = {}
    for line in sys.stdin:
        step, method, *arguments = json.loads(line)
        got = getattr(guest, method)(
            *[a.encode() if isinstance(a, str) and i == 3 else a for i, a in enumerate(arguments)]
        )
        truth[step] = got.hex() if isinstance(got, bytes) else got
    print(json.dumps({"truth": truth}))


if __name__ == "__main__":
    main()
