"""Connections over TCP and TLS: who may have one, what comes over it, what ends it; each ending is counted, and the process lives on."""

import contextlib
import io
import os
import resource
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syslogauth import connections as connections_module
from syslogauth import pipeline as pipeline_module
from syslogauth import streams as streams_module
from syslogauth.connections import Allowance
from syslogauth.core.address import Networks
from syslogauth.core.message import MAX_DATAGRAM_BYTES
from syslogauth.core.peers import Sources
from syslogauth.listeners import stream
from tests.authority import Authority, Pair
from tests.deadline import wait_until
from tests.streaming import LOGIN, LOOPBACK, UW_LOGIN, Running, running

A = LOGIN.format("198.51.100.1").encode()
B = LOGIN.format("198.51.100.2").encode()
UW = UW_LOGIN.format("198.51.100.3").encode()
HASTY = Allowance(1100, 1100, handshake_seconds=0.3, message_seconds=0.3)
MAIL = frozenset(("mail",))


def counted(*messages: bytes) -> bytes:
    return b"".join(b"%d %b" % (len(message), message) for message in messages)


def closed(sock: socket.socket) -> bool:
    """Whether the other side ends the connection."""
    sock.settimeout(5)
    try:
        return sock.recv(1000) == b""
    except ConnectionResetError:
        return True


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("plain")) as one:
        yield one


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("secure"), secure=True) as one:
        yield one


# what comes over a connection


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (A + b"\n" + B + b"\n", {"grant": 2}),
        (A + b"\0" + B + b"\0", {"grant": 2}),
        (counted(A, B), {"grant": 2}),
        (A + b"\n" + B, {"grant": 1}),  # half a line may read as a whole one
        (counted(A) + counted(B)[:-1], {"grant": 1}),
        (b"<22>" + b"x" * MAX_DATAGRAM_BYTES + b"\n" + A + b"\n", {"oversize": 1, "grant": 1}),
        (counted(b"<22>" + b"x" * MAX_DATAGRAM_BYTES, A), {"oversize": 1, "grant": 1}),
        (UW + b"\n", {"unescaped_source": 1}),
        (counted(UW), {"grant": 1}),
        (b"\x16\x03\x01\x02\n", {"control_bytes": 1}),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", {"no_priority": 3}),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_each_message_gets_one_outcome(sent: bytes, expected: dict[str, int], tmp_path: Path) -> None:
    with running(tmp_path) as one:
        with one.connect() as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert closed(client)
        assert expected == one.outcomes()
        assert sum(expected.values()) == one.streams.received["tcp"] == one.streams.pipeline.intake.tally.received


def test_what_is_no_stream_of_messages_is_cut_and_not_counted_as_received(plain: Running) -> None:
    before = sum(plain.streams.received.values())
    with plain.connect() as client:
        client.sendall(b"14 GET / HTTP/1.0\r\n\r\n")  # the first 14 bytes are a message
        assert closed(client)
    plain.until_ended("tcp", "framing")
    assert 1 == sum(plain.streams.received.values()) - before


@pytest.mark.parametrize(("last", "reason"), [(b"", "closed"), (b"<22>half", "unfinished")])
def test_the_end_of_a_connection_is_counted_by_what_it_leaves(plain: Running, last: bytes, reason: str) -> None:
    before = plain.ended().get(("tcp", reason), 0)
    with plain.connect() as client:
        client.sendall(A + b"\n" + last)
    plain.until_ended("tcp", reason, before + 1)


def test_a_connection_that_is_broken_off_is_reset(plain: Running) -> None:
    with plain.connect() as client:
        client.sendall(A)
        plain.until_open(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.until_ended("tcp", "reset")


def test_where_it_is_declared_lines_are_whole_and_counted_messages_are_not(tmp_path: Path) -> None:
    for declared, sent, expected in (("escaping", UW + b"\n", "grant"), ("splitting", counted(UW), "unescaped_source")):
        with running(tmp_path / declared, sources=Sources(LOOPBACK, MAIL, **{declared: LOOPBACK})) as one:
            with one.connect() as client:
                client.sendall(sent)
                one.until_received(1)
            assert {expected: 1} == one.outcomes()


# who may have one, and how many


def test_a_peer_that_is_not_listed_is_refused_before_it_has_said_anything(tmp_path: Path) -> None:
    with running(tmp_path, sources=Sources(Networks(("192.0.2.0/24",)), MAIL)) as one:
        with one.connect() as client:
            assert closed(client)
        one.until_ended("tcp", "unlisted_peer")
        assert 0 == one.streams.pipeline.intake.tally.received


def test_source_port_514_is_for_datagrams_alone(tmp_path: Path) -> None:
    with running(tmp_path, sources=Sources(LOOPBACK, MAIL, require_source_port_514=True)) as one:
        with one.connect() as client:
            client.sendall(A + b"\n")
            one.until_received(1)
        assert {"grant": 1} == one.outcomes()


@pytest.mark.parametrize(("allowance", "reason"), [(Allowance(3, 100), "max_connections"), (Allowance(100, 3), "max_connections_per_peer")])
def test_so_many_connections_and_no_more_until_one_ends(tmp_path: Path, allowance: Allowance, reason: str) -> None:
    with running(tmp_path, allowance) as one:
        clients = [one.connect() for _ in range(3)]
        one.until_open(3)
        with one.connect() as refused:
            assert closed(refused)
        one.until_ended("tcp", reason)
        clients.pop().close()
        one.until_open(2)
        clients.append(one.connect())
        clients[-1].sendall(A + b"\n")
        one.until_received(1)
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    ("allowance", "reason"),
    [(Allowance(3, 100), "max_connections"), (Allowance(100, 3), "max_connections_per_peer")],
    ids=["of all", "of one address"],
)
def test_who_has_shown_no_certificate_keeps_nobody_out(tmp_path: Path, allowance: Allowance, reason: str) -> None:
    with running(tmp_path, allowance, secure=True) as one:
        strangers = [one.connect("tls") for _ in range(3)]
        one.until_open(3)
        with one.connect_tls(one.pairs["mail1"]) as client:
            client.sendall(counted(A))
            one.until_received(1)
            assert closed(strangers[0])
        assert 1 == one.ended()["tls", reason]
        for stranger in strangers:
            stranger.close()
        one.until_open(0)
        assert {} == dict(one.streams.connections._of)


def test_a_thousand_connections_at_once_are_all_read(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        clients = [one.connect() for _ in range(1000)]
        one.until_open(1000)
        for turn in range(2):
            for number, client in enumerate(clients):
                client.sendall(LOGIN.format(f"198.18.{number // 250}.{number % 250 + 1}").encode() + b"\n")
            one.until_received(1000 * (turn + 1))
        for client in clients:
            client.close()
        wait_until(lambda: one.ended().get(("tcp", "closed")) == 1000, "all of them to be closed")
        assert {"grant": 2000} == one.outcomes()


# no descriptors


def test_connections_wait_while_there_is_no_descriptor_for_them_and_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "ACCEPT_AGAIN_SECONDS", 0.01)
    asked: list[str] = []
    said = io.StringIO()
    with running(tmp_path, said=said) as one, one.connect() as client, contextlib.ExitStack() as stack:
        one.until_open(1)
        tell = one.streams.connections.endings.tell_wait
        monkeypatch.setattr(one.streams.connections.endings, "tell_wait", lambda *words: asked.append(tell(*words)))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(path.name) for path in Path("/dev/fd").iterdir())
        later = stack.enter_context(socket.socket())  # which the kernel connects, but nobody can take
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
        with contextlib.ExitStack() as others:
            with contextlib.suppress(OSError):
                while True:
                    others.callback(os.close, os.dup(client.fileno()))
            later.connect(one.listening["tcp"].getsockname())
            later.sendall(A + b"\n")
            client.sendall(B + b"\n")
            one.until_received(1)
            wait_until(lambda: len(asked) > 2, "it to be tried again and again")
        one.until_received(2)
        assert 1 == said.getvalue().count("connections wait")


def test_a_low_limit_of_open_files_leaves_room_for_fewer_connections_and_is_said() -> None:
    script = (
        "import resource, structlog; from syslogauth.connections import _descriptors;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (60, 200)); print(_descriptors(100, structlog.get_logger()));"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)); print(_descriptors(1024, structlog.get_logger()))"
    )
    raised, limits, said, fewer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    ).stdout.splitlines()
    assert ("100", "(164, 200)", "136") == (raised, limits, fewer)
    assert "fewer connections than listen.max_connections" in said
    assert "let it open 1088 files" in said


# slow ones, hasty ones, and a full pipeline


def test_a_message_that_is_not_finished_in_time_ends_the_connection_and_an_idle_one_stays(tmp_path: Path) -> None:
    with running(tmp_path, HASTY) as one, one.connect() as idle, one.connect() as slow:
        idle.sendall(A + b"\n")
        slow.sendall(A)
        assert closed(slow)
        one.until_ended("tcp", "slow")
        idle.sendall(B + b"\n")
        one.until_received(2)


def test_who_sends_without_end_keeps_neither_the_heartbeat_nor_the_others_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "TURN_SECONDS", 0.05)
    monkeypatch.setattr(streams_module, "TURN_SECONDS", 0.01)
    monkeypatch.setattr(pipeline_module, "DRAIN_SECONDS", 0.1)
    with running(tmp_path) as one, contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(one.connect()) for _ in range(20)]
        one.until_open(20)
        reads, connections, read = [0], one.streams.connections, stream.read
        monkeypatch.setattr(connections, "tend", lambda tend=connections.tend: (tend(), reads.append(0)))
        for connection in connections.open.values():
            monkeypatch.setattr(connection, "read", lambda sock: (reads.append(reads.pop() + 1), read(sock))[1])
        waiting = 0
        for client in greedy:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting += client.send(b"x\n" * 200_000)
        with one.connect() as modest:
            modest.sendall(A + b"\n")
            wait_until(lambda: "grant" in one.outcomes(), "the login")
        assert waiting / 2 > sum(one.streams.received_bytes.values())
        assert 10 > max(reads), reads


def test_while_too_much_waits_for_a_commit_nothing_is_read_and_nobody_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path, HASTY) as one, one.connect() as client:
        client.sendall(A[:10])
        one.until_open(1)
        full = True
        monkeypatch.setattr(one.streams.connections, "full", lambda: full)
        client.sendall(A[10:] + b"\n" + B + b"\n")
        wait_until(lambda: one.streams.connections._held, "the hold")
        with one.connect() as later:
            later.sendall(A + b"\n")
            assert (0, 1) == (sum(one.streams.received.values()), len(one.streams.connections.open))
            full = False
            one.until_received(3)
        assert {} == {key: count for key, count in one.ended().items() if key[1] == "slow"}


def test_a_stop_reads_what_the_kernel_still_holds(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        client = one.connect()
        one.until_open(1)
        client.sendall((A + b"\n") * 2000)
    with client:
        assert ({"grant": 2000}, 1) == (one.outcomes(), one.ended()["tcp", "stopped"])
        assert closed(client)


def test_our_own_fault_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"), running(tmp_path) as one, one.connect() as client:  # noqa: PT012
        monkeypatch.setattr(one.streams.connections, "take", lambda transport, batch: 1 / 0)
        client.sendall(A + b"\n")
        wait_until(lambda: not one.thread.is_alive(), "its end")


# TLS


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_that_is_listed_names_the_peer(secure: Running, version: ssl.TLSVersion) -> None:
    before = sum(secure.streams.received.values())
    with secure.connect_tls(secure.pairs["mail1"], minimum_version=version, maximum_version=version) as client:
        client.sendall(counted(A))
        client.sendall(counted(UW))
        secure.until_received(before + 2)
    assert "mail1" in secure.streams.pipeline.intake.tally.last_message


def test_over_tls_listen_peers_is_not_asked(tmp_path: Path) -> None:
    with running(tmp_path, secure=True, sources=Sources(Networks(), MAIL)) as one, one.connect_tls(one.pairs["mail1"]) as client:
        client.sendall(counted(A))
        one.until_received(1)
        assert {"grant": 1} == one.outcomes()


@pytest.mark.parametrize(
    ("declared", "sent", "expected"),
    [
        ({}, UW + b"\n", "unescaped_source"),
        ({"escaping_holders": frozenset(("mail1",))}, UW + b"\n", "grant"),
        ({"splitting_holders": frozenset(("mail1",))}, counted(UW), "unescaped_source"),
        ({"escaping": LOOPBACK}, UW + b"\n", "unescaped_source"),  # its address says nothing of it
    ],
    ids=["nothing", "escapes", "splits", "by address"],
)
def test_what_is_declared_of_the_holder_of_a_certificate_counts(
    tmp_path: Path, declared: dict[str, frozenset[str]], sent: bytes, expected: str
) -> None:
    sources = Sources(LOOPBACK, MAIL, **declared)
    with running(tmp_path, secure=True, sources=sources) as one, one.connect_tls(one.pairs["mail1"]) as client:
        client.sendall(sent)
        one.until_received(1)
        assert {expected: 1} == one.outcomes()


def shown(one: Running, which: str) -> Pair | None:
    assert one.authority
    match which:
        case "none":
            return None
        case "ended":
            return one.authority.issue("ended", "mail1.example.org", ended=True)
        case "unknown":
            return one.authority.issue("unknown", "mail2.example.org")
        case "foreign":
            other = one.authority.directory / "other"
            other.mkdir()
            return Authority.make(other).issue("mail1", "mail1.example.org")
    raise AssertionError(which)


@pytest.mark.parametrize(
    ("which", "reason"), [("none", "certificate"), ("ended", "certificate"), ("foreign", "certificate"), ("unknown", "unknown_certificate")]
)
def test_who_shows_no_certificate_or_a_wrong_one_is_cut_and_counted(secure: Running, which: str, reason: str) -> None:
    before, received = secure.ended().get(("tls", reason), 0), sum(secure.streams.received.values())
    with pytest.raises(OSError), secure.connect_tls(shown(secure, which)) as client:  # noqa: PT012 - TLS 1.3: when it writes or reads
        client.sendall(counted(A))
        client.settimeout(5)
        if client.recv(1) == b"":
            raise ConnectionResetError
    secure.until_ended("tls", reason, before + 1)
    assert received == sum(secure.streams.received.values())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"\xe9.example.org", "none"),  # Python reads UTF-8 alone
        (b"mail1.example.org\0.evil.example", "mail1.example.org\\x00.evil.example"),
        (b"\0.farm.example.org", "\\x00.farm.example.org"),
        (b"a\n\x1b[31m", "a\\n\\x1b[31m"),
    ],
    ids=ascii,
)
def test_a_certificate_whose_name_is_none_is_nobodys_and_ends_nothing_else(
    secure: Running, name: bytes, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert secure.authority
    told: list[str] = []
    monkeypatch.setattr(secure.streams.connections.endings, "count", lambda *words: told.append(words[3]))
    with secure.connect_tls(secure.authority.issue("odd", dns=name)) as client:
        assert closed(client)
        wait_until(lambda: told, "it to be counted")
    assert [f"DNS names: {shown}"] == [words.partition(";")[0] for words in told]
    assert secure.thread.is_alive()


@pytest.mark.parametrize(
    "sent", [A + b"\n", b"\x16\x03\x01\x00\x05aaaaa", b"\0" * 100, counted(A)], ids=["line", "hello", "zeros", "counted"]
)
def test_what_is_no_tls_is_cut(secure: Running, sent: bytes) -> None:
    before = secure.ended().get(("tls", "handshake"), 0)
    with secure.connect("tls") as client:
        client.sendall(sent)
        client.settimeout(5)
        try:
            while client.recv(1000):
                pass
        except ConnectionResetError:
            pass
    secure.until_ended("tls", "handshake", before + 1)


def test_tls_of_a_version_that_is_too_old_is_cut(secure: Running) -> None:
    before = secure.ended().get(("tls", "handshake"), 0)
    with pytest.warns(DeprecationWarning, match="TLSv1"), pytest.raises(OSError):
        secure.connect_tls(secure.pairs["mail1"], minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    secure.until_ended("tls", "handshake", before + 1)


def test_a_handshake_that_is_not_finished_in_time_is_cut(tmp_path: Path) -> None:
    with running(tmp_path, HASTY, secure=True) as one, one.connect("tls") as client:
        client.sendall(b"\x16\x03\x01")
        assert closed(client)
        one.until_ended("tls", "handshake_timeout")


def test_a_peer_that_has_many_connections_is_counted_by_its_name(tmp_path: Path) -> None:
    with running(tmp_path, Allowance(100, 2), secure=True) as one:
        first, second = (one.connect_tls(one.pairs["mail1"]) for _ in range(2))
        for client in (first, second):
            client.sendall(counted(A))
        one.until_received(2)
        assert one.authority
        with one.connect_tls(one.authority.issue("other", "a.farm.example.org")) as other:
            other.sendall(counted(A))
            one.until_received(3)
            with one.connect_tls(one.pairs["mail1"]) as third:
                assert closed(third)
        one.until_ended("tls", "max_connections_per_peer")
        first.close()
        second.close()


# what is said


@pytest.mark.parametrize("users", [True, False])
def test_each_reason_is_logged_once_a_minute_with_what_the_client_sent_escaped_where_the_log_may_name_users(
    users: bool, tmp_path: Path
) -> None:
    log = io.StringIO()
    with running(tmp_path, users=users, said=log) as one:
        for number in range(1, 4):
            with one.connect() as client:
                client.sendall(b"5 <22>a\x1b[31m\xffuser=<bob>")
                assert closed(client)
            one.until_ended("tcp", "framing", number)
            wait_until(lambda: "framing" in log.getvalue(), "the first of them to be said")
    said = log.getvalue()
    assert (1, int(users)) == (said.count("framing"), said.count("user=<bob>"))
    assert users is (r"5 <22>a\\x1b[31m\\xffuser=<bob>" in said)
    assert "\x1b[31m" not in said
    assert "let it send the length before each message" in said
