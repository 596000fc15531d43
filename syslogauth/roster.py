"""Which addresses are live, kept up to date from the table's change log and from the clock, without reading the table again.

The change log says who entered or left; agenda.py says when somebody must be looked at again (the expiry as last seen, or the end of a
denial). A login that only refreshes a grant changes neither: it is seen when the old expiry comes. The end of an address's last session
is a change, after which it is to be looked at earlier than before; the later look stays, until there are too many of them. Where the log
does not reach back far enough, where the wall clock has jumped, and where too many looks wait, the whole table is read anew (law 4: entries
end on the wall clock, also when it is stepped): so many addresses at a time, beside what is known, which is followed meanwhile.

Following only reads: on a full disk, where nothing can be deleted, grants end all the same. settle() tidies the table afterwards.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from syslogauth.addresses import Addresses
from syslogauth.agenda import Agenda
from syslogauth.table import Standing, Table, TableError

CLOCK_STEP_SECONDS = 2.0
SLICE = 2_000
READ_AT_ONCE = 50_000  # addresses that one advance() reads of the whole table: some 0.3 s
DUE_AT_ONCE = 50_000
SETTLE_AT_ONCE = 10_000
LOOKS_KEPT = 100_000  # and twice those of the last reading


@dataclass(slots=True)
class _Picture:
    """What is known at a sequence number of the change log; None: it is not known any more where the log was."""

    sequence: int | None = None
    live: Addresses = field(default_factory=Addresses)
    agenda: Agenda = field(default_factory=Agenda)

    def take(self, address: bytes, standing: Standing) -> bool:
        """True where it enters or leaves."""
        if standing.look_again_ms:
            self.agenda.add(standing.look_again_ms, address)
        before = len(self.live)
        (self.live.add if standing.until_ms else self.live.discard)(address)
        return len(self.live) != before


@dataclass(slots=True)
class Roster:
    """The live addresses of a table. Raises TableError where the table cannot be read."""

    table: Table
    changed: set[bytes] = field(default_factory=set)  # who entered or left since the caller last emptied it; not at the start
    entered: list[bytes] = field(default_factory=list)  # the same of who entered
    unsettled: Addresses = field(default_factory=Addresses)  # for settle()
    expired: int = 0
    clock_steps: int = 0
    _known: _Picture = field(default_factory=_Picture)
    _coming: _Picture = field(default_factory=_Picture)  # what the reading of the whole table has found up to now
    _unread: Iterator[bytes] | None = None
    _commit: int = -1  # of the table, when it was last followed
    _looks_kept: int = LOOKS_KEPT
    _read_once: bool = False
    _clock_offset: float | None = None

    @property
    def live(self) -> Addresses:
        return self._known.live

    @property
    def known(self) -> bool:
        """Whether the table has ever been read."""
        return self._read_once

    @property
    def reading(self) -> bool:
        """Whether the whole table is being read, and advance() has more to do."""
        return self._unread is not None

    def _is_idle(self, now: float) -> bool:
        """Whether nobody has written to the table since the last advance(), and nobody is due: this is cheap to know."""
        if self.reading or self._known.sequence is None or self.next_due() <= now:
            return False
        return self.table.commits() == self._commit

    def advance(self, now: float, monotonic: float) -> bool:
        """Bring `live` up to `now` (Unix seconds). True where it changed. After a TableError `live` is as it was; see lapse()."""
        offset, self._clock_offset = self._clock_offset, now - monotonic
        stepped = offset is not None and self._read_once and abs(self._clock_offset - offset) > CLOCK_STEP_SECONDS
        self.clock_steps += stepped
        if not stepped and self._is_idle(now):
            return False
        try:
            if stepped or (not self.reading and (self._known.sequence is None or len(self._known.agenda) > self._looks_kept)):
                self._begin_reading()
            changed = self._read_on(now)
            changed = self._follow(now) or changed
            if self._known.sequence is None and not self.reading:  # the log does not reach back far enough
                self._begin_reading()
                changed = self._read_on(now) or changed
            return changed
        except (TableError, OSError):
            self._known.sequence = self._unread = None  # the next one reads the whole table
            raise

    def lapse(self, now: float) -> bool:
        """Without the table: take out whoever was seen to end by now. Who has been refreshed since is lost until the table can be read."""
        over = {address for _, address in self._pop_due(now) if address in self.live}
        for address in over:
            self.live.discard(address)
        self.changed |= over
        return bool(over)

    def settle(self, now: float) -> None:
        """Delete from the table what is over, and pull back what lies beyond its bound. To be tried again after a TableError.

        SETTLE_AT_ONCE of them; `unsettled` says how many are left.
        """
        if not self.unsettled:
            return
        addresses = list(islice(self.unsettled, SETTLE_AT_ONCE))
        self.expired += self.table.settle(addresses, now)
        for address in addresses:
            self.unsettled.discard(address)

    def next_due(self) -> float:
        """Unix seconds of the next moment at which the clock alone changes something; infinity where there is none."""
        next_ms = self._known.agenda.next_ms()
        return math.inf if next_ms is None else next_ms / 1000

    def _follow(self, now: float) -> bool:
        """Whoever has changed, as the log says, or is due."""
        known, addresses, sequence = self._known, list[bytes](), self._known.sequence
        self._commit = self.table.commits()  # before the log is read
        if sequence is not None:
            changes = self.table.changes(sequence)
            addresses, sequence = list(changes.addresses), changes.sequence if changes.complete else None
        due = self._pop_due(now)
        addresses += [address for _, address in due]
        try:
            changed = self._look_at(known, addresses, now)
        except (TableError, OSError):
            for look in due:  # lapse() is to find them
                known.agenda.add(*look)
            raise
        known.sequence = sequence
        self.changed.update(changed)
        self.entered += [address for address in changed if address in known.live]
        return bool(changed)

    def _begin_reading(self) -> None:
        self._coming = _Picture(self.table.sequence())  # before the reading: what changes meanwhile is looked at twice
        self._unread = self.table.addresses()

    def _read_on(self, now: float) -> bool:
        """So much more of the whole table. True where it is read to the end, and `live` is another."""
        if self._unread is None:
            return False
        for _ in range(0, READ_AT_ONCE, SLICE):
            slice_ = list(islice(self._unread, SLICE))
            self._look_at(self._coming, slice_, now)
            if len(slice_) < SLICE:
                break
        else:
            return False
        changes = self.table.changes(self._coming.sequence or 0)
        if not changes.complete:
            self._begin_reading()
            return False
        self._look_at(self._coming, changes.addresses, now)
        self._coming.sequence = changes.sequence
        return self._adopt()

    def _adopt(self) -> bool:
        """Put what was read in the place of what was known."""
        before, self._known, self._coming, self._unread = self._known.live, self._coming, _Picture(), None
        self._looks_kept = max(LOOKS_KEPT, 2 * len(self._known.agenda))
        if not self._read_once:  # who was there at the start has not entered
            self._read_once = True
            return True
        entered = [address for address in self.live if address not in before]
        left = [address for address in before if address not in self.live]
        self.entered += entered
        self.changed.update(entered, left)
        return bool(entered or left)

    def _look_at(self, picture: _Picture, addresses: Iterable[bytes], now: float) -> list[bytes]:
        """How they stand now. Those that thereby enter or leave."""
        doubtful = dict.fromkeys(addresses)
        changed = []
        for address, standing in zip(doubtful, self.table.honoured(doubtful, now), strict=True):
            if picture.take(address, standing):
                changed.append(address)
            if standing.unsettled:
                self.unsettled.add(address)
        return changed

    def _pop_due(self, now: float) -> list[tuple[int, bytes]]:
        return self._known.agenda.pop(math.floor(now * 1000), DUE_AT_ONCE)
