"""The children of the daemon, put together from the configuration: `syslogauth receiver`, `syslogauth streams`, `syslogauth exporter`.

They are started by the parent alone, by exec (LMDB must not be forked), with a control socket whose first line is the configuration. A
table that cannot be opened is one line and EX_TEMPFAIL: the parent tries again. One of a newer format is EX_DATAERR: the parent stops.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from syslogauth import config as configuration
from syslogauth.assembly import file_escapes, intake_of, maps_of, table_of, unescaping
from syslogauth.certificates import context, expiries
from syslogauth.config import Config
from syslogauth.connections import Allowance, Tls
from syslogauth.control import Control
from syslogauth.environment import NewerFormatError
from syslogauth.exporter import Exporter, emptied
from syslogauth.following import opened
from syslogauth.listeners.udp import Listener, Way, self_test
from syslogauth.logs import configure
from syslogauth.maps import Map
from syslogauth.ownership import take_lock
from syslogauth.receiver import Receiver
from syslogauth.streams import Streams
from syslogauth.table import Table, TableError

START_SECONDS = 30.0


def receiver(control: int, sockets: Sequence[int]) -> int:
    """The receiving process. `sockets` are descriptors of bound UDP sockets. Its exit code."""

    def run(first: First, config: Config, table: Table, line: Control, log: structlog.stdlib.BoundLogger) -> bool:
        process = Receiver(intake_of(config, _key(first)), table, line, log, first["process"])
        process.learn(first["own_addresses"])
        asyncio.run(_receive(config, process, log, [socket.socket(fileno=fd) for fd in sockets]))
        return True

    return _child(control, run, metasync=False)


def streams(control: int, sockets: Sequence[int]) -> int:
    """The process that reads connections and files. `sockets` are descriptors of listening TCP sockets. Its exit code."""

    def run(first: First, config: Config, table: Table, line: Control, log: structlog.stdlib.BoundLogger) -> bool:
        try:
            secure = _secure(config) if first["tls_sockets"] else None
        except OSError as error:  # they were right at the start or at the last reload
            log.error("certificates cannot be read", error=str(error))
            return False
        listen = config.listen
        allowance = Allowance(listen.max_connections, listen.max_connections_per_peer)
        files = opened([(path, bool(file_escapes(config, str(path)))) for path in config.listen.file], table, log)
        intake, users = intake_of(config, _key(first)), config.log.users
        process = Streams(intake, table, line, log, first["process"], allowance, secure, files, users=users)
        process.pipeline.learn(first["own_addresses"])
        listening = [("tls" if fd in first["tls_sockets"] else "tcp", socket.socket(fileno=fd)) for fd in sockets]
        asyncio.run(process.run(listening))
        return True

    return _child(control, run, metasync=False)


def _key(first: dict[str, Any]) -> bytes:
    return bytes.fromhex(first["pseudonym_key"])


def _secure(config: Config) -> Tls:
    """What listen.tls needs, of the files as they are now. Raises OSError."""
    tls = config.tls
    if not (tls.certificate and tls.key and tls.client_ca):
        raise OSError(os.EX_CONFIG, "a socket for TLS was handed over, and [tls] names no certificate, key and client_ca")
    return Tls(context(tls.certificate, tls.key, tls.client_ca), tls.peer, expiries(tls.certificate, tls.client_ca))


async def _receive(config: Config, process: Receiver, log: structlog.stdlib.BoundLogger, sockets: Sequence[socket.socket]) -> None:
    way = await self_test()
    first = process.pipeline.name in ("receiver", "receiver1")  # what is true of all of them is said once
    if first and way is Way.PLAIN:
        log.warning("this Python's asyncio does not pass batches on; datagrams are read one by one, at many times the cost")
    for peers in (source.peers.texts for source in config.listen.source if first and source.peers.texts and not source.escapes):
        log.warning(
            "logins of servers that log line feeds unescaped are refused: declared not to escape", peers=peers, servers=unescaping(config)
        )
    await process.run([Listener(sock, way) for sock in sockets])


def exporter(control: int) -> int:
    """The exporting process. Its exit code: 0 only where the maps are as they shall be."""

    def run(_first: First, config: Config, table: Table, line: Control, log: structlog.stdlib.BoundLogger) -> bool:
        held = take_lock(config.state_directory / "exporter.lock")
        if held is None:
            log.warning("waiting: another exporter has the lock")
            return False
        done = Exporter(
            table,
            [Map(settings, log) for settings in maps_of(config)],
            line,
            log,
            config.policy.always,
            store_users=config.policy.store_users,
        ).run()
        os.close(held)
        return done

    return _child(control, run, _without_table)


def _without_table(config: Config, line: Control, log: structlog.stdlib.BoundLogger) -> bool:
    """The table cannot be opened. Its maps stay as they are while the daemon tries again; but an ordered stop may have to empty them."""
    if not any(message.get("stop") == "empty" for message in line.wait(0.0) or ()):
        return False
    return emptied([Map(settings, log) for settings in maps_of(config)], time.monotonic())


First = dict[str, Any]  # the parent's first line: see control.py
Run = Callable[[First, Config, Table, Control, structlog.stdlib.BoundLogger], bool]
Bereft = Callable[[Config, Control, structlog.stdlib.BoundLogger], bool]


def _child(control: int, run: Run, bereft: Bereft = lambda config, line, log: False, *, metasync: bool = True) -> int:
    # a terminal or a service manager may send them to the whole group: the parent decides, and says so on the control socket
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(ignored, signal.SIG_IGN)
    line = Control(socket.socket(fileno=control))
    first = line.first(START_SECONDS)
    if first is None:
        return os.EX_UNAVAILABLE
    config = configuration.parse(first["config"], first["file"], state_directory=Path(first["state_directory"]), files=first["files"])
    log = configure(config.log.format, config.log.level, first["process"])
    try:
        table = table_of(config, metasync=metasync)
    except (TableError, OSError) as error:
        log.error("table cannot be opened", directory=str(config.state_directory), error=str(error))
        hopeless = isinstance(error, NewerFormatError)
        return os.EX_OK if bereft(config, line, log) else os.EX_DATAERR if hopeless else os.EX_TEMPFAIL
    return os.EX_OK if run(first, config, table, line, log) else os.EX_TEMPFAIL
