"""The sockets that the parent owns: the UDP ones of each place of listen.udp, the listening ones of listen.tcp and listen.tls, and the one
of the metrics.

With `workers` receiving processes each place has as many UDP sockets on its one port, and the kernel spreads the datagrams over them by
the sender's address and port (SO_REUSEPORT): a syslogd, which sends from one socket, always reaches the same worker, so that what several
of its lines mean together is seen together. Worker i reads sockets[i::workers] of each place.

The first socket of a place is bound alone, so that whoever holds the port already, another syslogauth too, ends the start; only then may
others of the same effective user join. A place only grows: with fewer workers after a reload each reads several sockets, because what
the kernel holds in a socket is lost when it is closed.

Of a listening socket the backlog is what waits while the process that reads the connections restarts.

Sockets that a service manager hands over are used as they come, instead of all that the configuration lists for their transport; none can
join them, for they are the manager's user's. What a stream socket is for says its name (systemd: FileDescriptorName=tcp, tls or metrics),
else its address, where listen.tcp, listen.tls or metrics.listen has it; the first that neither says anything of is for the metrics.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat

import structlog

from syslogauth.listeners import stream, udp
from syslogauth.settings import Endpoint

BIND_TRIES_SECONDS = 5.0  # after kill -9 of a parent its receivers need a moment to notice and let go of the port


class Unavailable(Exception):  # noqa: N818 - sysexits' own word
    """Why the daemon cannot start, in one line that says how to mend it, and the exit code of sysexits(3) for that."""

    def __init__(self, text: str, code: int = os.EX_UNAVAILABLE) -> None:
        super().__init__(text)
        self.code = code


class Places:
    """`sockets` by the text of their place. `workers` is how many processes can read them, at most as many as asked for."""

    def __init__(self, inherited: Sequence[socket.socket], log: structlog.stdlib.BoundLogger) -> None:
        self.log = log
        self.sockets: dict[str, list[socket.socket]] = {}
        self.workers = 1
        self._drops_before = 0
        self._inherited: dict[str, list[socket.socket]] = {}
        for sock in inherited:
            self._inherited.setdefault(_name(sock), []).append(sock)

    def open(self, places: Sequence[Endpoint], buffer_bytes: int, workers: int) -> None:
        """Have exactly these places, or the inherited ones. What was open already stays open. Raises Unavailable; then nothing changes."""
        if self._inherited:
            new = self._inherited
            for sock in _all(new):
                # the manager's own (ReceiveBuffer=16M) may be past rmem_max, and asking again would cut it to that
                if udp.granted_buffer_bytes(sock) < buffer_bytes:
                    udp.set_buffer(sock, buffer_bytes)
        else:
            new = {str(place): list(self.sockets.get(str(place), ())) for place in places}
            try:
                for place in places:
                    _grow(new[str(place)], place, buffer_bytes, workers)
            except Unavailable:
                for sock in set(_all(new)) - set(_all(self.sockets)):
                    sock.close()
                raise
        old, self.sockets = self.sockets, new
        for sock in set(_all(old)) - set(_all(new)):
            self._drops_before += udp.kernel_drops(sock) if sys.platform == "linux" else 0
            sock.close()
        self.workers = min(workers, max(map(len, new.values()), default=1))
        self._say(buffer_bytes, workers)

    def _say(self, wanted: int, workers: int) -> None:
        for (name,), granted in self.buffers():
            if granted < wanted:
                mend = _buffer_hint(granted, wanted)
                self.log.warning("receive buffer smaller than wanted", listen=name, granted_bytes=granted, wanted_bytes=wanted, mend=mend)
        if self.workers < workers:
            mend = "let the service manager hand over one for each worker (systemd: ReusePort=yes, and ListenDatagram= as many times)"
            self.log.warning("fewer sockets were handed over than listen.workers", workers=self.workers, wanted=workers, mend=mend)

    def share(self, worker: int) -> list[int]:
        """The descriptors that a worker reads, counted from 0."""
        return [sock.fileno() for sockets in self.sockets.values() for sock in sockets[worker :: self.workers]]

    def drops(self) -> int:
        """Datagrams that the kernel has dropped because a buffer was full."""
        drops = [udp.kernel_drops(sock) for sock in _all(self.sockets)]
        # FreeBSD counts for the whole host: once, not once a socket
        return self._drops_before + (sum(drops) if sys.platform == "linux" else max(drops, default=0))

    def buffers(self) -> list[tuple[tuple[str], int]]:
        """By place: what the kernel granted each of its sockets, the smallest; a syslogd has one of them to itself at best."""
        return [((name,), min(map(udp.granted_buffer_bytes, sockets))) for name, sockets in list(self.sockets.items())]

    def close(self) -> None:
        for sock in _all(self.sockets):
            sock.close()


def _all(sockets: dict[str, list[socket.socket]]) -> list[socket.socket]:
    return [sock for of_place in list(sockets.values()) for sock in of_place]


def _grow(sockets: list[socket.socket], place: Endpoint, buffer_bytes: int, workers: int) -> None:
    """Open what a place lacks of its sockets. Raises Unavailable."""
    if not sockets:
        sockets.append(tried("listen.udp", place, lambda: _first(place, buffer_bytes, workers)))
    port = sockets[0].getsockname()[1]
    try:
        if workers > len(sockets) and sys.platform == "linux":
            sockets[0].setsockopt(socket.SOL_SOCKET, udp.SO_SHARED_PORT, 1)
        while workers > len(sockets):
            sockets.append(udp.bind(place.host, port, buffer_bytes, shared=True))
    except OSError as error:  # it is another user's by now, or FreeBSD's and was bound alone
        raise Unavailable(f"listen.workers: {place}: no more sockets can join: {error.strerror}; restart syslogauth") from None


def _first(place: Endpoint, buffer_bytes: int, workers: int) -> socket.socket:
    sock = udp.bind(place.host, place.port, buffer_bytes)
    if workers > 1 and sys.platform != "linux":  # only Linux lets others join a socket that was bound alone
        port = sock.getsockname()[1]
        sock.close()
        sock = udp.bind(place.host, port, buffer_bytes, shared=True)
    return sock


class Backlogs:
    """`sockets`: the listening ones, by transport (tcp, tls) and the text of their place."""

    def __init__(self, inherited: Mapping[str, Sequence[socket.socket]]) -> None:
        self.sockets: dict[tuple[str, str], socket.socket] = {}
        self._inherited = {transport: {_name(sock): sock for sock in sockets} for transport, sockets in inherited.items()}

    def bound(self, wanted: Mapping[str, Sequence[Endpoint]]) -> dict[tuple[str, str], socket.socket]:
        """What take() shall have: what is open already, or inherited, and new ones. Raises Unavailable; then nothing is left behind."""
        found: dict[tuple[str, str], socket.socket] = {}
        ours_by_place = {name: sock for (_, name), sock in self.sockets.items()}  # one may move from listen.tcp to listen.tls
        try:
            for transport, places in wanted.items():
                if ours := self._inherited.get(transport):
                    found |= {(transport, name): sock for name, sock in ours.items()}
                    continue
                for place in places:
                    key = (transport, str(place))
                    listen = partial(stream.listen, place.host, place.port)
                    found[key] = ours_by_place.get(str(place)) or tried(f"listen.{transport}", place, listen)
        except Unavailable:
            self.discard(found)
            raise
        return found

    def discard(self, found: Mapping[tuple[str, str], socket.socket]) -> None:
        """Close what bound() has opened."""
        for sock in set(found.values()) - set(self.sockets.values()) - _handed_over(self._inherited):
            sock.close()

    def take(self, found: dict[tuple[str, str], socket.socket]) -> None:
        """Have exactly these from now on."""
        old, self.sockets = self.sockets, found
        for sock in set(old.values()) - set(found.values()):
            sock.close()

    def descriptors(self, *transports: str) -> list[int]:
        return [sock.fileno() for (transport, _), sock in self.sockets.items() if transport in transports]

    def texts(self) -> list[str]:
        return [" ".join(key) for key in self.sockets]

    def close(self) -> None:
        self.take({})


def _handed_over(inherited: Mapping[str, Mapping[str, socket.socket]]) -> set[socket.socket]:
    return {sock for sockets in inherited.values() for sock in sockets.values()}


@dataclass(frozen=True, slots=True)
class Inherited:
    """The sockets that were handed over, by what they are for."""

    datagram: Sequence[socket.socket]
    streams: Mapping[str, Sequence[socket.socket]]  # by transport: tcp, tls
    metrics: socket.socket | None


def inherited_sockets(listed: Mapping[str, Sequence[Endpoint]]) -> Inherited:
    """Sockets handed over by the service manager (sd_listen_fds(3)): descriptors from 3 on, if LISTEN_PID is us. Raises Unavailable.

    `listed`: what the configuration lists for tcp, tls and metrics.
    """
    count = int(os.environ.pop("LISTEN_FDS", "0")) if os.environ.get("LISTEN_PID") == str(os.getpid()) else 0
    os.environ.pop("LISTEN_PID", None)
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    sockets = [socket.socket(fileno=number) for number in range(3, 3 + count)]
    for sock in sockets:
        sock.set_inheritable(False)
    return sorted_out(list(zip(sockets, [*names, *repeat("", count)], strict=False)), listed)


def sorted_out(sockets: Sequence[tuple[socket.socket, str]], listed: Mapping[str, Sequence[Endpoint]]) -> Inherited:
    """`sockets`: each with its name. Raises Unavailable where it is not said what one is for."""
    of_place = {str(place): use for use, places in listed.items() for place in places}
    found: dict[str, list[socket.socket]] = {"tcp": [], "tls": [], "metrics": []}
    datagram = [sock for sock, _ in sockets if sock.type == socket.SOCK_DGRAM]
    unknown: list[socket.socket] = []
    for sock, name in [pair for pair in sockets if pair[0].type != socket.SOCK_DGRAM]:
        use = name if name in found else of_place.get(_name(sock))
        (found[use] if use else unknown).append(sock)
    if not found["metrics"]:
        found["metrics"], unknown = unknown[:1], unknown[1:]
    if stray := [*unknown, *found["metrics"][1:]]:
        mend = "name it (systemd: FileDescriptorName=tcp, tls or metrics), or list its address"
        raise Unavailable(f"{_name(stray[0])}: a listening socket was handed over, and nothing says what for; {mend}")
    for sock in (*datagram, *found["tcp"], *found["tls"]):
        sock.setblocking(False)
    for sock in found["metrics"]:
        sock.setblocking(True)
    return Inherited(datagram, {"tcp": found["tcp"], "tls": found["tls"]}, next(iter(found["metrics"]), None))


def listening(place: Endpoint) -> socket.socket:
    """The socket of metrics.listen. Raises Unavailable."""

    def bind() -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((place.host, place.port))
        except OSError:
            sock.close()
            raise
        return sock

    return tried("metrics.listen", place, bind)


def tried(key: str, place: Endpoint, bind: Callable[[], socket.socket]) -> socket.socket:
    deadline = time.monotonic() + BIND_TRIES_SECONDS
    while True:
        try:
            return bind()
        except PermissionError:
            raise Unavailable(f"{key}: {place}: not permitted; use a port above 1023, or socket activation", os.EX_NOPERM) from None
        except OSError as error:
            if time.monotonic() >= deadline:
                raise Unavailable(f"{key}: {place}: {error.strerror}; stop what has it, or name another") from None
            time.sleep(0.1)


def _name(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return str(Endpoint(host, port))


def _buffer_hint(granted: int, wanted: int) -> str:
    if granted >= wanted:
        return ""
    return f"sysctl net.core.rmem_max={wanted}" if sys.platform == "linux" else f"sysctl kern.ipc.maxsockbuf={2 * wanted}"
