# SPDX-License-Identifier: Apache-2.0
"""user.py SANDPIPER ENCODE CAPTURE: counts user-space instructions. Prints one JSON object.

Events: callgrind over `sandpiper replay` of a recorded capture, from the ring's record on.
Records: callgrind over bench/encode, for each encoding of a log record.
"""

import json
import re
import subprocess
import sys
import tempfile

sandpiper, encode, capture = sys.argv[1:4]
ON_EVENT = "sandpiper::SandboxSession::OnEvent(*)"


def callgrind(function: str, *argv: str) -> tuple[int, subprocess.CompletedProcess]:
    """Instructions within `function` and its callees, and the finished program with its output."""
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                "--callgrind-out-file=" + out.name,
                "--collect-atstart=no",
                "--toggle-collect=" + function,
                *argv,
            ],
            capture_output=True,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    counted = int(re.search(r"Collected : (\d+)", done.stderr.decode()).group(1))
    assert counted > 0, f"{function} was not called"
    return counted, done


def replay(function: str, *options: str) -> tuple[int, int, int]:
    """(instructions, records printed, events replayed)"""
    counted, done = callgrind(function, sandpiper, "replay", capture, *options)
    events = int(re.search(r"replayed (\d+) events", done.stderr.decode()).group(1))
    return counted, done.stdout.count(b"\n"), events


def encoded(function: str) -> float:
    """Instructions of one encoder for one record."""
    counted, done = callgrind(f"sandpiper::{function}*", encode, "2")
    run = json.loads(done.stdout)
    return counted / run["runs"] / run["batch"]


def main() -> None:
    decode, _, events = replay("sandpiper::Decode(std::span*")
    # With --log-level warn no records are built: this leaves correlation and metrics.
    aggregate, _, _ = replay(ON_EVENT, "--log-level", "warn")
    json_text, records, _ = replay("sandpiper::AppendJson*", "--format", "json")
    everything, _, _ = replay(ON_EVENT, "--format", "json")
    instructions = {
        "an event: decode": decode / events,
        "an event: to aggregate": (decode + aggregate) / events,
        "a record: built and redacted": (everything - aggregate - json_text) / records,
        "a record: to JSON": json_text / records,
        "a record: to OTLP": encoded("ByOurs"),
        "a record: to OTLP by generated classes": encoded("ByGenerated"),
        "a record: its bytes copied": encoded("ByCopy"),
    }
    print(json.dumps({"events": events, "records": records, "instructions": instructions}))


main()
