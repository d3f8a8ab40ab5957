"""Pods of a real containerd, through the interface that kubelet uses."""

import json
import os
import time

from attribution import Collector
from checks import args_of, same
from containers import containerd
from registry import scenario


def collector(w, runtime, options=(), **config):
    path = os.path.join(w.dir, "config-%d.yaml" % time.monotonic_ns())
    with open(path, "w") as f:
        json.dump({**runtime.config, **config}, f)
    return Collector(w, [], options=("--config", path, *options))


def of(events, sandbox, kind=None):
    return [e for e in events if e["sandbox_id"] == sandbox and (kind is None or e["opensandbox.event"] == kind)]


@scenario
def a_pod_is_one_sandbox(w):
    """Pause, application and sidecar, each with its role and its names."""
    with containerd(w) as runtime:
        c = collector(w, runtime)
        pod = runtime.pod("p1", labels={"opensandbox.io/id": "sb-1"})
        other = runtime.pod("p2", labels={"app": "something-else"})
        app = runtime.container(pod, "sandbox", "/bin/nc -w 2 10.77.0.4 8080 </dev/null; sleep 1000")
        sidecar = runtime.container(pod, "egress", "/bin/nslookup one.test 10.77.0.1; sleep 1000")
        nobody = runtime.container(other, "app", "/bin/nc -w 2 10.77.0.4 8080 </dev/null; sleep 1000")
        c.wait_for("egress.outbound")
        time.sleep(1)
        for x in (app, sidecar, nobody):
            runtime.cri("remove", x)
        runtime.remove_pod(pod)
        runtime.remove_pod(other)
        c.wait_for("sandbox.stopped")
        events = c.stop()
    assert {e["sandbox_id"] for e in events} == {"sb-1"}, {e["sandbox_id"] for e in events}
    assert events[0]["opensandbox.event"] == "sandbox.started" and len(of(events, "sb-1", "sandbox.stopped")) == 1
    peer, = [e for e in events if e.get("peer") == "10.77.0.4" and e["opensandbox.event"] == "egress.outbound"]
    lookups = [e for e in events if e.get("target.host") == "one.test" and e["opensandbox.event"] == "egress.outbound"]
    assert lookups, events
    for e, role, container, name in ((peer, "app", app, "sandbox"), (lookups[0], "sidecar", sidecar, "egress")):
        want = {"sandbox.role": role, "container.id": container, "k8s.container.name": name, "k8s.pod.name": "p1", "k8s.pod.uid": "p1-uid",
                "k8s.namespace.name": "agents", "container.image.name": "localhost/box:1"}
        assert {k: e.get(k) for k in want} == want, (e, want)
    execs = of(events, "sb-1", "process.exec")
    assert {e.get("sandbox.role") for e in execs} == {"pause", "app", "sidecar"}, [(e.get("sandbox.role"), args_of(e)) for e in execs]
