"""The receiving process: sockets -> intake -> pending grants -> table, one thread for the loop and one for the commits.

Nothing is awaited between the receipt of a batch and its place among the pending grants (law 6). The pending set is merged by address
and committed as a group: at once when idle, at most every GAP_SECONDS under load, in a thread, durably. At PENDING_CAPACITY the sockets are
not read. A commit that fails (disk full) leaves its grants pending and is tried again each RETRY_SECONDS: nothing is lost but what the
kernel's buffer cannot hold. A kill costs what was pending: at most one gap and one commit.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from operator import add

import asyncio_dgram
import structlog

from syslogauth.control import BEAT_SECONDS, Control, heartbeat
from syslogauth.core.intake import Intake
from syslogauth.core.login import Closed, Grant, Opened, Refusal
from syslogauth.listeners.udp import Listener
from syslogauth.metrics import Samples, histogram
from syslogauth.table import Committed, Table, TableError

GAP_SECONDS = 0.010
RETRY_SECONDS = 1.0
PENDING_CAPACITY = 100_000
SUMMARY_SECONDS = 60.0
DRAIN_SECONDS = 2.0  # how long an ordered stop goes on reading what the kernel still holds


class Receiver:
    """`run()` ends when the parent says so or is gone. Raises only what is our own fault."""

    def __init__(self, intake: Intake, table: Table, control: Control, log: structlog.stdlib.BoundLogger) -> None:
        self.intake = intake
        self.table = table
        self.control = control
        self.log = log
        self.listeners: Sequence[Listener] = ()
        self.pending: dict[bytes, Grant] = {}
        self.sessions: list[Opened | Closed] = []  # pending with the grants, in the order of arrival
        self.committed = Committed()
        self.commit_seconds = histogram("commit_seconds")
        self.table_errors = 0
        self.table_writable = True
        self._in_commit = 0
        self._said_unescaped: set[str] = set()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, "commit")
        self._committing = asyncio.Lock()

    def held(self) -> bool:
        """Whether the sockets must not be read: the pending set is full, with what is being committed, for that may come back."""
        return self._waiting() >= PENDING_CAPACITY

    def _waiting(self) -> int:
        return len(self.pending) + len(self.sessions) + self._in_commit

    async def run(self, listeners: Sequence[Listener]) -> None:
        self.listeners = listeners
        for listener in listeners:
            await listener.open()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.control.sock, self._hear)
        self._hear()  # a stop that came with the first line wakes nobody
        tasks = [asyncio.create_task(self._receive(listener)) for listener in listeners]
        tasks += [asyncio.create_task(self._commit_as_they_come()), asyncio.create_task(self._beat())]
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # a task that ended by itself has failed: crash, and be restarted
        loop.remove_reader(self.control.sock)
        await self._finish(tasks)

    def take(self, batch: list[tuple[bytes, tuple[str, int]]]) -> None:
        """Feed a batch and add its grants to the pending ones."""
        for grant in self.intake.feed(batch, time.time()):
            waiting = self.pending.get(grant.address)
            self.pending[grant.address] = grant if waiting is None else merged(waiting, grant)
        if self.intake.sessions:
            self.sessions += self.intake.sessions
            self.intake.sessions.clear()
        if self.pending or self.sessions:
            self._wake.set()

    def stop(self) -> None:
        self._stopping.set()

    async def _receive(self, listener: Listener) -> None:
        while True:
            try:
                batch = await listener.receive()
            except asyncio_dgram.TransportClosed:
                return
            except OSError as error:  # an ICMP error that the kernel reports on the socket, say
                self.log.warning("receive failed", error=str(error))
                continue
            self.take(batch)

    async def _commit_as_they_come(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            began = time.monotonic()
            await self._commit()
            pause = GAP_SECONDS if self.table_writable else RETRY_SECONDS
            await asyncio.sleep(max(0.0, pause - (time.monotonic() - began)))
            if self.pending or self.sessions:
                self._wake.set()

    async def _commit(self) -> None:
        async with self._committing:
            await self._commit_batch()

    async def _commit_batch(self) -> None:
        batch, self.pending = self.pending, {}
        sessions, self.sessions = self.sessions, []
        self._in_commit = len(batch) + len(sessions)
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        try:
            done = await loop.run_in_executor(self._executor, self.table.commit, list(batch.values()), time.time(), sessions)
        except (TableError, OSError) as error:
            self.table_errors += 1
            if self.table_writable:
                self.log.error("table not writable; grants wait", error=str(error), waiting=len(batch))
            self.table_writable = False
            for address, grant in self.pending.items():  # what came meanwhile is later
                batch[address] = merged(batch[address], grant) if address in batch else grant
            self.pending = batch
            self.sessions = sessions + self.sessions
            return
        finally:
            self._in_commit = 0
        self.commit_seconds.observe(time.perf_counter() - began)
        if not self.table_writable:
            self.log.info("table writable again", committed=len(batch))
        self.table_writable = True
        self.committed = Committed(*map(add, self.committed, done))

    async def _beat(self) -> None:
        said, said_at = 0, -SUMMARY_SECONDS
        while True:
            unlisted, now = self.intake.tally.outcomes[Refusal.UNLISTED_PEER], time.monotonic()
            if unlisted > said and now - said_at >= SUMMARY_SECONDS:
                last = self.intake.tally.last_unlisted
                self.log.warning("refused: sender not in listen.peers", last=last, datagrams=unlisted - said)
                said, said_at = unlisted, now
            self._say_unescaped()
            self.control.send(heartbeat("receiver", self.table_writable, self._reason(), self.samples()))
            await asyncio.sleep(BEAT_SECONDS)

    def _say_unescaped(self) -> None:
        """Once a peer: its logins are lost until somebody declares what it is."""
        for peer, (sender, app_name) in self.intake.tally.unescaped.items():
            if peer not in self._said_unescaped:
                self._said_unescaped.add(peer)
                mend = f'where its syslogd escapes line feeds, say so: [[listen.source]] peers = ["{sender}"], escapes = true'
                self.log.warning("refused: logins of a server that does not escape line feeds", sender=sender, app_name=app_name, mend=mend)

    def _reason(self) -> str:
        return "" if self.table_writable else "the table cannot be written: is the disk full?"

    def _hear(self) -> None:
        messages = self.control.receive()
        if messages is None or any("stop" in message for message in messages):
            self.stop()

    async def _finish(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Read what the kernel still holds, commit, and say the last figures."""
        deadline = time.monotonic() + DRAIN_SECONDS
        async with self._committing:  # a commit on its way must bring home what failed
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self.listeners:
            while time.monotonic() < deadline and (batch := listener.drain()):
                self.take(batch)
            listener.close()
        if self.pending or self.sessions:
            await self._commit()
        if self.pending or self.sessions:
            self.log.error("stopped with grants that could not be committed", lost=len(self.pending), sessions=len(self.sessions))
        self.control.send(heartbeat("receiver", False, "stopped", self.samples()))
        self._executor.shutdown()
        with contextlib.suppress(TableError):
            self.table.close()

    def samples(self) -> Samples:
        """Every figure of this process as it stands."""
        tally = self.intake.tally
        return {
            "datagrams_received": [(("udp",), tally.received)],
            "received_bytes": [(("udp",), tally.received_bytes)],
            "outcomes": [((outcome,), count) for outcome, count in tally.outcomes.items()],
            "unrecognised": [((app_name,), count) for app_name, count in tally.unrecognised.items()],
            "logins": [(key, count) for key, count in tally.logins.items()],
            "grants": [((name,), getattr(self.committed, name)) for name in Committed._fields],
            "peer_last_message_timestamp_seconds": [((peer,), at) for peer, at in tally.last_message.items()],
            "peer_last_login_timestamp_seconds": [((peer,), at) for peer, at in tally.last_login.items()],
            "pending_grants": [((), self._waiting())],
            "pending_capacity": [((), PENDING_CAPACITY)],
            "commit_seconds": [((), self.commit_seconds.state())],
            "sessions_refused": [((), self.table.sessions_refused)],
            "table_errors": [((), self.table_errors)],
            "table_writable": [((), int(self.table_writable))],
            "receive_batching": [((), int(all(listener.batching for listener in self.listeners)))],
        }


def merged(earlier: Grant, later: Grant) -> Grant:
    """One grant of two for an address: the one that lasts longer, for rules of the policy may differ (law 5), with the logins of both."""
    longer = later if later.expires_at >= earlier.expires_at else earlier
    return replace(longer, count=earlier.count + later.count)
