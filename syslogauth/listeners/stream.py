"""TCP: listening sockets, and the connection of one peer, read without waiting.

Nothing is ever sent. A peer that is gone without a word is found by keepalive probes, after KEEPALIVE.idle_seconds + interval_seconds *
probes: 3 minutes. (TCP_USER_TIMEOUT would bound what we have sent; the little of a TLS handshake has a limit of its own.) What a peer
does is a value: `receive()` gives bytes, or how the connection has ended, or None where nothing has come. Kept between two calls is what
one Framing keeps: at most one message.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from syslogauth.core.framing import Framing

READ_BYTES = 16384  # as much as a TLS record has; of one-byte messages a read takes 30 ms
BACKLOG = 4096  # connections that wait while the reading process restarts; net.core.somaxconn or kern.ipc.soacceptqueue may allow fewer


class Ending(StrEnum):
    """How connections end: the values of a metric's label."""

    CLOSED = "closed"  # by the peer, between two messages
    UNFINISHED = "unfinished"  # by the peer, within a message, which is dropped
    RESET = "reset"  # broken off by the peer or the network
    TIMEOUT = "timeout"  # no answer to keepalive probes
    FRAMING = "framing"  # no length where one must stand
    SLOW = "slow"  # a message that was begun and not finished in time
    UNLISTED_PEER = "unlisted_peer"
    MAX_CONNECTIONS = "max_connections"
    MAX_CONNECTIONS_PER_PEER = "max_connections_per_peer"
    HANDSHAKE = "handshake"  # no TLS, or none that suits us
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    CERTIFICATE = "certificate"  # none, or none that tls.client_ca vouches for today
    UNKNOWN_CERTIFICATE = "unknown_certificate"  # of no [[tls.peer]]
    TLS = "tls"  # an error after the handshake
    STOPPED = "stopped"  # by us: a stop or a reload


@dataclass(frozen=True, slots=True)
class Keepalive:
    idle_seconds: int = 60
    interval_seconds: int = 15
    probes: int = 8


def listen(host: str, port: int) -> socket.socket:
    """A non-blocking listening socket; IPv6 is V6ONLY, as for UDP. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def keep_alive(sock: socket.socket, keepalive: Keepalive) -> None:
    """Linux and FreeBSD name and count these alike; elsewhere the kernel's own times hold."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", keepalive.idle_seconds),
        ("TCP_KEEPINTVL", keepalive.interval_seconds),
        ("TCP_KEEPCNT", keepalive.probes),
    ):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


@dataclass(slots=True, eq=False)
class Connection:
    """The stream of one peer. `who` is what connections of one peer have in common: its address, or the name of its certificate."""

    sock: socket.socket
    transport: str
    host: str
    who: str
    since: float  # monotonic: when it came, and then when the message began that is not whole yet
    read: "Read"
    framing: Framing = field(default_factory=Framing)
    greeting: bool = False  # its TLS handshake goes on
    name: str = ""  # of the [[tls.peer]]

    def receive(self) -> bytes | Ending | None:
        data = self.read(self.sock)
        if data == b"":
            return Ending.UNFINISHED if self.framing.begun else Ending.CLOSED
        return data

    def frames(self, data: bytes, now: float) -> list[bytes]:
        """The messages that are whole with this."""
        was_begun = self.framing.begun
        found = self.framing.feed(data)
        if found or not was_begun:
            self.since = now
        return found


Read = Callable[[socket.socket], bytes | Ending | None]


def read(sock: socket.socket) -> bytes | Ending | None:
    """What has come, empty at the end; None where nothing has."""
    try:
        return sock.recv(READ_BYTES)
    except BlockingIOError:
        return None
    except OSError as error:
        return ending_of(error)


def ending_of(error: OSError) -> Ending:
    return Ending.TIMEOUT if isinstance(error, TimeoutError) else Ending.RESET
