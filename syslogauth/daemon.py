"""`syslogauth run`: the small parent. It owns the sockets, starts receiver and exporter, restarts what dies, and stops them in order.

A datagram waits in the kernel's buffer while a receiver restarts, because the socket stays open here. Signals: TERM and INT stop, and
leave in the maps what policy.on_stop says; USR1 stops and keeps them, for a restart by the service files; HUP rereads the configuration:
the children are started anew with it, a bad file keeps the old one. The parent reads no datagram and opens no table.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.registry import Collector

from syslogauth import __version__, endpoint, where
from syslogauth.child import Child
from syslogauth.config import Config, ConfigError, Endpoint, parse
from syslogauth.listeners import udp
from syslogauth.logs import configure
from syslogauth.metrics import Ledger, Samples
from syslogauth.ownership import give_up_root, take_lock

BIND_TRIES_SECONDS = 5.0  # after kill -9 of a parent its receiver needs a moment to notice and let go of the port
BEAT_LIMIT_SECONDS = 10.0


class Unavailable(Exception):  # noqa: N818 - sysexits' own word
    """Why the daemon cannot start, in one line that says how to mend it."""


class Daemon(Collector):
    """One run of the daemon. `file` is where the configuration is reread from; empty where there was none."""

    def __init__(self, config: Config, text: str, file: str) -> None:
        self.config = config
        self.text = text
        self.file = file
        self.log: structlog.stdlib.BoundLogger = configure(config.log.format, config.log.level, "parent")
        self.sockets: dict[str, socket.socket] = {}
        self.ledger = Ledger()
        self.receiver = Child("receiver", self.ledger, self.log)
        self.exporter = Child("exporter", self.ledger, self.log)
        self.on_stop = ""
        self.reload_successful = True
        self.reload_at = time.time()
        self._drops_before = 0
        self._activated = False
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._close_endpoint: Callable[[], None] | None = None

    async def run(self) -> int:
        """Until a signal says stop. The exit code. Raises Unavailable where it cannot start."""
        make_state_directory(self.config.state_directory)
        keeper = lock(self.config.state_directory)
        inherited = inherited_sockets()
        self._activated = any(sock.type == socket.SOCK_DGRAM for sock in inherited)
        self._bind(self.config, [sock for sock in inherited if sock.type == socket.SOCK_DGRAM])
        self._serve(self.config.metrics.listen, next((sock for sock in inherited if sock.type == socket.SOCK_STREAM), None))
        if not give_up_root(self.config.state_directory):
            self.log.warning("runs as root; give the state directory to a user of its own", mend=f"chown {self.config.state_directory}")
        self._signals()
        self.log.info("start", version=__version__, config=self.file or "defaults", listen=list(self.sockets), pid=os.getpid())
        self._start_children()
        while not self._stop.is_set():
            waits = [asyncio.create_task(event.wait()) for event in (self._stop, self._reload)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if self._reload.is_set() and not self._stop.is_set():
                self._reload.clear()
                await self._reread()
        ended_well = await self._stop_in_order()
        os.close(keeper)
        return os.EX_OK if ended_well else os.EX_TEMPFAIL

    def stop(self, on_stop: str = "") -> None:
        """Begin an ordered stop; `on_stop` overrides policy.on_stop. The first word counts: a TERM after USR1 empties nothing."""
        if not self._stop.is_set():
            self.on_stop = on_stop or self.config.policy.on_stop
            self._stop.set()

    # what the endpoint asks

    def healthy(self) -> str | None:
        for child in (self.receiver, self.exporter):
            if (age := time.monotonic() - child.last_beat) > BEAT_LIMIT_SECONDS:
                return f"{child.role}: no heartbeat for {age:.0f} s"
        return None

    def ready(self) -> str | None:
        for child in (self.receiver, self.exporter):
            if not child.ready:
                return f"{child.role}: {child.reason}"
        return self.healthy()

    def collect(self) -> Iterator[Metric]:
        self.ledger.update("parent", self.samples())
        yield from self.ledger.collect()

    def samples(self) -> Samples:
        """The parent's own figures: what only the owner of the sockets and of the children knows."""
        children = (self.receiver, self.exporter)
        return {
            "build_info": [((__version__,), 1)],
            "config_last_reload_successful": [((), int(self.reload_successful))],
            "config_last_reload_success_timestamp_seconds": [((), self.reload_at)],
            "datagrams_dropped": [(("kernel",), self._drops())],
            "process_restarts": [((child.role,), child.restarts) for child in children],
            "process_up": [((child.role,), int(child.up)) for child in children],
            "receive_buffer_bytes": [((name,), udp.granted_buffer_bytes(sock)) for name, sock in list(self.sockets.items())],
        }

    def _drops(self) -> int:
        drops = [udp.kernel_drops(sock) for sock in list(self.sockets.values())]
        # FreeBSD counts for the whole host: once, not once a socket
        return self._drops_before + (sum(drops) if sys.platform == "linux" else max(drops, default=0))

    # the parts of run()

    def _bind(self, config: Config, inherited: list[socket.socket]) -> None:
        """Have exactly the sockets that the configuration names, or the inherited ones. What was open already stays open."""
        if self._activated:
            new = {_name(sock): sock for sock in inherited} or self.sockets
            for sock in new.values():
                udp.set_buffer(sock, config.listen.receive_buffer_bytes)
        else:
            new = {}
            try:
                for place in config.listen.udp:
                    new[str(place)] = self.sockets.get(str(place)) or _bound(place, config.listen.receive_buffer_bytes)
            except Unavailable:
                for name in new.keys() - self.sockets.keys():
                    new[name].close()
                raise
        for name in self.sockets.keys() - new.keys():
            self._drops_before += udp.kernel_drops(self.sockets[name]) if sys.platform == "linux" else 0
            self.sockets[name].close()
        self.sockets = new
        for name, sock in new.items():
            granted, wanted = udp.granted_buffer_bytes(sock), config.listen.receive_buffer_bytes
            say = self.log.warning if granted < wanted else self.log.info
            say("receive buffer", listen=name, granted_bytes=granted, wanted_bytes=wanted, mend=_buffer_hint(granted, wanted))

    def _serve(self, place: Endpoint | None, inherited: socket.socket | None) -> None:
        listening = inherited or (_listening(place) if place else None)
        if listening is None:
            return
        registry = CollectorRegistry()
        registry.register(self)
        PlatformCollector(registry)
        self._close_endpoint = endpoint.serve(listening, registry, self.healthy, self.ready)

    def _signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number, action in (
            (signal.SIGTERM, self.stop),
            (signal.SIGINT, self.stop),
            (signal.SIGUSR1, lambda: self.stop("keep")),
            (signal.SIGHUP, self._reload.set),
        ):
            loop.add_signal_handler(number, action)

    def _start_children(self) -> None:
        first = {
            "config": self.text,
            "file": self.file,
            "state_directory": str(self.config.state_directory),
            "files": self.config.files,
        }
        self.exporter.start(first, ())
        self.receiver.start(first, [sock.fileno() for sock in self.sockets.values()])

    async def _reread(self) -> None:
        """Take the configuration file as it is now, or say what is wrong with it and go on with the old one."""
        try:
            text = where.read(self.file)[0] if self.file else self.text
            config = parse(text, self.file, check_paths=True, state_directory=self.config.state_directory)
            if config.state_directory != self.config.state_directory or config.metrics != self.config.metrics:
                raise ConfigError([f"{self.file}: state_directory, metrics.listen: cannot change while it runs; restart syslogauth"])
            self._bind(config, [])
        except (ConfigError, Unavailable) as error:
            self.reload_successful = False
            self.log.error("reload refused; the old configuration stays", mistakes=str(error).splitlines())
            return
        self.config, self.text = config, text
        self.log = configure(config.log.format, config.log.level, "parent")
        self.log.info("reload", config=self.file or "defaults", listen=list(self.sockets))
        await self.receiver.stop("keep")
        await self.exporter.stop("keep")
        self._start_children()
        self.reload_successful, self.reload_at = True, time.time()

    async def _stop_in_order(self) -> bool:
        """True where the maps are as they shall be."""
        self.log.info("stop", maps=self.on_stop)
        await self.receiver.stop("keep")
        ended_well = await self.exporter.stop(self.on_stop)
        if not ended_well:
            maps = [str(export.path) for export in self.config.export]
            self.log.error("the maps may still let addresses relay, and nobody takes them out now; remove them", maps=maps)
        if self._close_endpoint is not None:
            self._close_endpoint()
        for sock in self.sockets.values():
            sock.close()
        self.log.info("stopped")
        return ended_well


def make_state_directory(directory: Path) -> None:
    """0750: it holds user names. Raises Unavailable."""
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"state_directory: {error}; make it (install -d -o syslogauth -m 0750 {directory}) or name another") from None
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise Unavailable(f"state_directory: {directory} is not this user's; run as its owner, or chown it")


def lock(directory: Path) -> int:
    """The lock of the one daemon of a state directory, with its process id in the file. Raises Unavailable."""
    path = directory / "daemon.lock"
    try:
        file = take_lock(path)
        if file is None:
            pid = path.read_text() or "?"
            raise Unavailable(f"state_directory: {directory} is kept by a running syslogauth (pid {pid}); stop it first")
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}; make room, or let this user write there") from None
    return file


def inherited_sockets() -> list[socket.socket]:
    """Sockets handed over by the service manager (sd_listen_fds(3)): descriptors from 3 on, if LISTEN_PID is us."""
    count = int(os.environ.pop("LISTEN_FDS", "0")) if os.environ.get("LISTEN_PID") == str(os.getpid()) else 0
    os.environ.pop("LISTEN_PID", None)
    sockets = [socket.socket(fileno=number) for number in range(3, 3 + count)]
    for sock in sockets:
        sock.set_inheritable(False)
        sock.setblocking(sock.type == socket.SOCK_STREAM)
    return sockets


def _name(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return str(Endpoint(host, port))


def _bound(place: Endpoint, buffer_bytes: int) -> socket.socket:
    return _tried("listen.udp", place, lambda: udp.bind(place.host, place.port, buffer_bytes))


def _listening(place: Endpoint) -> socket.socket:
    def bind() -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((place.host, place.port))
        except OSError:
            sock.close()
            raise
        return sock

    return _tried("metrics.listen", place, bind)


def _tried(key: str, place: Endpoint, bind: Callable[[], socket.socket]) -> socket.socket:
    deadline = time.monotonic() + BIND_TRIES_SECONDS
    while True:
        try:
            return bind()
        except PermissionError:
            raise Unavailable(f"{key}: {place}: not permitted; use a port above 1023, or socket activation") from None
        except OSError as error:
            if time.monotonic() >= deadline:
                raise Unavailable(f"{key}: {place}: {error.strerror}; stop what has it, or name another") from None
            time.sleep(0.1)


def _buffer_hint(granted: int, wanted: int) -> str:
    if granted >= wanted:
        return ""
    return f"sysctl net.core.rmem_max={wanted}" if sys.platform == "linux" else f"sysctl kern.ipc.maxsockbuf={2 * wanted}"
