"""Abuse brakes: how many addresses one user, one IPv6 /64 and one minute may bring. They stop new addresses alone.

    meta  users   -> 1 while the index by user (grants.py) is being built, 2 when it is whole; without it there is none, and none is kept
          minute  -> start of the minute (u64, Unix ms), new addresses in it (u64)

Records that are over but not deleted yet do not count.
"""

from itertools import islice, takewhile
from typing import NamedTuple

from syslogauth.core.login import Grant
from syslogauth.environment import SLICE, Environment, View
from syslogauth.grants import by_user
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

    def __init__(self, view: View, limits: Limits, bounds: Bounds, now_ms: int) -> None:
        self.view = view
        self.limits = limits
        self.bounds = bounds
        self.now_ms = now_ms
        self._full: set[tuple[str, bytes]] = set()  # found so in this transaction: who tries a thousand addresses at once is counted once
        self._minute = 0, 0
        if limits.new_per_minute:
            kept = view.get("meta", b"minute") or bytes(16)
            start, new = int.from_bytes(kept[:8]), int.from_bytes(kept[8:])
            self._minute = (start, new) if start <= now_ms < start + MINUTE_MS else (now_ms, 0)

    def stop(self, grant: Grant, new: int) -> str:
        """The limit that a new address would break, as Committed names it; empty where it may enter. `new` have in this transaction."""
        limits = self.limits
        if limits.new_per_minute and self._minute[1] + new >= limits.new_per_minute:
            return "rate_limit"
        if limits.per_ipv6_64 and len(grant.address) == 16 and self._reached("grants", grant.address[:8], limits.per_ipv6_64):
            return "prefix_limit"
        user = grant.user.encode("utf-8", "replace")[:255]
        if limits.per_user and user and self._reached("users", by_user(user), limits.per_user):
            return "user_limit"
        return ""

    def keep(self, new: int) -> None:
        """Store the minute, at the end of the transaction that brought so many new addresses."""
        if self.limits.new_per_minute and new:
            self.view.put("meta", b"minute", U64.pack(self._minute[0]) + U64.pack(self._minute[1] + new))

    def _reached(self, name: str, prefix: bytes, limit: int) -> bool:
        """Whether that many live addresses begin there: keys of 16 bytes in `grants`, addresses behind the prefix in `users`."""
        if (name, prefix) in self._full:
            return True
        if len(self._keys(name, prefix, limit)) < limit:  # nearly always: no record need be read
            return False
        keys = self._keys(name, prefix, STEPS * limit)
        addresses = keys if name == "grants" else [key[len(prefix) :] for key in keys]
        live = (None for address in addresses if lives(self.view, self.bounds, address, self.view.get("grants", address), self.now_ms))
        if len(keys) < STEPS * limit and len(list(islice(live, limit))) < limit:
            return False
        self._full.add((name, prefix))
        return True

    def _keys(self, name: str, prefix: bytes, most: int) -> list[bytes]:
        return list(takewhile(lambda key: key.startswith(prefix), islice(self.view.keys_from(name, prefix), most)))


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
