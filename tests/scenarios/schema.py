# SPDX-License-Identifier: Apache-2.0
"""Records are valid by the published JSON Schema, docs/events.schema.json."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from packaging import REPO
from registry import Skip, scenario

if TYPE_CHECKING:
    from world import World

TAGS = ("userspace",)

RULES = """table inet fence {
  set allowed { type ipv4_addr; flags timeout; }
  chain out {
    type filter hook output priority 0; policy accept;
    tcp dport 81 reject
  }
}"""
ACT = """
actor.run(["true", "--password", "secret"])
actor.lookup("a.test", "A")
actor.tcp("10.77.0.4", 8080)
actor.tcp("10.77.0.4", 81)
actor.tcp("10.77.0.4", 1)
actor.run(["nft", "add", "element", "inet", "fence", "allowed", "{ 10.77.0.4 timeout 1h }"])
actor.run(["nft", "add", "rule", "inet", "fence", "out", "tcp", "dport", "82", "drop"])
actor.run(["nft", "create", "table", "inet", "fence"])
"""
EXPECTED = {
    "egress.denied",
    "egress.destination",
    "egress.failed",
    "egress.loaded",
    "egress.outbound",
    "egress.updated",
    "egress.update_failed",
    "process.exec",
    "process.exit",
    "sandbox.started",
    "sandbox.stopped",
}


@scenario()
def events_match_the_schema(w: World) -> None:
    try:
        from jsonschema import Draft202012Validator
    except ImportError as error:
        raise Skip("python3-jsonschema is not installed") from error
    with open(os.path.join(REPO, "docs", "events.schema.json")) as file:
        schema = json.load(file)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    with w.nft(RULES):
        result = w.actor(
            ACT,
            ["--log-level", "debug"],
            {"OPENSANDBOX_EGRESS_METRICS_EXTRA_ATTRS": "team=core"},
        )
    for event in result.events:
        errors = [error.message for error in validator.iter_errors(event)]
        assert not errors, (errors, event)
    seen = {event["opensandbox.event"] for event in result.events}
    assert seen >= EXPECTED, EXPECTED - seen
    typo = {**result.events[0], "egress.attempt": 1}
    assert list(validator.iter_errors(typo)), "the schema accepts an unknown attribute"
