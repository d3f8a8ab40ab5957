# SPDX-License-Identifier: Apache-2.0
"""record.py SANDPIPER TRIGGERS SINK FILE: records the capture that bench/user.py replays.

The numbers of lookups and connections are known, and compared with the report.
"""

import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/scenarios"))
import world

LOOKUPS = 400
CONNECTIONS = 400
SHELL_CONNECTIONS = 5


def script(program: str, names: str) -> str:
    return "; ".join(
        [
            f"{program} flood-connect 10.77.0.4 1 {CONNECTIONS}",
            f"{program} flood-exec 200",
            f"dig +tries=1 @10.77.0.1 -f {names} > /dev/null",
            "for i in " + " ".join(str(i) for i in range(SHELL_CONNECTIONS)),
            f"do nc -w 1 10.77.0.4 8080 < {names} > /dev/null",
            "done",
        ]
    )


def main() -> None:
    sandpiper, triggers, sink, out = map(os.path.abspath, sys.argv[1:5])
    os.chdir("/")
    with (
        world.World(sandpiper, triggers, sink) as w,
        tempfile.TemporaryDirectory(prefix="bench") as folder,
    ):
        program = shutil.copy(triggers, folder + "/triggers")
        names = folder + "/names"
        with open(names, "w") as f:
            f.writelines(f"q{i}.test A\n" for i in range(LOOKUPS))
        r = w.exec(
            ["sh", "-c", script(program, names)],
            options=["--capture", out, "--ring-bytes", "64M"],
        )
    totals = r.report["totals"]
    assert r.report["complete"], totals
    assert totals["lookups"] == LOOKUPS, totals
    assert totals["attempts"] == CONNECTIONS + SHELL_CONNECTIONS, totals
    os.chmod(out, 0o644)
    print({kind: account["produced"] for kind, account in r.report["events"].items()})


main()
