# SPDX-License-Identifier: Apache-2.0
"""Discovery: cgroups that are created and removed, namespaces, and runtimes that misbehave."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

import churn
from attribution import Collector, act, egress_of
from checks import args_of, check_same
from registry import scenario
from world import HERE, PYTHON, World, sh


def start_collector(w: World, config: dict[str, Any], options: Sequence[str] = ()) -> Collector:
    path = os.path.join(w.dir, "config-%d.yaml" % time.monotonic_ns())
    with open(path, "w") as f:
        json.dump(config, f)
    return Collector(w, [], options=("--config", path, *options))


@scenario()
def pattern_selects_later_cgroups(w: World) -> None:
    """Later cgroups are watched before their first process. A removed cgroup ends its sandbox."""
    os.makedirs(w.cgroups + "/live")
    w.new_cgroup("live/box-early")
    c = Collector(w, [w.cgroups + "/live/box-*"])
    for name in ("box-one", "box-two", "other"):
        cg = w.new_cgroup("live/" + name)
        act(w, cg, "actor.lookup('%s.test', 'A'); actor.run(['true', '%s'])" % (name, name))
        os.rmdir(cg)
    # A second cgroup with the same name is a new sandbox.
    cg = w.new_cgroup("live/box-one")
    act(w, cg, "actor.lookup('again.test', 'A')")
    deep = w.new_cgroup("live/box-two/deeper")
    act(w, deep, "actor.lookup('deep.test', 'A')")
    time.sleep(2)
    events = c.stop()
    assert {e["sandbox_id"] for e in events} == {"box-early", "box-one", "box-two"}
    check_same("box-one", egress_of(events, "box-one")[0], ["box-one.test", "again.test"])
    check_same("box-two", egress_of(events, "box-two")[0], ["box-two.test", "deep.test"])
    life = [
        (e["opensandbox.event"], e["sandbox_id"])
        for e in events
        if e["opensandbox.event"].startswith("sandbox.")
    ]
    for name, n in (("box-early", 1), ("box-one", 2), ("box-two", 2)):
        kinds = [kind for kind, sandbox in life if sandbox == name]
        assert sorted(kinds) == ["sandbox.started"] * n + ["sandbox.stopped"] * n, (name, life)
    runs = {
        args_of(e)[-1]: e["sandbox_id"]
        for e in events
        if e["opensandbox.event"] == "process.exec" and args_of(e)[0] == "true"
    }
    assert runs == {"box-one": "box-one", "box-two": "box-two"}, runs


@scenario()
def named_cgroup_is_removed(w: World) -> None:
    cg = w.new_cgroup("short-lived")
    c = Collector(w, [cg, w.new_cgroup("stays")])
    act(w, cg, "actor.lookup('x.test', 'A')")
    os.rmdir(cg)
    c.wait_for("sandbox.stopped")
    first = open(c.path).read()
    events = c.stop()
    assert first.count('"sandbox.stopped"') == 1
    assert [e["sandbox_id"] for e in events if e["opensandbox.event"] == "sandbox.stopped"] == [
        "short-lived",
        "stays",
    ]


@scenario()
def churn_attributes_nothing_wrongly(w: World) -> None:
    """A hundred cgroups a second are created and removed. The process in each says in its arguments
    and its port to which cgroup it belongs."""
    seconds, rate = (3, 20) if w.slow else (60, 100)
    folder = w.cgroups + "/churn"
    os.makedirs(folder)
    c = Collector(w, [folder + "/c*"])
    done = subprocess.run(
        [
            "nsenter",
            "--net=/run/netns/" + w.client,
            PYTHON,
            HERE + "/churn.py",
            folder,
            str(seconds),
            str(rate),
        ],
        capture_output=True,
        timeout=seconds + 120,
    )
    assert done.returncode == 0, done.stderr.decode()
    count = int(done.stdout)
    for _ in range(300):
        if open(c.path).read().count('"sandbox.stopped"') == count:
            break
        time.sleep(0.1)
    events = c.stop()
    names = ["c%d" % (i % churn.NAMES) for i in range(count)]
    execs = [
        e for e in events if e["opensandbox.event"] == "process.exec" and args_of(e)[0] == "bash"
    ]
    wrong = [(e["sandbox_id"], args_of(e)) for e in execs if args_of(e)[-1] != e["sandbox_id"]]
    assert not wrong, wrong[:5]
    check_same("execs", [args_of(e)[-1] for e in execs], names)
    sent = [
        (e["sandbox_id"], e["network.peer.port"])
        for e in events
        if e["opensandbox.event"] == "egress.outbound"
    ]
    check_same("datagrams", sent, [(n, 10000 + i % 50000) for i, n in enumerate(names)])
    stopped = [e for e in events if e["opensandbox.event"] == "sandbox.stopped"]
    check_same(
        "sandboxes",
        [(e["sandbox_id"], e["sandbox.connect.attempts"], e["sandpiper.dropped"]) for e in stopped],
        [(n, 1, 0) for n in names],
    )
    print("     %d cgroups in %d s" % (count, seconds))


@scenario("userspace")
def pending_events_over_the_limit(w: World) -> None:
    """While a runtime is slow to name a container, a bounded number of its events is kept. The
    others are counted as lost, and none goes to another sandbox."""
    state, path = os.path.join(w.dir, "cri-state.json"), os.path.join(w.dir, "cri.sock")
    with open(state, "w") as f:
        json.dump(
            {
                "pods": [
                    {
                        "id": "p",
                        "name": "pod",
                        "namespace": "n",
                        "uid": "u",
                        "labels": {"id": "slow"},
                    }
                ],
                "containers": [{"id": "%064x" % 0xABC000, "pod": "p", "name": "c", "image": "i"}],
                "delay_ms": 4000,
            },
            f,
        )
    server = w.start(
        [w.triggers.replace("triggers/triggers", "e2e/cri"), path, "serve", state], ready="ready"
    )
    attempts = 3000
    try:
        c = start_collector(
            w,
            {
                "runtimes": [{"api": "cri", "socket": path}],
                "metadata_wait_ms": 60000,
                "sandboxes": [{"label": "id"}],
            },
        )
        cg = w.new_cgroup(container_path(w, 0))
        act(
            w,
            cg,
            """
import socket
for i in range(%d):
    s = socket.socket()
    s.connect_ex(("10.77.0.4", 1))
    s.close()
"""
            % attempts,
        )
        for _ in range(600):
            if '"sandbox.started"' in open(c.path).read():
                break
            time.sleep(0.1)
        time.sleep(1)
        os.rmdir(cg)
        c.wait_for("sandbox.stopped")
        events = c.stop()
    finally:
        w.stop(server)
    (stopped,) = [e for e in events if e["opensandbox.event"] == "sandbox.stopped"]
    assert stopped["sandbox_id"] == "slow" and stopped["sandbox.connect.attempts"] == attempts, (
        stopped
    )
    dropped = {
        k: v for k, v in stopped.items() if k.startswith("sandpiper.dropped.too_many_waiting.")
    }
    # The kernel counts all events. Events that were read are delivered or reported as dropped.
    assert dropped and sum(dropped.values()) == stopped["sandpiper.dropped"], stopped
    assert (
        stopped["sandpiper.produced"]
        == stopped["sandpiper.delivered"] + stopped["sandpiper.dropped"]
    ), stopped
    assert stopped["sandpiper.delivered"] >= 4096, stopped
    assert any(e["opensandbox.event"] == "sandpiper.loss" for e in events)


@scenario()
def nsenter_process_joins_the_sandbox(w: World) -> None:
    """A process in the network namespace of one sandbox but outside its cgroup belongs to that
    sandbox and is marked. In the namespace of two sandboxes or of the host it is unwatched."""
    cg = w.new_cgroup("target")
    ns = w.tag + "own"
    sh("ip netns add " + ns)
    try:
        sh(f"ip -n {ns} link set lo up")
        sh(f"ip link add {w.tag}o netns {ns} type veth peer name {w.tag}p netns {w.server}")
        sh(
            f"ip -n {ns} addr add 10.93.0.2/24 dev {w.tag}o && "
            f"ip -n {ns} link set {w.tag}o up && "
            f"ip -n {ns} route add default via 10.93.0.1"
        )
        sh(
            f"ip -n {w.server} addr add 10.93.0.1/24 dev {w.tag}p && "
            f"ip -n {w.server} link set {w.tag}p up"
        )
        c = Collector(w, [cg])
        inside = ["nsenter", "--net=/run/netns/" + ns]
        resident = subprocess.Popen(
            [
                "/bin/sh",
                "-c",
                "echo $$ > %s/cgroup.procs && exec %s /bin/sleep 1000" % (cg, " ".join(inside)),
            ]
        )
        time.sleep(1.5)
        script = (
            "import sys; sys.path.insert(0, %r); import actor\nactor.tcp('10.77.0.4'); "
            "actor.lookup('in.test', 'A', server='10.77.0.1'); actor.run(['true', 'x']); "
            "actor.tcp('10.77.0.4', 1); actor.print_truth()"
        ) % HERE
        done = subprocess.run(
            [*inside, PYTHON, "-c", script],
            capture_output=True,
            timeout=60,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 0, done.stderr
        subprocess.run(["true", "of-the-host"], check=True)
        time.sleep(0.5)
        resident.kill()
        resident.wait()
        time.sleep(1.5)
        # No process of the sandbox is left there, so that other processes do not belong to it.
        subprocess.run([*inside, "true", "too-late"], check=True)
        events = c.stop()
    finally:
        sh("ip netns del " + ns)
    outbound = [e for e in events if e["opensandbox.event"] == "egress.outbound"]
    check_same(
        "outbound",
        [e.get("target.host") or (e["peer"], e["network.peer.port"]) for e in outbound],
        [("10.77.0.4", 8080), "in.test"],
    )
    failed = [e for e in events if e["opensandbox.event"] == "egress.failed"]
    assert [(e["network.peer.port"], e["error.type"]) for e in failed] == [(1, "refused")]
    assert all(e["sandbox.attribution"] == "namespace" for e in outbound + failed), (
        outbound + failed
    )
    ledger = {
        (e.get("target.host") or e["peer"], e["network.peer.port"]): e["network.io.sent"]
        for e in events
        if e["opensandbox.event"] == "egress.destination"
    }
    assert ledger == {("10.77.0.4", 8080): 4, ("in.test", 1): 0}, ledger
    execs = {
        args_of(e): e.get("sandbox.attribution")
        for e in events
        if e["opensandbox.event"] == "process.exec"
    }
    assert execs[("true", "x")] == "namespace" and execs[("/bin/sleep", "1000")] is None, execs
    assert not any("of-the-host" in a or "too-late" in a for a in execs), execs


@scenario()
def netns_released_after_removal(w: World) -> None:
    """A network namespace that outlives its sandbox is released: later processes there are
    unwatched. If only a part of a sandbox ends, the other parts keep the namespace."""
    cg = w.new_cgroup("removed")
    c = Collector(w, [cg])
    act(w, cg, "actor.lookup('mine.test', 'A')")
    os.rmdir(cg)
    act(w, w.new_cgroup("next"), "actor.lookup('next.test', 'A'); actor.run(['true', 'next'])")
    c.wait_for("sandbox.stopped")
    events = c.stop()
    check_same("names", egress_of(events, "removed")[0], ["mine.test"])
    assert not any("next" in args_of(e) for e in events if e["opensandbox.event"] == "process.exec")

    app, sidecar = w.new_cgroup("parts-app"), w.new_cgroup("parts-sidecar")
    c = Collector(w, [app + "=parts", sidecar + "=parts:sidecar"])
    act(w, app, "actor.lookup('app.test', 'A')")
    resident = act(
        w,
        sidecar,
        "actor.lookup('sidecar.test', 'A'); print('here', flush=True); sys.stdin.read()",
        wait=False,
    )
    assert resident.stdout.readline() == b"here\n"
    time.sleep(1)
    os.rmdir(app)
    time.sleep(3)  # until the collector has released the part
    act(w, w.cgroups + "/next", "actor.lookup('visitor.test', 'A')")
    resident.communicate(timeout=60)
    events = c.stop()
    outbound = {
        e["target.host"]: e.get("sandbox.attribution")
        for e in events
        if e["opensandbox.event"] == "egress.outbound"
    }
    assert outbound == {"app.test": None, "sidecar.test": None, "visitor.test": "namespace"}, (
        outbound
    )


def container_path(w: World, i: int) -> str:
    return "fake/docker-%064x.scope" % (0xABC000 + i)


class BadServer(threading.Thread):
    """A runtime that misbehaves on each connection in the way that `behaviour` names."""

    def __init__(self, path: str, behaviour: str) -> None:
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.behaviour, self.open_connections, self.count = behaviour, [], 0
        self.start()

    def run(self) -> None:
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s: socket.socket) -> None:
        try:
            if self.behaviour == "hangs":
                self.open_connections.append(s)
                return
            s.recv(65536)
            if self.behaviour == "closes half-way":
                s.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n[{"Id":')
            elif self.behaviour == "garbage":
                s.sendall(os.urandom(4096))
            elif self.behaviour == "no json":
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{{{[[\xff\xfe}")
            elif self.behaviour == "floods":
                s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(4096):
                    s.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            s.close()
        except OSError:
            pass


@scenario("userspace")
def misbehaving_runtimes_are_reported(w: World) -> None:
    """A runtime that hangs, closes early, floods or sends nonsense is reported once and delays no
    other. Paths alone still select sandboxes."""
    for behaviour in ("hangs", "closes half-way", "garbage", "no json", "floods"):
        for api in ("cri", "docker"):
            if w.slow and behaviour != "hangs":
                continue
            path = os.path.join(w.dir, "bad.sock")
            if os.path.exists(path):
                os.unlink(path)
            server = BadServer(path, behaviour)
            c = start_collector(
                w,
                {
                    "runtimes": [{"api": api, "socket": path}],
                    "metadata_wait_ms": 1000,
                    "sandboxes": [{"label": "never"}, {"cgroup": "/%s/fake/docker-" % w.tag}],
                },
            )
            cg = w.new_cgroup(container_path(w, 1))
            p = act(w, cg, "actor.tcp('10.77.0.4')", wait=False)
            out = p.communicate(timeout=60)[0]
            assert p.returncode == 0, out
            os.rmdir(cg)
            for _ in range(100):
                if '"sandbox.stopped"' in open(c.path).read():
                    break
                time.sleep(0.1)
            messages = [
                line for line in c.stderr_until_ready.decode().splitlines() if path in line
            ] or [c.wait_for_stderr(path)]
            events = c.stop()
            server.listener.close()
            assert {e["sandbox_id"] for e in events} == {os.path.basename(cg)}, (
                behaviour,
                api,
                c.stderr,
            )
            outbound = [e for e in events if e["opensandbox.event"] == "egress.outbound"]
            assert [e["peer"] for e in outbound] == [
                "10.77.0.4"
            ] and "container.name" not in outbound[0], (behaviour, api, outbound)
            assert outbound[0]["container.id"] == os.path.basename(cg)[7:-6]
            later = c.stderr[len(c.stderr_until_ready.decode()) :]
            assert (
                len(messages) + len([line for line in later.splitlines() if path in line]) <= 2
            ), (
                behaviour,
                api,
                messages,
                c.stderr,
            )
            # sandpiper does not query it without end.
            assert server.count < 400, (behaviour, api, server.count)


@scenario("userspace")
def hostile_labels_are_escaped(w: World) -> None:
    """Labels of 64 KiB, with newlines or invalid UTF-8 give valid records and distinct, correct
    ids."""
    state = os.path.join(w.dir, "cri-state.json")
    path = os.path.join(w.dir, "cri.sock")
    values = [
        "x" * 65536,
        "x" * 65535 + "y",
        "line\nbreak\r\n",
        "hex:fffe41c0af",
        "\\x41",
        "a" * 200,
        "..",
        "=;,\"'{}",
    ]
    containers = [
        {"id": "%064x" % (0xABC000 + i), "pod": "p%d" % i, "name": "n\n%d" % i, "image": "i" * 5000}
        for i in range(len(values))
    ]
    pods = [
        {
            "id": "p%d" % i,
            "name": "pod%d" % i,
            "namespace": "n",
            "uid": "u",
            "labels": {"id": v, "hex:ff00": "hex:ff"},
        }
        for i, v in enumerate(values)
    ]
    with open(state, "w") as f:
        json.dump({"pods": pods, "containers": containers}, f)
    server = w.start(
        [w.triggers.replace("triggers/triggers", "e2e/cri"), path, "serve", state], ready="ready"
    )
    try:
        c = start_collector(
            w, {"runtimes": [{"api": "cri", "socket": path}], "sandboxes": [{"label": "id"}]}
        )
        cgroups = []
        for i in range(len(values)):
            cg = w.new_cgroup(container_path(w, i))
            cgroups.append(cg)
            act(w, cg, "actor.tcp('10.77.0.4', %d)" % (1000 + i))
            os.rmdir(cg)
        time.sleep(3)
        events = c.stop()
    finally:
        w.stop(server)
    ids = {
        e["network.peer.port"]: e["sandbox_id"]
        for e in events
        if e["opensandbox.event"] == "egress.outbound"
    }
    assert len(ids) == len(values) and len(set(ids.values())) == len(values), ids
    assert (
        ids[1002] == "line\\x0abreak\\x0d\\x0a"
        and ids[1003] == "\\xff\\xfeA\\xc0\\xaf"
        and ids[1004] == "\\\\x41"
    ), ids
    assert ids[1005] == "a" * 200 and all(len(i) < 250 for i in ids.values())
    assert ids[1000][:160] == ids[1001][:160] == "x" * 160
    names = {e["k8s.container.name"] for e in events if e["opensandbox.event"] == "egress.outbound"}
    assert names == {"n\\x0a%d" % i for i in range(len(values))}


@scenario("userspace")
def identity_arrives_late_and_changes(w: World) -> None:
    """A pod of a pool is watched under its own name until its annotation names a sandbox, and then
    as that sandbox."""
    state = os.path.join(w.dir, "cri-state.json")
    path = os.path.join(w.dir, "cri.sock")

    def write(annotations: dict[str, str]) -> None:
        pods = [
            {
                "id": "p",
                "name": "pool-abc",
                "namespace": "n",
                "uid": "u",
                "labels": {"sandbox.opensandbox.io/pool-name": "pool"},
                "annotations": annotations,
            }
        ]
        with open(state + ".new", "w") as f:
            json.dump(
                {
                    "pods": pods,
                    "containers": [
                        {"id": "%064x" % 0xABC000, "pod": "p", "name": "sandbox", "image": "i"}
                    ],
                },
                f,
            )
        os.rename(state + ".new", state)

    write({})
    server = w.start(
        [w.triggers.replace("triggers/triggers", "e2e/cri"), path, "serve", state], ready="ready"
    )
    try:
        c = start_collector(w, {"runtimes": [{"api": "cri", "socket": path}]})
        cg = w.new_cgroup(container_path(w, 0))
        for turn, annotations in enumerate(
            ({}, {"opensandbox.io/id": "first"}, {"opensandbox.io/id": "second"})
        ):
            write(annotations)
            if turn:
                for _ in range(300):
                    if (
                        '"sandbox_id":"%s"' % annotations["opensandbox.io/id"]
                        in open(c.path).read()
                    ):
                        break
                    time.sleep(0.1)
            act(w, cg, "actor.tcp('10.77.0.4', %d)" % (1000 + turn))
        os.rmdir(cg)
        time.sleep(2.5)
        events = c.stop()
    finally:
        w.stop(server)
    ids = {
        e["network.peer.port"]: e["sandbox_id"]
        for e in events
        if e["opensandbox.event"] == "egress.outbound"
    }
    assert ids == {1000: "pool-abc", 1001: "first", 1002: "second"}, ids
    stopped = {
        e["sandbox_id"]: e["sandbox.connect.attempts"]
        for e in events
        if e["opensandbox.event"] == "sandbox.stopped"
    }
    assert stopped == {"pool-abc": 1, "first": 1, "second": 1}, stopped
    assert all(
        e["sandpiper.produced"] == e["sandpiper.delivered"]
        for e in events
        if e["opensandbox.event"] == "sandbox.stopped"
    ), events


@scenario("userspace")
def two_runtimes_claim_one_container(w: World) -> None:
    servers, sockets = [], []
    for i in range(2):
        state, path = os.path.join(w.dir, "state%d.json" % i), os.path.join(w.dir, "cri%d.sock" % i)
        with open(state, "w") as f:
            json.dump(
                {
                    "pods": [
                        {
                            "id": "p",
                            "name": "pod%d" % i,
                            "namespace": "n",
                            "uid": "u",
                            "labels": {"id": "from-%d" % i},
                        }
                    ],
                    "containers": [
                        {"id": "%064x" % 0xABC000, "pod": "p", "name": "c", "image": "i"}
                    ],
                    "delay_ms": 300 * i,
                },
                f,
            )
        servers.append(
            w.start(
                [w.triggers.replace("triggers/triggers", "e2e/cri"), path, "serve", state],
                ready="ready",
            )
        )
        sockets.append({"api": "cri", "socket": path})
    try:
        c = start_collector(w, {"runtimes": sockets, "sandboxes": [{"label": "id"}]})
        cg = w.new_cgroup(container_path(w, 0))
        for port in (1, 2):
            act(w, cg, "actor.tcp('10.77.0.4', %d)" % port)
            time.sleep(2)
        os.rmdir(cg)
        time.sleep(2)
        events = c.stop()
    finally:
        for server in servers:
            w.stop(server)
    assert {e["sandbox_id"] for e in events} == {"from-0"}, {e["sandbox_id"] for e in events}
    assert c.stderr.count("two runtimes report the same container") == 1, c.stderr


@scenario("userspace")
def invalid_configuration_is_one_error(w: World) -> None:
    for text, parts in (
        ("no_such_key: 1\n", ("bad.yaml:1", "no_such_key", "sandboxes")),
        (
            "window_s: 5\nsandboxes:\n  - label: a\n    colour: red\n",
            ("bad.yaml:4", "sandboxes", "colour", "annotation"),
        ),
        ("sandboxes:\n  - cgroup: '(('\n", ("bad.yaml:2", "cgroup", "invalid regular expression")),
        ("sandboxes:\n  - role: app\n", ("bad.yaml:2", "label")),
        ("sandboxes:\n  - label: a\n    unit: b\n", ("bad.yaml:3", "exactly one of")),
        ("window_s: many\n", ("bad.yaml:1", "window_s", "whole number")),
        ("window_s: 0\n", ("bad.yaml:1", "window_s", "between 1 and")),
        ("ring_bytes: 5000\n", ("bad.yaml:1", "ring_bytes", "power of two")),
        ("runtimes:\n  - api: rkt\n    socket: /x\n", ("bad.yaml:2", "api", "cri")),
        ("a: [1\n", ("bad.yaml:2",)),
        ("- 1\n", ("bad.yaml:1", "keys to values")),
    ):
        path = os.path.join(w.dir, "bad.yaml")
        with open(path, "w") as f:
            f.write(text)
        done = subprocess.run(
            [w.sandpiper, "run", "--config", path], capture_output=True, timeout=60
        )
        messages = done.stderr.decode()
        assert (
            done.returncode == 2
            and messages.count("\n") == 1
            and path in messages
            and all(x in messages for x in parts)
        ), (text, messages)
    done = subprocess.run(
        [w.sandpiper, "run", "--config", "/no/such.yaml"], capture_output=True, timeout=60
    )
    assert done.returncode == 2 and b"/no/such.yaml" in done.stderr, done.stderr
    done = subprocess.run(
        [w.sandpiper, "run"],
        capture_output=True,
        timeout=60,
        env={**os.environ, "SANDPIPER_SANDBOXES": "[{label: 5, x: 1}]"},
    )
    assert done.returncode == 2 and b"SANDPIPER_SANDBOXES" in done.stderr, done.stderr
    done = subprocess.run(
        [w.sandpiper, "status", "--socket", w.dir + "/absent.sock"], capture_output=True, timeout=60
    )
    assert done.returncode == 1 and b"no collector answers" in done.stderr, done.stderr


@scenario("userspace")
def flag_overrides_environment_overrides_file(w: World) -> None:
    os.makedirs(w.cgroups + "/prec")
    a, b, f = (w.new_cgroup("prec/" + n) for n in ("a", "b", "f"))
    path = os.path.join(w.dir, "prec.yaml")
    with open(path, "w") as out:
        json.dump({"cgroup": [f + "=file"]}, out)
    for options, env, want in (
        ((), {}, "file"),
        ((), {"SANDPIPER_CGROUP": a + "=env"}, "env"),
        (("--cgroup", b + "=flag"), {"SANDPIPER_CGROUP": a + "=env"}, "flag"),
    ):
        events = Collector(w, [], options=("--config", path, *options), env=env).stop()
        assert {e["sandbox_id"] for e in events} == {want}, (want, events)


@scenario()
def named_cgroup_below_a_discovered_one(w: World) -> None:
    """The parent may turn out to be a sandbox or unwatched."""
    for rules, is_parent_selected in (
        ([{"label": "never"}], False),
        ([{"cgroup": "/%s/fake/docker-" % w.tag}], True),
    ):
        outer = w.new_cgroup(container_path(w, 0))
        inner, other = (
            w.new_cgroup(container_path(w, 0) + "/inner"),
            w.new_cgroup(container_path(w, 0) + "/other"),
        )
        c = start_collector(
            w, {"runtimes": [], "sandboxes": rules}, options=("--cgroup", inner + "=own")
        )
        act(w, inner, "actor.tcp('10.77.0.4', 1001)")
        act(w, other, "actor.tcp('10.77.0.4', 1002)")
        deeper = w.new_cgroup(container_path(w, 0) + "/inner/deeper")
        act(w, deeper, "actor.tcp('10.77.0.4', 1003)")
        events = c.stop()
        for cg in (deeper, inner, other, outer):
            os.rmdir(cg)
        ports = {
            e["network.peer.port"]: e["sandbox_id"]
            for e in events
            if e["opensandbox.event"] == "egress.outbound" and "sandbox.attribution" not in e
        }
        want = {
            1001: "own",
            1003: "own",
            **({1002: os.path.basename(outer)} if is_parent_selected else {}),
        }
        assert ports == want, (rules, ports)


@scenario()
def lost_cgroup_rmdir_event(w: World) -> None:
    """The ring is full when the cgroup is removed: the sandbox ends, and reports its losses."""
    cg = w.new_cgroup("unreported")
    c = Collector(w, [cg], options=("--critical-ring-bytes", "4K", "--window-s", "1"))
    c.process.send_signal(signal.SIGSTOP)
    act(w, cg, "actor.run(['true'])")
    # Each removal below has an event as large as that of `cg`, so that the ring fills up.
    for i in range(200):
        os.rmdir(w.new_cgroup("unreported/%d" % i))
    os.rmdir(cg)
    c.process.send_signal(signal.SIGCONT)
    c.wait_for("sandbox.stopped")
    before = open(c.path).read()
    events = c.stop()
    assert before.count('"sandbox.stopped"') == 1
    (stopped,) = [e for e in events if e["opensandbox.event"] == "sandbox.stopped"]
    assert stopped.get("sandpiper.dropped.ring_full.cgroup_gone", 0) > 100, stopped
    assert (
        stopped["sandpiper.produced"]
        == stopped["sandpiper.delivered"] + stopped["sandpiper.dropped"]
    ), stopped


@scenario()
def runtime_events_name_removed_containers(w: World) -> None:
    """An event may describe a container that is removed before it is asked for."""
    state, path = os.path.join(w.dir, "cri-state.json"), os.path.join(w.dir, "cri.sock")
    with open(state, "w") as f:
        json.dump(
            {
                "pods": [],
                "containers": [],
                "events": [
                    {
                        "id": "%064x" % 0xABC000,
                        "name": "c",
                        "image": "i",
                        "pod": {
                            "name": "pod",
                            "namespace": "n",
                            "uid": "u",
                            "labels": {"id": "from-event"},
                        },
                    }
                ],
            },
            f,
        )
    server = w.start(
        [w.triggers.replace("triggers/triggers", "e2e/cri"), path, "serve", state], ready="ready"
    )
    try:
        c = start_collector(
            w, {"runtimes": [{"api": "cri", "socket": path}], "sandboxes": [{"label": "id"}]}
        )
        cg = w.new_cgroup(container_path(w, 0))
        act(w, cg, "actor.tcp('10.77.0.4')")
        c.wait_for("egress.outbound")
        os.rmdir(cg)
        events = c.stop()
    finally:
        w.stop(server)
    (outbound,) = [e for e in events if e["opensandbox.event"] == "egress.outbound"]
    assert (outbound["sandbox_id"], outbound["k8s.container.name"], outbound["k8s.pod.name"]) == (
        "from-event",
        "c",
        "pod",
    ), outbound


@scenario("userspace")
def slow_runtime_is_asked_for_one_list(w: World) -> None:
    """Containers start faster than the runtime answers, and end soon. Single queries would reach
    the last ones too late."""
    state, path, count, lifetime = (
        os.path.join(w.dir, "cri-state.json"),
        os.path.join(w.dir, "cri.sock"),
        60,
        24,
    )

    def write(last: int) -> None:
        existing = range(max(0, last - lifetime), last + 1)
        with open(state + ".new", "w") as f:
            json.dump(
                {
                    "delay_ms": 200,
                    "pods": [
                        {
                            "id": "p%d" % i,
                            "name": "pod%d" % i,
                            "namespace": "n",
                            "uid": "u",
                            "labels": {"id": "slow-%d" % i},
                        }
                        for i in existing
                    ],
                    "containers": [
                        {
                            "id": "%064x" % (0xABC000 + i),
                            "pod": "p%d" % i,
                            "name": "c%d" % i,
                            "image": "i",
                        }
                        for i in existing
                    ],
                },
                f,
            )
        os.rename(state + ".new", state)

    write(-1)
    server = w.start(
        [w.triggers.replace("triggers/triggers", "e2e/cri"), path, "serve", state], ready="ready"
    )
    try:
        c = start_collector(
            w, {"runtimes": [{"api": "cri", "socket": path}], "sandboxes": [{"label": "id"}]}
        )
        for i in range(count):
            write(i)
            cg = w.new_cgroup(container_path(w, i))
            p = w.start(
                [w.triggers, "flood-connect", "10.77.0.4", str(1000 + i), "1"],
                ns=w.client,
                cgroup=cg,
            )
            assert p.wait(timeout=60) == 0
            w.stop(p)
            time.sleep(0.05)
            os.rmdir(cg)
        time.sleep(8)
        events = c.stop()
    finally:
        w.stop(server)
    ids = {
        e["network.peer.port"]: (e["sandbox_id"], e["k8s.container.name"])
        for e in events
        if e["opensandbox.event"] == "egress.outbound"
    }
    assert ids == {1000 + i: ("slow-%d" % i, "c%d" % i) for i in range(count)}, (
        len(ids),
        ids,
    )
