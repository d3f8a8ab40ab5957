# SPDX-License-Identifier: Apache-2.0
"""The network of the scenarios, and the ways to run sandpiper in it.

Two network namespaces, joined by a veth pair: one for sandboxes, one for the servers. No packet
leaves them.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import checks
import peers

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"
SERVER4, SECOND4, DEAD4 = "10.77.0.1", "10.77.0.3", "10.77.0.9"
SERVER6 = "fd77::1"
SERVICE4, SERVICE6 = "10.77.0.4", "fd77::4"
SANDBOX4 = "10.77.0.2"


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def cgroup_mount() -> str:
    for line in open("/proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 ") and left.split()[3] == "/":
            return left.split()[4]
    raise SystemExit("scenarios: cgroup v2 is not mounted")


# A record as its JSON line has it.
Event = dict[str, Any]


class World:
    """The argument `w` of every scenario: the programs under test, two network namespaces with the
    servers, a folder of cgroups, and a temporary folder. All of it is removed at the end."""

    def __init__(
        self, sandpiper: str, triggers: str, sink: str, peers: peers.Peers | None = None
    ) -> None:
        self.sandpiper, self.triggers, self.sink, self.peers = sandpiper, triggers, sink, peers
        # In a guest under software emulation the same scenarios take fewer rounds.
        self.slow = bool(os.environ.get("SCENARIOS_SLOW"))
        self.tag = "sp%d" % os.getpid()
        self.client, self.server = self.tag + "c", self.tag + "s"
        self.dir = tempfile.mkdtemp(prefix="sandpiper-scenarios-")
        self.residents = []  # helper processes that end with the world
        self.children = []  # helper processes that end with a scenario
        self.mount = cgroup_mount()
        self.cgroups = os.path.join(self.mount, self.tag)

    def __enter__(self) -> World:
        try:
            self._build()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _build(self) -> None:
        c, s = self.client, self.server
        sh(f"ip netns add {c} && ip netns add {s}")
        sh(f"ip link add {c}0 netns {c} type veth peer name {s}0 netns {s}")
        for ns, addresses in (
            (c, [SANDBOX4 + "/24", "fd77::2/64"]),
            (
                s,
                [
                    SERVER4 + "/24",
                    SECOND4 + "/24",
                    SERVICE4 + "/24",
                    SERVER6 + "/64",
                    SERVICE6 + "/64",
                ],
            ),
        ):
            sh(f"ip -n {ns} link set lo up")
            # No duplicate address detection: addresses are usable at once.
            sh(
                f"ip netns exec {ns} sysctl -q -w net.ipv6.conf.{ns}0.accept_dad=0 "
                f"net.ipv4.tcp_syn_retries=1"
            )
            for a in addresses:
                sh(f"ip -n {ns} addr add {a} dev {ns}0" + (" nodad" if ":" in a else ""))
            sh(f"ip -n {ns} link set {ns}0 up")
        self.add_server_rules()
        self.start([PYTHON, os.path.join(HERE, "servers.py")], ns=s, ready="ready")
        self.residents, self.children = self.children, []
        self.resolv = os.path.join(self.dir, "resolv.conf")
        self.write_resolv("nameserver %s\noptions timeout:1 attempts:2\n" % SERVER4)
        os.makedirs(self.cgroups)
        if self.peers:
            self.peers.start(self)

    def add_server_rules(self) -> None:
        """Drops packets to port 9 in the servers' namespace. The peer seems dead to the sandbox,
        and no rule of the sandbox denies the packets."""
        rules = (
            "table inet dead { chain in { type filter hook input priority 0; "
            "tcp dport 9 drop; udp dport 9 drop; }; }"
        )
        subprocess.run(
            ["nsenter", "--net=/run/netns/" + self.server, "nft", "-f", "-"],
            input=rules.encode(),
            check=True,
        )

    def remove_server_rules(self) -> None:
        sh("nsenter --net=/run/netns/%s nft flush ruleset" % self.server)

    def write_resolv(self, text: str) -> None:
        with open(self.resolv, "w") as f:
            f.write(text)

    def start(
        self,
        argv: Sequence[str],
        ns: str | None = None,
        ready: str | None = None,
        cgroup: str | None = None,
        **popen: Any,
    ) -> subprocess.Popen[bytes]:
        """Starts a helper that ends with the scenario; waits for the word `ready` on its stdout."""

        def enter() -> None:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            if cgroup:
                with open(os.path.join(cgroup, "cgroup.procs"), "w") as f:
                    f.write(str(os.getpid()))

        if ns:
            argv = ["nsenter", "--net=/run/netns/" + ns] + argv
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, preexec_fn=enter, **popen)
        self.children.append(child)
        if ready:
            line = child.stdout.readline().decode()
            if ready not in line:
                raise RuntimeError("%s did not start: %r" % (argv, line))
        # stdout is read all the time, because a full pipe would block the helper.
        child.output = b""

        def read() -> None:
            child.output = child.stdout.read()

        child.reader = threading.Thread(target=read, daemon=True)
        child.reader.start()
        return child

    def stop(self, child: Any) -> bytes:
        """Ends a helper of start(); returns its output after `ready`."""
        child.terminate()
        child.wait(timeout=60)
        child.reader.join(timeout=60)
        self.children.remove(child)
        return child.output

    def end_scenario(self) -> None:
        """Removes everything of a scenario, also after a failure, because the next one may use the
        same names of cgroups. On a hybrid host this includes cgroups of v1, which container
        runtimes create."""
        self.end_processes(self.children)
        self.remove_cgroups(
            glob.glob(self.cgroups + "/*/") + glob.glob("/sys/fs/cgroup/*/" + self.tag + "/*/")
        )

    def remove_cgroups(self, tops: Iterable[str]) -> None:
        """Removes cgroups and kills their processes."""
        for top in tops:
            for path, _, _ in os.walk(top, topdown=False):
                for _ in range(50):
                    try:
                        with open(os.path.join(path, "cgroup.procs")) as f:
                            for pid in f.read().split():
                                os.kill(int(pid), signal.SIGKILL)
                        os.rmdir(path)
                        break
                    except FileNotFoundError:
                        break
                    except OSError:
                        time.sleep(0.1)

    def end_processes(self, processes: Iterable[subprocess.Popen[bytes]]) -> None:
        for process in processes:
            process.kill()
            process.wait()
        processes.clear()

    def __exit__(self, *_: object) -> None:
        self.end_processes(self.children)
        self.end_processes(self.residents)
        for ns in (self.client, self.server):
            subprocess.run(["ip", "netns", "del", ns], stderr=subprocess.DEVNULL)
        self.remove_cgroups({self.cgroups, *glob.glob("/sys/fs/cgroup/*/" + self.tag)})
        shutil.rmtree(self.dir, ignore_errors=True)

    def in_sandbox_net(self, argv: Sequence[str]) -> list[str]:
        """Runs a command in the sandbox's network namespace, with a resolv.conf of the world."""
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return [
            "nsenter",
            "--net=/run/netns/" + self.client,
            "unshare",
            "-m",
            "sh",
            "-c",
            script,
            self.resolv,
        ] + argv

    @contextlib.contextmanager
    def nft(self, script: str, ns: str | None = None) -> Iterator[None]:
        """Loads rules in the sandbox's network namespace, or another one, for the length of a with
        block."""
        nft = ["nsenter", "--net=/run/netns/" + (ns or self.client), "nft"]
        subprocess.run(nft + ["-f", "-"], input=script.encode(), check=True)
        try:
            yield
        finally:
            subprocess.run(nft + ["flush", "ruleset"], check=True)

    def exec(
        self,
        argv: Sequence[str],
        options: Sequence[str] = (),
        env: dict[str, str] | None = None,
        stdin: Any = None,
        sandpiper: Sequence[str] | None = None,
    ) -> Result:
        """Runs sandpiper exec with argv in the sandbox's network. `sandpiper` is another command
        line that starts it."""
        files = {k: os.path.join(self.dir, k) for k in ("report", "events", "metrics")}
        for f in files.values():
            if os.path.exists(f):
                os.unlink(f)
        command = [
            *(sandpiper or [self.sandpiper]),
            "exec",
            "--format",
            "json",
            "-o",
            files["report"],
            "--events",
            files["events"],
            "--metrics",
            files["metrics"],
            *options,
            "--",
            *argv,
        ]
        with self.send_to_peers(env) as (env, output):
            done = subprocess.run(
                self.in_sandbox_net(command),
                capture_output=True,
                stdin=stdin or subprocess.DEVNULL,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env},
                timeout=300,
            )
            result = Result(argv, done, files)
            output.add(result.events, result.metrics)
        checks.check_event_counts(result)
        checks.check_catalog(result.metrics, checks.extra_keys(env))
        return result

    def slow_guest_env(self) -> dict[str, str]:
        """The environment for an emulated guest, for which the default window is too short."""
        return {"SANDPIPER_WINDOW_S": "3600"} if self.slow else {}

    @contextlib.contextmanager
    def send_to_peers(self, env: dict[str, str] | None) -> Iterator[tuple[dict[str, str], Any]]:
        """Returns (environment, RunOutput). If there are peers and the scenario has no exporter of
        its own, records and metrics go to the peers too, and afterwards the peers must have what
        the files have."""
        env, output = {**self.slow_guest_env(), **(env or {})}, peers.RunOutput()
        if not self.peers or any(k.startswith("OTEL_") for k in env):
            yield env, output
            return
        name, more = self.peers.new_run()
        yield {**more, **env}, output
        output.check(self.peers, name)

    def actor(
        self,
        code: str,
        options: Sequence[str] = (),
        env: dict[str, str] | None = None,
        **exec_options: Any,
    ) -> Result:
        """Runs Python code with `actor` imported in a sandbox; the result has its truth."""
        import textwrap

        argv = [
            PYTHON,
            "-c",
            "import sys; sys.path.insert(0, %r); import actor\n%s\nactor.print_truth()"
            % (HERE, textwrap.dedent(code)),
        ]
        return self.exec(argv, options, env, **exec_options)

    def new_cgroup(self, name: str) -> str:
        path = os.path.join(self.cgroups, name)
        os.makedirs(path)
        return path


def parse_events(path: str) -> list[Event]:
    """Parses records: every line must be one JSON object in valid UTF-8."""
    events = []
    with open(path, "rb") as f:
        data = f.read()
    assert data == b"" or data.endswith(b"\n"), "the last record is cut"
    for line in data.split(b"\n")[:-1]:
        events.append(json.loads(line.decode("utf-8")))
    return events


def parse_metrics(path: str) -> dict[str, list[Any]]:
    with open(path) as f:
        return {m["name"]: m["points"] for m in map(json.loads, f)}


class Result:
    """The exit status, output, report, records and metrics of one `sandpiper exec`."""

    def __init__(
        self, argv: Sequence[str], done: subprocess.CompletedProcess[bytes], files: Any
    ) -> None:
        self.argv, self.status = argv, done.returncode
        self.stdout, self.stderr = done.stdout, done.stderr.decode(errors="replace")
        if not os.path.exists(files["report"]):
            raise AssertionError("no report, status %d: %s" % (self.status, self.stderr))
        self.report = json.load(open(files["report"]))
        self.events = parse_events(files["events"])
        self.metrics = parse_metrics(files["metrics"])

    @property
    def truth(self) -> dict[str, Any]:
        lines = [line for line in self.stdout.decode().splitlines() if line.startswith('{"truth"')]
        assert lines, "the actor printed no truth: status %d, %s" % (self.status, self.stderr)
        return json.loads(lines[-1])["truth"]

    def records(self, event: str) -> list[Event]:
        """The records of one kind, in their order."""
        return [e for e in self.events if e["opensandbox.event"] == event]

    def metric(self, name: str, *keys: str) -> dict[Any, float]:
        """{values of these attributes: sum over the other attributes} of one metric."""
        sums = {}
        for p in self.metrics.get(name, []):
            key = tuple(p["attributes"].get(k) for k in keys)
            sums[key] = sums.get(key, 0) + p.get("value", p.get("count"))
        return sums
