"""run.py [--peers DIR] SANDPIPER TRIGGERS SINK [PATTERN]: runs the scenarios whose name holds PATTERN (or one of several, with commas between; not those whose
name holds one with a minus before it) and ends with 'N passed, N failed, N skipped'. With --peers, what they make is sent to the programs in DIR too
(tests/e2e/peers.sh), and read back from them."""

import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import peers  # noqa: E402
import registry  # noqa: E402
import world  # noqa: E402

for module in ("dns", "redirect", "connect", "deny", "forward", "device", "nft", "nft_limits", "sidecar", "process", "attribution", "evasion", "privilege", "tenants", "discovery", "kube", "engine", "systemd", "packaging", "robust", "commands", "documents", "flood", "metrics", "otlp", "loki", "prometheus", "otelcol", "outage", "endpoint", "endpoint_grpc", "redaction"):
    __import__(module)


def main():
    arguments = sys.argv[1:]
    folder = arguments[1] if arguments[0] == "--peers" else None
    arguments = arguments[2:] if folder else arguments
    programs = map(os.path.abspath, arguments[:3])
    pattern = arguments[3] if len(arguments) > 3 else ""
    unwanted = [p[1:] for p in pattern.split(",") if p.startswith("-")]
    wanted = [p for p in pattern.split(",") if not p.startswith("-")] or [""]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
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
            except Exception:
                verdict, word = "failed", "FAIL"
                print(traceback.format_exc())
            w.end_scenario()
            counts[verdict] += 1
            print("%-4s %s (%.1f s)" % (word, name, time.monotonic() - began), flush=True)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
