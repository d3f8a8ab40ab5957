# SPDX-License-Identifier: Apache-2.0
"""Metrics on their way out: what a receiver adds up to is what happened, however it asks for it."""

import os
import signal
import subprocess
import textwrap
import time

from attribution import Collector, act
from checks import args_of
from otlp import ACT, HttpSink, attributes, common_env, decode, host_net
from registry import Skip, scenario
from scrape import Scrape, free_port, serving, text
from world import PYTHON

OVERFLOW = {"otel.metric.overflow": True}


def points(w, sink):
    """Of all requests, in their order: (metric, temporality, attributes, point)."""
    for path, _, body in sink.posts:
        if not path.endswith("metrics"):
            continue
        for resource in decode(w, "metrics", body)["resourceMetrics"]:
            for scope in resource["scopeMetrics"]:
                for m in scope["metrics"]:
                    (kind,) = {"sum", "gauge", "histogram", "exponentialHistogram"} & set(m)
                    for p in m[kind].get("dataPoints", []):
                        yield m["name"], m[kind].get("aggregationTemporality"), attributes(p), p


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not (result := what()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.2)
    return result


@scenario("userspace")
def prometheus_gets_the_same_and_finds_it_valid(w):
    if subprocess.run(["which", "promtool"], capture_output=True).returncode:
        raise Skip("there is no promtool: deploy/setup.sh --with-runtimes installs it")
    cg, port = w.new_cgroup("prom"), free_port()
    c = Collector(
        w, [cg + '=p"r\\om'], env=serving(port, OPENSANDBOX_EGRESS_METRICS_EXTRA_ATTRS="team=red")
    )
    act(w, cg, textwrap.dedent(ACT))
    s = wait_for(lambda: (s := Scrape(port)).sum("sandbox_process_exits_total") >= 3 and s)
    assert s.by("sandbox_dns_queries_total", "outcome", "network_transport") == {("ok", "udp"): 2}
    assert s.by("sandbox_connect_attempts_total", "outcome") == {
        ("established",): 1,
        ("refused",): 1,
    }
    assert (
        s.sum("egress_dns_query_duration_seconds_count")
        == 2
        == s.sum("egress_dns_query_duration_seconds_bucket", le="+Inf")
    )
    assert {l["sandbox_id"] for n, l, _ in s.samples if n == "sandbox_dns_queries_total"} == {
        'p\\"r\\\\\\\\om'
    }, s.samples
    assert all(
        l["team"] == "red" for n, l, _ in s.samples if not n.startswith(("exposer_", "target_info"))
    )
    told = subprocess.run(
        ["promtool", "check", "metrics"], input=text(port).encode(), capture_output=True
    )
    complaints = [l for l in (told.stdout + told.stderr).decode().splitlines() if l]
    # 3: nothing that cannot be read, but names that it would not have chosen; the contract did.
    assert told.returncode in (0, 3), complaints
    given = [
        l
        for l in complaints
        if not l.endswith('non-histogram and non-summary metrics should not have "_count" suffix')
    ]
    assert not given, given
    # What a scraper is served is no more than what the catalog has, but for the server's own.
    types = {l.split()[2] for l in text(port).splitlines() if l.startswith("# TYPE")}
    assert not [
        t
        for t in types
        if not t.startswith(
            ("egress_", "sandbox_", "sandpiper_", "process_", "otel_", "exposer_", "target_info")
        )
    ], types
    c.stop()


@scenario("userspace")
def nobody_listens_unless_asked(w):
    c = Collector(
        w,
        [w.new_cgroup("unasked")],
        options=["--socket", ""],
        env={
            "OTEL_METRICS_EXPORTER": "prometheus",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(free_port()),
            "OTEL_SDK_DISABLED": "true",
        },
    )
    links = [
        os.readlink("/proc/%d/fd/%s" % (c.process.pid, fd))
        for fd in os.listdir("/proc/%d/fd" % c.process.pid)
    ]
    assert not any(l.startswith("socket:") for l in links), links
    c.stop()
    # A port that is taken is a clear error.
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        done = subprocess.run(
            [w.sandpiper, "run", "--cgroup", w.cgroups],
            env={**os.environ, **serving(port)},
            capture_output=True,
            timeout=60,
        )
    assert (
        done.returncode == 1 and str(port) in done.stderr.decode() and done.stderr.count(b"\n") == 1
    ), done.stderr


@scenario("userspace")
def deltas_and_exponential_histograms(w):
    sink = HttpSink()
    r = host_net(
        w,
        ACT + "\n    import time; time.sleep(1); actor.lookup('b.test', 'A')",
        common_env(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
            OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="Delta",
            OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="base2_exponential_bucket_histogram",
        ),
    )
    sums, last_end = {}, {}
    for name, temporality, attrs, p in points(w, sink):
        if name.startswith(("process.", "otel.sdk.", "egress.system.")) or temporality is None:
            continue
        key = (name, tuple(sorted(attrs.items())))
        n = float(p.get("asInt", p.get("asDouble", p.get("count", 0))))
        if name == "sandbox.connect.active":
            assert temporality == 2
            sums[key] = n
            continue
        assert temporality == 1 and n > 0, (name, p)
        assert int(p["startTimeUnixNano"]) >= last_end.get(key, 0), "two deltas over one time"
        last_end[key] = int(p["timeUnixNano"])
        sums[key] = sums.get(key, 0) + n
        if "duration" in name:
            buckets = sum(int(b) for b in p["positive"].get("bucketCounts", []))
            assert buckets + int(p.get("zeroCount", 0)) == n, p
    for name, ps in r.metrics.items():
        for p in ps:
            key = (name, tuple(sorted(p["attributes"].items())))
            value = float(p.get("value", p.get("count")))
            if key in sums or (
                value
                and name
                in ("sandbox.dns.queries", "sandbox.connect.attempts", "sandpiper.events.produced")
            ):
                assert abs(sums[key] - value) < 1e-6, (key, sums[key], value)
    assert (
        sums[("sandbox.dns.duration", (("leg", "client"), ("sandbox_id", r.report["sandbox_id"])))]
        == 3
    )


@scenario("userspace")
def a_sandbox_ends_and_another_takes_its_name(w):
    os.makedirs(w.cgroups + "/ends")
    sink = HttpSink()
    env = common_env(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_LOGS_EXPORTER="none")
    c = Collector(w, [w.cgroups + "/ends/box-*"], env=env)
    for turn in range(2):
        cg = w.new_cgroup("ends/box-x")
        act(w, cg, "for i in range(%d): actor.lookup('t%%d.test' %% i, 'A')" % (3 + turn))
        os.rmdir(cg)

        def over():
            stale = {
                p["startTimeUnixNano"]
                for n, _, _, p in points(w, sink)
                if n == "sandbox.dns.queries" and p.get("flags") == 1
            }
            return len(stale) > turn

        wait_for(over)
    c.stop()
    by_start = {}
    for name, _, attrs, p in points(w, sink):
        if name == "sandbox.dns.queries" and attrs["sandbox_id"] == "box-x":
            by_start.setdefault(int(p["startTimeUnixNano"]), []).append(p)
    assert len(by_start) == 2, by_start
    for start, want in zip(sorted(by_start), (3, 4)):
        values = [int(p["asInt"]) for p in by_start[start] if p.get("flags") != 1]
        assert values == sorted(values) and values[-1] == want, values
        assert [p.get("flags") for p in by_start[start]][-1] == 1 and "asInt" not in by_start[
            start
        ][-1], by_start[start][-1]
        assert all(int(p["timeUnixNano"]) >= start for p in by_start[start])


@scenario("userspace")
def too_many_series_become_one_that_is_exact(w):
    names = ["many%d" % i for i in range(6)]
    cgroups = [w.new_cgroup(n) for n in names]
    port = free_port()
    c = Collector(w, cgroups, options=["--metric-series-max", "4"], env=serving(port))
    for i, cg in enumerate(cgroups):
        act(w, cg, "for i in range(%d): actor.lookup('x%%d.test' %% i, 'A')" % (i + 1))
    s = wait_for(lambda: (s := Scrape(port)).sum("sandbox_dns_queries_total") == 21 and s)
    own = s.by("sandbox_dns_queries_total", "sandbox_id")
    assert (
        len(own) == 4
        and own[(None,)] == s.sum("sandbox_dns_queries_total", otel_metric_overflow="true") > 0
    ), own
    # Those summed up go: what they counted stays.
    for cg in cgroups:
        os.rmdir(cg)
    wait_for(lambda: Scrape(port).sum("sandbox_count") == 0)
    s = Scrape(port)
    assert s.sum("sandbox_dns_queries_total", otel_metric_overflow="true") == own[(None,)]
    c.stop()


@scenario("userspace")
def sandboxes_left_out_of_metrics(w):
    cgroups = [w.new_cgroup("n%d" % i) for i in range(3)]
    port = free_port()
    c = Collector(w, cgroups, options=["--no-metric-sandbox-id"], env=serving(port))
    for cg in cgroups:
        act(w, cg, "actor.lookup('n.test', 'A')")
    s = wait_for(lambda: (s := Scrape(port)).sum("sandbox_dns_queries_total") == 3 and s)
    assert s.by("sandbox_dns_queries_total", "outcome") == {("ok",): 3}
    assert not any("sandbox_id" in l for _, l, _ in s.samples)
    assert len([1 for n, _, _ in s.samples if n == "sandbox_process_execs_total"]) == 1
    c.stop()


@scenario()
def what_it_takes_of_the_host(w):
    cg, port, mib = w.new_cgroup("takes"), free_port(), 64
    c = Collector(w, [cg], env=serving(port))
    code = (
        """
import os, sys
held = bytearray(os.urandom(1) * (%d << 20))
while sum(os.times()[:2]) < 1: pass
sleepers = [os.fork() for _ in range(3)]
if 0 in sleepers:
    os.read(0, 1)
    os._exit(0)
print(sum(os.times()[:2]), flush=True)
os.read(0, 1)
"""
        % mib
    )
    p = subprocess.Popen(
        [PYTHON, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: open(cg + "/cgroup.procs", "w").write(str(os.getpid())),
    )
    spent = float(p.stdout.readline())
    processes = 8  # children go on in the loop
    wait_for(lambda: len(open(cg + "/cgroup.procs").read().split()) == processes)
    s = Scrape(port)
    cpu = s.sum("sandbox_cpu_time_seconds_total")
    stat = dict(l.split() for l in open(cg + "/cpu.stat").read().splitlines())
    # Before the first reading nothing of the interpreter's own start is in os.times of another process.
    assert spent - 0.05 <= cpu <= int(stat["usage_usec"]) / 1e6 + 1e-6, (spent, cpu, stat)
    assert s.sum("sandbox_process_count") == processes, (
        processes,
        s.by("sandbox_process_count", "sandbox_id"),
    )
    memory = s.sum("sandbox_memory_usage_bytes")
    assert mib << 20 <= memory <= (3 * mib) << 20, memory
    resources = s.by("sandpiper_probe_state", "mechanism", "state", probe="resources")
    assert len(resources) == 1, resources
    p.communicate(b"xxxx", timeout=60)
    wait_for(lambda: Scrape(port).sum("sandbox_process_count") == 0)
    assert Scrape(port).sum("sandbox_cpu_time_seconds_total") >= cpu
    c.stop()


def limited_memory(w, cg, limit):
    """Makes the kernel kill what takes more in there: a controller of v2, or of v1 on a hybrid host. Returns how to enter."""
    try:
        for folder in (w.mount, os.path.dirname(cg)):
            with open(folder + "/cgroup.subtree_control", "w") as f:
                f.write("+memory")
        with open(cg + "/memory.max", "w") as f:
            f.write(str(limit))
        return [cg], None
    except OSError:
        v1 = "/sys/fs/cgroup/memory/%s-oom" % w.tag
        try:
            os.mkdir(v1)
            with open(v1 + "/memory.limit_in_bytes", "w") as f:
                f.write(str(limit))
        except OSError as e:
            raise Skip("no memory controller can be used: %s" % e)
        return [cg, v1], v1


@scenario()
def who_ran_out_of_memory(w):
    cg, port = w.new_cgroup("oom"), free_port()
    into, made = limited_memory(w, cg, 32 << 20)
    try:
        c = Collector(w, [cg], env=serving(port))

        def enter():
            for folder in into:
                with open(folder + "/cgroup.procs", "w") as f:
                    f.write(str(os.getpid()))

        ends = []
        for code in (
            "b = bytearray(b'x') * (256 << 20)",
            "import os; os.kill(os.getpid(), 9)",
            "raise SystemExit(3)",
            "",
        ):
            p = subprocess.run([PYTHON, "-c", code], preexec_fn=enter, capture_output=True)
            ends.append(p.returncode)
        assert ends == [-9, -9, 3, 0], ends
        s = wait_for(lambda: (s := Scrape(port)).sum("sandbox_process_exits_total") == 4 and s)
        assert s.by("sandbox_process_exits_total", "outcome") == {
            ("oom",): 1,
            ("signal",): 1,
            ("failure",): 1,
            ("success",): 1,
        }
        exits = [e for e in c.stop() if e["opensandbox.event"] == "process.exit"]
        assert [e.get("process.exit.oom") for e in exits] == [True, None, None, None] and exits[0][
            "process.exit.signal"
        ] == 9, exits
    finally:
        if made:
            os.rmdir(made)


@scenario()
def how_often_the_programs_ran(w):
    cg, port = w.new_cgroup("runs"), free_port()
    c = Collector(
        w, [cg], options=["--program-statistics", "--canary-interval-ms", "0"], env=serving(port)
    )
    act(w, cg, "for i in range(20): actor.run(['true'])")
    s = Scrape(port)
    assert s.sum("sandpiper_probe_run_count_total", program="handle_exec") >= 21, s.by(
        "sandpiper_probe_run_count_total", "program"
    )
    assert s.sum("sandpiper_probe_run_time_seconds_total", probe="process") > 0
    assert ("handle_exec",) in s.by("sandpiper_probe_missed_total", "program")
    assert s.sum("sandpiper_table_entries", table="members") == 1
    c.stop()


@scenario()
def the_wall_clock_steps(w):
    """An hour back and two forward: series go on, and their time does not go back. On a guest's clock only."""
    if not w.slow:
        raise Skip("it would set this machine's clock; the vm tier does")
    cg, sink = w.new_cgroup("clock"), HttpSink()
    c = Collector(w, [cg], env=common_env(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url))
    now = time.time()
    try:
        for step in (0, -3600, 7200):
            time.clock_settime(time.CLOCK_REALTIME, time.time() + step)
            act(w, cg, "actor.lookup('c.test', 'A')")
            n = len(sink.posts)
            wait_for(lambda: len(sink.posts) > n + 4)
    finally:
        time.clock_settime(time.CLOCK_REALTIME, time.time() - 3600)
    assert abs(time.time() - now) < 600
    c.stop()
    last = {}
    for name, _, attrs, p in points(w, sink):
        if name != "sandbox.dns.queries":
            continue
        key = tuple(sorted(attrs.items()))
        t, start, n = int(p["timeUnixNano"]), int(p["startTimeUnixNano"]), int(p["asInt"])
        assert key not in last or (
            t > last[key][0] and start == last[key][1] and n >= last[key][2]
        ), (last[key], p)
        last[key] = (t, start, n)
    assert sum(n for _, _, n in last.values()) == 3


@scenario()
def the_canary_sings_for_nobody_else(w):
    cg, port = w.new_cgroup("birds"), free_port()
    before = set(os.listdir("/run/netns"))
    c = Collector(w, [cg], options=["--canary-interval-ms", "500"], env=serving(port))
    act(w, cg, "actor.run(['true'])")
    time.sleep(3)
    s = Scrape(port)
    states = s.by("sandpiper_probe_state", "probe", "state")
    assert states[("canary", "on")] == 1 and not [k for k in states if k[1] == "blind"], states
    assert s.sum("sandbox_count") == 1
    events = c.stop()
    execs = [args_of(e) for e in events if e["opensandbox.event"] == "process.exec"]
    assert (
        s.by("sandbox_process_execs_total", "sandbox_id") == {("birds",): len(execs)}
        and execs.count(("true",)) == 1
    ), execs
    assert {e["sandbox_id"] for e in events} == {"birds"} and not [
        e for e in events if e.get("target.host") == "canary.invalid"
    ]
    assert "blind" not in c.stderr and "canary" not in c.stderr, c.stderr
    assert set(os.listdir("/run/netns")) == before
    assert "sandpiper-canary-%d" % c.process.pid not in os.listdir(w.mount)
    # One that is killed cannot clean up: its keeper does. Where that is killed too, the next collector does.
    c = Collector(w, [cg], options=["--canary-interval-ms", "500"])
    killed = "sandpiper-canary-%d" % c.process.pid
    assert killed in os.listdir(w.mount)
    c.stop(signal.SIGKILL)
    wait_for(lambda: killed not in os.listdir(w.mount))
    c = Collector(w, [cg], options=["--canary-interval-ms", "3600000"])
    killed = "sandpiper-canary-%d" % c.process.pid
    os.kill(c.keeper(), signal.SIGKILL)
    c.stop(signal.SIGKILL)
    assert killed in os.listdir(w.mount)
    c = Collector(w, [cg])
    assert killed not in os.listdir(w.mount)
    c.stop()


@scenario()
def a_canary_without_its_cgroup_says_so(w):
    port = free_port()
    c = Collector(
        w, [w.new_cgroup("nest")], options=["--canary-interval-ms", "300"], env=serving(port)
    )
    nest = os.path.join(w.mount, "sandpiper-canary-%d" % c.process.pid)

    def removed():
        try:
            os.rmdir(nest)
        except OSError:
            return False  # it sings just now
        return True

    wait_for(removed)
    wait_for(lambda: Scrape(port).sum("sandpiper_probe_state", probe="canary", state="off") == 1)
    c.stop()
    assert c.stderr.count("somebody removed its cgroup") == 1, c.stderr


def detach(pid, program):
    """Takes a program of that process off its cgroup, as a fault would."""
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        info = dict(
            l.split(":\t")
            for l in open("/proc/%d/fdinfo/%s" % (pid, fd)).read().splitlines()
            if ":\t" in l
        )
        if "link_id" not in info:
            continue
        shown = subprocess.run(
            ["bpftool", "prog", "show", "id", info["prog_id"]], capture_output=True, check=True
        ).stdout.decode()
        if "name %s " % program[:15] in shown:
            subprocess.run(["bpftool", "link", "detach", "id", info["link_id"]], check=True)
            return
    raise AssertionError("no link of " + program)


@scenario()
def a_probe_that_goes_blind_is_found_out(w):
    for program, probe in (("handle_egress", "packet"), ("handle_connect4", "connect")):
        port = free_port()
        c = Collector(
            w,
            [w.new_cgroup("blind-" + probe)],
            options=["--canary-interval-ms", "300"],
            env=serving(port),
        )
        time.sleep(2)
        detach(c.process.pid, program)
        s = wait_for(
            lambda: (
                (s := Scrape(port)).sum("sandpiper_probe_state", probe=probe, state="blind") == 1
                and s
            )
        )
        assert s.sum("sandpiper_probe_state", probe="process", state="on") == 1
        time.sleep(2)
        c.stop()
        said = [l for l in c.stderr.splitlines() if "error: blind" in l]
        assert len(said) == 1 and probe in said[0], c.stderr
