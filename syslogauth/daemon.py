"""`syslogauth run`: the small parent. It owns the sockets, starts receivers and exporter, restarts what dies, and stops them in order.

A datagram waits in the kernel's buffer while a receiver restarts, because the sockets stay open here. Several receivers (listen.workers)
share the ports, each with sockets of its own (places.py), and what one of them learns of the peers' addresses is passed on here.

Signals: TERM and INT stop, and leave in the maps what policy.on_stop says; USR1 stops and keeps them, for a restart by the service files;
HUP rereads the configuration: the children are started anew with it, a bad file keeps the old one. The parent reads no datagram and opens
no table.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.registry import Collector

from syslogauth import __version__, endpoint, where
from syslogauth.child import Child
from syslogauth.config import Config, ConfigError, Endpoint, parse
from syslogauth.core.intake import REMEMBERED_PEERS
from syslogauth.ledger import Ledger
from syslogauth.logs import configure
from syslogauth.metrics import Samples
from syslogauth.ownership import give_up_root, take_lock
from syslogauth.places import Places, Unavailable, inherited_sockets, listening

BEAT_LIMIT_SECONDS = 10.0


class Daemon(Collector):
    """One run of the daemon. `file` is where the configuration is reread from; empty where there was none."""

    def __init__(self, config: Config, text: str, file: str) -> None:
        self.config = config
        self.text = text
        self.file = file
        self.log: structlog.stdlib.BoundLogger = configure(config.log.format, config.log.level, "parent")
        self.ledger = Ledger()
        self.exporter = Child("exporter", "exporter", self.ledger, self.log)
        self.receivers: list[Child] = []
        self.own_addresses: set[str] = set()  # of peers that were seen, packed, in hexadecimal digits
        self.on_stop = ""
        self.reload_successful = True
        self.reload_at = time.time()
        self._known = {"exporter": self.exporter}  # every child that there ever was, for its restarts
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._close_endpoint: Callable[[], None] | None = None

    async def run(self) -> int:
        """Until a signal says stop. The exit code. Raises Unavailable where it cannot start."""
        make_state_directory(self.config.state_directory)
        keeper = lock(self.config.state_directory)
        inherited = inherited_sockets()
        self.places = Places([sock for sock in inherited if sock.type == socket.SOCK_DGRAM], self.log)
        self._open(self.config)
        self._serve(self.config.metrics.listen, next((sock for sock in inherited if sock.type == socket.SOCK_STREAM), None))
        if not give_up_root(self.config.state_directory):
            self.log.warning("runs as root; give the state directory to a user of its own", mend=f"chown {self.config.state_directory}")
        self._signals()
        self.log.info("start", version=__version__, config=self.file or "defaults", listen=list(self.places.sockets), pid=os.getpid())
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

    @property
    def children(self) -> list[Child]:
        return [*self.receivers, self.exporter]

    def healthy(self) -> str | None:
        for child in self.children:
            if (age := time.monotonic() - child.last_beat) > BEAT_LIMIT_SECONDS:
                return f"{child.name}: no heartbeat for {age:.0f} s"
        return None

    def ready(self) -> str | None:
        for child in self.children:
            if not child.ready:
                return f"{child.name}: {child.reason}"
        return self.healthy()

    def collect(self) -> Iterator[Metric]:
        self.ledger.update("parent", self.samples())
        yield from self.ledger.collect()

    def samples(self) -> Samples:
        """The parent's own figures: what only the owner of the sockets and of the children knows."""
        return {
            "build_info": [((__version__,), 1)],
            "config_last_reload_successful": [((), int(self.reload_successful))],
            "config_last_reload_success_timestamp_seconds": [((), self.reload_at)],
            "datagrams_dropped": [(("kernel",), self.places.drops())],
            "process_restarts": [((name,), child.restarts) for name, child in list(self._known.items())],
            "process_up": [((child.name,), int(child.up)) for child in self.children],
            "receive_buffer_bytes": list(self.places.buffers()),
        }

    # the parts of run()

    def _open(self, config: Config) -> None:
        self.places.open(config.listen.udp, config.listen.receive_buffer_bytes, config.listen.workers)

    def _serve(self, place: Endpoint | None, inherited: socket.socket | None) -> None:
        sock = inherited or (listening(place) if place else None)
        if sock is None:
            return
        registry = CollectorRegistry()
        registry.register(self)
        PlatformCollector(registry)
        self._close_endpoint = endpoint.serve(sock, registry, self.healthy, self.ready)

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
        self.exporter.start(self._first, ())
        workers = self.places.workers
        names = [f"receiver{number}" for number in range(1, workers + 1)] if workers > 1 else ["receiver"]
        self.receivers = [self._known.get(name) or self._receiver(name) for name in names]
        for number, receiver in enumerate(self.receivers):
            receiver.start(self._first, self.places.share(number))

    def _receiver(self, name: str) -> Child:
        child = self._known[name] = Child("receiver", name, self.ledger, self.log, watched=True, told=self._learn)
        return child

    def _first(self) -> dict[str, Any]:
        return {
            "config": self.text,
            "file": self.file,
            "state_directory": str(self.config.state_directory),
            "files": self.config.files,
            "own_addresses": sorted(self.own_addresses),
        }

    def _learn(self, teller: Child, message: dict[str, Any]) -> None:
        """A peer sends to one worker alone, but none may grant its address (policy.never_own)."""
        room = REMEMBERED_PEERS - len(self.own_addresses)
        new = list(islice((text for text in message["own_addresses"] if text not in self.own_addresses), room))
        self.own_addresses.update(new)
        for receiver in self.receivers:
            if new and receiver is not teller:
                receiver.tell({"own_addresses": new})

    async def _stop_receivers(self) -> None:
        await asyncio.gather(*(receiver.stop("keep") for receiver in self.receivers))

    async def _reread(self) -> None:
        """Take the configuration file as it is now, or say what is wrong with it and go on with the old one."""
        try:
            text = where.read(self.file)[0] if self.file else self.text
            config = parse(text, self.file, check_paths=True, state_directory=self.config.state_directory)
            if config.state_directory != self.config.state_directory or config.metrics != self.config.metrics:
                raise ConfigError([f"{self.file}: state_directory, metrics.listen: cannot change while it runs; restart syslogauth"])
            self._open(config)
        except (ConfigError, Unavailable) as error:
            self.reload_successful = False
            self.log.error("reload refused; the old configuration stays", mistakes=str(error).splitlines())
            return
        self.config, self.text = config, text
        self.log = configure(config.log.format, config.log.level, "parent")
        self.log.info("reload", config=self.file or "defaults", listen=list(self.places.sockets))
        await self._stop_receivers()
        self.own_addresses = {text for text in self.own_addresses if bytes.fromhex(text) in config.listen.peers}
        await self.exporter.stop("keep")
        self._start_children()
        self.reload_successful, self.reload_at = True, time.time()

    async def _stop_in_order(self) -> bool:
        """True where the maps are as they shall be."""
        self.log.info("stop", maps=self.on_stop)
        await self._stop_receivers()
        ended_well = await self.exporter.stop(self.on_stop)
        if not ended_well:
            maps = [str(export.path) for export in self.config.export]
            self.log.error("the maps may still let addresses relay, and nobody takes them out now; remove them", maps=maps)
        if self._close_endpoint is not None:
            self._close_endpoint()
        self.places.close()
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
