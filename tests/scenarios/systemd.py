# SPDX-License-Identifier: Apache-2.0
"""Units of the systemd that booted this machine are sandboxes by their names."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

from attribution import egress_of
from checks import args_of, check_same
from discovery import start_collector
from registry import Skip, scenario
from world import HERE, PYTHON, World

TAGS = ("systemd", "userspace")


@scenario()
def scopes_and_services(w: World) -> None:
    if not os.path.isdir("/run/systemd/system") or not shutil.which("systemd-run"):
        raise Skip("systemd did not boot this machine; a guest of the vm tier runs this scenario")

    def run(kind: str, unit: str, code: str) -> None:
        # The script is a file because systemd interprets $ and %.
        script = os.path.join(w.dir, "unit.py")
        with open(script, "w") as f:
            f.write("import sys; sys.path.insert(0, %r); import actor\n%s\n" % (HERE, code))
        subprocess.run(
            [
                "systemd-run",
                "--quiet",
                *kind,
                "--unit",
                unit,
                "--slice",
                "boxes.slice",
                "--setenv",
                "PYTHONDONTWRITEBYTECODE=1",
                "--property",
                "DefaultDependencies=no",  # no other unit of the host is started
                "nsenter",
                "--net=/run/netns/" + w.client,
                PYTHON,
                script,
            ],
            check=True,
            timeout=120,
        )

    c = start_collector(
        w,
        {
            "sandboxes": [
                {"unit": "sandbox-(?<id>.+)\\.scope"},
                {"unit": "svc@(?<id>.+)\\.service", "role": "sidecar"},
            ]
        },
    )
    run(["--scope"], "other-8", "actor.lookup('other.test', 'A')")
    run(["--scope"], "sandbox-7", "actor.lookup('scope.test', 'A'); actor.run(['true', 'scope'])")
    # "a-b" is a\x2db in the name of the cgroup.
    run(["--service-type", "oneshot"], "svc@a\\x2db.service", "actor.lookup('service.test', 'A')")
    time.sleep(2.5)
    events = c.stop()
    assert {e["sandbox_id"] for e in events} == {"7", "a-b"}, {e["sandbox_id"] for e in events}
    check_same("7", egress_of(events, "7")[0], ["scope.test"])
    check_same("a-b", egress_of(events, "a-b")[0], ["service.test"])
    roles = {
        e["sandbox_id"]: e.get("sandbox.role")
        for e in events
        if e["opensandbox.event"] == "process.exec"
    }
    assert roles == {"7": "app", "a-b": "sidecar"}, roles
    runs = [
        args_of(e)
        for e in events
        if e["opensandbox.event"] == "process.exec" and e["sandbox_id"] == "7"
    ]
    assert ("true", "scope") in runs, runs
    assert [e["opensandbox.event"] for e in events].count("sandbox.stopped") == 2
    assert all(
        e["sandpiper.produced"] == e["sandpiper.delivered"]
        for e in events
        if e["opensandbox.event"] == "sandbox.stopped"
    )
