"""An endpoint that is away, slow, broken or somebody else: nothing is lost that is not admitted, nothing is told twice, and the capture goes on."""

import gzip
import http.server
import json
import os
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.request

from attribution import Collector, act
from checks import complete
from loki import direct, peers_of
from metrics import wait_for
from otlp import ACT, HttpSink, check_logs, common_env, decode, grpc_sink, host_net, make_certificates, tls_env
from peers import free_port, same_records
from registry import scenario

def until_told(c, part):
    """Reads what the collector says until it says this; returns the line."""
    while line := c.process.stderr.readline().decode():
        if part in line:
            return line
    raise AssertionError("it ended without a word of " + part)


WORK = "for i in range(20):\n    actor.run(['true', str(i)])"


def logs_only(url, **more):
    return common_env(OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=url + "/v1/logs", OTEL_METRICS_EXPORTER="none", **more)


def received(w, sink):
    return [decode(w, "logs", body) for path, _, body in sink.posts if path.endswith("logs")]


class Relay(HttpSink):
    """Passes on to a real Loki. What `spoil(number of the request, handler)` returns true for is not answered as Loki did."""

    def __init__(self, to, spoil):
        relay = self
        self.asked = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                relay.asked += 1
                number = relay.asked
                request = urllib.request.Request(to + self.path, body, {"Content-Type": self.headers["Content-Type"]})
                status = urllib.request.urlopen(request).status
                if not spoil(number, self):
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]


def reset(handler):
    """The connection breaks, after the request was read, with RST."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
    return True


@scenario
def loki_is_away_for_a_while(w):
    peers = peers_of(w)
    cg = w.new_cgroup("away")
    c = Collector(w, [cg], env=direct(peers, OTEL_SERVICE_NAME="away", OTEL_METRICS_EXPORTER="none"))
    act(w, cg, WORK)
    peers.stop("loki")
    act(w, cg, WORK)
    act(w, cg, WORK)
    peers.start_loki()
    events = c.stop()
    same_records(events, peers.entries('{service_name="away"}'))
    assert "log records cannot be sent" in c.stderr and "they are kept on disk" in c.stderr, c.stderr


@scenario
def what_is_on_disk_is_sent_by_the_next_run(w):
    peers = peers_of(w)
    cg, spool = w.new_cgroup("next"), os.path.join(w.dir, "next.db")
    env = direct(peers, OTEL_SERVICE_NAME="next", OTEL_METRICS_EXPORTER="none", SANDPIPER_SPOOL=spool)
    peers.stop("loki")
    events = []
    for sig in (signal.SIGTERM, signal.SIGINT):
        c = Collector(w, [cg], env=env)
        act(w, cg, WORK)
        events += c.stop(sig)
        assert c.process.returncode == 0 and "are kept in %s for the next run" % spool in c.stderr, c.stderr
    peers.start_loki()
    c = Collector(w, [cg], env=env)
    wait_for(lambda: len(peers.entries('{service_name="next"}')) >= len(events))
    events += c.stop()
    same_records(events, peers.entries('{service_name="next"}'))


@scenario
def killed_at_two_hundred_moments(w):
    """The exporter alone, with all on disk before it is sent, and a Loki that counts: of each run the first so many, without a hole, none twice, and no
    fewer than it knew to have arrived."""
    peers = peers_of(w)
    sender = os.path.join(os.path.dirname(w.sink), "log_sender")
    url, spool = peers.loki + "/otlp/v1/logs", os.path.join(w.dir, "killed.db")
    rng, runs = random.Random(1), []
    for i in range(200):
        first = 1_000_000 * (i + 1)
        p = subprocess.Popen([sender, url, spool, str(first)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert p.stdout.readline() == b"began\n"
        time.sleep(rng.uniform(0, 0.12))
        p.kill()
        told = p.communicate()[0].split(b"\n")
        runs.append((first, int(told[-2]) if len(told) > 1 else 0))
    assert subprocess.run([sender, url, spool, "0", "0"], stdout=subprocess.DEVNULL).returncode == 0
    numbers = sorted(int(line) for _, line, _ in peers.entries('{service_name="killed"}'))
    assert len(numbers) == len(set(numbers)), "told twice"
    arrived, left = 0, 0
    for first, known in runs:
        mine = [n for n in numbers if first <= n < first + 1_000_000]
        assert mine == list(range(first, first + len(mine))), "a hole in run %d: %r" % (first, mine[:5])
        # What one run sends may be of the one before: what it knew to have arrived is of both.
        left += len(mine) - known
        assert left >= 0, (first, known, len(mine))
        arrived += len(mine)
    assert arrived > 2000, "too few to tell: %d" % arrived
    print("     %d records of 200 runs" % arrived)


@scenario
def one_record_that_loki_refuses_costs_one(w):
    """Of each request one is older than Loki takes, which answers 400 for the whole and has kept the rest of it."""
    peers = peers_of(w)
    sender = os.path.join(os.path.dirname(w.sink), "log_sender")
    done = subprocess.run([sender, peers.loki + "/otlp/v1/logs", os.path.join(w.dir, "old.db"), "900000001", "1000", "100"], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "sent 990 refused 10", (done.stdout, done.stderr)
    numbers = sorted(int(line) - 900_000_000 for _, line, _ in peers.entries('{service_name="killed"}', hours=12) if int(line) >= 900_000_000)
    assert numbers == [i for i in range(1, 1001) if i % 100], numbers[:20]


@scenario
def an_acknowledgement_that_is_lost(w):
    """Loki has it, and sandpiper does not know: the same bytes again, and Loki keeps one."""
    peers = peers_of(w)
    relay = Relay(peers.loki, lambda number, handler: number <= 2 and reset(handler))
    r = host_net(w, ACT, direct(peers, OTEL_SERVICE_NAME="unacknowledged", OTEL_METRICS_EXPORTER="none",
                                OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=relay.url + "/otlp/v1/logs"))
    assert relay.asked >= 3
    same_records(r.events, peers.entries('{service_name="unacknowledged"}'))


@scenario
def answers_that_nobody_should_give(w):
    """5 MiB, a gzip bomb, no protobuf: it took the request all the same, which is not sent again."""
    bodies = {"large": (b"x" * (5 << 20), {}), "bomb": (gzip.compress(b"\0" * (200 << 20)), {"Content-Encoding": "gzip"}), "garbage": (b"\xff" * 100, {})}
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
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        r = host_net(w, ACT, logs_only("http://127.0.0.1:%d" % server.server_address[1]))
        complete(r)
        check_logs(r, [decode(w, "logs", b) for b in posts])
        assert "not exported" not in r.stderr, (name, r.stderr)


@scenario
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
    told = sum(len(s["logRecords"]) for l in received(w, sink) for r in l["resourceLogs"] for s in r["scopeLogs"])
    assert told == len(events) and events[-1]["sandpiper.dropped"] == 0, (told, len(events))


@scenario
def certificates_that_expire_and_are_renewed(w):
    """The server's has expired: nothing is sent. Then both sides get new ones, of another CA, in the same files: it goes on by itself."""
    folder = w.dir + "/renewed"
    files = make_certificates(folder, "ca")
    subprocess.run("openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 0 -extfile san", shell=True, cwd=folder, check=True,
                   capture_output=True)
    time.sleep(1.1)

    def context():
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(files["server"], files["server"][:-3] + "key")
        made.load_verify_locations(files["ca"])
        made.verify_mode = ssl.CERT_REQUIRED
        return made
    current = [context()]
    base = context()
    base.sni_callback = lambda connection, name, _: setattr(connection, "context", current[0])
    port = free_port()
    url = "https://127.0.0.1:%d" % port
    sink = HttpSink()
    plain = sink.server

    class Server(http.server.ThreadingHTTPServer):
        def get_request(self):
            connection, address = self.socket.accept()
            return current[0].wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

        def handle_error(self, *_):
            pass
    server = Server(("127.0.0.1", port), plain.RequestHandlerClass)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cgs = {"http": w.new_cgroup("tls-http"), "grpc": w.new_cgroup("tls-grpc")}
    grpc_port = free_port()
    args = [w.sink, "grpc", str(grpc_port), "0", files["server"], files["server"][:-3] + "key", files["ca"]]
    grpc_server = w.start(args, ready="ready")
    env = tls_env(files, files, OTEL_METRICS_EXPORTER="none")
    collectors = {"http": Collector(w, [cgs["http"]], env={**env, "OTEL_EXPORTER_OTLP_ENDPOINT": url}),
                  "grpc": Collector(w, [cgs["grpc"]], env={**env, "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:%d" % grpc_port, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})}
    for cg in cgs.values():
        act(w, cg, WORK)
    for c in collectors.values():
        until_told(c, "log records cannot be sent")
    assert not sink.posts
    assert not w.stop(grpc_server)
    make_certificates(folder, "ca")
    current[0] = context()
    grpc_server = w.start(args, ready="ready")
    for c in collectors.values():
        until_told(c, "log records are sent again")
    events = {name: c.stop() for name, c in collectors.items()}
    count = sum(len(s["logRecords"]) for l in received(w, sink) for r in l["resourceLogs"] for s in r["scopeLogs"])
    assert count == len(events["http"]), (count, len(events["http"]))
    got = [json.loads(line)["logs"] for line in w.stop(grpc_server).splitlines()]
    count = sum(len(s["logRecords"]) for l in got for r in l["resourceLogs"] for s in r["scopeLogs"])
    assert count == len(events["grpc"]), (count, len(events["grpc"]))


@scenario
def a_name_that_moves_to_another_address(w):
    port, hosts = free_port(), os.path.join(w.dir, "hosts")
    wrapper = os.path.join(w.dir, "moved")
    with open(wrapper, "w") as f:
        f.write("#!/bin/sh\nexec unshare -m sh -c 'mount --bind %s /etc/hosts && exec \"$0\" \"$@\"' %s \"$@\"\n" % (hosts, w.sandpiper))
    os.chmod(wrapper, 0o755)
    sinks = {}

    def listen(address):
        sink = sinks[address] = HttpSink()
        sink.server.server_close()
        sink.server = http.server.ThreadingHTTPServer((address, port), sink.server.RequestHandlerClass)
        threading.Thread(target=sink.server.serve_forever, daemon=True).start()
    with open(hosts, "w") as f:
        f.write("127.0.0.1 sink.test\n")
    listen("127.0.0.1")
    cg, sandpiper = w.new_cgroup("moves"), w.sandpiper
    w.sandpiper = wrapper
    try:
        c = Collector(w, [cg], env=logs_only("http://sink.test:%d" % port))
    finally:
        w.sandpiper = sandpiper
    act(w, cg, WORK)
    wait_for(lambda: sinks["127.0.0.1"].posts)
    with open(hosts, "w") as f:
        f.write("127.0.0.2 sink.test\n")
    sinks["127.0.0.1"].server.shutdown()
    sinks["127.0.0.1"].server.server_close()
    listen("127.0.0.2")
    # The connection that is open belongs to a thread of the first.
    sinks["127.0.0.1"].failures = 10**6
    act(w, cg, WORK)
    wait_for(lambda: sinks["127.0.0.2"].posts)
    events = c.stop()
    count = sum(len(s["logRecords"]) for sink in sinks.values() for l in received(w, sink) for r in l["resourceLogs"] for s in r["scopeLogs"])
    assert count == len(events), (count, len(events))


@scenario
def an_endpoint_on_ipv6_alone(w):
    sink = HttpSink()

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6
    server = Server(("::1", 0), sink.server.RequestHandlerClass)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    r = host_net(w, ACT, logs_only("http://[::1]:%d" % server.server_address[1]))
    check_logs(r, received(w, sink))
    assert not r.stderr, r.stderr


@scenario
def over_http_on_a_unix_socket(w):
    sink, path = HttpSink(), os.path.join(w.dir, "http.sock")

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_UNIX

        def server_bind(self):
            self.socket.bind(self.server_address)
            self.server_name, self.server_port = "unix", 0

        def get_request(self):
            return self.socket.accept()[0], ("unix", 0)
    server = Server(path, sink.server.RequestHandlerClass)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    r = w.actor(ACT, env=common_env(OTEL_EXPORTER_OTLP_ENDPOINT="unix://" + path, OTEL_METRICS_EXPORTER="none"))
    check_logs(r, received(w, sink))
    assert not r.stderr, r.stderr


@scenario
def through_a_proxy(w):
    """As libcurl and gRPC read the environment; what no_proxy names goes there directly."""
    class Proxy(HttpSink):
        pass
    proxy, sink = HttpSink(), HttpSink()
    r = host_net(w, ACT, logs_only("http://collector.invalid:4318", http_proxy=proxy.url))
    check_logs(r, [decode(w, "logs", b) for path, _, b in proxy.posts if path == "http://collector.invalid:4318/v1/logs"])
    r = host_net(w, ACT, logs_only(sink.url, http_proxy=proxy.url, no_proxy="127.0.0.1"))
    check_logs(r, received(w, sink))
    server, url = grpc_sink(w)
    tunnel, asked = tunnelling_proxy()
    r = host_net(w, ACT, common_env(OTEL_EXPORTER_OTLP_ENDPOINT=url.replace("127.0.0.1", "localhost"), OTEL_EXPORTER_OTLP_PROTOCOL="grpc", http_proxy=tunnel, OTEL_METRICS_EXPORTER="none"))
    check_logs(r, [g["logs"] for g in map(json.loads, w.stop(server).splitlines()) if "logs" in g])
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


@scenario
def a_disk_that_is_full(w):
    """The spool's disk has 1 MB, and the endpoint is away: memory takes what there is room for, the rest is counted, and it heals."""
    disk = os.path.join(w.dir, "small")
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        sink = HttpSink(failures=10**6)
        cg = w.new_cgroup("full")
        c = Collector(w, [cg], env=logs_only(sink.url, SANDPIPER_SPOOL=disk + "/spool.db", OTEL_BLRP_MAX_QUEUE_SIZE="500", OTEL_BLRP_MAX_EXPORT_BATCH_SIZE="100"))
        act(w, cg, "for i in range(1000):\n    actor.run(['true', 'x' * 3000])")
        until_told(c, "kept in memory")
        sink.failures = 0
        events = c.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    told = sum(len(s["logRecords"]) for l in received(w, sink) for r in l["resourceLogs"] for s in r["scopeLogs"])
    (lost,) = [int(line.split()[1]) for line in c.stderr.splitlines() if "log records were not exported" in line] or [0]
    assert told + lost == len(events), (told, lost, len(events))
    assert events[-1]["sandpiper.dropped"] == 0 and told > 200, events[-1]


@scenario
def the_configuration_is_read_again(w):
    path = os.path.join(w.dir, "again.yaml")
    cg = w.new_cgroup("again")

    def write(text):
        with open(path, "w") as f:
            f.write(text)

    def reload(c):
        c.process.send_signal(signal.SIGHUP)
        return until_told(c, "configuration")
    write("redact_arguments: ['blue[0-9]+']\n")
    c = Collector(w, [cg], ["--config", path])
    act(w, cg, "actor.run(['true', 'blue1', 'red1'])")
    write("redact_arguments: ['red[0-9]+']\nwindow_s: 1\nring_bytes: 1M\n")
    assert reload(c) == "sandpiper: configuration read again: redact_arguments, window_s changed\n"
    assert c.process.stderr.readline() == b"sandpiper: only a restart changes ring_bytes\n"
    act(w, cg, "actor.run(['true', 'blue2', 'red2'])")
    write("redact_arguments: ['(']\n")
    line = reload(c)
    assert line.startswith("sandpiper: the configuration stays as it was: " + path + ":1: redact_arguments: ") and "regular expression" in line, line
    act(w, cg, "actor.run(['true', 'blue3', 'red3'])")
    os.unlink(path)
    assert "cannot be read" in reload(c)
    events = c.stop()
    shown = [e["process.command_args"][1:] for e in events if e["opensandbox.event"] == "process.exec" and e["process.command_args"][0] == "true"]
    assert shown == [["*****", "red1"], ["blue2", "*****"], ["blue3", "*****"]], shown


@scenario
def secrets_do_not_leave(w):
    sink = HttpSink()
    r = host_net(w, "actor.run(['true', '--password', 'hunter2', 'https://me:hunter2@a.test/'])\nactor.lookup('plan.secret.test', 'A')",
                 logs_only(sink.url, OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT="9"), options=["--redact-hosts", r"([a-z]+)\.secret\.test"])
    assert sink.posts
    text = json.dumps(received(w, sink)) + json.dumps(r.events)
    assert "plan.secret" not in text and "*****.secret.test" in text and "https://me:*****@a.test/" in text
    # The actor's own arguments hold its program, and so all of these words.
    assert text.count("hunter2") == text.replace("actor.run(['true', '--password', 'hunter2'", "").count("hunter2") + text.count("actor.run(['true', '--password', 'hunter2'")
    assert any(int(record.get("droppedAttributesCount", 0)) > 0 for l in received(w, sink) for rl in l["resourceLogs"] for s in rl["scopeLogs"] for record in s["logRecords"])
