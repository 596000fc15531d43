import asyncio
import socket
import struct
import sys
import time

import pytest

from syslogauth.core.message import MAX_DATAGRAM_BYTES
from syslogauth.listeners import udp
from syslogauth.listeners.udp import (
    BATCH,
    Batch,
    BatchSocket,
    Listener,
    PacedSelector,
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


def received(batch: Batch) -> list[bytes]:
    return [datagram for datagram, _ in batch]


async def read(listener: Listener, count: int) -> list[bytes]:
    """Datagrams until there are that many."""
    found: list[bytes] = []
    while len(found) < count:
        found += received(await asyncio.wait_for(listener.receive(), 5))
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("batching", [True, False])
def test_datagrams_come_whole_in_order_and_with_their_source(host: str, batching: bool) -> None:
    sent = [b"%d" % n for n in range(100)] + [b"", b"x" * MAX_DATAGRAM_BYTES]

    async def run() -> tuple[list[bytes], set[str]]:
        listener = Listener(bind(host, 0, 1 << 20), lambda: False, batching)
        await listener.open()
        with sender_to(listener.sock) as sender:
            for datagram in sent:
                sender.send(datagram)
        found: Batch = []
        while len(found) < len(sent):
            found += await asyncio.wait_for(listener.receive(), 5)
        listener.close()
        return received(found), {source[0] for _, source in found}

    assert (sent, {host}) == asyncio.run(run())


def test_a_batch_ends_at_its_limit_and_the_rest_waits() -> None:
    sock = bind("127.0.0.1", 0, 8 << 20)
    batches = BatchSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    batches.held = lambda: False
    with batches, sender_to(batches) as sender:
        granted = granted_buffer_bytes(batches)
        for number in range(BATCH + 10):
            sender.send(b"%d" % number)
        assert granted > (BATCH + 10) * 512, "the kernel gave too small a buffer for this test"
        first, nothing = batches.recvfrom(0)
        assert ([b"%d" % n for n in range(BATCH)], None) == (received(first), nothing)
        assert [b"%d" % n for n in range(BATCH, BATCH + 10)] == received(batches.recvfrom(0)[0])
        with pytest.raises(BlockingIOError):
            batches.recvfrom(0)


def test_a_longer_datagram_than_any_syslogd_sends_is_seen_to_be_longer() -> None:
    sock = bind("127.0.0.1", 0, 1 << 20)
    batches = BatchSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    batches.held = lambda: False
    with batches, sender_to(batches) as sender:
        sender.send(b"x" * (MAX_DATAGRAM_BYTES + 5000))
        assert [MAX_DATAGRAM_BYTES + 1] == list(map(len, received(batches.recvfrom(0)[0])))


def test_a_socket_that_is_held_is_not_read_and_loses_nothing() -> None:
    held = True

    async def run() -> list[bytes]:
        nonlocal held
        listener = Listener(bind("127.0.0.1", 0, 1 << 20), lambda: held, batching=True)
        await listener.open()
        with sender_to(listener.sock) as sender:
            sender.send(b"1")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(listener.receive(), 0.1)
            assert [] == listener.drain()
            sender.send(b"2")
        held = False
        found = await read(listener, 2)
        listener.close()
        return found

    assert [b"1", b"2"] == asyncio.run(run())


@pytest.mark.parametrize("batching", [True, False])
def test_what_the_kernel_holds_can_be_drained_before_a_stop(batching: bool) -> None:
    async def run() -> list[bytes]:
        listener = Listener(bind("127.0.0.1", 0, 1 << 20), lambda: False, batching)
        await listener.open()
        with sender_to(listener.sock) as sender:
            sender.send(b"1")
            sender.send(b"2")
        found = []
        while batch := listener.drain():
            found += received(batch)
        listener.close()
        return found

    assert [b"1", b"2"] == asyncio.run(run())


def test_the_self_test_passes_under_this_python() -> None:
    assert asyncio.run(self_test())


def test_the_self_test_passes_in_the_loop_that_the_receiver_runs() -> None:
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(PacedSelector())) as runner:
        assert runner.run(self_test())


# the pace


def test_an_idle_selector_answers_at_once_and_a_busy_one_at_its_pace() -> None:
    selector = PacedSelector(pace_seconds=0.2)
    reader, writer = socket.socketpair()
    with reader, writer:
        selector.register(reader, 1)
        writer.send(b"x")
        began = time.monotonic()
        assert 1 == len(selector.select(5))
        assert time.monotonic() - began < 0.1
        assert 1 == len(selector.select(5))
        assert 0.15 < time.monotonic() - began < 1
        selector.close()


def test_a_paced_selector_keeps_a_shorter_timeout_and_callbacks_wait_for_nobody() -> None:
    selector = PacedSelector(pace_seconds=5)
    reader, writer = socket.socketpair()
    with reader, writer:
        selector.register(reader, 1)
        writer.send(b"x")
        selector.select(5)
        began = time.monotonic()
        assert [] == selector.select(0)
        selector.select(0.05)
        assert time.monotonic() - began < 1
        selector.close()


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
        listener = Listener(bind("127.0.0.1", 0, 65536), lambda: False, batching=True)
        await listener.open()
        waiting = asyncio.create_task(listener.receive())
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
