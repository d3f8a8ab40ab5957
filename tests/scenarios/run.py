# SPDX-License-Identifier: Apache-2.0
"""run.py [--peers DIR] SANDPIPER TRIGGERS SINK [PATTERN]: runs the scenarios whose name holds PATTERN (or one of several, with commas between; not those whose
name holds one with a minus before it) and ends with what failed and 'N passed, N failed, N skipped'. With --peers, what they make is sent to the programs in DIR too
(tests/e2e/peers.sh), and read back from them."""

import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import peers  # noqa: E402
import registry  # noqa: E402
import world  # noqa: E402

for module in (
    "dns",
    "redirect",
    "connect",
    "deny",
    "forward",
    "device",
    "nft",
    "nft_limits",
    "sidecar",
    "process",
    "attribution",
    "evasion",
    "privilege",
    "tenants",
    "discovery",
    "kube",
    "engine",
    "systemd",
    "packaging",
    "robust",
    "commands",
    "documents",
    "flood",
    "metrics",
    "otlp",
    "loki",
    "prometheus",
    "otelcol",
    "outage",
    "endpoint",
    "endpoint_grpc",
    "redaction",
):
    __import__(module)


def why(error):
    """What failed, where in the scenarios, in one line that is short enough to stand in a summary."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    told = " ".join(("%s: %s" % (type(error).__name__, error)).split())
    return "%s:%d: %s" % (
        os.path.basename(frame.filename),
        frame.lineno,
        told if len(told) <= 600 else told[:600] + "...",
    )


def main():
    arguments = sys.argv[1:]
    folder = arguments[1] if arguments[0] == "--peers" else None
    arguments = arguments[2:] if folder else arguments
    programs = map(os.path.abspath, arguments[:3])
    pattern = arguments[3] if len(arguments) > 3 else ""
    unwanted = [p[1:] for p in pattern.split(",") if p.startswith("-")]
    wanted = [p for p in pattern.split(",") if not p.startswith("-")] or [""]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []
    with world.World(*programs, peers.Peers(folder) if folder else None) as w:
        for name, function in registry.SCENARIOS:
            if not any(p in name for p in wanted) or any(p in name for p in unwanted):
                continue
            began = time.monotonic()
            try:
                function(w)
                verdict, word = "passed", "ok"
            except registry.Skip as e:
                verdict, word = "skipped", "skip"
                print("     because %s" % e)
            except Exception as e:
                verdict, word = "failed", "FAIL"
                print(traceback.format_exc())
                failures.append("FAILED %s: %s" % (name, why(e)))
            w.end_scenario()
            counts[verdict] += 1
            print("%-4s %s (%.1f s)" % (word, name, time.monotonic() - began), flush=True)
    for failure in failures:
        print(failure)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
