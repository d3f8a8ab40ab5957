# SPDX-License-Identifier: Apache-2.0
"""Runs every command of the README and of docs/: here, or by the scenario or script that is named
here. Commands in blocks marked `cluster` need a cluster and are left out."""

from __future__ import annotations

import glob
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator

from attribution import Collector, act
from packaging import REPO
from registry import scenario
from world import World

# Beginnings of commands, with the scenario or script that runs them.
RUN_BY = {
    "sudo deploy/setup.sh": ".ci/run",
    "bazel build //userspace:sandpiper": "tests/run.sh",
    "sudo tests/run.sh": ".ci/run",
    "tests/run.sh [": ".ci/run",
    "sandpiper exec [": "commands.long_exec_prints_progress",  # a synopsis
    "tests/vm/boot.sh ": "tests/vm/guests.sh",
    "deploy/debian/build.sh": "packaging.debian_package_contents",
    "sudo dpkg --install ": "packaging.debian_package_installs_upgrades_purges",
    "sudo systemctl reload sandpiper": "packaging.debian_package_installs_upgrades_purges",
    "journalctl -u sandpiper": "packaging.debian_package_installs_upgrades_purges",
    "deploy/image/build.sh": "packaging.image_is_small_and_has_an_sbom",
    "podman load ": "packaging.image_watches_a_podman_container",
    "podman run ": "packaging.image_watches_a_podman_container",
    "sudo bazel-bin/userspace/sandpiper exec -- curl": "deploy/demo.sh",
}
COMMAND = re.compile(
    r"^(?:sudo |(?:[A-Z][A-Z0-9_]*=\S+ )+)?(?:\S*/)?"
    r"(?:sandpiper|bazel|setup\.sh|build\.sh|run\.sh|demo\.sh|boot\.sh|dpkg|systemctl|journalctl"
    r"|podman|docker|kubectl|helm)(?: |$)"
)


def commands() -> Iterator[tuple[str, str, bool]]:
    """[(page, command)] of indented and fenced blocks, with continued lines joined."""
    for page in [REPO + "/README.md", *sorted(glob.glob(REPO + "/docs/*.md"))]:
        fence = None
        text = re.sub(r"\\\n\s*", " ", open(page).read())
        for line in text.splitlines():
            if line.startswith("```"):
                fence = None if fence is not None else line[3:].strip()
                continue
            stripped = re.sub(r"\s+# .*", "", line.strip())
            if (
                fence in ("sh", "sh cluster") or fence is None and line.startswith("    ")
            ) and COMMAND.match(stripped):
                yield os.path.basename(page), stripped, fence == "sh cluster"


def runner_of(command: str) -> str | None:
    return next((by for start, by in RUN_BY.items() if command.startswith(start)), None)


def runnable(w: World, command: str) -> tuple[dict[str, str], list[str]] | None:
    """Replaces placeholders; returns (environment, words), or None if another test runs the
    command."""
    words, env = shlex.split(command.replace(" …", "")), {}
    while words and ("=" in words[0] and words[0].split("=")[0].isupper()):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    if words[0] == "sudo":
        words.pop(0)
    if os.path.basename(words[0]) != "sandpiper":
        return None
    replacements = {
        "/etc/sandpiper/sandpiper.yaml": REPO + "/deploy/debian/sandpiper.yaml",
        "sandpiper.yaml": REPO + "/deploy/debian/sandpiper.yaml",
        "/var/tmp/today.capture": w.dir + "/today.capture",
        "/sys/fs/cgroup/boxes/*": w.cgroups + "/boxes/*",
    }
    return env, [w.sandpiper] + [replacements.get(x, x) for x in words[1:]]


@scenario()
def commands_of_all_pages_run(w: World) -> None:
    a = w.new_cgroup("boxes/sb-7")
    base = {
        **os.environ,
        "SANDPIPER_SOCKET": w.dir + "/documents.sock",
        "SANDPIPER_SPOOL": w.dir + "/documents.db",
    }
    runners = set()
    all_commands = list(commands())
    assert len(all_commands) > 25, all_commands
    c = None
    # `replay` needs the capture of `run --capture`, and clients need a running collector.
    order = sorted(
        all_commands,
        key=lambda x: (any(y in x[1] for y in (" observe", " status", " top")), "replay" in x[1]),
    )
    for page, command, cluster in order:
        by = runner_of(command)
        if by:
            runners.add(by)
            continue
        if cluster:
            assert command.split()[0] in ("kubectl", "helm"), (page, command)
            continue
        parsed = runnable(w, command)
        assert parsed, "%s: nothing runs `%s`: add the test that does to RUN_BY" % (page, command)
        env, argv = parsed
        subcommand = argv[1]
        if subcommand in ("observe", "status", "top") and not c:
            c = Collector(w, [a], options=["--socket", base["SANDPIPER_SOCKET"]])
            act(w, a, "actor.lookup('documents.example.com', 'A'); actor.run(['true'])")
        p = subprocess.Popen(
            argv, env={**base, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        if subcommand == "run":
            line = b""
            while b"ready" not in line:
                line = p.stderr.readline()
                assert line, (command, p.wait())
            p.send_signal(signal.SIGTERM)
        elif (
            subcommand == "observe"
            and "--last" not in argv
            and "--since" not in argv
            or "--follow" in argv
        ):
            time.sleep(0.5)
            assert p.poll() is None, (command, p.stderr.read())
            p.send_signal(signal.SIGTERM)
        out, err = p.communicate(timeout=120)
        assert p.returncode in (0, -signal.SIGTERM), (page, command, p.returncode, err)
    c.stop()
    assert set(RUN_BY.values()) == runners, "no page has a command that is run by %r" % (
        set(RUN_BY.values()) - runners
    )


@scenario()
def links_and_files_of_pages_exist(w: World) -> None:
    def anchors(path: str) -> set[str]:
        with open(path) as file:
            text = file.read()
        headings = {
            re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-")
            for h in re.findall(r"^#+ (.*)$", text, re.M)
        }
        return headings | set(re.findall(r'<a id="([^"]+)">', text))

    for page in [REPO + "/README.md", *glob.glob(REPO + "/docs/*.md")]:
        for target in re.findall(r"\]\(([^)\s]+)\)", open(page).read()):
            if target.startswith("http"):
                continue
            name, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(os.path.dirname(page), name)) if name else page
            assert os.path.exists(path), (page, target)
            if anchor:
                assert anchor in anchors(path), (page, target, sorted(anchors(path)))


@scenario()
def demo_writes_its_report(w: World) -> None:
    """Runs the demo, and checks its report."""
    page = w.dir + "/demo.html"
    done = subprocess.run(
        [REPO + "/deploy/demo.sh", "--html", page], capture_output=True, timeout=300
    )
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    text = open(page).read()
    for part in ("packages.test", "exfil.example.test", "egress.denied", '"complete": true'):
        assert part in text, part
    left = subprocess.run(["ip", "netns", "list"], capture_output=True).stdout.decode()
    assert "spdemo" not in left, left
