"""A sender of datagrams in a process of its own: `python -m benchmarks.sender`, one JSON order a line in, one JSON answer a line out.

    {"port": 5140, "count": 200000, "rate": 20000, "logins": 0.05}   ->   {"sent": 200000, "seconds": 10.0, "late": 0.0002}
    {"port": 5140, "count": 2000, "rate": 0, "fresh": 40000}         ->   the same; logins alone, those numbered 40000 to 41999

From 127.0.0.1 to 127.0.0.4 in turn, to a port of 127.0.0.1. `rate` 0 means flat out: Linux's sendmmsg, called through ctypes on arrays that
are made beforehand, sends about as fast as a C program would.

`rate` is datagrams a second, and what arrives is a Poisson process with a fixed seed, as it is from many servers that know nothing of each
other: instants spread evenly at random over count / rate seconds. Up to SINGLE_RATE each datagram has an instant and a send() of its own;
above, a few go together (group()), as a network card hands them over then. From SPIN_RATE on nothing sleeps: the sender's core is
its own, and a sleep that ends late would bunch what follows, which makes every receiver look better. `late` is the share of
datagrams that went out more than LATE_SECONDS after their instant: where it is not near 0, something else ran on the sender's core.
"""

import ctypes
import json
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from benchmarks.corpus import corpus, fresh_login

SOURCES = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
AT_ONCE = 50  # datagrams in one call, flat out
GROUPS = (1, 2, 4, 5, 8, 10, 16, 20, 25, 32, 40, 50)  # each divides the corpus, as AT_ONCE does
SINGLE_RATE = 100_000
GROUPED_RATE = 15_000  # groups a second above it: few enough that the calls are no limit
SPIN_RATE = 5_000
SPIN_SECONDS = 0.0003  # a sleep is not more exact than this
LATE_SECONDS = 0.0005
SEED = 3164


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct msghdr, Linux."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.POINTER(_IoVec)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _ManyMessages(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("message", _Message), ("sent", ctypes.c_uint))


@cache
def datagrams(login_share: float) -> list[bytes]:
    return [entry.datagram() for entry in corpus(login_share)]


@cache
def headers_of(login_share: float) -> "ctypes.Array[_ManyMessages]":
    messages = datagrams(login_share)
    vectors = (_IoVec * len(messages))(*[_IoVec(message, len(message)) for message in messages])
    headers = (_ManyMessages * len(messages))()
    for header, vector in zip(headers, vectors, strict=True):
        header.message.vectors = ctypes.pointer(vector)
        header.message.vector_count = 1
    return headers


class Sockets:
    """One for each of SOURCES, connected to the port; `turn` chooses among them. Raises OSError: ECONNREFUSED where nobody listens."""

    def __init__(self, port: int) -> None:
        self.all = [_connected(source, port) for source in SOURCES]
        self._numbers = [sock.fileno() for sock in self.all]
        self._sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg if sys.platform == "linux" else None

    def send(self, turn: int, message: bytes) -> None:
        self.all[turn % len(self.all)].send(message)

    def send_many(self, turn: int, login_share: float, position: int, count: int) -> int:
        """Send that many of the corpus at once, from `position` on; how many were sent."""
        if self._sendmmsg is None:
            for message in datagrams(login_share)[position : position + count]:
                self.send(turn, message)
            return count
        first = ctypes.byref(headers_of(login_share), position * ctypes.sizeof(_ManyMessages))
        done = int(self._sendmmsg(self._numbers[turn % len(self._numbers)], first, count, 0))
        if done < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return done

    def close(self) -> None:
        for sock in self.all:
            sock.close()


def _connected(source: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    return sock


def flat_out(sockets: Sockets, count: int, login_share: float) -> None:
    size, sent, turn = len(datagrams(login_share)), 0, 0
    while sent < count:
        position = sent % size
        sent += sockets.send_many(turn, login_share, position, min(AT_ONCE, count - sent, size - position))
        turn += 1


def group(rate: float) -> int:
    """How many datagrams go together at a rate."""
    return 1 if rate <= SINGLE_RATE else next((size for size in GROUPS if size * GROUPED_RATE >= rate), GROUPS[-1])


def instants(count: int, rate: float) -> list[float]:
    """Seconds from the beginning for each group of `count` datagrams: a Poisson process that is known to have so many in its time."""
    chance, duration = random.Random(SEED), count / rate  # noqa: S311 - the same instants each time are what is wanted
    return sorted(chance.random() * duration for _ in range(-(-count // group(rate))))


def paced(
    sockets: Sockets, due: list[float], count: int, rate: float, login_share: float, between: Callable[[], object] | None = None
) -> int:
    """Send `count` datagrams at the instants `due`; how many were late.

    `between` is called over and over while there is nothing to send, and where there always is, every LATE_SECONDS.
    """
    messages, size, clock = datagrams(login_share), group(rate), time.perf_counter
    late, sent, may_sleep = 0, 0, rate < SPIN_RATE and between is None
    began = called = clock()
    for turn, seconds in enumerate(due):
        at = began + seconds
        while (early := at - (now := clock())) > 0:
            if between is not None:
                between()
                called = now
            elif may_sleep and early > SPIN_SECONDS:
                time.sleep(early - SPIN_SECONDS)
        if between is not None and now - called > LATE_SECONDS:
            between()
            called = now
        if early < -LATE_SECONDS:
            late += size
        if size == 1:
            sockets.send(turn, messages[sent % len(messages)])
            sent += 1
        else:
            end = min(sent + size, count)
            while sent < end:
                sent += sockets.send_many(turn, login_share, sent % len(messages), end - sent)
    return late


def send(port: int, count: int, rate: float, logins: float = 0.0, fresh: int | None = None) -> dict[str, Any]:
    """Do an order; the answer. Everything that takes time is made before the clock runs."""
    sockets, late = Sockets(port), 0
    try:
        due = instants(count, rate) if rate else []
        messages = datagrams(logins) if fresh is None else [fresh_login(number) for number in range(fresh, fresh + count)]
        if fresh is None and sys.platform == "linux":
            headers_of(logins)
        began = time.perf_counter()
        if fresh is not None:
            for turn, message in enumerate(messages):
                sockets.send(turn, message)
        elif rate:
            late = paced(sockets, due, count, rate, logins)
        else:
            flat_out(sockets, count, logins)
        return {"sent": count, "seconds": time.perf_counter() - began, "late": late / count}
    finally:
        sockets.close()


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(send(**json.loads(line))), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    main()
