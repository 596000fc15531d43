"""The children of the daemon as a whole: the exporter, the receivers, and the one that reads streams; which there are, how they stand, and
what all must know that one of them has learnt.

A child that a reload takes away is remembered for its restarts, which stay counted; one that comes back is the same again.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import structlog

from syslogauth.child import Child
from syslogauth.core.address import Networks
from syslogauth.core.intake import REMEMBERED_PEERS
from syslogauth.ledger import Ledger
from syslogauth.metrics import Samples
from syslogauth.places import Backlogs, Places

BEAT_LIMIT_SECONDS = 10.0
Hear = Callable[[dict[str, Any]], None]


class Processes:
    """`heard` is what is done with what a child tells beside its figures and its peers' addresses; `gave_up` with one that cannot go on."""

    def __init__(self, ledger: Ledger, log: structlog.stdlib.BoundLogger, heard: Hear, gave_up: Callable[[Child], None]) -> None:
        self.exporter = Child("exporter", "exporter", ledger, log, gave_up=gave_up)
        self.readers: list[Child] = []
        self._ledger, self._log, self._heard, self._gave_up = ledger, log, heard, gave_up
        self._own_addresses: set[str] = set()  # of peers that were seen, packed, in hexadecimal digits
        self._pseudonym_key = os.urandom(32)  # of this life of the daemon; it is never stored
        self._known = {"exporter": self.exporter}  # every child that there ever was

    @property
    def all(self) -> list[Child]:
        return [*self.readers, self.exporter]

    def start(self, configuration: dict[str, Any], places: Places, backlogs: Backlogs, *, files: bool) -> None:
        """Keep them running from now on. `configuration` is the part of their first line that is the file's; `files`: some are followed."""

        def first() -> dict[str, Any]:
            known = {"own_addresses": sorted(self._own_addresses), "pseudonym_key": self._pseudonym_key.hex()}
            return configuration | known

        self.exporter.start(first, ())
        workers = places.workers if places.sockets else 0
        names = [f"receiver{number}" for number in range(1, workers + 1)] if workers > 1 else ["receiver"] * workers
        self.readers = [self._reader(name, "receiver") for name in names]
        for number, receiver in enumerate(self.readers):
            receiver.start(first, places.share(number))
        if backlogs.sockets or files:
            streams, tls = self._reader("streams", "streams"), backlogs.descriptors("tls")
            streams.start(lambda: first() | {"tls_sockets": tls}, backlogs.descriptors("tcp", "tls"))
            self.readers.append(streams)

    def _reader(self, name: str, role: str) -> Child:
        if name not in self._known:
            self._known[name] = Child(role, name, self._ledger, self._log, watched=True, told=self._hear, gave_up=self._gave_up)
        return self._known[name]

    async def stop_readers(self) -> None:
        await asyncio.gather(*(reader.stop("keep") for reader in self.readers))

    def forget_peers(self, listed: Networks) -> None:
        """Forget the addresses of peers that are not listed any more."""
        self._own_addresses = {text for text in self._own_addresses if bytes.fromhex(text) in listed}

    def _hear(self, teller: Child, message: dict[str, Any]) -> None:
        if "own_addresses" in message:
            self._learn(teller, message["own_addresses"])
        else:
            self._heard(message)

    def _learn(self, teller: Child, addresses: Iterable[str]) -> None:
        """A peer sends to one of them alone, but none may grant its address (policy.never_own)."""
        room = REMEMBERED_PEERS - len(self._own_addresses)
        new = list(islice((text for text in addresses if text not in self._own_addresses), room))
        self._own_addresses.update(new)
        for reader in self.readers:
            if new and reader is not teller:
                reader.tell({"own_addresses": new})

    def healthy(self) -> str | None:
        """Why not, in one line; None where each has been heard lately."""
        for child in self.all:
            if (age := time.monotonic() - child.last_beat) > BEAT_LIMIT_SECONDS:
                return f"{child.name}: no heartbeat for {age:.0f} s"
        return None

    def ready(self) -> str | None:
        """Why not, in one line; None where each does its work."""
        for child in self.all:
            if not child.ready:
                return f"{child.name}: {child.reason}"
        return self.healthy()

    def samples(self) -> Samples:
        return {
            "process_restarts": [((name,), child.restarts) for name, child in list(self._known.items())],
            "process_up": [((child.name,), int(child.up)) for child in self.all],
        }
