"""Which addresses are live, kept up to date from the table's change log and from the clock, without reading the table again.

The change log says who entered or left; a heap says when somebody must be looked at again (the expiry as last seen, or the end of a
denial). A login that only refreshes a grant changes neither: it is seen when the old expiry comes. The end of an address's last session
is a change, after which it is to be looked at earlier than before; the later look stays in the heap, until there are too many of them.
Where the log does not reach back far enough, or the wall clock has jumped, the whole table is read anew (law 4: entries end on the wall
clock, also when it is stepped).

Following only reads: on a full disk, where nothing can be deleted, grants end all the same. settle() tidies the table afterwards.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from syslogauth.table import Standing, Table, TableError

CLOCK_STEP_SECONDS = 2.0
SLICE = 2_000
LOOKS_KEPT = 100_000  # and twice those of the last count


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
    _looks_kept: int = LOOKS_KEPT
    _sequence: int | None = None
    _read_once: bool = False
    _clock_offset: float = 0.0

    def advance(self, now: float, monotonic: float) -> bool:
        """Bring `live` up to `now` (Unix seconds). True where it changed. After a TableError `live` is as it was; see lapse()."""
        offset, self._clock_offset = self._clock_offset, now - monotonic
        sequence, self._sequence = self._sequence, None  # where this fails, the next one reads the whole table
        stepped = sequence is not None and abs(self._clock_offset - offset) > CLOCK_STEP_SECONDS
        self.clock_steps += stepped
        if sequence is None or stepped or not (changes := self.table.changes(sequence)).complete:
            return self._rescan(now)
        due = self._pop_due(now)
        doubtful = dict.fromkeys((*changes.addresses, *(address for _, address in due)))
        try:
            standings = self.table.honoured(doubtful, now)
        except (TableError, OSError):
            for entry in due:  # lapse() is to find them
                heapq.heappush(self._due, entry)
            raise
        self._sequence = changes.sequence
        return self._take(zip(doubtful, standings, strict=True))

    def lapse(self, now: float) -> bool:
        """Without the table: take out whoever was seen to end by now. Who has been refreshed since is lost until the table can be read."""
        over = {address for _, address in self._pop_due(now)} & self.live
        self.live -= over
        return bool(over)

    @property
    def known(self) -> bool:
        """Whether the table has ever been read."""
        return self._read_once

    def settle(self, now: float) -> None:
        """Delete from the table what is over, and pull back what lies beyond its bound. To be tried again after a TableError."""
        if self.unsettled:
            self.expired += self.table.settle(list(self.unsettled), now)
            self.unsettled.clear()

    def next_due(self) -> float:
        """Unix seconds of the next moment at which the clock alone changes something; infinity where there is none."""
        return self._due[0][0] / 1000 if self._due else float("inf")

    def _rescan(self, now: float) -> bool:
        sequence = self.table.sequence()  # before the reading: what changes meanwhile is looked at twice
        standings: list[tuple[bytes, Standing]] = []
        source = self.table.addresses()
        while slice_ := list(islice(source, SLICE)):
            standings += zip(slice_, self.table.honoured(slice_, now), strict=True)
        before, self.live, self._due = self.live, set(), []
        entered, self.entered = self.entered, []
        self._take(standings)
        first, self._read_once, self._sequence = not self._read_once, True, sequence
        self.entered = entered if first else entered + list(self.live - before)  # who was there at the start has not entered
        return first or self.live != before

    def _take(self, standings: Iterable[tuple[bytes, Standing]]) -> bool:
        changed = False
        for address, standing in standings:
            is_live = bool(standing.until_ms)
            if is_live != (address in self.live):
                changed = True
                (self.live.add if is_live else self.live.discard)(address)
                if is_live:
                    self.entered.append(address)
            if standing.look_again_ms:
                heapq.heappush(self._due, (standing.look_again_ms, address))
            if standing.unsettled:
                self.unsettled.add(address)
        if len(self._due) > self._looks_kept:
            self._keep_earliest()
        return changed

    def _keep_earliest(self) -> None:
        """One look for each address: it says when the next is due. Sessions that come and go would fill the memory with later ones."""
        earliest: dict[bytes, int] = {}
        for due, address in self._due:
            earliest[address] = min(due, earliest.get(address, due))
        self._due = sorted((due, address) for address, due in earliest.items())
        self._looks_kept = max(LOOKS_KEPT, 2 * len(self._due))

    def _pop_due(self, now: float) -> list[tuple[int, bytes]]:
        due = []
        while self._due and self._due[0][0] <= now * 1000:
            due.append(heapq.heappop(self._due))
        return due
