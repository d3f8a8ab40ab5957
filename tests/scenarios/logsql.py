# SPDX-License-Identifier: Apache-2.0
"""The questions of docs/querying-loki.md, asked of VictoriaLogs in LogsQL: the records hold all
that is needed to answer them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from peer_checks import same_records
from peers import peers_of
from questions import (
    ANSWERS_IN_LINES,
    Numbers,
    answers_in_numbers,
    queries_of_page,
    run_two_sandboxes,
)
from registry import scenario

if TYPE_CHECKING:
    from world import World

TAGS = ("peers", "userspace")

NUMBER, LINE = "number", "line"
RULES = 'in("egress.loaded", "egress.updated", "egress.update_failed")'
TIMELINE = 'in("process.exec", "egress.outbound", "egress.denied")'


def records_of(kind: str, *filters: str, period: str = "1h") -> str:
    """Selects sandpiper's records of one kind; `kind` may be an in(...) of several."""
    kind = kind if kind.startswith("in(") else f"={json.dumps(kind)}"
    parts = (
        f"_time:{period}",
        '"service.name":="sandpiper"',
        f'"opensandbox.event":{kind}',
        *filters,
    )
    return " ".join(parts)


ONE = '"sandbox_id":="sb-abc"'
HOST = '"target.host":*'
COUNT = f"count() as {NUMBER}"
IN_RULES = (
    "default=<egress.default> added=<rules> removed=<rules.removed>"
    " by=<process.executable.name><error>"
)
# {heading: (filter and pipes, aggregate)}; the attributes of the answer come from questions.py.
IN_NUMBERS = {
    "Connections per host in the last hour": (
        records_of("egress.destination", ONE, HOST, '"egress.established":>0'),
        f'sum("egress.established") as {NUMBER}',
    ),
    "DNS lookups per host": (records_of("egress.outbound", ONE, HOST), COUNT),
    "Connection attempts to addresses that no DNS lookup returned": (
        records_of("egress.outbound", ONE, '"peer":*'),
        COUNT,
    ),
    "Bytes sent per destination": (
        records_of("egress.destination", ONE),
        f'sum("network.io.sent") as {NUMBER}',
    ),
    "Hosts that resolved into a network": (
        records_of("egress.outbound", ONE)
        + ' | unroll ("target.ips") | filter "target.ips":ipv4_range("10.77.0.4/30")',
        f"count_uniq(_time) as {NUMBER}",
    ),
    "Failed connections by error": (records_of("egress.failed", ONE), COUNT),
    "The most denied destinations": (
        records_of("egress.denied", period="24h"),
        f'sum("count") as {NUMBER} | sort by ({NUMBER} desc) | limit 10',
    ),
    "Destinations contacted for the first time": (
        records_of("egress.destination", '"egress.first_contact":="true"'),
        COUNT,
    ),
    "Hosts that no sandbox looked up in the hour before": (
        records_of(
            "egress.outbound",
            HOST,
            f'"target.host":!in({records_of("egress.outbound", period="1h offset 10m")}'
            ' | fields "target.host")',
            period="10m",
        ),
        COUNT,
    ),
    "Number of different hosts per sandbox": (
        records_of("egress.outbound", HOST),
        f'count_uniq("target.host") as {NUMBER}',
    ),
    "Sandboxes that changed their own rules": (
        records_of("egress.updated", '"severity_text":="WARN" "sandbox.role":="app"', period="24h"),
        COUNT,
    ),
    "Programs started from scratch folders": (
        records_of("process.exec", '"process.executable.path":~"^/(tmp|var/tmp|dev/shm)/"'),
        COUNT,
    ),
    "Lost events per sandbox": (
        records_of("sandpiper.loss", period="24h"),
        f'sum("sandpiper.dropped") as {NUMBER}',
    ),
    "No records from any collector": (
        '_time:15m "service.name":="sandpiper"',
        f"{COUNT} | filter {NUMBER}:=0",
    ),
}
IN_LINES = {
    "Programs and egress in order of time": (
        records_of(TIMELINE, ONE),
        "<opensandbox.event> <process.executable.name> <target.host><peer>",
    ),
    "Rule sets and the programs that changed them": (
        records_of(RULES, ONE),
        f"<opensandbox.event> {IN_RULES}",
    ),
}


def numbers_query(heading: str, answer: Numbers) -> str:
    select, aggregate = IN_NUMBERS[heading]
    by = ", ".join(map(json.dumps, answer.attributes))
    return f"{select} | stats by ({by}) {aggregate}" if by else f"{select} | stats {aggregate}"


@scenario()
def answers_the_questions_of_the_loki_page(w: World) -> None:
    peers = peers_of(w)
    activity = run_two_sandboxes(w, peers.direct(OTEL_METRICS_EXPORTER="none"))
    same_records(activity.events, peers.store.records("sandpiper"))
    for heading, answer in answers_in_numbers(activity).items():
        rows = peers.store.query(numbers_query(heading, answer))
        got = {tuple(r.get(a, "") for a in answer.attributes): float(r[NUMBER]) for r in rows}
        assert got == answer.want, (heading, got, answer.want)
    for heading, check in ANSWERS_IN_LINES.items():
        select, text = IN_LINES[heading]
        query = f"{select} | sort by (_time) | format {json.dumps(text)} as {LINE} | fields {LINE}"
        check(activity, [row[LINE] for row in peers.store.query(query)])
    asked = {*IN_NUMBERS, *IN_LINES}
    assert asked == set(queries_of_page()), asked ^ set(queries_of_page())
