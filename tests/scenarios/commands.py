# SPDX-License-Identifier: Apache-2.0
"""The commands beside run: observe, top, status, validate, replay, and exec on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from attribution import Collector, act
from registry import Skip, scenario
from world import Event, World, parse_events

# One lookup, one connection, one refused connection, two programs.
ACTIONS = """
_, ips = actor.lookup("observed.test", "A")
actor.tcp(ips[0], name="observed.test")
actor.tcp("10.77.0.4", 1)
actor.run(["true", "seen"])
actor.run(["sh", "-c", "exit 3"])
"""


def run_client(w: World, *arguments: str, **run_options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [w.sandpiper, *arguments, "--socket", w.dir + "/asked.sock"],
        capture_output=True,
        timeout=60,
        **run_options,
    )


def start_collector(
    w: World, *cgroups: str, options: Sequence[str] = (), **run_options: Any
) -> Collector:
    return Collector(
        w, cgroups, options=["--socket", w.dir + "/asked.sock", *options], **run_options
    )


def parse_lines(data: bytes) -> list[Event]:
    return [json.loads(line) for line in data.decode().splitlines()]


def wait_until(condition: Callable[[], Any], failure: str) -> None:
    """Waits half a minute for the condition; `failure` says what is wrong if it stays false."""
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(failure)


@scenario()
def observe_prints_the_records_of_stdout(w: World) -> None:
    """observe prints all live records in their order, and selects stored records by each filter."""
    a, b = w.new_cgroup("seen-a"), w.new_cgroup("seen-b")
    c = start_collector(w, a, b, options=["--window-s", "1"])
    live = open(w.dir + "/live", "wb")
    observer = subprocess.Popen(
        [
            w.sandpiper,
            "observe",
            "--socket",
            w.dir + "/asked.sock",
            "--since",
            "1h",
            "--follow",
            "--format",
            "json",
        ],
        stdout=live,
        stderr=subprocess.PIPE,
    )
    w.children.append(observer)
    act(w, a, ACTIONS)
    act(w, b, "actor.run(['true', 'other'])")
    c.wait_for("egress.destination")
    wait_until(
        lambda: open(w.dir + "/live", "rb").read() == open(c.path, "rb").read(),
        "observe did not print the records of stdout",
    )
    records = parse_events(c.path)

    def ask(*arguments: str) -> list[Event]:
        return parse_lines(
            run_client(w, "observe", "--since", "1h", "--format", "json", *arguments).stdout
        )

    assert ask() == records
    assert ask("--last", "3") == records[-3:]
    assert ask("--sandbox", "seen-b") == [e for e in records if e["sandbox_id"] == "seen-b"]
    assert ask("--event", "process.*", "--event", "sandbox.started") == [
        e for e in records if e["opensandbox.event"].startswith(("process.", "sandbox.started"))
    ]
    of_host = [e for e in records if e.get("target.host") == "observed.test"]
    assert ask("--host", "*SERVED.test") == of_host and {
        e["opensandbox.event"] for e in of_host
    } == {
        "egress.outbound",
        "egress.failed",
        "egress.destination",
    }, of_host
    assert ask("--host", "10.77.0.?") == [
        e
        for e in records
        if "10.77.0.4" in [e.get("network.peer.address"), *e.get("target.ips", [])]
    ]
    assert ask("--denied") == []
    assert (
        parse_lines(
            run_client(w, "observe", "--since", "2999-01-01T00:00:00Z", "--format", "json").stdout
        )
        == []
    )
    compact = run_client(
        w, "observe", "--since", "1h", "--event", "process.exec", "--sandbox", "seen-a"
    ).stdout.decode()
    assert re.search(
        r"^\d\d:\d\d:\d\d\.\d{3}Z seen-a process\.exec true seen by true\[\d+\]$", compact, re.M
    ), compact
    table = (
        run_client(w, "observe", "--last", "1", "--format", "table").stdout.decode().splitlines()
    )
    assert (
        table[0].split() == ["TIME", "SANDBOX", "EVENT", "DETAIL", "RESULT", "PROCESS"]
        and len(table) == 2
    ), table
    invalid = run_client(w, "observe", "--since", "yesterday")
    assert invalid.returncode == 2 and b"yesterday" in invalid.stderr, invalid
    c.stop()
    assert observer.wait(timeout=30) == 0, observer.stderr.read()
    assert open(w.dir + "/live", "rb").read() == open(c.path, "rb").read(), (
        "observe did not print the last records"
    )


@scenario()
def stalled_observer_blocks_no_other(w: World) -> None:
    """A stalled observer stops neither the collector nor its end. A seventeenth observer gets
    an error. The records that a slow observer misses are counted: recent_records_test."""
    cg = w.new_cgroup("hung")
    n = 1000 if w.slow else 10000
    c = start_collector(w, cg, options=["--no-limit-records"])
    stalled = [
        subprocess.Popen(
            [
                w.sandpiper,
                "observe",
                "--socket",
                w.dir + "/asked.sock",
                "--since",
                "1h",
                "--follow",
                "--format",
                "json",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(16)
    ]
    w.children += stalled
    # Each observer is connected before the next one starts.
    for p in stalled:
        assert b"sandbox.started" in p.stdout.readline(), p.stderr.read()
    extra = run_client(w, "observe", "--last", "1")
    assert extra.returncode == 1 and b"too many observers (16)" in extra.stderr, extra
    for p in stalled:
        p.send_signal(signal.SIGSTOP)
    flood = w.start([w.triggers, "flood-exec", str(n)], cgroup=cg)
    assert flood.wait(timeout=280) == 0
    wait_until(
        lambda: (
            parse_lines(run_client(w, "status", "--format", "json").stdout)[0]["sandboxes"][0][
                "execs"
            ]
            == str(n + 1)
        ),
        "the collector does not keep up",
    )
    events = c.stop()
    records = [e for e in events if e["opensandbox.event"] == "process.exec"]
    lost = sum(
        e["sandpiper.dropped"] for e in events if e["opensandbox.event"] == "sandbox.stopped"
    )
    assert len(records) == n + 1 or lost > 0, (len(records), lost)
    for p in stalled:
        p.kill()


@scenario()
def closed_observer_leaves_nothing_behind(w: World) -> None:
    """Threads that serve a client end with it: an idle collector has no thread that wakes up for
    clients."""
    c = start_collector(w, w.new_cgroup("quiet"))

    def threads_and_descriptors() -> tuple[int, ...]:
        return tuple(
            len(os.listdir("/proc/%d/%s" % (c.process.pid, what))) for what in ("task", "fd")
        )

    threads = threads_and_descriptors()[0]
    assert run_client(w, "status").returncode == 0
    wait_until(lambda: threads_and_descriptors()[0] == threads, "the first client left threads")
    before = threads_and_descriptors()  # gRPC keeps two descriptors after its first use
    observer = subprocess.Popen(
        [w.sandpiper, "observe", "--socket", w.dir + "/asked.sock", "--follow"],
        stdout=subprocess.DEVNULL,
    )
    w.children.append(observer)
    wait_until(lambda: threads_and_descriptors() > before, "the observer did not connect")
    for _ in range(5):
        assert run_client(w, "status").returncode == 0
    observer.kill()
    wait_until(lambda: threads_and_descriptors() == before, "clients left threads or descriptors")
    assert run_client(w, "status").returncode == 0
    c.stop()


@scenario()
def socket_is_for_root_and_its_user(w: World) -> None:
    """The user of the peer decides, not the mode of the file, which may be changed."""
    cg, path = w.new_cgroup("asked"), w.dir + "/asked.sock"
    c = start_collector(w, cg)
    assert os.stat(path).st_mode & 0o777 == 0o600, oct(os.stat(path).st_mode)
    os.chmod(path, 0o666)
    os.chmod(w.dir, 0o755)
    program = tempfile.mkdtemp(prefix="sandpiper-public-", dir="/tmp")
    os.chmod(program, 0o755)
    try:
        copy = program + "/sandpiper"
        subprocess.run(["cp", "-L", w.sandpiper, copy], check=True)
        ask = [copy, "status", "--socket", path]
        unprivileged = subprocess.run(
            ["setpriv", "--reuid", "65534", "--clear-groups", *ask], capture_output=True, timeout=60
        )
        assert (
            unprivileged.returncode == 1
            and b"that you are root" in unprivileged.stderr
            and unprivileged.stdout == b""
        ), unprivileged
        root = subprocess.run(ask, capture_output=True, timeout=60)
        assert root.returncode == 0 and b"asked" in root.stdout, root
    finally:
        subprocess.run(["rm", "-rf", program])
    c.stop()
    stopped = run_client(w, "observe", "--last", "1")
    assert stopped.returncode == 1 and b"`sandpiper run` is running" in stopped.stderr, stopped


@scenario()
def top_counts_between_refreshes(w: World) -> None:
    cg = w.new_cgroup("busy")
    w.new_cgroup("idle")
    c = start_collector(w, cg, w.cgroups + "/idle")
    top = subprocess.Popen(
        [
            w.sandpiper,
            "top",
            "--socket",
            w.dir + "/asked.sock",
            "--interval-ms",
            "4000" if w.slow else "2000",
            "--frames",
            "1",
        ],
        stdout=subprocess.PIPE,
    )
    w.children.append(top)
    time.sleep(0.5)
    act(w, cg, "for i in range(3): actor.tcp('10.77.0.4', 8080)\nactor.tcp('10.77.0.4', 1)")
    out = top.communicate(timeout=60)[0].decode().splitlines()
    assert out[0].startswith("2 sandboxes; per second: "), out
    assert out[2].split()[:3] == ["SANDBOX", "RUNTIME", "AGE"], out
    assert out[3].startswith("busy ") and out[-1].startswith("idle "), out
    for start in (
        "  10.77.0.4:8080/tcp  3 attempts, 12 B sent, ",
        "  10.77.0.4:1/tcp  1 attempt, 1 failed, 0 B sent, 0 B received",
    ):
        assert any(line.startswith(start) for line in out), out
    c.stop()


@scenario()
def validate_prints_the_effective_settings(w: World) -> None:
    path = w.dir + "/valid.yaml"

    def validate(
        text: str, *arguments: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        with open(path, "w") as f:
            f.write(text)
        return subprocess.run(
            [w.sandpiper, "validate", "--config", path, *arguments],
            capture_output=True,
            timeout=60,
            env={**os.environ, **(env or {})},
        )

    valid = validate(
        (
            "sandboxes: [{label: a/b, namespace: agents}, {cgroup: '^/x/(?<id>.+)$', "
            "role: sidecar}]\nwindow_s: 5\nstdout: false\nspool: ''\n"
        ),
        "--format",
        "json",
        env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.test:4318",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20hidden",
            "OTEL_METRICS_EXPORTER": "what",
        },
    )
    assert valid.returncode == 0, valid
    settings = json.loads(valid.stdout)
    assert settings["rules"] == [
        "label a/b, namespace agents",
        "cgroup ^/x/(?<id>.+)$, role sidecar",
    ], settings
    assert settings["records"] == [
        "OTLP over HTTP to https://collector.test:4318/v1/logs, TLS, header authorization"
    ], settings
    assert b"hidden" not in valid.stdout.replace(b"hidden_in", b""), valid.stdout
    assert (
        settings["keys_of_the_file"] == ["sandboxes", "spool", "stdout", "window_s"]
        and "window_s=5" in settings["settings"]
        and settings["spool"] == []
        and len(settings["warnings"]) == 1
    ), settings
    for text, message in (
        ("window_s: 0", b'valid.yaml:1: "0" is not between 1 and 86400'),
        ("\nsandboxes: [{label: a, unit: b}]", b"valid.yaml:2: a rule takes exactly one of "),
        ("sandboxs: 1", b'valid.yaml:1; did you mean "sandboxes"?'),
        ("dns_port: [1, 2, 3, 4, 5]", b"valid.yaml:1: expected 1 to 4 ports, not 5"),
        ("avoid: foo:bar", b'valid.yaml:1: "foo:bar" is not a mechanism of a probe'),
    ):
        invalid = validate(text)
        assert invalid.returncode == 2 and message in invalid.stderr, invalid
    assert validate("", "--device", "a/b/c=").returncode == 1


@scenario()
def replayed_capture_gives_the_same_records(w: World) -> None:
    """Compares all fields except the time of observation. Rule sets are not in a capture."""
    capture = w.dir + "/capture"
    r = w.actor(
        ACTIONS
        + """
actor.udp("10.77.0.4", 7)
for i in range(20): actor.lookup("q%d.test" % i, "A")
""",
        options=["--capture", capture, "--window-s", "3600"],
    )
    assert os.stat(capture).st_mode & 0o777 == 0o600
    done = subprocess.run(
        [w.sandpiper, "replay", capture, "--format", "json", "--window-s", "3600"],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0 and b" 0 belong to no sandbox" in done.stderr, done.stderr
    again = parse_lines(done.stdout)

    def comparable(events: list[Event]) -> list[Any]:
        """Records without their times, each with the record after it."""
        left = [
            dict(e)
            for e in events
            if not e["opensandbox.event"].startswith(("egress.loaded", "egress.updated"))
        ]
        return sorted(
            (json.dumps({k: v for k, v in e.items() if k != "ts"}, sort_keys=True), e["ts"])
            for e in left
        )

    before, after = comparable(r.events), comparable(again)
    assert [x for x, _ in before] == [x for x, _ in after], (
        [x for x in before if x not in after][:2]
        + ["replayed:"]
        + [x for x in after if x not in before][:2]
    )
    for (record, time_before), (_, time_after) in zip(before, after, strict=False):
        # Times agree to the millisecond, because the wall clock is read at another moment. Records
        # of windows and ends have the time at which the collector processed them.
        assert (
            time_before[:22] == time_after[:22]
            or '"egress.destination"' in record
            or '"sandbox.stopped"' in record
        ), (record, time_before, time_after)
    shortened = open(capture, "rb").read()[:-40]
    open(capture, "wb").write(shortened)
    short = subprocess.run([w.sandpiper, "replay", capture], capture_output=True, timeout=60)
    assert short.returncode == 1 and b"is truncated at byte" in short.stderr, short
    not_a_capture = subprocess.run(
        [w.sandpiper, "replay", "/etc/passwd"], capture_output=True, timeout=60
    )
    assert not_a_capture.returncode == 1 and b"is not a capture" in not_a_capture.stderr, (
        not_a_capture
    )


@scenario()
def long_exec_prints_progress(w: World) -> None:
    """exec prints progress, and its report also if the command ignores Ctrl-C."""
    r = w.exec(["sleep", "5" if w.slow else "3"], options=["--progress-s", "1"])
    records = [
        line
        for line in r.stderr.splitlines()
        if re.fullmatch(
            (
                r"sandpiper: \d+ s: 1 programs, 0 lookups, "
                r"0 connection attempts to 0 destinations, 0 denied"
            ),
            line,
        )
    ]
    assert records, r.stderr
    # On this terminal, sandpiper and the command both get Ctrl-C.
    pid, terminal = pty.fork()
    if pid == 0:
        # A shell cannot trap a signal that was ignored when it started.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(
            w.sandpiper,
            [
                w.sandpiper,
                "exec",
                "--",
                "sh",
                "-c",
                "trap 'echo trapped' INT; echo here; while :; do sleep 0.1; done",
            ],
        )
    out = b""

    def read_until(word: bytes) -> None:
        nonlocal out
        while word not in out:
            assert select.select([terminal], [], [], 60)[0], (word, out)
            try:
                out += os.read(terminal, 4096)
            except OSError:
                raise AssertionError((word, out)) from None

    try:
        read_until(b"here")
        os.write(terminal, b"\x03")
        read_until(b"press Ctrl-C again to kill it")
        read_until(b"trapped")
        os.write(terminal, b"\x03")
        read_until(b"Nothing was missed")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        status = os.waitpid(pid, 0)[1]
        os.close(terminal)
    assert os.WEXITSTATUS(status) == 128 + signal.SIGKILL, status


@scenario()
def watchdog_of_the_service_manager(w: World) -> None:
    cg, path = w.new_cgroup("lives"), w.dir + "/manager.sock"
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(60)
    c = Collector(w, [cg], env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
    received = [s.recv(100)]
    while received.count(b"WATCHDOG=1") < 3:
        received.append(s.recv(100))
    assert b"READY=1" in received, received
    c.process.send_signal(signal.SIGTERM)
    while b"STOPPING=1" not in received:
        received.append(s.recv(100))
    c.stop()


def chromium() -> str:
    for name in ("chromium", "chromium-browser"):
        for folder in os.environ["PATH"].split(":"):
            if os.access(os.path.join(folder, name), os.X_OK):
                return name
    raise Skip("there is no Chromium; deploy/setup.sh --with-runtimes installs it")


def rendered(w: World, page: str) -> str:
    """The body of a report's page after a browser ran its script, without the data of the page."""
    seen = subprocess.run(
        [
            chromium(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--user-data-dir=" + w.dir + "/browser",
            "--dump-dom",
            "file://" + page,
        ],
        capture_output=True,
        timeout=120,
        env={**os.environ, "HOME": w.dir},
    ).stdout.decode()
    assert 'data-drawn="yes"' in seen, seen[-3000:]
    return seen[: seen.index('<script id="report"')]


def page_of(w: World, code: str, form: str = "html") -> tuple[str, list[Event], Any]:
    """Runs the actor's code under exec; returns the path of the report, the records, the truth."""
    path, events = w.dir + "/page." + form, w.dir + "/page.events"
    folder = os.path.dirname(os.path.abspath(__file__))
    code = f"import sys; sys.path.insert(0, {folder!r}); import actor\n{code}\nactor.print_truth()"
    options = ["--id", "page", "--format", form, "-o", path, "--events", events]
    done = subprocess.run(
        w.in_sandbox_net([w.sandpiper, "exec", *options, "--", "/usr/bin/python3", "-c", code]),
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return path, parse_events(events), done


# Drops what goes to port 8081 of the server.
DROP_8081 = (
    "add table inet t; add chain inet t out { type filter hook output priority 0; }; "
    "add rule inet t out ip daddr 10.77.0.4 tcp dport 8081 drop"
)


@scenario()
def html_report_shows_the_actions(w: World) -> None:
    """Opens the page in a browser and runs its script: it shows the actions of the actor. Markup in
    a name stays text."""
    chromium()
    with w.nft(DROP_8081):
        page, events, _ = page_of(
            w,
            ACTIONS
            + """
actor.tcp("10.77.0.4", 8081)
actor.run(["sh", "-c", "exit 0", "</script><img src=x onerror=document.title=1>"])
""",
        )
    body = rendered(w, page)

    def count(kind: str) -> int:
        return body.count('data-event="%s"' % kind)

    def records(kind: str) -> list[Event]:
        return [e for e in events if e["opensandbox.event"] == kind]

    assert count("process.exec") == len(records("process.exec")) > 0
    assert (
        count("egress.outbound")
        == len([e for e in records("egress.outbound") if "dns.question.type" in e])
        == 1
    )
    assert (
        count("egress.denied") == len(records("egress.denied")) == 1
        and count("egress.failed") == len(records("egress.failed")) > 0
    )
    assert body.count('data-edge="denied"') == 1 and body.count('data-edge="failed"') == 1, body
    assert "observed.test" in body and "Nothing was missed" in body
    assert "onerror" in body and "<img" not in body, "the page has markup of the sandbox"
    assert "<title>sandpiper: page</title>" in body


@scenario()
def html_report_counts_each_attempt_by_its_outcome(w: World) -> None:
    """One dot for each attempt, and one edge for each outcome of a destination. The counts are
    those of the actions, and of the JSON report of the same actions."""
    chromium()
    actions = """
for i in range(7): actor.tcp("10.77.0.4", 8080)
for i in range(3): actor.tcp("10.77.0.4", 1)
for i in range(2): actor.tcp("10.77.0.4", 8081)
_, ips = actor.lookup("reached.test", "A")
for i in range(4): actor.tcp(ips[0], name="reached.test")
actor.lookup("only.test", "A")
actor.tcp("127.0.0.1", 1)
"""
    counts = {"established": 11, "failed": 4, "denied": 2, "no outcome": 0}  # loopback: one failed
    with w.nft(DROP_8081):
        page, _, _ = page_of(w, actions)
        json_path, _, _ = page_of(w, actions, "json")
    body = rendered(w, page)
    report = json.loads(open(json_path).read())
    by_outcome: dict[str, int] = {}
    for destination in report["destinations"]:
        for outcome, n in destination["outcomes"].items():
            kind = outcome if outcome in counts else "failed"
            by_outcome[kind] = by_outcome.get(kind, 0) + n
    assert by_outcome == {k: n for k, n in counts.items() if n > 0}, report["destinations"]
    for kind, n in counts.items():
        assert body.count(f'data-attempt="{kind}"') == n, (kind, n)
        assert f'data-count="{kind}" data-n="{n}"' in body, (kind, n)
    assert sum(counts.values()) == report["totals"]["attempts"], report["totals"]
    edges = re.findall(r'data-edge="([^"]*)" data-n="(\d+)"><title>([^<]*)</title>', body)
    drawn = {(title.split(" → ")[1].split(":")[0], kind): int(n) for kind, n, title in edges}
    assert drawn == {
        ("10.77.0.4", "established"): 7,
        ("10.77.0.4", "failed"): 3,
        ("10.77.0.4", "denied"): 2,
        ("reached.test", "established"): 4,
        ("only.test", "looked up only"): 1,
    }, drawn
