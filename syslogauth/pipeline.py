"""What every process that takes messages in does beside reading them: intake -> pending grants -> table, a heartbeat, an ordered stop.

One thread feeds batches, another commits (committer.py). Nothing is awaited between a batch and its place among the pending grants (law 6);
while `full()`, whoever reads leaves in the kernel what is there. Each second the parent hears all figures over the control socket, and what
this process has learned of the peers' addresses; it says what others have, and when to stop. Then what still waits is read (`drain`) and
committed. What ends by itself has failed: the process dies, and is started again.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from syslogauth.committer import Committer
from syslogauth.control import BEAT_SECONDS, Control, heartbeat
from syslogauth.core.batch import Batch
from syslogauth.core.intake import Intake
from syslogauth.metrics import Samples
from syslogauth.table import Table, TableError

DRAIN_SECONDS = 2.0  # how long an ordered stop goes on reading what the kernel still holds


class Pipeline:
    """`figures` gives what its process knows beside the intake and the commits: what was received, and how. Raises only our own faults."""

    def __init__(
        self, intake: Intake, table: Table, control: Control, log: structlog.stdlib.BoundLogger, name: str, figures: Callable[[], Samples]
    ) -> None:
        self.intake = intake
        self.control = control
        self.log = log
        self.name = name
        self.figures = figures
        self.committer = Committer(table, log)
        self._known_own = set(intake.own_addresses)
        self._stopping = asyncio.Event()

    async def run(self, reading: Sequence[Coroutine[Any, Any, None]], drain: Callable[[float], None]) -> None:
        """Until the parent says stop or is gone. `reading` is done meanwhile; `drain` reads what waits, until a time (monotonic)."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.control.sock, self._hear)
        self._hear()  # a stop that came with the first line wakes nobody
        tasks = [asyncio.create_task(work) for work in (*reading, self._beat())]
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
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                drain(time.monotonic() + DRAIN_SECONDS)
            finally:
                self.committer.stop()
            await committing
        self._say_the_last()

    def stop(self) -> None:
        self._stopping.set()

    async def _stop_asked(self) -> None:
        await self._stopping.wait()

    def full(self) -> bool:
        """Whether nothing more may be read."""
        return self.committer.full()

    def take(self, batch: Batch) -> None:
        """Feed a batch, and make its grants pending."""
        grants, sessions = self.intake.feed(batch, time.time()), self.intake.sessions
        if grants or sessions:
            self.committer.add(grants, sessions)
            sessions.clear()

    async def _beat(self) -> None:
        while True:
            self._tell_own_addresses()
            self._tell_tidings()
            self.control.send(heartbeat(self.name, self.committer.writable, self.reason(), self.samples()))
            await asyncio.sleep(BEAT_SECONDS)

    def _tell_tidings(self) -> None:
        """Who has spoken for the first time here, and what was refused: the parent says it (tidings.py), once for all processes."""
        tally = self.intake.tally
        if (tally.first_senders or tally.refusals.rows) and self.control.flush():  # a parent that is stuck hears the sum of them later
            self.control.send({"first_senders": tally.first_senders, "refused": tally.refusals.take()})
            tally.first_senders = {}

    def reason(self) -> str:
        return "" if self.committer.writable else "the table cannot be written: is the disk full?"

    def _hear(self) -> None:
        messages = self.control.receive()
        for message in messages or ():
            self.learn(message.get("own_addresses", ()))
        if messages is None or any("stop" in message for message in messages):
            self.stop()

    def learn(self, own_addresses: Iterable[str]) -> None:
        """Addresses of peers that another process has seen: policy.never_own is for them too."""
        learned = set(map(bytes.fromhex, own_addresses))
        self.intake.own_addresses.update(learned)
        self._known_own |= learned

    def _tell_own_addresses(self) -> None:
        if len(self.intake.own_addresses) > len(self._known_own):
            new = self.intake.own_addresses - self._known_own
            self._known_own |= new
            self.control.send({"own_addresses": sorted(map(bytes.hex, new))})

    def _say_the_last(self) -> None:
        if self.committer.waiting():
            lost, sessions = len(self.committer.grants), len(self.committer.sessions)
            self.log.error("stopped with grants that could not be committed", lost=lost, sessions=sessions)
        self._tell_own_addresses()
        self._tell_tidings()
        self.control.send(heartbeat(self.name, False, "stopped", self.samples()))
        with contextlib.suppress(TableError):
            self.committer.table.close()

    def samples(self) -> Samples:
        """Every figure of this process as it stands."""
        tally = self.intake.tally
        samples: Samples = {
            "outcomes": [((outcome,), count) for outcome, count in tally.outcomes.items()],
            "unrecognised": [((app_name,), count) for app_name, count in tally.unrecognised.items()],
            "logins": [(key, count) for key, count in tally.logins.items()],
            "peer_clock_skew_seconds": [((peer,), seconds) for peer, seconds in tally.skews.by_peer().items()],
            "peer_datagrams": [((peer,), count) for peer, count in tally.datagrams.items()],
            "peer_last_login_timestamp_seconds": [((peer,), at) for peer, at in tally.last_login.items()],
            "peer_last_message_timestamp_seconds": [((peer,), at) for peer, at in tally.last_message.items()],
            "peer_repeated": [((peer,), count) for peer, count in tally.repeated.items()],
        }
        return samples | self.figures() | self.committer.samples()
