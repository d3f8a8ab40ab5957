"""nftables: what the rules are, who changed them, and that no change is missed. The truth is what nft(8) was told and what it answered."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections import Counter

import modules
from attribution import Collector, act
from checks import complete, denials, everything, lookups, same
from redirect import with_sidecar
from registry import Skip, scenario
from world import HERE, PYTHON

OUT = "table inet fence { chain out { type filter hook output priority 0; policy %s; %s }; }"


def rules_of(event, key="rules"):
    return [(r["action"], r["target"]) for r in event.get(key, [])]


def transactions(r):
    return {k: n for k, n in r.metric("sandbox.nftables.transactions", "operation", "outcome").items()}


def probe(r):
    return [p for p in r.report["probes"] if p["probe"] == "nftables"][0]


@scenario
def loaded_at_the_start(w):
    with w.nft(OUT % ("drop", "ct state established,related accept; ip daddr 10.77.0.0/24 tcp dport 443 accept; ip6 daddr fd77::1 accept; "
                              "tcp dport { 25, 587 } drop; oifname \"lo\" accept; meta mark 0x1 accept; udp dport 1000-2000 accept; counter;")):
        r = w.exec(["true"])
    complete(r)
    (loaded,) = r.of("egress.loaded")
    assert loaded["egress.default"] == "deny" and loaded["rules.source"] == "nftables" and loaded["level"] == "info", loaded
    assert rules_of(loaded) == [
        ("allow", "ct state established,related"), ("allow", "10.77.0.0/24 tcp dport 443"), ("allow", "fd77::1"), ("deny", "tcp dport { 25, 587 }"),
        ("allow", 'oifname "lo"'), ("allow", "meta mark 0x00000001"), ("allow", "udp dport >= 1000 udp dport <= 2000")], rules_of(loaded)
    assert not r.of("egress.updated") and not r.of("egress.update_failed")
    assert r.metric("egress.nftables.rules.count") == {(): 8}, r.metrics


@scenario
def sets_are_told_by_their_elements(w):
    with w.nft("""table inet fence {
      set allow { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.0.2.1, 198.51.100.5-198.51.100.9, 203.0.113.0/24, 255.255.255.255 }; }
      set allow6 { type ipv6_addr; flags interval; elements = { fd00::/8, 2001:db8::1 }; }
      set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.1.0.0/16 . 8000-8080, 10.2.0.1 . 53 }; }
      set learned { type ipv4_addr; timeout 1h; elements = { 1.2.3.4 }; }
      set ports { type inet_service; elements = { 80, 443 }; }
      chain web { ip daddr 192.0.2.9 accept; ip daddr 192.0.2.10 drop; }
      chain out {
        type filter hook output priority 0; policy drop;
        ip daddr @allow accept
        ip6 daddr @allow6 accept
        ip daddr . tcp dport @pairs accept
        ip daddr @learned accept
        ip daddr 10.9.0.0/16 tcp dport @ports accept
        ip daddr != 10.0.0.0/8 meta skuid 33 drop
        tcp dport vmap { 22: drop, 80: jump web }
        ip daddr { 192.0.2.77, 192.0.2.78 } reject
      }
    }"""):
        r = w.exec(["true"])
    (loaded,) = r.of("egress.loaded")
    assert rules_of(loaded) == [
        ("allow", "10.0.0.0/8"), ("allow", "192.0.2.1"), ("allow", "198.51.100.5-198.51.100.9"), ("allow", "203.0.113.0/24"),
        ("allow", "255.255.255.255"), ("allow", "2001:db8::1"), ("allow", "fd00::/8"),
        ("allow", "10.1.0.0/16 tcp dport 8000-8080"), ("allow", "10.2.0.1 tcp dport 53"), ("allow", "ip daddr @learned"),
        ("allow", "10.9.0.0/16 tcp dport @ports"), ("deny", "ip daddr != 10.0.0.0/8 meta skuid 33"), ("deny", "tcp dport 22"),
        ("allow", "192.0.2.9 tcp dport 80"), ("deny", "192.0.2.10 tcp dport 80"), ("deny", "192.0.2.77"), ("deny", "192.0.2.78")], rules_of(loaded)
    # 10 rules and 5 + 2 + 2 + 2 elements that stay.
    assert r.metric("egress.nftables.rules.count") == {(): 21}, r.metric("egress.nftables.rules.count")


@scenario
def no_rules_are_no_rule_set(w):
    r = w.exec(["true"])
    complete(r)
    assert not r.of("egress.loaded") and not r.of("egress.updated") and r.report["rules"]["state"] == "none"


@scenario
def changed_by_the_application_is_tampering(w):
    with w.nft(OUT % ("drop", "ip daddr 10.77.0.4 accept;")):
        r = w.actor("""
            actor.run(["nft", "add", "rule", "inet", "fence", "out", "ip", "daddr", "192.0.2.1", "accept"])
        """)
    everything(r)
    (updated,) = r.of("egress.updated")
    assert rules_of(updated) == [("allow", "192.0.2.1")] and "rules.removed" not in updated, updated
    assert updated["level"] == "warn" and updated["sandbox.role"] == "app" and updated["egress.default"] == "deny", updated
    assert updated["process.pid"] == r.truth["execs"][0]["pid"] and updated["process.executable.name"] == "nft", updated
    assert transactions(r) == {("static", "committed"): 1} and r.metric("egress.nftables.updates.count") == {(): 1}


@scenario
def the_first_rules_of_the_sandbox_are_loaded_not_updated(w):
    with w.nft(""):
        r = w.actor("""
            import subprocess
            subprocess.run(["nft", "-f", "-"], input=b"table ip t { chain c { type filter hook output priority 5; policy drop; ip daddr 10.0.0.1 accept; }; }", check=True)
        """)
    (loaded,) = r.of("egress.loaded")
    assert loaded["sandbox.role"] == "app" and loaded["level"] == "warn" and rules_of(loaded) == [("allow", "10.0.0.1")], loaded
    assert not r.of("egress.updated") and transactions(r) == {("static", "committed"): 1}


@scenario
def flushed_by_an_intruder(w):
    with w.nft(OUT % ("drop", "ip daddr 10.77.0.4 accept;")):
        r = w.actor('actor.run(["nft", "flush", "ruleset"])')
    (updated,) = r.of("egress.updated")
    assert updated["egress.default"] == "allow" and rules_of(updated) == [] and rules_of(updated, "rules.removed") == [("allow", "10.77.0.4")], updated
    assert updated["level"] == "warn" and updated["sandbox.role"] == "app"
    assert transactions(r) == {("flush", "committed"): 1}
    assert r.report["rules"] == {"state": "known", "default": "allow", "count": 0, "generation": updated["nftables.generation"], "changes": 1,
                                 "changes_by_application": 1, "refused": 0}, r.report["rules"]
    assert r.metric("egress.nftables.rules.count") == {(): 0}


REPLACE = """delete table inet fence
table inet fence { set a { type ipv4_addr; flags interval; elements = { %s }; }; chain out { type filter hook output priority 0; policy drop; ip daddr @a accept; }; }"""


@scenario
def replaced_in_one_transaction(w):
    """Deleted and made anew: the true difference, and nothing where there is none."""
    with w.nft("table inet fence { }\n" + REPLACE % "10.0.0.0/8, 192.0.2.1"):
        r = w.actor("""
            import subprocess, time
            for elements in ("10.0.0.0/8, 192.0.2.1", "10.0.0.0/8, 192.0.2.2", "10.0.0.0/8, 192.0.2.2"):
                subprocess.run(["nft", "-f", "-"], input=(%r %% elements).encode(), check=True)
                time.sleep(0.5)
        """ % REPLACE)
    (updated,) = r.of("egress.updated")
    assert rules_of(updated) == [("allow", "192.0.2.2")] and rules_of(updated, "rules.removed") == [("allow", "192.0.2.1")], updated
    assert transactions(r) == {("static", "committed"): 3}, transactions(r)


@scenario
def elements_with_a_timeout_are_dynamic(w):
    with w.nft("table inet fence { set learned { type ipv4_addr; flags timeout; }; chain out { type filter hook output priority 0; policy drop; "
               "ip daddr @learned accept; oifname lo accept; }; }"):
        r = w.actor("""
            for i in range(5):
                actor.run(["nft", "add element inet fence learned { 192.0.2.%d timeout 60s }" % i])
            actor.run(["nft", "add element inet fence learned { 192.0.2.200 }"])
        """)
    everything(r)
    assert transactions(r) == {("dynamic", "committed"): 5, ("static", "committed"): 1}, transactions(r)
    assert r.metric("egress.nftables.updates.count") == {(): 6}
    assert not r.of("egress.updated"), r.of("egress.updated")  # the set is told by its name: what is in it comes and goes
    assert r.metric("egress.nftables.rules.count") == {(): 3}


@scenario
def refused_changes(w):
    with w.nft(OUT % ("accept", "")):
        r = w.actor("""
            for argv, error in ((["nft", "delete", "table", "inet", "nosuch"], "ENOENT"), (["nft", "create", "table", "inet", "fence"], "EEXIST"),
                                (["setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all", "nft", "add", "table", "inet", "mine"], "EPERM")):
                assert actor.run(argv) != 0
                actor.TRUTH.setdefault("errors", []).append(error)
            actor.run(["nft", "-c", "add", "table", "inet", "only_checked"])
            actor.run(["nft", "list", "table", "inet", "nosuch"])
            actor.run(["nft", "list", "ruleset"])
        """)
    failed = r.of("egress.update_failed")
    same("errors", [e["error"] for e in failed], r.truth["errors"])
    assert all(e["level"] == "warn" and e["sandbox.role"] == "app" and "rules" not in e for e in failed), failed
    assert transactions(r) == {("other", "aborted"): 3}, transactions(r)
    assert not r.of("egress.updated")


@scenario
def changed_from_the_host(w):
    with w.nft(OUT % ("drop", "ip daddr 10.77.0.4 accept;")):
        cg = w.new_cgroup("guarded")
        p = act(w, cg, "print('up', flush=True); sys.stdin.readline()", wait=False)
        p.stdout.readline()
        c = Collector(w, [cg])
        nft = subprocess.Popen(["nsenter", "--net=/run/netns/" + w.client, "nft", "add", "rule", "inet", "fence", "out", "ip", "daddr", "192.0.2.1", "drop"])
        assert nft.wait() == 0
        p.communicate(b"\n", timeout=60)
        events = c.stop()
    (updated,) = [e for e in events if e["opensandbox.event"] == "egress.updated"]
    assert updated["actor"] == "host" and updated["level"] == "info" and updated["process.pid"] == nft.pid and "sandbox.role" not in updated, updated
    assert rules_of(updated) == [("deny", "192.0.2.1")] and updated["process.executable.name"] == "nft"


@scenario
def changed_by_the_sidecar(w):
    with w.nft(""):
        app, side = w.new_cgroup("pod-app"), w.new_cgroup("pod-side")
        p = act(w, app, "print('up', flush=True); sys.stdin.readline(); actor.run(['nft', 'flush', 'ruleset'])", wait=False)
        p.stdout.readline()
        c = Collector(w, [app + "=pod", side + "=pod:sidecar"])
        rules = OUT % ("drop", "ip daddr 10.77.0.4 accept;")
        act(w, side, "import subprocess; subprocess.run(['nft', '-f', '-'], input=%r, check=True)" % rules.encode())
        time.sleep(0.5)
        p.communicate(b"\n", timeout=60)
        events = c.stop()
    assert {e["sandbox_id"] for e in events} == {"pod"}
    loaded, updated = [e for e in events if e["opensandbox.event"] in ("egress.loaded", "egress.updated")]
    assert loaded["opensandbox.event"] == "egress.loaded" and loaded["sandbox.role"] == "sidecar" and loaded["level"] == "info", loaded
    assert updated["sandbox.role"] == "app" and updated["level"] == "warn" and rules_of(updated, "rules.removed") == [("allow", "10.77.0.4")], updated


@scenario
def two_namespaces_with_the_same_tables(w):
    """One change in each: neither is told of the other's."""
    a, b = w.new_cgroup("left"), w.new_cgroup("right")
    rules = OUT % ("drop", "ip daddr 192.0.2.%d accept;")
    code = """
import ctypes, os, subprocess
assert ctypes.CDLL(None).unshare(0x40000000) == 0  # CLONE_NEWNET
actor.run(["true"])
print("up", flush=True)
sys.stdin.readline()
subprocess.run(["nft", "-f", "-"], input=%r, check=True)
print("done", flush=True)
sys.stdin.readline()
"""
    ps = [act(w, cg, code % (rules % n).encode(), wait=False) for cg, n in ((a, 1), (b, 2))]
    for p in ps:
        p.stdout.readline()
    c = Collector(w, [a, b])
    for p in ps:
        p.stdin.write(b"\n")
        p.stdin.flush()
        p.stdout.readline()
    for p in ps:
        p.communicate(b"\n", timeout=60)
    events = c.stop()
    for name, n in (("left", 1), ("right", 2)):
        mine = [e for e in events if e["sandbox_id"] == name and e["opensandbox.event"] in ("egress.loaded", "egress.updated")]
        assert len(mine) == 1 and rules_of(mine[0]) == [("allow", "192.0.2.%d" % n)], mine


@scenario
def namespaces_that_die_at_once(w):
    n = 5 if w.slow else 40
    with open(w.dir + "/rules.nft", "w") as f:
        f.write(OUT % ("drop", "ip daddr 10.77.0.4 accept;"))
    r = w.actor("""
        for i in range(%d):
            actor.run(["unshare", "-n", "sh", "-c", "nft -f %s/rules.nft"])
    """ % (n, w.dir))
    assert r.status == 0
    complete(r)
    # Each that could be read was told whole; none is told as empty.
    for e in r.of("egress.loaded"):
        assert "error" in e or rules_of(e) == [("allow", "10.77.0.4")], e
    assert not [e for e in r.of("egress.updated") if "error" not in e], r.of("egress.updated")


@scenario
def the_sidecar_of_opensandbox(w):
    r = with_sidecar(w, 3, 1, """
        for name in ("a.test", "evil.test", "many3.test"):
            outcome, ips = actor.lookup(name, "A", record=False)
            if name == "evil.test":
                actor.note_lookup(name, "A", "denied")
                actor.denied(name, 53, "udp", layer="dns")
            else:
                actor.note_lookup(name, "A", outcome, ips)
    """)
    complete(r)
    lookups(r, r.truth)
    denials(r, r.truth)
    truth = r.truth["sidecar"]
    # Its first batch deletes a table that is not there; that is how it starts, and no failed update.
    assert truth["aborted"] == 1 and truth["committed"] == 4
    assert transactions(r) == {("static", "committed"): 2, ("dynamic", "committed"): 2, ("other", "aborted"): 1}, transactions(r)
    assert not r.of("egress.update_failed")
    loaded = r.of("egress.loaded") + r.of("egress.updated")
    assert loaded[0]["opensandbox.event"] == "egress.loaded", loaded
    told = [rule for e in loaded for rule in rules_of(e)]
    for rule in (("allow", "203.0.113.0/24"), ("deny", "198.51.100.7"), ("allow", "127.0.0.1"), ("allow", "ip daddr @dyn_allow_v4"), ("deny", "tcp dport 853"),
                 ("allow", "meta mark 0x00000001"), ("deny", "any")):
        assert rule in told, (rule, told)
    assert loaded[-1]["egress.default"] == "deny"


@scenario
def iptables_counts_too(w):
    with w.nft(""):
        r = w.actor("""
            actor.run(["iptables", "-A", "OUTPUT", "-d", "172.16.0.0/12", "-p", "tcp", "--dport", "443", "-j", "DROP"])
            actor.run(["iptables", "-A", "OUTPUT", "-d", "10.0.0.1", "-j", "ACCEPT"])
            actor.run(["iptables", "-P", "OUTPUT", "DROP"])
        """)
    complete(r)
    assert transactions(r) == {("static", "committed"): 3}, transactions(r)
    told = [rule for e in r.of("egress.loaded") + r.of("egress.updated") for rule in rules_of(e)]
    assert told == [("deny", "172.16.0.0/12 tcp dport 443"), ("allow", "10.0.0.1")], told
    assert r.of("egress.updated")[-1]["egress.default"] == "deny"


@scenario
def ten_thousand_elements_in_one_transaction(w):
    n = 10000
    addresses = ["10.%d.%d.%d" % (i >> 16, i >> 8 & 255, i & 255) for i in range(n)]
    with w.nft("table inet fence { set big { type ipv4_addr; }; chain out { type filter hook output priority 0; policy drop; ip daddr @big accept; }; }"):
        with open(w.dir + "/big.nft", "w") as f:
            f.write("add element inet fence big { %s }\n" % ", ".join(addresses))
        r = w.actor('assert actor.run(["nft", "-f", %r]) == 0' % (w.dir + "/big.nft"))
    complete(r)
    assert transactions(r) == {("static", "committed"): 1}, transactions(r)
    (updated,) = r.of("egress.updated")
    digest = hashlib.sha256("".join("allow %s\n" % a for a in addresses).encode()).hexdigest()
    assert updated["rules.count"] == n and updated["rules.sha256"] == digest and "rules" not in updated, updated
    assert r.metric("egress.nftables.rules.count") == {(): n + 1}


@scenario
def a_table_of_ten_thousand_rules(w):
    n = 2000 if w.slow else 10000
    rules = "\n".join("ip daddr 10.%d.%d.%d tcp dport %d accept comment \"c%d\"" % (i >> 16, i >> 8 & 255, i & 255, i % 1000 + 1, i) for i in range(n))
    with w.nft("table inet fence { chain out { type filter hook output priority 0; policy drop;\n%s\n}; }" % rules):
        r = w.actor('assert actor.run(["nft", "add", "rule", "inet", "fence", "out", "ip", "daddr", "192.0.2.1", "drop"]) == 0')
    complete(r)
    (loaded,), (updated,) = r.of("egress.loaded"), r.of("egress.updated")
    assert loaded["rules.count"] == n and "rules.sha256" in loaded, loaded
    assert rules_of(updated) == [("deny", "192.0.2.1")], updated


@scenario
def two_hundred_transactions_a_second(w):
    rounds, rate = (1, 50) if w.slow else (10, 200)
    with w.nft("table inet fence { set s { type ipv4_addr; flags timeout; }; set t { type ipv4_addr; }; chain out { type filter hook output priority 0; ip daddr @t drop; }; }"):
        r = w.exec([PYTHON, os.path.join(HERE, "nft_storm.py"), str(rounds), str(rate)])
    assert r.status == 0, r.stderr
    done = json.loads(r.stdout.decode().splitlines()[-1])
    complete(r)
    assert transactions(r) == {("static", "committed"): done["static"], ("dynamic", "committed"): done["dynamic"]}, (transactions(r), done)
    changed = sum(e.get("nftables.transactions", 1) for e in r.of("egress.updated"))
    assert changed == done["static"], (changed, done)


NASTY = ['quote"quote', "it's", "back\\slash", "new\nline", "tab\t;{}", "\u00fc\u4e16", "x" * 120]


@scenario
def names_and_comments_that_are_hostile(w):
    """Put there in ways that nft(8)'s own language has no words for; read as what they are."""
    commands = [{"add": {"table": {"family": "inet", "name": "fence"}}},
                {"add": {"chain": {"family": "inet", "table": "fence", "name": "out", "type": "filter", "hook": "output", "prio": 0, "policy": "drop"}}}]
    for i, name in enumerate(NASTY):
        commands.append({"add": {"set": {"family": "inet", "table": "fence", "name": name, "type": "ipv4_addr", "elem": ["192.0.2.%d" % i]}}})
        commands.append({"add": {"rule": {"family": "inet", "table": "fence", "chain": "out", "comment": name, "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "@" + name}}, {"accept": None}]}}})
    with w.nft(""):
        with open(w.dir + "/nasty.json", "w") as f:
            json.dump({"nftables": commands}, f)
        done = subprocess.run(["nsenter", "--net=/run/netns/" + w.client, "nft", "-j", "-f", w.dir + "/nasty.json"])
        assert done.returncode == 0
        r = w.exec(["true"])
    (loaded,) = r.of("egress.loaded")
    assert rules_of(loaded) == [("allow", "192.0.2.%d" % i) for i in range(len(NASTY))], loaded


@scenario
def every_mechanism_tells_the_same(w):
    """From the best one that this kernel has down to netlink alone, which knows the process and not its sandbox."""
    avoided, used = [], []
    while True:
        with w.nft(OUT % ("drop", "ip daddr 10.77.0.4 accept;")):
            r = w.actor("""
                actor.run(["nft", "add", "rule", "inet", "fence", "out", "ip", "daddr", "192.0.2.1", "accept"])
                actor.run(["nft", "create", "table", "inet", "fence"])
                actor.run(["nft", "flush", "ruleset"])
            """, options=[o for a in avoided for o in ("--avoid", "nftables:" + a)])
        complete(r)
        mechanism = probe(r)["mechanism"]
        used.append(mechanism)
        committed = {k: n for k, n in transactions(r).items() if k[1] == "committed"}
        assert committed == {("static", "committed"): 1, ("flush", "committed"): 1}, (mechanism, committed)
        told = [rule for e in r.of("egress.updated") for rule in rules_of(e) + rules_of(e, "rules.removed")]
        assert ("allow", "10.77.0.4") in told, (mechanism, told)
        last = r.of("egress.updated")[-1]
        assert last["process.pid"] == r.truth["execs"][2]["pid"], (mechanism, last)
        if mechanism == "netlink":
            break
        assert last["sandbox.role"] == "app" and last["level"] == "warn", (mechanism, last)
        assert [e["error"] for e in r.of("egress.update_failed")] == ["EEXIST"], (mechanism, r.of("egress.update_failed"))
        assert transactions(r)[("other", "aborted")] == 1, (mechanism, transactions(r))
        avoided.append(mechanism)
    print("     mechanisms: " + ", ".join(used))


@scenario
def nf_tables_loaded_late(w):
    """By the sandbox itself, here: sandpiper loads nothing, and attaches when it is there."""
    if "nf_tables" not in modules.loaded():
        raise Skip("nf_tables is part of this kernel, or nobody has loaded it")
    w.without_rules()
    gone = modules.unload("nf_tables")
    try:
        for pause in (0, 2):
            if "nf_tables" in modules.loaded():
                modules.unload("nf_tables")
            r = w.actor("""
                import modules, subprocess, time
                assert "nf_tables" not in modules.loaded()
                modules.load("nf_tables")
                time.sleep(%d)
                for n in (1, 2):
                    subprocess.run(["nft", "-f", "-"], input=b"table ip t { chain c { type filter hook output priority 5; ip daddr 10.0.0.%%d accept; }; }" %% n, check=True)
                    time.sleep(1)
                subprocess.run(["nft", "flush", "ruleset"], check=True)
            """ % pause)
            complete(r)
            # What the first batch held is not known where it came before anybody could listen; that there was one is.
            first = "static" if pause else "other"
            assert transactions(r) == Counter([(first, "committed"), ("static", "committed"), ("flush", "committed")]), (pause, transactions(r))
            (loaded,) = r.of("egress.loaded")
            assert loaded["sandbox.role"] == "app" and rules_of(loaded) == [("allow", "10.0.0.1")], (pause, loaded)
            assert [rules_of(e) for e in r.of("egress.updated")] == [[("allow", "10.0.0.2")], []], (pause, r.of("egress.updated"))
            assert probe(r)["mechanism"] == "fexit", (pause, probe(r))
    finally:
        for name in gone:
            modules.load(name)
        w.with_rules()


@scenario
def rules_that_never_reach_the_kernel(w):
    """In its mode `dns` the sidecar of OpenSandbox keeps its rules to itself: they are in what it was started with."""
    policy = {"defaultAction": "deny", "egress": [{"action": "allow", "target": "*.example.test"}, {"action": "deny", "target": "192.0.2.0/24"}]}
    root = os.path.join(w.dir, "sidecar-root")
    os.makedirs(root + "/opt/opensandbox-egress")
    shutil.copy("/bin/busybox", root + "/opt/opensandbox-egress/egress")
    with open(root + "/policy.json", "w") as f:
        json.dump({"egress": [{"action": "allow", "target": "from-a-file.test"}]}, f)
    r = w.actor("""
        import subprocess
        for more in ({}, {"OPENSANDBOX_EGRESS_POLICY_FILE": "/policy.json"}, {"OPENSANDBOX_EGRESS_RULES": "oops"}):
            import os
            subprocess.run(["sleep", "0.5"], executable="/opt/opensandbox-egress/egress", env={**os.environ, **more}, check=True,
                           preexec_fn=lambda: (os.chroot(%r), os.chdir("/")))
    """ % root, env={"OPENSANDBOX_EGRESS_RULES": json.dumps(policy), "OPENSANDBOX_EGRESS_TOKEN": "topsecret"})
    complete(r)
    one, two, three = r.of("egress.loaded")
    assert one["rules.source"] == "environment" and one["egress.default"] == "deny" and one["rules"] == policy["egress"], one
    assert two["rules.source"] == "file" and rules_of(two) == [("allow", "from-a-file.test")], two
    assert three["level"] == "warn" and "no JSON" in three["error"] and "rules" not in three, three
    assert not any("topsecret" in json.dumps(e) for e in r.events)


@scenario
def from_dns_to_allow(w):
    """The proxy adds each address before it hands the answer on: one time for each, and none longer than the lookup."""
    r = with_sidecar(w, 2, 1, """
        for name in ("a.test", "many3.test"):
            actor.lookup(name, "A")
    """)
    complete(r)
    added = sum(len(addresses) for _, addresses in r.truth["sidecar"]["added"])
    (point,) = r.metrics["sandbox.dns.allow.duration"]
    longest = max(e["dns.duration_ms"] for e in r.of("egress.outbound"))
    assert added == 4 and point["count"] == added and 0 < point["sum"] * 1000 <= added * longest, (point, longest)
    assert not r.metric("sandbox.connect.before_allow") and not r.of("egress.expired")
    assert not [e for e in r.events if e["level"] == "debug"]


@scenario
def connected_before_it_was_allowed_and_open_when_it_expired(w):
    with w.nft("table inet fence { set learned { type ipv4_addr; flags timeout; }; chain out { type filter hook output priority 0; policy drop; "
               "ct state established accept; ip daddr @learned accept; oifname lo accept; }; }"):
        r = w.actor("""
            import socket, time
            s = socket.socket()
            s.settimeout(0.2)
            try:
                s.connect(("10.77.0.4", 8080))
            except socket.timeout:
                actor.flow("10.77.0.4", 8080, "tcp", "denied")
                actor.denied("10.77.0.4", 8080, "tcp")
            s.close()
            actor.run(["nft", "add element inet fence learned { 10.77.0.4 timeout 2s }"])
            s = socket.create_connection(("10.77.0.4", 8080))
            time.sleep(4)
            s.close()
            actor.flow("10.77.0.4", 8080, "tcp", "established")
        """, options=["--log-level", "debug"])
    everything(r)
    assert r.metric("sandbox.connect.before_allow") == {(): 1} and r.metric("sandbox.nftables.expired_in_use") == {(): 1}, r.metrics
    (updated,), (expired,) = r.of("egress.updated"), r.of("egress.expired")
    assert updated["level"] == "debug" and updated["nftables.operation"] == "dynamic" and updated["egress.denied_before"] is True, updated
    assert expired["level"] == "debug" and expired["peer"] == "10.77.0.4", expired
