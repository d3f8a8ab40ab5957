# SPDX-License-Identifier: Apache-2.0
"""Whether rules are in force: flags of tables, rules of iptables-legacy, and changes by another
sandbox in the same network namespace. The truth is what connections of the sandbox do."""

from __future__ import annotations

import os
import shutil
import subprocess

from attribution import Collector, act
from checks import check_complete
from nft import OUT, rules_of, transactions
from registry import Skip, scenario
from world import SERVICE4, World

TAGS = ("peers",)

# Drops TCP to the service.
FENCE = "ip daddr %s tcp dport 80 drop;" % SERVICE4

# Notes whether the service can be reached: the truth about the rules in force.
REACH = (
    """
def reach():
    import socket
    s = socket.socket()
    s.settimeout(0.7)
    try:
        s.connect((%r, 80))
        return "open"
    except ConnectionRefusedError:
        return "open"
    except OSError:
        return "closed"
    finally:
        s.close()
"""
    % SERVICE4
)

# Sends one nftables message for a table in a batch, with flags that nft(8) may not know.
NETLINK = """
import socket, struct
def attribute(kind, value):
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)
def message(kind, flags, family, body=b"", res=0):
    message.sequence += 1
    return struct.pack("=IHHIIBBH", 20 + len(body), kind, flags, message.sequence, 0, family, 0,
        socket.htons(res)) + body
message.sequence = 0
def set_flags(s, table, flags):
    body = attribute(1, table + b"\\0") + attribute(2, struct.pack(">I", flags))
    s.send(message(0x10, 1, 0, res=10) + message(0xa00, 0x405, 1, body) + message(0x11, 1, 0,
        res=10))
def nft_socket():
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    s.bind((0, 0))
    s.settimeout(10)
    return s
"""


@scenario("kernels")
def table_put_to_sleep_by_the_application_warns(w: World) -> None:
    with w.nft(OUT % ("drop", FENCE)):
        r = w.actor(
            REACH
            + """
seen = [reach()]
for command in ("add table inet fence { flags dormant; }", "add table inet fence"):
    assert actor.run(["nft", command]) == 0
    import time; time.sleep(0.7)
    seen.append(reach())
actor.note_result("seen", seen)
"""
        )
    check_complete(r)
    assert r.truth["seen"] == ["closed", "open", "closed"], r.truth["seen"]
    asleep, awake = r.records("egress.updated")
    assert (
        rules_of(asleep) == []
        and rules_of(asleep, "rules.removed") == [("deny", SERVICE4 + " tcp dport 80")]
        and asleep["egress.default"] == "allow"
        and asleep["rules.table_flags"] == ["inet fence dormant"]
    ), asleep
    assert (
        rules_of(awake) == [("deny", SERVICE4 + " tcp dport 80")]
        and awake["egress.default"] == "deny"
        and "rules.table_flags" not in awake
    ), awake
    for event in (asleep, awake):
        assert (
            event["level"] == "warn"
            and event["sandbox.role"] == "app"
            and event["process.executable.name"] == "nft"
        ), event
    assert transactions(r) == {("static", "committed"): 2}, transactions(r)
    assert (
        r.report["rules"]["changes_by_application"] == 2 and r.report["rules"]["default"] == "deny"
    ), r.report["rules"]


@scenario()
def table_that_sleeps_from_the_start_denies_nothing(w: World) -> None:
    rules = OUT % ("drop", FENCE)
    with w.nft(rules.replace("{ chain", "{ flags dormant; chain", 1)):
        r = w.actor(REACH + 'actor.note_result("seen", reach())')
    check_complete(r)
    assert r.truth["seen"] == "open"
    (loaded,) = r.records("egress.loaded")
    assert (
        loaded["egress.default"] == "allow"
        and rules_of(loaded) == []
        and loaded["rules.table_flags"] == ["inet fence dormant"]
    ), loaded


@scenario()
def one_of_two_tables_sleeps(w: World) -> None:
    other = "table ip other { chain c { type filter hook output priority 1; policy accept; %s }\n}"
    with w.nft(OUT % ("accept", "tcp dport 7 drop;") + "\n" + other % "udp dport 7 drop;"):
        r = w.actor('assert actor.run(["nft", "add table ip other { flags dormant; }"]) == 0')
    (updated,) = r.records("egress.updated")
    assert (
        rules_of(updated, "rules.removed") == [("deny", "udp dport 7")]
        and updated["rules.table_flags"] == ["ip other dormant"]
        and r.report["rules"]["count"] == 1
    ), updated


@scenario()
def owned_table_leaves_with_its_owner(w: World) -> None:
    """The kernel removes the table when the owner's socket is closed, without a notification."""
    with w.nft(""):
        r = w.actor(
            REACH
            + NETLINK
            + """
import subprocess, time
nft = subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
nft.stdin.write(b"add table inet fence { flags owner; }\\n"
    b"add chain inet fence out { type filter hook output priority 0; policy accept; }\\n"
    b"add rule inet fence out ip daddr %s tcp dport 80 drop\\n")
nft.stdin.flush()
time.sleep(1)
seen = [reach()]
time.sleep(1)
nft.stdin.close()
assert nft.wait() == 0
seen.append(reach())
actor.note_result("seen", seen)
"""
            % SERVICE4
        )
    assert r.truth["seen"] == ["closed", "open"], r.truth["seen"]
    changes = [e for e in r.events if e["opensandbox.event"] in ("egress.loaded", "egress.updated")]
    assert any(e.get("rules.table_flags") == ["inet fence owner"] for e in changes), changes
    last = changes[-1]
    assert (
        rules_of(last, "rules.removed") == [("deny", SERVICE4 + " tcp dport 80")]
        and "rules.table_flags" not in last
        and last["sandbox.role"] == "app"
        and last["level"] == "warn"
    ), last
    assert r.report["rules"]["count"] == 0, r.report["rules"]


@scenario()
def owned_table_persists_without_its_owner(w: World) -> None:
    with w.nft(OUT % ("accept", "")):
        r = w.actor(
            NETLINK
            + """
import time
s = nft_socket()
set_flags(s, b"kept", 2 | 4)  # owner, persist
error = -struct.unpack_from("=i", s.recv(4096), 16)[0]
time.sleep(0.7)
s.close()
actor.note_result("error", error)
"""
        )
    if r.truth["error"]:
        raise Skip("the kernel has no tables that persist: %s" % os.strerror(r.truth["error"]))
    flags = [e.get("rules.table_flags") for e in r.records("egress.updated")]
    assert flags == [["inet kept owner,persist"], ["inet kept persist"]], flags
    for event in r.records("egress.updated"):
        assert event["sandbox.role"] == "app" and event["level"] == "warn", event


@scenario()
def rules_of_iptables_legacy_are_in_force(w: World) -> None:
    if not shutil.which("iptables-legacy") or not os.path.exists("/proc/net/ip_tables_names"):
        raise Skip("needs iptables-legacy")
    legacy = ["nsenter", "--net=/run/netns/" + w.client, "iptables-legacy"]

    def run(*arguments: str) -> None:
        subprocess.run([*legacy, *arguments], check=True)

    run("-P", "OUTPUT", "DROP")
    run("-A", "OUTPUT", "-o", "lo", "-j", "ACCEPT")
    try:
        r = w.actor(REACH + 'actor.note_result("seen", reach())')
        assert r.truth["seen"] == "closed"
        (loaded,) = r.records("egress.loaded")
        assert (
            loaded["rules.unreadable"] == "xtables"
            and loaded["egress.default"] == "deny"
            and rules_of(loaded) == []
        ), loaded
        assert (
            r.report["rules"]["state"] == "known" and r.report["rules"]["unreadable"] == "xtables"
        ), r.report["rules"]
        # The application removes them.
        r = w.actor(
            REACH
            + """
actor.run(["iptables-legacy", "-F", "OUTPUT"])
actor.run(["iptables-legacy", "-P", "OUTPUT", "ACCEPT"])
actor.note_result("seen", reach())
"""
        )
        assert r.truth["seen"] == "open"
        last = r.records("egress.loaded")[-1:] + r.records("egress.updated")
        assert (
            last[-1]["opensandbox.event"] == "egress.updated"
            and "rules.unreadable" not in last[-1]
            and last[-1]["egress.default"] == "allow"
        ), last
    finally:
        run("-P", "OUTPUT", "ACCEPT")
        run("-F", "OUTPUT")
    # Tables that exist, but change nothing.
    r = w.exec(["true"])
    assert r.report["rules"]["state"] == "none", r.report["rules"]


@scenario()
def another_sandbox_changes_the_rules_of_a_shared_namespace(w: World) -> None:
    with w.nft(OUT % ("drop", FENCE)):
        quiet, loud = w.new_cgroup("quiet"), w.new_cgroup("loud")
        code = "print('up', flush=True); sys.stdin.readline(); %s"
        p = act(w, quiet, code % "pass", wait=False)
        q = act(w, loud, code % "actor.run(['nft', 'flush', 'ruleset'])", wait=False)
        for process in (p, q):
            process.stdout.readline()
        c = Collector(w, [quiet + "=quiet", loud + "=loud"])
        c.wait_for("egress.loaded", 2)
        for process in (q, p):
            process.communicate(b"\n", timeout=60)
        events = c.stop()
    updated = {e["sandbox_id"]: e for e in events if e["opensandbox.event"] == "egress.updated"}
    assert set(updated) == {"quiet", "loud"}, updated
    mine, other = updated["loud"], updated["quiet"]
    assert mine["sandbox.role"] == "app" and mine["level"] == "warn" and "actor" not in mine, mine
    assert (
        other["actor"] == "sandbox"
        and other["actor.sandbox_id"] == "loud"
        and other["level"] == "warn"
        and "sandbox.role" not in other
    ), other
