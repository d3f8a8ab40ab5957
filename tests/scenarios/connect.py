# SPDX-License-Identifier: Apache-2.0
"""Connections: every outcome of an attempt, bytes, names."""

import subprocess

from checks import check_complete, check_everything, check_flows, check_identity
from registry import Skip, scenario
from world import PYTHON, World

TAGS = ("peers",)


@scenario("linux-5.10")
def tcp_blocking_and_nonblocking(w: World) -> None:
    check_everything(
        w.actor("""
        for blocking in (True, False):
            actor.tcp("10.77.0.4", send=b"x" * 1000, blocking=blocking)
            actor.tcp("fd77::4", send=b"y" * 10, blocking=blocking)
            actor.tcp("10.77.0.4", send=b"z", blocking=blocking, mapped=True)
    """)
    )


@scenario()
def bytes_are_exact(w: World) -> None:
    check_everything(
        w.actor("""
        for n in (0, 1, 1448, 65536, 5_000_000):
            actor.tcp("10.77.0.4", send=b"b" * n)
    """)
    )


@scenario("hosts", "kernels")
def refused(w: World) -> None:
    check_everything(
        w.actor("""
        for blocking in (True, False):
            actor.tcp("10.77.0.4", port=1, blocking=blocking)
            actor.tcp("fd77::4", port=1, blocking=blocking)
            actor.tcp("10.77.0.4", port=1, blocking=blocking, mapped=True)
    """)
    )


@scenario()
def unreachable_before_any_packet(w: World) -> None:
    check_everything(
        w.actor("""
        for blocking in (True, False):
            actor.tcp("192.0.2.1", blocking=blocking)
            actor.tcp("2001:db8::1", blocking=blocking)
        actor.udp("192.0.2.1", connected=False)
        actor.udp("2001:db8::1", connected=False)
    """)
    )


@scenario()
def no_local_address(w: World) -> None:
    check_everything(
        w.actor("""
        import socket, errno
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        try:
            s.connect(("10.77.0.4", 8080))
        except OSError as e:
            actor.note_flow("10.77.0.4", 8080, "tcp", actor.OUTCOMES.get(e.errno, "other"))
        s.close()
    """)
    )


@scenario()
def unreachable_host(w: World) -> None:
    check_everything(
        w.actor("""
        actor.tcp("10.77.0.9", port=80)
    """)
    )


@scenario()
def timeout(w: World) -> None:
    check_everything(
        w.actor("""
        actor.tcp("10.77.0.4", port=9)
    """)
    )


@scenario()
def closed_by_the_caller_while_connecting(w: World) -> None:
    check_everything(
        w.actor("""
        import socket, time
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("10.77.0.4", 9))
        time.sleep(0.3)
        s.close()
        actor.note_flow("10.77.0.4", 9, "tcp", "cancelled")
        s = socket.socket()
        s.settimeout(0.2)
        try:
            s.connect(("10.77.0.4", 9))
        except socket.timeout:
            actor.note_flow("10.77.0.4", 9, "tcp", "cancelled")
        s.close()
    """)
    )


@scenario()
def killed_while_connecting(w: World) -> None:
    r = w.exec(
        [
            PYTHON,
            "-c",
            """if True:
        import os, signal, socket, threading, time
        s = socket.socket()
        def kill():
            while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\\x02":  # TCP_SYN_SENT
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Thread(target=kill).start()
        s.connect(("10.77.0.4", 9))
    """,
        ]
    )
    assert r.status == 137, r.status
    check_complete(r)
    check_identity(r)
    check_flows(
        r,
        {
            "flows": [
                dict(
                    peer="10.77.0.4",
                    port=9,
                    transport="tcp",
                    outcome="cancelled",
                    sent=0,
                    received=0,
                    host=None,
                    dns=False,
                    reset=False,
                )
            ]
        },
    )
    assert {e.get("process.exit.signal") for e in r.records("process.exit")} == {9}


@scenario()
def reset_by_the_peer(w: World) -> None:
    check_everything(
        w.actor("""
        import socket
        s = socket.create_connection(("10.77.0.4", 8081))
        s.send(b"x")
        try:
            s.recv(1)
        except ConnectionResetError:
            actor.note_flow("10.77.0.4", 8081, "tcp", "established", 1, 0, reset=True)
        s.close()
    """)
    )


@scenario()
def idle_connection_closed_locally_is_no_failure(w: World) -> None:
    check_everything(
        w.actor("""
        actor.tcp("10.77.0.4", send=b"")
    """)
    )


@scenario()
def closed_by_the_peer_first(w: World) -> None:
    check_everything(
        w.actor("""
        import socket
        s = socket.create_connection(("10.77.0.4", 80))
        s.send(b"GET / HTTP/1.0\\r\\n\\r\\n")
        got = b""
        while part := s.recv(100):
            got += part
        s.close()
        actor.note_flow("10.77.0.4", 80, "tcp", "established", 18, len(got))
    """)
    )


@scenario()
def retry_on_the_same_socket(w: World) -> None:
    check_everything(
        w.actor("""
        import socket
        s = socket.socket()
        for port in (1, 2, 8080):
            code = s.connect_ex(("10.77.0.4", port))
            actor.note_flow("10.77.0.4", port, "tcp", "refused" if code else "established")
        s.close()
    """)
    )


@scenario()
def socket_inherited_by_a_child(w: World) -> None:
    check_everything(
        w.actor("""
        import os, sys
        s = actor.tcp("10.77.0.4", send=b"", keep=True)
        os.set_inheritable(s.fileno(), True)
        child = ("import socket; s = socket.socket(fileno=%d); s.send(b'hello'); "
                 "s.recv(5, socket.MSG_WAITALL)" % s.fileno())
        actor.run([sys.executable, "-c", child], close_fds=False)
        actor.correct_last_flow(sent=5, received=5)  # by the child
        s.close()
    """)
    )


@scenario()
def loopback_is_recorded_without_bytes(w: World) -> None:
    check_everything(
        w.actor("""
        import socket
        for host in ("127.0.0.1", "::1"):
            server = socket.create_server((host, 0), family=actor.family(host))
            port = server.getsockname()[1]
            c = socket.create_connection((host, port))
            a, _ = server.accept()
            c.send(b"hello")
            a.recv(5)
            a.send(b"abc")
            c.recv(3)
            c.close(); a.close(); server.close()
            actor.note_flow(host, port, "tcp", "established", 5, 3)
    """)
    )


@scenario()
def passive_connections_are_not_attempts(w: World) -> None:
    code = (
        "import socket,sys; s=socket.create_server(('10.77.0.2',7000)); s.settimeout(60)\n"
        "a,_=s.accept(); a.sendall(a.recv(100)); a.close()"
    )
    client = subprocess.Popen(
        [
            "nsenter",
            "--net=/run/netns/" + w.server,
            "/usr/bin/python3",
            "-c",
            "import socket,time\n"
            "for _ in range(600):\n"
            "  try: s=socket.create_connection(('10.77.0.2',7000)); break\n"
            "  except OSError: time.sleep(0.1)\n"
            "s.send(b'hi'); print(s.recv(9))",
        ],
        stdout=subprocess.PIPE,
    )
    r = w.exec(["/usr/bin/python3", "-c", code])
    assert client.communicate(timeout=30)[0].strip() == b"b'hi'"
    check_complete(r)
    check_identity(r)
    check_flows(r, {"flows": []})


@scenario()
def udp_connected_and_unconnected(w: World) -> None:
    check_everything(
        w.actor("""
        for connected in (True, False):
            actor.udp("10.77.0.4", payloads=[b"a" * 100, b"b" * 200], connected=connected)
            actor.udp("fd77::4", payloads=[b"c"], connected=connected)
            actor.udp("10.77.0.4", payloads=[b"d" * 9000], connected=connected, mapped=True)
    """)
    )


@scenario()
def answers_of_a_udp_server_are_not_attempts(w: World) -> None:
    client = subprocess.Popen(
        [
            "nsenter",
            "--net=/run/netns/" + w.server,
            "/usr/bin/python3",
            "-c",
            "import socket\n"
            "s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.2)\n"
            "for _ in range(300):\n"
            "  s.sendto(b'hi', ('10.77.0.2', 7001))\n"
            "  try: print(s.recv(9)); break\n"
            "  except OSError: pass\n",
        ],
        stdout=subprocess.PIPE,
    )
    r = w.exec(
        [
            "/usr/bin/python3",
            "-c",
            "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
            "s.bind(('10.77.0.2',7001)); "
            "d,p=s.recvfrom(9); s.sendto(d,p); s.sendto(d,p)",
        ]
    )
    assert client.communicate(timeout=120)[0].strip() == b"b'hi'"
    check_complete(r)
    check_identity(r)
    check_flows(r, {"flows": []})


@scenario()
def udp_without_an_answer(w: World) -> None:
    check_everything(
        w.actor("""
        import socket
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for _ in range(3):
            s.sendto(b"log line", ("10.77.0.1", 9001))
        s.close()
        actor.note_flow("10.77.0.1", 9001, "udp", "other", 24, 0)
    """)
    )


@scenario("linux-5.10")
def udp_refused(w: World) -> None:
    check_everything(
        w.actor("""
        actor.udp("10.77.0.4", port=1, payloads=[b"knock"])
    """)
    )


@scenario("linux-5.10")
def udp_one_socket_many_peers(w: World) -> None:
    check_everything(
        w.actor("""
        import socket
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for ip in ("10.77.0.4", "10.77.0.3"):
            actor.udp(ip, payloads=[b"x" * 10, b"y" * 20], connected=False, sock=s)
        s.close()
    """)
    )


@scenario()
def udp_connect_alone_is_no_attempt(w: World) -> None:
    check_everything(
        w.actor("""
        import socket
        for host in ("10.77.0.4", "fd77::4"):
            s = socket.socket(actor.family(host), socket.SOCK_DGRAM)
            s.connect((host, 443))
            s.close()
    """)
    )


@scenario()
def dns_and_other_peers_on_one_socket(w: World) -> None:
    check_everything(
        w.actor("""
        import socket
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        actor.lookup("a.test", "A", mode="sendto", sock=s)
        actor.udp("10.77.0.3", payloads=[b"x" * 10], connected=False, sock=s)
        actor.lookup("b.test", "A", mode="sendto", sock=s)
        s.close()
    """)
    )


@scenario("linux-5.10")
def io_uring(w: World) -> None:
    if (
        subprocess.run(
            [w.triggers, "connect-uring", "127.0.0.1", "1"], capture_output=True
        ).returncode
        == 100
    ):
        raise Skip("this kernel has no io_uring")
    check_everything(w.exec([w.triggers, "connect-uring", "10.77.0.4", "8080"]))
    check_everything(w.exec([w.triggers, "connect-uring", "10.77.0.4", "1"]))


@scenario("linux-5.10")
def io_uring_unreachable(w: World) -> None:
    # Only the completion has the error. sandpiper sees it with fexit. Without, it knows that the
    # attempt failed but not why.
    probe = w.exec(["true"]).report["probes"]
    mechanism = [p["mechanism"] for p in probe if p["probe"] == "connect.error"][0]
    check_everything(
        w.exec(
            [
                w.triggers,
                "connect-unreachable-uring",
                "192.0.2.1",
                "unreachable" if mechanism == "fexit" else "other",
            ]
        )
    )


@scenario("linux-5.10")
def attempt_has_the_name_of_its_lookup(w: World) -> None:
    r = w.actor("""
        outcome, ips = actor.lookup("svc.test", "A")
        actor.tcp(ips[0], name="svc.test")
        actor.tcp("10.77.0.3")
        outcome, ips = actor.lookup("six.test", "AAAA")
        actor.tcp(ips[0], name="six.test")
        actor.udp(ips[0], name="six.test")
    """)
    check_everything(r)
    assert {d.get("host") for d in r.report["destinations"]} == {"svc.test", "six.test", None}


@scenario()
def cname_chain_keeps_the_queried_name(w: World) -> None:
    check_everything(
        w.actor("""
        outcome, ips = actor.lookup("cname.test", "A")
        actor.tcp(ips[0], name="cname.test")
    """)
    )


@scenario()
def the_latest_name_of_an_address_wins(w: World) -> None:
    check_everything(
        w.actor("""
        _, ips = actor.lookup("first.test", "A")
        actor.tcp(ips[0], name="first.test")
        _, ips = actor.lookup("second.test", "A")
        actor.tcp(ips[0], name="second.test")
    """)
    )


@scenario()
def sixty_four_threads_connect_at_once(w: World) -> None:
    check_everything(
        w.actor("""
        actor.run_threads([lambda n=n: actor.tcp("10.77.0.4" if n % 2 else "fd77::4", port=(8080, 1,
            8080)[n % 3], send=b"t" * n)
                       for n in range(64)])
    """)
    )


@scenario()
def windows_report_open_connections(w: World) -> None:
    r = w.actor(
        """
        import socket, time
        s = socket.create_connection(("10.77.0.4", 8080))
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        u.connect(("10.77.0.4", 9000))
        for _ in range(5):
            s.send(b"x" * 100); actor.read_exactly(s, 100)
            u.send(b"y" * 10); u.recv(10)
            time.sleep(0.6)
        s.close(); u.close()
        actor.note_flow("10.77.0.4", 8080, "tcp", "established", 500, 500)
        actor.note_flow("10.77.0.4", 9000, "udp", "established", 50, 50)
    """,
        options=["--window-s", "1"],
    )
    check_everything(r)
    for transport in ("tcp", "udp"):
        windows = [
            e for e in r.records("egress.destination") if e["network.transport"] == transport
        ]
        assert len(windows) >= 3, windows
        assert [e["egress.first_contact"] for e in windows] == [True] + [False] * (len(windows) - 1)
        assert all(e["network.io.sent"] < 500 for e in windows), windows


@scenario()
def curl_with_a_name(w: World) -> None:
    r = w.exec(["curl", "-s", "--max-time", "20", "http://web.test/"])
    assert r.status == 0 and r.stdout == b"hello", (r.status, r.stderr)
    check_complete(r)
    check_identity(r)
    destinations = {(d.get("host"), d["port"], d["transport"]): d for d in r.report["destinations"]}
    assert set(destinations) == {("web.test", 80, "tcp")}, destinations
    d = destinations[("web.test", 80, "tcp")]
    assert d["outcomes"] == {"established": 1} and d["received"] == 43, d
    assert sorted(line["type"] for line in r.report["lookups"]) == ["A", "AAAA"]


@scenario()
def netcat(w: World) -> None:
    r = w.exec(
        [
            "sh",
            "-c",
            (
                "printf 12345 | nc -N -w 5 10.77.0.4 8080; "
                "printf x | nc -u -w 1 10.77.0.4 9000; nc -z -w 2 10.77.0.4 1; true"
            ),
        ]
    )
    check_complete(r)
    got = {
        (d["port"], d["transport"]): (d["outcomes"], d["sent"], d["received"])
        for d in r.report["destinations"]
    }
    assert got == {
        (8080, "tcp"): ({"established": 1}, 5, 5),
        (9000, "udp"): ({"established": 1}, 1, 1),
        (1, "tcp"): ({"refused": 1}, 0, 0),
    }, got
