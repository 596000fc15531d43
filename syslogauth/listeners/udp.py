"""UDP: sockets as the kernel gives them, and asyncio-dgram streams that hand over a batch a wake-up.

Plain asyncio-dgram reads one datagram a turn of the event loop, into a fresh 256 KiB buffer, and queues without bound: 20 times the cost
of a batch. Here the socket is a subclass whose recvfrom(), which asyncio calls once a turn, drains the kernel's queue up to BATCH
datagrams and answers the list of them. That leans on how asyncio calls recvfrom() and passes on what it answers (Python 3.11 to 3.14):
self_test() tries it at start on a real socket, and where it fails the plain way is taken. No datagram waits in Python: what is not
read stays in the kernel's buffer, which is bounded and whose losses are counted.
"""

import asyncio
import ctypes
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import asyncio_dgram

from syslogauth.core.message import MAX_DATAGRAM_BYTES

BATCH = 2048
PACE_SECONDS = 0.005  # under load the sockets are looked at this often at most: a wake-up costs more than a hundred datagrams
HOLD_SECONDS = 0.005
SO_RCVBUFFORCE, SO_MEMINFO = 33, 55  # Linux asm-generic/socket.h; not in the socket module
SK_MEMINFO_DROPS = 8  # word of SO_MEMINFO, linux/sock_diag.h
UDPS_FULLSOCK = 7  # word of net.inet.udp.stats, FreeBSD netinet/udp_var.h

Source = tuple[Any, ...]
Batch = list[tuple[bytes, Source]]


class BatchSocket(socket.socket):
    """A bound UDP socket whose recvfrom() answers (batch, None). `held()` says that nothing may be read just now."""

    __slots__ = ("held",)
    held: Callable[[], bool]

    def recvfrom(self, _bufsize: int, _flags: int = 0) -> Any:
        if self.held():
            time.sleep(HOLD_SECONDS)  # asyncio would ask again at once; the backlog belongs into the kernel's buffer
            raise BlockingIOError
        batch: Batch = []
        receive = super().recvfrom
        try:
            for _ in range(BATCH):
                batch.append(receive(MAX_DATAGRAM_BYTES + 1))
        except OSError:  # EAGAIN, or an error of the socket's: what was read before it must not be lost
            if not batch:
                raise
        return batch, None


class PacedSelector(selectors.DefaultSelector):
    """Looks at the sockets at most every `pace_seconds` under load, and at once after an idle time.

    Where callbacks are ready (timeout 0) they run without a look in between. DefaultSelector is the platform's: epoll, kqueue.
    """

    def __init__(self, pace_seconds: float = PACE_SECONDS) -> None:
        super().__init__()
        self.pace_seconds = pace_seconds
        self._next = 0.0

    def select(self, timeout: float | None = None) -> Any:
        now = time.monotonic()
        if (early := self._next - now) > 0:
            if timeout is not None and timeout <= 0:
                return []
            pause = early if timeout is None else min(early, timeout)
            time.sleep(pause)
            timeout = None if timeout is None else timeout - pause
        events = super().select(timeout)
        self._next = time.monotonic() + self.pace_seconds
        return events


def bind(host: str, port: int, buffer_bytes: int) -> socket.socket:
    """A non-blocking UDP socket; IPv6 is V6ONLY, so that peers are compared unmapped. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_buffer(sock, buffer_bytes)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def set_buffer(sock: socket.socket, buffer_bytes: int) -> None:
    """Ask for a receive buffer: past rmem_max where we may (CAP_NET_ADMIN), else up to it; FreeBSD refuses more than its maximum."""
    wanted = buffer_bytes
    if sys.platform == "linux":
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, wanted)
        except OSError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
        return
    while wanted >= 4096:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
        except OSError:
            wanted //= 2
        else:
            return


def granted_buffer_bytes(sock: socket.socket) -> int:
    """What the kernel really gave. Linux reports twice what was asked for, its own bookkeeping included: the half of it."""
    size = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return size // 2 if sys.platform == "linux" else size


def kernel_drops(sock: socket.socket) -> int:
    """Datagrams lost because the buffer was full: of this socket on Linux, of the whole host on FreeBSD, 0 elsewhere."""
    if sys.platform == "linux":
        words = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 64)
        return int(struct.unpack_from("=I", words, 4 * SK_MEMINFO_DROPS)[0])
    if sys.platform.startswith("freebsd"):
        return full_socket_drops(_sysctl(b"net.inet.udp.stats"))
    return 0


def full_socket_drops(udpstat: bytes) -> int:
    """udps_fullsock of a struct udpstat, an array of 64-bit counters (FreeBSD 10 and later)."""
    return int(struct.unpack_from("=Q", udpstat, 8 * UDPS_FULLSOCK)[0])


def _sysctl(name: bytes) -> bytes:
    libc = ctypes.CDLL(None, use_errno=True)  # what is loaded already; find_library() would start ldconfig at each scrape
    buffer, size = ctypes.create_string_buffer(1024), ctypes.c_size_t(1024)
    if libc.sysctlbyname(name, buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        raise OSError(ctypes.get_errno(), f"sysctl {name.decode()}")
    return buffer.raw[: size.value]


class Listener:
    """One stream of batches from a bound socket, which is taken over."""

    def __init__(self, sock: socket.socket, held: Callable[[], bool], batching: bool) -> None:
        self.sock = sock
        if batching:
            self.sock = batch = BatchSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
            batch.held = held
        self.batching = batching
        self._stream: Any = None

    async def open(self) -> None:
        self.sock.setblocking(False)
        self._stream = await asyncio_dgram.from_socket(self.sock)

    async def receive(self) -> Batch:
        """What came since the last call, in the order of arrival. Raises asyncio_dgram.TransportClosed after close()."""
        datagram, source = await self._stream.recv()
        return datagram if self.batching else [(datagram, source)]

    def drain(self) -> Batch:
        """What the kernel holds now, read without the stream: for the last reading before a stop."""
        try:
            if isinstance(self.sock, BatchSocket):
                batch: Batch = self.sock.recvfrom(0)[0]
                return batch
            return [self.sock.recvfrom(MAX_DATAGRAM_BYTES + 1)]
        except BlockingIOError:
            return []

    def close(self) -> None:
        self._stream.close()


async def self_test() -> bool:
    """Whether a batch comes through asyncio and asyncio-dgram as it should, tried on a loopback socket."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener = Listener(bind("127.0.0.1", 0, 65536), lambda: False, batching=True)
    target = listener.sock.getsockname()
    await listener.open()
    try:
        for datagram in (b"1", b"2"):
            sender.sendto(datagram, target)
        batch = await asyncio.wait_for(listener.receive(), 2.0)
        return [datagram for datagram, _ in batch] == [b"1", b"2"]
    except (TypeError, ValueError, TimeoutError):
        return False
    finally:
        listener.close()
        sender.close()
