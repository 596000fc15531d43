"""The table address -> grant, in LMDB. Nothing else opens LMDB.

One environment (directory `table/`, format 0.9), opened by receiver, exporter and commands at once. Databases:

    grants    packed address (4 or 16 bytes)  -> record, see record.py
    denies    packed address                  -> until, u64
    revoked   packed address                  -> time of the revocation, u64: what was granted at or before it is void
    changes   see changelog.py
    meta      flushed_at                      -> u64; like `revoked`, for every address
              bounds                          -> see record.py

All u64 are big endian; all times are Unix milliseconds. `put` keeps the later expiry, so that logins repeat, datagrams double and
batches come again in any order with the same result. `deny` beats every grant. A mere refresh is not a change.

The map size is fixed and sparse, the same in every process: growth in one breaks the others (MapResizedError). Readers that were killed
pin pages until reader_check(). Errors are TableError: the disk is full or the directory unreadable; what was committed stays.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import lmdb

from syslogauth import changelog
from syslogauth.record import EXPIRY, FOR_EVER_MS, HEAD, U64, VERSION, Bounds, Entry, decode, encode, expiry, ms

if TYPE_CHECKING:  # `syslogauth test` imports this module, and nothing that it can do without
    from pathlib import Path

    from syslogauth.core.login import Grant

TableError = lmdb.Error
AHEAD_SECONDS = 2.0  # what lies further ahead was written before the clock was set back
SLICE = 2_000  # addresses a write transaction: a few ms, so that a flush does not hold up the receiver


class Committed(NamedTuple):
    """What a batch of grants became."""

    new: int = 0
    refreshed: int = 0
    denied: int = 0
    revoked: int = 0
    full: int = 0


class Standing(NamedTuple):
    """How an address stands, in Unix ms: honoured until then (0: not), to be looked at again then (0: never, but for a change).

    `unsettled`: its record has expired, or lies beyond the bound of its kind: settle() is to put it right. Not `readable`: its record is of
    another version.
    """

    until_ms: int
    look_again_ms: int
    unsettled: bool
    readable: bool = True


def map_size_bytes(max_addresses: int) -> int:
    """Fixed and sparse. A record takes about 230 bytes of pages (measured at a million); pinned and freed pages may double that."""
    return (64 << 20) + max_addresses * 512 // 4096 * 4096


class Table:
    """The open environment. `directory` is made (0700) where it is missing.

    A reader (`readonly`) takes the map size and the bounds from the table itself: those of the daemon. Raises TableError, OSError.
    """

    def __init__(self, directory: "Path | str", max_addresses: int = 0, bounds: Bounds | None = None, readonly: bool = False) -> None:
        self.max_addresses = max_addresses
        names = ("grants", "denies", "revoked", "changes", "meta")
        if not readonly:
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
        # lmdb 3.x bundles two engines whose files exclude each other; Debian's tools and Postfix read 0.9
        engine: dict[str, Any] = {"lib_version": 0} if int(lmdb.__version__.partition(".")[0]) >= 3 else {}
        size = 0 if readonly else map_size_bytes(max_addresses)
        options: dict[str, Any] = {"map_size": size, "max_dbs": len(names), "max_readers": 126, "mode": 0o600, **engine}
        self._env = lmdb.open(str(directory), readonly=readonly, create=not readonly, **options)
        if readonly:  # a handle that was opened in a read transaction of ours would end with it
            self._db: dict[str, Any] = {name: self._env.open_db(name.encode(), create=False) for name in names}
        else:
            with self._begin(write=True) as txn:
                self._db = {name: self._env.open_db(name.encode(), txn=txn) for name in names}
                if bounds is not None and txn.get(b"bounds", db=self._db["meta"]) is None:
                    txn.put(b"bounds", bounds.packed(), db=self._db["meta"])
        with self._begin() as txn:
            self.bounds = bounds or Bounds.unpacked(bytes(txn.get(b"bounds", bytes(24), db=self._db["meta"])))

    def close(self) -> None:
        self._env.close()

    def _begin(self, write: bool = False) -> lmdb.Transaction:
        try:
            return self._env.begin(write=write)
        except lmdb.MapResizedError:  # another process has a larger max_addresses
            self._env.set_mapsize(0)
            return self._env.begin(write=write)

    # writing

    def keep_bounds(self) -> None:
        """Make our bounds those of every reader: for the daemon, which has the configuration that counts."""
        with self._begin() as txn:
            kept = txn.get(b"bounds", db=self._db["meta"])
        if kept != self.bounds.packed():
            with self._begin(write=True) as txn:
                txn.put(b"bounds", self.bounds.packed(), db=self._db["meta"])

    def commit(self, grants: "Iterable[Grant]", now: float) -> Committed:
        """Store a batch of logins in one transaction, durable on return. Raises TableError, and then nothing of it is stored."""
        counts = dict.fromkeys(Committed._fields, 0)
        with self._begin(write=True) as txn:
            flushed = self._time(txn, "meta", b"flushed_at")
            denies, revoked = (txn.stat(self._db[name])["entries"] > 0 for name in ("denies", "revoked"))
            room = self.max_addresses - txn.stat(self._db["grants"])["entries"]
            entered = []
            for grant in grants:
                granted = ms(grant.granted_at)
                if denies and self._time(txn, "denies", grant.address) > ms(now):
                    became = "denied"
                elif granted <= flushed or (revoked and granted <= self._time(txn, "revoked", grant.address)):
                    became = "revoked"
                elif (record := self._record(txn, grant.address)) is None and room <= 0:
                    became = "full"
                else:
                    room -= record is None
                    became = "new" if self._put(txn, Entry.of(grant), record, now) else "refreshed"
                    if became == "new":
                        entered.append(grant.address)
                counts[became] += 1
            self._log(txn, entered)
        return Committed(**counts)

    def grant(self, address: bytes, seconds: float, note: str, now: float) -> bool:
        """A manual grant, at most the bound of its kind; False where the address is denied."""
        until = now + min(seconds, self.bounds.manual_seconds)
        entry = Entry(address, "manual", until, now, now, 1, "", "", note, "", "")
        with self._begin(write=True) as txn:
            if self._time(txn, "denies", address) > ms(now):
                return False
            self._put(txn, entry, self._record(txn, address), now)
            self._log(txn, [address])
        return True

    def revoke(self, address: bytes, now: float) -> bool:
        """Take the grant away, and void whatever was granted up to `now` and is still on its way. True where there was one."""
        with self._begin(write=True) as txn:
            txn.put(address, U64.pack(ms(now)), db=self._db["revoked"])
            existed = bool(txn.delete(address, db=self._db["grants"]))
            self._log(txn, [address])
        return existed

    def deny(self, address: bytes, until: float | None, now: float) -> None:
        """Refuse the address until then (None: for ever). A time that is not after `now` lifts the denial."""
        until_ms = FOR_EVER_MS if until is None else ms(until)
        with self._begin(write=True) as txn:
            if until_ms > ms(now):
                txn.put(address, U64.pack(until_ms), db=self._db["denies"])
            else:
                txn.delete(address, db=self._db["denies"])
            self._log(txn, [address])

    def flush(self, now: float) -> int:
        """Remove every grant, in slices; void those on their way. Denials stay. The number removed."""
        with self._begin(write=True) as txn:
            txn.put(b"flushed_at", U64.pack(ms(now)), db=self._db["meta"])
        removed = 0
        voided = (address for address, record in self._scan("grants") if HEAD.unpack_from(record)[4] <= ms(now))
        while addresses := list(islice(voided, SLICE)):
            with self._begin(write=True) as txn:
                left = [address for address in addresses if self._refreshed_ms(txn, address) <= ms(now)]  # a login may just have come
                removed += sum(txn.delete(address, db=self._db["grants"]) for address in left)
                self._log(txn, left)
        return removed

    def settle(self, addresses: Sequence[bytes], now: float) -> int:
        """Delete those whose time is over, and pull those back that lie beyond the bound of their kind. The number deleted."""
        deleted = 0
        for at in range(0, len(addresses), SLICE):
            with self._begin(write=True) as txn:
                left = []
                for address in addresses[at : at + SLICE]:
                    record = self._record(txn, address)
                    if record is None:
                        continue
                    kind, expires = expiry(record)
                    latest = self.bounds.latest_ms(kind, ms(now))
                    if expires <= ms(now):
                        txn.delete(address, db=self._db["grants"])
                        left.append(address)
                    elif expires > latest:
                        txn.put(address, EXPIRY.pack(VERSION, kind, latest) + record[EXPIRY.size :], db=self._db["grants"])
                self._log(txn, left)
                deleted += len(left)
        return deleted

    def sweep(self, now: float) -> None:
        """Forget denials and revocations that can no longer matter, and readers that died.

        A revocation or flush from before the clock was set back would void every login until its time comes again: it is pulled back.
        """
        self._env.reader_check()
        oldest = ms(now - max(self.bounds))
        ahead = ms(now + AHEAD_SECONDS)
        over = [("denies", address) for address, until in self._scan("denies") if U64.unpack(until)[0] <= ms(now)]
        over += [("revoked", address) for address, at in self._scan("revoked") if not oldest < U64.unpack(at)[0] <= ahead]
        over.append(("meta", b"flushed_at"))
        for at in range(0, len(over), SLICE):
            with self._begin(write=True) as txn:
                for name, key in over[at : at + SLICE]:
                    time_ms = self._time(txn, name, key)
                    if name != "denies" and time_ms > ahead:
                        txn.put(key, U64.pack(ms(now)), db=self._db[name])
                    elif time_ms <= (ms(now) if name == "denies" else oldest):
                        txn.delete(key, db=self._db[name])

    # reading

    def get(self, address: bytes) -> Entry | None:
        with self._begin() as txn:
            record = self._record(txn, address)
        return None if record is None else decode(address, record)

    def denied_until(self, address: bytes) -> float:
        """Unix seconds; 0 where the address was never denied."""
        with self._begin() as txn:
            return self._time(txn, "denies", address) / 1000

    def honoured(self, addresses: Iterable[bytes], now: float) -> list[Standing]:
        """How each address stands."""
        with self._begin() as txn:
            return [self._honoured(txn, address, ms(now)) for address in addresses]

    def live(self, address: bytes, now: float) -> float | None:
        """Until when the address may relay, Unix seconds; None where it may not. ValueError where its record is of another version."""
        standing = self.honoured((address,), now)[0]
        if not standing.readable:
            self.get(address)
        return standing.until_ms / 1000 if standing.until_ms else None

    def entries(self) -> Iterator[Entry]:
        """Every record, live or not, in the order of the addresses."""
        return (decode(address, record) for address, record in self._scan("grants"))

    def addresses(self) -> Iterator[bytes]:
        """Every address with a record, live or not."""
        return (address for address, _ in self._scan("grants"))

    def denials(self) -> Iterator[tuple[bytes, float | None]]:
        """Address and Unix seconds of the end (None: for ever) of every denial."""
        for address, value in self._scan("denies"):
            until = U64.unpack(value)[0]
            yield address, None if until == FOR_EVER_MS else until / 1000

    def sequence(self) -> int:
        """The number of the last change."""
        with self._begin() as txn:
            return changelog.last(txn, self._db["changes"])

    def changes(self, after: int) -> changelog.Changes:
        """What entered or left since sequence number `after`. An address may come twice."""
        with self._begin() as txn:
            return changelog.since(txn, self._db["changes"], after)

    def sizes(self) -> dict[str, int]:
        """entries, denies, used_bytes, map_size_bytes."""
        with self._begin() as txn:
            grants, denies = (txn.stat(self._db[name])["entries"] for name in ("grants", "denies"))
        info, page = self._env.info(), self._env.stat()["psize"]
        return {"entries": grants, "denies": denies, "used_bytes": (info["last_pgno"] + 1) * page, "map_size_bytes": info["map_size"]}

    # the parts

    def _put(self, txn: lmdb.Transaction, entry: Entry, record: bytes | None, now: float) -> bool:
        """Store the later of the two. True where the address was not live before."""
        old = None
        with contextlib.suppress(ValueError):  # as in _honoured()
            old = decode(entry.address, record) if record is not None else None
        if fresh := old is None or old.expires_at <= now:
            txn.put(entry.address, encode(entry), db=self._db["grants"])
        elif old is not None:
            txn.put(entry.address, encode(old.merged(entry)), db=self._db["grants"])
        return fresh

    def _honoured(self, txn: lmdb.Transaction, address: bytes, now_ms: int) -> Standing:
        record = self._record(txn, address)
        if record is None:
            return Standing(0, 0, unsettled=False)
        try:
            kind, stored = expiry(record)
        except ValueError:  # of a newer version, after a downgrade: not honoured, and overwritten by the next login
            return Standing(0, 0, unsettled=False, readable=False)
        until = min(stored, self.bounds.latest_ms(kind, now_ms))
        if until <= now_ms:
            return Standing(0, 0, unsettled=True)
        denied = self._time(txn, "denies", address)
        return Standing(0 if denied > now_ms else until, min(denied, until) if denied > now_ms else until, unsettled=stored > until)

    def _log(self, txn: lmdb.Transaction, addresses: Sequence[bytes]) -> None:
        changelog.append(txn, self._db["changes"], addresses)

    def _record(self, txn: lmdb.Transaction, address: bytes) -> bytes | None:
        value = txn.get(address, db=self._db["grants"])
        return None if value is None else bytes(value)

    def _refreshed_ms(self, txn: lmdb.Transaction, address: bytes) -> int:
        record = self._record(txn, address)
        return 0 if record is None else int(HEAD.unpack_from(record)[4])

    def _time(self, txn: lmdb.Transaction, name: str, key: bytes) -> int:
        value = txn.get(key, db=self._db[name])
        return 0 if value is None else int(U64.unpack(value)[0])

    def _scan(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        """A whole database, read in slices, so that no long reader pins pages."""
        after = b""
        while True:
            with self._begin() as txn, txn.cursor(db=self._db[name]) as cursor:
                found = cursor.set_range(after) if after else cursor.first()
                rows = [(bytes(key), bytes(value)) for key, value in islice(cursor.iternext(), SLICE)] if found else []
            yield from rows
            if not rows:
                return
            after = rows[-1][0] + b"\0"
