"""user.py SANDPIPER CAPTURE: user-space instructions for each event, from the ring's record on, by callgrind over `sandpiper replay` of a recorded capture.
Prints one JSON object."""

import json
import re
import subprocess
import sys
import tempfile

sandpiper, capture = sys.argv[1:3]


def instructions(function, *options):
    """Within `function` and what it calls."""
    with tempfile.NamedTemporaryFile() as out:
        toggle = ["--collect-atstart=no", "--toggle-collect=" + function] if function else []
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out.name, *toggle, sandpiper, "replay", capture, *options], capture_output=True)
        assert done.returncode == 0, done.stderr[-2000:]
        counted = int(re.search(r"Collected : (\d+)", done.stderr.decode()).group(1))
        assert counted > 0, "%s was not called" % function
        return counted, done.stdout.count(b"\n"), int(re.search(r"replayed (\d+) events", done.stderr.decode()).group(1))


decode, _, events = instructions("sandpiper::Decode(std::span*)")
# With records below warn not made: what joining, verdicts and metrics take.
aggregate, _, _ = instructions("sandpiper::SandboxPipeline::OnEvent(*)", "--log-level", "warn")
json_text, records, _ = instructions("sandpiper::ToJson*", "--format", "json")
everything, _, _ = instructions("sandpiper::SandboxPipeline::OnEvent(*)", "--format", "json")
print(json.dumps({"events": events, "records": records, "instructions": {
    "an event: decode": decode / events,
    "an event: to aggregate": (decode + aggregate) / events,
    "a record: made, and what may not leave hidden": (everything - aggregate - json_text) / records,
    "a record: to JSON": json_text / records}}))
