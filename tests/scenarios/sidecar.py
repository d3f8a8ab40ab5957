# SPDX-License-Identifier: Apache-2.0
"""The egress sidecar of OpenSandbox: its rules, its names, and the addresses that it allows."""

import json
import os
import shutil

from checks import check_complete, check_denials, check_everything, check_lookups
from nft import rules_of, transactions
from redirect import with_sidecar
from registry import scenario
from world import World

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


@scenario()
def rules_outside_the_kernel(w: World) -> None:
    """In mode `dns` the sidecar keeps its rules out of the kernel. They are in its environment or
    file."""
    policy = {
        "defaultAction": "deny",
        "egress": [
            {"action": "allow", "target": "*.example.test"},
            {"action": "deny", "target": "192.0.2.0/24"},
        ],
    }
    root = os.path.join(w.dir, "sidecar-root")
    os.makedirs(root + "/opt/opensandbox-egress")
    shutil.copy("/bin/busybox", root + "/opt/opensandbox-egress/egress")
    with open(root + "/policy.json", "w") as f:
        json.dump({"egress": [{"action": "allow", "target": "from-a-file.test"}]}, f)
    r = w.actor(
        """
        import subprocess
        for more in ({}, {"OPENSANDBOX_EGRESS_POLICY_FILE": "/policy.json"},
            {"OPENSANDBOX_EGRESS_RULES": "oops"}):
            import os
            subprocess.run(["sleep", "0.5"], executable="/opt/opensandbox-egress/egress",
                env={**os.environ, **more}, check=True,
                           preexec_fn=lambda: (os.chroot(%r), os.chdir("/")))
    """
        % root,
        env={
            "OPENSANDBOX_EGRESS_RULES": json.dumps(policy),
            "OPENSANDBOX_EGRESS_TOKEN": "topsecret",
        },
    )
    check_complete(r)
    first, second, third = r.records("egress.loaded")
    assert (
        first["rules.source"] == "environment"
        and first["egress.default"] == "deny"
        and first["rules"] == policy["egress"]
    ), first
    assert second["rules.source"] == "file" and rules_of(second) == [
        ("allow", "from-a-file.test")
    ], second
    assert (
        third["level"] == "warn" and "not valid JSON" in third["error"] and "rules" not in third
    ), third
    assert not any("topsecret" in json.dumps(e) for e in r.events)


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
