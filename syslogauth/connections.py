"""The connections of listen.tcp and listen.tls: who may have one, what comes over it, how long it may take, and how it ends.

A connection is read where the event loop says that something has come, once each time, so that none keeps the others waiting, and for
TURN_SECONDS together at most before the loop has its other work done, the heartbeat among it: those who were read come last then. Admission
comes first (law 3): over TCP the peer's address must be in listen.peers, which is asked before a byte is read; over TLS the certificate
decides alone. While the pipeline is full no connection is read, nor any new one taken (law 6): what is not read waits in the kernel, and
slows the sender down. Memory is bounded by the number of connections, each of which keeps one message at most, or 164 KB of OpenSSL's
while its handshake goes on.

What was a message is handed on, one that is too long as well (law 1); what was none ends the connection and is counted there. The end of a
connection drops a message that is not whole, for half of a line may read as another (law 2).
"""

import asyncio
import contextlib
import resource
import select
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import structlog

from syslogauth.core.address import canonical, pack
from syslogauth.core.batch import Batch
from syslogauth.core.peers import Certified, Peer, Sources
from syslogauth.listeners import stream, tls
from syslogauth.listeners.endings import Endings
from syslogauth.listeners.stream import Connection, Ending, Keepalive

ACCEPTED_AT_ONCE = 64
ACCEPT_AGAIN_SECONDS = 1.0
TURN_SECONDS = 0.5  # of reading, between two calls of tend()
QUIET_SECONDS = 0.1  # at a stop: when nothing more seems to come
SPARE_DESCRIPTORS = 64  # for all that is no connection
USUAL_KEEPALIVE = Keepalive()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one connection, one peer and all of them may take."""

    connections: int
    connections_per_peer: int
    handshake_seconds: float = 10.0
    message_seconds: float = 60.0  # from the beginning of a message to its end
    keepalive: Keepalive = USUAL_KEEPALIVE


@dataclass(frozen=True, slots=True)
class Tls:
    """What listen.tls needs. `expiries`: Unix time by certificate."""

    context: ssl.SSLContext
    peers: Sequence[Certified]
    expiries: dict[str, float]


class Connections:
    """`take` is given what comes, by transport; `full` says whether nothing more may be read."""

    def __init__(
        self,
        sources: Sources,
        allowance: Allowance,
        secure: Tls | None,
        take: Callable[[str, Batch], None],
        full: Callable[[], bool],
        log: structlog.stdlib.BoundLogger,
        *,
        users: bool = False,
    ) -> None:
        self.sources = sources
        self.allowance = allowance
        self.secure = secure
        self.take = take
        self.full = full
        self.log = log
        self.room = 0
        self.listening: list[tuple[str, socket.socket]] = []
        self.open: dict[int, Connection] = {}  # by descriptor, the oldest first
        self.endings = Endings(log, users=users)
        self._of: Counter[str] = Counter()  # open ones by who
        self._held = False
        self._until = 0.0  # monotonic: no more is read before tend() has been called
        self._served: dict[Connection, None] = {}  # who was read since

    def listen(self, listening: Iterable[tuple[str, socket.socket]]) -> None:
        """From now on. `listening`: transport (tcp, tls) and a listening socket that does not block."""
        self.listening = list(listening)
        self.room = _descriptors(self.allowance.connections, self.log) if self.listening else 0
        self._listen(self.listening)

    def tend(self) -> None:
        """All that is not the arrival of something, several times a second: deadlines, news, and the end of a hold."""
        self._hold(self.full())
        if not self._held:
            self._cut_slow(time.monotonic())
        self.endings.tell()
        self._served.clear()
        self._until = time.monotonic() + TURN_SECONDS

    def open_by_transport(self) -> dict[str, int]:
        found = Counter(connection.transport for connection in self.open.values())
        return {transport: found[transport] for transport, _ in self.listening}

    def _listen(self, listening: Iterable[tuple[str, socket.socket]]) -> None:
        for transport, sock in () if self._held else listening:
            asyncio.get_running_loop().add_reader(sock, self._accept, transport, sock)

    def _accept(self, transport: str, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor or no memory left
                self.endings.tell_wait(transport, error)
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening)
                loop.call_later(ACCEPT_AGAIN_SECONDS, self._listen, [(transport, listening)])
                return
            self._admit(transport, sock, _canonical(address[0]))

    def _admit(self, transport: str, sock: socket.socket, host: str) -> None:
        if refused := self._refusal(transport, host):
            sock.close()
            self.endings.count(transport, refused, host)
            return
        sock.setblocking(False)
        connection = Connection(sock, transport, host, f"{transport} {host}", time.monotonic(), stream.read)
        try:
            stream.keep_alive(sock, self.allowance.keepalive)
            if transport == "tls":
                connection.sock = tls.wrapped(sock, cast("Tls", self.secure).context)
                connection.read, connection.greeting = tls.read, True
        except OSError as error:  # it is gone already
            sock.close()
            self.endings.count(transport, stream.ending_of(error), host)
            return
        self.open[connection.sock.fileno()] = connection
        self._of[connection.who] += 1
        asyncio.get_running_loop().add_reader(connection.sock, self._readable, connection)

    def _refusal(self, transport: str, host: str) -> Ending | None:
        if transport == "tcp" and self.sources.admit_stream(host, counted=False).refusal:
            return Ending.UNLISTED_PEER
        who = f"{transport} {host}"
        if self._of[who] >= self.allowance.connections_per_peer and not self._made_room(Ending.MAX_CONNECTIONS_PER_PEER, who):
            return Ending.MAX_CONNECTIONS_PER_PEER
        if len(self.open) >= self.room and not self._made_room(Ending.MAX_CONNECTIONS):
            return Ending.MAX_CONNECTIONS
        return None

    def _made_room(self, ending: Ending, who: str = "") -> bool:
        """One who has shown no certificate yet, the oldest of that address or of all, must not keep out one who may have one."""
        strangers = (connection for connection in self.open.values() if connection.greeting and who in ("", connection.who))
        if (stranger := next(strangers, None)) is None:
            return False
        self._end(stranger, ending)
        return True

    def _readable(self, connection: Connection) -> None:
        if time.monotonic() >= self._until:
            self._let_others_come_first()
            return
        self._served[connection] = None
        if connection.greeting and not self._greeted(connection):
            return
        if self.full():
            self._hold(True)
            return
        data = connection.receive()
        if isinstance(data, bytes):
            self._read(connection, data)
        elif data is not None:
            self._end(connection, data)

    def _let_others_come_first(self) -> None:
        """The kernel tells of descriptors in the order in which it was asked for them (epoll, kqueue), and anew of all that can be read."""
        loop = asyncio.get_running_loop()
        for connection in self._served:
            if connection.sock.fileno() >= 0 and not self._held:
                loop.remove_reader(connection.sock)
                loop.add_reader(connection.sock, self._readable, connection)
        self._served.clear()

    def _greeted(self, connection: Connection) -> bool:
        """Whether the handshake is done, and the peer one of ours."""
        sock = cast("ssl.SSLSocket", connection.sock)
        done = tls.greet(sock)
        if isinstance(done, tuple):
            self._end(connection, *done)
            return False
        if done:
            name, certificate = tls.holder_of(sock, cast("Tls", self.secure).peers)
            who = f"tls {connection.host}" if name is None else f"tls peer {name}"
            if name is None:
                self._end(connection, Ending.UNKNOWN_CERTIFICATE, certificate)
            elif self._of[who] >= self.allowance.connections_per_peer:
                self._end(connection, Ending.MAX_CONNECTIONS_PER_PEER, name)
            else:
                self._leave(connection.who)
                self._of[who] += 1
                connection.who, connection.name, connection.greeting = who, name, False
        return done and connection.sock.fileno() in self.open

    def _read(self, connection: Connection, data: bytes) -> None:
        frames = connection.frames(data, time.monotonic())
        if frames:
            peer = self._peer(connection)
            key = f"{connection.who} {connection.host} {connection.framing.counted}"
            self.take(connection.transport, Batch.of_peer(frames, key, peer))
        if connection.framing.broken:
            self._end(connection, Ending.FRAMING, ascii(data[:60]))

    def _peer(self, connection: Connection) -> Peer:
        counted = bool(connection.framing.counted)
        if connection.name:
            return self.sources.admit_holder(connection.name, connection.host, counted=counted)
        return self.sources.admit_stream(connection.host, counted=counted)

    def _end(self, connection: Connection, ending: Ending, example: str = "") -> None:
        del self.open[connection.sock.fileno()]
        self._leave(connection.who)
        asyncio.get_running_loop().remove_reader(connection.sock)
        connection.sock.close()
        self.endings.count(connection.transport, ending, connection.host, example)

    def _leave(self, who: str) -> None:
        self._of[who] -= 1
        if not self._of[who]:
            del self._of[who]

    def _cut_slow(self, now: float) -> None:
        for connection in list(self.open.values()):
            if connection.greeting and now - connection.since > self.allowance.handshake_seconds:
                self._end(connection, Ending.HANDSHAKE_TIMEOUT)
            elif connection.framing.begun and now - connection.since > self.allowance.message_seconds:
                self._end(connection, Ending.SLOW)

    def _hold(self, full: bool) -> None:
        """Leave all in the kernel, or begin again."""
        if full == self._held:
            return
        self._held, loop, now = full, asyncio.get_running_loop(), time.monotonic()
        for _, sock in self.listening if full else ():
            loop.remove_reader(sock)
        for connection in self.open.values():
            if full:
                loop.remove_reader(connection.sock)
            else:
                connection.since = now
                loop.add_reader(connection.sock, self._readable, connection)
        if not full:
            self._listen(self.listening)

    def drain(self, until: float) -> None:
        """Read what the kernel still holds, and what comes until the peers have noticed."""
        self._hold(True)  # for good: nothing is read from here on but below
        self._until = until
        for connection in [connection for connection in self.open.values() if connection.greeting]:
            self._end(connection, Ending.STOPPED)
        for connection in self.open.values():
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection.sock, socket.SHUT_WR)
        poll = select.poll()
        for number in self.open:
            poll.register(number, select.POLLIN)
        while time.monotonic() < until and not self.full() and (ready := poll.poll(QUIET_SECONDS * 1000)):
            for number in [number for number, _ in ready]:
                self._readable(self.open[number])
                if number not in self.open:
                    poll.unregister(number)
        for connection in list(self.open.values()):
            self._end(connection, Ending.STOPPED)
        self.endings.tell()


def _canonical(host: str) -> str:
    """The one text of an address: a socket of both families gives IPv4 ones as mapped."""
    packed = pack(host)
    return canonical(packed) if packed else host  # else an IPv6 address with a zone


def _descriptors(wanted: int, log: structlog.stdlib.BoundLogger) -> int:
    """How many connections there can be: as many as wanted, or as the limit of open files leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_DESCRIPTORS
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < needed:
        mend = f"let it open {needed} files (systemd: LimitNOFILE=; FreeBSD: login.conf, openfiles)"
        log.warning("fewer connections than listen.max_connections", connections=soft - SPARE_DESCRIPTORS, mend=mend)
    return max(1, min(wanted, soft - SPARE_DESCRIPTORS))
