"""The time of a log line, from its own stamp: for `match` and `replay`, which read the past.

RFC 3164 stamps have neither year nor zone: they are taken as local time, in the latest year that does not put them more than a day after
`reference` (the file's own mtime, or now). So a file that runs over the turn of the year is read rightly, up to a year back. In the hour
that comes twice when clocks are set back, they are of the second one, unless that lies more than AHEAD_SECONDS after `reference`.
"""

import re
import time
from dataclasses import dataclass, field
from datetime import datetime

MONTHS = {
    name: n for n, name in enumerate((b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1)
}
BSD = re.compile(rb"([A-Z][a-z]{2}) +(\d{1,2}) (?:(\d{4}) )?(\d\d):(\d\d):(\d\d)(\.\d+)?")
DAY_SECONDS = 86400.0
AHEAD_SECONDS = 1800.0  # half of the hour: a clock may be wrong by as much


@dataclass(slots=True)
class LineClock:
    """Gives each line a time in Unix seconds; a line without a readable stamp has the time of the line before it."""

    reference: float
    last: float = field(init=False)
    _stamp: bytes | None = field(default=None, init=False)  # the last one: many lines have the same

    def __post_init__(self) -> None:
        self.last = self.reference

    def at(self, timestamp: bytes) -> float:
        """The time of a stamp as message.py found it (RFC 3164, or ISO 8601 with or without a zone)."""
        if timestamp == self._stamp:
            return self.last
        self._stamp = timestamp
        found = time_of(timestamp, self.reference)
        if found is not None:
            self.last = found
        return self.last


def time_of(timestamp: bytes, reference: float, ahead_seconds: float = DAY_SECONDS) -> float | None:
    """The time of a stamp, Unix seconds; None where it cannot be read. One without a year is of the latest that does not put it more than
    so many seconds after `reference`."""
    return _iso(timestamp, reference) if timestamp[:1].isdigit() else _bsd(timestamp, reference, reference + ahead_seconds)


def _iso(timestamp: bytes, reference: float) -> float | None:
    try:
        return _seconds(datetime.fromisoformat(timestamp.decode("ascii").replace(",", ".")), reference)
    except (ValueError, OverflowError):  # the latter of a year that this platform's mktime does not know
        return None


def _bsd(timestamp: bytes, reference: float, latest: float) -> float | None:
    parts = BSD.fullmatch(timestamp)
    if parts is None or parts[1] not in MONTHS:
        return None
    clock = (MONTHS[parts[1]], int(parts[2]), int(parts[4]), int(parts[5]), int(parts[6]))
    fraction = float(parts[7] or 0)
    if parts[3]:
        found = _local(int(parts[3]), clock, reference)
        return None if found is None else found + fraction
    last_year = time.localtime(latest).tm_year
    for year in range(last_year, last_year - 10, -1):  # 29 February: at most eight years back
        found = _local(year, clock, reference)
        if found is not None and found <= latest:
            return found + fraction
    return None


def _local(year: int, clock: tuple[int, int, int, int, int], reference: float) -> float | None:
    try:
        return _seconds(datetime(year, *clock), reference)  # noqa: DTZ001 - local time is meant
    except (ValueError, OverflowError):  # 30 February, 25 o'clock
        return None


def _seconds(moment: datetime, reference: float) -> float:
    # not mktime: of an hour that comes twice, glibc's takes the one that its last call was in
    first, second = moment.timestamp(), moment.replace(fold=1).timestamp()
    return second if first < second <= reference + AHEAD_SECONDS else first
