# SPDX-License-Identifier: Apache-2.0
"""A store that stops, rejects records or loses acknowledgements, and an exporter that is killed.
No record is lost. A record that arrives twice arrives in two requests that are equal byte for
byte, so that a store can recognise it. VictoriaLogs keeps every copy, which shows both."""

from __future__ import annotations

import http.server
import os
import random
import signal
import socket
import struct
import subprocess
import time
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attribution import Collector, act
from otlp_receiver import ACTIONS, decode, records, run_in_host_network, serve
from peer_checks import same_records
from peers import peers_of
from polling import wait_for
from registry import scenario
from victorialogs import StoredRecord

if TYPE_CHECKING:
    from world import World

TAGS = ("peers", "userspace")

TWENTY_PROGRAMS = "for i in range(20):\n    actor.run(['true', str(i)])"
MINUTE = 60 * 10**9


class QuietServer(http.server.ThreadingHTTPServer):
    """Does not report clients that leave before their answer."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Relay:
    """Passes requests on to a store's endpoint and keeps the body of each.

    A body for which `reject` is true gets 400 and is not passed on. `interrupt` is called with
    the number of a request that was passed on, from 1, and with its handler; where it returns
    true, it has ended the connection itself."""

    def __init__(
        self,
        endpoint: str,
        *,
        reject: Callable[[bytes], bool] = lambda body: False,
        interrupt: Callable[[int, http.server.BaseHTTPRequestHandler], bool] = lambda n, h: False,
    ) -> None:
        relay = self
        self.passed_on: list[bytes] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # the client was killed
                    self.close_connection = True
                    return
                status = 400
                if not reject(body):
                    kind = {"Content-Type": self.headers["Content-Type"]}
                    request = urllib.request.Request(endpoint, body, kind)
                    relay.passed_on.append(body)
                    number = len(relay.passed_on)
                    with urllib.request.urlopen(request) as answer:
                        status = answer.status
                    if interrupt(number, self):
                        return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = serve(Handler, kind=QuietServer)
        self.logs_endpoint = f"http://127.0.0.1:{self.server.server_address[1]}/v1/logs"


def break_connection(handler: http.server.BaseHTTPRequestHandler) -> bool:
    """Ends a connection with RST after its request was read."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True
    return True


def without_copies(w: World, stored: list[StoredRecord], relay: Relay) -> list[StoredRecord]:
    """The stored records, each once. Asserts that the store has exactly what the relay passed on,
    and that records came twice only in requests that are equal byte for byte."""
    distinct = list(dict.fromkeys(relay.passed_on))
    # Protobuf messages that are joined are one message with the records of all.
    sent = [r for r, _ in records([decode(w, "logs", b"".join(relay.passed_on))])]
    sent_once = [r for r, _ in records([decode(w, "logs", b"".join(distinct))])]
    keys = {(r["timeUnixNano"], repr(r)) for r in sent_once}
    assert len(keys) == len(sent_once), "a record is part of two different requests"
    assert len(stored) == len(sent), f"{len(stored)} stored records, {len(sent)} sent"
    once = list({record.identity(): record for record in stored}.values())
    assert len(once) == len(sent_once), f"{len(once)} different records, {len(sent_once)} sent"
    return once


@scenario()
def store_stopped_for_a_while(w: World) -> None:
    peers = peers_of(w)
    cgroup = w.new_cgroup("outage-while")
    env = peers.direct(OTEL_SERVICE_NAME="while", OTEL_METRICS_EXPORTER="none")
    collector = Collector(w, [cgroup], env=env)
    act(w, cgroup, TWENTY_PROGRAMS)
    peers.stop_store()
    act(w, cgroup, TWENTY_PROGRAMS)
    act(w, cgroup, TWENTY_PROGRAMS)
    peers.start_store()
    events = collector.stop()
    same_records(events, peers.store.records("while"))
    assert "log records cannot be sent" in collector.stderr, collector.stderr
    assert "they are kept on disk" in collector.stderr, collector.stderr


@scenario()
def spool_is_sent_by_the_next_run(w: World) -> None:
    peers = peers_of(w)
    cgroup, spool = w.new_cgroup("outage-next"), os.path.join(w.dir, "next.db")
    env = peers.direct(
        OTEL_SERVICE_NAME="next", OTEL_METRICS_EXPORTER="none", SANDPIPER_SPOOL=spool
    )
    peers.stop_store()
    events = []
    for sig in (signal.SIGTERM, signal.SIGINT):
        collector = Collector(w, [cgroup], env=env)
        act(w, cgroup, TWENTY_PROGRAMS)
        events += collector.stop(sig)
        assert collector.process.returncode == 0, collector.stderr
        assert f"are kept in {spool} for the next run" in collector.stderr, collector.stderr
    peers.start_store()
    collector = Collector(w, [cgroup], env=env)
    wait_for(lambda: len(peers.store.records("next")) >= len(events))
    events += collector.stop()
    same_records(events, peers.store.records("next"))


def log_sender_of(w: World) -> str:
    """tests/e2e/log_sender.cc: the exporter alone, which sends numbered records."""
    return os.path.join(os.path.dirname(w.sink), "log_sender")


def run_log_sender(w: World, endpoint: str, first: int, old_each: int, old_minutes: int) -> str:
    """Sends 1,000 numbers from `first` on; every `old_each`-th number has a time long ago.
    Returns the exporter's summary."""
    spool = os.path.join(w.dir, f"old-{first}.db")
    options = ["--first", first, "--count", 1000]
    options += ["--old-each", old_each, "--old-minutes", old_minutes]
    done = subprocess.run(
        [log_sender_of(w), endpoint, spool, *map(str, options)], capture_output=True, text=True
    )
    return done.stdout.splitlines()[-1]


@scenario()
def exporter_killed_two_hundred_times(w: World) -> None:
    """Of each run the first records arrive, without a hole, and at least as many as the exporter
    knew to be acknowledged. Every record is on disk before it is sent."""
    peers = peers_of(w)
    relay = Relay(peers.store.logs_endpoint)
    sender, spool = log_sender_of(w), os.path.join(w.dir, "killed.db")
    rng, runs = random.Random(1), []
    for i in range(200):
        first = 1_000_000 * (i + 1)
        process = subprocess.Popen(
            [sender, relay.logs_endpoint, spool, "--first", str(first)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout and process.stdout.readline() == b"started\n"
        time.sleep(rng.uniform(0, 0.12))
        process.kill()
        counts = process.communicate()[0].split(b"\n")
        runs.append((first, int(counts[-2]) if len(counts) > 1 else 0))
    rest = subprocess.run(
        [sender, relay.logs_endpoint, spool, "--count", "0"], stdout=subprocess.DEVNULL
    )
    assert rest.returncode == 0
    stored = peers.store.records("killed")
    numbers = sorted(int(record.body) for record in without_copies(w, stored, relay))
    assert len(numbers) == len(set(numbers))
    arrived, surplus = 0, 0
    for first, acknowledged in runs:
        run_numbers = [n for n in numbers if first <= n < first + 1_000_000]
        hole = f"a hole in run {first}: {run_numbers[:5]}"
        assert run_numbers == list(range(first, first + len(run_numbers))), hole
        # A run may send records of the run before, and counts these as its own.
        surplus += len(run_numbers) - acknowledged
        assert surplus >= 0, (first, acknowledged, len(run_numbers))
        arrived += len(run_numbers)
    assert arrived > 2000, f"only {arrived} records: too few to prove anything"
    print(f"     {arrived} records of 200 runs, {len(stored) - arrived} of them twice")


def has_old_record(w: World, body: bytes) -> bool:
    limit = time.time_ns() - 60 * MINUTE
    return any(int(r["timeUnixNano"]) < limit for r, _ in records([decode(w, "logs", body)]))


@scenario()
def rejected_record_costs_only_itself(w: World) -> None:
    """The endpoint answers 400 for every request with a record that is older than an hour."""
    peers = peers_of(w)
    relay = Relay(peers.store.logs_endpoint, reject=lambda body: has_old_record(w, body))
    first = 900_000_001
    summary = run_log_sender(w, relay.logs_endpoint, first, old_each=100, old_minutes=300)
    assert summary == "sent 990 rejected 10", summary
    numbers = sorted(int(r.body) - first for r in peers.store.records("killed"))
    numbers = [n for n in numbers if 0 <= n < 1000]
    assert numbers == [i for i in range(1000) if (i + 1) % 100], numbers[:20]


@scenario()
def store_stopped_for_an_hour(w: World) -> None:
    """An hour by the times of the records, one a second. Then the store has each once."""
    peers = peers_of(w)
    peers.stop_store()
    first = 970_000_000
    options = ["--first", str(first), "--count", "3600", "--over-minutes", "60", "--hold"]
    spool = os.path.join(w.dir, "hour.db")
    sender = subprocess.Popen(
        [log_sender_of(w), peers.store.logs_endpoint, spool, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    w.children.append(sender)
    assert sender.stderr and "log records cannot be sent" in sender.stderr.readline()
    time.sleep(5)  # it tries again
    peers.start_store()
    out, problems = sender.communicate(timeout=300)
    w.children.remove(sender)
    assert out.splitlines()[-1] == "sent 3600 rejected 0", out[-100:]
    assert "log records are sent again" in problems, problems
    stored = sorted((int(r.body) - first, r.time_ns) for r in peers.store.records("killed"))
    hour = [(n, at) for n, at in stored if 0 <= n < 3600]
    assert [n for n, _ in hour] == list(range(3600))
    assert 59 * MINUTE < hour[-1][1] - hour[0][1] <= 60 * MINUTE


@scenario()
def answer_after_thirty_seconds(w: World) -> None:
    """The store has the first request at once. Its answer comes after the ten seconds that an
    attempt may take, so the same request is sent again."""
    peers = peers_of(w)

    def wait(number: int, _: http.server.BaseHTTPRequestHandler) -> bool:
        if number == 1:
            time.sleep(30)
        return False

    check_sent_again(w, "late", Relay(peers.store.logs_endpoint, interrupt=wait), times=1)


@scenario()
def lost_acknowledgement(w: World) -> None:
    """The store has the first two requests, and their connections break before the answer."""
    peers = peers_of(w)
    relay = Relay(
        peers.store.logs_endpoint,
        interrupt=lambda number, handler: number <= 2 and break_connection(handler),
    )
    check_sent_again(w, "unacknowledged", relay, times=2)


def check_sent_again(w: World, service: str, relay: Relay, times: int) -> None:
    """Sends the records of a sandbox through the relay, which hides `times` answers."""
    peers = peers_of(w)
    env = peers.direct(
        OTEL_SERVICE_NAME=service,
        OTEL_METRICS_EXPORTER="none",
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=relay.logs_endpoint,
    )
    result = run_in_host_network(w, ACTIONS, env)
    assert len(relay.passed_on) - len(set(relay.passed_on)) == times, len(relay.passed_on)
    same_records(result.events, without_copies(w, peers.store.records(service), relay))
