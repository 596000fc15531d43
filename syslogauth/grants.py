"""The records of `grants` and whose they are, read and written together.

    users  8 bytes of BLAKE2b of the user, packed address -> nothing

A manual grant and a login without a user have no row. The index is kept by every process from the moment that its build begins
(limits.py, which asks it): where nobody asks, it costs nothing.
"""

from collections import defaultdict
from collections.abc import Collection
from functools import lru_cache
from hashlib import blake2b

from syslogauth.environment import View
from syslogauth.record import LENGTHS, TEXTS_AT, first, ms, renewed, texts, user_bytes


class Records:
    """The records of some addresses in a writer: read at once, changed here, and written at once by write().

    `said` is what texts() makes of the five texts of a grant.
    """

    def __init__(self, view: View, addresses: Collection[bytes]) -> None:
        self._view = view
        self.indexed = view.meta(b"users") is not None
        self._changed: dict[bytes, bytes] = {}
        self._rows: dict[bytes, bool] = {}  # of `users`: whether it enters or leaves
        self.found = view.get_all("grants", addresses)  # address -> record, as it will be written
        self.written: set[bytes] = set()
        # live addresses that came since the transaction began, less those that went: to each IPv6 /64 in `grants`, to each user in `users`
        self.gained = {"grants": defaultdict[bytes, int](int), "users": defaultdict[bytes, int](int)}

    def enter(self, address: bytes, kind: int, expires_ms: int, at_ms: int, count: int, said: bytes, crowd: bytes = b"") -> None:
        """Store it; what may be there is over. `crowd`: by_user() of a login's user, where records are indexed."""
        old = self.found.get(address)
        self.found[address] = self._changed[address] = first(kind, expires_ms, at_ms, count, said)
        if len(address) == 16:
            self.gained["grants"][address[:8]] += 1
        if self.indexed and old is not None and (before := user_bytes(old)):
            self._rows[by_user(before) + address] = False
        if crowd:
            self._rows[crowd + address] = True
            self.gained["users"][crowd] += 1

    def renew(self, address: bytes, live_ms: int, kind: int, expires_ms: int, at_ms: int, count: int, said: bytes) -> bool:
        """Store the later of this and what is there; False where nothing is that lasts beyond `live_ms`."""
        old = self.found.get(address)
        if old is None or (new := renewed(old, live_ms, kind, expires_ms, at_ms, count, said)) is None:
            return False
        self.found[address] = self._changed[address] = new
        if self.indexed and (said != old[TEXTS_AT:] or kind != old[1]):  # mostly not: the same user over the same server
            for user, enters in ((user_bytes(old), False), (user_bytes(new), True)):
                if user:
                    crowd = by_user(user)
                    self._rows[crowd + address] = enters
                    self.gained["users"][crowd] += 1 if enters else -1
        return True

    def put(self, address: bytes, record: bytes) -> None:
        """Store the record as it is."""
        old = self.found.get(address)
        self.found[address] = self._changed[address] = record
        for user, enters in ((user_bytes(old), False), (user_bytes(record), True)) if self.indexed else ():
            if user:
                self._rows[by_user(user) + address] = enters

    def write(self) -> None:
        self._view.put_all("grants", self._changed.items())
        if self._rows:
            self._view.put_all("users", [(row, b"") for row, enters in self._rows.items() if enters])
            for row, enters in self._rows.items():
                if not enters:
                    self._view.delete("users", row)
        self.written.update(self._changed)
        self._changed.clear()
        self._rows.clear()


class Times(dict[float, int]):
    """ms() of what was asked before: the logins of one reading of the socket share their times."""

    def __missing__(self, seconds: float) -> int:
        self[seconds] = found = ms(seconds)
        return found


def login_texts(service: str, server: str, user: str, hostname: str, peer: str) -> bytes:
    """What texts() makes of a login's, for every login: the user alone is ever new."""
    said = user.encode("utf-8", "replace")[:255]
    before, behind = _around(service, server, hostname, peer)
    return before + LENGTHS[len(said)] + said + behind


@lru_cache(1024)
def _around(service: str, server: str, hostname: str, peer: str) -> tuple[bytes, bytes]:
    return texts(service, server), texts(hostname, peer)


def delete(view: View, address: bytes) -> bool:
    """Delete its record. True where there was one."""
    record = view.get("grants", address)
    if record is None:
        return False
    if view.meta(b"users") is not None and (user := user_bytes(record)):
        view.delete("users", by_user(user) + address)
    return view.delete("grants", address)


def by_user(user: bytes) -> bytes:
    """What the keys of a user begin with in `users`."""
    return blake2b(user, digest_size=8).digest()


@lru_cache(4096)
def by_login(user: str) -> bytes:
    """by_user() of a login's user as its record will name him; empty where there is none."""
    return by_user(user.encode("utf-8", "replace")[:255]) if user else b""
