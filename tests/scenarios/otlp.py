# SPDX-License-Identifier: Apache-2.0
"""OTLP out: what a receiver gets equals what went to the NDJSON file and the metrics file, over both transports."""

import email.utils
import gzip
import http.server
import json
import os
import ssl
import subprocess
import threading
import time

from checks import complete, same
from registry import scenario
from scrape import free_port

TAGS = ("userspace",)

ACT = """
    _, ips = actor.lookup("a.test", "A")
    actor.lookup("a.test", "AAAA")
    actor.tcp(ips[0], name="a.test")
    actor.tcp("10.77.0.3", port=1)
    actor.run(["printf", "\\xff\\n"])
"""


def value(v):
    if "arrayValue" in v:
        return [value(x) for x in v["arrayValue"].get("values", [])]
    ((kind, x),) = v.items()
    return int(x) if kind == "intValue" else x


def attributes(message):
    pairs = [(a["key"], value(a["value"])) for a in message.get("attributes", [])]
    assert len(dict(pairs)) == len(pairs), "a key comes twice"
    return dict(pairs)


def records(logs):
    out = []
    for request in logs:
        for resource in request["resourceLogs"]:
            out += [
                (r, attributes(resource["resource"]))
                for scope in resource["scopeLogs"]
                for r in scope["logRecords"]
            ]
    return out


def check_logs(r, logs):
    """Every record of the NDJSON file, once, with the same attributes."""
    told = records(logs)
    assert len(told) == len(r.events), (len(told), len(r.events))
    for (record, resource), event in zip(told, r.events):
        event = dict(event)
        event.pop("ts")
        assert record["severityText"] == event.pop("level").upper()
        assert record["body"]["stringValue"] == event.pop("msg")
        assert record["eventName"] == event["opensandbox.event"]
        assert int(record["timeUnixNano"]) > 0 and int(record["observedTimeUnixNano"]) > 0
        assert attributes(record) == event, (attributes(record), event)
        assert (
            resource["service.name"] == "probe"
            and resource["team"] == "red"
            and resource["service.version"]
        ), resource
        assert "sandbox_id" not in resource


def check_metrics(r, metrics):
    """The last snapshot equals the metrics file; every series starts once and never goes down."""
    series = {}
    for request in metrics:
        for resource in request["resourceMetrics"]:
            for scope in resource["scopeMetrics"]:
                for m in scope["metrics"]:
                    data = m.get("sum") or m.get("gauge") or m["histogram"]
                    if "gauge" not in m:
                        assert data["aggregationTemporality"] == 2, m
                    for p in data["dataPoints"]:
                        key = (m["name"], tuple(sorted(attributes(p).items())))
                        n = float(p.get("asInt", p.get("asDouble", p.get("count", 0))))
                        if key in series and (m.get("sum") or {}).get("isMonotonic"):
                            assert (
                                n >= series[key][0] and p["startTimeUnixNano"] == series[key][1]
                            ), key
                        series[key] = (n, p["startTimeUnixNano"])
    moving = (
        "egress.system.",
        "process.",
        "otel.sdk.",
    )  # of the host and of sandpiper itself: they go on
    want = {
        (name, tuple(sorted(p["attributes"].items()))): float(p.get("value", p.get("count")))
        for name, ps in r.metrics.items()
        if not name.startswith(moving)
        for p in ps
    }
    same(
        "series",
        [(k, v[0]) for k, v in series.items() if not k[0].startswith(moving)],
        list(want.items()),
    )
    names = {k[0] for k in series}
    assert {
        "egress.system.cpu.utilization",
        "egress.system.memory.usage_bytes",
        "process.cpu.time",
        "otel.sdk.exporter.log.exported",
    } <= names


def common_env(**more):
    return {
        "OTEL_SERVICE_NAME": "probe",
        "OTEL_RESOURCE_ATTRIBUTES": "team=red",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
        "SANDPIPER_FLUSH_TIMEOUT_MS": "60000",
        **more,
    }


def serve(handler, address=("127.0.0.1", 0), kind=http.server.ThreadingHTTPServer):
    """An HTTP server on a thread of its own."""
    server = kind(address, handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class HttpSink:
    """Keeps what is posted; answers the first `failures` requests with 503, or as `failure` says: (status, headers)."""

    def __init__(self, failures=0, status=200, failure=(503, {}), tls=None, body_max=None):
        sink = self
        self.posts, self.failures, self.times = [], failures, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                sink.times.append((self.path, time.monotonic()))
                if sink.failures > 0:
                    sink.failures -= 1
                    self.send_response(failure[0])
                    for key, value in failure[1].items():
                        self.send_header(key, value() if callable(value) else value)
                elif body_max and len(body) > body_max:
                    self.send_response(413)
                else:
                    sink.posts.append((self.path, dict(self.headers), body))
                    self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = serve(Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = "http%s://127.0.0.1:%d" % ("s" if tls else "", self.server.server_address[1])


def logs_only(url, **more):
    return common_env(
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=url + "/v1/logs", OTEL_METRICS_EXPORTER="none", **more
    )


def received(w, sink):
    """The requests of log records that an HttpSink took."""
    return [decode(w, "logs", body) for path, _, body in sink.posts if path.endswith("logs")]


def count(logs):
    """Of records in requests."""
    return len(records(logs))


def decode(w, what, body):
    return json.loads(
        subprocess.run([w.sink, what], input=body, capture_output=True, check=True).stdout
    )


def host_net(w, code, env, options=()):
    """In the host's network, where the sink is; the sandbox enters its own."""
    import textwrap
    from world import HERE, PYTHON

    enter = (
        "import ctypes, os\nfd = os.open('/run/netns/%s', os.O_RDONLY)\nassert ctypes.CDLL(None, use_errno=True).setns(fd, 0) == 0\n"
        % w.client
    )
    argv = [
        PYTHON,
        "-c",
        enter
        + "import sys; sys.path.insert(0, %r); import actor\n%s\nactor.done()"
        % (HERE, textwrap.dedent(code)),
    ]
    w_in = w.in_sandbox_net
    w.in_sandbox_net = lambda a: a
    try:
        return w.exec(argv, options, env)
    finally:
        w.in_sandbox_net = w_in


@scenario()
def http_protobuf(w):
    sink = HttpSink()
    r = host_net(
        w,
        ACT,
        common_env(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url + "/base",
            OTEL_EXPORTER_OTLP_HEADERS="x-tenant=t%201",
        ),
    )
    complete(r)
    assert {p for p, _, _ in sink.posts} == {"/base/v1/logs", "/base/v1/metrics"}
    for _, headers, _ in sink.posts:
        assert (
            headers["Content-Type"] == "application/x-protobuf"
            and headers["x-tenant"] == "t 1"
            and "sandpiper/" in headers["User-Agent"]
        ), headers
    check_logs(r, [decode(w, "logs", b) for p, _, b in sink.posts if p.endswith("logs")])
    check_metrics(r, [decode(w, "metrics", b) for p, _, b in sink.posts if p.endswith("metrics")])


@scenario()
def per_signal_endpoints(w):
    logs, metrics = HttpSink(status=204), HttpSink()
    r = host_net(
        w,
        ACT,
        common_env(
            OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=logs.url + "/otlp/v1/logs",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=metrics.url + "/api/v1/otlp/v1/metrics",
        ),
    )
    assert {p for p, _, _ in logs.posts} == {"/otlp/v1/logs"} and {
        p for p, _, _ in metrics.posts
    } == {"/api/v1/otlp/v1/metrics"}
    check_logs(r, [decode(w, "logs", b) for _, _, b in logs.posts])
    check_metrics(r, [decode(w, "metrics", b) for _, _, b in metrics.posts])
    assert not r.stderr, r.stderr


def grpc_sink(w, *options, port=0, address="127.0.0.1"):
    """A gRPC server of OTLP, and its URL; what else it does, tests/e2e/otlp_sink.cc says."""
    port = port or free_port()
    return w.start(
        [w.sink, "grpc", str(port), "--address", address, *options], ready="ready"
    ), "http%s://%s:%d" % ("s" if "--tls" in options else "", address, port)


def grpc_logs(told):
    """The requests of log records among what grpc_sink told."""
    return [g["logs"] for g in map(json.loads, told.splitlines()) if "logs" in g]


@scenario()
def grpc(w):
    sink, url = grpc_sink(w)
    r = host_net(
        w,
        ACT,
        common_env(
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
            OTEL_EXPORTER_OTLP_HEADERS="X-Tenant=t%201",
        ),
    )
    got = [json.loads(l) for l in w.stop(sink).splitlines()]
    complete(r)
    assert all(
        g["metadata"]["x-tenant"] == "t 1" and "sandpiper/" in g["metadata"]["user-agent"]
        for g in got
    ), got[0]["metadata"]
    check_logs(r, [g["logs"] for g in got if "logs" in g])
    check_metrics(r, [g["metrics"] for g in got if "metrics" in g])


@scenario()
def an_endpoint_that_is_busy_at_first(w):
    sink = HttpSink(failures=2)
    r = host_net(w, ACT, common_env(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url))
    check_logs(r, [decode(w, "logs", b) for p, _, b in sink.posts if p.endswith("logs")])
    sink, url = grpc_sink(w, "--codes", "14,14")
    r = host_net(
        w, ACT, common_env(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    )
    check_logs(r, grpc_logs(w.stop(sink)))


@scenario()
def compressed(w):
    sink = HttpSink()
    r = host_net(
        w,
        ACT,
        common_env(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_EXPORTER_OTLP_COMPRESSION="gzip"),
    )
    assert all(h["Content-Encoding"] == "gzip" for _, h, _ in sink.posts)
    check_logs(r, [decode(w, "logs", b) for p, _, b in sink.posts if p.endswith("logs")])
    check_metrics(r, [decode(w, "metrics", b) for p, _, b in sink.posts if p.endswith("metrics")])
    sink, url = grpc_sink(w)
    r = host_net(
        w,
        ACT,
        common_env(
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        ),
    )
    got = [json.loads(l) for l in w.stop(sink).splitlines()]
    check_logs(r, [g["logs"] for g in got if "logs" in g])
    check_metrics(r, [g["metrics"] for g in got if "metrics" in g])


@scenario()
def an_endpoint_that_says_when(w):
    """Retry-After in seconds and as a date: not asked before."""
    for value in ("3", lambda: email.utils.formatdate(time.time() + 4, usegmt=True)):
        for status in (429, 503):
            sink = HttpSink(failures=1, failure=(status, {"Retry-After": value}))
            r = host_net(
                w,
                ACT,
                common_env(
                    OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=sink.url + "/v1/logs",
                    OTEL_METRICS_EXPORTER="none",
                ),
            )
            check_logs(r, [decode(w, "logs", b) for _, _, b in sink.posts])
            (_, first), (_, second) = sink.times[:2]
            # A date has whole seconds.
            assert second - first >= 2.9, (status, second - first)


@scenario()
def an_endpoint_that_takes_little_at_a_time(w):
    sink = HttpSink(body_max=2000)
    r = host_net(
        w,
        ACT,
        common_env(
            OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=sink.url + "/v1/logs", OTEL_METRICS_EXPORTER="none"
        ),
    )
    assert len(sink.posts) > 3
    check_logs(r, [decode(w, "logs", b) for _, _, b in sink.posts])
    assert not r.stderr, r.stderr


def make_certificates(folder, ca, names=("server", "client")):
    """A CA and certificates of it."""
    os.makedirs(folder, exist_ok=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    openssl(
        "req",
        "-x509",
        *key,
        "-keyout",
        ca + ".key",
        "-out",
        ca + ".pem",
        "-subj",
        "/CN=" + ca,
        "-days",
        "1",
    )
    with open(os.path.join(folder, "san"), "w") as f:
        f.write("subjectAltName=IP:127.0.0.1")
    for name in names:
        openssl(
            "req", *key, "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name
        )
        openssl(
            "x509",
            "-req",
            "-in",
            name + ".csr",
            "-CA",
            ca + ".pem",
            "-CAkey",
            ca + ".key",
            "-CAcreateserial",
            "-out",
            name + ".pem",
            "-days",
            "1",
            "-extfile",
            "san",
        )
    return {n: os.path.join(folder, n + ".pem") for n in (ca, *names)}


def tls_env(files, key_of, **more):
    return common_env(
        OTEL_EXPORTER_OTLP_CERTIFICATE=files["ca"],
        OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=key_of["client"],
        OTEL_EXPORTER_OTLP_CLIENT_KEY=key_of["client"][:-3] + "key",
        **more,
    )


@scenario()
def both_sides_show_certificates(w):
    files, others = (
        make_certificates(w.dir + "/tls", "ca"),
        make_certificates(w.dir + "/tls2", "ca"),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["server"], files["server"][:-3] + "key")
    context.load_verify_locations(files["ca"])
    context.verify_mode = ssl.CERT_REQUIRED
    sink = HttpSink(tls=context)
    r = host_net(w, ACT, tls_env(files, files, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url))
    check_logs(r, [decode(w, "logs", b) for p, _, b in sink.posts if p.endswith("logs")])
    server, url = grpc_sink(w, "--tls", files["server"], files["server"][:-3] + "key", files["ca"])
    r = host_net(
        w,
        ACT,
        tls_env(files, files, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc"),
    )
    check_logs(r, grpc_logs(w.stop(server)))
    # Another CA's: neither of them takes it, and nothing is told in the clear.
    sink.posts.clear()
    server, url = grpc_sink(w, "--tls", files["server"], files["server"][:-3] + "key", files["ca"])
    for more in (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ):
        r = host_net(
            w,
            ACT,
            tls_env(
                files, others, SANDPIPER_FLUSH_TIMEOUT_MS="1000", **{k: v for k, v in more.items()}
            ),
        )
        assert "%d log records were not exported" % len(r.events) in r.stderr, r.stderr
    assert not sink.posts and not w.stop(server)


@scenario()
def an_endpoint_that_is_not_there(w):
    r = host_net(
        w,
        ACT,
        common_env(
            OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
            OTEL_EXPORTER_OTLP_TIMEOUT="500",
            SANDPIPER_FLUSH_TIMEOUT_MS="1000",
        ),
    )
    assert r.status == 0
    complete(r)
    assert "%d log records were not exported" % len(r.events) in r.stderr, r.stderr


@scenario()
def an_endpoint_that_refuses(w):
    sink = HttpSink(status=400)
    r = host_net(w, ACT, common_env(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url))
    complete(r)
    posts = [b for p, _, b in sink.posts if p.endswith("logs")]
    assert len(posts) == len(set(posts)), "a refused batch was sent again"
    assert "%d refused" % len(r.events) in r.stderr and "HTTP status 400" in r.stderr, r.stderr


@scenario()
def without_libcurl_http_is_refused_and_nothing_else(w):
    """It is loaded when HTTP is first spoken: where it cannot be, the start says so; who exports by gRPC, or not at all, never misses it."""
    folder = os.path.join(w.dir, "broken")
    os.mkdir(folder)
    open(folder + "/libcurl.so.4", "w").close()

    def run(**env):
        return subprocess.run(
            [w.sandpiper, "exec", "--report", os.devnull, "--", "true"],
            capture_output=True,
            env={
                **os.environ,
                "LD_LIBRARY_PATH": folder,
                "OTEL_EXPORTER_OTLP_TIMEOUT": "100",
                **env,
            },
        )

    http = run(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
    )
    assert (
        http.returncode == 125
        and b"HTTP needs libcurl" in http.stderr
        and b"libcurl.so.4" in http.stderr
    ), http
    grpc = run(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert grpc.returncode == 0 and b"libcurl" not in grpc.stderr, grpc
    alone = run()
    assert alone.returncode == 0 and b"libcurl" not in alone.stderr, alone


@scenario()
def bad_values_are_warnings(w):
    r = host_net(w, "pass", {"OTEL_SDK_DISABLED": "maybe", "OTEL_LOGS_EXPORTER": "smoke-signals"})
    assert r.status == 0 and r.stderr.count("warning: OTEL_") == 2, r.stderr


@scenario()
def no_attribute_of_a_metric_names_a_destination(w):
    """Which keys there may be, checks.cataloged sees to in each scenario."""
    r = w.actor(ACT)
    for name, points in r.metrics.items():
        for p in points:
            assert not any("a.test" in v or "10.77" in v for v in p["attributes"].values()), (
                name,
                p,
            )
