# SPDX-License-Identifier: Apache-2.0
"""The packages of sandpiper: the chart and its manifests, the image in real runtimes, the Debian
package, rules for alerts."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from typing import Any

from attribution import egress_of
from checks import args_of
from containers import containerd, need, podman
from registry import Skip, scenario
from world import HERE, World

REPO = os.path.dirname(os.path.dirname(HERE))
CACHE = os.environ.get("SANDPIPER_CACHE", "/var/cache/sandpiper")
CHART = REPO + "/deploy/helm/sandpiper"
VALUES = sorted(glob.glob(CHART + "/values-*.yaml"))


def run(*argv: str, **run_options: Any) -> str:
    done = subprocess.run(
        argv, capture_output=True, timeout=run_options.pop("timeout", 300), **run_options
    )
    assert done.returncode == 0, (argv, done.stdout[-1500:], done.stderr[-3000:])
    return done.stdout.decode()


def helm() -> str:
    path = CACHE + "/chart-tools/helm"
    if not os.access(path, os.X_OK):
        raise Skip("helm is missing; tests/e2e/chart_tools.sh builds it with Go")
    return path


def documents(text: str) -> list[Any]:
    try:
        import yaml
    except ImportError:
        raise Skip("python3-yaml is not installed; deploy/setup.sh installs it") from None
    return [d for d in yaml.safe_load_all(text) if d]


@scenario()
def chart_is_valid_with_all_values(w: World) -> None:
    """helm, the schema of the values and the schemas of the Kubernetes API check the chart."""
    tool = helm()
    kubernetes_validate = CACHE + "/chart-tools/venv/bin/kubernetes-validate"
    everything = w.dir + "/everything.yaml"
    with open(everything, "w") as f:
        json.dump(
            {
                "config": {"all_containers": True},
                "otlp": {
                    "endpoint": "http://c:4318",
                    "protocol": "grpc",
                    "headersSecret": {"name": "h"},
                },
                "prometheus": {"enabled": True, "serviceMonitor": {"enabled": True}},
                "dashboards": {"enabled": True},
                "alerts": {"enabled": True, "prometheusRule": {"enabled": True}},
                "openshift": True,
                "clusterName": "c1",
                "imagePullSecrets": [{"name": "p"}],
                "podLabels": {"a": "b"},
                "extraEnv": [{"name": "X", "value": "y"}],
            },
            f,
        )
    privileged = w.dir + "/privileged.yaml"
    with open(privileged, "w") as f:
        json.dump({"privileged": True, "appArmor": False}, f)
    for values in (None, everything, privileged, *VALUES):
        words = ["--values", values] if values else []
        run(tool, "lint", "--strict", CHART, *words)
        text = run(tool, "template", "x", CHART, "--kube-version", "1.30.0", *words)
        kinds = [d["kind"] for d in documents(text)]
        assert kinds.count("DaemonSet") == 1 and kinds.count("ConfigMap") == (
            4 if values == everything else 1
        ), kinds
        core = w.dir + "/core.yaml"
        with open(core, "w") as f:
            # There are no Kubernetes schemas for the kinds of the Prometheus operator.
            f.write(
                "".join(
                    "---\n" + json.dumps(d) + "\n"
                    for d in documents(text)
                    if "coreos.com" not in d["apiVersion"]
                )
            )
        run(kubernetes_validate, "--strict", core)
    for bad, why in (
        ({"stdout": "yes"}, b"stdout"),
        ({"runtimeSockets": ["run"]}, b"runtimeSockets"),
        ({"no": 1}, b"no"),
    ):
        with open(w.dir + "/bad.yaml", "w") as f:
            json.dump(bad, f)
        done = subprocess.run(
            [
                tool,
                "template",
                "x",
                CHART,
                "--kube-version",
                "1.30.0",
                "--values",
                w.dir + "/bad.yaml",
            ],
            capture_output=True,
        )
        assert done.returncode != 0 and why in done.stderr, (bad, done.stderr)


@scenario()
def manifests_equal_the_rendered_chart(w: World) -> None:
    out = w.dir + "/rendered"
    os.makedirs(out)
    run(REPO + "/deploy/kubernetes/render.sh", out, env={**os.environ, "HELM": helm()})
    rendered = sorted(os.listdir(out))
    assert len(rendered) == 1 + len(VALUES)
    for name in rendered:
        assert (
            open(os.path.join(out, name)).read() == open(REPO + "/deploy/kubernetes/" + name).read()
        ), "%s: run HELM=%s deploy/kubernetes/render.sh" % (name, helm())


@scenario()
def chart_configurations_are_valid(w: World) -> None:
    """sandpiper accepts the configuration of each ConfigMap."""
    for name in sorted(glob.glob(REPO + "/deploy/kubernetes/sandpiper*.yaml")):
        (config,) = [d for d in documents(open(name).read()) if d["kind"] == "ConfigMap"]
        with open(w.dir + "/chart.yaml", "w") as f:
            f.write(config["data"]["sandpiper.yaml"])
        settings = json.loads(
            run(w.sandpiper, "validate", "--config", w.dir + "/chart.yaml", "--format", "json")
        )
        assert settings["rules"] and settings["warnings"] == [], settings


_image = {}


def image(w: World) -> str:
    """Builds the image once with deploy/image/build.sh."""
    need("buildah")
    if "path" not in _image:
        _image["path"] = run(REPO + "/deploy/image/build.sh", w.dir + "/sandpiper.oci.tar").strip()
    return _image["path"]


@scenario()
def image_is_small_and_has_an_sbom(w: World) -> None:
    path = image(w)
    assert os.path.getsize(path) < 40 << 20, os.path.getsize(path)
    with tarfile.open(path) as archive:

        def blob(digest: str) -> bytes:
            return archive.extractfile("blobs/sha256/" + digest.split(":")[1])

        index = json.load(archive.extractfile("index.json"))
        manifest = json.load(blob(index["manifests"][0]["digest"]))
        config = json.load(blob(manifest["config"]["digest"]))
        labels = config["config"]["Labels"]
        assert (
            labels["org.opencontainers.image.version"] == run(w.sandpiper, "version").split()[1]
            and labels["org.opencontainers.image.revision"]
        ), labels
        assert config["config"]["Entrypoint"] == ["/usr/bin/sandpiper"] and config["config"][
            "Cmd"
        ] == ["run"], config["config"]
        names = {}
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=blob(layer["digest"])) as files:
                for member in files:
                    names[member.name.lstrip("./")] = (
                        files.extractfile(member).read()
                        if member.name.endswith("sbom.spdx.json")
                        else None
                    )
    assert not [n for n in names if os.path.basename(n) in ("sh", "bash", "dash", "busybox")], (
        "the image has a shell"
    )
    sbom = json.loads(names["usr/share/doc/sandpiper/sbom.spdx.json"])
    packages = {p["name"]: p["versionInfo"] for p in sbom["packages"]}
    want = {"libc6", "libbpf1", "libgrpc++1.51", "libcurl4", "ca-certificates"}
    assert want <= set(packages), want - set(packages)
    for name in want:
        assert packages[name] == run("dpkg-query", "-W", "-f", "${Version}", name), name
    libraries = [n for n in names if ".so" in n]
    assert len(libraries) > 20 and sbom["spdxVersion"] == "SPDX-2.3"


# The same options as deploy/compose/compose.yaml and the chart.
CAPABILITIES = [
    "BPF",
    "PERFMON",
    "NET_ADMIN",
    "NET_RAW",
    "NET_BIND_SERVICE",
    "SYS_ADMIN",
    "SYS_PTRACE",
    "DAC_READ_SEARCH",
    "DAC_OVERRIDE",
]


def wait_until(
    condition: Callable[[], Any], failure: str | Callable[[], Any], seconds: int = 60
) -> None:
    for _ in range(seconds * 10):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(failure() if callable(failure) else failure)


@scenario()
def image_watches_a_podman_container(w: World) -> None:
    """The container has capabilities, is not privileged, and has a read-only root."""
    path = image(w)
    with podman(w) as runtime:
        runtime("load", "-i", path)
        name = [
            i["Names"][0]
            for i in json.loads(runtime("images", "--format", "json"))
            if "sandpiper" in i["Names"][0]
        ][0]
        mounts = [
            f"--volume={runtime.folder}:{runtime.folder}:ro",
            "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rbind",
            "--volume=/sys/kernel/tracing:/sys/kernel/tracing",
        ]
        with open(runtime.folder + "/sandpiper.yaml", "w") as f:
            json.dump(runtime.config, f)
        # No exporters, and no canary: its cgroup would be outside of the scenario's.
        runtime(
            "run",
            "--detach",
            "--name",
            "collector",
            "--cgroup-parent",
            "/%s/collector" % w.tag,
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
            "--pid",
            "host",
            "--cgroupns",
            "host",
            "--network",
            "host",
            "--read-only",
            "--tmpfs",
            "/run/sandpiper",
            "--tmpfs",
            "/var/lib/sandpiper",
            "--cap-drop",
            "ALL",
            *["--cap-add=" + c for c in CAPABILITIES],
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "unmask=ALL",
            *mounts,
            name,
            "run",
            "--config",
            runtime.folder + "/sandpiper.yaml",
            "--canary-interval-ms",
            "0",
        )

        def logs() -> str:
            return subprocess.run(
                [
                    "nsenter",
                    "--net=/run/netns/" + runtime.netns,
                    *runtime.base,
                    "logs",
                    "collector",
                ],
                capture_output=True,
                env=runtime.env,
            )

        wait_until(lambda: b"ready" in logs().stderr, lambda: logs().stderr[-2000:])
        watched = runtime.run(
            "watched",
            "/bin/nc -w 1 10.77.0.4 8080 </dev/null; /bin/true seen",
            "--network",
            "host",
            "--label",
            "opensandbox.io/id=sb-image",
        )
        wait_until(
            lambda: logs().stdout.count(b'"process.exit"') >= 3, lambda: logs().stdout[-2000:]
        )
        status = json.loads(
            runtime("exec", "collector", "/usr/bin/sandpiper", "status", "--format", "json")
        )
        runtime("stop", "--time", "20", "collector")
        out = logs()
        inspected = json.loads(runtime("inspect", "collector"))[0]
    events = [json.loads(line) for line in out.stdout.decode().splitlines()]
    assert inspected["State"]["ExitCode"] == 0 and not inspected["HostConfig"]["Privileged"], (
        inspected["State"],
        out.stderr,
    )
    assert [s["id"] for s in status["sandboxes"]] == ["sb-image"], status
    (outbound,) = [e for e in events if e["opensandbox.event"] == "egress.outbound"]
    assert (
        outbound["sandbox_id"],
        outbound["peer"],
        outbound["container.name"],
        outbound["container.id"],
    ) == ("sb-image", "10.77.0.4", "watched", watched), outbound
    assert ("/bin/true", "seen") in [
        args_of(e) for e in events if e["opensandbox.event"] == "process.exec"
    ], events
    (stopped,) = [e for e in events if e["opensandbox.event"] == "sandbox.stopped"]
    assert stopped["sandpiper.dropped"] == 0


@scenario()
def pod_of_the_manifest_records_egress(w: World) -> None:
    """A real containerd starts the pod as kubelet would: with the manifest's mounts, capabilities,
    environment, arguments and probe."""
    path = image(w)
    manifest = documents(open(REPO + "/deploy/kubernetes/sandpiper.yaml").read())
    pod_spec = [d for d in manifest if d["kind"] == "DaemonSet"][0]["spec"]["template"]["spec"]
    config = [d for d in manifest if d["kind"] == "ConfigMap"][0]["data"]
    (container,) = pod_spec["containers"]
    context = container["securityContext"]
    with containerd(w) as runtime:
        ctr = ["ctr", "-a", runtime.socket, "-n", "k8s.io"]
        run(
            *ctr,
            "images",
            "import",
            "--index-name",
            "docker.io/library/" + container["image"],
            path,
        )
        node = runtime.folder + "/node"  # replaces the node's own folders

        def host_path(volume: dict[str, Any]) -> str:
            """The path that kubelet would use for the volume, below the replaced node."""
            if "hostPath" in volume:
                at = volume["hostPath"]["path"]
                if at.startswith("/sys/"):
                    return at
                # The runtime's own folder has a socket of the same name as the node's.
                return (
                    os.path.dirname(runtime.socket) if at == "/run/containerd" else make_folder(at)
                )
            folder = make_folder("/volumes/" + volume["name"])
            for name, text in config.items() if "configMap" in volume else ():
                with open(os.path.join(folder, name), "w") as f:
                    f.write(text)
            return folder

        def make_folder(at: str) -> str:
            os.makedirs(node + at, exist_ok=True)
            return node + at

        volumes = {v["name"]: host_path(v) for v in pod_spec["volumes"]}
        mounts = [
            {
                "host": volumes[m["name"]],
                "container": m["mountPath"],
                "readonly": m.get("readOnly", False),
            }
            for m in container["volumeMounts"]
        ]
        env = {
            e["name"]: e["value"].replace("$(NODE_NAME)", "node-1") if "value" in e else "node-1"
            for e in container["env"]
        }
        env["SANDPIPER_STDOUT"] = "true"  # the scenario reads the records from stdout
        agent = runtime.pod(
            "sandpiper",
            host_pid=pod_spec["hostPID"],
            log_directory=runtime.folder,
            labels={"app.kubernetes.io/name": "sandpiper"},
        )
        collector_container = runtime.container(
            agent,
            "sandpiper",
            None,
            command=[],
            args=container["args"],
            image=container["image"],
            mounts=mounts,
            env=env,
            add=context["capabilities"]["add"],
            readonly_root=context["readOnlyRootFilesystem"],
            unconfined=context["seccompProfile"]["type"] == "Unconfined",
            host_pid=True,
            log_path="collector.log",
        )

        def log() -> str:
            """Parses lines of a container's log, which begin with time, stream and a mark for whole
            lines."""
            return "\n".join(
                line.split(" ", 3)[3]
                for line in open(runtime.folder + "/collector.log").read().splitlines()
            )

        def probe() -> Any:
            return subprocess.run(
                [
                    *ctr,
                    "tasks",
                    "exec",
                    "--exec-id",
                    "p%d" % time.monotonic_ns(),
                    collector_container,
                    *container["readinessProbe"]["exec"]["command"],
                ],
                capture_output=True,
            )

        wait_until(lambda: probe().returncode == 0, lambda: log()[-3000:])
        pod = runtime.pod("agent", labels={"opensandbox.io/id": "sb-k8s"})
        app = runtime.container(
            pod,
            "app",
            (
                "/bin/nslookup one.test 10.77.0.1; /bin/nc -w 1 10.77.0.4 8080 </dev/null; "
                "/bin/true in-a-pod"
            ),
        )
        runtime.wait_end(app)
        wait_until(lambda: '"process.exit"' in log() and "in-a-pod" in log(), lambda: log()[-3000:])
        status = probe().stdout.decode()
        runtime.cri("stop", collector_container, str(pod_spec["terminationGracePeriodSeconds"]))
        text = log()
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert "sb-k8s" in status, status
    records = [e for e in events if e["sandbox_id"] == "sb-k8s"]
    same_pod = {
        (e.get("k8s.pod.name"), e.get("k8s.container.name"))
        for e in records
        if e["opensandbox.event"] == "egress.outbound"
    }
    assert same_pod == {("agent", "app")}, records
    hosts, _, ledger = egress_of(events, "sb-k8s")
    assert "one.test" in hosts and ("one.test", 8080) in ledger, (hosts, ledger)


@scenario()
def alert_rules_pass_promtool(w: World) -> None:
    """promtool tests that each alert fires on its condition. loki.check_alerts()
    tests those of Loki."""
    need("promtool")
    folder = REPO + "/deploy/prometheus"
    run("promtool", "check", "rules", folder + "/alerts.yaml", folder + "/recording.yaml")
    run("promtool", "test", "rules", folder + "/tests.yaml")
    alerts = documents(open(folder + "/alerts.yaml").read())[0]
    names = {r["alert"] for g in alerts["groups"] for r in g["rules"]}
    tested = set(re.findall(r"alertname: (\w+)", open(folder + "/tests.yaml").read()))
    assert names == tested, names ^ tested
    # docs/metrics.md has every metric of the rules.
    page = open(REPO + "/docs/metrics.md").read()
    expressions = [
        r["expr"]
        for name in ("alerts", "recording")
        for g in documents(open("%s/%s.yaml" % (folder, name)).read())[0]["groups"]
        for r in g["rules"]
    ]
    for metric in {
        m
        for e in expressions
        for m in re.findall(r"\b((?:sandbox|sandpiper|otel)_\w+)(?=[{\[) ]|$)", e)
    } - {"sandbox_id"}:
        assert "`%s`" % metric in page, metric


def reference(form: str) -> str:
    return run(REPO + "/bazel-bin/userspace/command/write_reference", form)


@scenario()
def manual_and_completions_work(w: World) -> None:
    need("man", "bash", "zsh", "fish")
    path = w.dir + "/sandpiper.8"
    with open(path, "w") as f:
        f.write(reference("man"))
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", path],
        capture_output=True,
        env={**os.environ, "MANWIDTH": "120", "PAGER": "cat", "MANPAGER": "cat"},
    )
    text = done.stdout.decode()
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    assert (
        "sandpiper exec" in text and "--destinations-max N" in text and "SANDPIPER_WINDOW_S" in text
    ), text[:3000]
    for form, shell in (
        ("bash", ["bash", "-n"]),
        ("zsh", ["zsh", "-n"]),
        ("fish", ["fish", "--no-execute"]),
    ):
        with open(w.dir + "/completion", "w") as f:
            f.write(reference(form))
        run(*shell, w.dir + "/completion")
    with open(w.dir + "/completion", "w") as f:
        f.write(reference("bash"))

    def complete(*words: str) -> list[str]:
        script = (
            "source %s/completion; COMP_WORDS=(%s); COMP_CWORD=%d; _sandpiper; "
            "printf '%%s\\n' \"${COMPREPLY[@]}\""
        ) % (w.dir, " ".join("'%s'" % x for x in words), len(words) - 1)
        return run("bash", "-c", script).split()

    assert complete("sandpiper", "ob") == ["observe"] and "exec" in complete("sandpiper", "")
    assert complete("sandpiper", "observe", "--den") == ["--denied"] and complete(
        "sandpiper", "run", "--spool-b"
    ) == ["--spool-bytes"]


@scenario()
def debian_package_contents(w: World) -> None:
    """Checks dependencies, files and modes, and the unit with systemd-analyze. A guest with systemd
    installs the package."""
    package = run(REPO + "/deploy/debian/build.sh", w.dir).strip()
    fields = run("dpkg-deb", "--field", package)
    assert re.search(r"^Depends: .*libbpf1 .*libc6 ", fields, re.M), fields
    listing = run("dpkg-deb", "--contents", package)
    for name, mode in (
        ("usr/bin/sandpiper", "-rwxr-xr-x"),
        ("etc/default/sandpiper", "-rw-------"),
        ("etc/sandpiper/sandpiper.yaml", "-rw-r--r--"),
        ("lib/systemd/system/sandpiper.service", "-rw-r--r--"),
        ("usr/share/man/man8/sandpiper.8.gz", "-rw-r--r--"),
    ):
        assert re.search(r"^%s root/root .* \./%s$" % (mode, name), listing, re.M), (name, listing)
    assert os.path.getsize(package) < 6 << 20, os.path.getsize(package)
    run("dpkg-deb", "--extract", package, w.dir + "/root")
    run(w.sandpiper, "validate", "--config", w.dir + "/root/etc/sandpiper/sandpiper.yaml")
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            [
                "systemd-analyze",
                "verify",
                "--man=no",
                "--root=" + w.dir + "/root",
                "sandpiper.service",
            ],
            capture_output=True,
        )
        complaints = [
            line
            for line in done.stderr.decode().splitlines()
            if "sandpiper" in line and "not found" not in line and "not executable" not in line
        ]
        assert not complaints, complaints


@scenario("systemd")
def debian_package_installs_upgrades_purges(w: World) -> None:
    """Under systemd the service starts, watches, notifies its watchdog, reloads, keeps its
    configuration over an upgrade, and leaves nothing behind."""
    if not os.path.isdir("/run/systemd/system"):
        raise Skip("systemd did not boot this machine; a guest of the vm tier runs this scenario")
    built = os.environ.get("SANDPIPER_PACKAGES", CACHE + "/deb")
    packages = sorted(glob.glob(built + "/sandpiper_*.deb"))
    assert len(packages) == 2, "two versions in %s: %r" % (built, packages)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}

    def show(key: str) -> str:
        return run("systemctl", "show", "--property", key, "--value", "sandpiper.service").strip()

    # No other unit of the host is started, not even its journal.
    log, drop_in = w.dir + "/service.log", "/etc/systemd/system/sandpiper.service.d"
    os.makedirs(drop_in)
    with open(drop_in + "/guest.conf", "w") as f:
        f.write(
            "[Unit]\nDefaultDependencies=no\n"
            "[Service]\nStandardOutput=append:%s\nStandardError=append:%s\n" % (log, log)
        )
    # policy-rc.d keeps packages from starting services (invoke-rc.d(8)). It is moved away until the
    # scenario ends.
    policy = "/usr/sbin/policy-rc.d"
    if os.path.exists(policy):
        os.rename(policy, policy + ".away")

    def end_of_log() -> str:
        return open(log).read()[-3000:] if os.path.exists(log) else "the service never started"

    try:
        run("dpkg", "--no-triggers", "--install", packages[0], env=environment)
        wait_until(lambda: show("ActiveState") == "active", end_of_log, 120)
        assert show("WatchdogUSec") == "30s" and show("NoNewPrivileges") == "yes"
        first = show("MainPID")
        status = run("/usr/bin/sandpiper", "status")
        assert "no sandbox is watched" in status, status
        with open("/etc/sandpiper/sandpiper.yaml", "a") as f:
            f.write("sandboxes: [{unit: 'sandbox-(?<id>.+)\\.scope'}]\nwindow_s: 7\n")
        run("systemctl", "restart", "sandpiper.service", timeout=120)
        run(
            "systemd-run",
            "--quiet",
            "--scope",
            "--unit",
            "sandbox-deb",
            "--property",
            "DefaultDependencies=no",
            "/bin/true",
        )
        wait_until(
            lambda: (
                '"sandbox_id":"deb"'
                in run("/usr/bin/sandpiper", "observe", "--since", "1h", "--format", "json")
            ),
            "no record of the sandbox",
        )
        with open("/etc/sandpiper/sandpiper.yaml", "a") as f:
            f.write("log_level: debug\n")
        run("systemctl", "reload", "sandpiper.service")
        wait_until(
            lambda: show("ActiveState") == "active" and "applied log_level" in end_of_log(),
            end_of_log,
        )
        run("dpkg", "--no-triggers", "--install", packages[1], env=environment)
        wait_until(
            lambda: show("ActiveState") == "active" and show("MainPID") not in ("0", first),
            "the service does not run after the upgrade",
            120,
        )
        assert "window_s: 7" in open("/etc/sandpiper/sandpiper.yaml").read(), (
            "the upgrade changed the configuration"
        )
    finally:
        subprocess.run(
            ["dpkg", "--no-triggers", "--purge", "sandpiper"], capture_output=True, env=environment
        )
        shutil.rmtree(drop_in)
        if os.path.exists(policy + ".away"):
            os.rename(policy + ".away", policy)
    assert show("LoadState") == "not-found", show("LoadState")
    leftovers = [
        p
        for p in (
            "/usr/bin/sandpiper",
            "/etc/sandpiper",
            "/etc/default/sandpiper",
            "/var/lib/sandpiper",
            "/run/sandpiper",
        )
        if os.path.exists(p)
    ]
    assert not leftovers, leftovers
