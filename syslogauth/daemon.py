"""`syslogauth run`: the small parent. It owns the sockets, starts receivers, streams and exporter, restarts what dies, and stops them in
order.

A datagram waits in the kernel's buffer while a receiver restarts, because the sockets stay open here. Several receivers (listen.workers)
share the ports, each with sockets of its own (places.py), and what one of them learns of the peers' addresses is passed on here.

Signals: TERM and INT stop, and leave in the maps what policy.on_stop says; USR1 stops and keeps them, for a restart by the service files;
HUP rereads the configuration: the children are started anew with it, a bad file keeps the old one. The parent reads no datagram and opens
no table.
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.registry import Collector

from syslogauth import __version__, endpoint, vitals, where
from syslogauth.assembly import peer_names
from syslogauth.config import Config, ConfigError, Endpoint, parse
from syslogauth.ledger import Ledger
from syslogauth.logs import configure
from syslogauth.metrics import Samples
from syslogauth.notify import LOOK_SECONDS, Notices
from syslogauth.ownership import give_up_root, take_lock
from syslogauth.places import Backlogs, Places, Unavailable, inherited_sockets, listening
from syslogauth.processes import Processes
from syslogauth.tidings import Tidings

TELL_SECONDS = 1.0


class Daemon(Collector):
    """One run of the daemon. `file` is where the configuration is reread from; empty where there was none."""

    def __init__(self, config: Config, text: str, file: str) -> None:
        self.config = config
        self.text = text
        self.file = file
        self.log: structlog.stdlib.BoundLogger = configure(config.log.format, config.log.level, "parent")
        self.ledger = Ledger()
        self.on_stop = ""
        self._hopeless = False
        self.reload_successful = True
        self.reload_at = time.time()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._close_endpoint: Callable[[], None] | None = None
        self.notices = Notices(os.environ)
        self.tidings = Tidings()
        self.processes = Processes(
            self.ledger, self.log, lambda message: self.tidings.hear(message, time.monotonic()), lambda _child: self._give_up()
        )

    async def run(self) -> int:
        """Until a signal says stop. The exit code. Raises Unavailable where it cannot start."""
        make_state_directory(self.config.state_directory)
        keeper = lock(self.config.state_directory)
        metrics = self.config.metrics.listen
        inherited = inherited_sockets(streams_of(self.config) | {"metrics": [metrics] if metrics else []})
        self.places = Places(inherited.datagram, self.log)
        self.backlogs = Backlogs(inherited.streams)
        self._open(self.config)
        self._serve(metrics, inherited.metrics)
        if not give_up_root(self.config.state_directory):
            self.log.warning("runs as root; give the state directory to a user of its own", mend=f"chown {self.config.state_directory}")
        self._look_at_certificates()
        self._signals()
        self.log.info("start", version=__version__, config=self.file or "defaults", listen=self._listen(), pid=os.getpid())
        self._start_children()
        self.notices.owe_ready(time.monotonic())
        telling: asyncio.Future[Any] = asyncio.gather(self._tell_manager(), self._tell_log())
        while not self._stop.is_set():
            waits = [asyncio.create_task(event.wait()) for event in (self._stop, self._reload)]
            await asyncio.wait([telling, *waits], return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()  # it has no end: crash
            for wait in waits:
                wait.cancel()
            if self._reload.is_set() and not self._stop.is_set():
                self._reload.clear()
                self.notices.reloading()
                await self._reread()
                self.notices.owe_ready(time.monotonic())
        ended_well = await self._stop_in_order()
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling
        os.close(keeper)
        return os.EX_CONFIG if self._hopeless else os.EX_OK if ended_well else os.EX_TEMPFAIL

    def stop(self, on_stop: str = "") -> None:
        """Begin an ordered stop; `on_stop` overrides policy.on_stop. The first word counts: a TERM after USR1 empties nothing."""
        if not self._stop.is_set():
            self.on_stop = on_stop or self.config.policy.on_stop
            self._stop.set()

    # what the endpoint asks

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
            "receive_buffer_bytes": list(self.places.buffers()),
            **self.processes.samples(),
        }

    # the parts of run()

    def _open(self, config: Config) -> None:
        backlogs = self.backlogs.bound(streams_of(config))
        try:
            self.places.open(config.listen.udp, config.listen.receive_buffer_bytes, config.listen.workers)
        except Unavailable:
            self.backlogs.discard(backlogs)
            raise
        self.backlogs.take(backlogs)

    def _listen(self) -> list[str]:
        return [*self.places.sockets, *self.backlogs.texts(), *map(str, self.config.listen.file)]

    def _look_at_certificates(self) -> None:
        """Again, as the user that will read them: root may read more. Raises Unavailable."""
        tls = self.config.tls
        if self.config.listen.tls and tls.certificate and tls.key and tls.client_ca:
            from syslogauth.certificates import fault

            if found := fault(tls.certificate, tls.key, tls.client_ca):
                raise Unavailable(": ".join(found))

    def _serve(self, place: Endpoint | None, inherited: socket.socket | None) -> None:
        sock = inherited or (listening(place) if place else None)
        if sock is None:
            return
        registry = CollectorRegistry()
        registry.register(self)
        PlatformCollector(registry)
        vitals.register(registry)
        self._close_endpoint = endpoint.serve(sock, registry, self.processes.healthy, self.processes.ready)

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
        config = self.config
        configuration = {"config": self.text, "file": self.file, "state_directory": str(config.state_directory), "files": config.files}
        self.processes.start(configuration, self.places, self.backlogs, files=bool(config.listen.file))

    async def _tell_log(self) -> None:
        while True:
            self._tell_tidings()
            await asyncio.sleep(TELL_SECONDS)

    def _tell_tidings(self) -> None:
        """What is to be said now of the peers, once for all who read."""
        log, at_work = self.config.log, all(reader.ready for reader in self.processes.readers)
        last_message = self.ledger.by_label("peer_last_message_timestamp_seconds")
        for level, event, fields in self.tidings.due(
            last_message, time.monotonic(), silent_after_seconds=log.silent_after_seconds, users=log.users, at_work=at_work
        ):
            getattr(self.log, level)(event, **fields)

    def _give_up(self) -> None:
        """The table is of a newer format: nobody would take addresses out of the maps, so this is a stop (law 7), and no loop of deaths.

        EX_CONFIG: service managers know that another start would not mend it.
        """
        self._hopeless = True
        self.stop()

    async def _tell_manager(self) -> None:
        """Tell the service manager how things stand, if it asks. How long a stop may take is for TimeoutStopSec to say."""
        while self.notices.address:
            working = f"listens on {', '.join(self._listen())}"
            if self._stop.is_set():
                self.notices.feed(None, time.monotonic())
            else:
                self.notices.look(self.processes.ready(), working, time.monotonic())
                self.notices.feed(self.processes.healthy(), time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)

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
        await self.processes.stop_readers()
        self.processes.forget_peers(config.listen.peers)
        await self.processes.exporter.stop("keep")
        self.tidings.keep(peer_names(config))
        self.ledger.forget("peer", peer_names(config))
        self.ledger.forget("export", [str(export.path) for export in config.export])
        self._start_children()
        self.reload_successful, self.reload_at = True, time.time()
        self.log.info("reload", config=self.file or "defaults", listen=self._listen())

    async def _stop_in_order(self) -> bool:
        """True where the maps are as they shall be."""
        self.notices.stopping(self.on_stop)
        await self.processes.stop_readers()
        ended_well = await self.processes.exporter.stop(self.on_stop)
        if not ended_well:
            maps = [str(export.path) for export in self.config.export]
            self.log.error("the maps may still let addresses relay, and nobody takes them out now; remove them", maps=maps)
        if self._close_endpoint is not None:
            self._close_endpoint()
        self.places.close()
        self.backlogs.close()
        self._tell_tidings()
        self.log.info("stop", maps=self.on_stop)
        return ended_well


def streams_of(config: Config) -> dict[str, Sequence[Endpoint]]:
    """Where to listen, by transport."""
    return {"tcp": config.listen.tcp, "tls": config.listen.tls}


def make_state_directory(directory: Path) -> None:
    """0750: it holds user names. Raises Unavailable."""
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        code = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_CANTCREAT
        text = f"state_directory: {error}; make it (install -d -o syslogauth -m 0750 {directory}) or name another"
        raise Unavailable(text, code) from None
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise Unavailable(f"state_directory: {directory} is not this user's; run as its owner, or chown it", os.EX_NOPERM)


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
        code = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_CANTCREAT
        raise Unavailable(f"{path}: {error.strerror}; make room, or let this user write there", code) from None
    return file
