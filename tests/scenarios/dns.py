# SPDX-License-Identifier: Apache-2.0
"""DNS: every way to send a query and every kind of answer."""

from checks import check_complete, check_everything, check_identity, check_lookups, check_processes
from registry import scenario
from world import World

TAGS = ("peers",)


@scenario()
def udp_connected_sendto_sendmsg_write(w: World) -> None:
    check_everything(
        w.actor("""
        for mode in ("connected", "sendto", "sendmsg", "write"):
            actor.lookup("%s.a.test" % mode, "A", mode=mode)
            actor.lookup("%s.b.test" % mode, "AAAA", mode=mode)
    """)
    )


@scenario()
def over_ipv6(w: World) -> None:
    check_everything(
        w.actor("""
        actor.lookup("a.test", "A", server="fd77::1")
        actor.lookup("a.test", "AAAA", server="fd77::1", mode="sendto")
        actor.lookup_tcp([("b.test", "A")], server="fd77::1")
    """)
    )


@scenario()
def over_v4_mapped_sockets(w: World) -> None:
    check_everything(
        w.actor("""
        actor.lookup("a.test", "A", mapped=True)
        actor.lookup("b.test", "AAAA", mapped=True, mode="sendto")
    """)
    )


@scenario()
def sendmmsg_and_io_uring(w: World) -> None:
    check_everything(w.exec([w.triggers, "dns-sendmmsg", "10.77.0.1"]))
    check_everything(w.exec([w.triggers, "dns-uring", "10.77.0.1"]))


@scenario("kernels")
def a_and_aaaa_in_parallel_on_one_socket(w: World) -> None:
    check_everything(
        w.actor("""
        import socket, dnswire as d
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("10.77.0.1", 53))
        s.send(d.query("slow.test", "A", 7))
        s.send(d.query("slow.test", "AAAA", 8))
        for _ in range(2):
            ident, _, rcode, name, qtype, ips = d.parse(s.recv(4096))
            actor.note_lookup(name, {1: "A", 28: "AAAA"}[qtype], "ok", ips)
    """)
    )


@scenario("hosts", "kernels")
def glibc_getaddrinfo(w: World) -> None:
    check_everything(
        w.actor("""
        import socket
        got = socket.getaddrinfo("a.test", 8080, 0, socket.SOCK_STREAM)
        for qtype, family in (("A", socket.AF_INET), ("AAAA", socket.AF_INET6)):
            actor.note_lookup("a.test", qtype, "ok", [g[4][0] for g in got if g[0] == family])
    """)
    )


@scenario()
def search_domains_are_lookups_of_their_own(w: World) -> None:
    w.write_resolv(
        "nameserver 10.77.0.1\nsearch one.search.test two.search.test\noptions ndots:2\n"
    )
    try:
        check_everything(
            w.actor("""
            import socket
            got = socket.getaddrinfo("a.test", 8080, socket.AF_INET, socket.SOCK_STREAM)
            for domain in ("one", "two"):
                actor.note_lookup("a.test.%s.search.test" % domain, "A", "nxdomain")
            actor.note_lookup("a.test", "A", "ok", [g[4][0] for g in got])
        """)
        )
    finally:
        w.write_resolv("nameserver 10.77.0.1\noptions timeout:1 attempts:2\n")


@scenario()
def one_id_for_many_names(w: World) -> None:
    check_everything(
        w.actor("""
        import socket
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("10.77.0.1", 53))
        for i in range(20):
            actor.lookup("n%d.test" % i, "A", ident=4242, sock=s)
    """)
    )


@scenario()
def repeated_question_is_a_new_lookup(w: World) -> None:
    check_everything(
        w.actor("""
        for _ in range(5):
            actor.lookup("a.test", "A")
    """)
    )


@scenario()
def retransmission_is_the_same_lookup(w: World) -> None:
    check_everything(
        w.actor("""
        import socket, dnswire as d
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("10.77.0.1", 53))
        q = d.query("slow.test", "A", 99)
        for _ in range(3):
            s.send(q)
        ips = d.parse(s.recv(4096))[5]
        for _ in range(2):
            s.recv(4096)  # the server answers each query
        actor.note_lookup("slow.test", "A", "ok", ips)
        actor.note_ignored_answers(2)
    """)
    )


@scenario()
def retry_at_the_second_server(w: World) -> None:
    w.write_resolv("nameserver 10.77.0.1\nnameserver 10.77.0.3\noptions timeout:1 attempts:2\n")
    try:
        check_everything(
            w.actor("""
            import socket
            got = socket.getaddrinfo("once.test", 8080, socket.AF_INET, socket.SOCK_STREAM)
            actor.note_lookup("once.test", "A", "ok", [g[4][0] for g in got])
        """)
        )
    finally:
        w.write_resolv("nameserver 10.77.0.1\noptions timeout:1 attempts:2\n")


@scenario()
def failing_over_after_servfail_is_one_lookup(w: World) -> None:
    w.write_resolv("nameserver 10.77.0.1\nnameserver 10.77.0.3\noptions timeout:1 attempts:1\n")
    try:
        check_everything(
            w.actor("""
            import socket
            try:
                socket.getaddrinfo("servfail.test", 8080, socket.AF_INET, socket.SOCK_STREAM)
            except socket.gaierror:
                actor.note_lookup("servfail.test", "A", "servfail")
        """)
        )
    finally:
        w.write_resolv("nameserver 10.77.0.1\noptions timeout:1 attempts:2\n")


@scenario()
def truncated_then_tcp(w: World) -> None:
    check_everything(
        w.actor("""
        actor.lookup("tc.test", "A")
    """)
    )


@scenario()
def tcp_packed_and_split(w: World) -> None:
    check_everything(
        w.actor("""
        actor.lookup_tcp([("p%d.test" % i, "A") for i in range(10)])
        actor.lookup_tcp([("a.test", "A")], trickle=True)
        actor.lookup_tcp([("split.test", "AAAA")])
        actor.lookup_tcp([("split.x%d.test" % i, "A") for i in range(3)], trickle=True)
    """)
    )


@scenario()
def tcp_queries_larger_than_one_event(w: World) -> None:
    """A query that begins in a later part of a segment is complete too."""
    r = w.actor("""
        for server, label in ("10.77.0.1", "four"), ("fd77::1", "six"):
            actor.lookup_tcp([("query%03d.%s.test" % (i, label), "A") for i in range(250)],
                server=server)
    """)
    check_everything(r)
    for server, label in ("10.77.0.1:53", "four"), ("[fd77::1]:53", "six"):
        found = [line for line in r.report["lookups"] if line["name"].endswith(label + ".test")]
        assert len(found) == 250 and all(line["server"] == server for line in found), (
            len(found),
            {line["server"] for line in found},
        )


@scenario()
def tcp_connection_to_port_53_that_speaks_no_dns(w: World) -> None:
    r = w.actor("""
        import socket
        s = socket.create_connection(("10.77.0.1", 53))
        s.close()
        actor.note_flow("10.77.0.1", 53, "tcp", "established", 0, 0)
    """)
    check_everything(r)


@scenario()
def rcodes(w: World) -> None:
    check_everything(
        w.actor("""
        for n in ("nx", "servfail", "refused", "notimp"):
            actor.lookup("%s.test" % n, "A")
    """)
    )


@scenario()
def edns_cname_chains_and_many_answers(w: World) -> None:
    check_everything(
        w.actor("""
        actor.lookup("cname.test", "A", edns=1232)
        actor.lookup("many20.test", "A", edns=4096)
        actor.lookup("many100.test", "A", edns=4096)
        actor.lookup("a.test", "MX", edns=4096)
    """)
    )


@scenario()
def answers_of_exact_sizes(w: World) -> None:
    check_everything(
        w.actor("""
        for size in (511, 512, 513, 1535, 1536, 1537, 4095, 4096, 4097, 8000):
            actor.lookup("size%d.test" % size, "TXT", edns=8192)
        for size in (512, 4096, 20000, 65535):
            for server in "10.77.0.1", "fd77::1":
                actor.lookup_tcp([("size%d.test" % size, "TXT")], server=server)
    """)
    )


@scenario()
def no_answer_is_a_timeout(w: World) -> None:
    r = w.actor(
        """
        actor.lookup("silent.test", "A", timeout=1.5)
        actor.lookup("dead.silent.test", "A", server="10.77.0.9", timeout=1.0)
    """,
        options=["--dns-timeout-ms", "500"],
    )
    check_everything(r)
    silent = [e for e in r.records("egress.outbound") if e.get("target.host") == "silent.test"][0]
    assert silent["error"] == "timeout" and silent["dns.duration_ms"] >= 500, silent


@scenario()
def unanswered_at_the_end(w: World) -> None:
    check_everything(
        w.actor("""
        actor.lookup("silent.test", "A", timeout=0.2)
    """)
    )


@scenario()
def spoofed_answers_are_ignored(w: World) -> None:
    check_everything(
        w.actor("""
        actor.lookup("wrongaddr.test", "A", mode="sendto")
        actor.lookup("wrongq.test", "A")
        actor.lookup("wrongid.test", "A", mode="sendto")
    """)
    )


@scenario()
def late_answers_are_ignored(w: World) -> None:
    r = w.actor(
        """
        import socket, time, dnswire as d
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("10.77.0.1", 53))
        s.send(d.query("slow.test", "A", 5))
        actor.note_lookup("slow.test", "A", "timeout")
        s.settimeout(3)
        s.recv(4096)
        actor.note_ignored_answers(1)
        time.sleep(0.2)
    """,
        options=["--dns-timeout-ms", "100"],
    )
    check_everything(r)


@scenario()
def malformed_answers(w: World) -> None:
    kinds = ("loop", "forward", "label", "counts", "rdlength")
    r = w.actor(
        """
        for kind in %r:
            actor.lookup("mal-%%s.test" %% kind, "A", timeout=1.0)
            actor.lookup("malok-%%s.test" %% kind, "A")
        actor.lookup("mal-empty.test", "A", timeout=1.0, record=False)
        actor.note_lookup("mal-empty.test", "A", "timeout")
    """
        % (kinds,)
    )
    check_everything(r)
    # An empty answer has no id: it belongs to no lookup and causes no event.
    assert r.report["totals"]["dns_messages_malformed"] == r.truth["malformed"] - 1, (
        r.report["totals"],
        r.truth,
    )


@scenario()
def malformed_queries(w: World) -> None:
    r = w.actor("""
        import os, socket
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("10.77.0.1", 53))
        for q in (b"x", bytes(11), bytes(12),
            b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\xc0\\x0c\\0\\1\\0\\1", b"\\xff" * 600):
            s.send(q)
    """)
    assert r.status == 0, r.stderr
    check_complete(r)
    check_identity(r)
    bad = [e for e in r.records("egress.outbound") if e["egress.outcome"] == "malformed"]
    assert len(bad) == 5 and all(
        e["peer"] == "10.77.0.1" and e["network.peer.port"] == 53 for e in bad
    ), bad
    assert r.metric("sandbox.dns.queries", "outcome") == {("malformed",): 5}


@scenario()
def strange_names(w: World) -> None:
    r = w.actor("""
        import dnswire as d
        import socket
        raw = b"\\3a.b\\2\\0\\n\\4\\xff\\xfe\\\\\\"\\x04test\\0"
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("10.77.0.1", 53))
        s.send(d.query(raw, "A", 77))
        s.recv(4096)
        actor.lookup("UPPER.Case.TEST", "A")
        actor.lookup("a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 56 + ".test", "A")
    """)
    names = [e["target.host"] for e in r.records("egress.outbound")]
    assert names[0] == 'a\\.b.\\000\\010.\\255\\254\\\\".test', names
    assert names[1] == "upper.case.test", names
    assert len(names[2]) == 253, names


@scenario()
def root_and_any_type(w: World) -> None:
    check_everything(
        w.actor("""
        actor.lookup(".", "NS")
        actor.lookup("a.test", 65280)
    """)
    )


@scenario()
def many_threads_at_once(w: World) -> None:
    check_everything(
        w.actor("""
        def work(i):
            return lambda: [actor.lookup("t%d-%d.test" % (i, n), "A") for n in range(10)]
        actor.run_threads([work(i) for i in range(16)])
    """)
    )


@scenario()
def the_same_question_from_many_threads(w: World) -> None:
    check_everything(
        w.actor("""
        actor.run_threads([lambda: actor.lookup("slow.test", "A") for _ in range(8)])
    """)
    )


@scenario()
def dig_and_getent(w: World) -> None:
    code = """
        actor.run(["dig", "+short", "@10.77.0.1", "a.test", "A"])
        actor.note_lookup("a.test", "A", "ok", ["10.77.0.4"])
        actor.run(["dig", "+tcp", "+short", "@10.77.0.1", "b.test", "AAAA"])
        actor.note_lookup("b.test", "AAAA", "ok", ["fd77::4"], transport="tcp")
        actor.run(["getent", "ahostsv4", "c.test"])
        actor.note_lookup("c.test", "A", "ok", ["10.77.0.4"])
    """
    r = w.actor(code)
    check_complete(r)
    check_identity(r)
    check_lookups(r, r.truth)
    check_processes(r, r.truth)


@scenario("kernels")
def other_opcodes_are_requests_and_no_lookups(w: World) -> None:
    r = w.actor("""
        import socket, struct, dnswire as d
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(2)
        s.connect(("10.77.0.1", 53))
        zone = d.name("zone.test") + struct.pack("!2H", 6, 1)
        for opcode in (2, 4, 5):
            s.send(struct.pack("!6H", opcode, opcode << 11, 1, 0, 0, 0) + zone)
            s.recv(4096)
        cookie = b"\\0" + struct.pack("!HHIH", 41, 1232, 0, 12) + struct.pack("!2H", 10, 8)
        s.send(struct.pack("!6H", 9, 0x100, 0, 0, 0, 1) + cookie + b"abcdefgh")
        s.recv(4096)
    """)
    assert r.status == 0, r.stderr
    check_complete(r)
    check_identity(r)
    records = r.records("egress.outbound")
    found = [(e["dns.opcode"], e.get("target.host"), e["egress.outcome"]) for e in records]
    assert found == [
        ("STATUS", "zone.test", "ok"),
        ("NOTIFY", "zone.test", "ok"),
        ("UPDATE", "zone.test", "ok"),
        ("QUERY", None, "ok"),
    ], found
    assert not r.metric("sandbox.dns.queries", "outcome"), r.metric(
        "sandbox.dns.queries", "outcome"
    )
    assert r.report["totals"]["dns_messages_malformed"] == 0, r.report["totals"]


@scenario()
def extended_rcodes_and_bytes_behind_messages(w: World) -> None:
    r = w.actor("""
        import socket, dnswire as d
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(2)
        s.connect(("10.77.0.1", 53))
        for ident, (name, qtype) in enumerate((("badvers.test", "A"), ("badcookie.test", "A"),
                ("a.test", 261), ("b.test", 128))):
            s.send(d.query(name, qtype, ident + 1) + b"x" * 100 * ident)
            s.recv(4096)
    """)
    assert r.status == 0, r.stderr
    found = [
        (
            e["target.host"],
            e["dns.question.type"],
            e["dns.response_code"],
            e.get("dns.trailing_bytes", 0),
            e["server.address"],
            e["server.port"],
            e["dns.queries"],
        )
        for e in r.records("egress.outbound")
    ]
    server = ("10.77.0.1", 53, 1)
    assert sorted(found) == [
        ("a.test", "RESINFO", "NOERROR", 200, *server),
        ("b.test", "NXNAME", "NOERROR", 300, *server),
        ("badcookie.test", "A", "BADCOOKIE", 100, *server),
        ("badvers.test", "A", "BADVERS", 0, *server),
    ], found


@scenario()
def first_of_two_questions_is_recorded(w: World) -> None:
    r = w.actor("""
        import socket, struct, dnswire as d
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("10.77.0.1", 53))
        tail = struct.pack("!2H", 1, 1)
        questions = d.name("first.silent.test") + tail + d.name("b.test") + tail
        s.send(struct.pack("!6H", 9, 0x100, 2, 0, 0, 0) + questions)
    """)
    (lookup,) = r.records("egress.outbound")
    assert lookup["target.host"] == "first.silent.test", lookup
    assert lookup["dns.question.count"] == 2, lookup


@scenario("kernels")
def hints_and_additional_addresses_explain_connections(w: World) -> None:
    r = w.actor("""
        import socket, dnswire as d
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(2)
        s.connect(("10.77.0.1", 53))
        s.send(d.query("hints.test", "HTTPS", 1))
        s.recv(4096)
        for address in ("10.77.0.4", "fd77::4"):
            socket.create_connection((address, 8080)).close()
        s.send(d.query("_api._tcp.test", "SRV", 2))
        s.recv(4096)
        socket.create_connection(("10.77.0.4", 8080)).close()
    """)
    assert r.status == 0, r.stderr
    assert [e for e in r.records("egress.outbound") if "dns.question.type" not in e] == []
    hosts = sorted(e["target.host"] for e in r.records("egress.destination"))
    assert hosts == ["hints.test", "node1.test"], hosts
    (https, _srv) = r.records("egress.outbound")
    assert https["dns.address_hints"] == ["10.77.0.4", "fd77::4"], https


@scenario()
def answers_that_no_resolver_accepts_explain_nothing(w: World) -> None:
    r = w.actor("""
        import socket, dnswire as d
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(2)
        s.connect(("10.77.0.1", 53))
        for ident, (name, qtype) in enumerate((("foreign.test", "A"), ("wrongtype.test", "TXT"),
                ("mapped.test", "AAAA"))):
            s.send(d.query(name, qtype, ident + 1))
            s.recv(4096)
            socket.create_connection(("10.77.0.4", 8080)).close()
    """)
    assert r.status == 0, r.stderr
    direct = [e for e in r.records("egress.outbound") if "dns.question.type" not in e]
    assert [e["peer"] for e in direct] == ["10.77.0.4"] * 3, direct
    (destination,) = r.records("egress.destination")
    assert "target.host" not in destination, destination
    assert destination["network.peer.address"] == "10.77.0.4", destination
