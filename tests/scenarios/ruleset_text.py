# SPDX-License-Identifier: Apache-2.0
"""The text of rules against nft(8). Random rules over all expressions are loaded, and the text of
the record is compared with the listing of nft. Where the form differs, nft reads that text again:
it must list it as it lists the original. Where one rule became several, packets through both must
have the same fate."""

from __future__ import annotations

import ipaddress
import re
import subprocess
from collections import Counter

from nft import rules_of
from nft_generator import Rules
from registry import scenario
from world import World

SEED = 20260101
COUNT = 400
CHUNK = 50  # a longer list would be replaced by its digest

# Sets that rules name, and a chain that they jump to.
HEAD = """table inet t {
  set nets { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 10.2.0.5 }; }
  set dyn { type ipv4_addr; flags dynamic,timeout; timeout 60s; }
  set ids { type uid; flags interval; elements = { 1000-1999, 5000 }; }
  map marks { type inet_service : mark; elements = { 80 : 0x1, 443 : 0x2 }; }
  map fate { type ipv4_addr : verdict; flags interval;
    elements = { 10.3.0.0/24 : accept, 10.3.1.0/24 : drop, 10.3.2.0/24 : jump late, * : continue };
  }
  counter c1 { }
  quota q1 { over 10 mbytes }
  limit l1 { rate 5/second }
  chain late { meta mark 0x12 drop; }
  chain out { type filter hook output priority 0; policy accept; }
}
"""
MARKER = "meta mark set 0x%08x"


def as_rule(action: str, target: str) -> str:
    """The rule of nft(8) for a rule of a record."""
    first = target.split(" ")[0]
    address = first.split("-")[0].split("/")[0]
    try:
        version = ipaddress.ip_address(address).version
        target = ("ip6" if version == 6 else "ip") + " daddr " + target
    except ValueError:
        target = "" if target == "any" else target
    return (target + {"allow": " accept", "deny": " drop", "other": ""}[action]).strip()


def others(target: str, text: list[tuple[str, str]]) -> str:
    """The element `*` of a set matches all addresses that no other element has. nft reads it
    within a set only."""
    if "ip daddr *" not in target:
        return target
    listed = [other.split(" ")[0] for _, other in text if other[0].isdigit()]
    return target.replace("ip daddr *", "ip daddr != { %s }" % ", ".join(sorted(set(listed))), 1)


def plain(text: str) -> str:
    """A rule without its changing counters; a reject is a denial like a drop."""
    text = re.sub(r" ?counter packets \d+ bytes \d+", "", text)
    text = re.sub(r" ?reject( with .*)?$", " drop", text)
    return " ".join(text.split())


class Space:
    """A network namespace in which every address is local, with the tables of HEAD."""

    def __init__(self, name: str) -> None:
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)
        for arguments in (
            "link set lo up",
            "route add local default dev lo",
            "-6 route add local default dev lo",
        ):
            subprocess.run(["ip", "-n", name, *arguments.split()], check=True)

    def close(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def nft(self, text: str) -> bool:
        """False if nft or the kernel rejects it, as an expression that it lacks."""
        return (
            subprocess.run(
                ["nsenter", "--net=/run/netns/" + self.name, "nft", "-f", "-"],
                input=text.encode(),
                capture_output=True,
            ).returncode
            == 0
        )

    def reset(self) -> None:
        assert self.nft("flush ruleset\n" + HEAD)

    def listed(self) -> list[str]:
        out = subprocess.run(
            [
                "nsenter",
                "--net=/run/netns/" + self.name,
                "nft",
                "list",
                "chain",
                "inet",
                "t",
                "out",
            ],
            capture_output=True,
            check=True,
        ).stdout.decode()
        lines = [line.strip() for line in out.splitlines()[3:]]
        return [plain(line) for line in lines if line not in ("", "}")]

    def listing_of(self, rule: str) -> str | None:
        """How nft lists the rule alone; None if it rejects it."""
        self.reset()
        return self.listed()[0] if self.nft(f"add rule inet t out {rule}") else None

    def fates(self) -> str:
        """Which of many packets the rules let out, one letter each."""
        return subprocess.run(
            ["nsenter", "--net=/run/netns/" + self.name, "python3", "-c", PACKETS],
            capture_output=True,
            check=True,
        ).stdout.decode()


# sendto(2) fails with EPERM if a rule of the output hook drops the packet: datagrams of UDP, and
# SYNs of TCP that a raw socket sends.
PACKETS = r"""
import random, socket, struct
choose = random.Random(7)
out = []
hosts = ["10.%d.%d.%d" % (a, b, c) for a in range(10) for b in (0, 1, 2, 3) for c in (0, 1, 5, 7)]
hosts += ["fd0%d:%x:0:%x::1" % (a, b, c) for a in (0, 1) for b in range(10) for c in (0, 1)]
for i, host in enumerate(hosts * 2):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, choose.choice([0, 0x12, 0x20, 0x25]))
    try:
        s.sendto(b"x", (host, choose.choice([53, 80, 443, 4242, 60000])))
        out.append("y")
    except PermissionError:
        out.append("n")
    s.close()
for host in hosts:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, choose.choice([0, 0x12, 0x20, 0x25]))
    ports = choose.choice([5, 1024, 9999]), choose.choice([22, 80, 443, 4242, 40000])
    syn = struct.pack(">HHIIBBHHH", *ports, 1, 0, 5 << 4, 2, 999, 0, 0)
    try:
        s.sendto(syn, (host, 0))
        out.append("y")
    except PermissionError:
        out.append("n")
    s.close()
print("".join(out))
"""


def recorded(w: World, rules: list[str]) -> list[list[tuple[str, str]]]:
    """The record's rules for each of these rules. A marker before each divides them."""
    lines = []
    for i, rule in enumerate(rules):
        lines += [f"add rule inet t out {MARKER % i}", f"add rule inet t out {rule}"]
    with w.nft(HEAD + "\n".join(lines)):
        r = w.exec(["true"])
    (loaded,) = r.records("egress.loaded")
    assert "rules" in loaded, loaded
    out: list[list[tuple[str, str]]] = []
    for rule in rules_of(loaded):
        if rule == ("other", MARKER % len(out)):
            out.append([])
        else:
            out[-1].append(rule)
    assert len(out) == len(rules), (len(out), len(rules))
    return out


@scenario()
def rules_have_the_text_of_nft(w: World) -> None:
    a, b = Space(w.tag + "a"), Space(w.tag + "b")
    try:
        rules, listings = [], []
        for rule in Rules(SEED).all(COUNT):
            listing = a.listing_of(rule)
            if listing is not None:
                rules.append(rule)
                listings.append(listing)
        assert len(rules) >= 300, len(rules)
        ways: Counter[str] = Counter()
        wrong = []
        for at in range(0, len(rules), CHUNK):
            texts = recorded(w, rules[at : at + CHUNK])
            for rule, listing, text in zip(rules[at:], listings[at:], texts, strict=False):
                way = compare(a, b, rule, listing, text)
                ways[way] += 1
                if way == "wrong":
                    wrong.append((rule, listing, text))
        print("     %d rules: %s" % (len(rules), dict(ways)))
        assert not wrong, "\n".join(map(repr, wrong))
        assert ways["equal"] > len(rules) / 3 and ways["packets"] > 20, ways
    finally:
        a.close()
        b.close()


def compare(a: Space, b: Space, rule: str, listing: str, text: list[tuple[str, str]]) -> str:
    """How the text was found to be right, or "wrong"."""
    again = [as_rule(action, others(target, text)) for action, target in text]
    if len(again) == 1 and again[0] == listing:
        return "equal"
    if len(again) == 1 and b.listing_of(again[0]) == listing:
        return "read again"
    a.reset()
    assert a.nft(f"add rule inet t out {rule}")
    b.reset()
    # A return ends the chain, as it does in the original.
    for one in again:
        if not b.nft(f"add rule inet t out {one}"):
            return "wrong"
    return "packets" if a.fates() == b.fates() else "wrong"
