# SPDX-License-Identifier: Apache-2.0
"""Containers of a real Podman and a real Docker, over the Docker Engine API."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from containers import docker, podman
from kube import records_of, start_collector
from registry import scenario
from world import World

TAGS = ("userspace",)


@scenario()
def labels_sidecars_and_status(w: World) -> None:
    """The layout of OpenSandbox: a labelled sidecar owns the network, and the application shares
    it."""
    for engine in (podman, docker):
        labels_sidecars_and_status_of(w, engine)


def labels_sidecars_and_status_of(w: World, engine: Any) -> None:
    with engine(w) as runtime:
        socket = w.dir + "/api.sock"
        c = start_collector(w, runtime, options=("--socket", socket))
        net = ("--network", "host")  # the engine's own namespace
        sidecar = runtime.run(
            "sandbox-egress-x",
            "/bin/nc -w 1 10.77.0.4 8081 </dev/null; sleep 1000",
            "--label",
            "opensandbox.io/egress-sidecar-for=sb-x",
            *net,
        )
        app = runtime.run(
            "sandbox-x",
            "/bin/nc -w 1 10.77.0.4 8080 </dev/null; sleep 1000",
            "--label",
            "opensandbox.io/id=sb-x",
            "--network",
            "container:" + sidecar,
        )
        runtime.run("unlabelled", "/bin/true; sleep 1000", "--network", "none")
        c.wait_for("egress.outbound")
        time.sleep(3)
        status = json.loads(
            subprocess.check_output([w.sandpiper, "status", "--socket", socket, "--format", "json"])
        )
        table = subprocess.check_output([w.sandpiper, "status", "--socket", socket]).decode()
        for x in (app, sidecar):
            runtime("rm", "--force", x)
        c.wait_for("sandbox.stopped")
        events = c.stop()
    assert {e["sandbox_id"] for e in events} == {"sb-x"}, {e["sandbox_id"] for e in events}
    recorded = {e["network.peer.port"]: e for e in records_of(events, "sb-x", "egress.outbound")}
    assert set(recorded) == {8080, 8081}, recorded
    for port, role, container, name in (
        (8080, "app", app, "sandbox-x"),
        (8081, "sidecar", sidecar, "sandbox-egress-x"),
    ):
        want = {
            "sandbox.role": role,
            "container.id": container,
            "container.name": name,
            "container.image.name": "localhost/box:1",
        }
        assert {k: recorded[port].get(k) for k in want} == want, recorded[port]
    (sandbox,) = status["sandboxes"]
    assert (sandbox["id"], sandbox["runtime"], sandbox["attempts"], sandbox["dropped"]) == (
        "sb-x",
        engine.__name__,
        "2",
        "0",
    ), sandbox
    assert {(m["role"], m["container_id"]) for m in sandbox["members"]} == {
        ("app", app),
        ("sidecar", sidecar),
    }
    assert "sb-x" in table and "app" in table and engine.__name__ in table, table


@scenario()
def unlabelled_sidecar_joins_by_network(w: World) -> None:
    for sidecar_first in (True, False):
        with podman(w) as runtime:
            c = start_collector(w, runtime)
            net = ("--network", "host")
            if sidecar_first:
                proxy = runtime.run(
                    "proxy", "sleep 3; /bin/nc -w 1 10.77.0.4 8081 </dev/null; sleep 1000", *net
                )
                runtime.run(
                    "app",
                    "sleep 1000",
                    "--label",
                    "opensandbox.io/id=sb-y",
                    "--network",
                    "container:" + proxy,
                )
            else:
                app = runtime.run("app", "sleep 1000", "--label", "opensandbox.io/id=sb-y", *net)
                runtime.run(
                    "proxy",
                    "/bin/nc -w 1 10.77.0.4 8081 </dev/null; sleep 1000",
                    "--network",
                    "container:" + app,
                )
            c.wait_for("egress.outbound")
            events = c.stop()
        (outbound,) = records_of(events, "sb-y", "egress.outbound")
        assert (
            outbound["sandbox.role"],
            outbound["container.name"],
            outbound["network.peer.port"],
        ) == ("sidecar", "proxy", 8081), outbound


@scenario()
def containers_removed_at_once(w: World) -> None:
    """With --rm the runtime may have removed a container before it is asked. Its events still name
    it."""
    for engine in (podman, docker):
        removed_at_once(w, engine, 5 if w.slow else 30)


def removed_at_once(w: World, engine: Any, count: int) -> None:
    with engine(w) as runtime:
        c = start_collector(w, runtime)
        for i in range(count):
            runtime.run(
                "rm%d" % i,
                "exec /bin/nc -w 1 10.77.0.4 %d </dev/null" % (20000 + i),
                "--rm",
                "--label",
                "opensandbox.io/id=sb-%d" % i,
                "--network",
                "host",
            )
        for _ in range(200):
            if open(c.path).read().count('"sandbox.stopped"') == count:
                break
            time.sleep(0.1)
        events = c.stop()
    nameless = [
        e
        for e in events
        if e["opensandbox.event"] == "egress.outbound" and "container.name" not in e
    ]
    assert not nameless, nameless
    recorded = {
        e["network.peer.port"]: (e["sandbox_id"], e["container.name"])
        for e in events
        if e["opensandbox.event"] == "egress.outbound"
    }
    want = {20000 + i: ("sb-%d" % i, "rm%d" % i) for i in range(count)}
    assert recorded == want, [
        (p, t, recorded.get(p)) for p, t in want.items() if recorded.get(p) != t
    ][:3]


@scenario()
def every_container_is_a_sandbox(w: World) -> None:
    with podman(w) as runtime:
        before = runtime.run("before", "sleep 1000", "--network", "none")
        c = start_collector(w, runtime, options=("--all-containers",))
        after = runtime.run("after", "/bin/true; sleep 1000", "--network", "none")
        time.sleep(1.5)
        events = c.stop()
    assert {e["sandbox_id"] for e in events} == {before, after}, (
        {e["sandbox_id"] for e in events},
        before,
        after,
    )
    names = {
        e["container.name"]
        for e in events
        if e["opensandbox.event"] == "process.exec" and e["sandbox_id"] == after
    }
    assert names == {"after"}, names
