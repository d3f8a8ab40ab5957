# SPDX-License-Identifier: Apache-2.0
"""The egress sidecar of OpenSandbox: its rules, its names, and the addresses that it allows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

from attribution import Collector
from checks import check_complete, check_denials, check_everything, check_lookups
from nft import rules_of, transactions
from redirect import with_sidecar
from registry import scenario
from world import Event, World

TAGS = ("peers",)


@scenario()
def opensandbox_sidecar(w: World) -> None:
    r = with_sidecar(
        w,
        3,
        1,
        """
        for name in ("a.test", "evil.test", "many3.test"):
            outcome, ips = actor.lookup(name, "A", record=False)
            if name == "evil.test":
                actor.note_lookup(name, "A", "denied")
                actor.note_denial(name, 53, "udp", layer="dns")
            else:
                actor.note_lookup(name, "A", outcome, ips)
    """,
    )
    check_complete(r)
    check_lookups(r, r.truth)
    check_denials(r, r.truth)
    truth = r.truth["sidecar"]
    # Its first batch deletes a table that does not exist. That is its normal start and no failed
    # update.
    assert truth["aborted"] == 1 and truth["committed"] == 4
    assert transactions(r) == {
        ("static", "committed"): 2,
        ("dynamic", "committed"): 2,
        ("other", "aborted"): 1,
    }, transactions(r)
    assert not r.records("egress.update_failed")
    loaded = r.records("egress.loaded") + r.records("egress.updated")
    assert loaded[0]["opensandbox.event"] == "egress.loaded", loaded
    rules = [rule for e in loaded for rule in rules_of(e)]
    for rule in (
        ("allow", "203.0.113.0/24"),
        ("deny", "198.51.100.7"),
        ("allow", "127.0.0.1"),
        ("allow", "ip daddr @dyn_allow_v4"),
        ("deny", "tcp dport 853"),
        ("allow", "meta mark 0x00000001"),
        ("deny", "any"),
    ):
        assert rule in rules, (rule, rules)
    assert loaded[-1]["egress.default"] == "deny"


POLICY = {
    "defaultAction": "deny",
    "egress": [
        {"action": "allow", "target": "*.example.test"},
        {"action": "deny", "target": "192.0.2.0/24"},
    ],
}
POLICY_RULES = [(rule["action"], rule["target"]) for rule in POLICY["egress"]]
RULES = {"OPENSANDBOX_EGRESS_RULES": json.dumps(POLICY), "OPENSANDBOX_EGRESS_TOKEN": "topsecret"}


def egress_root(w: World, program: str = "/opt/opensandbox-egress/egress") -> str:
    """A root directory with a program that has the path of the sidecar's program."""
    root = os.path.join(w.dir, "sidecar-root-%d" % time.monotonic_ns())
    os.makedirs(root + os.path.dirname(program))
    shutil.copy("/bin/busybox", root + program)
    return root


def start_egress(
    w: World,
    cgroup: str,
    environment: dict[str, str],
    root: str | None = None,
    program: str = "/opt/opensandbox-egress/egress",
) -> subprocess.Popen[bytes]:
    """Starts a program as the sidecar's: `cat`, which runs until its input is closed."""
    root = root or egress_root(w, program)

    def enter() -> None:
        with open(os.path.join(cgroup, "cgroup.procs"), "w") as f:
            f.write(str(os.getpid()))
        os.chroot(root)
        os.chdir("/")

    process = subprocess.Popen(
        ["cat"],
        executable=program,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        preexec_fn=enter,
    )
    w.children.append(process)
    return process


def end_egress(w: World, process: subprocess.Popen[bytes]) -> None:
    process.communicate(timeout=60)
    w.children.remove(process)


def pod(w: World) -> tuple[str, str, list[str]]:
    """The cgroups of an application and its sidecar, and the arguments that name them."""
    app, side = w.new_cgroup("pod-app"), w.new_cgroup("pod-side")
    return app, side, [app + "=pod", side + "=pod:sidecar"]


def loaded_of(events: list[Event]) -> list[tuple[str, str, str]]:
    return [
        (e["rules.source"], e.get("egress.default", ""), e["level"])
        for e in events
        if e["opensandbox.event"] == "egress.loaded"
    ]


@scenario()
def rules_outside_the_kernel(w: World) -> None:
    """In mode `dns` the sidecar keeps its rules out of the kernel. They are in its environment or
    file, or they are its default. Its parser accepts more than its documents say."""
    lenient = (
        '{"defaultAction":" Deny ","egress":[{"action":"ALLOW","target":" Example.com "}, '
        '{"action":"","target":"x.test"}]}'
    )
    app, side, cgroups = pod(w)
    root = egress_root(w)
    with open(root + "/policy.json", "w") as f:
        json.dump({"egress": [{"action": "allow", "target": "from-a-file.test"}]}, f)
    c = Collector(w, cgroups)
    changes: list[dict[str, str]] = [
        {},
        {"OPENSANDBOX_EGRESS_POLICY_FILE": "/policy.json"},
        {"OPENSANDBOX_EGRESS_RULES": "oops"},
        {"OPENSANDBOX_EGRESS_RULES": lenient},
        {"OPENSANDBOX_EGRESS_RULES": ""},
    ]
    for i, change in enumerate(changes):
        process = start_egress(w, side, {**RULES, **change}, root)
        c.wait_for("egress.loaded", times=i + 1)
        end_egress(w, process)
    events = c.stop()
    loaded = [e for e in events if e["opensandbox.event"] == "egress.loaded"]
    assert loaded_of(events) == [
        ("environment", "deny", "info"),
        ("file", "deny", "info"),
        ("environment", "", "warn"),
        ("environment", "deny", "info"),
        ("default", "deny", "info"),
    ], loaded
    assert rules_of(loaded[0]) == POLICY_RULES, loaded[0]
    assert rules_of(loaded[1]) == [("allow", "from-a-file.test")], loaded[1]
    assert "not valid JSON" in loaded[2]["error"] and "rules" not in loaded[2], loaded[2]
    assert rules_of(loaded[3]) == [("allow", "Example.com"), ("deny", "x.test")], loaded[3]
    assert rules_of(loaded[4]) == [], loaded[4]
    assert {e["sandbox.role"] for e in loaded} == {"sidecar"}, loaded
    assert not any("topsecret" in json.dumps(e) for e in events)


@scenario()
def policy_of_a_sidecar_that_runs_already(w: World) -> None:
    """As after an upgrade of sandpiper: the sidecar started before it."""
    app, side, cgroups = pod(w)
    process = start_egress(w, side, RULES)
    c = Collector(w, cgroups)
    c.wait_for("egress.loaded")
    end_egress(w, process)
    events = c.stop()
    assert loaded_of(events) == [("environment", "deny", "info")], events
    (loaded,) = [e for e in events if e["opensandbox.event"] == "egress.loaded"]
    assert rules_of(loaded) == POLICY_RULES and loaded["process.pid"] == process.pid, loaded


@scenario()
def policy_that_the_application_fakes(w: World) -> None:
    """A program of the application with the sidecar's path and variables, before and after
    sandpiper starts; and in a sandbox without a sidecar."""
    app, side, cgroups = pod(w)
    alone = w.new_cgroup("alone")
    early = [start_egress(w, cgroup, RULES) for cgroup in (app, alone)]
    c = Collector(w, [*cgroups, alone])
    late = [
        start_egress(w, cgroup, RULES, program=program)
        for cgroup in (app, alone)
        for program in ("/egress", "/opt/opensandbox-egress/egress")
    ]
    c.wait_for("process.exec", times=len(late))
    for process in early + late:
        end_egress(w, process)
    c.wait_for("process.exit", times=len(early + late))
    assert loaded_of(c.stop()) == []


@scenario()
def time_from_dns_to_allow(w: World) -> None:
    """The proxy adds each address before it forwards the answer: there is one time for each."""
    r = with_sidecar(
        w,
        2,
        1,
        """
        for name in ("a.test", "many3.test"):
            actor.lookup(name, "A")
    """,
    )
    check_complete(r)
    added = sum(len(addresses) for _, addresses in r.truth["sidecar"]["added"])
    (point,) = r.metrics["sandbox.dns.allow.duration"]
    assert added == 4 and point["count"] == added and point["sum"] > 0, point
    assert not r.metric("sandbox.connect.before_allow") and not r.records("egress.expired")
    assert not [e for e in r.events if e["level"] == "debug"]


@scenario()
def connection_outlives_its_allowance(w: World) -> None:
    with w.nft(
        "table inet fence { set learned { type ipv4_addr; flags timeout; }; "
        "chain out { type filter hook output priority 0; policy drop; "
        "ct state established accept; ip daddr @learned accept; oifname lo accept; }; }"
    ):
        r = w.actor(
            """
            import socket, time
            s = socket.socket()
            s.settimeout(0.2)
            try:
                s.connect(("10.77.0.4", 8080))
            except socket.timeout:
                actor.note_flow("10.77.0.4", 8080, "tcp", "denied")
                actor.note_denial("10.77.0.4", 8080, "tcp")
            s.close()
            actor.run(["nft", "add element inet fence learned { 10.77.0.4 timeout 2s }"])
            s = socket.create_connection(("10.77.0.4", 8080))
            time.sleep(4)
            s.close()
            actor.note_flow("10.77.0.4", 8080, "tcp", "established")
        """,
            options=["--log-level", "debug"],
        )
    check_everything(r)
    assert r.metric("sandbox.connect.before_allow") == {(): 1} and r.metric(
        "sandbox.nftables.expired_in_use"
    ) == {(): 1}, r.metrics
    (updated,), (expired,) = r.records("egress.updated"), r.records("egress.expired")
    assert (
        updated["level"] == "debug"
        and updated["nftables.operation"] == "dynamic"
        and updated["egress.denied_before"] is True
    ), updated
    assert expired["level"] == "debug" and expired["peer"] == "10.77.0.4", expired
