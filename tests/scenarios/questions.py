# SPDX-License-Identifier: Apache-2.0
"""The questions of docs/querying-loki.md, asked about two sandboxes that act as written here, and
their right answers. loki.py and logsql.py ask them in the language of their store."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attribution import Collector, act
from world import HERE

if TYPE_CHECKING:
    from world import World

PAGE = os.path.join(HERE, "../../docs/querying-loki.md")
DENY = (
    "table inet egress { chain out { type filter hook output priority 0;"
    " ip daddr 10.77.0.9 tcp dport 443 reject with tcp reset; }; }"
)
FIRST_ACTIONS = """
actor.lookup("old.test", "A")
_, ips = actor.lookup("a.test", "A")
actor.lookup("a.test", "AAAA")
actor.tcp(ips[0], name="a.test", send=b"x" * 1000)
actor.tcp(ips[0], name="a.test", send=b"x" * 500)
actor.tcp("10.77.0.3", port=1)
for i in range(3):
    actor.tcp("10.77.0.9", port=443)
actor.run(["%(scratch)s"])
"""
LAST_ACTIONS = """
import subprocess
chain = "{ chain out { type filter hook output priority 1; udp dport 9 drop; }; }"
subprocess.run(["nft", "add", "table", "inet", "mine", chain], check=True)
actor.lookup("nx.test", "A")
"""
OTHER_ACTIONS = """
actor.lookup("b.test", "A")
_, ips = actor.lookup("a.test", "A")
actor.tcp(ips[0], name="a.test")
"""
TIMELINE = ("process.exec", "egress.outbound", "egress.denied")

Truth = dict[str, Any]
Key = tuple[str, ...]


def queries_of_page() -> dict[str, str]:
    """{heading: LogQL query} of the page."""
    with open(PAGE) as f:
        text = f.read()
    return dict(re.findall(r"^### (.+?)\n(?:(?!^#).*\n)*?```logql\n(.+?)\n```", text, re.M))


@dataclass(frozen=True)
class Activity:
    """The truth about both sandboxes, and the records that sandpiper wrote of them."""

    events: list[Truth]
    first: Truth  # of sb-abc, before sb-xyz acted
    last: Truth  # of sb-abc, afterwards
    scratch: str  # the program that sb-abc started from a scratch folder

    def lookups(self) -> list[Truth]:
        return self.first["lookups"] + self.last["lookups"]


def run_two_sandboxes(w: World, env: dict[str, str]) -> Activity:
    """Runs sandpiper with `env` over the sandboxes sb-abc and sb-xyz while they act."""
    a, b = w.new_cgroup("questions-a"), w.new_cgroup("questions-b")
    scratch = f"/tmp/{w.tag}-scratch"
    shutil.copy("/bin/true", scratch)
    try:
        collector = Collector(w, [a + "=sb-abc", b + "=sb-xyz"], env=env)
        with w.nft(DENY):
            first = act(w, a, FIRST_ACTIONS % {"scratch": scratch})
            act(w, b, OTHER_ACTIONS)
            last = act(w, a, LAST_ACTIONS)
        time.sleep(1.5)  # a window ends
        activity = Activity(collector.stop(), first, last, scratch)
    finally:
        os.unlink(scratch)
    assert {"a.test", "nx.test"} <= {x["name"] for x in activity.lookups()}
    return activity


@dataclass(frozen=True)
class Numbers:
    """An answer with one number for each combination of these attributes."""

    attributes: Key
    want: dict[Key, float]


def answers_in_numbers(activity: Activity) -> dict[str, Numbers]:
    """{heading: right answer} of the questions that ask for numbers."""
    lookups = Counter((x["name"],) for x in activity.lookups())
    network = ipaddress.ip_network("10.77.0.4/30")
    in_network = Counter(
        (x["name"],)
        for x in activity.lookups()
        if any(ipaddress.ip_address(ip) in network for ip in x["ips"])
    )
    assert 0 < len(in_network) < len(lookups)
    host, destination = ("target.host",), ("target.host", "peer")
    return {
        "Connections per host in the last hour": Numbers(host, {("a.test",): 2}),
        "DNS lookups per host": Numbers(host, dict(lookups)),
        "Connection attempts to addresses that no DNS lookup returned": Numbers(
            ("peer", "network.peer.port"), {("10.77.0.3", "1"): 1, ("10.77.0.9", "443"): 3}
        ),
        "Bytes sent per destination": Numbers(
            destination, {("a.test", ""): 1500, ("", "10.77.0.3"): 0, ("", "10.77.0.9"): 0}
        ),
        "Hosts that resolved into a network": Numbers(host, dict(in_network)),
        "Failed connections by error": Numbers(
            (*destination, "error.type"), {("", "10.77.0.3", "refused"): 1}
        ),
        "The most denied destinations": Numbers(
            ("sandbox_id", *destination), {("sb-abc", "", "10.77.0.9"): 3}
        ),
        "Destinations contacted for the first time": Numbers(
            ("sandbox_id", *destination),
            {
                ("sb-abc", "a.test", ""): 1,
                ("sb-abc", "", "10.77.0.3"): 1,
                ("sb-abc", "", "10.77.0.9"): 1,
                ("sb-xyz", "a.test", ""): 1,
            },
        ),
        "Hosts that no sandbox looked up in the hour before": Numbers(
            host, dict(lookups + Counter({("a.test",): 1, ("b.test",): 1}))
        ),
        "Number of different hosts per sandbox": Numbers(
            ("sandbox_id",), {("sb-abc",): len(lookups), ("sb-xyz",): 2}
        ),
        "Sandboxes that changed their own rules": Numbers(("sandbox_id",), {("sb-abc",): 1}),
        "Programs started from scratch folders": Numbers(
            ("sandbox_id", "process.executable.path"), {("sb-abc", activity.scratch): 1}
        ),
        "Lost events per sandbox": Numbers(("sandbox_id",), {}),
        "No records from any collector": Numbers((), {}),
    }


def check_timeline(activity: Activity, lines: list[str]) -> None:
    """Programs, lookups and connections of sb-abc, in the order in which it did them."""
    want = [
        e
        for e in activity.events
        if e["sandbox_id"] == "sb-abc" and e["opensandbox.event"] in TIMELINE
    ]
    assert len(lines) == len(want), lines
    program = os.path.basename(activity.scratch)
    assert any("process.exec" in line and program in line for line in lines), lines
    order = [
        next(i for i, line in enumerate(lines) if part in line)
        for part in ("old.test", "a.test", "10.77.0.3", program, "nx.test")
    ]
    assert order == sorted(order), lines


def check_rules(_: Activity, lines: list[str]) -> None:
    """The rules at the start, those that the sandbox added, and the flush at the end."""
    assert len(lines) == 3, lines
    loaded, added, flushed = lines
    assert loaded.startswith("egress.loaded default=allow"), lines
    assert "10.77.0.9 tcp dport 443" in loaded, lines
    assert added.startswith("egress.updated") and added.endswith("by=nft"), lines
    assert "udp dport 9" in added, lines
    assert flushed.startswith("egress.updated default=allow added=[] removed="), lines
    assert "udp dport 9" in flushed, lines


# {heading: check of the lines} of the questions that ask for records, the oldest first.
ANSWERS_IN_LINES: dict[str, Callable[[Activity, list[str]], None]] = {
    "Programs and egress in order of time": check_timeline,
    "Rule sets and the programs that changed them": check_rules,
}
