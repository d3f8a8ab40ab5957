# SPDX-License-Identifier: Apache-2.0
"""nftables at its limits: many rules, fast changes, hostile names, short-lived namespaces, each
mechanism, and a late module."""

import hashlib
import json
import os
import subprocess
from collections import Counter

import modules
from checks import check_complete
from nft import OUT, probe, rules_of, transactions
from registry import Skip, scenario
from world import HERE, PYTHON, World

TAGS = ("peers",)

HOSTILE_TEXTS = [
    'quote"quote',
    "it's",
    "back\\slash",
    "new\nline",
    "tab\t;{}",
    "\u00fc\u4e16",
    "x" * 120,
]


@scenario()
def namespaces_removed_at_once(w: World) -> None:
    n = 5 if w.slow else 40
    with open(w.dir + "/rules.nft", "w") as f:
        f.write(OUT % ("drop", "ip daddr 10.77.0.4 accept;"))
    r = w.actor(
        """
        for i in range(%d):
            actor.run(["unshare", "-n", "sh", "-c", "nft -f %s/rules.nft"])
    """
        % (n, w.dir)
    )
    assert r.status == 0
    check_complete(r)
    # Each rule set that could be read is complete, and none is reported as empty.
    for e in r.records("egress.loaded"):
        assert "error" in e or rules_of(e) == [("allow", "10.77.0.4")], e
    assert not [e for e in r.records("egress.updated") if "error" not in e], r.records(
        "egress.updated"
    )


@scenario()
def ten_thousand_elements_in_one_transaction(w: World) -> None:
    n = 10000
    addresses = ["10.%d.%d.%d" % (i >> 16, i >> 8 & 255, i & 255) for i in range(n)]
    with w.nft(
        "table inet fence { set big { type ipv4_addr; }; "
        "chain out { type filter hook output priority 0; policy drop; "
        "ip daddr @big accept; }; }"
    ):
        with open(w.dir + "/big.nft", "w") as f:
            f.write("add element inet fence big { %s }\n" % ", ".join(addresses))
        r = w.actor('assert actor.run(["nft", "-f", %r]) == 0' % (w.dir + "/big.nft"))
    check_complete(r)
    assert transactions(r) == {("static", "committed"): 1}, transactions(r)
    (updated,) = r.records("egress.updated")
    digest = hashlib.sha256("".join("allow %s\n" % a for a in addresses).encode()).hexdigest()
    assert (
        updated["rules.count"] == n and updated["rules.sha256"] == digest and "rules" not in updated
    ), updated
    assert r.metric("egress.nftables.rules.count") == {(): n + 1}


@scenario()
def table_of_ten_thousand_rules(w: World) -> None:
    n = 2000 if w.slow else 10000
    rules = "\n".join(
        'ip daddr 10.%d.%d.%d tcp dport %d accept comment "c%d"'
        % (i >> 16, i >> 8 & 255, i & 255, i % 1000 + 1, i)
        for i in range(n)
    )
    with w.nft(
        "table inet fence { chain out { type filter hook output priority 0; policy drop;\n%s\n}; }"
        % rules
    ):
        r = w.actor(
            'assert actor.run(["nft", "add", "rule", "inet", "fence", "out", "ip", '
            '"daddr", "192.0.2.1", "drop"]) == 0'
        )
    check_complete(r)
    (loaded,), (updated,) = r.records("egress.loaded"), r.records("egress.updated")
    assert loaded["rules.count"] == n and "rules.sha256" in loaded, loaded
    assert rules_of(updated) == [("deny", "192.0.2.1")], updated


@scenario()
def two_hundred_transactions_a_second(w: World) -> None:
    rounds, rate = (1, 50) if w.slow else (10, 200)
    with w.nft(
        "table inet fence { set s { type ipv4_addr; flags timeout; }; "
        "set t { type ipv4_addr; }; chain out { type filter hook output priority 0; "
        "ip daddr @t drop; }; }"
    ):
        r = w.exec([PYTHON, os.path.join(HERE, "nft_storm.py"), str(rounds), str(rate)])
    assert r.status == 0, r.stderr
    done = json.loads(r.stdout.decode().splitlines()[-1])
    check_complete(r)
    assert transactions(r) == {
        ("static", "committed"): done["static"],
        ("dynamic", "committed"): done["dynamic"],
    }, (transactions(r), done)
    changed = sum(e.get("nftables.transactions", 1) for e in r.records("egress.updated"))
    assert changed == done["static"], (changed, done)


@scenario()
def hostile_names_and_comments(w: World) -> None:
    """The language of nft(8) has no words for these texts. They are read as they are."""
    commands = [
        {"add": {"table": {"family": "inet", "name": "fence"}}},
        {
            "add": {
                "chain": {
                    "family": "inet",
                    "table": "fence",
                    "name": "out",
                    "type": "filter",
                    "hook": "output",
                    "prio": 0,
                    "policy": "drop",
                }
            }
        },
    ]
    for i, name in enumerate(HOSTILE_TEXTS):
        commands.append(
            {
                "add": {
                    "set": {
                        "family": "inet",
                        "table": "fence",
                        "name": name,
                        "type": "ipv4_addr",
                        "elem": ["192.0.2.%d" % i],
                    }
                }
            }
        )
        commands.append(
            {
                "add": {
                    "rule": {
                        "family": "inet",
                        "table": "fence",
                        "chain": "out",
                        "comment": name,
                        "expr": [
                            {
                                "match": {
                                    "op": "==",
                                    "left": {"payload": {"protocol": "ip", "field": "daddr"}},
                                    "right": "@" + name,
                                }
                            },
                            {"accept": None},
                        ],
                    }
                }
            }
        )
    with w.nft(""):
        with open(w.dir + "/nasty.json", "w") as f:
            json.dump({"nftables": commands}, f)
        done = subprocess.run(
            ["nsenter", "--net=/run/netns/" + w.client, "nft", "-j", "-f", w.dir + "/nasty.json"]
        )
        assert done.returncode == 0
        r = w.exec(["true"])
    (loaded,) = r.records("egress.loaded")
    assert rules_of(loaded) == [("allow", "192.0.2.%d" % i) for i in range(len(HOSTILE_TEXTS))], (
        loaded
    )


@scenario("linux-6.1", "linux-6.12")
def every_mechanism_gives_the_same_records(w: World) -> None:
    """Tries every mechanism, from the best of this kernel to netlink alone, which knows the process
    but not its sandbox."""
    avoided, used = [], []
    while True:
        with w.nft(OUT % ("drop", "ip daddr 10.77.0.4 accept;")):
            r = w.actor(
                """
                actor.run(["nft", "add", "rule", "inet", "fence", "out", "ip", "daddr",
                    "192.0.2.1", "accept"])
                actor.run(["nft", "create", "table", "inet", "fence"])
                actor.run(["nft", "flush", "ruleset"])
            """,
                options=[o for a in avoided for o in ("--avoid", "nftables:" + a)],
            )
        check_complete(r)
        mechanism = probe(r)["mechanism"]
        used.append(mechanism)
        committed = {k: n for k, n in transactions(r).items() if k[1] == "committed"}
        assert committed == {("static", "committed"): 1, ("flush", "committed"): 1}, (
            mechanism,
            committed,
        )
        rules = [
            rule
            for e in r.records("egress.updated")
            for rule in rules_of(e) + rules_of(e, "rules.removed")
        ]
        assert ("allow", "10.77.0.4") in rules, (mechanism, rules)
        last = r.records("egress.updated")[-1]
        assert last["process.pid"] == r.truth["execs"][2]["pid"], (mechanism, last)
        if mechanism == "netlink":
            break
        assert last["sandbox.role"] == "app" and last["level"] == "warn", (mechanism, last)
        assert [e["error"] for e in r.records("egress.update_failed")] == ["EEXIST"], (
            mechanism,
            r.records("egress.update_failed"),
        )
        assert transactions(r)[("other", "aborted")] == 1, (mechanism, transactions(r))
        avoided.append(mechanism)
    print("     mechanisms: " + ", ".join(used))


@scenario("linux-6.12")
def nf_tables_loaded_late(w: World) -> None:
    """The sandbox loads the module. sandpiper never loads it, and attaches once it is loaded."""
    if "nf_tables" not in modules.loaded_modules():
        raise Skip("nf_tables is built into this kernel or is not loaded")
    w.remove_server_rules()
    has_module_btf = os.path.exists("/sys/kernel/btf/nf_tables")
    unloaded = modules.unload("nf_tables")
    try:
        for pause in (0, 6 if w.slow else 2):
            if "nf_tables" in modules.loaded_modules():
                modules.unload("nf_tables")
            r = w.actor(
                """
                import modules, subprocess, time
                assert "nf_tables" not in modules.loaded_modules()
                modules.load("nf_tables")
                time.sleep(%d)
                for n in (1, 2):
                    rules = (b"table ip t { chain c { type filter hook output priority 5; "
                             b"ip daddr 10.0.0.%%d accept; }; }" %% n)
                    subprocess.run(["nft", "-f", "-"], input=rules, check=True)
                    time.sleep(%d)
                subprocess.run(["nft", "flush", "ruleset"], check=True)
            """
                % (pause, 5 if w.slow else 1)
            )
            check_complete(r)
            # The content of the first batch is unknown if it precedes the subscription, but the
            # batch itself is counted. Its author is unknown if the mechanism changed meanwhile.
            counted = [
                Counter([(first, "committed"), ("static", "committed"), ("flush", "committed")])
                for first in ("static", "other")
            ]
            assert transactions(r) in (counted[:1] if pause else counted), (pause, transactions(r))
            (loaded,) = r.records("egress.loaded")
            assert loaded.get("sandbox.role") in ("app", None if not pause else "app") and rules_of(
                loaded
            ) == [("allow", "10.0.0.1")], (pause, loaded)
            assert [rules_of(e) for e in r.records("egress.updated")] == [
                [("allow", "10.0.0.2")],
                [],
            ], (
                pause,
                r.records("egress.updated"),
            )
            # A kernel from 5.11 on shows the types of a module while it is loaded.
            assert probe(r)["mechanism"] == ("fexit" if has_module_btf else "kprobe"), (
                pause,
                probe(r),
            )
    finally:
        for name in unloaded:
            modules.load(name)
        w.add_server_rules()
