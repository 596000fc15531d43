"""Rows of a backup (backup.py) into a table that may be at work, in slices of a few ms: law 5, so in any order and any number of times.

Of two records of an address the later expiry counts, of two denials the later end, of two revocations or flushes the later time; what was
granted at or before one is void, be it here or in the rows. No expiry goes beyond the bound of its kind (law 4), and no time beyond now.
A session that is known here stays as it is; one that is not holds its address for as long as it still may.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from syslogauth import changelog, denials, holds
from syslogauth.backup import NAMES, Denied, Flushed, Granted, Held, Revoked, Row, merged
from syslogauth.environment import SLICE, Environment, View
from syslogauth.grants import Records, delete
from syslogauth.holds import SESSION
from syslogauth.record import HEAD, MANUAL, TEXTS_AT, U64, VERSION, Bounds, expiry, ms, refreshed_ms, texts
from syslogauth.sweep import flush

ROWS_AT_ONCE = 500
OUTCOMES = ("new", "later", "same", "over", "void", "full")


class _Rules(NamedTuple):
    bounds: Bounds
    max_addresses: int
    now_ms: int


def merge(environment: Environment, bounds: Bounds, max_addresses: int, rows: Iterable[Row], now: float) -> Counter[tuple[str, str]]:
    """What became of the rows: (a value of NAMES, a word of OUTCOMES) -> how many. Raises TableError.

    new: it was not there; later: it lasts longer now than what was; same: that was as long; over: it has ended; void:
    revoked since, or without a grant; full: there was no room.
    """
    counts: Counter[tuple[str, str]] = Counter()
    rules = _Rules(bounds, max_addresses, ms(now))
    waiting = iter(rows)
    while slice_ := list(islice(waiting, ROWS_AT_ONCE)):
        _forget_sessions(environment, slice_)
        for row in slice_:
            if isinstance(row, Flushed):
                counts[NAMES[Flushed], _flush(environment, min(row.at_ms, rules.now_ms))] += 1
        with environment.begin(write=True) as view:
            one = _Slice(view, rules, slice_)
            for row in slice_:
                if not isinstance(row, Flushed):
                    counts[NAMES[type(row)], one.take(row)] += 1
            one.end()
        for network in one.networks:
            _note(environment, network)
    return counts


def _forget_sessions(environment: Environment, rows: list[Row]) -> None:
    """Those that were opened before a flush or a revocation of these rows: while it is not stored, it is known what they hold."""
    flushed = max((row.at_ms for row in rows if isinstance(row, Flushed)), default=0)
    revoked = {row.address: row.at_ms for row in rows if isinstance(row, Revoked)}
    with environment.begin() as view:
        if not (flushed or revoked) or not view.count("sessions"):
            return
    opened = ((key, SESSION.unpack_from(packed)[0], packed[SESSION.size :]) for key, packed in environment.scan("sessions"))
    void = (key for key, at, address in opened if at <= max(flushed, revoked.get(address, 0)))
    while slice_ := list(islice(void, ROWS_AT_ONCE)):
        with environment.begin(write=True) as view:
            for key in slice_:
                holds.withdrawn(view, key)


def _flush(environment: Environment, at_ms: int) -> str:
    with environment.begin() as view:
        known = view.time("meta", b"flushed_at")
    if at_ms <= known:
        return "same"
    flush(environment, at_ms)
    return "later" if known else "new"


def _note(environment: Environment, network: denials.Network) -> None:
    inside = denials.inside(environment, network)
    while slice_ := list(islice(inside, SLICE)):
        with environment.begin(write=True) as view:
            changelog.append(view.txn, view.database("changes"), slice_)


class _Slice:
    """Some rows in one transaction."""

    def __init__(self, view: View, rules: _Rules, rows: list[Row]) -> None:
        self.view, self.rules = view, rules
        self.records = Records(view, [row.address for row in rows if isinstance(row, Granted)])
        self.room = rules.max_addresses - view.count("grants")
        self.changed: list[bytes] = []
        self.networks: list[denials.Network] = []

    def take(self, row: Revoked | Denied | Granted | Held) -> str:
        """What became of it."""
        match row:
            case Granted():
                return self._grant(row)
            case Held():
                return self._hold(row)
            case Denied():
                return self._deny(row)
            case Revoked():
                return self._revoke(row)

    def end(self) -> None:
        self.records.write()
        changelog.append(self.view.txn, self.view.database("changes"), self.changed)

    def _grant(self, row: Granted) -> str:
        now_ms, (bounds, _, _) = self.rules.now_ms, self.rules
        _, kind, expires, granted, refreshed, count = HEAD.unpack_from(row.record)
        expires, granted, refreshed = min(expires, bounds.latest_ms(kind, now_ms)), min(granted, now_ms), min(refreshed, now_ms)
        if refreshed <= holds.voided_ms(self.view, row.address):
            return "void"
        if expires <= now_ms - ms(bounds.held_seconds):  # one that is over may still be held by a session, whose row comes later
            return "over"
        old = self.records.found.get(row.address)
        lasted = _expires(old)
        record = merged(old if lasted else None, HEAD.pack(VERSION, kind, expires, granted, refreshed, count) + row.record[TEXTS_AT:])
        if record == old:
            return "same"
        if old is None and self.room <= 0:
            return "full"
        self.room -= old is None
        self.records.put(row.address, record)
        if expires <= lasted:
            return "same"
        self.changed.append(row.address)
        return "later" if lasted else "new"

    def _hold(self, row: Held) -> str:
        now_ms, (bounds, most, _) = self.rules.now_ms, self.rules
        self.records.write()  # a session holds what is stored
        became = holds.restored(self.view, row.key, row.session, ms(bounds.held_seconds), now_ms, holds.SESSIONS_AN_ADDRESS * most)
        if became == "new":
            self.changed.append(row.session.address)
        return became

    def _deny(self, row: Denied) -> str:
        if row.until_ms <= self.rules.now_ms:
            return "over"
        known = denials.own(self.view, row.network)
        if known >= row.until_ms:
            return "same"
        denials.put(self.view, row.network, row.until_ms, self.rules.now_ms)
        if row.network == denials.whole(row.network[0]):
            self.changed.append(row.network[0])
        else:
            self.networks.append(row.network)
        return "later" if known else "new"

    def _revoke(self, row: Revoked) -> str:
        at_ms = min(row.at_ms, self.rules.now_ms)
        if at_ms <= (known := self.view.time("revoked", row.address)):
            return "same"
        self.view.put("revoked", row.address, U64.pack(at_ms))
        self.records.write()
        record = self.view.get("grants", row.address)
        if record is not None and refreshed_ms(record) <= at_ms:
            self.view.delete("held", row.address)
            delete(self.view, row.address)
            self.records.found.pop(row.address, None)
            self.changed.append(row.address)
        return "later" if known else "new"


def _expires(record: bytes | None) -> int:
    """When it ends, Unix milliseconds; 0 where there is none, or none that can be read."""
    try:
        return 0 if record is None else expiry(record)[1]
    except ValueError:
        return 0


def imported(addresses: Iterable[bytes], note: str, seconds: float, now: float) -> Iterator[Row]:
    """Manual grants of the addresses, for so long from now, as rows."""
    at_ms = ms(now)
    for address in addresses:
        yield Granted(address, HEAD.pack(VERSION, MANUAL, ms(now + seconds), at_ms, at_ms, 1) + texts("", "", note, "", ""))
