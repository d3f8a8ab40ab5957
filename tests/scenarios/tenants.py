# SPDX-License-Identifier: Apache-2.0
"""Other users of the same hooks: another collector's programs, attached beside ours, keep working, and ours too, whoever comes and goes first."""

import json
import os
import subprocess

from attribution import Collector, act, told
from checks import same
from registry import Skip, scenario
from world import World, sh

TAGS = ("linux-6.1", "linux-6.12", "linux-sid")

PEERS = ["10.77.0.3", "10.77.0.3"]
WORK = "actor.tcp('10.77.0.3', 8080); actor.lookup('tenant.test', 'A'); actor.tcp('10.77.0.3', 80)"


def check(w: World, events, name, rounds=1) -> None:
    hosts, peers, _ = told(events, name)
    same("peers of " + name, peers, PEERS * rounds)
    same("names of " + name, hosts, ["tenant.test"] * rounds)


@scenario()
def another_collector_on_the_same_cgroups(w: World) -> None:
    """Two of sandpiper, each with programs of its own at the root: started and stopped in either order, each tells all that happened while it was there."""
    for first_goes_first in (True, False):
        cg = w.new_cgroup("shared-%d" % first_goes_first)
        name = os.path.basename(cg)
        one = Collector(w, [cg], options=["--socket", w.dir + "/one.sock"])
        act(w, cg, WORK)
        two = Collector(w, [cg], options=["--socket", w.dir + "/two.sock"])
        act(w, cg, WORK)
        (goes, stays) = (one, two) if first_goes_first else (two, one)
        check(w, goes.stop(), name, rounds=2 if goes is one else 1)
        act(w, cg, WORK)
        check(w, stays.stop(), name, rounds=3 if stays is one else 2)


def counter(w: World, ns, device):
    """Packets that a filter of another tenant on a device has counted."""
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
    """A tc filter that counts, on the device of a sandbox behind a veth: it counts before, beside and after us; we tell the same with and without it."""
    ns, outer = w.tag + "guest", w.tag + "g0"
    sh("ip netns add " + ns)
    try:
        sh(f"ip link add {w.tag}g1 netns {ns} type veth peer name {outer} netns {w.server}")
        sh(
            f"ip -n {ns} addr add 10.94.0.2/24 dev {w.tag}g1 && ip -n {ns} link set {w.tag}g1 up && ip -n {ns} link set lo up && ip -n {ns} route add default via 10.94.0.1"
        )
        sh(
            f"ip -n {w.server} addr add 10.94.0.1/24 dev {outer} && ip -n {w.server} link set {outer} up"
        )

        def connect() -> None:
            code = "import socket; s = socket.create_connection(('10.77.0.3', 8080), 10); s.send(b'x'); s.recv(1)"
            subprocess.run(
                ["nsenter", "--net=/run/netns/" + ns, "python3", "-c", code], check=True, timeout=60
            )

        def tenant() -> None:
            sh(f"tc -n {w.server} qdisc add dev {outer} clsact")
            if subprocess.run(
                f"tc -n {w.server} filter add dev {outer} ingress matchall action pass", shell=True
            ).returncode:
                raise Skip(
                    "this kernel has no classifier that tc could use; guests of the vm tier do"
                )

        def watch():
            return Collector(
                w, [], options=["--device", "/run/netns/%s:%s=guest" % (w.server, outer)]
            )

        # It comes while we are there, and stays when we go.
        c = watch()
        connect()
        tenant()
        connect()
        (beside,) = counter(w, w.server, outer)
        same("peers", told(c.stop(), "guest")[1], ["10.77.0.3"] * 2)
        connect()
        (after,) = counter(w, w.server, outer)
        assert 0 < beside < after, (beside, after)
        # We come when it is there, and it goes first.
        c = watch()
        connect()
        (again,) = counter(w, w.server, outer)
        assert again > after, (after, again)
        sh(f"tc -n {w.server} qdisc del dev {outer} clsact")
        connect()
        same("peers", told(c.stop(), "guest")[1], ["10.77.0.3"] * 2)
    finally:
        sh("ip netns del " + ns)
