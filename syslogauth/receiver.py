"""The receiving process: UDP sockets -> pipeline.py, which decides, commits and talks to the parent.

The event loop wakes up at the first datagram after an idle time. While more come, the sockets are read again after a pause (pace.py), not
through the loop: its way from the selector to a coroutine costs more than a hundred datagrams do. It has a turn each TURN_SECONDS for its
only other work, the heartbeat and the control socket. Nothing is awaited between the receipt of a batch and its place among the pending
grants (law 6), and while those are too many the sockets are not read.
"""

import asyncio
import time
from collections.abc import Sequence

import asyncio_dgram
import structlog

from syslogauth.control import Control
from syslogauth.core.intake import Intake
from syslogauth.listeners.pace import Pace
from syslogauth.listeners.recvmmsg import SLOTS
from syslogauth.listeners.udp import Listener, Way, granted_buffer_bytes
from syslogauth.metrics import Samples
from syslogauth.pipeline import Pipeline
from syslogauth.table import Table

TURN_SECONDS = 0.1
BATCHES_AT_ONCE = 16  # of one socket, before the next one is read


class Receiver:
    """`run()` ends when the parent says so or is gone. Raises only what is our own fault."""

    def __init__(self, intake: Intake, table: Table, control: Control, log: structlog.stdlib.BoundLogger, name: str = "receiver") -> None:
        self.intake = intake
        self.log = log
        self.control = control
        self.pipeline = Pipeline(intake, table, control, log, name, self._figures)
        self.committer = self.pipeline.committer
        self.take = self.pipeline.take
        self.learn = self.pipeline.learn
        self.stop = self.pipeline.stop
        self.listeners: Sequence[Listener] = ()
        self._pace = Pace(0)

    async def run(self, listeners: Sequence[Listener]) -> None:
        self.listeners = listeners
        self._pace = Pace(min((granted_buffer_bytes(listener.sock) for listener in listeners), default=0))
        for listener in listeners:
            await listener.open()
        await self.pipeline.run([self._receive(listener) for listener in listeners], self._drain)

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

    def _drain(self, until: float) -> None:
        """Read what the kernel still holds, before a stop."""
        for listener in self.listeners:
            while time.monotonic() < until and (batch := listener.drain()):
                self.take(batch)
            listener.close()

    def samples(self) -> Samples:
        """Every figure of this process as it stands."""
        return self.pipeline.samples()

    def _figures(self) -> Samples:
        tally = self.intake.tally
        return {
            "datagrams_received": [(("udp",), tally.received)],
            "received_bytes": [(("udp",), tally.received_bytes)],
            "receive_batching": [((), int(all(listener.way is not Way.PLAIN for listener in self.listeners)))],
        }
