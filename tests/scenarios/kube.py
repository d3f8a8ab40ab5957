# SPDX-License-Identifier: Apache-2.0
"""Pods of a real containerd, created through the CRI as kubelet does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from attribution import Collector
from checks import args_of
from containers import Containerd, containerd
from registry import scenario
from world import Event, World


def start_collector(
    w: World, runtime: Containerd, options: Sequence[str] = (), **config: Any
) -> Collector:
    path = os.path.join(w.dir, "config-%d.yaml" % time.monotonic_ns())
    with open(path, "w") as f:
        json.dump({**runtime.config, **config}, f)
    return Collector(w, [], options=("--config", path, *options))


def records_of(events: list[Event], sandbox: str, kind: str | None = None) -> list[Event]:
    return [
        e
        for e in events
        if e["sandbox_id"] == sandbox and (kind is None or e["opensandbox.event"] == kind)
    ]


@scenario()
def pod_is_one_sandbox(w: World) -> None:
    """A pod has a pause container, an application and a sidecar, each with its role and names."""
    with containerd(w) as runtime:
        c = start_collector(w, runtime)
        pod = runtime.pod("p1", labels={"opensandbox.io/id": "sb-1"})
        other = runtime.pod("p2", labels={"app": "something-else"})
        app = runtime.container(
            pod, "sandbox", "/bin/nc -w 2 10.77.0.4 8080 </dev/null; sleep 1000"
        )
        sidecar = runtime.container(pod, "egress", "/bin/nslookup one.test 10.77.0.1; sleep 1000")
        unwatched = runtime.container(
            other, "app", "/bin/nc -w 2 10.77.0.4 8080 </dev/null; sleep 1000"
        )
        c.wait_for("egress.outbound")
        time.sleep(1)
        for x in (app, sidecar, unwatched):
            runtime.cri("remove", x)
        runtime.remove_pod(pod)
        runtime.remove_pod(other)
        c.wait_for("sandbox.stopped")
        events = c.stop()
    assert {e["sandbox_id"] for e in events} == {"sb-1"}, {e["sandbox_id"] for e in events}
    assert (
        events[0]["opensandbox.event"] == "sandbox.started"
        and len(records_of(events, "sb-1", "sandbox.stopped")) == 1
    )
    (peer,) = [
        e
        for e in events
        if e.get("peer") == "10.77.0.4" and e["opensandbox.event"] == "egress.outbound"
    ]
    lookups = [
        e
        for e in events
        if e.get("target.host") == "one.test" and e["opensandbox.event"] == "egress.outbound"
    ]
    assert lookups, events
    for e, role, container, name in (
        (peer, "app", app, "sandbox"),
        (lookups[0], "sidecar", sidecar, "egress"),
    ):
        want = {
            "sandbox.role": role,
            "container.id": container,
            "k8s.container.name": name,
            "k8s.pod.name": "p1",
            "k8s.pod.uid": "p1-uid",
            "k8s.namespace.name": "agents",
            "container.image.name": "localhost/box:1",
        }
        assert {k: e.get(k) for k in want} == want, (e, want)
    execs = records_of(events, "sb-1", "process.exec")
    assert {e.get("sandbox.role") for e in execs} == {"pause", "app", "sidecar"}, [
        (e.get("sandbox.role"), args_of(e)) for e in execs
    ]


@scenario("userspace")
def short_lived_containers_are_named(w: World) -> None:
    """Containers that connect once and end: each connection has its sandbox, container and name."""
    count, pods = (20, 2) if w.slow else (200, 10)
    truth = {}
    with containerd(w) as runtime:
        c = start_collector(w, runtime)
        created = [
            runtime.pod("pod%d" % i, labels={"opensandbox.io/id": "sb-%d" % i}) for i in range(pods)
        ]

        def run_container(i: int) -> None:
            pod = i % pods
            port = 10000 + i
            x = runtime.container(
                created[pod], "c%d" % i, "exec /bin/nc -w 1 10.77.0.4 %d </dev/null" % port
            )
            truth[port] = ("sb-%d" % pod, x, "c%d" % i)
            runtime.wait_end(x)  # a removal would kill it before it connected
            runtime.cri("remove", x)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run_container, range(count)))
        for pod in created:
            runtime.remove_pod(pod)
        for _ in range(100):
            if open(c.path).read().count('"sandbox.stopped"') == pods:
                break
            time.sleep(0.2)
        events = c.stop()
    recorded = {
        e["network.peer.port"]: (e["sandbox_id"], e["container.id"], e["k8s.container.name"])
        for e in events
        if e["opensandbox.event"] == "egress.outbound"
    }
    assert len(truth) == count and recorded == truth, (
        len(recorded),
        [(p, t, recorded.get(p)) for p, t in truth.items() if recorded.get(p) != t][:3],
    )
    assert len([e for e in events if e["opensandbox.event"] == "egress.outbound"]) == count
    stopped = [e for e in events if e["opensandbox.event"] == "sandbox.stopped"]
    assert sum(e["sandbox.connect.attempts"] for e in stopped) == count and len(stopped) == pods
    assert not [e for e in events if e["opensandbox.event"] == "sandpiper.loss"]


@scenario("userspace")
def restarted_container_and_reused_id(w: World) -> None:
    """A container that restarts in its pod is the same sandbox. An id that is used again after its
    end is a new one."""
    with containerd(w) as runtime:
        c = start_collector(w, runtime)
        for turn in range(2):
            pod = runtime.pod(
                "again", labels={"opensandbox.io/id": "sb-again"}, uid="uid-%d" % turn
            )
            for i in range(2):
                x = runtime.container(
                    pod,
                    "app",
                    "/bin/echo %d; sleep 1000" % (turn * 2 + i),
                )
                time.sleep(0.5)
                runtime.cri("stop", x)
                runtime.cri("remove", x)
            runtime.remove_pod(pod)
            for _ in range(100):
                if open(c.path).read().count('"sandbox.stopped"') == turn + 1:
                    break
                time.sleep(0.1)
        events = c.stop()
    kinds = [
        e["opensandbox.event"] for e in events if e["opensandbox.event"].startswith("sandbox.")
    ]
    assert kinds == ["sandbox.started", "sandbox.stopped"] * 2, kinds
    uids = [e["k8s.pod.uid"] for e in events if e["opensandbox.event"] == "process.exec"]
    assert uids == sorted(uids) and set(uids) == {"uid-0", "uid-1"}
    assert all(
        e["sandpiper.produced"] == e["sandpiper.delivered"]
        for e in events
        if e["opensandbox.event"] == "sandbox.stopped"
    )


@scenario("userspace")
def configured_rules_select_pods(w: World) -> None:
    """The first rule that matches wins. Namespaces and labels narrow a rule. Containers from before
    the start are selected too."""
    rules = [
        {"annotation": "id", "namespace": "agents", "labels": {"tier": "gold"}},
        {"cgroup": "/special-(?<id>[a-z]+)/"},
        {"label": "fallback", "role": "sidecar"},
    ]
    with containerd(w) as runtime:

        def start(name: str, script: str = "exec /bin/sleep 1000", **spec: Any) -> Any:
            pod = runtime.pod(name, **spec)
            runtime.container(pod, "app", script)
            return pod

        pods = [
            start("gold", labels={"tier": "gold"}, annotations={"id": "a-gold"}),
            start(
                "silver",
                labels={"tier": "silver", "fallback": "f-silver"},
                annotations={"id": "a-silver"},
            ),
            start(
                "elsewhere",
                namespace="others",
                labels={"tier": "gold"},
                annotations={"id": "a-elsewhere"},
            ),
        ]
        c = start_collector(w, runtime, sandboxes=rules)
        pods.append(start("late", labels={"fallback": "f-late", "tier": "gold"}))
        pods.append(start("path", cgroup_parent="/%s/special-case/x" % w.tag))
        time.sleep(2)
        for pod in pods:
            runtime.remove_pod(pod)
        events = c.stop()
    assert {e["sandbox_id"] for e in events} == {"a-gold", "f-silver", "f-late", "case"}, {
        e["sandbox_id"] for e in events
    }
    roles = {
        e["sandbox_id"]: e.get("sandbox.role")
        for e in events
        if e["opensandbox.event"] == "process.exec" and e.get("k8s.container.name")
    }
    assert roles == {"f-late": "sidecar", "case": "app"}, roles


@scenario("userspace")
def runtime_starts_late_and_stops(w: World) -> None:
    """A socket without a listener is reported once. Containers that start after the runtime are
    named."""
    with containerd(w) as runtime:
        away = runtime.socket + ".away"
        os.rename(runtime.socket, away)
        c = start_collector(w, runtime)
        time.sleep(1.5)
        os.rename(away, runtime.socket)
        time.sleep(3)
        pod = runtime.pod("p", labels={"opensandbox.io/id": "sb-late"})
        runtime.container(pod, "app", "exec /bin/nc -w 1 10.77.0.4 8080 </dev/null")
        c.wait_for("egress.outbound")
        runtime.remove_pod(pod)
        events = c.stop()
    assert {e["sandbox_id"] for e in events} == {"sb-late"}
    assert len([line for line in c.stderr.splitlines() if runtime.socket in line]) == 1, c.stderr
