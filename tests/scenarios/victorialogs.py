# SPDX-License-Identifier: Apache-2.0
"""VictoriaLogs: scenarios send log records to it and read them back."""

import calendar
import json
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass

# Fields of VictoriaLogs' own.
TIME, MESSAGE, STREAM, STREAM_ID = "_time", "_msg", "_stream", "_stream_id"


def nanoseconds(timestamp: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time in UTC with any number of decimals."""
    seconds, _, decimals = timestamp.rstrip("Z").partition(".")
    whole = calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S"))
    return whole * 10**9 + int(decimals.ljust(9, "0"))


@dataclass(frozen=True)
class StoredRecord:
    """A log record as a store returns it: the attributes of record, scope and resource as text."""

    time_ns: int
    body: str
    fields: dict[str, str]

    def identity(self) -> tuple[int, str, frozenset[tuple[str, str]]]:
        """Equal for records that are the same in every field."""
        return self.time_ns, self.body, frozenset(self.fields.items())


class VictoriaLogs:
    """A running VictoriaLogs, by its base URL. It keeps every copy of a record that it receives
    twice, and no attribute with an empty value."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.logs_endpoint = url + "/insert/opentelemetry/v1/logs"

    @staticmethod
    def command(binary: str, port: int, folder: str) -> list[str]:
        """Starts one on loopback, with its files in `folder`."""
        return [
            binary,
            f"-httpListenAddr=127.0.0.1:{port}",
            f"-storageDataPath={folder}",
            "-retentionPeriod=30d",
            "-loggerLevel=WARN",
        ]

    def is_ready(self) -> bool:
        return self._request("/health") == "OK"

    def query(self, logsql: str) -> list[dict[str, str]]:
        """The rows that answer a LogsQL query, over all that was received until now."""
        self._request("/internal/force_flush")
        answer = self._request("/select/logsql/query", query=logsql)
        return [json.loads(line) for line in answer.splitlines()]

    def records(self, service: str) -> list[StoredRecord]:
        """Every record with this service.name in its resource, the oldest first."""
        rows = self.query(f'"service.name":={json.dumps(service)}')
        found = [
            StoredRecord(
                nanoseconds(row.pop(TIME)),
                row.pop(MESSAGE),
                {k: v for k, v in row.items() if k not in (STREAM, STREAM_ID)},
            )
            for row in rows
        ]
        return sorted(found, key=lambda record: record.time_ns)

    def _request(self, path: str, **parameters: str) -> str:
        body = urllib.parse.urlencode(parameters).encode()
        with urllib.request.urlopen(self.url + path, body or None, timeout=60) as answer:
            return answer.read().decode()
