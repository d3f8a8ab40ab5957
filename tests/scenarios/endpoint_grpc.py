# SPDX-License-Identifier: Apache-2.0
"""What gRPC servers may answer, and an endpoint that moves: what each of endpoint.py's is over HTTP."""

import json
import time

from attribution import Collector, act
from checks import complete
from endpoint import WORK, own_hosts, started_by
from otlp import ACT, check_logs, common_env, count, grpc_logs, grpc_sink, host_net
from registry import scenario
from scrape import free_port

TAGS = ("userspace",)

# gRPC's codes that OTLP calls retryable; 8, RESOURCE_EXHAUSTED, is where it says when.
RETRYABLE = {1, 4, 10, 11, 14, 15}


def over_grpc(url, **more):
    return common_env(
        OTEL_EXPORTER_OTLP_ENDPOINT=url,
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_METRICS_EXPORTER="none",
        **more,
    )


@scenario()
def answers_that_nobody_should_give(w):
    """5 MiB, 400 MiB as gzip, no protobuf: it took the request all the same, which is not sent again, and no memory is lost to it."""
    for answer in ("large", "garbage", "bomb"):
        server, url = grpc_sink(w, "--answer", answer)
        with started_by(w, 'exec prlimit --data=%d "$@"' % (350 << 20)):
            r = host_net(w, ACT, over_grpc(url, OTEL_EXPORTER_OTLP_TIMEOUT="60000"))
        complete(r)
        check_logs(r, grpc_logs(w.stop(server)))
        assert "not exported" not in r.stderr, (answer, r.stderr)


def batches(w, codes, *options):
    """Each record in a request of its own, answered with these codes in turn: (events, what it said, (code, record) of each request)."""
    server, url = grpc_sink(w, "--codes", ",".join(map(str, codes)), *options)
    r = host_net(
        w,
        "for i in range(%d):\n    actor.run(['true', str(i)])" % len(codes),
        over_grpc(url, OTEL_BLRP_MAX_EXPORT_BATCH_SIZE="1"),
    )
    complete(r)
    told = [json.loads(line) for line in w.stop(server).splitlines()]
    return (
        r.events,
        r.stderr,
        [
            (t.get("code", 0), json.dumps(t.get("logs") or t["refused_logs"], sort_keys=True))
            for t in told
        ],
    )


@scenario()
def every_status_code(w):
    """What may be sent again is, the same; what may not is not, and is counted."""
    for options, retryable in (((), RETRYABLE), (("--retry-after-ms", "100"), RETRYABLE | {8})):
        codes = [c for code in range(1, 17) for c in (code, 0)]
        events, said, requests = batches(w, codes, *options)
        for code in range(1, 17):
            (record,) = [sent for answer, sent in requests if answer == code]
            again = [answer for answer, sent in requests if sent == record and answer == 0]
            assert again == ([0] if code in retryable else []), (code, again)
        taken = [sent for answer, sent in requests if answer == 0]
        refused = 16 - len(retryable)
        assert len(set(taken)) == len(taken) == len(events) - refused, (len(taken), len(events))
        assert (
            "%d log records were not exported" % refused in said and "%d refused" % refused in said
        ), said


@scenario()
def a_name_that_moves_to_another_address(w):
    port, cg = free_port(), w.new_cgroup("moves-grpc")
    first, _ = grpc_sink(w, port=port)
    with own_hosts(w) as hosts:
        hosts("127.0.0.1 sink.test")
        c = Collector(w, [cg], env=over_grpc("http://sink.test:%d" % port))
        act(w, cg, WORK)
        c.wait_for("process.exec")
        time.sleep(1)  # what is on its way has arrived
        hosts("127.0.0.2 sink.test")
        second, _ = grpc_sink(w, port=port, address="127.0.0.2")
        arrived = count(grpc_logs(w.stop(first)))
        assert arrived
        act(w, cg, WORK)
        c.until_told("log records are sent again")
        events = c.stop()
    arrived += count(grpc_logs(w.stop(second)))
    assert arrived == len(events), (arrived, len(events))
