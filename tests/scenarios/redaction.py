# SPDX-License-Identifier: Apache-2.0
"""Secrets in arguments and host names do not leave sandpiper, and SIGHUP reads the configuration
again."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

from attribution import Collector, act
from otlp_receiver import HttpSink, logs_only, records, run_in_host_network
from registry import scenario

if TYPE_CHECKING:
    from world import World

TAGS = ("userspace",)

# The messages follow the time.
RELOADED = " info sandpiper: configuration reloaded: applied window_s, redact_arguments\n"
NEEDS_RESTART = b" warn sandpiper: ring_bytes changed; restart sandpiper to apply\n"
KEPT = " error sandpiper: reload failed, keeping the old configuration: redact_arguments in "
ACTIONS = """
secret = 'hunter' + '2'
actor.run(['true', '--password', secret, 'https://me:%s@a.test/' % secret])
actor.lookup('plan.secret.test', 'A')
"""


@scenario()
def patterns_are_read_again_on_sighup(w: World) -> None:
    path = os.path.join(w.dir, "again.yaml")
    cgroup = w.new_cgroup("again")

    def write(text: str) -> None:
        with open(path, "w") as f:
            f.write(text)

    def reload(collector: Collector) -> str:
        """The first line that the collector prints about its configuration."""
        collector.process.send_signal(signal.SIGHUP)
        return collector.wait_for_stderr("configuration")

    write("redact_arguments: ['blue[0-9]+']\n")
    collector = Collector(w, [cgroup], ["--config", path])
    act(w, cgroup, "actor.run(['true', 'blue1', 'red1'])")
    write("redact_arguments: ['red[0-9]+']\nwindow_s: 1\nring_bytes: 1M\n")
    line = reload(collector)
    assert line.endswith(RELOADED), line
    line = collector.process.stderr.readline()
    assert line.endswith(NEEDS_RESTART), line
    act(w, cgroup, "actor.run(['true', 'blue2', 'red2'])")
    write("redact_arguments: ['(']\n")
    line = reload(collector)
    assert KEPT + path + ":1: " in line, line
    assert "regular expression" in line, line
    act(w, cgroup, "actor.run(['true', 'blue3', 'red3'])")
    os.unlink(path)
    assert "cannot be read" in reload(collector)
    commands = [
        event["process.command_args"]
        for event in collector.stop()
        if event["opensandbox.event"] == "process.exec"
    ]
    shown = [args for name, *args in commands if name == "true"]
    assert shown == [["*****", "red1"], ["blue2", "*****"], ["blue3", "*****"]], shown


@scenario()
def secrets_do_not_leave(w: World) -> None:
    sink = HttpSink()
    result = run_in_host_network(
        w,
        ACTIONS,
        logs_only(sink.url, OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT="9"),
        options=["--redact-hosts", r"([a-z]+)\.secret\.test"],
    )
    requests = sink.requests(w, "logs")
    text = json.dumps(requests) + json.dumps(result.events)
    for secret in ("plan.secret", "hunter2"):
        assert secret not in text, secret
    for masked in ("*****.secret.test", "https://me:*****@a.test/", "--password"):
        assert masked in text, masked
    assert any(int(record.get("droppedAttributesCount", 0)) > 0 for record, _ in records(requests))
