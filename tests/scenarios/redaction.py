# SPDX-License-Identifier: Apache-2.0
"""What may not leave, and a configuration that changes while it runs."""

import json
import os
import signal

from attribution import Collector, act
from otlp import HttpSink, host_net, logs_only, received
from registry import scenario

TAGS = ("userspace",)


@scenario()
def the_configuration_is_read_again(w):
    path = os.path.join(w.dir, "again.yaml")
    cg = w.new_cgroup("again")

    def write(text):
        with open(path, "w") as f:
            f.write(text)

    def reload(c):
        c.process.send_signal(signal.SIGHUP)
        return c.until_told("configuration")

    write("redact_arguments: ['blue[0-9]+']\n")
    c = Collector(w, [cg], ["--config", path])
    act(w, cg, "actor.run(['true', 'blue1', 'red1'])")
    write("redact_arguments: ['red[0-9]+']\nwindow_s: 1\nring_bytes: 1M\n")
    assert reload(c) == "sandpiper: configuration read again: redact_arguments, window_s changed\n"
    assert c.process.stderr.readline() == b"sandpiper: only a restart changes ring_bytes\n"
    act(w, cg, "actor.run(['true', 'blue2', 'red2'])")
    write("redact_arguments: ['(']\n")
    line = reload(c)
    assert (
        line.startswith(
            "sandpiper: the configuration stays as it was: " + path + ":1: redact_arguments: "
        )
        and "regular expression" in line
    ), line
    act(w, cg, "actor.run(['true', 'blue3', 'red3'])")
    os.unlink(path)
    assert "cannot be read" in reload(c)
    events = c.stop()
    shown = [
        e["process.command_args"][1:]
        for e in events
        if e["opensandbox.event"] == "process.exec" and e["process.command_args"][0] == "true"
    ]
    assert shown == [["*****", "red1"], ["blue2", "*****"], ["blue3", "*****"]], shown


@scenario()
def secrets_do_not_leave(w):
    sink = HttpSink()
    r = host_net(
        w,
        "secret = 'hunter' + '2'\nactor.run(['true', '--password', secret, 'https://me:%s@a.test/' % secret])\nactor.lookup('plan.secret.test', 'A')",
        logs_only(sink.url, OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT="9"),
        options=["--redact-hosts", r"([a-z]+)\.secret\.test"],
    )
    assert sink.posts
    text = json.dumps(received(w, sink)) + json.dumps(r.events)
    assert (
        "plan.secret" not in text
        and "*****.secret.test" in text
        and "https://me:*****@a.test/" in text
    )
    assert "hunter2" not in text and text.count("--password") > 0
    assert any(
        int(record.get("droppedAttributesCount", 0)) > 0
        for l in received(w, sink)
        for rl in l["resourceLogs"]
        for s in rl["scopeLogs"]
        for record in s["logRecords"]
    )
