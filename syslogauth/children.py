"""The two children of the daemon, put together from the configuration: `syslogauth receiver` and `syslogauth exporter`.

Both are started by the parent alone, by exec (LMDB must not be forked), with a control socket whose first line is the configuration.
Here each part is given its own values; the parts know nothing of the file. A table that cannot be opened is one line and EX_TEMPFAIL: the
parent tries again.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence

import structlog

from syslogauth import config as configuration
from syslogauth.config import Config
from syslogauth.control import Control
from syslogauth.core.intake import Intake, Sources
from syslogauth.core.policy import Policy
from syslogauth.exporter import Exporter, lock
from syslogauth.listeners.udp import Listener, PacedSelector, self_test
from syslogauth.logs import configure
from syslogauth.maps import Map, MapSettings
from syslogauth.receiver import Receiver
from syslogauth.record import Bounds
from syslogauth.table import Table, TableError

START_SECONDS = 30.0


def sources_of(config: Config) -> Sources:
    listen = config.listen
    return Sources(listen.peers, listen.facilities, listen.accept_without_pri, listen.require_source_port_514)


def policy_of(config: Config) -> Policy:
    policy = config.policy
    return Policy(policy.grace_seconds, policy.services, policy.never_networks, policy.never_own, policy.proxied, policy.qpopper_stats)


def table_of(config: Config, *, readonly: bool = False) -> Table:
    policy = config.policy
    bounds = Bounds(login_seconds=policy.grace_seconds, manual_seconds=policy.max_manual_seconds)
    return Table(config.state_directory / "table", policy.max_addresses, bounds, readonly)


def maps_of(config: Config) -> list[MapSettings]:
    return [
        MapSettings(e.path, e.format, e.ipv6_form, e.key_prefix, e.min_interval_seconds, e.mode)
        for e in config.export
        if e.type == "sendmail-hash"
    ]


def receiver(control: int, sockets: Sequence[int]) -> int:
    """The receiving process. `sockets` are descriptors of bound UDP sockets. Its exit code."""

    def run(config: Config, table: Table, line: Control, log: structlog.stdlib.BoundLogger) -> None:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(PacedSelector())) as runner:
            runner.run(_receive(config, table, line, log, [socket.socket(fileno=fd) for fd in sockets]))

    return _child("receiver", control, run)


async def _receive(
    config: Config, table: Table, line: Control, log: structlog.stdlib.BoundLogger, sockets: Sequence[socket.socket]
) -> None:
    batching = await self_test()
    if not batching:
        log.warning("this Python's asyncio does not pass batches on; datagrams are read one by one, at many times the cost")
    process = Receiver(Intake(sources_of(config), policy_of(config)), table, line, log)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, process.stop)
    await process.run([Listener(sock, process.held, batching) for sock in sockets])


def _without_table(config: Config, line: Control, log: structlog.stdlib.BoundLogger) -> None:
    """The table cannot be opened. Its maps stay as they are while the daemon tries again; but an ordered stop may have to empty them."""
    if any(message.get("stop") == "empty" for message in line.wait(0.0) or ()):
        for settings in maps_of(config):
            Map(settings, log).keep(set(), time.monotonic())


def exporter(control: int) -> int:
    """The exporting process. Its exit code."""

    def run(config: Config, table: Table, line: Control, log: structlog.stdlib.BoundLogger) -> None:
        held = lock(config.state_directory)
        if held is None:
            raise BlockingIOError("another exporter has the lock")
        Exporter(table, [Map(settings, log) for settings in maps_of(config)], line, log).run()
        os.close(held)

    return _child("exporter", control, run, _without_table)


Run = Callable[[Config, Table, Control, structlog.stdlib.BoundLogger], None]
Bereft = Callable[[Config, Control, structlog.stdlib.BoundLogger], None]


def _child(name: str, control: int, run: Run, bereft: Bereft = lambda config, line, log: None) -> int:
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):  # a terminal sends them to the whole group; the parent decides
        signal.signal(ignored, signal.SIG_IGN)
    line = Control(socket.socket(fileno=control))
    first = line.first(START_SECONDS)
    if first is None:
        return os.EX_UNAVAILABLE
    config = configuration.parse(first["config"], first["file"])
    log = configure(config.log.format, config.log.level, name)
    try:
        table = table_of(config)
    except (TableError, OSError) as error:
        log.error("table cannot be opened", directory=str(config.state_directory), error=str(error))
        bereft(config, line, log)
        return os.EX_TEMPFAIL
    try:
        run(config, table, line, log)
    except BlockingIOError as error:
        log.warning("waiting", reason=str(error))
        return os.EX_TEMPFAIL
    return os.EX_OK
