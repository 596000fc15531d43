"""The receiving process: sockets -> intake -> pending grants -> table. One thread receives, the other commits (committer.py).

The event loop wakes up at the first datagram after an idle time. While more come, the sockets are read again after a pause (pace.py), not
through the loop: its way from the selector to a coroutine costs more than a hundred datagrams do. It has a turn each TURN_SECONDS for its
only other work, the heartbeat and the control socket. Nothing is awaited between the receipt of a batch and its place among the pending
grants (law 6), and while those are too many the sockets are not read.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import asyncio_dgram
import structlog

from syslogauth.committer import Committer
from syslogauth.control import BEAT_SECONDS, Control, heartbeat
from syslogauth.core.batch import Batch
from syslogauth.core.intake import Intake
from syslogauth.core.login import Refusal
from syslogauth.listeners.pace import Pace
from syslogauth.listeners.recvmmsg import SLOTS
from syslogauth.listeners.udp import Listener, Way, granted_buffer_bytes
from syslogauth.metrics import Samples
from syslogauth.table import Table, TableError

TURN_SECONDS = 0.1
SUMMARY_SECONDS = 60.0
BATCHES_AT_ONCE = 16  # of one socket, before the next one is read
DRAIN_SECONDS = 2.0  # how long an ordered stop goes on reading what the kernel still holds


class Receiver:
    """`run()` ends when the parent says so or is gone. Raises only what is our own fault."""

    def __init__(self, intake: Intake, table: Table, control: Control, log: structlog.stdlib.BoundLogger, name: str = "receiver") -> None:
        self.intake = intake
        self.control = control
        self.log = log
        self.name = name
        self.listeners: Sequence[Listener] = ()
        self.committer = Committer(table, log)
        self._said_unescaped: set[str] = set()
        self._known_own = set(intake.own_addresses)
        self._stopping = asyncio.Event()
        self._pace = Pace(0)

    async def run(self, listeners: Sequence[Listener]) -> None:
        self.listeners = listeners
        self._pace = Pace(min((granted_buffer_bytes(listener.sock) for listener in listeners), default=0))
        for listener in listeners:
            await listener.open()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.control.sock, self._hear)
        self._hear()  # a stop that came with the first line wakes nobody
        tasks = [asyncio.create_task(self._receive(listener)) for listener in listeners]
        tasks.append(asyncio.create_task(self._beat()))
        with ThreadPoolExecutor(1, "commit") as executor:
            committing = loop.run_in_executor(executor, self.committer.run)
            working: list[asyncio.Future[None]] = [committing, *tasks]
            try:
                stopped = asyncio.ensure_future(self._stop_asked())
                await asyncio.wait([stopped, *working], return_when=asyncio.FIRST_COMPLETED)
                for work in working:
                    if work.done():
                        work.result()  # what ended by itself has failed: crash, and be restarted
                loop.remove_reader(self.control.sock)
                await self._drain(tasks)
            finally:
                self.committer.stop()
            await committing
        self._say_the_last()

    def stop(self) -> None:
        self._stopping.set()

    async def _stop_asked(self) -> None:
        await self._stopping.wait()

    async def _receive(self, listener: Listener) -> None:
        while True:
            try:
                await listener.readable()
                if listener.way is Way.PLAIN:  # the next datagram comes through the loop, which must not sleep
                    self._read(listener)
                    continue
                self._pace.begin()
                while self._read_for_a_turn():  # noqa: ASYNC110 - nothing is waited for: the loop has its turn
                    await asyncio.sleep(0)
            except asyncio_dgram.TransportClosed:
                return
            except OSError as error:  # an ICMP error that the kernel reports on the socket, say
                self.log.warning("receive failed", error=str(error))

    def _read_for_a_turn(self) -> bool:
        """Read every socket, again and again with pauses. True where datagrams still came when the loop's other work was due."""
        until = time.monotonic() + TURN_SECONDS
        while True:
            looked_at = time.monotonic()
            batches, full = 0, self.committer.full()
            for listener in () if full else self.listeners:
                batches = max(batches, self._read(listener))
            if not batches and not full and self._pace.longest:
                return False
            if (now := time.monotonic()) >= until:
                return True
            if batches < BATCHES_AT_ONCE:  # else more waits
                time.sleep(max(0.0, looked_at + self._pace.pause_seconds() - now))

    def _read(self, listener: Listener) -> int:
        """Take what has come, but no more than its share; how many batches that were."""
        for batches in range(BATCHES_AT_ONCE):
            if (batch := listener.read()) is None:
                return batches
            self.take(batch)
            if len(batch) < SLOTS:  # all that waited
                return batches + 1
        return BATCHES_AT_ONCE

    def take(self, batch: Batch) -> None:
        """Feed a batch, and make its grants pending."""
        grants, sessions = self.intake.feed(batch, time.time()), self.intake.sessions
        if grants or sessions:
            self.committer.add(grants, sessions)
            sessions.clear()

    async def _beat(self) -> None:
        said, said_at = 0, -SUMMARY_SECONDS
        while True:
            unlisted, now = self.intake.tally.outcomes[Refusal.UNLISTED_PEER], time.monotonic()
            if unlisted > said and now - said_at >= SUMMARY_SECONDS:
                last = self.intake.tally.last_unlisted
                self.log.warning("refused: sender not in listen.peers", last=last, datagrams=unlisted - said)
                said, said_at = unlisted, now
            self._say_unescaped()
            self._tell_own_addresses()
            self.control.send(heartbeat(self.name, self.committer.writable, self._reason(), self.samples()))
            await asyncio.sleep(BEAT_SECONDS)

    def _say_unescaped(self) -> None:
        """Once a peer: its logins are lost until somebody declares what it is."""
        for peer, (sender, app_name) in self.intake.tally.unescaped.items():
            if peer not in self._said_unescaped:
                self._said_unescaped.add(peer)
                mend = f'where its syslogd escapes line feeds, say so: [[listen.source]] peers = ["{sender}"], escapes = true'
                self.log.warning("refused: logins of a server that does not escape line feeds", sender=sender, app_name=app_name, mend=mend)

    def _reason(self) -> str:
        return "" if self.committer.writable else "the table cannot be written: is the disk full?"

    def _hear(self) -> None:
        messages = self.control.receive()
        for message in messages or ():
            self.learn(message.get("own_addresses", ()))
        if messages is None or any("stop" in message for message in messages):
            self.stop()

    def learn(self, own_addresses: Iterable[str]) -> None:
        """Addresses of peers that another worker has seen: policy.never_own is for them too."""
        learned = set(map(bytes.fromhex, own_addresses))
        self.intake.own_addresses.update(learned)
        self._known_own |= learned

    def _tell_own_addresses(self) -> None:
        if len(self.intake.own_addresses) > len(self._known_own):
            new = self.intake.own_addresses - self._known_own
            self._known_own |= new
            self.control.send({"own_addresses": sorted(map(bytes.hex, new))})

    async def _drain(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Read what the kernel still holds, before a stop."""
        deadline = time.monotonic() + DRAIN_SECONDS
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self.listeners:
            while time.monotonic() < deadline and (batch := listener.drain()):
                self.take(batch)
            listener.close()

    def _say_the_last(self) -> None:
        if self.committer.waiting():
            lost, sessions = len(self.committer.grants), len(self.committer.sessions)
            self.log.error("stopped with grants that could not be committed", lost=lost, sessions=sessions)
        self._tell_own_addresses()
        self.control.send(heartbeat(self.name, False, "stopped", self.samples()))
        with contextlib.suppress(TableError):
            self.committer.table.close()

    def samples(self) -> Samples:
        """Every figure of this process as it stands."""
        tally = self.intake.tally
        samples: Samples = {
            "datagrams_received": [(("udp",), tally.received)],
            "received_bytes": [(("udp",), tally.received_bytes)],
            "outcomes": [((outcome,), count) for outcome, count in tally.outcomes.items()],
            "unrecognised": [((app_name,), count) for app_name, count in tally.unrecognised.items()],
            "logins": [(key, count) for key, count in tally.logins.items()],
            "peer_last_message_timestamp_seconds": [((peer,), at) for peer, at in tally.last_message.items()],
            "peer_last_login_timestamp_seconds": [((peer,), at) for peer, at in tally.last_login.items()],
            "receive_batching": [((), int(all(listener.way is not Way.PLAIN for listener in self.listeners)))],
        }
        return samples | self.committer.samples()
