# SPDX-License-Identifier: Apache-2.0
"""run.py [--peers DIR] SANDPIPER TRIGGERS SINK [PATTERN]: runs scenarios against these programs.

PATTERN has parts with commas between them: a piece of a name, or `@TAG` (registry.py lists the
tags). A scenario runs if one of the parts matches and none that begins with a minus does. With
--peers, records and metrics of the scenarios go to the servers in DIR too (tests/e2e/peers.sh),
and are read back. The output ends with a line for each failure and
'N passed, N failed, N skipped'.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import peers  # noqa: E402
import registry  # noqa: E402
import world  # noqa: E402


def import_scenarios() -> None:
    for path in sorted(HERE.glob("*.py")):
        if "\n@scenario(" in path.read_text():
            importlib.import_module(path.stem)


def summary(error: Exception) -> str:
    """The place and the text of an error, in one line."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(f"{type(error).__name__}: {error}".split())
    text = text if len(text) <= 600 else text[:600] + "..."
    return f"{os.path.basename(frame.filename)}:{frame.lineno}: {text}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", metavar="DIR")
    for program in ("sandpiper", "triggers", "sink"):
        parser.add_argument(program, type=os.path.abspath)
    parser.add_argument("pattern", nargs="?", default="")
    # A pattern may begin with a minus: the options end before the first program.
    argv = sys.argv[1:]
    options = 2 if argv[:1] == ["--peers"] else argv[:1].count("-h")
    arguments = parser.parse_args([*argv[:options], "--", *argv[options:]])
    import_scenarios()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []
    programs = (arguments.sandpiper, arguments.triggers, arguments.sink)
    servers = peers.Peers(arguments.peers) if arguments.peers else None
    selected = registry.select(arguments.pattern)
    with world.World(*programs, servers) as w:
        for scenario in selected:
            started = time.monotonic()
            try:
                scenario.run(w)
                verdict, label = "passed", "ok"
            except registry.Skip as e:
                verdict, label = "skipped", "skip"
                print(f"     because {e}")
            except Exception as e:
                verdict, label = "failed", "FAIL"
                print(traceback.format_exc())
                failures.append(f"FAILED {scenario.name}: {summary(e)}")
            w.end_scenario()
            counts[verdict] += 1
            print(f"{label:4} {scenario.name} ({time.monotonic() - started:.1f} s)", flush=True)
    for failure in failures:
        print(failure)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
