# SPDX-License-Identifier: Apache-2.0
"""kernel.py SANDPIPER LOAD EMPTY [QUICK]: what observing costs each kind of event, in nanoseconds, which in a guest under -icount are instructions.
A fork with an exec and an exit is three hundred times as much as what is measured of it, and varies by more: there, it is what is spent within the programs.
Prints one JSON object behind the word "bench". Each collector is stopped while it is measured against, so that what is counted is the kernel's part
alone; the rings are large enough for that."""

import ctypes
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

from common import cgroup_mount

sandpiper, empty = map(os.path.abspath, (sys.argv[1], sys.argv[3]))
quick = len(sys.argv) > 4
# In memory: a program that is started from the host's file system waits for it.
load = shutil.copy(sys.argv[2], "/tmp/load")
ROUNDS = 7
# How often one thing is done in a round: a round is long beside a clock tick, and short beside a ring.
EVENTS = {"pid": 20000, "packet": 1000, "dns": 1000, "attempt": 1000, "connect": 300, "exec": 60}
COMMITS = 10
PEERS = {
    "attempt": {
        "tcpconnect": ["tcpconnect"],
        "bpftrace": [
            "bpftrace",
            "-e",
            'kprobe:tcp_v4_connect { printf("%s %d\\n", comm, pid); } kretprobe:tcp_v4_connect { printf("%d\\n", retval); }',
        ],
    },
    "exec": {
        "execsnoop": ["execsnoop"],
        "bpftrace": [
            "bpftrace",
            "-e",
            "tracepoint:syscalls:sys_enter_execve { join(args->argv); }",
        ],
    },
}
RING = [
    "--ring-bytes",
    "64M",
    "--critical-ring-bytes",
    "64M",
    "--no-limit-records",
    "--canary-interval-ms",
    "0",
    "--socket",
    "",
]


top = cgroup_mount() + "/bench"
for name in ("watched", "plain", "server"):
    os.makedirs(os.path.join(top, name), exist_ok=True)


def enter(cgroup):
    """Batch: who is woken waits until the other one does. Else the scheduler's choice, which hangs on who has run for how long, is in the differences."""

    def now():
        with open(os.path.join(top, cgroup, "cgroup.procs"), "w") as f:
            f.write("0")
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    return now


def measure(what, cgroup):
    """Of the rounds behind the first: the median. From the root: what an exec costs grows with the depth of where it is done."""
    out = subprocess.run(
        [load, what, str(EVENTS[what]), str(ROUNDS)],
        cwd="/",
        stdout=subprocess.PIPE,
        preexec_fn=enter(cgroup),
        check=True,
        env={**os.environ, "SERVER_CGROUP": os.path.join(top, "server")},
    )
    return statistics.median(int(x) for x in out.stdout.split()[1:])


class Beside:
    """A program that observes, stopped once it does."""

    def __init__(self, argv, ready):
        self.before = programs()
        self.process = subprocess.Popen(
            argv,
            stdout=subprocess.DEVNULL if ready == "stderr" else subprocess.PIPE,
            stderr=subprocess.PIPE if ready == "stderr" else subprocess.DEVNULL,
        )
        self.ready = ready

    def __enter__(self):
        if self.ready == "stdout":
            assert b"ready" in self.process.stdout.readline()
        elif self.ready == "stderr":
            while True:
                line = self.process.stderr.readline()
                assert line, "it ended"
                if b"ready" in line:
                    break
            time.sleep(1)
        else:
            # Those who do not say so: until programs of theirs are there, and a while after it, in which they attach them.
            for _ in range(100):
                assert self.process.poll() is None, "%r ended" % self.process.args
                if programs() > self.before:
                    break
                time.sleep(1)
            else:
                raise SystemExit("kernel.py: %r has no programs" % self.process.args)
            time.sleep(20)
        self.process.send_signal(signal.SIGSTOP)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def programs():
    return subprocess.run(["bpftool", "prog", "show"], capture_output=True).stdout.count(b"tag ")


def run_counts():
    """{name: (runs, nanoseconds)} of programs, where the kernel keeps them."""
    out = {}
    for p in json.loads(
        subprocess.run(
            ["bpftool", "--json", "prog", "show"], capture_output=True, check=True
        ).stdout
    ):
        if p.get("run_cnt"):
            runs, ns = out.get(p["name"], (0, 0))
            out[p["name"]] = (runs + p["run_cnt"], ns + p["run_time_ns"])
    return out


def verified():
    """{name: instructions that the verifier went through}, as struct bpf_prog_info has it from Linux 5.16 on."""
    out, last = {}, ctypes.c_uint32(0)
    libc = ctypes.CDLL(None, use_errno=True)

    def bpf(command, attr):
        return libc.syscall(321, command, attr, len(attr))

    while True:
        attr = bytearray(last.value.to_bytes(4, "little") + bytes(124))
        raw = (ctypes.c_char * 128).from_buffer(attr)
        if bpf(11, raw):  # BPF_PROG_GET_NEXT_ID
            return out
        last = ctypes.c_uint32(int.from_bytes(attr[4:8], "little"))
        raw = (ctypes.c_char * 128).from_buffer(
            bytearray(last.value.to_bytes(4, "little") + bytes(124))
        )
        fd = bpf(13, raw)  # BPF_PROG_GET_FD_BY_ID
        if fd < 0:
            continue
        info = ctypes.create_string_buffer(256)
        raw = (ctypes.c_char * 128).from_buffer(
            bytearray(
                fd.to_bytes(4, "little")
                + (256).to_bytes(4, "little")
                + ctypes.addressof(info).to_bytes(8, "little")
                + bytes(112)
            )
        )
        if bpf(15, raw) == 0:  # BPF_OBJ_GET_INFO_BY_FD
            out[info.raw[64:80].split(b"\0")[0].decode()] = int.from_bytes(
                info.raw[216:220], "little"
            )
        os.close(fd)


result = {"kernel": os.uname().release, "events": {}}


def within_programs(what, cgroup):
    """Of all programs there are, for each event. The guest is ours: it may keep statistics of all of them."""
    with open("/proc/sys/kernel/bpf_stats_enabled", "w") as f:
        f.write("1\n")
    before = run_counts()
    measure(what, cgroup)
    spent = sum(ns - before.get(name, (0, 0))[1] for name, (_, ns) in run_counts().items())
    with open("/proc/sys/kernel/bpf_stats_enabled", "w") as f:
        f.write("0\n")
    return spent / (EVENTS[what] * ROUNDS)


def cost(what, cgroup):
    return within_programs(what, cgroup) if what == "exec" else measure(what, cgroup) - off[what]


off = {what: measure(what, "watched") for what in EVENTS}
with Beside([empty, cgroup_mount()], "stdout"):
    floor = {what: cost(what, "watched") for what in EVENTS}
with Beside([sandpiper, "run", "--cgroup", top + "/watched", *RING], "stderr"):
    result["verified"] = verified()
    watched = {what: cost(what, "watched") for what in EVENTS}
    unwatched = {what: cost(what, "plain") for what in EVENTS}
for what in EVENTS:
    result["events"][what] = {
        "alone": off[what],
        "empty programs": floor[what],
        "unwatched": unwatched[what],
        "watched": watched[what],
    }
# Some of them look their tracepoints up there.
if not quick and not os.path.isdir("/sys/kernel/tracing/events"):
    subprocess.run(["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"], check=True)
for what, peers in PEERS.items():
    for name, argv in peers.items():
        if quick or not shutil.which(argv[0]):
            continue
        with Beside(argv, None):
            result["events"][what][name] = cost(what, "watched")
# Which program takes how much; keeping the count costs each run something, so these add up to more.
with Beside(
    [sandpiper, "run", "--program-statistics", "--cgroup", top + "/watched", *RING], "stderr"
):
    for what in EVENTS:
        if what == "pid":
            continue
        events = EVENTS[what] * ROUNDS
        before = run_counts()
        measure(what, "plain")
        unwatched_ns = sum(
            ns - before.get(name, (0, 0))[1] for name, (_, ns) in run_counts().items()
        )
        before = run_counts()
        measure(what, "watched")
        watched_ns = sum(ns - before.get(name, (0, 0))[1] for name, (_, ns) in run_counts().items())
        # These come out the same each time, where the differences above vary with what else the guest does.
        result["events"][what]["within programs"] = {
            "unwatched": unwatched_ns / events,
            "watched": watched_ns / events,
        }
        result["events"][what]["programs"] = {
            name: [
                round((runs - before.get(name, (0, 0))[0]) / events, 2),
                round(
                    (ns - before.get(name, (0, 0))[1]) / max(runs - before.get(name, (0, 0))[0], 1)
                ),
            ]
            for name, (runs, ns) in sorted(run_counts().items())
            if runs - before.get(name, (0, 0))[0] >= events / 2
        }
    # A commit of nftables: what the programs on it take; nft(8) itself is a thousand times as much.
    before = run_counts()
    for i in range(COMMITS):
        subprocess.run(
            ["nft", "add table inet bench%d" % i], preexec_fn=enter("watched"), check=True
        )
    programs_of_nft = {
        name: (runs - before.get(name, (0, 0))[0], ns - before.get(name, (0, 0))[1])
        for name, (runs, ns) in run_counts().items()
        if name.startswith(("handle_nft", "handle_netlink"))
    }
    spent = sum(ns for _, ns in programs_of_nft.values()) / COMMITS
    result["events"]["nft commit"] = {
        "watched": spent,
        "within programs": {"watched": spent},
        "programs": {
            name: [round(runs / COMMITS, 2), round(ns / runs)]
            for name, (runs, ns) in programs_of_nft.items()
            if runs
        },
    }
print("bench " + json.dumps(result), flush=True)
