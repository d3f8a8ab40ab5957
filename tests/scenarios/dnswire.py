# SPDX-License-Identifier: Apache-2.0
"""Builds and parses DNS messages for servers and actors of scenarios. Written from RFC 1035,
independently of sandpiper."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "HTTPS": 65}
RCODES = {0: "ok", 2: "servfail", 3: "nxdomain", 5: "refused"}


def name(text: str) -> bytes:
    out = b""
    for label in text.encode("latin-1").split(b"."):
        if label:
            out += bytes([len(label)]) + label
    return out + b"\0"


def query(qname: str, qtype: str, ident: int, edns: int = 0) -> bytes:
    raw = qname if isinstance(qname, bytes) else name(qname)
    q = (
        struct.pack("!6H", ident, 0x0100, 1, 0, 0, 1 if edns else 0)
        + raw
        + struct.pack("!2H", TYPES.get(qtype, qtype), 1)
    )
    if edns:
        q += b"\0" + struct.pack("!HHIH", 41, edns, 0, 0)
    return q


def read_name(m: bytes, at: int) -> tuple[str, int]:
    labels, jumped, end = [], False, at
    while True:
        n = m[at]
        if n & 0xC0 == 0xC0:
            if not jumped:
                end = at + 2
            at, jumped = struct.unpack("!H", m[at : at + 2])[0] & 0x3FFF, True
            continue
        if n == 0:
            return ".".join(labels), end if jumped else at + 1
        labels.append(m[at + 1 : at + 1 + n].decode("latin-1"))
        at += n + 1


def record(owner: bytes, rtype: str, data: bytes, ttl: int = 60) -> bytes:
    return owner + struct.pack("!HHIH", TYPES[rtype], 1, ttl, len(data)) + data


def answer(q: bytes, records: Sequence[bytes] = (), rcode: int = 0, flags: int = 0) -> bytes:
    """Builds an answer to query q with these wire records."""
    ident = q[:2]
    _, end = read_name(q, 12)
    return (
        ident
        + struct.pack("!5H", 0x8180 | flags | rcode, 1, len(records), 0, 0)
        + q[12 : end + 4]
        + b"".join(records)
    )


def opcode(m: bytes) -> int:
    return m[2] >> 3 & 15


def question_count(m: bytes) -> int:
    return int(struct.unpack("!H", m[4:6])[0])


def response(q: bytes) -> bytes:
    """Builds a response without records to a message of any opcode."""
    return q[:2] + bytes([0x80 | (q[2] & 0x79), 0]) + b"\0" * 8


def with_additional(message: bytes, records: Sequence[bytes]) -> bytes:
    count = struct.unpack("!H", message[10:12])[0] + len(records)
    return message[:10] + struct.pack("!H", count) + message[12:] + b"".join(records)


def with_edns(message: bytes, extended_rcode: int) -> bytes:
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, extended_rcode << 24, 0)
    return with_additional(message, [opt])


def address(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def parse(m: bytes) -> tuple[int, bool, int, str, int, list[str]]:
    """Parses a well-formed message into (id, truncated, rcode, question name, type number,
    addresses)."""
    ident, flags, qd, an, _, _ = struct.unpack("!6H", m[:12])
    qname, at = read_name(m, 12)
    qtype = struct.unpack("!H", m[at : at + 2])[0]
    at += 4
    addresses = []
    for _ in range(an):
        if at >= len(m):
            break
        _, at = read_name(m, at)
        rtype, _, _, n = struct.unpack("!HHIH", m[at : at + 10])
        at += 10
        if rtype in (1, 28):
            addresses.append(str(ipaddress.ip_address(m[at : at + n])))
        at += n
    return ident, bool(flags & 0x200), flags & 15, qname, qtype, addresses
