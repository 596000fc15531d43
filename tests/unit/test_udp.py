import asyncio
import socket
import struct
import sys

import pytest

from syslogauth.core.batch import Batch
from syslogauth.core.message import MAX_DATAGRAM_BYTES
from syslogauth.listeners import recvmmsg, udp
from syslogauth.listeners.pace import FIRST_SECONDS, LONGEST_SECONDS, Pace
from syslogauth.listeners.recvmmsg import SLOTS, reader_of
from syslogauth.listeners.udp import (
    Listener,
    Way,
    bind,
    full_socket_drops,
    granted_buffer_bytes,
    kernel_drops,
    self_test,
)
from tests.deadline import wait_until
from tests.needs import missing


def sender_to(sock: socket.socket) -> socket.socket:
    sender = socket.socket(sock.family, socket.SOCK_DGRAM)
    sender.connect(sock.getsockname())
    return sender


def datagrams(batch: Batch) -> list[bytes]:
    return [batch.datagram(number) for number in range(len(batch))]


async def read(listener: Listener, count: int) -> list[tuple[bytes, str]]:
    """Datagrams with their hosts, until there are that many."""
    found: list[tuple[bytes, str]] = []
    while len(found) < count:
        await asyncio.wait_for(listener.readable(), 5)
        while batch := listener.read():
            found += [(batch.datagram(number), batch.source(number)[0]) for number in range(len(batch))]
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("way", Way)
def test_datagrams_come_whole_in_order_and_with_their_source(host: str, way: Way) -> None:
    sent = [b"%d" % n for n in range(300)] + [b"", b"x" * MAX_DATAGRAM_BYTES]

    async def run() -> list[tuple[bytes, str]]:
        listener = Listener(bind(host, 0, 1 << 20), way)
        await listener.open()
        with sender_to(listener.sock) as sender:
            for datagram in sent:
                sender.send(datagram)
        found = await read(listener, len(sent))
        listener.close()
        return found

    assert [(datagram, host) for datagram in sent] == asyncio.run(run())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("many", [True, False])
def test_a_sender_has_the_same_key_in_each_batch_and_no_other_sender_has_it(host: str, many: bool) -> None:
    with bind(host, 0, 1 << 20) as sock, sender_to(sock) as one, sender_to(sock) as other:
        reader, found = reader_of(sock, many=many), []
        for sender in (one, other, one):
            sender.send(b"x")
            batch = reader.read()
            assert batch
            found.append((batch.senders[0], batch.source(0)[1]))
        assert [found[0], found[0]] == [found[0], found[2]]
        assert found[0][0] != found[1][0]
        assert [one.getsockname()[1], other.getsockname()[1]] == [port for _, port in found[:2]]


@pytest.mark.parametrize("many", [True, False])
def test_a_batch_ends_at_its_limit_and_the_rest_waits(many: bool) -> None:
    with bind("127.0.0.1", 0, 1 << 20) as sock, sender_to(sock) as sender:
        reader = reader_of(sock, many=many)
        for number in range(SLOTS + 10):
            sender.send(b"%d" % number)
        first = reader.read()
        assert first
        assert [b"%d" % n for n in range(SLOTS)] == datagrams(first)
        second = reader.read()
        assert second
        assert [b"%d" % n for n in range(SLOTS, SLOTS + 10)] == datagrams(second)
        assert reader.read() is None


@pytest.mark.parametrize("many", [True, False])
def test_a_longer_datagram_than_any_syslogd_sends_is_seen_to_be_longer(many: bool) -> None:
    with bind("127.0.0.1", 0, 1 << 20) as sock, sender_to(sock) as sender:
        sender.send(b"x" * (MAX_DATAGRAM_BYTES + 5000))
        batch = reader_of(sock, many=many).read()
        assert batch
        assert [MAX_DATAGRAM_BYTES + 1] == batch.lengths


def test_a_wake_up_that_nobody_has_heard_is_not_told_again() -> None:
    """Or the queue of the stream would grow while a receiver is busy."""

    async def run() -> int:
        listener = Listener(bind("127.0.0.1", 0, 1 << 20), Way.MANY)
        await listener.open()
        with sender_to(listener.sock) as sender:
            for _ in range(50):
                sender.send(b"x")
                await asyncio.sleep(0)
        waiting = int(listener._stream._recvq.qsize())
        listener.close()
        return waiting

    assert 1 == asyncio.run(run())


@pytest.mark.parametrize("way", Way)
def test_what_the_kernel_holds_can_be_read_before_a_stop(way: Way) -> None:
    async def run() -> list[bytes]:
        listener = Listener(bind("127.0.0.1", 0, 1 << 20), way)
        await listener.open()
        with sender_to(listener.sock) as sender:
            sender.send(b"1")
            sender.send(b"2")
        found = []
        while batch := listener.drain():
            found += datagrams(batch)
        listener.close()
        return found

    assert [b"1", b"2"] == asyncio.run(run())


def test_without_recvmmsg_datagrams_are_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recvmmsg.ctypes, "CDLL", lambda name, use_errno: object())
    assert Way.EACH is asyncio.run(self_test())


def test_the_self_test_finds_the_best_way_of_this_platform() -> None:
    assert (Way.MANY if sys.platform == "linux" else Way.EACH) is asyncio.run(self_test())


# the pace


def test_the_pauses_grow_to_the_longest_and_begin_anew_after_an_idle_time() -> None:
    pace = Pace(16 << 20)
    assert [0.002, 0.004, 0.008] == [pace.pause_seconds() for _ in range(3)]
    assert [True, LONGEST_SECONDS, True] == [pace.longest, pace.pause_seconds(), pace.longest]
    pace.begin()
    assert not pace.longest
    assert pace.pause_seconds() == FIRST_SECONDS


@pytest.mark.parametrize(
    ("buffer_bytes", "seconds"), [(16 << 20, LONGEST_SECONDS), (4 << 20, 0.01024), (106_496, 0.00026), (4096, 0.00001)]
)
def test_a_small_buffer_allows_short_pauses_only(buffer_bytes: int, seconds: float) -> None:
    assert seconds == Pace(buffer_bytes).longest_seconds


# the buffer and its losses


def test_the_buffer_is_the_one_asked_for_or_what_the_kernel_allows() -> None:
    with bind("127.0.0.1", 0, 65536) as sock:
        assert 65536 == granted_buffer_bytes(sock)


def test_ipv6_sockets_take_no_ipv4() -> None:
    with bind("::1", 0, 65536) as sock:
        assert 1 == sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_a_port_that_is_taken_is_an_error_and_leaves_no_socket_behind() -> None:
    with bind("127.0.0.1", 0, 65536) as sock, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", sock.getsockname()[1], 65536)


def test_the_kernels_losses_are_counted_to_the_last_datagram() -> None:
    if sys.platform != "linux":
        missing("SO_MEMINFO")
    with bind("127.0.0.1", 0, 4096) as sock, sender_to(sock) as sender:
        assert 0 == kernel_drops(sock)
        for _ in range(200):
            sender.send(b"x" * 100)
        kept = 0
        while True:
            try:
                sock.recvfrom(200)
            except BlockingIOError:
                break
            kept += 1
        assert 0 < kept < 200
        assert 200 - kept == kernel_drops(sock)


def test_freebsds_losses_are_the_eighth_counter_of_its_statistics() -> None:
    statistics = struct.pack("=12Q", *(1000 + n for n in range(12)))  # netinet/udp_var.h: struct udpstat
    assert 1007 == full_socket_drops(statistics)


def test_a_listener_that_was_closed_says_so() -> None:
    async def run() -> None:
        listener = Listener(bind("127.0.0.1", 0, 65536), Way.MANY)
        await listener.open()
        waiting = asyncio.create_task(listener.readable())
        await asyncio.sleep(0)
        listener.close()
        with pytest.raises(udp.asyncio_dgram.TransportClosed):
            await asyncio.wait_for(waiting, 5)

    asyncio.run(run())


def test_losses_are_seen_while_a_receiver_is_busy() -> None:
    if sys.platform != "linux":
        missing("SO_MEMINFO")
    with bind("127.0.0.1", 0, 4096) as sock, sender_to(sock) as sender:
        for _ in range(100):
            sender.send(b"x" * 100)
        lost = kernel_drops(sock)
        sender.send(b"x")
        wait_until(lambda: kernel_drops(sock) == lost + 1, "one more loss")
