# SPDX-License-Identifier: Apache-2.0
"""The network of the mixes: one namespace with the servers, and namespaces for sandboxes, which are
used again by later mixes."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
from typing import TYPE_CHECKING

from world import HERE, PYTHON, sh

if TYPE_CHECKING:
    from world import World

SYSCTLS_OF_SERVERS = (
    "net.ipv4.tcp_fastopen=0x403",
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.icmp.ratelimit=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
)
# Packets to port 9 get no answer.
RULES_OF_SERVERS = (
    "table inet dead { chain in { type filter hook input priority 0; "
    "tcp dport 9 drop; udp dport 9 drop; }; }"
)


def environment() -> dict[str, str]:
    """The environment of programs that import this package."""
    return {**os.environ, "PYTHONPATH": HERE, "PYTHONDONTWRITEBYTECODE": "1"}


def in_namespace(name: str, argv: list[str]) -> list[str]:
    return ["nsenter", "--net=/run/netns/" + name, *argv]


@dataclasses.dataclass(frozen=True)
class Namespace:
    name: str
    link: str  # a template of addresses on its link, where no host is

    def path(self) -> str:
        return "/run/netns/" + self.name


class Network:
    """A with block makes it, and removes all its namespaces at the end."""

    def __init__(self, w: World) -> None:
        self.w, self.servers = w, w.tag + "m"
        self.names: list[str] = []
        self.free: list[Namespace] = []
        self.lock = threading.Lock()

    def __enter__(self) -> Network:
        try:
            self._build_servers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build_servers(self) -> None:
        ns = self._add(self.servers)
        sh(f"ip netns exec {ns} sysctl -q -w " + " ".join(SYSCTLS_OF_SERVERS))
        sh(f"ip -n {ns} route add local 10.79.0.0/16 dev lo")
        sh(f"ip -n {ns} route add local fd79::/32 dev lo")
        nft = in_namespace(ns, ["nft", "-f", "-"])
        subprocess.run(nft, input=RULES_OF_SERVERS.encode(), check=True)
        command = [PYTHON, "-m", "mixes.servers"]
        self.process = self.w.start(command, ns=ns, ready="ready", env=environment())

    def _add(self, name: str) -> str:
        sh(f"ip netns add {name}")
        self.names.append(name)
        sh(f"ip -n {name} link set lo up")
        return name

    def __exit__(self, *_: object) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)

    def take(self) -> Namespace:
        """A namespace that no other mix uses."""
        with self.lock:
            return self.free.pop() if self.free else self._new_namespace(len(self.names))

    def give_back(self, namespace: Namespace) -> None:
        """Makes the namespace ready for the next mix."""
        subprocess.run(in_namespace(namespace.name, ["nft", "flush", "ruleset"]), check=True)
        with self.lock:
            self.free.append(namespace)

    def _new_namespace(self, i: int) -> Namespace:
        ns, servers, outer = self._add(f"{self.w.tag}x{i}"), self.servers, f"v{i}"
        commands = {
            ns: [
                f"link add eth0 type veth peer name {outer} netns {servers}",
                "link set eth0 up",
                f"addr add 10.78.{i}.2/24 dev eth0",
                f"addr add fd78:0:0:{i:x}::2/64 dev eth0 nodad",
                f"route add 10.79.0.0/16 via 10.78.{i}.1",
            ],
            servers: [
                f"link set {outer} up",
                f"addr add 10.78.{i}.1/24 dev {outer}",
                f"addr add fd78:0:0:{i:x}::1/64 dev {outer} nodad",
            ],
        }
        for name, lines in commands.items():
            batch = "\n".join(lines).encode()
            subprocess.run(["ip", "-n", name, "-batch", "-"], input=batch, check=True)
        sh(f"ip -n {ns} -6 route add fd79::/32 via fd78:0:0:{i:x}::1")
        sh(f"ip netns exec {ns} sysctl -q -w net.ipv4.tcp_syn_retries=1")
        return Namespace(ns, f"10.78.{i}.%d")
