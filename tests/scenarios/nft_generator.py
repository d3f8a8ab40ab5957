# SPDX-License-Identifier: Apache-2.0
"""Generates random rules of nft(8) over all of its expressions. They use the sets of
ruleset_text.HEAD."""

from __future__ import annotations

import ipaddress
import random

# Two equal packets may have different fates.
UNSTEADY = (
    "ip id",
    "ip6 flowlabel",
    "limit",
    "quota",
    "ct count",
    "numgen",
    "meta random",
    "meta cpu",
    "symhash",
)


class Rules:
    """Generates rules. Each method returns one random part of a rule."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def values(self, low: int, high: int, text: str = "%d") -> str:
        """A value, a range, an operator with a value, or a set of values and ranges."""
        kind = self.number(0, 5)
        a, b, c, d = sorted(self.random.sample(range(low, high), 4))
        if kind == 0:
            return text % a
        if kind == 1:
            return self.random.choice(["> ", "< ", ">= ", "<= ", "!= "]) + text % a
        if kind == 2:
            return f"{text}-{text}" % (a, b)
        if kind == 3:
            return f"!= {text}-{text}" % (a, b)
        if kind == 4:
            return "{ %s }" % ", ".join(text % i for i in (a, b, c))
        return f"{{ {text}-{text}, {text}, {text}-{text} }}" % (a, b, c, c + 1, d)

    def address(self, v6: bool = False) -> str:
        if v6:
            return "fd00:%x::%x" % (self.number(0, 9), self.number(1, 99))
        return "10.%d.%d.%d" % (self.number(0, 9), self.number(0, 3), self.number(1, 99))

    def addresses(self, v6: bool = False) -> str:
        kind = self.number(0, 6)
        one, two = self.address(v6), self.address(v6)
        bits = self.random.choice([16, 24, 32, 48, 64, 97] if v6 else [8, 13, 16, 24, 31])
        net = str(ipaddress.ip_network(f"{one}/{bits}", strict=False))
        if kind == 0:
            return one
        if kind == 1:
            return net
        if kind == 2:
            return "!= " + self.random.choice([one, net])
        if kind == 3:
            low, high = sorted((one, two), key=lambda a: int(ipaddress.ip_address(a)))
            return f"{low}-{high}" if low != high else low
        if kind == 4 or v6:
            return "{ %s, %s }" % (one, net) if one not in net else one
        base = self.number(0, 9)
        if kind == 5:
            return "{ 10.%d.0.0/24, 10.%d.1.0/24, 10.%d.3.7 }" % (base, base, base)
        return "@nets"

    def verdict_map(self) -> str:
        base, port = self.number(0, 9), self.number(1, 60000)
        a, b, c = self.random.sample(["accept", "drop", "jump late", "return", "continue"], 3)
        return self.random.choice(
            [
                f"ip daddr vmap {{ 10.{base}.0.0/24 : {a}, 10.{base}.1.0/24 : {b},"
                f" 10.{base}.2.0-10.{base}.2.9 : {c} }}",
                f"ip daddr vmap {{ 10.{base}.0.1 : {a}, 10.{base}.1.0 : {b}, * : {c} }}",
                f"tcp dport vmap {{ 0-{port} : {a}, {port + 1}-65535 : {b} }}",
                f"udp dport vmap {{ {port} : {a}, {port + 1}-{port + 9} : {b},"
                f" {port + 10} : {c} }}",
                f"ip daddr . tcp dport vmap {{ 10.{base}.0.1 . {port} : {a},"
                f" 10.{base}.0.2 . 443 : {b} }}",
                f"ip6 daddr vmap {{ fd01:{base}::/64 : {a}, fd01:{base}:0:1::/64 : {b} }}",
                "ip daddr vmap @fate",
                f"ct state vmap {{ established : {a}, related : {b}, invalid : {c} }}",
                f"meta skuid vmap {{ 0 : {a}, 1000-1999 : {b} }}",
                f"meta mark vmap {{ 0x10-0x1f : {a}, 0x20 : {b}, 0x21-0x2f : {c} }}",
                "ip protocol vmap { tcp : accept, udp : drop }",
            ]
        )

    def conditions(self) -> list[str]:
        """One of each kind. Each is of another expression, key or form."""
        n, values, choice = self.number, self.values, self.random.choice
        flags = ["fin", "syn", "rst", "psh", "ack", "urg"]
        some = lambda names: ",".join(self.random.sample(names, 2))  # noqa: E731
        port = f"{choice(['tcp', 'udp', 'th', 'sctp', 'dccp', 'udplite'])} {choice('sd')}port"
        mask = 1 << n(0, 30) | 1 << n(0, 30)
        return [
            "ip daddr " + self.addresses(),
            "ip saddr " + self.addresses(),
            "ip6 daddr " + self.addresses(True),
            "ip6 saddr " + self.addresses(True),
            f"ip saddr {self.address()} ip daddr {self.address()}",
            f"ip daddr & 255.255.0.255 == 10.0.0.{n(1, 250)}",
            f"ip daddr & 0.0.{n(1, 255)}.0 != 0.0.0.0",
            f"ip daddr . tcp dport {{ {self.address()} . {n(1, 99)}, 10.0.9.0/28 . 80-90 }}",
            f"ip saddr . ip daddr {{ {self.address()} . {self.address()} }}",
            f"meta skuid . ip daddr {{ {n(1, 9)}00-1000 . 10.{n(0, 9)}.0.0/16 }}",
            f"meta mark . tcp dport {{ {n(1, 9)}-10 . 80, 0x20 . 90-99 }}",
            f"ip daddr {{ {self.address()}, * }}",
            f"{port} {values(1, 65000)}",
            f"tcp sport {n(1, 9999)} tcp dport {n(1, 9999)}",
            f"udp sport {n(1, 9999)} udp dport {n(1, 9999)}",
            f"udp length {values(8, 1500)}",
            f"tcp sequence {values(1, 1 << 31)}",
            f"tcp window {values(1, 65000)}",
            f"tcp doff {n(5, 15)}",
            f"tcp flags {choice(['', '== ', '!= '])}{some(flags)}",
            f"tcp flags {choice(flags)} / {','.join(flags)}",
            f"tcp flags & ({choice(flags)} | cwr) == 0",
            f"tcp flags {{ {choice(flags)}, syn | ack, cwr }}",
            f"tcp flags & (fin | syn | rst) {choice(['==', '!='])} {choice(flags[:3])}",
            f"tcp option maxseg size {values(500, 1500)}",
            f"tcp option {choice(['sack-perm', 'window'])} {choice(['exists', 'missing'])}",
            f"ip dscp {choice(['cs1', 'af21', 'ef', '!= cs0', '{ cs1, af11, 0x03 }', '0x2a'])}",
            f"ip6 dscp {choice(['cs2', 'af41', '!= ef', '0x05'])}",
            f"ip6 flowlabel {n(1, 0xFFFFF)}",
            f"ip ecn {choice(['ce', 'ect0', 'ect1'])}",
            f"ip ttl {values(1, 250)}",
            f"ip length {values(20, 1500)}",
            f"ip id {values(1, 65000)}",
            f"ip frag-off & 0x{n(1, 0x1FFF):x} {choice(['==', '!='])} 0",
            f"ip protocol {choice(['tcp', 'icmp', '!= udp', '{ tcp, udp, 99 }', '6-17'])}",
            f"ip protocol tcp tcp dport {n(1, 999)}",
            f"ip version {choice('45')} ip hdrlength {n(5, 15)}",
            f"ip6 nexthdr {choice(['tcp', 'udp', 'ipv6-icmp', '!= 99'])}",
            f"ip6 hoplimit {values(1, 250)}",
            f"icmp type {choice(['echo-request', '!= echo-reply', '{ 77, redirect }', '77'])}",
            f"icmp type echo-request icmp code {n(0, 9)}",
            f"icmp type {choice(['echo-request', 'echo-reply'])} icmp id {n(1, 999)}",
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, %d }" % n(200, 250),
            f"igmp type {choice(['membership-query', 'leave-group'])}",
            f"ah spi {values(1, 9999)}",
            f"esp spi {values(256, 9999)}",
            f"exthdr {choice(['hbh', 'frag', 'dst', 'rt'])} {choice(['exists', 'missing'])}",
            f"frag {choice(['more-fragments 1', 'frag-off 5', 'id 77', 'nexthdr tcp'])}",
            f"ip option {choice(['rr', 'lsrr', 'ra'])} exists",
            f"ether {choice('sd')}addr 00:11:22:33:44:{n(16, 99)}",
            f"vlan id {n(1, 4000)}",
            f"meta mark {values(0, 0x7FFFFFFF, '0x%08x')}",
            f"meta mark & 0x{mask:08x} {choice(['==', '!='])} {choice(['0', hex(mask)])}",
            f"meta mark & 0xff00 {n(1, 9)}-{n(10, 255)}",
            f"meta skuid {values(0, 60000)}",
            "meta skuid " + choice(["", "!= "]) + "@ids",
            f"meta skgid {values(0, 60000)}",
            f"meta cgroup {values(1, 0x7FFFFFFF)}",
            f"meta length {values(1, 65000)}",
            f"meta priority {n(1, 99)}:{n(1, 99)}",
            f"meta cpu {values(0, 200)}",
            f"meta l4proto {choice(['tcp', '!= udp', '{ tcp, udp }', '1-20', 'sctp'])}",
            f"meta l4proto {{ tcp, udp }} th dport {values(1, 65000)}",
            f"meta nfproto {choice(['ipv4', 'ipv6', '!= ipv4'])}",
            f"meta protocol {choice(['ip', 'ip6', '{ ip, ip6 }', '!= arp'])}",
            f"meta pkttype {choice(['host', 'broadcast', '{ multicast, other }'])}",
            f"meta oiftype {choice(['ether', 'loopback', '{ ether, ppp }'])}",
            'meta oifkind "%s"' % choice(["veth", "wireguard"]),
            f'meta time {choice([">=", "<"])} "2031-0{n(1, 9)}-1{n(0, 9)} 0{n(0, 9)}:00:00"',
            f'meta time "2026-01-01 00:00:00"-"2026-0{n(2, 9)}-01 00:00:00"',
            f'meta hour "0{n(0, 9)}:{n(10, 59)}"-"1{n(0, 9)}:{n(10, 59)}"',
            "meta day " + choice(['"Sunday"', '"Monday"', "1-5", '{ "Saturday", "Sunday" }']),
            f"meta random < {n(1, 1 << 31)}",
            f"oif {choice(['lo', '!= lo'])}",
            "oifname " + choice(["lo", "!= lo", "{ lo, eth0 }", '"eth*"', '{ "eth*", lo }']),
            f"oifgroup {choice(['default', str(n(1, 99)), '5-10'])}",
            f"ct state {choice(['new', 'established,related', '!= invalid', '{ new, related }'])}",
            "ct state & (new | established) == new",
            f"ct status {choice(['dnat', 'snat,assured', '!= confirmed', '{ snat, dnat }'])}",
            f"ct direction {choice(['original', 'reply'])}",
            f"ct mark {values(0, 0x7FFFFFFF, '0x%08x')}",
            f"ct mark & 0x{mask:08x} == 0x{mask:08x}",
            f"ct expiration {choice(['> ', '< ', ''])}{n(1, 99)}s",
            'ct helper "%s"' % choice(["ftp", "tftp"]),
            f"ct label {n(1, 100)}",
            f"ct zone {values(1, 65000)}",
            f"ct id {n(1, 1 << 31)}",
            f"ct {choice(['', 'original ', 'reply '])}{choice(['bytes', 'packets'])} > {n(1, 999)}",
            f"ct avgpkt < {n(1, 999)}",
            f"ct original ip {choice('sd')}addr {choice([self.address(), '10.0.0.0/8'])}",
            f"ct reply ip6 saddr {self.address(True)}",
            f"ct l3proto ipv4 ct protocol {choice(['tcp', 'udp'])}",
            f"rt ip nexthop {self.address()}",
            f"rt mtu {choice(['> ', '< '])}{n(500, 1500)}",
            f"rt classid {n(1, 9)}",
            f"socket mark 0x{n(1, 999):08x}",
            f"socket transparent {n(0, 1)}",
            f"ipsec out reqid {n(1, 99)}",
            f"fib daddr type {choice(['local', '!= unicast', '{ local, multicast }'])}",
            f"fib saddr . mark type {choice(['local', 'unicast'])}",
            "fib daddr . iif oif missing",
            f"numgen random mod {n(2, 99)} {values(0, 90)}",
            f"numgen inc mod {n(2, 99)} offset {n(1, 99)} 5",
            f"jhash ip saddr . tcp dport mod {n(2, 99)} seed 0x{n(1, 999):x} {n(0, 9)}",
            f"symhash mod {n(2, 9)} 1",
            f"@th,{n(0, 9) * 8},16 0x{n(1, 65535):x}",
            f"@ih,0,32 0x{n(1, 1 << 31):x}",
            f"limit rate {choice(['', 'over '])}{n(1, 99)}/{choice(['second', 'minute', 'hour'])}",
            f"limit rate {n(1, 99)} kbytes/second burst {n(1, 99)} kbytes",
            f"quota {choice(['over', 'until'])} {n(1, 99)} mbytes",
            f"ct count {choice(['', 'over '])}{n(1, 99)}",
            'quota name "q1"',
            'limit name "l1"',
        ]

    def statements(self) -> list[str]:
        n, choice = self.number, self.random.choice
        return [
            f"meta mark set 0x{n(1, 9999):x} accept",
            f"meta mark set meta mark & 0x{n(1, 9999):x} | 0x{n(1, 9999):x}",
            f"meta mark set ct mark ^ 0x{n(1, 9999):x}",
            "meta mark set tcp dport map @marks",
            f"meta mark set tcp dport map {{ 80 : 0x{n(1, 99):x}, 81-90 : 0x2, 91-99 : 0x3 }}",
            f"meta priority set {n(1, 99)}:{n(1, 99)}",
            f"ct mark set {choice(['meta mark', '0x7', 'ct mark | 0x10'])}",
            f"ct zone set {n(1, 99)}",
            f"ip dscp set {choice(['cs1', 'af11', 'ef'])}",
            f"ip ttl set {n(1, 250)}",
            f"tcp option maxseg size set {choice(['rt mtu', str(n(500, 1400))])}",
            f'log prefix "p{n(1, 99)}" level {choice(["debug", "info", "err"])}',
            f"log group {n(1, 99)} snaplen {n(1, 99)}",
            f"add @dyn {{ ip saddr timeout {n(1, 59)}s }}",
            f"update @dyn {{ ip saddr limit rate {n(1, 99)}/second }}",
            'counter name "c1"',
            "notrack",
            f"tcp dport {n(1, 999)} queue flags bypass to {n(0, 99)}",
            f"queue to {n(0, 9)}-{n(10, 19)}",
        ]

    def all(self, count: int) -> list[str]:
        rules: list[str] = []
        while len(rules) < count:
            for condition in self.conditions():
                ends = ["accept", "drop", "return", "reject"]
                if not condition.startswith(UNSTEADY):
                    ends.append("jump late")
                rules.append(f"{condition} {self.random.choice(ends)}")
            rules += self.statements()
            rules += [self.verdict_map() for _ in range(12)]
            steady = [c for c in self.conditions() if not c.startswith(UNSTEADY)]
            for _ in range(10):
                a, b = self.random.sample(steady, 2)
                rules.append(f"{a} counter {b} drop")
        return rules[:count] + [self.verdict_map() for _ in range(20)]
