"""Invariant: whatever comes over connections, and however it is cut, each message has one outcome, what was no message has none, and the
process goes on."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syslogauth.core.framing import Framing
from tests.deadline import wait_until
from tests.streaming import LOGIN, UW_LOGIN, Running, running

LOGINS = [LOGIN.format("198.51.100.1").encode(), UW_LOGIN.format("198.51.100.2").encode()]
LINES = [*LOGINS, b"<22>Nov 22 10:09:49 x: y", b"<999>", b"<22>" * 3000]
PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(LINES).map(lambda line: line + b"\n"),
    st.sampled_from(LINES).map(lambda line: b"%d %b" % (len(line), line)),
    st.sampled_from((b"\n", b"\0", b" ", b"0", b"99999 ", b"\x16\x03\x01")),
)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("one"), secure=True) as one:
        yield one


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(PIECES, min_size=1, max_size=8), min_size=1, max_size=3), st.sampled_from(("tcp", "tcp", "tls")))
def test_what_was_received_is_the_sum_of_the_outcomes(one: Running, streams: list[list[bytes]], transport: str) -> None:
    tally = one.streams.pipeline.intake.tally
    before, ended = tally.received, sum(one.ended().values())
    clients = [one.connect(transport) for _ in streams]
    for client, pieces in zip(clients, streams, strict=True):
        with contextlib.suppress(OSError):  # cut already
            for piece in pieces:
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
    wait_until(lambda: sum(one.ended().values()) == ended + len(streams), "the connections to end")
    for client in clients:
        client.close()
    expected = sum(len(Framing().feed(b"".join(pieces))) for pieces in streams) if transport == "tcp" else 0  # none has a certificate
    assert expected == tally.received - before
    assert tally.received == sum(tally.outcomes.values()) == sum(one.streams.received.values())
    assert one.thread.is_alive()
