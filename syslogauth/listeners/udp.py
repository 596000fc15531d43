"""UDP: sockets as the kernel gives them, and a listener that wakes up through asyncio-dgram and then reads many datagrams at a time.

Plain asyncio-dgram reads one datagram a turn of the event loop, into a fresh 256 KiB buffer, and queues without bound: 20 times the cost of
a batch. Here its stream only tells that something waits: the socket is a subclass whose recvfrom(), which asyncio calls when the socket is
readable, reads nothing and answers an empty datagram, once until somebody has heard it. The datagrams themselves are read by recvmmsg.py.
That leans on how asyncio calls recvfrom() and passes on what it answers (Python 3.11 to 3.14): self_test() tries it at start on a real
socket, and where it fails the plain way is taken. No datagram waits in Python: what is not read stays in the kernel's buffer, which is
bounded and whose losses are counted.
"""

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
from enum import Enum
from typing import Any

import asyncio_dgram

from syslogauth.core.batch import Batch
from syslogauth.listeners.recvmmsg import reader_of

SO_RCVBUFFORCE, SO_MEMINFO = 33, 55  # Linux asm-generic/socket.h; not in the socket module
# spreads datagrams over the sockets of a port by the sender's address and port: FreeBSD's SO_REUSEPORT_LB (sys/socket.h, 12.0), for there
# SO_REUSEPORT gives all to one socket; Linux's SO_REUSEPORT
SO_SHARED_PORT = 0x00010000 if sys.platform.startswith("freebsd") else socket.SO_REUSEPORT
SK_MEMINFO_DROPS = 8  # word of SO_MEMINFO, linux/sock_diag.h
UDPS_FULLSOCK = 7  # word of net.inet.udp.stats, FreeBSD netinet/udp_var.h


class Way(Enum):
    """How datagrams are read: many in a system call, or each by itself after one wake-up for all, or with a wake-up for each."""

    MANY = "recvmmsg"
    EACH = "recvfrom"
    PLAIN = "plain"


class WakingSocket(socket.socket):
    """A bound UDP socket for asyncio: recvfrom() says, once until `told` is set back, that something waits."""

    __slots__ = ("told",)
    told: bool

    def recvfrom(self, _bufsize: int, _flags: int = 0) -> Any:
        if self.told:
            raise BlockingIOError
        self.told = True
        return b"", None


def bind(host: str, port: int, buffer_bytes: int, *, shared: bool = False) -> socket.socket:
    """A non-blocking UDP socket; IPv6 is V6ONLY, so that peers are compared unmapped. Raises OSError.

    `shared`: beside others of this user that were bound so (SO_SHARED_PORT), each of which gets its part of the senders.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_buffer(sock, buffer_bytes)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, SO_SHARED_PORT, 1)
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
    """The datagrams of a bound socket, which is taken over."""

    def __init__(self, sock: socket.socket, way: Way) -> None:
        self.way = way
        self.sock = sock
        if way is not Way.PLAIN:
            self.sock = waking = WakingSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
            waking.told = False
        try:
            self._reader = reader_of(self.sock, many=way is Way.MANY)
        except (TypeError, ValueError, AttributeError):  # this way does not work here
            self.sock.close()
            raise
        self._came: Batch | None = None
        self._stream: Any = None

    async def open(self) -> None:
        self.sock.setblocking(False)
        self._stream = await asyncio_dgram.from_socket(self.sock)

    async def readable(self) -> None:
        """Until something may be read. Raises asyncio_dgram.TransportClosed after close()."""
        datagram = await self._stream.recv()
        if isinstance(self.sock, WakingSocket):
            self.sock.told = False
        else:
            self._came = Batch.of([datagram])

    def read(self) -> Batch | None:
        """What has come, up to SLOTS datagrams, in the order of arrival; None where nothing has. Valid until the next call."""
        if self._came is not None:
            came, self._came = self._came, None
            return came
        return None if self.way is Way.PLAIN else self._reader.read()

    def drain(self) -> Batch | None:
        """What the kernel holds now, read without the stream: for the last reading before a stop."""
        return self._reader.read()

    def close(self) -> None:
        self._stream.close()


async def self_test() -> Way:
    """The best way to read that works here, tried on a loopback socket."""
    for way in (Way.MANY, Way.EACH):
        if await _works(way):
            return way
    return Way.PLAIN


async def _works(way: Way) -> bool:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, contextlib.closing(bind("127.0.0.1", 0, 65536)) as sock:
            sender.bind(("127.0.0.1", 0))
            listener = Listener(sock, way)
            await listener.open()
            try:
                for datagram in (b"1", b"22"):
                    sender.sendto(datagram, listener.sock.getsockname())
                await asyncio.wait_for(listener.readable(), 2.0)
                batch, source = listener.read(), sender.getsockname()
                found = [(batch.datagram(number), batch.source(number)) for number in range(len(batch))] if batch else []
                return found == [(b"1", source), (b"22", source)]
            finally:
                listener.close()
    except (TypeError, ValueError, AttributeError, OSError):  # no recvmmsg() in this libc, other structures, no loopback; a TimeoutError
        return False
