# SPDX-License-Identifier: Apache-2.0
"""Attribution of events to sandboxes: by the socket and the cgroup, never by the current task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

from checks import args_of, check_same
from registry import scenario
from world import HERE, PYTHON, Event, World, parse_events

TAGS = ("peers",)


class Collector:
    """sandpiper run over cgroups of the world, in the host's own network namespace."""

    def __init__(
        self,
        w: World,
        cgroups: Sequence[str],
        options: Sequence[str] = (),
        env: dict[str, str] | None = None,
        cwd: str | None = None,
    ) -> None:
        self.w, self.path = w, os.path.join(w.dir, "run-events-%d" % time.monotonic_ns())
        argv = [w.sandpiper, "run", *options]
        for c in cgroups:
            argv += ["--cgroup", c]
        self.peers = w.send_to_peers(env)
        env, self.run_output = self.peers.__enter__()
        # A spool of its own: a later collector would send records that are left in a shared one.
        env.setdefault("SANDPIPER_SPOOL", os.path.join(w.dir, "spool-%d" % time.monotonic_ns()))
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen(
                argv, stdout=out, stderr=subprocess.PIPE, env={**os.environ, **env}
            )
        w.children.append(self.process)
        self.stderr_until_ready = b""  # stderr until the line with "ready"
        while b"ready" not in (line := self.process.stderr.readline()):
            self.stderr_until_ready += line
            assert line, "sandpiper ended: " + self.stderr_until_ready.decode()
        self.ready_line = line.decode()

    def keeper(self) -> int:
        """The pid of the process that starts the canary."""
        (pid,) = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, check=True
        ).stdout.split()
        return int(pid)

    def wait_for_stderr(self, part: str) -> str:
        """Reads stderr until a line contains this text, for up to a minute; returns the line."""
        too_long = threading.Timer(60, self.process.kill)
        too_long.start()
        try:
            while line := self.process.stderr.readline().decode():
                if part in line:
                    return line
        finally:
            too_long.cancel()
        raise AssertionError("sandpiper ended before it printed %r" % part)

    def wait_for(self, event: str, times: int = 1) -> None:
        """Waits until this many records of the event were written."""
        for _ in range(600):
            if (
                open(self.path, "rb").read().count(b'"opensandbox.event":"%s"' % event.encode())
                >= times
            ):
                return
            time.sleep(0.1)
        raise AssertionError("fewer than %d records of %s" % (times, event))

    def stop(self, sig: int = signal.SIGTERM) -> list[Event]:
        """Ends the collector and returns its records, or None after SIGKILL. All its stderr is in
        `stderr`."""
        time.sleep(0.3)
        self.process.send_signal(sig)
        self.stderr = (
            self.stderr_until_ready.decode() + self.process.communicate(timeout=60)[1].decode()
        )
        self.w.children.remove(self.process)
        if sig == signal.SIGKILL:
            return None
        events = parse_events(self.path)
        for e in events:
            if e["opensandbox.event"] == "sandbox.stopped":
                assert (
                    e["sandpiper.produced"] == e["sandpiper.delivered"] + e["sandpiper.dropped"]
                ), e
        self.run_output.add(events)
        self.peers.__exit__(None, None, None)
        return events


def act(w: World, cgroup: str, code: str, wait: bool = True) -> Any:
    """Runs Python with `actor` in a cgroup and in the sandbox's network. Returns the truth, or the
    running process if `wait` is false."""
    script = "import sys; sys.path.insert(0, %r); import actor\n%s\nactor.print_truth()" % (
        HERE,
        code,
    )

    def enter() -> None:
        if cgroup:
            with open(os.path.join(cgroup, "cgroup.procs"), "w") as f:
                f.write(str(os.getpid()))

    p = subprocess.Popen(
        w.in_sandbox_net([PYTHON, "-c", script]),
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        preexec_fn=enter,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if not wait:
        return p
    out = p.communicate(timeout=120)[0]
    assert p.returncode == 0
    return json.loads(out.decode().splitlines()[-1])["truth"]


def egress_of(events: list[Event], sandbox: str) -> tuple[Any, Any, Any]:
    """(names looked up, addresses of attempts without a name, destinations) of a sandbox. A
    destination is (name or address, port)."""
    records = [e for e in events if e["sandbox_id"] == sandbox]
    hosts = [
        e["target.host"]
        for e in records
        if e["opensandbox.event"] == "egress.outbound" and "target.host" in e
    ]
    peers = [
        e["peer"] for e in records if e["opensandbox.event"] == "egress.outbound" and "peer" in e
    ]
    ledger = [
        (e.get("target.host") or e["peer"], e["network.peer.port"])
        for e in records
        if e["opensandbox.event"] == "egress.destination"
    ]
    return hosts, peers, ledger


@scenario()
def unwatched_processes_cause_no_records(w: World) -> None:
    inside, outside = w.new_cgroup("in"), w.new_cgroup("out")
    c = Collector(w, [inside])
    act(w, outside, "actor.lookup('o.test', 'A'); actor.tcp('10.77.0.4'); actor.run(['true'])")
    events = c.stop()
    assert [e["opensandbox.event"] for e in events] == ["sandbox.started", "sandbox.stopped"], (
        events
    )
    assert events[-1]["sandbox.process.execs"] == 0 and events[-1]["sandbox.connect.attempts"] == 0


@scenario("kernels")
def one_address_has_a_name_in_each_sandbox(w: World) -> None:
    a, b = w.new_cgroup("a"), w.new_cgroup("b")
    c = Collector(w, [a + "=alpha", b + "=beta"])
    code = """
for i in range(30):
    _, ips = actor.lookup("%s.test", "A")
    actor.tcp(ips[0], name="%s.test", send=b"x" * %d)
    actor.run(["true", "%s"])
"""
    running = [
        act(w, cg, code % (name, name, n, name), wait=False)
        for cg, name, n in ((a, "alpha", 10), (b, "beta", 20))
    ]
    for p in running:
        p.communicate(timeout=120)
        assert p.returncode == 0
    events = c.stop()
    for name, n in (("alpha", 10), ("beta", 20)):
        hosts, peers, ledger = egress_of(events, name)
        assert hosts == [name + ".test"] * 30 and not peers, (hosts, peers)
        assert ledger == [(name + ".test", 8080)], ledger
        d = [
            e
            for e in events
            if e["opensandbox.event"] == "egress.destination" and e["sandbox_id"] == name
        ][0]
        assert (d["egress.attempts"], d["network.io.sent"], d["network.io.received"]) == (
            30,
            30 * n,
            30 * n,
        ), d
        runs = [
            args_of(e)
            for e in events
            if e["opensandbox.event"] == "process.exec" and e["sandbox_id"] == name
        ]
        assert [r for r in runs if r[0] == "true"] == [("true", name)] * 30, (runs, events[-1])


@scenario()
def nested_cgroups_belong_to_their_ancestor(w: World) -> None:
    top = w.new_cgroup("top")
    before = w.new_cgroup("top/before")
    c = Collector(w, [top])
    after = w.new_cgroup("top/after/deeper")
    act(w, before, "actor.lookup('before.test', 'A')")
    act(w, after, "actor.lookup('after.test', 'A')")
    act(w, top, "actor.lookup('top.test', 'A')")
    os.rmdir(after)
    again = w.new_cgroup("top/after/again")
    act(w, again, "actor.lookup('again.test', 'A')")
    events = c.stop()
    assert {e["sandbox_id"] for e in events} == {"top"}
    check_same(
        "lookups",
        egress_of(events, "top")[0],
        ["before.test", "after.test", "top.test", "again.test"],
    )


@scenario()
def selected_nested_cgroup_is_its_own_sandbox(w: World) -> None:
    outer, inner = w.new_cgroup("outer"), w.new_cgroup("outer/inner")
    c = Collector(w, [outer, inner + "=own"])
    act(w, outer, "actor.lookup('outer.test', 'A')")
    act(w, inner, "actor.lookup('inner.test', 'A')")
    events = c.stop()
    assert egress_of(events, "outer")[0] == ["outer.test"] and egress_of(events, "own")[0] == [
        "inner.test"
    ]


@scenario()
def globs_and_relative_paths(w: World) -> None:
    for n in ("g1", "g2", "other"):
        w.new_cgroup("globs/" + n)
    c = Collector(w, [w.tag + "/globs/g*"])
    assert "2 sandboxes" in c.ready_line, c.ready_line
    for n in ("g1", "g2", "other"):
        act(w, os.path.join(w.cgroups, "globs", n), "actor.lookup('%s.test', 'A')" % n)
    events = c.stop()
    assert {e["sandbox_id"] for e in events} == {"g1", "g2"}
    assert egress_of(events, "g1")[0] == ["g1.test"] and egress_of(events, "g2")[0] == ["g2.test"]


@scenario()
def process_started_before_the_collector(w: World) -> None:
    cg = w.new_cgroup("early")
    p = act(
        w,
        cg,
        (
            "print('up', flush=True); sys.stdin.readline(); actor.lookup('late.test', 'A'); "
            "actor.tcp('10.77.0.3')"
        ),
        wait=False,
    )
    p.stdout.readline()
    c = Collector(w, [cg])
    p.communicate(b"\n", timeout=60)
    events = c.stop()
    lookup, connect = [e for e in events if e["opensandbox.event"] == "egress.outbound"]
    for e in (lookup, connect):
        assert (
            e["process.executable.path"] == os.path.realpath(PYTHON) and e["process.pid"] == p.pid
        ), e
    ends = [e for e in events if e["opensandbox.event"] == "process.exit"]
    assert len(ends) == 1 and ends[0]["process.exit.code"] == 0, ends


@scenario()
def process_moves_in_and_out(w: World) -> None:
    a, b, away = w.new_cgroup("m1"), w.new_cgroup("m2"), w.new_cgroup("away")
    c = Collector(w, [a, b])
    # Both cgroups have a process in the network namespace. Therefore a process there that is
    # outside of both belongs to neither.
    residents = [
        act(
            w,
            cg,
            "print('in', flush=True); actor.tcp('127.0.0.1', 1); sys.stdin.readline()",
            wait=False,
        )
        for cg in (a, b)
    ]
    for r in residents:
        r.stdout.readline()
    time.sleep(2 if w.slow else 0.5)
    code = """
import os
def go(cg):
    open(cg + "/cgroup.procs", "w").write(str(os.getpid()))
for n, cg in enumerate((%r, %r, %r, %r)):
    go(cg)
    actor.lookup("move%%d.test" %% n, "A")
    actor.tcp("10.77.0.3", send=b"m" * (n + 1))
    actor.run(["true", str(n)])
""" % (a, away, b, a)
    act(w, away, code)
    for r in residents:
        r.communicate(b"\n", timeout=60)
    events = c.stop()
    check_same("m1", egress_of(events, "m1")[0], ["move0.test", "move3.test"])
    check_same("m2", egress_of(events, "m2")[0], ["move2.test"])
    runs = {
        s: [
            args_of(e)[-1]
            for e in events
            if e["opensandbox.event"] == "process.exec"
            and e["sandbox_id"] == s
            and args_of(e)[0] == "true"
        ]
        for s in ("m1", "m2")
    }
    assert runs == {"m1": ["0", "3"], "m2": ["2"]}, runs


@scenario()
def socket_keeps_its_sandbox(w: World) -> None:
    """A socket stays with the sandbox that created it, also when another sandbox or the host uses
    it."""
    a, b = w.new_cgroup("owner"), w.new_cgroup("user")
    c = Collector(w, [a, b])
    code = """
import os, socket, dnswire as d
def go(cg):
    open(cg + "/cgroup.procs", "w").write(str(os.getpid()))
go(%r)
tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
go(%r)
actor.lookup("socket.test", "A", mode="sendto", sock=udp)
tcp.connect(("10.77.0.3", 8080))
tcp.send(b"abc"); actor.read_exactly(tcp, 3)
go(%r)
tcp.send(b"defg"); actor.read_exactly(tcp, 4)
tcp.close()
"""
    act(w, None, code % (a, b, w.new_cgroup("nowhere")))
    events = c.stop()
    assert egress_of(events, "user") == ([], [], []), egress_of(events, "user")
    hosts, peers, ledger = egress_of(events, "owner")
    assert hosts == ["socket.test"] and peers == ["10.77.0.3"] and ledger == [("10.77.0.3", 8080)]
    d = [e for e in events if e["opensandbox.event"] == "egress.destination"][0]
    assert (d["network.io.sent"], d["network.io.received"]) == (7, 7), d


@scenario()
def configured_identity_is_on_every_record(w: World) -> None:
    cg = w.new_cgroup("ident")
    c = Collector(
        w,
        [cg],
        env={
            "OPENSANDBOX_EGRESS_SANDBOX_ID": "sb-42",
            "OPENSANDBOX_EGRESS_METRICS_EXTRA_ATTRS": "team=red,bad,=x,tier=a=b",
        },
    )
    act(w, cg, "actor.lookup('i.test', 'A')")
    events = c.stop()
    assert len(events) >= 4
    assert all(
        e["sandbox_id"] == "sb-42" and e["team"] == "red" and e["tier"] == "a=b" for e in events
    ), events
