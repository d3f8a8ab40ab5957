# SPDX-License-Identifier: Apache-2.0
"""DNS behind a redirect: port 53 goes to a proxy on 127.0.0.1:15353, as in OpenSandbox."""

from __future__ import annotations

import os
import subprocess
import textwrap
from collections.abc import Callable
from typing import Any

from checks import check_complete, check_denials, check_everything, check_lookups
from registry import scenario
from world import HERE, PYTHON, World

TAGS = ("peers",)

PROXY = """
import socket, sys
sys.path.insert(0, %r)
listen = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listen.bind(("127.0.0.1", 15353))
print("ready", flush=True)
for _ in range(%d):
    q, peer = listen.recvfrom(4096)
    up = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if %r:  # the redirect skips packets with this mark
        up.setsockopt(socket.SOL_SOCKET, 36, 1)
    up.connect(("10.77.0.1", 53))
    up.send(q)
    listen.sendto(up.recv(4096), peer)
    up.close()
"""

REDIRECT = """nft -f - <<'X'
table ip dnsproxy { chain out { type nat hook output priority -100; meta mark 1 return;
    udp dport 53 redirect to :15353; }; }
X"""


def run_redirected(w: World, body: Callable[[], Any]) -> Any:
    subprocess.run(["nsenter", "--net=/run/netns/" + w.client, "sh", "-c", REDIRECT], check=True)
    try:
        return body()
    finally:
        subprocess.run(
            ["nsenter", "--net=/run/netns/" + w.client, "nft", "delete", "table", "ip", "dnsproxy"],
            check=True,
        )


@scenario()
def redirected_to_a_proxy_outside_the_sandbox(w: World) -> None:
    def body() -> Any:
        proxy = w.start([PYTHON, "-c", PROXY % (HERE, 3, True)], ns=w.client, ready="ready")
        r = w.actor("""
            actor.lookup("a.test", "A")
            actor.lookup("b.test", "AAAA")
            actor.lookup("nx.test", "A")
        """)
        w.stop(proxy)
        return r

    r = run_redirected(w, body)
    check_everything(r)
    assert all(line["server"] == "10.77.0.1:53" for line in r.report["lookups"]), r.report[
        "lookups"
    ]


@scenario()
def redirected_to_a_proxy_inside_the_sandbox(w: World) -> None:
    proxy = PROXY % (HERE, 2, True)

    def body() -> Any:
        return w.actor(
            """
            import subprocess, sys
            argv = [sys.executable, "-c", %r]
            p = subprocess.Popen(argv, stdout=subprocess.PIPE)
            p.stdout.readline()
            actor.lookup("a.test", "A")
            actor.lookup("b.test", "AAAA")
            p.wait()
            actor.note("execs", argv=argv, pid=p.pid, code=p.returncode)
        """
            % proxy
        )

    r = run_redirected(w, body)
    # The proxy's own queries are no lookups, and its answers are no attempts.
    check_everything(r)
    assert r.metric("sandbox.dns.duration", "leg") == {("client",): 2, ("upstream",): 2}, r.metrics


def with_sidecar(w: World, lookups: int, rules: int, code: str) -> Any:
    """Runs `code` in a sandbox with an OpenSandbox sidecar. Returns the truth of the actor and of
    the sidecar."""
    argv = [PYTHON, os.path.join(HERE, "opensandbox.py"), str(lookups), str(rules)]
    with w.nft(""):
        return w.actor(
            """
            import json, subprocess
            argv = %r
            p = subprocess.Popen(argv, stdout=subprocess.PIPE)
            p.stdout.readline()
        """
            % argv
            + textwrap.indent(textwrap.dedent(code), " " * 12)
            + """
            sidecar = json.loads(p.stdout.readline())
            p.wait()
            actor.note_result("sidecar", sidecar)
        """
        )


@scenario()
def proxy_denies_a_name(w: World) -> None:
    """NXDOMAIN without an upstream query is policy. NXDOMAIN from the upstream server is not, also
    when the proxy repeats it."""
    r = with_sidecar(
        w,
        5,
        0,
        """
        for name in ("a.test", "nx.test", "evil.test", "nx.test", "evil.test"):
            outcome, ips = actor.lookup(name, "A", record=False)
            if name == "evil.test":
                actor.note_lookup(name, "A", "denied")
                actor.note_denial(name, 53, "udp", layer="dns")
            else:
                actor.note_lookup(name, "A", outcome, ips)
    """,
    )
    check_complete(r)
    check_lookups(r, r.truth)
    check_denials(r, r.truth)
    assert r.truth["sidecar"]["denied"] == ["evil.test"] * 2
    # A denied query adds no sample.
    assert sum(r.metric("egress.dns.query.duration").values()) == 3, r.metrics
