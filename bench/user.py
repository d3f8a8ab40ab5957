# SPDX-License-Identifier: Apache-2.0
"""user.py SANDPIPER ENCODE CAPTURE: user-space instructions for each event, from the ring's record on, by callgrind over `sandpiper replay` of a recorded capture, and for
each log record that is encoded, by callgrind over bench/encode. Prints one JSON object."""

import json
import re
import subprocess
import sys
import tempfile

sandpiper, encode, capture = sys.argv[1:4]


def callgrind(function, *argv):
    """Instructions within `function` and what it calls, and what the program said."""
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
        assert counted > 0, "%s was not called" % function
        return counted, done


def replay(function, *options):
    counted, done = callgrind(function, sandpiper, "replay", capture, *options)
    return (
        counted,
        done.stdout.count(b"\n"),
        int(re.search(r"replayed (\d+) events", done.stderr.decode()).group(1)),
    )


def encoded(function):
    counted, done = callgrind("sandpiper::%s*" % function, encode, "2")
    told = json.loads(done.stdout)
    return counted / told["runs"] / told["batch"]


decode, _, events = replay("sandpiper::Decode(std::span*")
# With records below warn not made: what joining, verdicts and metrics take.
aggregate, _, _ = replay("sandpiper::SandboxSession::OnEvent(*)", "--log-level", "warn")
json_text, records, _ = replay("sandpiper::AppendJson*", "--format", "json")
everything, _, _ = replay("sandpiper::SandboxSession::OnEvent(*)", "--format", "json")
print(
    json.dumps(
        {
            "events": events,
            "records": records,
            "instructions": {
                "an event: decode": decode / events,
                "an event: to aggregate": (decode + aggregate) / events,
                "a record: made, and what may not leave hidden": (
                    everything - aggregate - json_text
                )
                / records,
                "a record: to JSON": json_text / records,
                "a record: to OTLP": encoded("ByOurs"),
                "a record: to OTLP by generated classes": encoded("ByGenerated"),
                "a record: its bytes copied": encoded("ByCopy"),
            },
        }
    )
)
