# SPDX-License-Identifier: Apache-2.0
"""Tests that the comparison of stored records with the record file finds every difference. They
need no store and no privileges."""

from __future__ import annotations

import dataclasses
import json
import unittest
from types import SimpleNamespace
from typing import Any
from unittest import mock

import outage
from peer_checks import same_records
from victorialogs import StoredRecord, nanoseconds

EVENT = {
    "ts": "2026-01-02T03:04:05.000000006Z",
    "level": "warn",
    "msg": "egress denied",
    "opensandbox.event": "egress.denied",
    "sandbox_id": "s",
    "count": 3,
    "dns.duration_ms": 0.885642,
    "target.ips": ["10.0.0.1", "10.0.0.2"],
    "egress.first_contact": True,
    "error": "",  # VictoriaLogs keeps no empty value
}
OTHER = {**EVENT, "msg": "process exec", "opensandbox.event": "process.exec"}


def stored(event: dict[str, Any]) -> StoredRecord:
    """The event as VictoriaLogs returns it."""
    event = dict(event)
    at, body, level = nanoseconds(event.pop("ts")), event.pop("msg"), event.pop("level")
    fields = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in event.items()
        if value != ""
    }
    resource = {"service.name": "run-1", "service.version": "1", "host.name": "h"}
    severity = {"severity_text": level.upper(), "severity_number": "13"}
    kind = {"event_name": event["opensandbox.event"], "scope.name": "sandpiper"}
    return StoredRecord(at, body, {**fields, **resource, **severity, **kind})


def with_field(record: StoredRecord, key: str, value: str | None) -> StoredRecord:
    """The record with another value of a field, or without the field."""
    fields = {k: v for k, v in record.fields.items() if k != key}
    return dataclasses.replace(record, fields=fields if value is None else {**fields, key: value})


class SameRecords(unittest.TestCase):
    def test_equal_records_pass_in_any_order(self) -> None:
        same_records([EVENT, OTHER], [stored(OTHER), stored(EVENT)])

    def test_last_bit_of_a_decimal_may_differ(self) -> None:
        record = with_field(stored(EVENT), "dns.duration_ms", "0.8856419999999999")
        same_records([EVENT], [record])

    def test_every_difference_of_one_record_fails(self) -> None:
        good = stored(EVENT)
        different = {
            "time": dataclasses.replace(good, time_ns=good.time_ns + 1),
            "body": dataclasses.replace(good, body="egress denied "),
            "severity": with_field(good, "severity_text", "INFO"),
            "severity number": with_field(good, "severity_number", "9"),
            "event name": with_field(good, "event_name", "process.exec"),
            "integer": with_field(good, "count", "4"),
            "decimal": with_field(good, "dns.duration_ms", "0.88565"),
            "list": with_field(good, "target.ips", '["10.0.0.2", "10.0.0.1"]'),
            "boolean": with_field(good, "egress.first_contact", "false"),
            "missing attribute": with_field(good, "count", None),
            "additional attribute": with_field(good, "peer", "10.0.0.1"),
            "service name": with_field(good, "service.name", None),
        }
        for name, record in different.items():
            with self.subTest(name), self.assertRaises(AssertionError):
                same_records([EVENT], [record])

    def test_missing_additional_and_repeated_records_fail(self) -> None:
        one, other = stored(EVENT), stored(OTHER)
        for name, records in {
            "missing": [one],
            "additional": [one, other, stored({**EVENT, "msg": "new"})],
            "repeated": [one, other, one],
            "repeated in place of another": [one, one],
        }.items():
            with self.subTest(name), self.assertRaises(AssertionError):
                same_records([EVENT, OTHER], records)


class WithoutCopies(unittest.TestCase):
    """Requests are lists of names here, and a record has its name as its body."""

    def once(self, requests: list[str], names: str) -> int:
        def decode(_: object, signal: str, body: bytes) -> dict[str, Any]:
            self.assertEqual(signal, "logs")
            logs = [{"timeUnixNano": "1", "body": chr(c)} for c in body]
            scopes = [{"logRecords": logs}]
            return {"resourceLogs": [{"resource": {}, "scopeLogs": scopes}]}

        relay = SimpleNamespace(passed_on=[r.encode() for r in requests])
        records = [StoredRecord(1, name, {}) for name in names]
        with mock.patch.object(outage, "decode", decode):
            return len(outage.without_copies(None, records, relay))

    def test_copies_from_equal_requests_are_removed(self) -> None:
        self.assertEqual(self.once(["ab", "cd", "ab"], "ababcd"), 4)

    def test_copies_from_different_requests_fail(self) -> None:
        with self.assertRaises(AssertionError):
            self.once(["ab", "bc"], "abbc")

    def test_lost_and_additional_records_fail(self) -> None:
        for names in ("aba", "ab", "ababc", "abax"):
            with self.subTest(names), self.assertRaises(AssertionError):
                self.once(["ab", "ab"], names)


if __name__ == "__main__":
    unittest.main()
