# SPDX-License-Identifier: Apache-2.0
"""What only a Grafana Loki can prove: LogQL of docs/querying-loki.md, of the dashboards and of
the alert rules, Loki's limits, and its removal of duplicates.

Nothing here builds or downloads a Loki. The environment variable SANDPIPER_LOKI names one: a
binary, which is started with deploy/loki/loki.yaml, or the URL of one that runs with this
configuration and has no records yet."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from dashboards import DEPLOY, panels_of_dashboards
from otlp_receiver import ACTIONS, run_in_host_network
from outage import Relay, break_connection, run_log_sender
from packaging import documents
from peer_checks import OTHER_FIELDS, same_records, underscored
from peers import get, wait_until_ready
from questions import (
    ANSWERS_IN_LINES,
    answers_in_numbers,
    queries_of_page,
    run_two_sandboxes,
)
from registry import Skip, scenario
from scrape import free_port
from victorialogs import StoredRecord

if TYPE_CHECKING:
    from world import World

TAGS = ("peers", "userspace")

# Fields that Loki adds to those of every store.
LOKI_FIELDS = {underscored(key) for key in OTHER_FIELDS} | {
    "observed_timestamp",
    "detected_level",
    "flags",
}
SECOND = 10**9


class Loki:
    """A running Loki, by its base URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.logs_endpoint = url + "/otlp/v1/logs"

    def is_ready(self) -> bool:
        return "loki_build_info" in get(self.url + "/metrics") and bool(
            get(self.url + "/loki/api/v1/labels")
        )

    def query(self, logql: str) -> list[dict[str, Any]]:
        """The series that answer a metric query now."""
        answer = json.loads(get(self.url + "/loki/api/v1/query", query=logql))
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def numbers(self, logql: str, labels: tuple[str, ...]) -> dict[tuple[str, ...], float]:
        """{values of these labels: number}; no series may have other labels."""
        out: dict[tuple[str, ...], float] = {}
        for series in self.query(logql):
            key = tuple(series["metric"].get(label, "") for label in labels)
            assert key not in out and set(series["metric"]) <= set(labels), series
            out[key] = float(series["value"][1])
        return out

    def records(self, logql: str, hours: int = 2) -> list[StoredRecord]:
        """Every record of the last hours that a log query selects, the oldest first."""
        out: list[StoredRecord] = []
        page_size = 5000
        start, end = time.time_ns() - hours * 3600 * SECOND, time.time_ns() + SECOND
        while True:
            answer = json.loads(
                get(
                    self.url + "/loki/api/v1/query_range",
                    query=logql,
                    start=start,
                    end=end,
                    limit=page_size,
                    direction="forward",
                )
            )
            assert answer["status"] == "success", answer
            page = sorted(
                (
                    StoredRecord(int(at), line, stream["stream"])
                    for stream in answer["data"]["result"]
                    for at, line in stream["values"]
                ),
                key=lambda record: record.time_ns,
            )
            if len(page) < page_size:
                return out + page
            # The next page begins with the last moment of this one, which may have more records.
            assert page[0].time_ns < page[-1].time_ns, "all records of a page have one time"
            start = page[-1].time_ns
            out += [record for record in page if record.time_ns < start]


def loki_of(w: World) -> Loki:
    """The Loki that SANDPIPER_LOKI names; a binary is started once and ends with the world."""
    name = os.environ.get("SANDPIPER_LOKI")
    if not name:
        raise Skip("SANDPIPER_LOKI names no Loki, neither a binary nor a URL")
    if name.startswith(("http://", "https://")):
        return Loki(name.rstrip("/"))
    if not hasattr(w, "loki"):
        port = free_port()
        w.start(
            [
                name,
                f"-config.file={DEPLOY}/loki/loki.yaml",
                "-config.expand-env=true",
                # The scenarios send more at once than a user's sandboxes.
                "-distributor.ingestion-rate-limit-mb=100",
                "-distributor.ingestion-burst-size-mb=100",
            ],
            env={
                **os.environ,
                "LOKI_ADDRESS": "127.0.0.1",
                "LOKI_PORT": str(port),
                "LOKI_GRPC_PORT": str(free_port()),
                "LOKI_DATA": os.path.join(w.dir, "loki"),
            },
        )
        w.residents.append(w.children.pop())
        w.loki = Loki(f"http://127.0.0.1:{port}")
        wait_until_ready("Loki", w.loki.is_ready)
    return w.loki


def sending_to(endpoint: str, service: str) -> dict[str, str]:
    """The environment that sends log records, and nothing else, to an endpoint."""
    return {
        "OTEL_SERVICE_NAME": service,
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": endpoint,
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
        "SANDPIPER_FLUSH_TIMEOUT_MS": "30000",
        "SANDPIPER_WINDOW_S": "1",
        "SANDPIPER_LOG_LEVEL": "info",
    }


def same_records_in_loki(events: list[dict[str, Any]], stored: list[StoredRecord]) -> None:
    same_records(events, stored, underscored, LOKI_FIELDS)


@scenario()
def answers_the_queries_of_page_dashboards_and_alerts(w: World) -> None:
    loki = loki_of(w)
    activity = run_two_sandboxes(w, sending_to(loki.logs_endpoint, "sandpiper"))
    same_records_in_loki(activity.events, loki.records('{service_name="sandpiper"}'))
    page = queries_of_page()
    numbers = answers_in_numbers(activity)
    for heading, answer in numbers.items():
        got = loki.numbers(page[heading], tuple(map(underscored, answer.attributes)))
        assert got == answer.want, (heading, got, answer.want)
    for heading, check in ANSWERS_IN_LINES.items():
        check(activity, [record.body for record in loki.records(page[heading])])
    asked = {*numbers, *ANSWERS_IN_LINES}
    assert asked == set(page), asked ^ set(page)
    check_dashboards(loki)
    check_alerts(loki)


def check_alerts(loki: Loki) -> None:
    """Each rule that concerns the sandboxes' acts fires, and no other."""
    with open(DEPLOY + "/loki/rules.yaml") as f:
        groups = documents(f.read())[0]["groups"]
    fired = {
        rule["alert"]: {s["metric"].get("sandbox_id") for s in loki.query(rule["expr"])}
        for group in groups
        for rule in group["rules"]
    }
    want = {
        "SandboxTamperedWithItsRules": {"sb-abc"},
        "SandboxRanFromScratchFolder": {"sb-abc"},
        "SandboxManyNewDestinations": set(),
        "SandpiperRecordsMissing": set(),
    }
    assert fired == want, fired


def check_dashboards(loki: Loki) -> None:
    """Every panel that queries Loki has data of the two sandboxes."""
    panels = panels_of_dashboards("loki")
    for title, kind, query in panels:
        answer = loki.records(query) if kind == "logs" else loki.query(query)
        assert answer, f"{title} has no data: {query}"
    assert len(panels) >= 10


@scenario()
def duplicates_are_removed(w: World) -> None:
    """Two acknowledgements are lost: sandpiper sends the same bytes again, and Loki keeps one."""
    loki = loki_of(w)
    relay = Relay(loki.logs_endpoint, interrupt=lambda n, h: n <= 2 and break_connection(h))
    env = sending_to(relay.logs_endpoint, "unacknowledged")
    result = run_in_host_network(w, ACTIONS, env)
    assert len(relay.passed_on) >= 3
    same_records_in_loki(result.events, loki.records('{service_name="unacknowledged"}'))


def stored_numbers(loki: Loki, first: int) -> list[int]:
    bodies = [int(r.body) - first for r in loki.records('{service_name="killed"}', hours=12)]
    return sorted(n for n in bodies if 0 <= n < 1000)


@scenario()
def too_old_record_costs_only_itself(w: World) -> None:
    """Loki answers 400 for a request with a record that is too old, and keeps the others."""
    loki = loki_of(w)
    summary = run_log_sender(
        w, loki.logs_endpoint, first=900_000_001, old_each=100, old_minutes=300
    )
    assert summary == "sent 990 rejected 10", summary
    numbers = stored_numbers(loki, 900_000_001)
    assert numbers == [i for i in range(1000) if (i + 1) % 100], numbers[:20]


@scenario()
def records_of_55_minutes_ago_are_accepted(w: World) -> None:
    loki = loki_of(w)
    summary = run_log_sender(w, loki.logs_endpoint, first=950_000_000, old_each=2, old_minutes=55)
    assert summary == "sent 1000 rejected 0", summary
    assert stored_numbers(loki, 950_000_000) == list(range(1000))
