# SPDX-License-Identifier: Apache-2.0
"""Privileges of sandpiper: minimal, as the kernel shows for each thread and as attempts of
forbidden calls prove."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

import modules
from attribution import Collector, act
from checks import check_complete, check_same
from polling import wait_for
from registry import Skip, scenario
from scrape import free_port, serving
from world import World

# <linux/capability.h>
CAPABILITIES = {
    "DAC_OVERRIDE": 1,
    "DAC_READ_SEARCH": 2,
    "KILL": 5,
    "NET_BIND_SERVICE": 10,
    "NET_ADMIN": 12,
    "NET_RAW": 13,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "SYS_RESOURCE": 24,
    "PERFMON": 38,
    "BPF": 39,
}

# Numbers of x86-64, with harmless arguments. Without a filter most of the calls would fail with
# another error, and some would succeed.
EPERM, GETPID = -1, 39
FORBIDDEN = {
    "process_vm_readv": "310,1",
    "ptrace": "101,1,1",
    "fork": "56,0x20200",
    "execve": "59",
    "execveat": "322,0,0,0,0,0x1000",
    "unshare": "272,0",
    "setns of mounts": "308,-1,0x20000",
    "mount": "165",
    "umount": "166",
    "pivot_root": "155",
    "chroot": "161",
    "open_by_handle_at": "304,-1",
    "init_module": "175",
    "finit_module": "313,-1",
    "delete_module": "176",
    "kexec_load": "246,0,99",
    "reboot": "169",
    "swapon": "167",
    "bpf, loading a program": "321,5",
    "bpf, attaching one": "321,28",
    "bpf, a program by its id": "321,13",
    "perf_event_open": "298",
    "a packet socket": "41,17,3",
    "a vsock": "41,40,1",
    "io_uring_setup": "425,0",
    "userfaultfd": "323,-1",
    "keyctl": "250,99",
    "add_key": "248",
    "setuid": "105,0",
    "setresuid": "117,-1,-1,-1",
    "personality": "135,0xffffffff",
    "memfd_create": "319",
    "pidfd_getfd": "438,-1",
    "chmod": "90",
    "mknod": "133",
    "symlink": "88",
    "truncate": "76",
    "setxattr": "188",
    "acct": "163,1",
    "sethostname": "170,0,-1",
    "iopl": "172,9",
}


def thread_statuses(pid: int) -> dict[int, dict[str, str]]:
    """{thread: {field of /proc/PID/task/TID/status: value}}"""
    out = {}
    for path in glob.glob("/proc/%d/task/*/status" % pid):
        # A thread may have ended.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            out[int(path.split("/")[-2])] = dict(re.findall(r"(\w+):\t(.*)", open(path).read()))
    return out


def capability_names(mask: str) -> set[str]:
    by_number = {number: name for name, number in CAPABILITIES.items()}
    return {by_number.get(bit, bit) for bit in range(64) if int(mask, 16) >> bit & 1}


def maps_need_capability() -> bool:
    major, minor = map(int, os.uname().release.split(".")[:2])
    return (major, minor) < (5, 19) and open(
        "/proc/sys/kernel/unprivileged_bpf_disabled"
    ).read().strip() != "0"


@scenario("linux-6.1")
def running_collector_keeps_minimal_capabilities(w: World) -> None:
    """All features with threads are on. One thread reads rules and may enter namespaces."""
    cg, port = w.new_cgroup("watched"), free_port()
    sink = "http://127.0.0.1:%d" % free_port()
    c = Collector(
        w,
        [cg],
        env={
            **serving(port),
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink,
            "OTEL_LOGS_EXPORTER": "otlp",
            "SANDPIPER_SOCKET": w.dir + "/api.sock",
        },
    )
    act(w, cg, "actor.tcp('10.77.0.3', 8080)")
    threads = thread_statuses(c.process.pid)
    main = {"SYS_PTRACE", "DAC_READ_SEARCH"} | ({"BPF"} if maps_need_capability() else set())
    held = {thread: capability_names(status["CapPrm"]) for thread, status in threads.items()}
    assert held.pop(c.process.pid) == main, held
    readers = [thread for thread, capabilities in held.items() if capabilities]
    assert len(readers) == 1 and held[readers[0]] == {"SYS_ADMIN", "NET_ADMIN"}, held
    assert len(held) > 3, threads
    for status in threads.values():
        assert (
            status["CapEff"] == status["CapPrm"]
            and int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
        ), status
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status
    (status,) = thread_statuses(c.keeper()).values()
    assert (
        capability_names(status["CapPrm"]) <= {"NET_BIND_SERVICE", "DAC_OVERRIDE"}
        and status["NoNewPrivs"] == "1"
    ), status
    events = c.stop()
    check_same(
        "peers",
        [e["peer"] for e in events if e["opensandbox.event"] == "egress.outbound"],
        ["10.77.0.3"],
    )


@scenario("linux-6.1")
def forbidden_calls_fail_in_every_thread(w: World) -> None:
    cg = w.new_cgroup("tried")
    c = Collector(w, [cg], env={**serving(free_port()), "SANDPIPER_SOCKET": w.dir + "/api.sock"})
    calls = [str(GETPID), *FORBIDDEN.values(), str(GETPID)]
    done = subprocess.run(
        [w.triggers, "inject", str(c.process.pid), *calls], capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    results = {}
    for line in done.stdout.decode().splitlines():
        thread, _, result = map(int, line.split())
        results.setdefault(thread, []).append(result)
    assert c.process.pid in results and len(results) > 3, results
    expected = dict(
        zip(
            ["control", *FORBIDDEN, "control again"],
            [c.process.pid, *[EPERM] * len(FORBIDDEN), c.process.pid],
            strict=False,
        )
    )
    for got in results.values():
        assert dict(zip(expected, got, strict=False)) == expected, {
            what: result
            for what, result in zip(expected, got, strict=False)
            if expected[what] != result
        }
    # The rejected calls did not harm the collector.
    act(w, cg, "actor.tcp('10.77.0.3', 8080)")
    events = c.stop()
    check_same(
        "peers",
        [e["peer"] for e in events if e["opensandbox.event"] == "egress.outbound"],
        ["10.77.0.3"],
    )


@scenario()
def capabilities_for_nf_tables_are_dropped(w: World) -> None:
    if "nf_tables" not in modules.loaded_modules():
        raise Skip("nf_tables is built into this kernel or is not loaded")
    w.remove_server_rules()
    unloaded = modules.unload("nf_tables")
    try:
        c = Collector(w, [w.new_cgroup("late")])

        def held() -> set[str]:
            return capability_names(thread_statuses(c.process.pid)[c.process.pid]["CapPrm"])

        assert {"BPF", "PERFMON", "SYS_ADMIN"} <= held(), held()
        modules.load("nf_tables")
        wait_for(lambda: "SYS_ADMIN" not in held())
        assert held() == {"SYS_PTRACE", "DAC_READ_SEARCH"} | (
            {"BPF"} if maps_need_capability() else set()
        ), held()
        done = subprocess.run(
            [
                w.triggers,
                "inject",
                str(c.process.pid),
                FORBIDDEN["bpf, loading a program"],
                FORBIDDEN["perf_event_open"],
            ],
            capture_output=True,
            timeout=120,
        )
        assert {line.split()[2] for line in done.stdout.decode().splitlines()} == {str(EPERM)}, done
        c.stop()
    finally:
        for name in unloaded:
            modules.load(name)
        w.add_server_rules()


@scenario()
def system_call_filter_turned_off(w: World) -> None:
    c = Collector(w, [w.new_cgroup("open")], options=["--no-limit-system-calls"])
    assert {status["Seccomp"] for status in thread_statuses(c.process.pid).values()} <= {
        "0",
        open("/proc/self/status").read().split("Seccomp:\t")[1][0],
    }
    c.stop()


def with_capabilities(capabilities: Iterable[str], argv: Sequence[str]) -> list[str]:
    """Runs argv as root with only these capabilities."""
    return [
        "setpriv",
        "--inh-caps=-all",
        "--bounding-set=-all,%s"
        % ",".join("+cap_%d" % CAPABILITIES[name] for name in sorted(capabilities)),
        *argv,
    ]


@scenario("linux-5.10", "linux-6.1", "linux-sid")
def smallest_capability_set(w: World) -> None:
    """With the smallest set all probes load and a command is recorded completely. Without any one
    of it, doctor names the missing one."""

    def doctor(capabilities: Iterable[str]) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            with_capabilities(capabilities, [w.sandpiper, "doctor", "--format", "json"]),
            capture_output=True,
            timeout=300,
        )
        return done.returncode, {
            f["subject"]: (f["state"], f["found"], f["reason"]) for f in json.loads(done.stdout)
        }

    everything = [
        name
        for name in CAPABILITIES
        if int(re.search(r"CapBnd:\t(.*)", open("/proc/self/status").read())[1], 16)
        >> CAPABILITIES[name]
        & 1
    ]
    smallest = {
        "BPF",
        "PERFMON",
        "NET_ADMIN",
        "SYS_ADMIN",
        "SYS_PTRACE",
        "DAC_READ_SEARCH",
        "DAC_OVERRIDE",
    }
    if tuple(map(int, os.uname().release.split(".")[:2])) < (5, 11):
        smallest.add("SYS_RESOURCE")
    status, all_found = doctor(everything)
    assert status == 0, all_found
    # The set lacks capabilities for optional features, as ports below 1024 and packet sockets.
    status, found = doctor(smallest)
    assert status == 0 and found == all_found, {
        k: (found.get(k), v) for k, v in all_found.items() if found.get(k) != v
    }
    for name in sorted(smallest):
        status, found = doctor(smallest - {name})
        # CAP_SYS_ADMIN includes the two newer capabilities.
        if name in ("BPF", "PERFMON"):
            assert status == 0 and found["capabilities"][0] == "on", (name, found)
            status, found = doctor(smallest - {name, "SYS_ADMIN"})
        assert found["capabilities"][0] != "on" and "no CAP_" + name in found["capabilities"][2], (
            name,
            found,
        )
    command = with_capabilities(smallest, [w.sandpiper])
    r = w.actor(
        """
        actor.lookup("small.test", "A")
        actor.tcp("10.77.0.3", 8080)
        actor.run(["true"])
    """,
        sandpiper=command,
    )
    check_complete(r)
