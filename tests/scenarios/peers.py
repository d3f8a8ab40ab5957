# SPDX-License-Identifier: Apache-2.0
"""The programs that users send to: a Grafana Loki, a Prometheus and an OpenTelemetry Collector, the real ones, each with its own queries. Started on
loopback; the Collector takes OTLP on a unix socket too, which is there in every network namespace, and passes on to the two others."""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from scrape import free_port

HERE = os.path.dirname(os.path.abspath(__file__))
COLLECTOR = """
receivers:
  otlp:
    protocols:
      grpc: {endpoint: %(socket)s, transport: unix, max_recv_msg_size_mib: 4}
  otlp/tcp:
    protocols:
      grpc: {endpoint: "127.0.0.1:%(grpc)d"}
      http: {endpoint: "127.0.0.1:%(http)d"}
exporters:
  otlp_http/loki: {endpoint: "http://127.0.0.1:%(loki)d/otlp", compression: none, sending_queue: {enabled: false}}
  otlp_http/prometheus: {endpoint: "http://127.0.0.1:%(prometheus)d/api/v1/otlp", compression: none, sending_queue: {enabled: false}}
service:
  telemetry:
    logs: {level: warn}
    metrics:
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %(telemetry)d}}}}]
  pipelines:
    logs: {receivers: [otlp, otlp/tcp], exporters: [otlp_http/loki]}
    metrics: {receivers: [otlp, otlp/tcp], exporters: [otlp_http/prometheus]}
"""
PROMETHEUS = """
global: {scrape_interval: 1h}
otlp: {promote_resource_attributes: [service.name]}
storage: {tsdb: {out_of_order_time_window: 10m}}
"""
# What Loki adds to a record, or keeps of it and its resource beside the attributes.
BESIDE = {
    "service_name",
    "service_version",
    "service_instance_id",
    "host_name",
    "scope_name",
    "scope_version",
    "severity_text",
    "severity_number",
    "observed_timestamp",
    "event_name",
    "detected_level",
    "flags",
}


def get(url, **parameters):
    if parameters:
        url += "?" + urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def wait_for(what, ready, seconds=60):
    for _ in range(seconds * 10):
        try:
            if ready():
                return
        except (OSError, urllib.error.URLError):
            pass
        time.sleep(0.1)
    raise AssertionError(what + " did not become ready")


class Peers:
    def __init__(self, folder):
        self.folder, self.running, self.run = folder, {}, 0
        self.ports = {
            name: free_port()
            for name in ("loki", "loki_grpc", "prometheus", "grpc", "http", "telemetry")
        }
        self.loki = "http://127.0.0.1:%(loki)d" % self.ports
        self.prometheus = "http://127.0.0.1:%(prometheus)d" % self.ports

    def start(self, w):
        self.w, self.socket = w, os.path.join(w.dir, "collector.sock")
        self.start_loki()
        self.start_prometheus()
        self.start_collector()

    def spawn(self, name, argv, env=None):
        log = open(os.path.join(self.w.dir, name + ".log"), "ab")
        self.running[name] = subprocess.Popen(
            argv, stdout=log, stderr=log, env={**os.environ, **(env or {})}
        )
        self.w.residents.append(self.running[name])

    def stop(self, name, kill=False):
        child = self.running.pop(name)
        child.kill() if kill else child.terminate()
        child.wait(timeout=60)
        self.w.residents.remove(child)

    def start_loki(self):
        config = os.path.join(HERE, "../../deploy/loki/loki.yaml")
        env = {
            "LOKI_ADDRESS": "127.0.0.1",
            "LOKI_PORT": str(self.ports["loki"]),
            "LOKI_GRPC_PORT": str(self.ports["loki_grpc"]),
            "LOKI_DATA": os.path.join(self.w.dir, "loki"),
        }
        # More than one would send by hand.
        self.spawn(
            "loki",
            [
                self.folder + "/loki",
                "-config.file",
                config,
                "-config.expand-env=true",
                "-distributor.ingestion-rate-limit-mb=100",
                "-distributor.ingestion-burst-size-mb=100",
            ],
            env,
        )
        wait_for(
            "Loki",
            lambda: (
                "loki_build_info" in get(self.loki + "/metrics")
                and get(self.loki + "/loki/api/v1/labels")
            ),
        )

    def start_prometheus(self):
        config = os.path.join(self.w.dir, "prometheus.yaml")
        open(config, "w").write(PROMETHEUS)
        self.spawn(
            "prometheus",
            [
                self.folder + "/prometheus",
                "--config.file",
                config,
                "--storage.tsdb.path",
                os.path.join(self.w.dir, "prometheus"),
                "--web.listen-address",
                "127.0.0.1:%(prometheus)d" % self.ports,
                "--web.enable-otlp-receiver",
                "--log.level=warn",
            ],
        )
        wait_for("Prometheus", lambda: get(self.prometheus + "/-/ready"))

    def start_collector(self):
        config = os.path.join(self.w.dir, "collector.yaml")
        open(config, "w").write(COLLECTOR % {**self.ports, "socket": self.socket})
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.spawn("otelcol", [self.folder + "/otelcol", "--config", config])
        wait_for(
            "the Collector",
            lambda: (
                os.path.exists(self.socket)
                and get("http://127.0.0.1:%(telemetry)d/metrics" % self.ports)
            ),
        )

    def new_run(self):
        """(name, environment) of a run whose records are told apart by it."""
        self.run += 1
        name = "run-%d" % self.run
        return name, {
            "OTEL_SERVICE_NAME": name,
            "OTEL_EXPORTER_OTLP_ENDPOINT": "unix://" + self.socket,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "OTEL_BLRP_MAX_QUEUE_SIZE": "100000",
            "SANDPIPER_FLUSH_TIMEOUT_MS": "60000",
        }

    def query(self, logql):
        """What a query of metrics tells now."""
        answer = json.loads(get(self.loki + "/loki/api/v1/query", query=logql))
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def entries(self, logql, hours=2):
        """[(nanoseconds, line, labels and metadata)] of the last hours, each that Loki has, oldest first."""
        out, page = [], 5000
        start, end = time.time_ns() - hours * 3600 * 10**9, time.time_ns() + 10**9
        while True:
            answer = json.loads(
                get(
                    self.loki + "/loki/api/v1/query_range",
                    query=logql,
                    start=start,
                    end=end,
                    limit=page,
                    direction="forward",
                )
            )
            assert answer["status"] == "success", answer
            got = sorted(
                (
                    (int(at), line, stream["stream"])
                    for stream in answer["data"]["result"]
                    for at, line in stream["values"]
                ),
                key=lambda e: e[0],
            )
            if len(got) < page:
                return out + got
            # The next page begins with the last moment of this one, of which there may be more.
            assert got[0][0] < got[-1][0], "a page of one moment"
            start = got[-1][0]
            out += [e for e in got if e[0] < start]

    def collector_counts(self):
        """{metric of the Collector: sum} since it began."""
        sums = {}
        for line in get("http://127.0.0.1:%(telemetry)d/metrics" % self.ports).splitlines():
            if found := re.match(
                r"(otelcol_\w+?)(?:_total|__[a-z_]+_total)?(?:\{.*\})? ([0-9.e+]+)$", line
            ):
                sums[found.group(1)] = sums.get(found.group(1), 0) + float(found.group(2))
        return sums


def name_in_loki(key):
    return re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_]", "_", key))


def value_in_loki(text, like):
    """The text that Loki keeps of an attribute, as the value that it was."""
    if isinstance(like, bool):
        return {"true": True, "false": False}[text]
    if isinstance(like, int):
        return int(text)
    if isinstance(like, float):
        return float(text)
    return text if isinstance(like, str) else json.loads(text)


def nanoseconds(ts):
    import calendar

    seconds, fraction = ts.rstrip("Z").split(".")
    return calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(fraction)


def same_records(told, kept):
    """Every record that went to the file is in Loki, once, as it was, and nothing else. `told`: of the file; `kept`: entries()."""
    assert len(told) == len(kept), "%d records in Loki, %d in the file" % (len(kept), len(told))
    by_key = {}
    for at, line, labels in kept:
        by_key.setdefault((at, line, labels["sandbox_id"]), []).append(labels)
    for event in told:
        event = dict(event)
        key = (nanoseconds(event.pop("ts")), event.pop("msg"), event["sandbox_id"])
        level = event.pop("level")
        candidates = by_key.get(key)
        assert candidates, "not in Loki: %r" % (key,)
        names = {name_in_loki(k): (k, v) for k, v in event.items()}

        def equal(labels):
            mine = {k: v for k, v in labels.items() if k not in BESIDE}
            return set(mine) == set(names) and all(
                value_in_loki(mine[n], v) == v for n, (_, v) in names.items()
            )

        found = next((c for c in candidates if equal(c)), None)
        assert found, "Loki has it otherwise: %r, %r" % (event, candidates)
        # Loki keeps event_name from 3.8 on.
        assert (
            found["severity_text"] == level.upper()
            and found.get("event_name", event["opensandbox.event"]) == event["opensandbox.event"]
        ), found
        candidates.remove(found)


OWN_LABELS = {"__name__", "job", "instance", "service_name"}


def metrics_of_catalog():
    """{name in the catalog: name in Prometheus}, of docs/metrics.md."""
    page = open(os.path.join(HERE, "../../docs/metrics.md")).read()
    return dict(re.findall(r"^\| `[^`]+` \| `([^`]+)`<br>`([^`]+)` \|", page, re.M))


def last_values(peers, job):
    """{(name, labels): value} of each series' last sample; stale markers are none."""
    answer = json.loads(get(peers.prometheus + "/api/v1/query", query='{job="%s"}[10m]' % job))
    assert answer["status"] == "success", answer
    return {
        (
            s["metric"]["__name__"],
            tuple(sorted((k, v) for k, v in s["metric"].items() if k not in OWN_LABELS)),
        ): float(s["values"][-1][1])
        for s in answer["data"]["result"]
    }


def expected(metrics):
    """{(name, labels): value} of the file."""
    out, names = {}, metrics_of_catalog()
    for name, points in metrics.items():
        for p in points:
            labels = {
                name_in_loki(k): {True: "true", False: "false"}.get(v, str(v))
                if isinstance(v, bool)
                else str(v)
                for k, v in p["attributes"].items()
            }

            def put(suffix, value, **more):
                out[(names[name] + suffix, tuple(sorted({**labels, **more}.items())))] = float(
                    value
                )

            if "value" in p:
                put("", p["value"])
                continue
            put("_count", p["count"])
            put("_sum", p["sum"])
            put("_bucket", p["count"], le="+Inf")
    return out


def same_metrics(metrics, got):
    """Every series of the file is in Prometheus, as it was, and nothing else. `got`: last_values()."""
    want = expected(metrics)
    moving = tuple(
        n
        for k, n in metrics_of_catalog().items()
        if k.startswith(("egress.system.", "process.", "otel.sdk."))
    )
    for key, value in want.items():
        assert key in got, "Prometheus lacks %r; of that name it has %r" % (
            key,
            [k for k in got if k[0] == key[0]],
        )
        if not key[0].startswith(moving):
            assert abs(got[key] - value) <= 1e-9 * abs(value), (key, got[key], value)
    extra = {
        k
        for k in got
        if dict(k[1]).get("le", "+Inf") == "+Inf"
        and k not in want
        and k[0] != "target_info"
        and not k[0].startswith(moving)
    }
    assert not extra, extra


class Told:
    """What one run wrote to its files."""

    def __init__(self):
        self.events, self.metrics = [], None

    def tell(self, events, metrics=None):
        self.events += events
        self.metrics = metrics

    def check(self, peers, name):
        """What the peers have of the run is that."""
        same_records(self.events, peers.entries('{service_name="%s"}' % name))
        if self.metrics is not None:
            same_metrics(self.metrics, last_values(peers, name))
