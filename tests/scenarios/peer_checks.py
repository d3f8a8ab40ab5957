# SPDX-License-Identifier: Apache-2.0
"""Compares the log records and metrics that the peers received with the files that sandpiper
wrote in the same run."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from victorialogs import StoredRecord, nanoseconds

if TYPE_CHECKING:
    from peers import Peers

HERE = os.path.dirname(os.path.abspath(__file__))
# Fields that the record's file does not have: those of the resource and of the scope, and those
# that a store adds.
RESOURCE = {"service.name", "service.version", "service.instance.id", "host.name"}
OTHER_FIELDS = RESOURCE | {
    "scope.name",
    "scope.version",
    "severity_text",
    "severity_number",
    "event_name",
}
SEVERITY_NUMBERS = {"debug": "5", "info": "9", "warn": "13", "error": "17"}
# Labels that Prometheus adds to each series.
SCRAPE_LABELS = {"__name__", "job", "instance", "service_name"}
# Metrics of the host and of sandpiper itself, which change between two readings.
CHANGING_METRICS = ("egress.system.", "process.", "otel.sdk.")

Event = dict[str, Any]
Series = tuple[str, tuple[tuple[str, str], ...]]


def underscored(key: str) -> str:
    """An attribute's key as the name of a label of Prometheus or Loki."""
    return re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_]", "_", key))


def equal_to_text(value: Any, text: str) -> bool:
    """Whether `text` is a store's form of an attribute's value."""
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, int):
        return int(text) == value
    if isinstance(value, float):
        # VictoriaLogs parses decimals in two parts, which costs the last bit or two.
        return abs(float(text) - value) <= 4 * math.ulp(value)
    return text == value if isinstance(value, str) else json.loads(text) == value


def same_records(
    events: Iterable[Event],
    stored: list[StoredRecord],
    name: Callable[[str], str] = str,
    other_fields: set[str] = OTHER_FIELDS,
) -> None:
    """Asserts that the store has every event of the file once, with every field, and no more.

    `name` converts an attribute's key to the store's name of it."""
    events = list(events)
    assert len(events) == len(stored), f"{len(stored)} stored records, {len(events)} in the file"
    by_key: dict[tuple[int, str, str], list[dict[str, str]]] = {}
    for record in stored:
        key = (record.time_ns, record.body, record.fields["sandbox_id"])
        by_key.setdefault(key, []).append(record.fields)
    for event in events:
        attributes = dict(event)
        level = attributes.pop("level")
        key = (
            nanoseconds(attributes.pop("ts")),
            attributes.pop("msg"),
            attributes["sandbox_id"],
        )
        candidates = by_key.get(key)
        assert candidates, f"not stored: {key!r}"
        want = {name(k): v for k, v in attributes.items() if v != ""}

        def has_attributes(fields: dict[str, str], want: Event = want) -> bool:
            got = {k: v for k, v in fields.items() if k not in other_fields and v != ""}
            return got.keys() == want.keys() and all(
                equal_to_text(v, got[k]) for k, v in want.items()
            )

        found = next((c for c in candidates if has_attributes(c)), None)
        assert found, f"stored with other attributes: {event!r}, {candidates!r}"
        assert (found["severity_text"], found["severity_number"]) == (
            level.upper(),
            SEVERITY_NUMBERS[level],
        ), found
        # Loki has event_name from 3.8 on.
        kind = attributes["opensandbox.event"]
        assert found.get("event_name", kind) == kind, found
        for key_of_resource in ("service.name", "service.version"):
            assert found.get(name(key_of_resource)), found
        candidates.remove(found)


def names_in_prometheus() -> dict[str, str]:
    """{metric: its name in Prometheus}, from docs/metrics.md."""
    with open(os.path.join(HERE, "../../docs/metrics.md")) as f:
        return dict(re.findall(r"^\| `[^`]+` \| `([^`]+)`<br>`([^`]+)` \|", f.read(), re.M))


def last_values(peers: Peers, job: str) -> dict[Series, float]:
    """The last sample of each series of a job. A series that ended keeps its last value."""
    series = peers.query_prometheus(f'{{job="{job}"}}[10m]')
    return {
        (
            s["metric"]["__name__"],
            tuple(sorted((k, v) for k, v in s["metric"].items() if k not in SCRAPE_LABELS)),
        ): float(s["values"][-1][1])
        for s in series
    }


def expected_series(metrics: dict[str, list[Event]]) -> dict[Series, float]:
    """The series that Prometheus makes of the metrics in a file."""
    out: dict[Series, float] = {}
    names = names_in_prometheus()
    for metric, points in metrics.items():
        for point in points:
            labels = {
                underscored(k): str(v).lower() if isinstance(v, bool) else str(v)
                for k, v in point["attributes"].items()
            }
            plain = tuple(sorted(labels.items()))
            if "value" in point:
                out[(names[metric], plain)] = float(point["value"])
                continue
            infinite = tuple(sorted({**labels, "le": "+Inf"}.items()))
            out[(names[metric] + "_count", plain)] = float(point["count"])
            out[(names[metric] + "_sum", plain)] = float(point["sum"])
            out[(names[metric] + "_bucket", infinite)] = float(point["count"])
    return out


def same_metrics(metrics: dict[str, list[Event]], got: dict[Series, float]) -> None:
    """Asserts that Prometheus has every series of the file with its value, and no more.

    `got` comes from last_values()."""
    want = expected_series(metrics)
    changing = tuple(n for k, n in names_in_prometheus().items() if k.startswith(CHANGING_METRICS))
    for key, value in want.items():
        same_name = [k for k in got if k[0] == key[0]]
        assert key in got, f"Prometheus has no {key!r}; with this name it has {same_name!r}"
        if not key[0].startswith(changing):
            assert abs(got[key] - value) <= 1e-9 * abs(value), (key, got[key], value)
    extra = {
        (name, labels)
        for name, labels in got
        if dict(labels).get("le", "+Inf") == "+Inf"
        and (name, labels) not in want
        and name != "target_info"
        and not name.startswith(changing)
    }
    assert not extra, extra
