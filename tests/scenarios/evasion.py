"""A sandbox that does not want to be seen: what is told is what the kernel did, and never what a program said of itself or showed for a moment."""

import collections
import os

from attribution import Collector, act, told
from checks import args_of, complete, same
from registry import Skip, scenario


def lines_of(r):
    return r.stdout.decode().split()


@scenario
def an_address_that_is_rewritten_during_the_call(w):
    r = w.exec([w.triggers, "connect-flip", "10.77.0.3", "10.77.0.4", "200"])
    complete(r)
    went = collections.Counter(lines_of(r))
    assert sum(went.values()) == 200, r.stderr
    told_of = collections.Counter(e["peer"] for e in r.of("egress.outbound"))
    assert told_of == went, (told_of, went)
    print("     %s" % dict(went))


@scenario
def arguments_that_are_rewritten_during_the_call(w):
    r = w.exec([w.triggers, "exec-flip", "50"])
    complete(r)
    got = [args_of(e)[2] for e in r.of("process.exec") if args_of(e)[1] == "show"]
    same("arguments", got, lines_of(r))
    assert len(got) == 50


@scenario
def system_calls_of_32_bits(w):
    r = w.exec([w.triggers, "connect-ia32", "10.77.0.3", "8080"])
    if lines_of(r) == ["-38"]:
        raise Skip("this kernel has no 32-bit system calls")
    assert lines_of(r) == ["0"], r.stdout
    complete(r)
    assert [(e["peer"], e["network.peer.port"]) for e in r.of("egress.outbound")] == [("10.77.0.3", 8080)]


@scenario
def a_program_that_goes_by_another_name(w):
    """Its arguments, name and memory say otherwise by the time it connects; what it was started as stays."""
    r = w.exec([w.triggers, "hide", "10.77.0.3"])
    assert r.status == 0
    complete(r)
    (run,), (out,) = [e for e in r.of("process.exec") if args_of(e)[1:] == ("hide", "10.77.0.3")], r.of("egress.outbound")
    assert out["process.pid"] == run["process.pid"], (out, run)
    assert out["process.executable.path"] == run["process.executable.path"] == os.path.realpath(w.triggers), out


@scenario
def sockets_from_before_and_from_outside(w):
    """Made where nobody watches: taken along into the sandbox, and handed in by SCM_RIGHTS. What is connected in the sandbox is its own, and marked."""
    inside, outside = w.new_cgroup("evader"), w.new_cgroup("helper")
    c = Collector(w, [inside])
    act(w, outside, """
import os, socket
tcp, udp, handed = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
ours, theirs = socket.socketpair(socket.AF_UNIX)
def child():
    open(%r + "/cgroup.procs", "w").write(str(os.getpid()))
    tcp.connect(("10.77.0.3", 8080)); tcp.send(b"abc"); actor.exactly(tcp, 3); tcp.close()
    _, (fd,), _, _ = socket.recv_fds(theirs, 1, 1)
    passed = socket.socket(fileno=fd)
    passed.connect(("10.77.0.4", 8080)); passed.send(b"defg"); actor.exactly(passed, 4); passed.close()
    actor.lookup("before.test", "A", mode="sendto", sock=udp)
    return 0
socket.send_fds(ours, [b"x"], [handed.fileno()])
handed.close()
actor.forked(child)
outer = socket.socket()  # used where it was made
outer.connect(("10.77.0.3", 80))
""" % inside)
    events = c.stop()
    hosts, peers, ledger = told(events, "evader")
    same("names", hosts, ["before.test"])
    same("peers", peers, ["10.77.0.3", "10.77.0.4"])
    outbound = [e for e in events if e["opensandbox.event"] == "egress.outbound"]
    assert all(e["sandbox.attribution"] == "process" for e in outbound), outbound
    bytes_of = {e["peer"]: (e["network.io.sent"], e["network.io.received"]) for e in events if e["opensandbox.event"] == "egress.destination"}
    assert bytes_of == {"10.77.0.3": (3, 3), "10.77.0.4": (4, 4)}, bytes_of


@scenario
def a_network_namespace_of_its_own(w):
    """Where nothing is reachable: what it tries there is told all the same."""
    r = w.actor("""
        import sys
        actor.run(["unshare", "-n", sys.executable, "-c", "import socket; socket.socket().connect_ex(('10.77.0.3', 8080))"])
    """)
    complete(r)
    failed = [(e["peer"], e["network.peer.port"], e["error.type"]) for e in r.of("egress.failed")]
    assert failed == [("10.77.0.3", 8080, "unreachable")], failed
