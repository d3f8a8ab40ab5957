# SPDX-License-Identifier: Apache-2.0
"""Compares the records, totals and metrics of a mix with the facts that its actors noted. Both are
brought into one form, {subject: Counter of elements}, and must then be equal."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from checks import args_of, exit_status_of

from mixes.expected import Expected, SandboxTruth, Subjects, sums_as_elements, without_zeros

Event = dict[str, Any]

RULE_EVENTS = ("egress.loaded", "egress.updated")
OTHER_EVENTS = (
    "egress.outbound",
    "egress.failed",
    "egress.denied",
    "egress.update_failed",
    "egress.destination",
    "process.exec",
    "process.exit",
    "sandbox.started",
    "sandbox.stopped",
)
# The parts of addresses, names and arguments that have the number of their action.
NUMBER = re.compile(r"10\.79\.(\d+)\.|192\.0\.2\.(\d+)|\bn(\d+)\b|\bscript-(\d+)|'sleep', '10(\d+)")
HEX_NUMBER = re.compile(r"fd79::([0-9a-f]+):|2001:db8::([0-9a-f]+)")


@dataclasses.dataclass
class Recorded:
    """What sandpiper reported of all sandboxes of a mix."""

    events: list[Event]
    metrics: Callable[..., dict[tuple[str | None, ...], float]]  # Scrape.by


def numbers_in(text: str) -> set[int]:
    """The numbers of actions in an address, a name or an argument."""
    numbers = {int(n) for groups in NUMBER.findall(text) for n in groups if n}
    return numbers | {int(n, 16) for groups in HEX_NUMBER.findall(text) for n in groups if n}


def target_of(e: Event) -> str:
    return e.get("target.host") or e.get("network.peer.address", "")


def server_of(e: Event) -> str | None:
    """The server of a lookup, with its port if that is not the usual one."""
    port = e.get("server.port")
    return e.get("server.address") if port == 53 else f"{e.get('server.address')} port {port}"


def is_dns(e: Event) -> bool:
    """Whether a destination has the bytes of lookups over UDP, which are no attempts."""
    return (e["network.peer.port"], e["network.transport"], e["egress.attempts"]) == (53, "udp", 0)


def addresses_of(e: Event) -> set[str]:
    return {e.get("network.peer.address", ""), *e.get("network.peer.addresses", [])}


METRIC_LABELS = {
    "sandbox.dns.queries": ("outcome", "network_transport"),
    "sandbox.connect.attempts": ("outcome", "network_transport", "network_type"),
    "sandbox.egress.denied": ("layer", "network_transport"),
    "sandbox.nftables.transactions": ("operation", "outcome"),
    "sandbox.process.execs": (),
    "sandbox.process.exits": ("outcome",),
    "egress.policy.denied_total": (),
}


def recorded_metrics(recorded: Recorded, sandbox: str) -> Subjects:
    out = {}
    for name, labels in METRIC_LABELS.items():
        series = name.replace(".", "_").removesuffix("_total") + "_total"
        out[name] = without_zeros(recorded.metrics(series, *labels, sandbox_id=sandbox))
    return out


def recorded_subjects(events: list[Event], expected: Expected) -> Subjects:
    """The subjects as the records of one sandbox say. Ends and programs are compared by pid where
    the truth has the pid."""

    def of(*kinds: str) -> list[Event]:
        return [e for e in events if e["opensandbox.event"] in kinds]

    lookups = [e for e in of("egress.outbound") if "dns.question.type" in e]
    attempts = [e for e in of("egress.outbound") if "dns.question.type" not in e]
    programs = [(args_of(e), e["process.pid"]) for e in of("process.exec")]
    ends = [(e["process.pid"], exit_status_of(e)) for e in of("process.exit")]
    known_programs = {pid for _, pid in expected.programs}
    known_ends = {pid for pid, _ in expected.ends}
    denials: Counter[Any] = Counter()
    for e in of("egress.denied"):
        key = (target_of(e), e["network.peer.port"], e["network.transport"], e["egress.layer"])
        denials[key] += e["count"]
    sums: dict[Any, Counter[str]] = {}
    addresses: dict[Any, set[str]] = {}
    for e in of("egress.destination"):
        if is_dns(e):
            continue
        key = (target_of(e), e["network.peer.port"], e["network.transport"])
        addresses.setdefault(key, set()).update(addresses_of(e))
        sums.setdefault(key, Counter()).update(
            attempts=e["egress.attempts"],
            established=e["egress.established"],
            sent=e["network.io.sent"],
            received=e["network.io.received"],
        )
    changes = of(*RULE_EVENTS)
    added = Counter((r["action"], r["target"]) for e in changes for r in e.get("rules", []))
    removed = Counter(
        (r["action"], r["target"]) for e in changes for r in e.get("rules.removed", [])
    )
    committed = {(x["action"], x["target"]) for x in expected.facts["rules"]}
    return {
        "lookups": Counter(
            (
                e["target.host"],
                e["dns.question.type"],
                e["egress.outcome"],
                e["network.transport"],
                server_of(e),
                tuple(sorted(e.get("target.ips", []))),
            )
            for e in lookups
        ),
        "processes of lookups": Counter(
            (e["target.host"], e["dns.question.type"], e["process.pid"]) for e in lookups
        ),
        "attempts without a name": Counter(
            (e.get("network.peer.address"), e["network.peer.port"], e["network.transport"])
            for e in attempts
        ),
        "processes of attempts": Counter(
            (e.get("network.peer.address"), e["network.peer.port"], e["process.pid"])
            for e in attempts
        ),
        "failures": Counter(
            (
                e.get("target.host"),
                e.get("network.peer.address"),
                e["network.peer.port"],
                e["error.type"],
            )
            for e in of("egress.failed")
        ),
        "destinations": sums_as_elements(sums, addresses),
        "denials": denials,
        "programs": Counter(argv for argv, _ in programs),
        "programs by pid": Counter(x for x in programs if x[1] in known_programs),
        "ends": Counter(end for _, end in ends),
        "ends by pid": Counter(x for x in ends if x[0] in known_ends),
        "rules in force": added - removed,
        "rules that were never added": Counter(r for r in added if r not in committed),
        "refused changes": Counter(e["error"] for e in of("egress.update_failed")),
        "changes by another process": Counter(
            e["process.pid"]
            for e in changes + of("egress.update_failed")
            if e.get("sandbox.role") != "app" or e["process.pid"] not in expected.pids_of_nft()
        ),
    }


def label(element: Any, kinds: dict[int, str]) -> str:
    """The action that an element belongs to, if its text shows it."""
    found = sorted(numbers_in(repr(element)) & kinds.keys())
    return "".join(f" [action {n}: {kinds[n]}]" for n in found)


def differences(
    what: str, expected: Subjects, recorded: Subjects, kinds: dict[int, str]
) -> list[str]:
    """A line for each element that is missing or extra."""
    out = []
    for subject in sorted(expected | recorded):
        want, got = expected.get(subject, Counter()), recorded.get(subject, Counter())
        for word, elements in (("missing", want - got), ("extra", got - want)):
            for element, n in elements.items():
                times = f" ({n} times)" if n > 1 else ""
                out.append(f"{what}, {subject}: {word} {element}{times}{label(element, kinds)}")
    return out


def compare(truth: dict[str, SandboxTruth], recorded: Recorded) -> list[str]:
    """All differences between a mix and its records; none if the records are true."""
    out = []
    by_sandbox: dict[str, list[Event]] = {name: [] for name in truth}
    for e in recorded.events:
        if e["sandbox_id"] not in truth:
            out.append(f"a record of an unknown sandbox: {e}")
        elif e["opensandbox.event"] not in (*RULE_EVENTS, *OTHER_EVENTS):
            out.append(f"{e['sandbox_id']}: an unexpected record: {e}")
        else:
            by_sandbox[e["sandbox_id"]].append(e)
    for name, sandbox in truth.items():
        expected, events = Expected(sandbox), by_sandbox[name]
        subjects = recorded_subjects(events, expected)
        out += differences(name, expected.subjects(), subjects, sandbox.kinds)
        out += differences(
            f"{name}, metrics", expected.metrics(), recorded_metrics(recorded, name), sandbox.kinds
        )
        out += compare_totals(name, expected, events)
    return out


def compare_totals(name: str, expected: Expected, events: Iterable[Event]) -> list[str]:
    """Compares sandbox.stopped. Every sandbox starts and stops once, and loses no event."""
    kinds = Counter(e["opensandbox.event"] for e in events)
    if kinds["sandbox.started"] != 1 or kinds["sandbox.stopped"] != 1:
        return [f"{name}: it did not start and stop once: {dict(kinds)}"]
    (stopped,) = (e for e in events if e["opensandbox.event"] == "sandbox.stopped")
    want = expected.totals()
    keys = {
        "sandbox.dns.lookups",
        "sandbox.connect.attempts",
        "sandbox.process.execs",
        "sandbox.process.exits",
        "sandbox.egress.denied",
        "sandbox.dns.answers_ignored",
        "sandbox.dns.messages_malformed",
    }
    out = differences(
        f"{name}, totals",
        {"sandbox.stopped": want},
        {"sandbox.stopped": without_zeros({k: stopped.get(k, 0) for k in keys})},
        {},
    )
    produced, delivered = stopped["sandpiper.produced"], stopped["sandpiper.delivered"]
    if produced != delivered or stopped["sandpiper.dropped"]:
        out.append(f"{name}: produced {produced} events, delivered {delivered}")
    return out
