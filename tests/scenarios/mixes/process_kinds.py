# SPDX-License-Identifier: Apache-2.0
"""Processes: each way to start one and each way in which it ends, and moves between cgroups."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time

import actor

from mixes.kinds import Action, kind

ENDING_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def note_exec(argv: list[str], pid: int | None = None, **end: int) -> None:
    actor.note("execs", argv=argv, pid=pid, **end)


def end_by_signal(number: int) -> None:
    signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
    os.kill(os.getpid(), number)
    signal.pause()


@kind()
def exec_status(a: Action) -> None:
    for _ in range(3):
        code = a.pick(0, 1, 42, 255)
        assert a.run(["sh", "-c", f"exit {code}", a.word]).code == code


@kind()
def exec_signal(a: Action) -> None:
    """A program that ends itself by a signal."""
    number = int(a.pick(*ENDING_SIGNALS))
    assert a.run(["sh", "-c", f"kill -{number} $$", a.word]).code == -number


@kind()
def exec_killed(a: Action) -> None:
    """A program that another process ends."""
    number = a.pick(*ENDING_SIGNALS)
    p = subprocess.Popen(["sleep", f"10{a.number}"], stdout=subprocess.DEVNULL)
    time.sleep(a.pick(0.0, 0.01))
    p.send_signal(number)
    assert p.wait() == -number
    note_exec(["sleep", f"10{a.number}"], p.pid, signal=int(number))


@kind()
def exec_chain(a: Action) -> None:
    """Three programs in one process: it ends once."""
    script = 'exec env true "$0"'
    done = a.run(["sh", "-c", script, a.word])
    for argv in (["env", "true", a.word], ["true", a.word]):
        actor.note("replacements", argv=argv, pid=done.pid)


@kind()
def exec_pipeline(a: Action) -> None:
    a.run(["sh", "-c", f"/bin/true {a.word} | /bin/true {a.word} | /bin/cat"])
    for argv in (["/bin/true", a.word], ["/bin/true", a.word], ["/bin/cat"]):
        note_exec(argv, code=0)


@kind()
def exec_script(a: Action) -> None:
    path = os.path.join(a.place.folder, f"script-{a.number}")
    with open(path, "w") as f:
        f.write("#!/bin/sh\nexit 9\n")
    os.chmod(path, 0o755)
    p = subprocess.Popen([path])
    assert p.wait() == 9
    note_exec(["/bin/sh", path], p.pid, code=9)


@kind()
def exec_arguments(a: Action) -> None:
    """Arguments of many lengths, empty ones, and bytes that need escapes."""
    a.run(["true", a.word, "x" * a.rng.randint(1, 4000)])
    a.run(["true", a.word, *["y"] * a.rng.randint(1, 300)])
    a.run(["true", a.word, "", "line\nfeed", "back\\slash", "\x1b[2J", "umlaut äöü"])


@kind()
def exec_failed(a: Action) -> None:
    def child() -> int:
        try:
            os.execv("/nonexistent/program", ["x"])
        except OSError:
            return 17

    pid, status = actor.fork_and_wait(child)
    a.forked(status, pid)


@kind()
def exec_vfork(a: Action) -> None:
    a.trigger("exec-vfork")


@kind()
def exec_clone3(a: Action) -> None:
    a.trigger("exec-clone3")


@kind()
def exec_from_a_thread(a: Action) -> None:
    a.trigger("exec-thread")


@kind()
def exec_memfd(a: Action) -> None:
    a.trigger("exec-memfd")


@kind()
def exec_double_fork(a: Action) -> None:
    a.trigger("exec-double-fork")
    actor.note("forks", code=0)  # the child between the two


@kind()
def fork_status(a: Action) -> None:
    for _ in range(a.rng.randint(1, 5)):
        code = a.rng.randint(0, 255)
        pid, status = actor.fork_and_wait(lambda code=code: code)
        a.forked(status, pid)


@kind()
def fork_signal(a: Action) -> None:
    number = a.pick(*ENDING_SIGNALS)
    pid, status = actor.fork_and_wait(lambda: end_by_signal(number))
    a.forked(status, pid)


@kind()
def fork_with_threads(a: Action) -> None:
    """A child that ends while its threads run."""

    def child() -> int:
        for _ in range(8):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        return 4

    pid, status = actor.fork_and_wait(child)
    a.forked(status, pid)


@kind()
def fork_acts(a: Action) -> None:
    """A child looks up and connects, and its parent gets its notes: the records have its pid."""
    reader, writer = os.pipe()

    def child() -> int:
        actor.lookup(a.name("ok"), "TXT", a.server())
        actor.tcp(a.ip(), send=a.payload(400))
        os.write(writer, json.dumps(actor.TRUTH).encode())
        return 0

    pid, status = actor.fork_and_wait(child)
    a.forked(status, pid)
    a.adopt(json.loads(os.read(reader, 65536)), pid)
    os.close(reader)
    os.close(writer)


@kind()
def storm_of_processes(a: Action) -> None:
    """Forks, vforks, threads, signals and programs, as many as eight at a time."""
    a.trigger("storm", str(a.rng.randint(1, 1 << 30)), str(a.rng.randint(5, 40)))


@kind()
def cgroup_move(a: Action) -> None:
    """The actor moves to a cgroup below its own, acts there, and moves back."""
    below = os.path.join(a.place.cgroup, a.word)
    os.mkdir(below)
    enter_cgroup(below)
    actor.lookup(a.name("ok"), "A", a.server())
    actor.tcp(a.ip(2), send=a.payload(300))
    a.run(["true", a.word])
    enter_cgroup(a.place.cgroup)
    os.rmdir(below)


@kind()
def cgroup_move_with_a_socket(a: Action) -> None:
    """A socket that was made in one cgroup is used in another one of the same sandbox."""
    below = os.path.join(a.place.cgroup, a.word, "deep")
    os.makedirs(below)
    with socket.socket() as s:
        enter_cgroup(below)
        s.connect((a.ip4(), 8080))
        s.sendall(b"below")
        actor.read_exactly(s, 5)
        enter_cgroup(a.place.cgroup)
        s.sendall(b"above")
        actor.read_exactly(s, 5)
    actor.note_flow(a.ip4(), 8080, "tcp", "established", 10, 10)
    os.removedirs(below)


@kind()
def cgroup_clone_into(a: Action) -> None:
    """clone3 with CLONE_INTO_CGROUP starts the child in a cgroup below."""
    below = os.path.join(a.place.cgroup, a.word)
    os.mkdir(below)
    a.trigger("exec-into-cgroup", below)
    os.rmdir(below)


def enter_cgroup(path: str) -> None:
    with open(os.path.join(path, "cgroup.procs"), "w") as f:
        f.write(str(os.getpid()))
