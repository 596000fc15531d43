"""Which addresses are live, kept up to date from the table's change log and from the clock, without reading the table again.

The change log says who entered or left; a heap says when somebody must be looked at again (the expiry as last seen, or the end of a
denial). A login that only refreshes a grant changes neither: it is seen when the old expiry comes. Where the log does not reach back far
enough, or the wall clock has jumped, the whole table is read anew (law 4: entries end on the wall clock, also when it is stepped).
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
    entered: list[bytes] = field(default_factory=list)  # since the caller last emptied it
    expired: int = 0
    clock_steps: int = 0
    _due: list[tuple[int, bytes]] = field(default_factory=list)
    _sequence: int | None = None
    _clock_offset: float = 0.0

    def advance(self, now: float, monotonic: float) -> bool:
        """Bring `live` up to `now` (Unix seconds). True where it changed."""
        offset, self._clock_offset = self._clock_offset, now - monotonic
        if self._sequence is None:
            return self._rescan(now)
        if abs(self._clock_offset - offset) > CLOCK_STEP_SECONDS:
            self.clock_steps += 1
            return self._rescan(now)
        changes = self.table.changes(self._sequence)
        if not changes.complete:
            return self._rescan(now)
        self._sequence = changes.sequence
        doubtful = dict.fromkeys(changes.addresses)
        while self._due and self._due[0][0] <= now * 1000:
            doubtful[heapq.heappop(self._due)[1]] = None
        return self._look_at(doubtful, now) if doubtful else False

    def next_due(self) -> float:
        """Unix seconds of the next moment at which the clock alone changes something; infinity where there is none."""
        return self._due[0][0] / 1000 if self._due else float("inf")

    def _rescan(self, now: float) -> bool:
        before, self.live, self._due = self.live, set(), []
        self._sequence = self.table.sequence()  # first: what changes meanwhile is looked at twice
        self._look_at(self.table.addresses(), now)
        return self.live != before or not before

    def _look_at(self, addresses: Iterable[bytes], now: float) -> bool:
        changed = False
        source = iter(addresses)
        while slice_ := list(islice(source, SLICE)):
            unsettled = []
            for address, standing in zip(slice_, self.table.honoured(slice_, now), strict=True):
                was = address in self.live
                if standing.until_ms:
                    self.live.add(address)
                else:
                    self.live.discard(address)
                if (is_live := bool(standing.until_ms)) != was:
                    changed = True
                    if is_live:
                        self.entered.append(address)
                if standing.look_again_ms:
                    heapq.heappush(self._due, (standing.look_again_ms, address))
                if standing.unsettled:
                    unsettled.append(address)
            if unsettled:
                self.expired += self.table.settle(unsettled, now)
        return changed
