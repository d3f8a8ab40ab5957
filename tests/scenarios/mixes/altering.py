# SPDX-License-Identifier: Apache-2.0
"""Shows that the comparison can fail: alters one record or metric of a true run, and expects that
the comparison reports it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

from mixes.comparing import METRIC_LABELS, OTHER_EVENTS, Event, Recorded, compare, is_dns
from mixes.expected import Expected
from mixes.running import Outcome

# The attributes that a comparison must hold to the truth, by event.
ATTRIBUTES = {
    "egress.outbound": (
        "target.host",
        "dns.question.type",
        "egress.outcome",
        "target.ips",
        "network.transport",
        "network.peer.address",
        "network.peer.port",
        "server.address",
        "server.port",
        "process.pid",
    ),
    "egress.failed": ("network.peer.address", "network.peer.port", "error.type"),
    "egress.denied": ("network.peer.port", "network.transport", "egress.layer", "count"),
    "egress.destination": (
        "network.peer.address",
        "network.peer.addresses",
        "network.peer.port",
        "network.transport",
        "egress.attempts",
        "egress.established",
        "network.io.sent",
        "network.io.received",
    ),
    "egress.update_failed": ("error", "process.pid"),
    "egress.updated": ("rules", "sandbox.role", "process.pid"),
    "process.exec": ("process.command_args", "process.pid"),
    "process.exit": ("process.exit.code", "process.exit.signal", "process.pid"),
    "sandbox.stopped": (
        "sandbox.dns.lookups",
        "sandbox.connect.attempts",
        "sandbox.process.execs",
        "sandbox.process.exits",
        "sandbox.egress.denied",
        "sandbox.dns.answers_ignored",
        "sandbox.dns.messages_malformed",
        "sandpiper.delivered",
        "sandpiper.dropped",
    ),
}
# More than any pid, so that the sum is no other process's.
OTHER_PID = 1 << 23
REPEATED = ("egress.outbound", "egress.denied", "process.exec", "process.exit", "egress.failed")


def is_compared(e: Event, key: str, pids: set[int]) -> bool:
    """Whether the truth has this attribute. `pids` are those that the actors noted, which do not
    know the pids of some grandchildren."""
    if key not in e or e[key] in ([], None) or is_dns_bytes(e):
        return False
    if key == "network.peer.port":
        return "dns.question.type" not in e
    return key != "process.pid" or e[key] in pids


def is_dns_bytes(e: Event) -> bool:
    return named(e, "egress.destination") and is_dns(e)


def other_value(value: Any) -> Any:
    """A value of the same type that differs."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + OTHER_PID
    if isinstance(value, list):
        return [other_value(value[0]), *value[1:]]
    if isinstance(value, dict):
        return {key: other_value(x) for key, x in value.items()}
    return value + "x"


def noted_pids(outcome: Outcome) -> set[int]:
    expected = [Expected(truth) for truth in outcome.truth.values()]
    return {pid for x in expected for pid, _ in x.ends if pid}


def altered_attributes(events: list[Event], pids: set[int]) -> Iterator[tuple[str, list[Event]]]:
    for kind, keys in ATTRIBUTES.items():
        for key in keys:
            found = [
                i for i, e in enumerate(events) if named(e, kind) and is_compared(e, key, pids)
            ]
            assert found, f"no record {kind} has {key}"
            altered = copy.deepcopy(events)
            e = altered[found[len(found) // 2]]
            e[key] = other_value(e[key])
            yield f"{key} of {kind}", altered


def altered_lists(events: list[Event]) -> Iterator[tuple[str, list[Event]]]:
    """One record is missing, is there twice, or belongs to another sandbox."""
    sandboxes = sorted({e["sandbox_id"] for e in events})
    for kind in (*OTHER_EVENTS, "egress.updated"):
        found = [i for i, e in enumerate(events) if named(e, kind) and not is_dns_bytes(e)]
        assert found, f"there is no record {kind}"
        at = found[len(found) // 2]
        yield f"a missing {kind}", events[:at] + events[at + 1 :]
        if kind in REPEATED:
            yield f"a repeated {kind}", [*events, events[at]]
        altered = copy.deepcopy(events)
        own = altered[at]["sandbox_id"]
        altered[at]["sandbox_id"] = next(s for s in sandboxes if s != own)
        yield f"a {kind} of another sandbox", altered
    stranger = {**events[0], "sandbox_id": "stranger"}
    yield "a record of a sandbox that there is not", [*events, stranger]
    loss = {**events[0], "opensandbox.event": "sandpiper.loss"}
    yield "a sandpiper.loss", [*events, loss]


def altered_metrics(recorded: Recorded, sandbox: str) -> Iterator[tuple[str, Recorded]]:
    """One sample of each metric counts one more."""
    for name in METRIC_LABELS:
        series = name.replace(".", "_").removesuffix("_total") + "_total"

        def metrics(
            asked: str, *labels: str, series: str = series, **own: str
        ) -> dict[tuple[str | None, ...], float]:
            counts = recorded.metrics(asked, *labels, **own)
            if asked == series and own == {"sandbox_id": sandbox}:
                key = next(iter(counts), ("x",) * len(labels))
                return {**counts, key: counts.get(key, 0) + 1}
            return counts

        yield f"a wrong {name}", Recorded(recorded.events, metrics)


def named(e: Event, kind: str) -> bool:
    return e["opensandbox.event"] == kind


def alterations(outcome: Outcome) -> Iterator[tuple[str, Recorded]]:
    recorded = outcome.recorded
    attributes = altered_attributes(recorded.events, noted_pids(outcome))
    for what, events in itertools.chain(attributes, altered_lists(recorded.events)):
        yield what, Recorded(events, recorded.metrics)
    yield from altered_metrics(recorded, next(iter(outcome.truth)))


def check_alterations(outcome: Outcome) -> None:
    """Asserts that the comparison passes for the true records, and fails for each altered one."""
    assert not compare(outcome.truth, outcome.recorded)
    unnoticed, count = [], 0
    for what, recorded in alterations(outcome):
        count += 1
        if not compare(outcome.truth, recorded):
            unnoticed.append(what)
    print(f"     {count} false records, all of them noticed" if not unnoticed else "")
    assert count > 50 and not unnoticed, f"the comparison does not notice: {unnoticed}"
