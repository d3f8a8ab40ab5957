# SPDX-License-Identifier: Apache-2.0
"""Secrets in arguments and host names do not leave sandpiper, and SIGHUP reads the configuration
again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
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


# The shapes of secrets in one command line. The test secret is in each of them.
TOKEN = "sk-ant-api03-" + "Ab3dEf6hIj9" * 8
SECRET_COMMAND = [
    "/bin/sh",
    "-c",
    f'TOKEN={TOKEN} true; /bin/true -u user:{TOKEN} "https://a.test/?sig={TOKEN}&page=2"',
    "--password",
    TOKEN,
]


@scenario()
def reports_mask_secrets(w: World) -> None:
    """No form of the report contains a secret, in the page's source neither, unless the user asks
    for it. The files of records never do."""
    for form in ("table", "json", "html"):
        for flags, is_shown in (((), False), (("--show-secrets",), True)):
            report, events = (os.path.join(w.dir, name + form) for name in ("report", "events"))
            command = [w.sandpiper, "exec", "--format", form, "-o", report, "--events", events]
            done = subprocess.run(
                [*command, *flags, "--", *SECRET_COMMAND], capture_output=True, timeout=120
            )
            assert done.returncode == 0, done.stderr
            with open(report) as f:
                text = f.read()
            assert (TOKEN in text) is is_shown, (form, flags)
            # The table has the start of a long command only.
            assert "page=2" in text or form == "table", (form, flags)
            assert ("*****" in text) is not is_shown, (form, flags)
            with open(events) as f:
                assert TOKEN not in f.read(), (form, flags)


@scenario()
def reports_mask_hosts(w: World) -> None:
    for form in ("table", "json", "html"):
        report = os.path.join(w.dir, "report-" + form)
        options = ["--format", form, "-o", report, "--redact-hosts", r"([a-z]+)\.secret\.test"]
        actor = "import sys; sys.path.insert(0, %r); import actor; " % os.path.dirname(
            os.path.abspath(__file__)
        )
        lookup = actor + "actor.lookup('pl' + 'an.secret.test', 'A')"
        done = subprocess.run(
            w.in_sandbox_net(
                [w.sandpiper, "exec", *options, "--", "/usr/bin/python3", "-c", lookup]
            ),
            capture_output=True,
            timeout=120,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 0, done.stderr
        with open(report) as f:
            text = f.read()
        assert "plan.secret" not in text, form
        assert "*****.secret.test" in text, form


@scenario()
def messages_about_variables_show_no_secret(w: World) -> None:
    secret = "s3cr3tt0k3n"
    mistakes = (
        {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization: Bearer " + secret},
        {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization: Basic {secret}=="},
        {"OTEL_EXPORTER_OTLP_HEADERS": f"a=b,{secret}"},
        {"OTEL_EXPORTER_OTLP_METRICS_HEADERS": f"Authorization; {secret}"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{secret}@127.0.0.1:9"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"ftp://{secret}@127.0.0.1:9"},
        {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{secret}@127.0.0.1:9",
        },
        {"http_proxy": f"http://user:{secret}@127.0.0.1:9"},
        {"http_proxy": f"nonsense://user:{secret}@127.0.0.1:9"},
    )
    for mistake in mistakes:
        env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **mistake}
        for command in (
            ["validate"],
            ["validate", "--format", "json"],
            ["exec", "--flush-timeout-ms", "100", "--", "true"],
        ):
            done = subprocess.run(
                [w.sandpiper, *command], capture_output=True, timeout=120, env=env
            )
            assert done.returncode == 0, done.stderr
            output = done.stdout + done.stderr
            assert secret.encode() not in output, (mistake, command, output)


def mode_of(path: str) -> int:
    return os.lstat(path).st_mode & 0o777


@scenario()
def files_are_for_their_owner(w: World) -> None:
    """All files that may contain secrets have the mode 0600, also those that existed before. A link
    is not followed, and then the command does not run."""
    cgroup = w.new_cgroup("modes")
    names = ("report", "events", "metrics", "capture", "spool")
    paths = {name: os.path.join(w.dir, "modes-" + name) for name in names}
    for path in paths.values():
        with open(path, "w"):
            pass
        os.chmod(path, 0o644)
    flags = {
        "report": "-o",
        "events": "--events",
        "metrics": "--metrics",
        "capture": "--capture",
    }
    options = [word for name, flag in flags.items() for word in (flag, paths[name])]
    done = subprocess.run(
        [w.sandpiper, "exec", *options, "--", "true"], capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    collector = Collector(
        w,
        [cgroup],
        ["--spool", paths["spool"]],
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    )
    collector.stop()
    modes = {name: oct(mode_of(path)) for name, path in paths.items()}
    assert set(modes.values()) == {"0o600"}, modes

    precious, link = os.path.join(w.dir, "precious"), os.path.join(w.dir, "link")
    with open(precious, "w") as f:
        f.write("data")
    os.symlink(precious, link)
    ran = os.path.join(w.dir, "ran")
    for flag in flags.values():
        done = subprocess.run(
            [w.sandpiper, "exec", flag, link, "--", "touch", ran], capture_output=True, timeout=120
        )
        assert done.returncode == 125, (flag, done)
        assert link.encode() in done.stderr and b"symbolic link" in done.stderr, (flag, done)
        assert not os.path.exists(ran), flag
    with open(precious) as f:
        assert f.read() == "data"
    done = subprocess.run(
        [w.sandpiper, "exec", "-o", "/no/such/folder/report", "--", "touch", ran],
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 125 and not os.path.exists(ran), done


@scenario()
def socket_replaces_only_a_socket(w: World) -> None:
    """A file, a folder or a link at the path of the socket stays, at the start and at the end."""
    cgroup = w.new_cgroup("sock")
    base = os.path.join(w.dir, "sockets")
    os.makedirs(base + "/folder")
    with open(base + "/file", "w") as f:
        f.write("data")
    os.symlink(base + "/file", base + "/link")
    for name in ("file", "folder", "link"):
        path = os.path.join(base, name)
        collector = Collector(w, [cgroup], ["--socket", path])
        collector.stop()
        assert os.path.lexists(path), name
        assert "is no socket" in collector.stderr and path in collector.stderr, collector.stderr
    with open(base + "/link") as f:
        assert f.read() == "data"
    # The socket of a collector that was killed is replaced, and removed at the end.
    stale = os.path.join(base, "stale")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(stale)
    collector = Collector(w, [cgroup], ["--socket", stale])
    asked = subprocess.run(
        [w.sandpiper, "status", "--socket", stale], capture_output=True, timeout=60
    )
    assert asked.returncode == 0, asked
    collector.stop()
    assert not os.path.lexists(stale)
