# SPDX-License-Identifier: Apache-2.0
"""record.py SANDPIPER TRIGGERS SINK FILE: records the capture that bench/user.py works off, with what is in it told by the programs that did it."""

import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/scenarios"))
import world  # noqa: E402

sandpiper, triggers, sink, out = map(os.path.abspath, sys.argv[1:5])
os.chdir("/")
with (
    world.World(sandpiper, triggers, sink) as w,
    tempfile.TemporaryDirectory(prefix="bench") as folder,
):
    program = shutil.copy(triggers, folder + "/triggers")
    names = folder + "/names"
    with open(names, "w") as f:
        f.writelines("q%d.test A\n" % i for i in range(400))
    script = "%s flood-connect 10.77.0.4 1 400; %s flood-exec 200; dig +tries=1 @10.77.0.1 -f %s > /dev/null; for i in 1 2 3 4 5; do nc -w 1 10.77.0.4 8080 < %s > /dev/null; done"
    r = w.exec(
        ["sh", "-c", script % (program, program, names, names)],
        options=["--capture", out, "--ring-bytes", "64M"],
    )
    assert (
        r.report["complete"]
        and r.report["totals"]["lookups"] == 400
        and r.report["totals"]["attempts"] == 405
    ), r.report["totals"]
os.chmod(out, 0o644)
print({kind: account["produced"] for kind, account in r.report["events"].items()})
