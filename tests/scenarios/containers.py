# SPDX-License-Identifier: Apache-2.0
"""Starts real container runtimes in folders and a network namespace of their own, with one small
image that is built here."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from registry import Skip
from world import SERVER4, SERVICE4, World, sh

IMAGE = "localhost/box:1"
APPLETS = ("sh", "sleep", "nc", "true", "false", "cat", "nslookup", "echo")


def make_image(path: str) -> None:
    """An image of busybox alone, as `docker save` writes one."""

    def entry(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: Any) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o755
        for key, value in fields.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(data))

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for folder in ("bin", "tmp", "etc", "proc", "sys", "dev"):
            entry(tar, folder, type=tarfile.DIRTYPE)
        entry(tar, "bin/busybox", open("/bin/busybox", "rb").read())
        for applet in APPLETS:
            entry(tar, "bin/" + applet, type=tarfile.SYMTYPE, linkname="busybox")
    layer = layer.getvalue()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/sleep", "1000"], "Env": ["PATH=/bin"]},
            "rootfs": {
                "type": "layers",
                "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()],
            },
            "history": [{}],
        }
    ).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    with tarfile.open(path, "w") as tar:
        entry(tar, "layer.tar", layer)
        entry(tar, name, config)
        entry(
            tar,
            "manifest.json",
            json.dumps([{"Config": name, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).encode(),
        )


def need(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            raise Skip("%s is not installed; deploy/setup.sh --with-runtimes installs it" % program)


@contextlib.contextmanager
def runtime_network(w: World) -> Iterator[str]:
    """A network namespace for the runtime. Its containers reach the servers through it."""
    k, s = w.tag + "k", w.server
    sh(f"ip netns add {k}")
    try:
        sh(f"ip link add {k}0 netns {k} type veth peer name {k}1 netns {s}")
        sh(
            f"ip -n {k} link set lo up && ip -n {k} addr add 10.92.0.2/24 dev {k}0 && "
            f"ip -n {k} link set {k}0 up"
        )
        sh(
            f"ip -n {s} addr add 10.92.0.1/24 dev {k}1 && ip -n {s} link set {k}1 up && "
            f"ip -n {s} route add 10.91.0.0/16 via 10.92.0.2"
        )
        sh(
            f"ip -n {k} route add {SERVER4} via 10.92.0.1 && "
            f"ip -n {k} route add {SERVICE4} via 10.92.0.1"
        )
        sh(f"ip netns exec {k} sysctl -q -w net.ipv4.ip_forward=1")
        yield k
    finally:
        subprocess.run(["ip", "-n", s, "link", "del", k + "1"], stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", k])


@contextlib.contextmanager
def scratch(w: World) -> Iterator[str]:
    """A folder that overlayfs accepts: on disk, or in memory in a guest, because its disk is an
    overlay itself."""
    folder = tempfile.mkdtemp(prefix="sandpiper-runtime-", dir="/tmp" if w.slow else "/var/tmp")
    try:
        yield folder
    finally:
        for line in reversed(open("/proc/self/mountinfo").read().splitlines()):
            if line.split()[4].startswith(folder):
                subprocess.run(["umount", "-l", line.split()[4]], stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


CONTAINERD = """version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
"""

# One address for each container; the runtime's namespace forwards.
CNI = {
    "cniVersion": "0.4.0",
    "name": "scenario",
    "plugins": [
        {
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.91.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
    ],
}


# The id of a pod, and its specification.
Pod = tuple[str, dict[str, Any]]


class Containerd:
    def __init__(self, w: World, folder: str, process: subprocess.Popen) -> None:
        self.w, self.folder, self.process = w, folder, process
        self.socket = folder + "/containerd.sock"
        self.cri_program = w.triggers.replace("triggers/triggers", "e2e/cri")
        self.config = {
            "runtimes": [{"api": "cri", "socket": self.socket}],
            "bundle_folders": [folder + "/state/io.containerd.runtime.v2.task/*"],
        }

    def cri(self, *arguments: Any) -> str:
        arguments = [json.dumps(x) if isinstance(x, dict) else x for x in arguments]
        # Repeats stop and remove as kubelet does: they fail while a container ends by itself.
        for tries in range(10 if arguments[0].startswith(("stop", "remove")) else 1):
            time.sleep(0.1 * tries)
            done = subprocess.run(
                [self.cri_program, self.socket, *arguments], capture_output=True, timeout=150
            )
            if done.returncode == 0:
                return done.stdout.decode().strip()
        raise AssertionError("cri %r: %s" % (arguments, done.stderr.decode()))

    def pod(self, name: str, **spec: Any) -> Pod:
        spec = {
            "name": name,
            "namespace": "agents",
            "uid": "%s-uid" % name,
            "cgroup_parent": "/%s/kube" % self.w.tag,
            **spec,
        }
        return self.cri("pod", spec), spec

    def container(self, pod: Pod, name: str, script: str, start: bool = True, **spec: Any) -> str:
        pod_id, pod_spec = pod
        created = self.cri(
            "container",
            pod_id,
            {
                "name": name,
                "image": IMAGE,
                "command": ["/bin/sh", "-c", script],
                "pod": pod_spec,
                **spec,
            },
        )
        if start:
            self.cri("start", created)
        return created

    def wait_end(self, container: str) -> None:
        """Waits until the cgroup of a started container has no process or is removed."""
        for _ in range(1200):
            try:
                if not any(
                    open(path).read()
                    for path in glob.glob(
                        "%s/**/%s/cgroup.procs" % (self.w.cgroups, container), recursive=True
                    )
                ):
                    return
            except OSError:
                return
            time.sleep(0.05)
        raise AssertionError("the container %s does not end" % container)

    def remove_pod(self, pod: Pod) -> None:
        self.cri("stop-pod", pod[0])
        self.cri("remove-pod", pod[0])


def cni_namespaces() -> set[str]:
    return {n for n in os.listdir("/run/netns") if n.startswith("cni-")}


@contextlib.contextmanager
def containerd(w: World) -> Iterator[Containerd]:
    """containerd with its CRI plugin."""
    need("containerd", "ctr", "runc")
    if not os.path.exists("/usr/lib/cni/ptp"):
        raise Skip(
            "containernetworking-plugins is not installed; "
            "deploy/setup.sh --with-runtimes installs it"
        )
    with scratch(w) as folder, runtime_network(w) as k:
        os.makedirs(folder + "/cni")
        with open(folder + "/config.toml", "w") as f:
            f.write(CONTAINERD.format(folder=folder, image=IMAGE))
        with open(folder + "/cni/10-scenario.conflist", "w") as f:
            json.dump(CNI, f)
        make_image(folder + "/image.tar")
        before = cni_namespaces()
        log = open(folder + "/log", "wb")
        process = w.start(["containerd", "-c", folder + "/config.toml"], ns=k, stderr=log)
        try:
            runtime = Containerd(w, folder, process)
            ctr = ["ctr", "-a", runtime.socket, "-n", "k8s.io"]
            for _ in range(300):
                if (
                    os.path.exists(runtime.socket)
                    and subprocess.run(ctr + ["version"], capture_output=True).returncode == 0
                ):
                    break
                time.sleep(0.1)
            subprocess.run(
                ctr + ["images", "import", folder + "/image.tar"], check=True, capture_output=True
            )
            yield runtime
        finally:
            # Remove the leftovers of a failed scenario: the shims end with their tasks.
            tasks = (
                subprocess.run(ctr + ["tasks", "ls", "-q"], capture_output=True)
                .stdout.decode()
                .split()
            )
            for task in tasks:
                subprocess.run(ctr + ["tasks", "rm", "-f", task], capture_output=True)
            w.stop(process)
            for namespace in cni_namespaces() - before:
                subprocess.run(["ip", "netns", "del", namespace], capture_output=True)
            for line in (
                subprocess.run(["pgrep", "-f", folder], capture_output=True).stdout.decode().split()
            ):
                subprocess.run(["kill", "-9", line])


class Podman:
    def __init__(self, w: World, folder: str, netns: str) -> None:
        self.w, self.folder, self.netns = w, folder, netns
        self.socket = folder + "/podman.sock"
        self.base = [
            "podman",
            "--root",
            folder + "/storage",
            "--runroot",
            folder + "/run",
            "--cgroup-manager",
            "cgroupfs",
            "--storage-driver",
            "vfs",
            "--runtime",
            "runc",
            "--events-backend",
            "file",
        ]
        self.env = {**os.environ, "CONTAINERS_CONF": folder + "/containers.conf"}
        self.config = {
            "runtimes": [{"api": "docker", "socket": self.socket}],
            "bundle_folders": [folder + "/storage/vfs-containers"],
        }

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            ["nsenter", "--net=/run/netns/" + self.netns, *self.base, *arguments],
            capture_output=True,
            env=self.env,
            timeout=120,
        )
        if done.returncode:
            raise AssertionError("%s %r: %s" % (self.base[0], arguments, done.stderr.decode()))
        return done.stdout.decode().strip()

    def run(self, name: str, script: str, *options: str) -> str:
        """Keeps the limits of the shell: podman would raise its own over the limits of this
        machine."""
        return self(
            "run",
            "--detach",
            "--name",
            name,
            "--cgroup-parent",
            "/%s/podman" % self.w.tag,
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
            *options,
            IMAGE,
            "/bin/sh",
            "-c",
            script,
        )


@contextlib.contextmanager
def podman(w: World) -> Iterator[Podman]:
    """Podman with its service, which speaks the Docker Engine API."""
    need("podman", "runc", "conmon")
    with scratch(w) as folder, runtime_network(w) as k:
        make_image(folder + "/image.tar")
        with open(folder + "/containers.conf", "w") as f:
            f.write(
                '[engine]\nevents_logfile_path = "%s/events.log"\ncgroup_manager = "cgroupfs"\n'
                % folder
            )
        runtime = Podman(w, folder, k)
        runtime("load", "-i", folder + "/image.tar")
        service = w.start(
            [*runtime.base, "system", "service", "--time", "0", "unix://" + runtime.socket],
            ns=k,
            env=runtime.env,
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(300):
                if os.path.exists(runtime.socket):
                    break
                time.sleep(0.1)
            yield runtime
        finally:
            for _ in range(2):  # the first round cannot remove containers on which others depend
                subprocess.run(
                    [
                        "nsenter",
                        "--net=/run/netns/" + k,
                        *runtime.base,
                        "rm",
                        "--all",
                        "--force",
                        "--time",
                        "0",
                    ],
                    capture_output=True,
                    env=runtime.env,
                )
            w.stop(service)


class Docker(Podman):
    def __init__(self, w: World, folder: str, netns: str) -> None:
        super().__init__(w, folder, netns)
        self.base = ["docker", "--host", "unix://" + self.socket]
        self.config = {"runtimes": [{"api": "docker", "socket": self.socket}]}


@contextlib.contextmanager
def docker(w: World) -> Iterator[Docker]:
    """Docker's own engine, without networks of its own."""
    need("dockerd", "docker", "runc")
    with scratch(w) as folder, runtime_network(w) as k:
        make_image(folder + "/image.tar")
        runtime = Docker(w, folder, k)
        log = open(folder + "/log", "wb")
        daemon = w.start(
            [
                "dockerd",
                "--data-root",
                folder + "/data",
                "--exec-root",
                folder + "/exec",
                "--pidfile",
                folder + "/pid",
                "--host",
                "unix://" + runtime.socket,
                "--bridge",
                "none",
                "--iptables=false",
                "--ip6tables=false",
                "--storage-driver",
                "vfs",
                "--exec-opt",
                "native.cgroupdriver=cgroupfs",
            ],
            ns=k,
            stderr=log,
        )
        try:
            for _ in range(600):
                if (
                    os.path.exists(runtime.socket)
                    and subprocess.run(runtime.base + ["version"], capture_output=True).returncode
                    == 0
                ):
                    break
                assert daemon.poll() is None, open(folder + "/log").read()[-1500:]
                time.sleep(0.1)
            runtime("load", "-i", folder + "/image.tar")
            yield runtime
        finally:
            left = (
                subprocess.run(runtime.base + ["ps", "-aq"], capture_output=True)
                .stdout.decode()
                .split()
            )
            if left:
                subprocess.run(runtime.base + ["rm", "--force", *left], capture_output=True)
            w.stop(daemon)
