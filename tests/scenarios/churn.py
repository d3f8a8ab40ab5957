# SPDX-License-Identifier: Apache-2.0
"""churn.py FOLDER SECONDS RATE: creates and removes RATE cgroups a second in FOLDER. Each one has
one process, which sends one datagram. Prints how many there were. The cgroups use NAMES names in
turn. The arguments of a process and the port that it sends to identify its cgroup."""

from __future__ import annotations

import os
import subprocess
import sys
import time

MAX_LIVING, NAMES = 50, 300


def remove(process: subprocess.Popen, cgroup: str) -> None:
    assert process.wait(timeout=60) == 0
    for _ in range(500):
        try:
            os.rmdir(cgroup)
            return
        except OSError:
            time.sleep(0.01)
    raise AssertionError("cannot remove " + cgroup)


def main() -> None:
    folder, seconds, rate = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    count, start, living = 0, time.monotonic(), []
    while time.monotonic() - start < seconds:
        name = "c%d" % (count % NAMES)
        cgroup = "%s/%s" % (folder, name)
        os.mkdir(cgroup)
        script = "echo $$ > %s/cgroup.procs && exec bash -c 'echo > /dev/udp/10.77.0.4/%d' %s" % (
            cgroup,
            10000 + count % 50000,
            name,
        )
        living.append((subprocess.Popen(["/bin/sh", "-c", script]), cgroup))
        if len(living) > MAX_LIVING:
            remove(*living.pop(0))
        count += 1
        time.sleep(max(0, start + count / rate - time.monotonic()))
    for entry in living:
        remove(*entry)
    print(count)


if __name__ == "__main__":
    main()
