# SPDX-License-Identifier: Apache-2.0
"""A Loki that is away, or whose word is lost, and an exporter that is killed: a real one counts, nothing is lost and nothing is there twice."""

import http.server
import os
import random
import signal
import socket
import struct
import subprocess
import time
import urllib.request

from attribution import Collector, act
from loki import direct, peers_of
from metrics import wait_for
from otlp import ACT, HttpSink, host_net, serve
from peers import same_records
from registry import scenario

TAGS = ("peers", "userspace")

WORK = "for i in range(20):\n    actor.run(['true', str(i)])"


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
                request = urllib.request.Request(
                    to + self.path, body, {"Content-Type": self.headers["Content-Type"]}
                )
                status = urllib.request.urlopen(request).status
                if not spoil(number, self):
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_):
                pass

        self.server = serve(Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]


def reset(handler):
    """The connection breaks, after the request was read, with RST."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
    return True


@scenario()
def loki_is_away_for_a_while(w):
    peers = peers_of(w)
    cg = w.new_cgroup("loki-away")
    c = Collector(
        w, [cg], env=direct(peers, OTEL_SERVICE_NAME="away", OTEL_METRICS_EXPORTER="none")
    )
    act(w, cg, WORK)
    peers.stop("loki")
    act(w, cg, WORK)
    act(w, cg, WORK)
    peers.start_loki()
    events = c.stop()
    same_records(events, peers.entries('{service_name="away"}'))
    assert "log records cannot be sent" in c.stderr and "they are kept on disk" in c.stderr, (
        c.stderr
    )


@scenario()
def what_is_on_disk_is_sent_by_the_next_run(w):
    peers = peers_of(w)
    cg, spool = w.new_cgroup("loki-next"), os.path.join(w.dir, "next.db")
    env = direct(
        peers, OTEL_SERVICE_NAME="next", OTEL_METRICS_EXPORTER="none", SANDPIPER_SPOOL=spool
    )
    peers.stop("loki")
    events = []
    for sig in (signal.SIGTERM, signal.SIGINT):
        c = Collector(w, [cg], env=env)
        act(w, cg, WORK)
        events += c.stop(sig)
        assert (
            c.process.returncode == 0 and "are kept in %s for the next run" % spool in c.stderr
        ), c.stderr
    peers.start_loki()
    c = Collector(w, [cg], env=env)
    wait_for(lambda: len(peers.entries('{service_name="next"}')) >= len(events))
    events += c.stop()
    same_records(events, peers.entries('{service_name="next"}'))


def sender_of(w):
    return os.path.join(os.path.dirname(w.sink), "log_sender")


def numbers_of(peers, first, count):
    """What Loki has of these numbers, less the first, in order."""
    numbers = [
        int(line) - first for _, line, _ in peers.entries('{service_name="killed"}', hours=12)
    ]
    return sorted(n for n in numbers if 0 <= n < count)


@scenario()
def killed_at_two_hundred_moments(w):
    """The exporter alone, with all on disk before it is sent, and a Loki that counts: of each run the first so many, without a hole, none twice, and no
    fewer than it knew to have arrived."""
    peers = peers_of(w)
    sender = sender_of(w)
    url, spool = peers.loki + "/otlp/v1/logs", os.path.join(w.dir, "killed.db")
    rng, runs = random.Random(1), []
    for i in range(200):
        first = 1_000_000 * (i + 1)
        p = subprocess.Popen(
            [sender, url, spool, "--first", str(first)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert p.stdout.readline() == b"began\n"
        time.sleep(rng.uniform(0, 0.12))
        p.kill()
        told = p.communicate()[0].split(b"\n")
        runs.append((first, int(told[-2]) if len(told) > 1 else 0))
    assert (
        subprocess.run([sender, url, spool, "--count", "0"], stdout=subprocess.DEVNULL).returncode
        == 0
    )
    numbers = sorted(int(line) for _, line, _ in peers.entries('{service_name="killed"}'))
    assert len(numbers) == len(set(numbers)), "told twice"
    arrived, left = 0, 0
    for first, known in runs:
        mine = [n for n in numbers if first <= n < first + 1_000_000]
        assert mine == list(range(first, first + len(mine))), "a hole in run %d: %r" % (
            first,
            mine[:5],
        )
        # What one run sends may be of the one before: what it knew to have arrived is of both.
        left += len(mine) - known
        assert left >= 0, (first, known, len(mine))
        arrived += len(mine)
    assert arrived > 2000, "too few to tell: %d" % arrived
    print("     %d records of 200 runs" % arrived)


def send_old_ones(w, first, each, minutes):
    """The exporter sends 1,000 numbers from `first` on, each so-and-so many-th with a time long ago. (what it says of them, those that Loki has less `first`)."""
    peers = peers_of(w)
    done = subprocess.run(
        [
            sender_of(w),
            peers.loki + "/otlp/v1/logs",
            os.path.join(w.dir, "old-%d.db" % first),
            "--first",
            str(first),
            "--count",
            "1000",
            "--old-each",
            str(each),
            "--old-minutes",
            str(minutes),
        ],
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()[-1], numbers_of(peers, first, 1000)


@scenario()
def one_record_that_loki_refuses_costs_one(w):
    """Of each request one is older than Loki takes, which answers 400 for the whole and has kept the rest of it."""
    said, numbers = send_old_ones(w, 900_000_001, 100, minutes=300)
    assert said == "sent 990 refused 10", said
    assert numbers == [i for i in range(1000) if (i + 1) % 100], numbers[:20]


@scenario()
def fifty_five_minutes_are_not_too_old(w):
    """Records that waited so long, among others of now: Loki takes all."""
    said, numbers = send_old_ones(w, 950_000_000, 2, minutes=55)
    assert said == "sent 1000 refused 0", said
    assert numbers == list(range(1000)), numbers[:20]


@scenario()
def loki_is_away_for_an_hour(w):
    """As its records tell: one a second, over the last hour. Then it comes back, and has each once."""
    peers = peers_of(w)
    peers.stop("loki")
    sender = subprocess.Popen(
        [
            sender_of(w),
            peers.loki + "/otlp/v1/logs",
            os.path.join(w.dir, "hour.db"),
            "--first",
            "970000000",
            "--count",
            "3600",
            "--over-minutes",
            "60",
            "--hold",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    w.children.append(sender)
    assert "log records cannot be sent" in sender.stderr.readline()
    time.sleep(5)  # it tries again
    peers.start_loki()
    said, problems = sender.communicate(timeout=300)
    w.children.remove(sender)
    assert (
        said.splitlines()[-1] == "sent 3600 refused 0" and "log records are sent again" in problems
    ), (said[-100:], problems)
    assert numbers_of(peers, 970_000_000, 3600) == list(range(3600))


@scenario()
def answers_after_thirty_seconds(w):
    """Loki has it at once, and the answer comes long after the ten seconds that an attempt may take: it is sent again, and is there once."""
    peers = peers_of(w)

    def late(number, handler):
        if number == 1:
            time.sleep(30)
        return False

    relay = Relay(peers.loki, late)
    r = host_net(
        w,
        ACT,
        direct(
            peers,
            OTEL_SERVICE_NAME="late",
            OTEL_METRICS_EXPORTER="none",
            OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=relay.url + "/otlp/v1/logs",
        ),
    )
    assert relay.asked >= 2
    same_records(r.events, peers.entries('{service_name="late"}'))


@scenario()
def an_acknowledgement_that_is_lost(w):
    """Loki has it, and sandpiper does not know: the same bytes again, and Loki keeps one."""
    peers = peers_of(w)
    relay = Relay(peers.loki, lambda number, handler: number <= 2 and reset(handler))
    r = host_net(
        w,
        ACT,
        direct(
            peers,
            OTEL_SERVICE_NAME="unacknowledged",
            OTEL_METRICS_EXPORTER="none",
            OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=relay.url + "/otlp/v1/logs",
        ),
    )
    assert relay.asked >= 3
    same_records(r.events, peers.entries('{service_name="unacknowledged"}'))
