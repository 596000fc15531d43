"""A sender of datagrams in a process of its own: `python -m benchmarks.sender`, one JSON order a line in, one JSON answer a line out.

    {"port": 5140, "count": 200000, "rate": 0, "logins": 0.05}   ->   {"sent": 200000, "seconds": 0.21}

From 127.0.0.1 to 127.0.0.4 in turn, to a port of 127.0.0.1; `rate` is datagrams a second, evenly spaced, and 0 means flat out. Flat out,
Linux's sendmmsg is called through ctypes on arrays that are made beforehand: it sends about as fast as a C program would. Python's
own send() is the fall-back, and is what paced sending uses, one datagram at a time.
"""

import ctypes
import json
import os
import socket
import sys
import time
from functools import cache

from benchmarks.corpus import corpus

SOURCES = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
AT_ONCE = 50  # datagrams in one call; divides the corpus
SPIN_SECONDS = 0.0003  # a sleep is not more exact than this


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
def _headers(login_share: float) -> "ctypes.Array[_ManyMessages]":
    messages = datagrams(login_share)
    vectors = (_IoVec * len(messages))(*[_IoVec(message, len(message)) for message in messages])
    headers = (_ManyMessages * len(messages))()
    for header, vector in zip(headers, vectors, strict=True):
        header.message.vectors = ctypes.pointer(vector)
        header.message.vector_count = 1
    return headers


def send(port: int, count: int, rate: float, login_share: float) -> tuple[int, float]:
    """(datagrams sent, seconds it took). Raises OSError: ECONNREFUSED where nobody listens."""
    sockets = [_connected(source, port) for source in SOURCES]
    try:
        linux = sys.platform == "linux"
        _ = _headers(login_share) if linux and not rate else datagrams(login_share)  # made before the clock runs
        began = time.perf_counter()
        if rate:
            _send_paced(sockets, count, rate, login_share)
        elif linux:
            _send_many(sockets, count, login_share)
        else:
            _send_each(sockets, count, login_share)
        return count, time.perf_counter() - began
    finally:
        for sock in sockets:
            sock.close()


def _connected(source: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    return sock


def _send_many(sockets: list[socket.socket], count: int, login_share: float) -> None:
    sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg
    headers = _headers(login_share)
    numbers = [sock.fileno() for sock in sockets]
    width, position, turn = ctypes.sizeof(_ManyMessages), 0, 0
    while count:
        wanted = min(AT_ONCE, count, len(headers) - position)
        done = sendmmsg(numbers[turn % len(numbers)], ctypes.byref(headers, position * width), wanted, 0)
        if done < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        count -= done
        position = (position + done) % len(headers)
        turn += 1


def _send_each(sockets: list[socket.socket], count: int, login_share: float) -> None:
    messages = datagrams(login_share)
    for number in range(count):
        sockets[number // AT_ONCE % len(sockets)].send(messages[number % len(messages)])


def _send_paced(sockets: list[socket.socket], count: int, rate: float, login_share: float) -> None:
    messages = datagrams(login_share)
    began = time.perf_counter()
    for number in range(count):
        due = began + number / rate
        while (early := due - time.perf_counter()) > 0:
            if early > SPIN_SECONDS:
                time.sleep(early - SPIN_SECONDS)
        sockets[number % len(sockets)].send(messages[number % len(messages)])


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        sent, seconds = send(order["port"], order["count"], order["rate"], order["logins"])
        print(json.dumps({"sent": sent, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    main()
