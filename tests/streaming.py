"""The process that reads streams, in a thread of the test's with an event loop of its own, on real sockets and a real table."""

import asyncio
import logging
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import structlog

from syslogauth.certificates import context, expiries
from syslogauth.connections import Allowance, Tls
from syslogauth.control import Control
from syslogauth.core.address import Networks
from syslogauth.core.intake import Intake
from syslogauth.core.peers import Certified, Sources
from syslogauth.core.policy import Policy
from syslogauth.listeners import stream
from syslogauth.record import Bounds
from syslogauth.streams import Streams
from syslogauth.table import Table
from tests.authority import Authority, Pair
from tests.deadline import wait_until

BOUNDS = Bounds(1800, 86400)
LOOPBACK = Networks(("127.0.0.0/8",))
PEERS = (Certified("mail1", ("mail1.example.org",), ()), Certified("farm", ("*.farm.example.org",), ()))
LOGIN = "<22>Nov 22 10:09:49 mail1 dovecot: imap-login: Login: user=<alice>, method=PLAIN, rip={}, lip=192.0.2.1, mpid=80"
UW_LOGIN = "<22>Nov 22 10:09:49 mail1 imapd[80]: Login user=alice host=client.example.net [{}]"


@dataclass
class Running:
    streams: Streams
    parent: Control
    thread: threading.Thread
    listening: dict[str, socket.socket]
    authority: Authority | None = None
    pairs: dict[str, Pair] = field(default_factory=dict)

    def connect(self, transport: str = "tcp") -> socket.socket:
        return socket.create_connection(self.listening[transport].getsockname(), 5)

    def connect_tls(self, pair: Pair | None, **options: int) -> ssl.SSLSocket:
        """Raises ssl.SSLError or OSError where the handshake fails; with TLS 1.3 it may seem to succeed."""
        assert self.authority
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.set_ciphers("DEFAULT:@SECLEVEL=0")  # else OpenSSL does not even offer old versions
        client.load_verify_locations(self.authority.own.certificate)
        if pair:
            client.load_cert_chain(pair.certificate, pair.key)
        for name, value in options.items():
            setattr(client, name, value)
        return client.wrap_socket(self.connect("tls"))

    def outcomes(self) -> dict[str, int]:
        return {str(name): count for name, count in self.streams.pipeline.intake.tally.outcomes.items() if count}

    def ended(self) -> dict[tuple[str, str], int]:
        return {(transport, str(ending)): count for (transport, ending), count in self.streams.connections.endings.counted.items()}

    def until_ended(self, transport: str, reason: str, count: int = 1) -> None:
        wait_until(lambda: self.ended().get((transport, reason)) == count, f"{count} to end for {reason}; {self.ended()}")

    def until_received(self, count: int) -> None:
        wait_until(lambda: sum(self.streams.received.values()) == count, f"{count} messages; {self.streams.received}")

    def until_open(self, count: int) -> None:
        wait_until(lambda: len(self.streams.connections.open) == count, f"{count} connections")


ALLOWANCE = Allowance(1100, 1100)


@contextmanager
def running(
    directory: Path,
    allowance: Allowance | None = None,
    *,
    secure: bool = False,
    sources: Sources | None = None,
    listening: dict[str, socket.socket] | None = None,
    users: bool = False,
    said: TextIO = sys.stdout,
) -> Iterator[Running]:
    """`listening`: sockets by transport, where they are not to be made here on loopback; `said`: where its log goes.

    Ends in order, and fails where the process did.
    """
    directory.mkdir(exist_ok=True)
    ours, theirs = socket.socketpair()
    authority, pairs, tls = None, {}, None
    if secure:
        authority = Authority.make(directory)
        pairs = {"ours": authority.issue("ours", "log.example.org"), "mail1": authority.issue("mail1", "mail1.example.org")}
        files = (pairs["ours"].certificate, pairs["ours"].key, authority.own.certificate)
        tls = Tls(context(*files), PEERS, expiries(files[0], files[2]))
    listening = listening or {transport: stream.listen("127.0.0.1", 0) for transport in ("tcp", *(["tls"] if secure else []))}
    intake = Intake(sources or Sources(LOOPBACK, frozenset(("mail",))), Policy(1800, frozenset(("imap",))))
    table = Table(directory / "table", 10_000, BOUNDS)
    parent, failure = Control(ours), list[BaseException]()
    # whatever another test of this process has set up for all loggers
    log = structlog.wrap_logger(
        structlog.WriteLogger(said), [structlog.processors.JSONRenderer()], structlog.make_filtering_bound_logger(logging.INFO)
    )
    streams_made = threading.Event()
    made: list[Streams] = []

    async def live() -> None:
        made.append(Streams(intake, table, Control(theirs), log, "streams", allowance or ALLOWANCE, tls, users=users))
        streams_made.set()
        await made[0].run(listening.items())

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:  # told to the test below
            failure.append(error)

    thread = threading.Thread(target=run)
    with ours, theirs:
        thread.start()
        assert streams_made.wait(5)
        try:
            yield Running(made[0], parent, thread, listening, authority, pairs)
        finally:
            parent.send({"stop": "keep"})
            thread.join(10)
            left = [connection.sock for connection in made[0].connections.open.values()]  # where it has failed
            for sock in (*listening.values(), *left):
                sock.close()
        assert not failure, repr(failure)
        assert not thread.is_alive()
