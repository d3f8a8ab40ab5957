# SPDX-License-Identifier: Apache-2.0
"""Compares records with the truth of the actors: none may be missing and none extra."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from world import Event, Result


FAILED = ("refused", "timeout", "unreachable", "reset", "cancelled")
ERROR_TYPE = {"other": "_OTHER"}


def unescape(text: str) -> bytes:
    """Returns the bytes of an escaped string: \\\\ and \\xHH."""
    out, i, raw = b"", 0, text.encode()
    while i < len(raw):
        if raw[i : i + 2] == b"\\x":
            out += bytes.fromhex(raw[i + 2 : i + 4].decode())
            i += 4
        elif raw[i : i + 1] == b"\\":
            out += raw[i + 1 : i + 2]
            i += 2
        else:
            out += raw[i : i + 1]
            i += 1
    return out


def args_of(event: Event) -> tuple[str, ...]:
    return tuple(os.fsdecode(unescape(a)) for a in event["process.command_args"])


def check_same(subject: str, reported: Iterable[Any], truth: Iterable[Any]) -> None:
    """Asserts that both have the same elements, in any order."""
    reported, truth = Counter(reported), Counter(truth)
    if reported != truth:
        missing, extra = list((truth - reported).elements()), list((reported - truth).elements())
        raise AssertionError("%s: missing %r, extra %r" % (subject, missing[:8], extra[:8]))


def is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def network_type(address: str) -> str:
    return "ipv6" if ":" in address else "ipv4"


def check_event_counts(r: Result) -> None:
    """produced = delivered + dropped, by kind, in the report and in the metrics."""
    for kind, n in r.report["events"].items():
        assert n["produced"] == n["delivered"] + n["dropped"], (kind, n)
    produced = r.metric("sandpiper.events.produced", "kind")
    delivered = r.metric("sandpiper.events.delivered", "kind")
    dropped = Counter()
    for (kind, *_), n in r.metric("sandpiper.events.dropped", "kind", "stage", "reason").items():
        dropped[(kind,)] += n
    for kind, n in produced.items():
        assert n == delivered.get(kind, 0) + dropped[kind], (kind, n, delivered, dropped)


def catalog() -> dict[str, set[str]]:
    """{metric: keys that its points may have}, read from docs/metrics.md. A unit test holds that
    page to the code."""
    out = {}
    with open(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/metrics.md")
    ) as f:
        for line in f:
            cells = [c.strip() for c in line.split("|")]
            if len(cells) == 8 and cells[1].startswith("`"):
                keys = {k.strip().strip("`") for k in cells[5].split(",")} - {""}
                out[cells[2].split("`")[1]] = keys | (
                    {"sandbox_id"} if cells[4] == "yes" else set()
                )
    return out


def extra_keys(env: Mapping[str, str]) -> list[str]:
    """The keys that the operator adds to all points by the environment."""
    pairs = env.get("OPENSANDBOX_EGRESS_METRICS_EXTRA_ATTRS", "").split(",")
    return [pair.partition("=")[0] for pair in pairs if pair]


def check_catalog(metrics: dict[str, Any], extra: Sequence[str] = ()) -> None:
    """Asserts that the catalog has all metrics and keys. `metrics`: {name: [{"attributes": …}]}."""
    known = catalog()
    assert len(known) > 30
    for name, points in metrics.items():
        for p in points:
            keys = set(p["attributes"]) - set(extra)
            assert keys <= known[name] or keys == {"otel.metric.overflow"}, (name, p, known[name])


def check_complete(r: Result) -> None:
    """Asserts that no event was lost."""
    check_event_counts(r)
    assert r.report["complete"], r.report["gaps"]
    assert not r.records("sandpiper.loss")


def check_identity(r: Result) -> None:
    """Asserts that every record has the sandbox's id and no empty value, and that the sandbox
    starts and stops once."""
    for e in r.events:
        assert e["sandbox_id"] == r.report["sandbox_id"], e
        assert all(
            v not in ("", None, []) or k in ("process.command_args", "rules") for k, v in e.items()
        ), e
    assert len(r.records("sandbox.started")) == 1 and len(r.records("sandbox.stopped")) == 1
    times = [e["ts"] for e in r.events]
    assert all(t.endswith("Z") and len(t) == 30 for t in times), times[:3]


def check_lookups(r: Result, truth: dict[str, Any]) -> None:
    records = [e for e in r.records("egress.outbound") if "dns.question.type" in e]
    check_same(
        "lookups",
        [
            (
                e["target.host"],
                e["dns.question.type"],
                e["egress.outcome"],
                tuple(sorted(e.get("target.ips", []))),
                e["network.transport"],
            )
            for e in records
        ],
        [
            (x["name"], x["type"], x["outcome"], tuple(sorted(x["ips"])), x["transport"])
            for x in truth["lookups"]
            if x["outcome"] != "denied"
        ],
    )
    for e in records:
        is_answered = e["egress.outcome"] in ("ok", "nxdomain")
        assert ("error" in e) != is_answered, e
        assert ("dns.response_code" in e) == (
            e["egress.outcome"] not in ("timeout", "malformed")
        ), e
        assert e["dns.duration_ms"] >= 0
    check_same(
        "sandbox.dns.queries",
        list(r.metric("sandbox.dns.queries", "outcome", "network.transport").items()),
        list(Counter((x["outcome"], x["transport"]) for x in truth["lookups"]).items()),
    )
    assert r.report["totals"]["dns_answers_ignored"] == truth["ignored_answers"], r.report["totals"]


def check_flows(r: Result, truth: dict[str, Any]) -> None:
    facts = truth["flows"]
    outside = [f for f in facts if not is_loopback(f["peer"])]
    check_same(
        "attempts without a name",
        [
            (e["peer"], e["network.peer.port"], e["network.transport"])
            for e in r.records("egress.outbound")
            if "peer" in e
        ],
        [(f["peer"], f["port"], f["transport"]) for f in outside if not f["host"] and not f["dns"]],
    )

    def failure(f: dict[str, Any]) -> str:
        return "reset" if f["reset"] else ERROR_TYPE.get(f["outcome"], f["outcome"])

    check_same(
        "egress.failed",
        [
            (e.get("peer") or e["target.host"], e["network.peer.port"], e["error.type"])
            for e in r.records("egress.failed")
        ],
        [
            (f["host"] or f["peer"], f["port"], failure(f))
            for f in outside
            if f["reset"]
            or f["outcome"] in FAILED
            or (f["outcome"] == "other" and f["transport"] == "tcp")
        ],
    )
    check_same(
        "sandbox.connect.attempts",
        list(
            r.metric(
                "sandbox.connect.attempts", "outcome", "network.transport", "network.type"
            ).items()
        ),
        list(
            Counter((f["outcome"], f["transport"], network_type(f["peer"])) for f in facts).items()
        ),
    )

    def key(f: dict[str, Any]) -> tuple[str, int, str]:
        return f["host"] or f["peer"], f["port"], f["transport"]

    want = {}
    for f in facts:
        w = want.setdefault(
            key(f),
            {"attempts": 0, "outcomes": Counter(), "sent": 0, "received": 0, "addresses": set()},
        )
        w["attempts"] += 1
        w["outcomes"][f["outcome"]] += 1
        w["sent"] += f["sent"]
        w["received"] += f["received"]
        w["addresses"].add(f["peer"])
    reported = {}
    for d in r.report["destinations"]:
        reported[(d.get("host") or d["addresses"][0], d["port"], d["transport"])] = d
    assert set(reported) == set(want), (sorted(reported), sorted(want))
    for k, w in want.items():
        d = reported[k]
        assert d["attempts"] == w["attempts"] and d["outcomes"] == w["outcomes"], (k, d, w)
        assert (d["sent"], d["received"]) == (w["sent"], w["received"]), (k, d, w)
        assert set(d["addresses"]) == w["addresses"], (k, d, w)
    ledger = {}
    for e in r.records("egress.destination"):
        k = (e.get("target.host") or e["peer"], e["network.peer.port"], e["network.transport"])
        sums = ledger.setdefault(k, Counter())
        sums.update(
            attempts=e["egress.attempts"],
            sent=e["network.io.sent"],
            received=e["network.io.received"],
        )
    check_same(
        "egress.destination",
        [(k, s["attempts"], s["sent"], s["received"]) for k, s in ledger.items()],
        [
            (k, w["attempts"], w["sent"], w["received"])
            for k, w in want.items()
            if not is_loopback(next(iter(w["addresses"])))
        ],
    )
    assert r.report["totals"]["attempts"] == len(facts)


def check_denials(r: Result, truth: dict[str, Any]) -> None:
    reported = Counter()
    for e in r.records("egress.denied"):
        assert e["level"] == "warn" and e["count"] > 0, e
        reported[
            (
                e.get("target.host") or e["peer"],
                e["network.peer.port"],
                e["network.transport"],
                e["egress.layer"],
            )
        ] += e["count"]
    want = Counter()
    for x in truth.get("denials", []):
        want[(x["target"], x["port"], x["transport"], x["layer"])] += x["count"]
    check_same("egress.denied", list(reported.items()), list(want.items()))
    by_layer = Counter()
    for (_, _, transport, layer), n in want.items():
        by_layer[(layer, transport)] += n
    check_same(
        "sandbox.egress.denied",
        list(r.metric("sandbox.egress.denied", "layer", "network.transport").items()),
        list(by_layer.items()),
    )
    assert r.report["totals"]["denied"] == sum(want.values()), r.report["totals"]
    lookups_denied = sum(x["outcome"] == "denied" for x in truth["lookups"])
    assert sum(r.metric("egress.policy.denied_total").values()) == lookups_denied


def exit_status_of(e: Event) -> tuple[str, int]:
    """("signal" or "code", number) of a process.exit record."""
    return (
        ("signal", e["process.exit.signal"])
        if "process.exit.signal" in e
        else ("code", e["process.exit.code"])
    )


def check_processes(r: Result, truth: dict[str, Any], forks: Sequence[int] = ()) -> None:
    """Compares execs and exits with those of the actor and of the processes that it noted. `forks`
    is the number of exits of processes that executed no program."""
    execs = [(tuple(r.argv), None)] + [(tuple(x["argv"]), x.get("pid")) for x in truth["execs"]]
    check_same(
        "process.exec", [args_of(e) for e in r.records("process.exec")], [a for a, _ in execs]
    )
    by_pid = {e["process.pid"]: args_of(e) for e in r.records("process.exec")}
    for argv, pid in execs:
        assert pid is None or by_pid.get(pid) == argv, (argv, pid, by_pid)
    ends = [("code", r.status) if r.status < 128 else ("signal", r.status - 128)]
    ends += [
        ("signal", x["signal"]) if "signal" in x else ("code", x["code"]) for x in truth["execs"]
    ]
    check_same(
        "process.exit", [exit_status_of(e) for e in r.records("process.exit")], ends + list(forks)
    )
    for e in r.records("process.exec") + r.records("process.exit"):
        assert e["process.pid"] > 0 and e["process.executable.path"].startswith(("/", "memfd:")), e
    assert r.metric("sandbox.process.execs") == {(): len(execs)}, r.metrics
    assert sum(r.metric("sandbox.process.exits", "outcome").values()) == len(ends) + len(forks)


def check_everything(r: Result, status: int = 0, forks: Sequence[int] = ()) -> None:
    """Compares all records, metrics and the report of an actor's run with its truth."""
    truth = r.truth
    assert r.status == status, (r.status, r.stderr)
    check_complete(r)
    check_identity(r)
    check_lookups(r, truth)
    check_flows(r, truth)
    check_denials(r, truth)
    check_processes(r, truth, forks)


def real_path(path: str) -> str:
    return os.path.realpath(path)
