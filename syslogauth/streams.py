"""The process that reads streams: connections (connections.py) and the log files of listen.file (following.py) -> pipeline.py.

The listening sockets are the parent's: while this process restarts, connections wait in their backlog. At a stop each peer is told by a
FIN that nobody reads any more, and what the kernel still holds is read.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import structlog

from syslogauth.connections import Allowance, Connections, Tls
from syslogauth.control import Control
from syslogauth.core.batch import Batch
from syslogauth.core.intake import Intake
from syslogauth.following import POLL_SECONDS, FollowedFile, Following
from syslogauth.metrics import Samples
from syslogauth.pipeline import Pipeline
from syslogauth.table import Table

TURN_SECONDS = 0.25


class Streams:
    """`run()` ends when the parent says so or is gone. Raises only what is our own fault."""

    def __init__(
        self,
        intake: Intake,
        table: Table,
        control: Control,
        log: structlog.stdlib.BoundLogger,
        name: str,
        allowance: Allowance,
        secure: Tls | None = None,
        files: Sequence[FollowedFile] = (),
        *,
        users: bool = False,
    ) -> None:
        self.pipeline = Pipeline(intake, table, control, log, name, self._figures)
        self.connections = Connections(intake.sources, allowance, secure, self._take, self.pipeline.full, log, users=users)
        self.secure = secure
        self.following = Following(files, intake, self.pipeline.committer)
        self.received: Counter[str] = Counter()  # by transport
        self.received_bytes: Counter[str] = Counter()
        self._fault: BaseException | None = None

    async def run(self, listening: Iterable[tuple[str, socket.socket]]) -> None:
        """`listening`: transport (tcp, tls) and a listening socket that does not block."""
        asyncio.get_running_loop().set_exception_handler(self._failed)
        self.connections.listen(listening)
        await self.pipeline.run([self._tend(), *([self._follow()] if self.following.files else [])], self._drain)

    def _failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What a callback raises is our own fault, of which asyncio would make a line in the log and go on."""
        self._fault = self._fault or context.get("exception") or RuntimeError(context["message"])

    async def _tend(self) -> None:
        while self._fault is None:
            self.connections.tend()
            await asyncio.sleep(TURN_SECONDS)
        raise self._fault

    async def _follow(self) -> None:
        while True:
            more = self.following.turn()
            await asyncio.sleep(0 if more else POLL_SECONDS)

    def _take(self, transport: str, batch: Batch) -> None:
        self.received[transport] += len(batch)
        self.received_bytes[transport] += sum(batch.lengths)
        self.pipeline.take(batch)

    def _drain(self, until: float) -> None:
        self.connections.drain(until)
        self.following.turn()
        self.following.stop()

    def _figures(self) -> Samples:
        connections, ended = self.connections.open_by_transport(), self.connections.endings.counted
        samples: Samples = {
            "datagrams_received": [((transport,), self.received[transport]) for transport in connections],
            "received_bytes": [((transport,), self.received_bytes[transport]) for transport in connections],
            "stream_connections": [((transport,), count) for transport, count in connections.items()],
            "stream_connections_ended": [((transport, str(why)), count) for (transport, why), count in ended.items()],
        }
        if self.following.files:
            samples["datagrams_received"].append((("file",), self.following.received))
            samples["received_bytes"].append((("file",), self.following.received_bytes))
            samples |= self.following.samples()
        if self.secure:
            samples["tls_certificate_expiry_timestamp_seconds"] = [((name,), at) for name, at in self.secure.expiries.items()]
        return samples
