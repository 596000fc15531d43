"""Which addresses are live, kept up to date from the table's change log and from the clock, without reading the table again.

The change log says who entered or left; a heap says when somebody must be looked at again (the expiry as last seen, or the end of a
denial). A login that only refreshes a grant changes neither: it is seen when the old expiry comes. Where the log does not reach back far
enough, or the wall clock has jumped, the whole table is read anew (law 4: entries end on the wall clock, also when it is stepped).

Following only reads: on a full disk, where nothing can be deleted, grants end all the same. settle() tidies the table afterwards.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from syslogauth.table import Table

CLOCK_STEP_SECONDS = 2.0
SLICE = 2_000


@dataclass(slots=True)
class Roster:
    """The live addresses of a table. Raises TableError where the table cannot be read."""

    table: Table
    live: set[bytes] = field(default_factory=set)
    entered: list[bytes] = field(default_factory=list)  # since the caller last emptied it; not who was there at the start
    unsettled: set[bytes] = field(default_factory=set)  # for settle()
    expired: int = 0
    clock_steps: int = 0
    _due: list[tuple[int, bytes]] = field(default_factory=list)
    _sequence: int | None = None
    _clock_offset: float = 0.0

    def advance(self, now: float, monotonic: float) -> bool:
        """Bring `live` up to `now` (Unix seconds). True where it changed. After a TableError `live` is half-read until the next success."""
        offset, self._clock_offset = self._clock_offset, now - monotonic
        sequence, self._sequence = self._sequence, None  # where this fails, the next one reads the whole table
        stepped = sequence is not None and abs(self._clock_offset - offset) > CLOCK_STEP_SECONDS
        self.clock_steps += stepped
        if sequence is None or stepped or not (changes := self.table.changes(sequence)).complete:
            return self._rescan(now, first=sequence is None)
        doubtful = dict.fromkeys(changes.addresses)
        while self._due and self._due[0][0] <= now * 1000:
            doubtful[heapq.heappop(self._due)[1]] = None
        changed = self._look_at(doubtful, now, self.entered)
        self._sequence = changes.sequence
        return changed

    def settle(self, now: float) -> None:
        """Delete from the table what is over, and pull back what lies beyond its bound. To be tried again after a TableError."""
        if self.unsettled:
            self.expired += self.table.settle(list(self.unsettled), now)
            self.unsettled.clear()

    def next_due(self) -> float:
        """Unix seconds of the next moment at which the clock alone changes something; infinity where there is none."""
        return self._due[0][0] / 1000 if self._due else float("inf")

    def _rescan(self, now: float, *, first: bool) -> bool:
        before, self.live, self._due = self.live, set(), []
        sequence = self.table.sequence()  # before the reading: what changes meanwhile is looked at twice
        self._look_at(self.table.addresses(), now, [])
        self._sequence = sequence
        if not first:
            self.entered += self.live - before
        return first or self.live != before

    def _look_at(self, addresses: Iterable[bytes], now: float, entered: list[bytes]) -> bool:
        changed = False
        source = iter(addresses)
        while slice_ := list(islice(source, SLICE)):
            for address, standing in zip(slice_, self.table.honoured(slice_, now), strict=True):
                was = address in self.live
                if standing.until_ms:
                    self.live.add(address)
                else:
                    self.live.discard(address)
                if (is_live := bool(standing.until_ms)) != was:
                    changed = True
                    if is_live:
                        entered.append(address)
                if standing.look_again_ms:
                    heapq.heappush(self._due, (standing.look_again_ms, address))
                if standing.unsettled:
                    self.unsettled.add(address)
        return changed
