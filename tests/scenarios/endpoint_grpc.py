# SPDX-License-Identifier: Apache-2.0
"""OTLP endpoints over gRPC: every status code, invalid answers, and an endpoint that moves.
endpoint.py has the same over HTTP."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from attribution import Collector, act
from checks import check_complete
from endpoint import TWENTY_PROGRAMS, own_hosts, sandpiper_started_by
from otlp_receiver import (
    ACTIONS,
    GrpcSink,
    Message,
    check_logs,
    count,
    over_grpc,
    run_in_host_network,
)
from registry import scenario
from scrape import free_port

if TYPE_CHECKING:
    from world import World

TAGS = ("userspace",)

# gRPC's status codes that OTLP calls retryable.
RETRYABLE = {1, 4, 10, 11, 14, 15}
# Retryable only if the answer says after which time.
RESOURCE_EXHAUSTED = 8


def logs_over_grpc(url: str, **more: str) -> dict[str, str]:
    return over_grpc(url, OTEL_METRICS_EXPORTER="none", **more)


@scenario()
def answers_with_huge_or_invalid_bodies(w: World) -> None:
    """5 MiB, 400 MiB as gzip, and a body that is no protobuf: the endpoint accepted the request,
    which is not sent again. sandpiper has 350 MiB of memory."""
    for answer in ("large", "garbage", "bomb"):
        sink = GrpcSink(w, "--answer", answer)
        with sandpiper_started_by(w, f'exec prlimit --data={350 << 20} "$@"'):
            env = logs_over_grpc(sink.url, OTEL_EXPORTER_OTLP_TIMEOUT="60000")
            result = run_in_host_network(w, ACTIONS, env)
        check_complete(result)
        check_logs(result, sink.stop_with_logs())
        assert "not exported" not in result.stderr, (answer, result.stderr)


class Attempt(NamedTuple):
    """A request with one record, and the status code of its answer."""

    code: int
    record: str


def send_one_record_per_request(
    w: World, codes: list[int], *options: str
) -> tuple[list[Message], str, list[Attempt]]:
    """Exports records one by one to a server that answers with these codes in turn. Returns the
    record file, sandpiper's stderr, and every attempt."""
    sink = GrpcSink(w, "--codes", ",".join(map(str, codes)), *options)
    code = f"for i in range({len(codes)}):\n    actor.run(['true', str(i)])"
    env = logs_over_grpc(sink.url, OTEL_BLRP_MAX_EXPORT_BATCH_SIZE="1")
    result = run_in_host_network(w, code, env)
    check_complete(result)
    attempts = [
        Attempt(
            request.get("code", 0),
            json.dumps(request.get("logs") or request["rejected_logs"], sort_keys=True),
        )
        for request in sink.stop()
    ]
    return result.events, result.stderr, attempts


@scenario()
def every_status_code(w: World) -> None:
    """A request is sent again unchanged after a retryable code. After another code it is counted
    and not sent again."""
    for options, retryable in (
        ((), RETRYABLE),
        (("--retry-after-ms", "100"), RETRYABLE | {RESOURCE_EXHAUSTED}),
    ):
        codes = [c for code in range(1, 17) for c in (code, 0)]
        events, stderr, attempts = send_one_record_per_request(w, codes, *options)
        for code in range(1, 17):
            (record,) = [a.record for a in attempts if a.code == code]
            accepted = attempts.count(Attempt(0, record))
            assert accepted == (1 if code in retryable else 0), (code, accepted)
        accepted_records = [a.record for a in attempts if a.code == 0]
        rejected = 16 - len(retryable)
        assert len(set(accepted_records)) == len(accepted_records)
        assert len(accepted_records) == len(events) - rejected
        assert f"{rejected} log records were not exported" in stderr, stderr
        assert f"{rejected} refused" in stderr, stderr


@scenario()
def name_moves_to_another_address(w: World) -> None:
    port, cgroup = free_port(), w.new_cgroup("moves-grpc")
    first = GrpcSink(w, port=port)
    with own_hosts(w) as write_hosts:
        write_hosts("127.0.0.1 sink.test")
        collector = Collector(w, [cgroup], env=logs_over_grpc(f"http://sink.test:{port}"))
        act(w, cgroup, TWENTY_PROGRAMS)
        collector.wait_for("process.exec")
        time.sleep(1)  # requests that were sent arrive
        write_hosts("127.0.0.2 sink.test")
        second = GrpcSink(w, port=port, address="127.0.0.2")
        arrived = count(first.stop_with_logs())
        assert arrived
        act(w, cgroup, TWENTY_PROGRAMS)
        collector.wait_for_stderr("log records are sent again")
        events = collector.stop()
    arrived += count(second.stop_with_logs())
    assert arrived == len(events), (arrived, len(events))
