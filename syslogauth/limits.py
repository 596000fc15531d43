"""Abuse brakes: how many addresses one user, one IPv6 /64 and one minute may bring. They stop new addresses alone.

    meta  users   -> 1 while the index by user (grants.py) is being built, 2 when it is whole; without it there is none, and none is kept
          minute  -> start of the minute (u64, Unix ms), new addresses in it (u64)

Records that are over but not deleted yet do not count.
"""

from itertools import islice, takewhile
from math import inf
from typing import NamedTuple

from syslogauth.environment import SLICE, Environment, View
from syslogauth.grants import Records, by_user
from syslogauth.record import U64, Bounds, user_bytes
from syslogauth.standing import lives

BUILDING, WHOLE = b"\1", b"\2"
MINUTE_MS = 60_000
STEPS = 4  # rows that are looked at for each that may count: more of them over, and nothing tidies the table, nor writes a map


class Limits(NamedTuple):
    """How many live addresses a user and an IPv6 /64 may have, and how many new ones a minute may bring. 0: no limit."""

    per_user: int = 0
    per_ipv6_64: int = 0
    new_per_minute: int = 0


class Brakes:
    """The limits in one transaction."""

    def __init__(self, view: View, records: Records, limits: Limits, bounds: Bounds, now_ms: int) -> None:
        self.view = view
        self.limits = limits
        self._by_64 = _Crowds(view, records, "grants", limits.per_ipv6_64, bounds, now_ms)
        self._by_user = _Crowds(view, records, "users", limits.per_user, bounds, now_ms)
        self._minute = 0, 0
        if limits.new_per_minute:
            kept = view.get("meta", b"minute") or bytes(16)
            start, new = int.from_bytes(kept[:8]), int.from_bytes(kept[8:])
            self._minute = (start, new) if start <= now_ms < start + MINUTE_MS else (now_ms, 0)

    def stop(self, address: bytes, crowd: bytes, new: int) -> str:
        """The limit that a new address would break, as Committed names it; empty where it may enter.

        `crowd` is by_login() of the user; so many `new` ones have entered in this transaction.
        """
        limits = self.limits
        if limits.new_per_minute and self._minute[1] + new >= limits.new_per_minute:
            return "rate_limit"
        if limits.per_ipv6_64 and len(address) == 16 and self._by_64.full(address[:8]):
            return "prefix_limit"
        if limits.per_user and crowd and self._by_user.full(crowd):
            return "user_limit"
        return ""

    def keep(self, new: int) -> None:
        """Store the minute, at the end of the transaction that brought so many new addresses."""
        if self.limits.new_per_minute and new:
            self.view.put("meta", b"minute", U64.pack(self._minute[0]) + U64.pack(self._minute[1] + new))


class _Crowds:
    """How many live addresses begin with each prefix: keys of 16 bytes in `grants`, addresses behind the prefix in `users`.

    The rows of a prefix are counted once in a transaction; from then on that count goes with what the records gain. It is never too low,
    for a row may be over, and where it reaches the limit it is made exact. Nothing is kept between transactions: other processes write too.
    """

    def __init__(self, view: View, records: Records, name: str, limit: int, bounds: Bounds, now_ms: int) -> None:
        self._view, self._records, self._name, self._limit, self._bounds, self._now_ms = view, records, name, limit, bounds, now_ms
        self._gained = records.gained[name]
        self._counted: dict[bytes, float] = {}  # less what was gained by then; inf: the rows alone reach the limit
        self._full: set[bytes] = set()  # found so in this transaction: who tries a thousand addresses at once is counted once

    def full(self, prefix: bytes) -> bool:
        """Whether as many as the limit are there."""
        counted = self._counted.get(prefix)
        if counted is None:
            # what records gained is among the rows after they were written: then only a look at each tells
            counted = self._counted[prefix] = inf if self._records.written else self._rows(prefix)
        if counted + self._gained.get(prefix, 0) < self._limit:  # nearly always: no record need be read
            return False
        if prefix in self._full:
            return True
        self._records.write()
        live = self._live(prefix)
        if live < self._limit:
            self._counted[prefix] = live - self._gained.get(prefix, 0)
            return False
        self._counted[prefix] = inf
        self._full.add(prefix)
        return True

    def _rows(self, prefix: bytes) -> float:
        cursor, rows = self._view.shared_cursor(self._name), 0
        found = cursor.set_range(prefix)  # the bare cursor: this is asked for each new address, and there is mostly no row
        while found and cursor.key().startswith(prefix):  # type: ignore[union-attr, unused-ignore] # no buffers
            rows += 1
            if rows == self._limit:
                return inf
            found = cursor.next()
        return rows

    def _live(self, prefix: bytes) -> int:
        """How many are live, as far as is looked; the limit where there are too many rows to look at."""
        most = STEPS * self._limit
        keys = list(takewhile(lambda key: key.startswith(prefix), islice(self._view.keys_from(self._name, prefix), most)))
        addresses = keys if self._name == "grants" else [key[len(prefix) :] for key in keys]
        records = ((address, self._view.get("grants", address)) for address in addresses)
        live = (None for address, record in records if lives(self._view, self._bounds, address, record, self._now_ms))
        return sum(1 for _ in islice(live, self._limit)) if len(keys) < most else self._limit


def build(environment: Environment) -> None:
    """Index what is in the table already, once, in slices: while one is at it, the others keep what they write."""
    with environment.begin() as view:
        if view.get("meta", b"users") == WHOLE:
            return
    with environment.begin(write=True) as view:
        view.put("meta", b"users", BUILDING)
    rows = environment.scan("grants")
    while slice_ := list(islice(rows, SLICE)):
        with environment.begin(write=True) as view:
            for address, _ in slice_:
                if user := user_bytes(view.get("grants", address)):
                    view.put("users", by_user(user) + address, b"")
    with environment.begin(write=True) as view:
        view.put("meta", b"users", WHOLE)
