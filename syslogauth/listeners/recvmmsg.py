"""recvmmsg(2) of Linux: up to SLOTS datagrams in one system call, into one buffer that is used again and again.

recvfrom() makes three objects for each datagram, its bytes and two for its source, which costs more than all that is done with a datagram
that is noise. Here none is made but two small numbers: the datagram's length, and its source as 8 bytes of its socket address (family, port
and IPv4 address), or three times 8 (of IPv6: with flow label and address).

The structures are Linux's (recvmmsg(2), recvmsg(2)), laid out by ctypes for the platform; the listener's self-test tries them at start.
FreeBSD's recvmmsg() is a loop over recvmsg() in libc, and saves nothing.
"""

import ctypes
import os
import socket
import sys
from collections.abc import Hashable, Sequence
from errno import EAGAIN

from syslogauth.core.batch import Batch, Source
from syslogauth.core.message import MAX_DATAGRAM_BYTES

SLOTS = 128  # more, and what is read no longer lies in the processor's cache when it is looked at
SLOT_BYTES = (MAX_DATAGRAM_BYTES + 1 + 63) // 64 * 64 + 64  # an odd number of cache lines: the slots' beginnings do not share sets
NAME_BYTES = 32  # holds a sockaddr_in6
MSG_DONTWAIT = 0x40


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_bytes", ctypes.c_uint),
        ("vectors", ctypes.POINTER(_IoVec)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_bytes", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Slot(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class ManyReader:
    """Reads one socket. `read()` gives a batch that is valid until the next one, or None where nothing waits; raises OSError."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = bytearray(SLOTS * SLOT_BYTES)
        self._names = bytearray(SLOTS * NAME_BYTES)
        self._starts = [number * SLOT_BYTES for number in range(SLOTS)]
        data, names = (ctypes.addressof(ctypes.c_char.from_buffer(memory)) for memory in (self._data, self._names))
        self._vectors = (_IoVec * SLOTS)(*[_IoVec(data + start, MAX_DATAGRAM_BYTES + 1) for start in self._starts])
        self._slots = (_Slot * SLOTS)()
        for number, slot in enumerate(self._slots):
            slot.header.name, slot.header.name_bytes = names + number * NAME_BYTES, NAME_BYTES
            slot.header.vectors, slot.header.vector_count = ctypes.pointer(self._vectors[number]), 1
        words = memoryview(self._slots).cast("B").cast("I")
        self._lengths = words[_Slot.length.offset // 4 :: ctypes.sizeof(_Slot) // 4]
        eights = memoryview(self._names).cast("Q")
        self._names_in_eights = [eights[part :: NAME_BYTES // 8] for part in range(1 if sock.family == socket.AF_INET else 3)]
        self._receive = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._receive.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._arguments = (ctypes.addressof(self._slots), SLOTS, MSG_DONTWAIT, None)

    def read(self) -> Batch | None:
        count = self._receive(self._sock.fileno(), *self._arguments)
        if count < 0:
            if (error := ctypes.get_errno()) == EAGAIN:
                return None
            raise OSError(error, os.strerror(error))
        return Batch(self._data, self._starts, self._lengths[:count].tolist(), self._senders(count), self._source)

    def _senders(self, count: int) -> Sequence[Hashable]:
        if len(self._names_in_eights) == 1:
            numbers: list[int] = self._names_in_eights[0][:count].tolist()
            return numbers
        return list(zip(*(column[:count].tolist() for column in self._names_in_eights), strict=True))

    def _source(self, number: int) -> Source:
        name = self._names[number * NAME_BYTES :]
        port = int.from_bytes(name[2:4])
        if self._sock.family == socket.AF_INET:
            return socket.inet_ntop(socket.AF_INET, bytes(name[4:8])), port
        return socket.inet_ntop(socket.AF_INET6, bytes(name[8:24])), port


class EachReader:
    """The same by recvfrom(), where there is no recvmmsg() or its structures are others."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self) -> Batch | None:
        datagrams: list[tuple[bytes, Source]] = []
        receive = socket.socket.recvfrom  # not that of a subclass
        try:
            while len(datagrams) < SLOTS:
                datagrams.append(receive(self._sock, MAX_DATAGRAM_BYTES + 1))
        except OSError as error:  # nothing waits; or an error of the socket's, which must not cost what was read before it
            if not datagrams:
                if isinstance(error, BlockingIOError):
                    return None
                raise
        return Batch.of(datagrams)


def reader_of(sock: socket.socket, *, many: bool) -> ManyReader | EachReader:
    return ManyReader(sock) if many and sys.platform == "linux" else EachReader(sock)
