# SPDX-License-Identifier: Apache-2.0
"""Processes: exec in every form, exits, arguments, ancestry."""

import os
import re
from collections import Counter

from checks import (
    args_of,
    check_complete,
    check_everything,
    check_identity,
    check_processes,
    exit_status_of,
    real_path,
    unescape,
)
from registry import scenario
from world import PYTHON, World

TAGS = ("peers",)


@scenario("hosts", "kernels")
def children_and_exits(w: World) -> None:
    check_everything(
        w.actor("""
        for code in (0, 1, 42, 255):
            actor.run(["sh", "-c", "exit %d" % code])
        actor.run(["sh", "-c", "kill -9 $$"])
        actor.run(["sh", "-c", "kill -TERM $$"])
        actor.run(["true"])
    """)
    )


@scenario()
def status_is_passed_through(w: World) -> None:
    for command, status in (
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["true"], 0),
    ):
        r = w.exec(command)
        assert r.status == status, (command, r.status)
        check_complete(r)
        check_processes(r, {"execs": []})


@scenario("linux-sid")
def concurrent_programs_on_one_cpu(w: World) -> None:
    """Where a BPF program can be preempted, the kernel skips a second run on that CPU. The backup
    programs recover those events."""
    n, cpu = 150, min(os.sched_getaffinity(0))
    loop = "(i=0; while [ $i -lt %d ]; do /bin/true %d; i=$((i+1)); done) & "
    r = w.exec(
        ["taskset", "-c", str(cpu), "sh", "-c", "".join(loop % (n, j) for j in range(4)) + "wait"]
    )
    # Events that a program and its backup both miss are lost, and the report has them as gaps.
    # Without the backup programs a dozen were lost.
    skipped_runs = {
        m[2]: int(m[1])
        for gap in r.report["gaps"]
        if (m := re.match(r"the kernel skipped (\d+) runs of handle_(\w+) ", gap))
    }
    assert len(skipped_runs) == len(r.report["gaps"]) and sum(skipped_runs.values()) <= n // 25, (
        r.report["gaps"]
    )
    runs = Counter(args_of(e) for e in r.records("process.exec"))
    counts = [runs[("/bin/true", str(j))] for j in range(4)]
    assert max(counts) <= n and sum(counts) >= 4 * n - skipped_runs.get("exec", 0), (
        counts,
        skipped_runs,
    )
    # taskset, sh and the programs of the loops run. taskset and sh are one process, and each loop
    # is one.
    totals = r.report["totals"]
    for what, count in (("exec", 4 * n + 2), ("exit", 4 * n + 5)):
        assert 0 <= count - totals[what + "s"] <= skipped_runs.get(what, 0), (
            what,
            totals,
            skipped_runs,
        )


@scenario()
def arguments_of_every_length(w: World) -> None:
    r = w.actor("""
        for n in (1, 480, 490, 500, 511, 512, 513, 4000, 4070, 4085):
            actor.run(["true", "x" * n])
    """)
    check_everything(r)
    assert not any(e.get("process.args_truncated") for e in r.records("process.exec"))


@scenario()
def arguments_past_the_limit_are_marked(w: World) -> None:
    r = w.actor("""
        actor.run(["true", "y" * 5000])
        actor.run(["true"] + ["z"] * 5000)
    """)
    check_complete(r)
    long = [e for e in r.records("process.exec") if e["process.pid"] != r.truth["pid"]]
    assert len(long) == 2 and all(e["process.args_truncated"] for e in long), long
    for e in long:
        assert sum(len(a) + 1 for a in e["process.command_args"]) in (4096, 4097), e


@scenario()
def arguments_with_any_bytes(w: World) -> None:
    r = w.actor(r"""
        actor.run(["printf", "line\nfeed", "tab\tbell\a", "esc\x1b[31m", "del\x7f",
            "back\\slash", "quote\"'", "umlaut äöü", "snow ☃", "rocket 🚀"])
        actor.run([b"printf", b"\xff\xfe\xfd", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"ok"])
        actor.run(["printf", "", "", "after empty ones"])
        actor.run(["printf", "c1 \u0085 ls \u2028 ps \u2029"])
    """)
    check_everything(r)
    # The actor's own code and the ten texts above need escapes.
    assert r.report["totals"]["escaped_texts"] == 1 + 5 + 4 + 1, r.report["totals"]
    for e in r.records("process.exec"):
        for a in e["process.command_args"]:
            assert not any(
                ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u2029" for c in a
            ), a


@scenario()
def paths_parents_and_directories(w: World) -> None:
    r = w.actor("""
        import os
        os.makedirs("/tmp/sp-dir with blank/deep", exist_ok=True)
        actor.run(["sh", "-c", "true; env true; exit 0"], cwd="/tmp/sp-dir with blank/deep")
        os.rmdir("/tmp/sp-dir with blank/deep")
        os.rmdir("/tmp/sp-dir with blank")
        actor.note("execs", argv=["true"], code=0)
    """)
    check_complete(r)
    check_identity(r)
    by_args = {args_of(e)[0]: e for e in r.records("process.exec")}
    actor_exec, sh_exec, true_exec = by_args[PYTHON], by_args["sh"], by_args["true"]
    assert actor_exec["process.executable.path"] == real_path(PYTHON), actor_exec
    assert (
        sh_exec["process.executable.path"] == real_path("/usr/bin/sh")
        and sh_exec["process.parent_pid"] == r.truth["pid"]
    ), sh_exec
    assert sh_exec["process.working_directory"] == "/tmp/sp-dir with blank/deep", sh_exec
    assert true_exec["process.parent_pid"] == sh_exec["process.pid"] and true_exec[
        "process.executable.path"
    ] == real_path("/usr/bin/true"), true_exec
    assert true_exec["process.ancestors"] == [real_path("/usr/bin/sh"), real_path(PYTHON)], (
        true_exec
    )
    assert sh_exec["process.pid"] == r.truth["execs"][0]["pid"]


@scenario()
def script_behind_its_interpreter(w: World) -> None:
    script = os.path.join(w.dir, "a script.sh")
    with open(script, "w") as f:
        f.write("#!/bin/sh\nexit 9\n")
    os.chmod(script, 0o755)
    r = w.exec([script])
    assert r.status == 9
    check_complete(r)
    e = r.records("process.exec")[0]
    assert e["process.interpreted_script"] == script and e["process.executable.path"] == real_path(
        "/bin/sh"
    ), e
    assert args_of(e) == ("/bin/sh", script), e


@scenario()
def path_over_the_limit_is_marked(w: World) -> None:
    r = w.actor("""
        import os, shutil
        deep = "/tmp/sp-deep/" + "/".join("directory-with-a-long-name-%02d" % i for i in range(30))
        os.makedirs(deep)
        shutil.copy("/usr/bin/true", deep + "/program")
        actor.run([deep + "/program"])
        shutil.rmtree("/tmp/sp-deep")
    """)
    check_complete(r)
    path = [e for e in r.records("process.exec") if args_of(e)[0].endswith("/program")][0][
        "process.executable.path"
    ]
    assert path.startswith(".../") and path.endswith("directory-with-a-long-name-29/program"), path


@scenario()
def vfork_clone3_and_double_fork(w: World) -> None:
    check_everything(w.exec([w.triggers, "exec-vfork"]))
    check_everything(w.exec([w.triggers, "exec-clone3"]))
    # The first child only forks and ends. sandpiper also waits for the orphan that it leaves.
    check_everything(w.exec([w.triggers, "exec-double-fork"]), forks=[("code", 0)])


@scenario()
def exec_from_a_thread(w: World) -> None:
    check_everything(w.exec([w.triggers, "exec-thread"]))


@scenario()
def memfd_and_execveat(w: World) -> None:
    r = w.exec([w.triggers, "exec-memfd"])
    check_everything(r)
    memfd_exec = [e for e in r.records("process.exec") if args_of(e)[0] == "by-memfd"][0]
    assert memfd_exec["process.executable.path"] == "memfd:hidden", memfd_exec


@scenario()
def forks_without_exec(w: World) -> None:
    check_everything(
        w.actor("""
        for _ in range(5):
            actor.fork_and_wait(lambda: 3)
    """),
        forks=[("code", 3)] * 5,
    )


@scenario()
def many_threads_end_together(w: World) -> None:
    n = 20 if w.slow else 100
    r = w.actor(
        """
        import threading, time
        def child():
            for _ in range(32):
                threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
            return 4
        for _ in range(%d):
            actor.fork_and_wait(child)
    """
        % n
    )
    check_everything(r, forks=[("code", 4)] * n)


@scenario()
def failed_exec_is_no_exec(w: World) -> None:
    r = w.actor("""
        import os
        def child():
            try:
                os.execv("/nonexistent", ["x"])
            except OSError:
                return 17
        actor.fork_and_wait(child)
    """)
    check_everything(r, forks=[("code", 17)])


@scenario()
def background_process_outlives_the_command(w: World) -> None:
    r = w.exec(["sh", "-c", "(sleep 1; exec true) & exit 5"])
    assert r.status == 5
    check_complete(r)
    assert sorted(args_of(e)[0] for e in r.records("process.exec")) == ["sh", "sleep", "true"], (
        r.events
    )
    assert sorted(exit_status_of(e) for e in r.records("process.exit")) == [
        ("code", 0),
        ("code", 0),
        ("code", 5),
    ]
    assert r.report["duration_ms"] > 900


@scenario()
def durations_match_the_process(w: World) -> None:
    r = w.actor("""
        actor.run(["sleep", "0.5"])
    """)
    check_everything(r)
    sleeper = [e for e in r.records("process.exit") if e["process.executable.name"] == "sleep"][0]
    assert sleeper["process.duration_ms"] >= 500, sleeper


@scenario()
def a_thousand_short_processes(w: World) -> None:
    n = 100 if w.slow else 1000
    r = w.exec(["sh", "-c", "i=0; while [ $i -lt %d ]; do /bin/true $i; i=$((i+1)); done" % n])
    check_complete(r)
    assert r.status == 0
    numbers = sorted(
        int(args_of(e)[1]) for e in r.records("process.exec") if args_of(e)[0] == "/bin/true"
    )
    assert numbers == list(range(n))
    assert len(r.records("process.exit")) == n + 1


@scenario()
def names_with_line_breaks(w: World) -> None:
    name = 'evil"},{"x\n\x1b[2J\\'
    path = os.path.join(w.dir, name)
    import shutil

    shutil.copy("/usr/bin/true", path)
    r = w.exec([path, "\r\n{}"])
    check_complete(r)
    e = r.records("process.exec")[0]
    assert unescape(e["process.executable.path"]).decode() == path, e
    assert args_of(e) == (path, "\r\n{}"), e
