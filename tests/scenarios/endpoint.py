# SPDX-License-Identifier: Apache-2.0
"""Endpoints that are slow, full, broken, elsewhere or somebody else's: what is not delivered is admitted, and the capture goes on."""

import contextlib
import gzip
import http.server
import os
import socket
import ssl
import subprocess
import threading
import time

from attribution import Collector, act
from checks import complete
from metrics import wait_for
from otlp import (
    ACT,
    HttpSink,
    check_logs,
    common_env,
    count,
    decode,
    grpc_logs,
    grpc_sink,
    host_net,
    logs_only,
    make_certificates,
    received,
    serve,
    tls_env,
)
from registry import scenario
from scrape import free_port

TAGS = ("userspace",)

WORK = "for i in range(20):\n    actor.run(['true', str(i)])"


@scenario()
def answers_that_nobody_should_give(w):
    """5 MiB, a gzip bomb, no protobuf: it took the request all the same, which is not sent again."""
    bodies = {
        "large": (b"x" * (5 << 20), {}),
        "bomb": (gzip.compress(b"\0" * (200 << 20)), {"Content-Encoding": "gzip"}),
        "garbage": (b"\xff" * 100, {}),
    }
    for name, (body, headers) in bodies.items():
        posts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                posts.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass  # it does not want to read all that

            def log_message(self, *_):
                pass

        server = serve(Handler)
        r = host_net(w, ACT, logs_only("http://127.0.0.1:%d" % server.server_address[1]))
        complete(r)
        check_logs(r, [decode(w, "logs", b) for b in posts])
        assert "not exported" not in r.stderr, (name, r.stderr)


@scenario()
def an_endpoint_that_is_slow(w):
    """A byte of the answer a second, past the timeout of an attempt; then as it should be. All arrives, and the capture has not waited."""
    sink = HttpSink()
    slow, answer = [True], sink.server.RequestHandlerClass.do_POST
    attempts = []

    def do_POST(self):
        if not slow[0]:
            return answer(self)
        attempts.append(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            for byte in b"HTTP/1.1 200 OK\r\n":
                self.wfile.write(bytes([byte]))
                time.sleep(0.2)
        except OSError:
            self.close_connection = True

    sink.server.RequestHandlerClass.do_POST = do_POST
    cg = w.new_cgroup("slow")
    c = Collector(w, [cg], env=logs_only(sink.url, OTEL_EXPORTER_OTLP_TIMEOUT="500"))
    for _ in range(3):
        act(w, cg, WORK)
    wait_for(lambda: attempts)
    slow[0] = False
    events = c.stop()
    told = count(received(w, sink))
    assert told == len(events) and events[-1]["sandpiper.dropped"] == 0, (told, len(events))


@scenario()
def certificates_that_expire_and_are_renewed(w):
    """The server's has expired: nothing is sent. Then both sides get new ones, of another CA, in the same files: it goes on by itself."""
    folder = w.dir + "/renewed"
    files = make_certificates(folder, "ca")
    subprocess.run(
        "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 0 -extfile san",
        shell=True,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    time.sleep(1.1)

    def context():
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(files["server"], files["server"][:-3] + "key")
        made.load_verify_locations(files["ca"])
        made.verify_mode = ssl.CERT_REQUIRED
        return made

    current = [context()]
    port = free_port()
    url = "https://127.0.0.1:%d" % port
    sink = HttpSink()

    class Server(http.server.ThreadingHTTPServer):
        def get_request(self):
            connection, address = self.socket.accept()
            return current[0].wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            ), address

        def handle_error(self, *_):
            pass

    serve(sink.server.RequestHandlerClass, ("127.0.0.1", port), Server)
    cgs = {"http": w.new_cgroup("tls-http"), "grpc": w.new_cgroup("tls-grpc")}
    tls = ("--tls", files["server"], files["server"][:-3] + "key", files["ca"])
    grpc_server, grpc_url = grpc_sink(w, *tls)
    env = tls_env(files, files, OTEL_METRICS_EXPORTER="none")
    collectors = {
        "http": Collector(w, [cgs["http"]], env={**env, "OTEL_EXPORTER_OTLP_ENDPOINT": url}),
        "grpc": Collector(
            w,
            [cgs["grpc"]],
            env={
                **env,
                "OTEL_EXPORTER_OTLP_ENDPOINT": grpc_url,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
        ),
    }
    for cg in cgs.values():
        act(w, cg, WORK)
    for c in collectors.values():
        c.until_told("log records cannot be sent")
    assert not sink.posts
    assert not w.stop(grpc_server)
    make_certificates(folder, "ca")
    current[0] = context()
    grpc_server, _ = grpc_sink(w, *tls, port=int(grpc_url.rsplit(":", 1)[1]))
    for c in collectors.values():
        c.until_told("log records are sent again")
    events = {name: c.stop() for name, c in collectors.items()}
    arrived = count(received(w, sink))
    assert arrived == len(events["http"]), (arrived, len(events["http"]))
    arrived = count(grpc_logs(w.stop(grpc_server)))
    assert arrived == len(events["grpc"]), (arrived, len(events["grpc"]))


@contextlib.contextmanager
def started_by(w, script):
    """sandpiper is what this shell script starts, as "$@", for the length of a with block."""
    wrapper, sandpiper = os.path.join(w.dir, "started-by"), w.sandpiper
    with open(wrapper, "w") as f:
        f.write('#!/bin/sh\nset -- %s "$@"\n%s\n' % (sandpiper, script))
    os.chmod(wrapper, 0o755)
    w.sandpiper = wrapper
    try:
        yield
    finally:
        w.sandpiper = sandpiper


@contextlib.contextmanager
def own_hosts(w):
    """sandpiper with an /etc/hosts of its own for the length of a with block: the function that writes it."""
    path = os.path.join(w.dir, "hosts")

    def write(text):
        with open(path, "w") as f:
            f.write(text + "\n")

    with started_by(
        w, 'exec unshare -m sh -c \'mount --bind %s /etc/hosts && exec "$@"\' - "$@"' % path
    ):
        yield write


@scenario()
def a_name_that_moves_to_another_address(w):
    port, sinks = free_port(), {}

    def listen(address):
        sink = sinks[address] = HttpSink()
        sink.server.server_close()
        sink.server = serve(sink.server.RequestHandlerClass, (address, port))

    listen("127.0.0.1")
    cg = w.new_cgroup("moves")
    with own_hosts(w) as hosts:
        hosts("127.0.0.1 sink.test")
        c = Collector(w, [cg], env=logs_only("http://sink.test:%d" % port))
        act(w, cg, WORK)
        wait_for(lambda: sinks["127.0.0.1"].posts)
        hosts("127.0.0.2 sink.test")
        sinks["127.0.0.1"].server.shutdown()
        sinks["127.0.0.1"].server.server_close()
        listen("127.0.0.2")
        # The connection that is open belongs to a thread of the first.
        sinks["127.0.0.1"].failures = 10**6
        act(w, cg, WORK)
        wait_for(lambda: sinks["127.0.0.2"].posts)
        events = c.stop()
    arrived = sum(count(received(w, sink)) for sink in sinks.values())
    assert arrived == len(events), (arrived, len(events))


@scenario()
def an_endpoint_on_ipv6_alone(w):
    sink = HttpSink()

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6

    server = serve(sink.server.RequestHandlerClass, ("::1", 0), Server)
    r = host_net(w, ACT, logs_only("http://[::1]:%d" % server.server_address[1]))
    check_logs(r, received(w, sink))
    assert not r.stderr, r.stderr


@scenario()
def over_http_on_a_unix_socket(w):
    sink, path = HttpSink(), os.path.join(w.dir, "http.sock")

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_UNIX

        def server_bind(self):
            self.socket.bind(self.server_address)
            self.server_name, self.server_port = "unix", 0

        def get_request(self):
            return self.socket.accept()[0], ("unix", 0)

    serve(sink.server.RequestHandlerClass, path, Server)
    r = w.actor(
        ACT,
        env=common_env(OTEL_EXPORTER_OTLP_ENDPOINT="unix://" + path, OTEL_METRICS_EXPORTER="none"),
    )
    check_logs(r, received(w, sink))
    assert not r.stderr, r.stderr


@scenario()
def through_a_proxy(w):
    """As libcurl and gRPC read the environment; what no_proxy names goes there directly."""
    proxy, sink = HttpSink(), HttpSink()
    r = host_net(w, ACT, logs_only("http://collector.invalid:4318", http_proxy=proxy.url))
    check_logs(
        r,
        [
            decode(w, "logs", b)
            for path, _, b in proxy.posts
            if path == "http://collector.invalid:4318/v1/logs"
        ],
    )
    r = host_net(w, ACT, logs_only(sink.url, http_proxy=proxy.url, no_proxy="127.0.0.1"))
    check_logs(r, received(w, sink))
    server, url = grpc_sink(w)
    tunnel, asked = tunnelling_proxy()
    r = host_net(
        w,
        ACT,
        common_env(
            OTEL_EXPORTER_OTLP_ENDPOINT=url.replace("127.0.0.1", "localhost"),
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
            http_proxy=tunnel,
            OTEL_METRICS_EXPORTER="none",
        ),
    )
    check_logs(r, grpc_logs(w.stop(server)))
    assert asked and asked[0].startswith(b"CONNECT localhost:"), asked


def tunnelling_proxy():
    listener, asked = socket.create_server(("127.0.0.1", 0)), []

    def pump(a, b):
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)

    def serve():
        while True:
            client, _ = listener.accept()
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1)
            asked.append(head)
            host, port = head.split()[1].decode().rsplit(":", 1)
            upstream = socket.create_connection((host, int(port)))
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for pair in ((client, upstream), (upstream, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return "http://127.0.0.1:%d" % listener.getsockname()[1], asked


@scenario()
def a_disk_that_is_full(w):
    """The spool's disk has 1 MB, and the endpoint is away: memory takes what there is room for, the rest is counted, and it heals."""
    disk = os.path.join(w.dir, "small")
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        sink = HttpSink(failures=10**6)
        cg = w.new_cgroup("full")
        c = Collector(
            w,
            [cg],
            env=logs_only(
                sink.url,
                SANDPIPER_SPOOL=disk + "/spool.db",
                OTEL_BLRP_MAX_QUEUE_SIZE="500",
                OTEL_BLRP_MAX_EXPORT_BATCH_SIZE="100",
            ),
        )
        act(w, cg, "for i in range(1000):\n    actor.run(['true', 'x' * 3000])")
        c.until_told("kept in memory")
        sink.failures = 0
        events = c.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    told = count(received(w, sink))
    (lost,) = [
        int(line.split()[1])
        for line in c.stderr.splitlines()
        if "log records were not exported" in line
    ] or [0]
    assert told + lost == len(events), (told, lost, len(events))
    assert events[-1]["sandpiper.dropped"] == 0 and told > 200, events[-1]
