# SPDX-License-Identifier: Apache-2.0
"""The egress sidecar of OpenSandbox, rebuilt from its documents: a DNS proxy behind a redirect, its
rules and sets, and its way to apply them. It is run as `policy proxy` here. Nothing in it knows
sandpiper.

    opensandbox.py LOOKUPS RULES

RULES is 0 for the redirect only, as in its mode `dns`, or 1 for the filter table too, as in
`dns+nft`. It answers LOOKUPS queries and ends. It prints `ready`, and at the end one JSON line with
its transactions and denied names.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import dnswire as d

ALLOWED = ("a.test", "b.test", "files.test", "many3.test", "nx.test")
MARK = 1

REDIRECT = """table ip opensandbox_dns_redirect { chain output {
  type nat hook output priority -100; meta mark 0x1 return; udp dport 53 redirect to :15353; }; }
"""

TABLE = """table inet opensandbox {
  set allow_v4 { type ipv4_addr; flags interval; elements = { 127.0.0.1, 10.77.0.1, %s }; }
  set allow_v6 { type ipv6_addr; flags interval; }
  set deny_v4 { type ipv4_addr; flags interval; elements = { %s }; }
  set deny_v6 { type ipv6_addr; flags interval; }
  set dyn_allow_v4 { type ipv4_addr; timeout 360s; }
  set dyn_allow_v6 { type ipv6_addr; timeout 360s; }
  chain egress {
    type filter hook output priority 0; policy drop;
    ct state established,related accept
    meta mark 0x1 accept
    oifname "lo" accept
    tcp dport 853 drop
    udp dport 853 drop
    ip daddr @deny_v4 drop
    ip6 daddr @deny_v6 drop
    ip daddr @dyn_allow_v4 accept
    ip6 daddr @dyn_allow_v6 accept
    ip daddr @allow_v4 accept
    ip6 daddr @allow_v6 accept
    counter drop
  }
}
"""


class Nft:
    def __init__(self) -> None:
        self.committed = self.aborted = 0

    def run(self, script: str, expect: bool = True) -> bool:
        ok = (
            subprocess.run(
                ["nft", "-f", "-"], input=script.encode(), stderr=subprocess.DEVNULL
            ).returncode
            == 0
        )
        self.committed += ok
        self.aborted += not ok
        assert ok or not expect, script
        return ok

    def apply_static(self, allow: str = "203.0.113.0/24", deny: str = "198.51.100.7") -> None:
        """Sends one batch that deletes and creates the table. The first one fails because there is
        no table, and is sent again without the delete."""
        table = TABLE % (allow, deny)
        if not self.run("delete table inet opensandbox\n" + table, expect=False):
            self.run(table)

    def add_resolved(self, addresses: Sequence[str], ttl: int) -> None:
        elements = ", ".join("%s timeout %ds" % (a, min(max(ttl + 60, 60), 360)) for a in addresses)
        self.run("add element inet opensandbox dyn_allow_v4 { %s }" % elements)


def main() -> None:
    lookups, rules = int(sys.argv[1]), int(sys.argv[2])
    nft = Nft()
    listen = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listen.bind(("127.0.0.1", 15353))
    nft.run(REDIRECT)
    if rules:
        nft.apply_static()
    print("ready", flush=True)
    denied, added = [], []
    for _ in range(lookups):
        q, peer = listen.recvfrom(4096)
        name, at = d.read_name(q, 12)
        if name not in ALLOWED:
            denied.append(name)
            listen.sendto(d.answer(q, rcode=3), peer)
            continue
        up = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        up.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        up.connect(("10.77.0.1", 53))
        up.send(q)
        answer = up.recv(4096)
        up.close()
        addresses = d.parse(answer)[5] if struct.unpack("!H", q[at : at + 2])[0] == 1 else []
        if rules and addresses:
            nft.add_resolved(addresses, 60)
            added.append([time.clock_gettime_ns(time.CLOCK_BOOTTIME), addresses])
        listen.sendto(answer, peer)
    print(
        json.dumps(
            {"committed": nft.committed, "aborted": nft.aborted, "denied": denied, "added": added}
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
