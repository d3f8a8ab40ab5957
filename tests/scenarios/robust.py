# SPDX-License-Identifier: Apache-2.0
"""Invalid input, unsupported hosts, floods and sudden ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence

from attribution import Collector, act, egress_of
from checks import check_complete, check_event_counts, check_everything
from otlp_receiver import HttpSink
from registry import Skip, scenario
from scrape import free_port
from world import World


def check_error(
    w: World,
    argv: Sequence[str],
    status: int,
    *parts: str,
    wrap: Sequence[str] = (),
    env: dict[str, str] | None = None,
) -> None:
    done = subprocess.run(
        [*wrap, w.sandpiper, *argv],
        capture_output=True,
        timeout=60,
        env={**os.environ, **(env or {})},
    )
    text = done.stderr.decode()
    assert done.returncode == status, (argv, done.returncode, text)
    lines = [line for line in text.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("sandpiper: "), text
    for part in parts:
        assert part in text, (part, text)
    assert not done.stdout, done.stdout


@scenario("userspace")
def invalid_flag_is_one_error(w: World) -> None:
    check_error(w, [], 2, "subcommand")
    check_error(w, ["run", "--no-such-flag"], 2, "--no-such-flag")
    check_error(w, ["exec"], 125, "command")
    check_error(w, ["exec", "--format", "xml", "--", "true"], 125, "xml")
    check_error(w, ["exec", "--ring-bytes", "5000", "--", "true"], 125, "5000", "power of two")
    check_error(w, ["exec", "--dns-timeout-ms", "-3", "--", "true"], 125, "--dns-timeout-ms")
    check_error(w, ["exec", "--dns-port", "99999", "--", "true"], 125, "--dns-port")
    check_error(
        w, ["exec", "--avoid", "connect", "--", "true"], 125, '"connect" is not PROBE:MECHANISM'
    )
    check_error(
        w,
        ["exec", "--avoid", "connect:magic", "--", "true"],
        125,
        "connect:magic",
        "is not a mechanism of a probe",
        "egress.denied:tp_btf",
    )
    check_error(w, ["exec", "--log-level", "loud", "--", "true"], 125, "loud")
    check_error(w, ["exec", "--events", "/nonexistent/x", "--", "true"], 125, "/nonexistent/x")


@scenario("userspace")
def invalid_cgroup_is_one_error(w: World) -> None:
    first_events = w.new_cgroup("dup/x")
    w.new_cgroup("dup2/x")
    check_error(w, ["run", "--cgroup", "/no/such/cgroup"], 1, "/no/such/cgroup", "no such cgroup")
    check_error(
        w,
        ["run", "--cgroup", first_events + "=pod:sidecar"],
        1,
        "=pod:sidecar",
        "no other --cgroup has the id pod",
    )
    check_error(w, ["run", "--cgroup", first_events + "="], 1, "PATH=ID")
    check_error(w, ["run", "--cgroup", w.cgroups + "/dup*=one"], 1, "one id for 2 cgroups")
    check_error(
        w, ["run", "--cgroup", first_events, "--cgroup", w.cgroups + "/dup2/x"], 1, "two cgroups"
    )
    check_error(
        w,
        ["run", "--cgroup", w.cgroups + "/dup*"],
        1,
        "OPENSANDBOX_EGRESS_SANDBOX_ID",
        env={"OPENSANDBOX_EGRESS_SANDBOX_ID": "x"},
    )
    check_error(
        w, ["run"], 1, "OPENSANDBOX_EGRESS_SANDBOX_ID", env={"OPENSANDBOX_EGRESS_SANDBOX_ID": "x"}
    )


@scenario()
def unsupported_hosts_are_errors(w: World) -> None:
    cg = w.new_cgroup("host")
    # A copy that every user can read; the build folder may be readable by root only.
    copy = "/tmp/sp-copy-%d" % os.getpid()
    subprocess.run(["cp", w.sandpiper, copy], check=True)
    try:
        done = subprocess.run(
            [
                "setpriv",
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
                copy,
                "run",
                "--cgroup",
                cg,
            ],
            capture_output=True,
            timeout=60,
        )
        assert (
            done.returncode == 1 and b"run as root" in done.stderr and done.stderr.count(b"\n") == 1
        ), done.stderr
    finally:
        os.unlink(copy)
    hide_folder = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"']
    check_error(w, ["run", "--cgroup", cg], 1, "BTF", wrap=[*hide_folder, "/sys/kernel/btf"])
    check_error(w, ["exec", "--", "true"], 125, "BTF", wrap=[*hide_folder, "/sys/kernel/btf"])
    without_cgroup2 = [
        "unshare",
        "-m",
        "sh",
        "-c",
        (
            'for m in $(sed -n "s/^[^ ]* [^ ]* [^ ]* [^ ]* \\([^ ]*\\) .* - cgroup2 '
            '.*/\\1/p" /proc/self/mountinfo); do umount -l $m; done; exec "$@"'
        ),
        "sh",
    ]
    check_error(w, ["exec", "--", "true"], 125, "cgroup v2 is not mounted", wrap=without_cgroup2)
    check_error(w, ["run", "--cgroup", "x"], 1, "cgroup v2 is not mounted", wrap=without_cgroup2)


@scenario()
def failed_commands_keep_their_status(w: World) -> None:
    plain = os.path.join(w.dir, "plain")
    open(plain, "w").close()
    for argv, status, part in (
        (["/no/such/program"], 127, "No such file"),
        ([plain], 126, "Permission denied"),
    ):
        done = subprocess.run([w.sandpiper, "exec", "--", *argv], capture_output=True, timeout=60)
        assert done.returncode == status and part in done.stderr.decode(), (
            done.returncode,
            done.stderr,
        )
        assert not done.stdout


@scenario()
def no_leftovers(w: World) -> None:
    before = loaded_programs()
    w.exec(["sh", "-c", "mkdir %s/sandpiper-exec-$PPID/sub && true" % w.mount])
    assert not left_cgroups(w), left_cgroups(w)
    wait_until_unloaded(before)


def left_cgroups(w: World) -> list[str]:
    return [n for n in os.listdir(w.mount) if n.startswith("sandpiper-exec-")]


def loaded_programs() -> int:
    out = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout
    return sum(p.get("name", "").startswith("handle_") for p in json.loads(out))


def wait_until_unloaded(count: int) -> None:
    """The kernel frees programs a moment after their last user is closed."""
    for _ in range(100):
        if loaded_programs() <= count:
            return
        time.sleep(0.1)
    raise AssertionError("%d programs are still loaded, %d before" % (loaded_programs(), count))


CHECKED_TRAFFIC = """
import select, socket, time
s = socket.create_connection(("10.77.0.4", 8080))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(("10.77.0.4",
    9000)); u.settimeout(5)
print("up", flush=True)
end = time.monotonic() + 300
n = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    assert time.monotonic() < end
    data = (b"%d " % n) * 50
    s.sendall(data)
    assert actor.read_exactly(s, len(data)) == data
    u.send(data); assert u.recv(2000) == data
    if n % 20 == 0:
        c = socket.create_connection(("10.77.0.4", 80)); c.close()
        assert actor.lookup("a.test", "A")[0] == "ok"
        actor.run(["true"])
    n += 1
"""


@scenario()
def traffic_survives_load_unload_and_kill(w: World) -> None:
    """The sandbox sends all the time, checks every byte, and fails on the first wrong one."""
    cg, before = w.new_cgroup("steady"), loaded_programs()
    p = act(w, cg, CHECKED_TRAFFIC, wait=False)
    p.stdout.readline()
    for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        c = Collector(w, [cg])
        assert loaded_programs() > before
        time.sleep(0.5)
        c.stop(sig)
        wait_until_unloaded(before)
    out = p.communicate(b"\n", timeout=60)[0]
    assert p.returncode == 0 and b'"truth"' in out


@scenario()
def losses_are_reported_and_counts_exact(w: World) -> None:
    n = 20000
    r = w.exec(
        [w.triggers, "flood-connect", "10.77.0.4", "1", str(n)], options=["--ring-bytes", "4096"]
    )
    assert r.status == 0 and int(r.stdout) == n
    check_event_counts(r)
    events = r.report["events"]
    assert events["connect"]["produced"] == n and events["connect"]["dropped"] > 0, events
    assert not r.report["complete"] and any(
        "connect events were dropped" in g for g in r.report["gaps"]
    ), r.report["gaps"]
    losses = r.records("sandpiper.loss")
    assert (
        sum(e.get("sandpiper.dropped.ring_full.connect", 0) for e in losses)
        == events["connect"]["dropped"]
    ), losses
    assert r.report["totals"]["attempts"] == n
    attempts = r.metric("sandbox.connect.attempts", "outcome")
    assert sum(attempts.values()) == n and attempts[("unknown",)] >= events["connect"]["dropped"], (
        attempts
    )
    # Rare events have a ring of their own.
    assert events["exec"]["dropped"] == events["exit"]["dropped"] == 0


@scenario()
def flood_within_the_ring_loses_nothing(w: World) -> None:
    n = 20000
    r = w.exec(
        [w.triggers, "flood-connect", "10.77.0.4", "1", str(n)], options=["--ring-bytes", "64M"]
    )
    check_complete(r)
    assert r.report["totals"]["attempts"] == n
    assert sum(r.metric("sandbox.connect.attempts", "outcome").values()) == n


@scenario()
def stopped_reader_reports_its_losses(w: World) -> None:
    cg = w.new_cgroup("stopped")
    c = Collector(w, [cg], options=["--ring-bytes", "64K"])
    c.process.send_signal(signal.SIGSTOP)
    truth = act(w, cg, "for i in range(2000): actor.lookup('s%d.test' % i, 'A')")
    c.process.send_signal(signal.SIGCONT)
    events = c.stop()
    assert len(truth["lookups"]) == 2000
    stopped = [e for e in events if e["opensandbox.event"] == "sandbox.stopped"][0]
    lost = sum(
        stopped.get("sandpiper.dropped.%s.dns_query" % reason, 0)
        for reason in ("ring_full", "rate_limited")
    )
    assert lost > 0 and len(egress_of(events, "stopped")[0]) == 2000 - lost, (
        lost,
        len(egress_of(events, "stopped")[0]),
    )


@scenario("userspace")
def no_endpoint_no_network(w: World) -> None:
    cg = w.new_cgroup("quiet")
    c = Collector(
        w,
        [cg],
        options=["--socket", ""],
        env={"OTEL_LOGS_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"},
    )
    links = [
        os.readlink("/proc/%d/fd/%s" % (c.process.pid, fd))
        for fd in os.listdir("/proc/%d/fd" % c.process.pid)
    ]
    assert not any(line.startswith("socket:") for line in links), links
    events = c.stop()
    assert c.process.returncode == 0 and len(events) == 2


@scenario()
def ready_is_sent_to_the_service_manager(w: World) -> None:
    cg, path = w.new_cgroup("notify"), os.path.join(w.dir, "notify.sock")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(20)
    c = Collector(w, [cg], env={"NOTIFY_SOCKET": path})
    assert s.recv(100) == b"READY=1"
    c.stop()


@scenario()
def signal_ends_the_command_with_a_report(w: World) -> None:
    for sig, times in ((signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGINT, 2)):
        report = os.path.join(w.dir, "signal-report")
        ignore = "trap '' TERM INT; " if times == 2 else ""
        p = subprocess.Popen(
            [
                w.sandpiper,
                "exec",
                "--format",
                "json",
                "-o",
                report,
                "--",
                "sh",
                "-c",
                ignore + "echo up; while :; do sleep 0.1; done",
            ],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert p.stdout.readline() == b"up\n"
        p.send_signal(sig)
        for _ in range(100):
            try:
                p.wait(timeout=0.3)
                break
            except subprocess.TimeoutExpired:
                if times == 2:  # repeatedly, because two signals that arrive together are one
                    p.send_signal(sig)
        p.communicate(timeout=60)
        assert p.returncode == (137 if times == 2 else 143), p.returncode
        assert json.load(open(report))["complete"]
    assert not left_cgroups(w)


@scenario()
def version_and_help(w: World) -> None:
    assert subprocess.run([w.sandpiper, "version"], capture_output=True).stdout.startswith(
        b"sandpiper "
    )
    for argv in (["--help"], ["exec", "--help"], ["run", "--help"]):
        done = subprocess.run([w.sandpiper, *argv], capture_output=True)
        assert done.returncode == 0 and b"--" in done.stdout, done


@scenario()
def report_table_lists_the_facts(w: World) -> None:
    done = subprocess.run(
        w.in_sandbox_net([w.sandpiper, "exec", "--", "curl", "-s", "http://web.test/"]),
        capture_output=True,
        timeout=60,
    )
    text = done.stdout.decode()
    assert done.returncode == 0 and text.startswith("hello")
    for part in (
        "Destinations",
        "web.test",
        "10.77.0.4",
        "80/tcp",
        "established",
        "Lookups",
        "AAAA",
        "Processes",
        "curl -s http://web.test/",
        "exit 0",
        "Nothing was missed",
    ):
        assert part in text, (part, text)


@scenario()
def two_collectors_side_by_side(w: World) -> None:
    """A second collector that is attached before or after changes nothing for either."""
    cg = w.new_cgroup("both")
    first = Collector(w, [cg])
    second = Collector(w, [cg + "=again"])
    act(w, cg, "actor.lookup('x.test', 'A'); actor.tcp('10.77.0.3')")
    first_events = first.stop()
    act(w, cg, "actor.lookup('y.test', 'A')")
    second_events = second.stop()
    assert egress_of(first_events, "both")[:2] == (["x.test"], ["10.77.0.3"]), egress_of(
        first_events, "both"
    )
    assert egress_of(second_events, "again")[:2] == (["x.test", "y.test"], ["10.77.0.3"]), (
        egress_of(second_events, "again")
    )


@scenario()
def configured_dns_ports(w: World) -> None:
    r = w.actor(
        """
        actor.lookup("a.test", "A")
        actor.udp("10.77.0.4", port=9000, payloads=[b"not dns"], name="a.test")
    """,
        options=["--dns-port", "53,5353"],
    )
    check_everything(r)


@scenario("hosts", "kernels")
def doctor_agrees_with_the_report(w: World) -> None:
    """doctor names the mechanisms in use, and leaves nothing attached."""
    done = subprocess.run(
        [w.sandpiper, "doctor", "--format", "json", "--avoid", "connect.error:fexit"],
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    findings = {f["subject"]: f for f in json.loads(done.stdout)}
    r = w.exec(["true"], options=["--avoid", "connect.error:fexit"])
    for probe in r.report["probes"]:
        name = "resources" if probe["probe"] == "resources" else "probe " + probe["probe"]
        assert (findings[name]["found"], findings[name]["reason"]) == (
            probe["mechanism"],
            probe.get("reason", ""),
        ), (probe, findings[name])
    assert (
        findings["probe connect.error"]["state"] == "degraded"
        and "--avoid" in findings["probe connect.error"]["reason"]
    )
    assert (
        findings["cgroup v2"]["found"].startswith(w.mount + " (")
        and findings["kernel"]["found"] == os.uname().release + " " + os.uname().machine
    )
    assert {findings[s]["state"] for s in ("BTF", "capabilities", "main job")} == {"on"} and {
        "lockdown",
        "clock",
    } <= set(findings), findings
    assert not [d for d in os.listdir(w.mount) if d.startswith("sandpiper-doctor")]
    table = (
        subprocess.run([w.sandpiper, "doctor"], capture_output=True, timeout=120)
        .stdout.decode()
        .splitlines()
    )
    assert len(table) == len(findings) and all("  " in line for line in table), table
    done = subprocess.run(
        ["setpriv", "--bounding-set=-all,+bpf", w.sandpiper, "doctor", "--format", "json"],
        capture_output=True,
        timeout=120,
    )
    findings = {f["subject"]: f for f in json.loads(done.stdout)}
    assert done.returncode == 1 and b"root" in done.stderr, done.stderr
    assert (
        findings["main job"]["state"] == findings["capabilities"]["state"] == "off"
        and "no CAP_NET_ADMIN" in findings["capabilities"]["reason"]
    ), findings


@scenario("userspace")
def doctor_checks_the_endpoint(w: World) -> None:
    sink, port = HttpSink(), free_port()
    for url, state in ((sink.url, "on"), ("http://127.0.0.1:%d" % port, "off")):
        done = subprocess.run(
            [w.sandpiper, "doctor", "--format", "json"],
            capture_output=True,
            timeout=120,
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url},
        )
        findings = {f["subject"]: f for f in json.loads(done.stdout)}
        assert done.returncode == 0, done.stderr
        for kind in ("logs", "metrics"):
            found = findings["endpoint " + kind]
            assert (
                found["found"] == "%s/v1/%s" % (url, kind)
                and found["state"] == state
                and bool(found["reason"]) == (state == "off")
            ), found
    assert [body for _, _, body in sink.posts] == [b"", b""]


@scenario("kernels", "lockdown")
def lockdown_confidentiality(w: World) -> None:
    """lockdown=confidentiality: nothing can be watched, and the error says why."""
    try:
        mode = open("/sys/kernel/security/lockdown").read()
    except OSError:
        mode = ""
    if "[confidentiality]" not in mode:
        raise Skip("lockdown is not set to confidentiality; it is in a guest of the vm tier")
    done = subprocess.run(
        [w.sandpiper, "doctor", "--format", "json"], capture_output=True, timeout=120
    )
    findings = {f["subject"]: f for f in json.loads(done.stdout)}
    assert (
        done.returncode == 1
        and findings["lockdown"]["state"] == findings["main job"]["state"] == "off"
    ), findings
    check_error(w, ["exec", "--", "true"], 125, "lockdown=confidentiality")


@scenario("linux-6.1")
def kernel_without_bpf_jit(w: World) -> None:
    """net.core.bpf_jit_enable=0: sandpiper works without the JIT compiler."""
    if not w.slow:
        raise Skip("the scenario changes a kernel setting; only guests of the vm tier run it")
    path = "/proc/sys/net/core/bpf_jit_enable"
    before = open(path).read()
    try:
        with open(path, "w") as f:
            f.write("0")
    except OSError as e:
        raise Skip("this kernel's BPF JIT compiler cannot be turned off: %s" % e) from e
    try:
        if open(path).read().strip() != "0":
            raise Skip("this kernel's BPF JIT compiler cannot be turned off")
        done = subprocess.run([w.sandpiper, "exec", "--", "true"], capture_output=True, timeout=120)
        assert done.returncode == 0, done
    finally:
        with open(path, "w") as f:
            f.write(before)


@scenario("kernels")
def bpf_dns_parser_passes_all_messages(w: World) -> None:
    """Runs valid and invalid messages through the BPF program of a device with BPF_PROG_TEST_RUN.
    The output has every byte, and ldns reads the same messages."""
    count = 2000 if w.slow else 50000
    done = subprocess.run(
        [os.path.join(os.path.dirname(w.sink), "dns_test_run"), str(count)],
        capture_output=True,
        text=True,
        timeout=280,
    )
    if done.returncode == 77:
        raise Skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("%d messages, " % count), done.stdout
    print("     " + done.stdout.strip())
