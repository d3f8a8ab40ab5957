# SPDX-License-Identifier: Apache-2.0
"""OTLP endpoints over HTTP that are slow, broken, moved or behind a proxy, and a full disk. Records
that were not delivered are counted, and recording goes on."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attribution import Collector, act
from checks import check_complete
from otlp_receiver import (
    ACTIONS,
    Certificates,
    GrpcSink,
    HttpSink,
    check_logs,
    common_env,
    count,
    decode,
    logs_only,
    over_grpc,
    run_in_host_network,
    serve,
)
from polling import wait_for
from registry import scenario
from scrape import free_port

if TYPE_CHECKING:
    from world import World

TAGS = ("userspace",)

TWENTY_PROGRAMS = "for i in range(20):\n    actor.run(['true', str(i)])"


def start_server_with_answer(body: bytes, headers: dict[str, str]) -> tuple[Any, list[bytes]]:
    """A server that answers every request with this body, and the requests that it received."""
    posts: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # sandpiper may stop reading a long answer.
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return serve(Handler), posts


@scenario()
def answers_with_huge_or_invalid_bodies(w: World) -> None:
    """5 MiB, a gzip bomb and a body that is no protobuf, with status 200: the endpoint accepted
    the request, which is not sent again."""
    bodies = {
        "large": (b"x" * (5 << 20), {}),
        "bomb": (gzip.compress(b"\0" * (200 << 20)), {"Content-Encoding": "gzip"}),
        "garbage": (b"\xff" * 100, {}),
    }
    for name, (body, headers) in bodies.items():
        server, posts = start_server_with_answer(body, headers)
        url = f"http://127.0.0.1:{server.server_address[1]}"
        result = run_in_host_network(w, ACTIONS, logs_only(url))
        check_complete(result)
        check_logs(result, [decode(w, "logs", post) for post in posts])
        assert "not exported" not in result.stderr, (name, result.stderr)


@scenario()
def answers_slower_than_the_timeout(w: World) -> None:
    """It sends a byte of the answer every 0.2 s, with a timeout of 0.5 s for an attempt. Then it
    answers at once: every record arrives, and recording did not wait."""
    sink = HttpSink()
    is_slow, attempts = [True], []
    answer = sink.server.RequestHandlerClass.do_POST

    def do_POST(self: Any) -> None:
        if not is_slow[0]:
            answer(self)
            return
        attempts.append(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            for byte in b"HTTP/1.1 200 OK\r\n":
                self.wfile.write(bytes([byte]))
                time.sleep(0.2)
        except OSError:
            self.close_connection = True

    sink.server.RequestHandlerClass.do_POST = do_POST
    cgroup = w.new_cgroup("slow")
    env = logs_only(sink.url, OTEL_EXPORTER_OTLP_TIMEOUT="500")
    collector = Collector(w, [cgroup], env=env)
    for _ in range(3):
        act(w, cgroup, TWENTY_PROGRAMS)
    wait_for(lambda: attempts)
    is_slow[0] = False
    events = collector.stop()
    arrived = count(sink.requests(w, "logs"))
    assert arrived == len(events), (arrived, len(events))
    assert events[-1]["sandpiper.dropped"] == 0, events[-1]


class TlsServer(http.server.ThreadingHTTPServer):
    """Accepts each connection with the context that `contexts` has then."""

    contexts: list[Any] = []

    def get_request(self) -> tuple[Any, Any]:
        connection, address = self.socket.accept()
        wrapped = self.contexts[-1].wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, address

    def handle_error(self, *_: object) -> None:
        pass


@scenario()
def renewed_certificates_are_read_again(w: World) -> None:
    """The server's certificate has expired: nothing is sent. Then both sides get certificates of
    a new CA in the same files, and sandpiper sends without a restart."""
    certificates = Certificates(w.dir + "/renewed")
    certificates.sign("server", days=0)
    time.sleep(1.1)
    TlsServer.contexts.append(certificates.server_context())
    port = free_port()
    sink = HttpSink()
    serve(sink.server.RequestHandlerClass, ("127.0.0.1", port), TlsServer)
    grpc_sink = GrpcSink(w, *certificates.grpc_options())
    endpoints = {
        "http": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{port}"},
        "grpc": {
            "OTEL_EXPORTER_OTLP_ENDPOINT": grpc_sink.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        },
    }
    cgroups = {name: w.new_cgroup("tls-" + name) for name in endpoints}
    env = certificates.client_env(OTEL_METRICS_EXPORTER="none")
    collectors = {
        name: Collector(w, [cgroups[name]], env={**env, **endpoint})
        for name, endpoint in endpoints.items()
    }
    for cgroup in cgroups.values():
        act(w, cgroup, TWENTY_PROGRAMS)
    for collector in collectors.values():
        collector.wait_for_stderr("log records cannot be sent")
    assert not sink.posts
    assert not grpc_sink.stop()
    certificates = Certificates(w.dir + "/renewed")
    TlsServer.contexts.append(certificates.server_context())
    grpc_sink = GrpcSink(w, *certificates.grpc_options(), port=grpc_sink.port)
    for collector in collectors.values():
        collector.wait_for_stderr("log records are sent again")
    events = {name: collector.stop() for name, collector in collectors.items()}
    arrived = count(sink.requests(w, "logs"))
    assert arrived == len(events["http"]), (arrived, len(events["http"]))
    arrived = count(grpc_sink.stop_with_logs())
    assert arrived == len(events["grpc"]), (arrived, len(events["grpc"]))


@contextlib.contextmanager
def sandpiper_started_by(w: World, script: str) -> Iterator[None]:
    """Within the block, this shell script starts sandpiper. It has the command line in "$@"."""
    wrapper, sandpiper = os.path.join(w.dir, "started-by"), w.sandpiper
    with open(wrapper, "w") as f:
        f.write(f'#!/bin/sh\nset -- {sandpiper} "$@"\n{script}\n')
    os.chmod(wrapper, 0o755)
    w.sandpiper = wrapper
    try:
        yield
    finally:
        w.sandpiper = sandpiper


@contextlib.contextmanager
def own_hosts(w: World) -> Iterator[Callable[[str], None]]:
    """Within the block, sandpiper has its own /etc/hosts. Yields the function that writes it."""
    path = os.path.join(w.dir, "hosts")

    def write(text: str) -> None:
        with open(path, "w") as f:
            f.write(text + "\n")

    mount = f'mount --bind {path} /etc/hosts && exec "$@"'
    with sandpiper_started_by(w, f"exec unshare -m sh -c '{mount}' - \"$@\""):
        yield write


@scenario()
def name_moves_to_another_address(w: World) -> None:
    port, sinks = free_port(), {}

    def listen(address: str) -> None:
        sink = sinks[address] = HttpSink()
        sink.server.server_close()
        sink.server = serve(sink.server.RequestHandlerClass, (address, port))

    listen("127.0.0.1")
    cgroup = w.new_cgroup("moves")
    with own_hosts(w) as write_hosts:
        write_hosts("127.0.0.1 sink.test")
        collector = Collector(w, [cgroup], env=logs_only(f"http://sink.test:{port}"))
        act(w, cgroup, TWENTY_PROGRAMS)
        wait_for(lambda: sinks["127.0.0.1"].posts)
        write_hosts("127.0.0.2 sink.test")
        sinks["127.0.0.1"].server.shutdown()
        sinks["127.0.0.1"].server.server_close()
        listen("127.0.0.2")
        # A thread of the first server still serves the open connection.
        sinks["127.0.0.1"].failures = 10**6
        act(w, cgroup, TWENTY_PROGRAMS)
        wait_for(lambda: sinks["127.0.0.2"].posts)
        events = collector.stop()
    arrived = sum(count(sink.requests(w, "logs")) for sink in sinks.values())
    assert arrived == len(events), (arrived, len(events))


class Ipv6Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


class UnixServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "unix", 0

    def get_request(self) -> tuple[Any, Any]:
        return self.socket.accept()[0], ("unix", 0)


@scenario()
def on_ipv6(w: World) -> None:
    sink = HttpSink()
    server = serve(sink.server.RequestHandlerClass, ("::1", 0), Ipv6Server)
    env = logs_only(f"http://[::1]:{server.server_address[1]}")
    result = run_in_host_network(w, ACTIONS, env)
    check_logs(result, sink.requests(w, "logs"))
    assert not result.stderr, result.stderr


@scenario()
def on_a_unix_socket(w: World) -> None:
    sink, path = HttpSink(), os.path.join(w.dir, "http.sock")
    serve(sink.server.RequestHandlerClass, path, UnixServer)
    env = common_env(OTEL_EXPORTER_OTLP_ENDPOINT="unix://" + path, OTEL_METRICS_EXPORTER="none")
    result = w.actor(ACTIONS, env=env)
    check_logs(result, sink.requests(w, "logs"))
    assert not result.stderr, result.stderr


@scenario()
def behind_a_proxy(w: World) -> None:
    """libcurl and gRPC take the proxy from the environment. Requests to hosts in no_proxy do not
    go through it."""
    proxy, sink = HttpSink(), HttpSink()
    env = logs_only("http://collector.invalid:4318", http_proxy=proxy.url)
    result = run_in_host_network(w, ACTIONS, env)
    assert proxy.paths() == {"http://collector.invalid:4318/v1/logs"}
    check_logs(result, proxy.requests(w, "logs"))
    env = logs_only(sink.url, http_proxy=proxy.url, no_proxy="127.0.0.1")
    result = run_in_host_network(w, ACTIONS, env)
    check_logs(result, sink.requests(w, "logs"))
    grpc_sink = GrpcSink(w)
    tunnel, heads = tunnelling_proxy()
    env = over_grpc(
        grpc_sink.url.replace("127.0.0.1", "localhost"),
        http_proxy=tunnel,
        OTEL_METRICS_EXPORTER="none",
    )
    result = run_in_host_network(w, ACTIONS, env)
    check_logs(result, grpc_sink.stop_with_logs())
    assert heads and heads[0].startswith(b"CONNECT localhost:"), heads


def tunnelling_proxy() -> tuple[str, list[bytes]]:
    """The URL of a proxy that serves CONNECT, and the heads of the requests that it received."""
    listener = socket.create_server(("127.0.0.1", 0))
    heads: list[bytes] = []

    def copy(source: socket.socket, destination: socket.socket) -> None:
        while data := source.recv(65536):
            destination.sendall(data)
        destination.shutdown(socket.SHUT_WR)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1)
            heads.append(head)
            host, port = head.split()[1].decode().rsplit(":", 1)
            upstream = socket.create_connection((host, int(port)))
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for pair in ((client, upstream), (upstream, client)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", heads


@scenario()
def spool_on_a_full_disk(w: World) -> None:
    """The spool's disk has 1 MB, and the endpoint is down. Records go to memory while there is
    room; the others are counted as lost. Later records are sent when the endpoint is back."""
    disk = os.path.join(w.dir, "small")
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        sink = HttpSink(failures=10**6)
        cgroup = w.new_cgroup("full")
        env = logs_only(
            sink.url,
            SANDPIPER_SPOOL=disk + "/spool.db",
            OTEL_BLRP_MAX_QUEUE_SIZE="500",
            OTEL_BLRP_MAX_EXPORT_BATCH_SIZE="100",
        )
        collector = Collector(w, [cgroup], env=env)
        act(w, cgroup, "for i in range(1000):\n    actor.run(['true', 'x' * 3000])")
        collector.wait_for_stderr("kept in memory")
        sink.failures = 0
        events = collector.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    arrived = count(sink.requests(w, "logs"))
    lost = sum(
        int(re.search(r"(\d+) log records", line)[1])
        for line in collector.stderr.splitlines()
        if "log records were not exported" in line
    )
    assert arrived + lost == len(events), (arrived, lost, len(events))
    assert events[-1]["sandpiper.dropped"] == 0 and arrived > 200, events[-1]
