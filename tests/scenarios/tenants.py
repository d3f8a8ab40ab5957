# SPDX-License-Identifier: Apache-2.0
"""Other users of the same hooks: the programs of another collector keep working beside ours, and
ours beside theirs, in every order of start and stop."""

from __future__ import annotations

import json
import os
import subprocess

from attribution import Collector, act, egress_of
from checks import check_same
from registry import Skip, scenario
from world import Event, World, sh

TAGS = ("linux-6.1", "linux-6.12", "linux-sid")

PEERS_OF_ACTIONS = ["10.77.0.3", "10.77.0.3"]
ACTIONS = (
    "actor.tcp('10.77.0.3', 8080); actor.lookup('tenant.test', 'A'); actor.tcp('10.77.0.3', 80)"
)


def check(w: World, events: list[Event], name: str, rounds: int = 1) -> None:
    hosts, peers, _ = egress_of(events, name)
    check_same("peers of " + name, peers, PEERS_OF_ACTIONS * rounds)
    check_same("names of " + name, hosts, ["tenant.test"] * rounds)


@scenario()
def another_collector_on_the_same_cgroups(w: World) -> None:
    """Two sandpipers, each with its programs at the root, start and stop in either order. Each
    records everything of its time."""
    for first_ends_first in (True, False):
        cg = w.new_cgroup("shared-%d" % first_ends_first)
        name = os.path.basename(cg)
        first = Collector(w, [cg], options=["--socket", w.dir + "/one.sock"])
        act(w, cg, ACTIONS)
        second = Collector(w, [cg], options=["--socket", w.dir + "/two.sock"])
        act(w, cg, ACTIONS)
        (ended_first, ended_last) = (first, second) if first_ends_first else (second, first)
        check(w, ended_first.stop(), name, rounds=2 if ended_first is first else 1)
        act(w, cg, ACTIONS)
        check(w, ended_last.stop(), name, rounds=3 if ended_last is first else 2)


def counter(w: World, ns: str | None, device: str) -> int:
    """The packets that another tenant's filter on a device has counted."""
    out = subprocess.run(
        ["tc", "-n", ns, "-s", "-j", "filter", "show", "dev", device, "ingress"],
        capture_output=True,
        check=True,
    ).stdout
    return [
        a["stats"]["packets"]
        for f in json.loads(out)
        for a in f.get("options", {}).get("actions", [])
    ]


@scenario()
def another_filter_on_the_same_device(w: World) -> None:
    """A tc filter of another tenant counts packets on the veth of a sandbox, before, beside and
    after ours. Our records are the same with and without it."""
    ns, outer = w.tag + "guest", w.tag + "g0"
    sh("ip netns add " + ns)
    try:
        sh(f"ip link add {w.tag}g1 netns {ns} type veth peer name {outer} netns {w.server}")
        sh(
            f"ip -n {ns} addr add 10.94.0.2/24 dev {w.tag}g1 && "
            f"ip -n {ns} link set {w.tag}g1 up && ip -n {ns} link set lo up && "
            f"ip -n {ns} route add default via 10.94.0.1"
        )
        sh(
            f"ip -n {w.server} addr add 10.94.0.1/24 dev {outer} && "
            f"ip -n {w.server} link set {outer} up"
        )

        def connect() -> None:
            code = (
                "import socket; s = socket.create_connection(('10.77.0.3', 8080), "
                "10); s.send(b'x'); s.recv(1)"
            )
            subprocess.run(
                ["nsenter", "--net=/run/netns/" + ns, "python3", "-c", code], check=True, timeout=60
            )

        def attach_filter() -> None:
            sh(f"tc -n {w.server} qdisc add dev {outer} clsact")
            if subprocess.run(
                f"tc -n {w.server} filter add dev {outer} ingress matchall action pass", shell=True
            ).returncode:
                raise Skip("this kernel has no tc classifier; guests of the vm tier have one")

        def watch() -> Collector:
            return Collector(
                w, [], options=["--device", "/run/netns/%s:%s=guest" % (w.server, outer)]
            )

        # The filter is attached while sandpiper runs, and stays when sandpiper ends.
        c = watch()
        connect()
        attach_filter()
        connect()
        (beside,) = counter(w, w.server, outer)
        check_same("peers", egress_of(c.stop(), "guest")[1], ["10.77.0.3"] * 2)
        connect()
        (after,) = counter(w, w.server, outer)
        assert 0 < beside < after, (beside, after)
        # sandpiper starts while the filter is attached, and the filter is removed first.
        c = watch()
        connect()
        (again,) = counter(w, w.server, outer)
        assert again > after, (after, again)
        sh(f"tc -n {w.server} qdisc del dev {outer} clsact")
        connect()
        check_same("peers", egress_of(c.stop(), "guest")[1], ["10.77.0.3"] * 2)
    finally:
        sh("ip netns del " + ns)
