# SPDX-License-Identifier: Apache-2.0
"""Shows that the comparison can fail: alters one record or metric of a true run, and expects that
the comparison reports it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from mixes.comparing import METRIC_LABELS, OTHER_EVENTS, Event, Recorded, compare, is_dns
from mixes.running import Outcome

# The attributes that a comparison must hold to the truth, by event.
ATTRIBUTES = {
    "egress.outbound": (
        "target.host",
        "dns.question.type",
        "egress.outcome",
        "target.ips",
        "network.transport",
        "network.peer.port",
        "peer",
        "process.pid",
    ),
    "egress.failed": ("network.peer.port", "error.type"),
    "egress.denied": ("network.peer.port", "network.transport", "egress.layer", "count"),
    "egress.destination": (
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
REPEATED = ("egress.outbound", "egress.denied", "process.exec", "process.exit", "egress.failed")


def is_compared(e: Event, key: str) -> bool:
    """Whether the truth has this attribute: a lookup's own port is that of its server, and the
    comparison has no pid of processes that their parent did not note."""
    if key == "network.peer.port" and "dns.question.type" in e:
        return False
    if is_dns_bytes(e):
        return False
    return key in e and e[key] not in ([], None)


def is_dns_bytes(e: Event) -> bool:
    return named(e, "egress.destination") and is_dns(e)


def other_value(value: Any) -> Any:
    """A value of the same type that differs."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return value[1:]
    return value + "x"


def altered_attributes(events: list[Event]) -> Iterator[tuple[str, list[Event]]]:
    for kind, keys in ATTRIBUTES.items():
        for key in keys:
            found = [i for i, e in enumerate(events) if named(e, kind) and is_compared(e, key)]
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
    changes: list[Callable[[list[Event]], Iterator[tuple[str, list[Event]]]]]
    changes = [altered_attributes, altered_lists]
    for change in changes:
        for what, events in change(recorded.events):
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
