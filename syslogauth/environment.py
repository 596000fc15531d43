"""The LMDB environment of the table: its databases by name, its transactions, its slices.

Format 0.9 in one directory, opened by receiver, exporter and commands at once. What each database holds is said where it is written:
table.py, denials.py, holds.py, limits.py, positions.py, changelog.py. A reader of an environment that an older version made finds the
databases which that one did not know empty.

`meta` holds `format`, u64: the version of all that is stored, records included; without it it is 1. Whoever opens an environment of a
newer format is refused (NewerFormatError), and changes nothing in it: a record that is half understood would be honoured wrongly, or
lost. A later version of this program reads the records of every format before its own, each by its version byte, so that an upgrade
rewrites nothing: it raises `format` when its daemon first opens the table, and what logins renew becomes new.

The map size is fixed and sparse, the same in every process: growth in one breaks the others (MapResizedError). Readers that were killed
pin pages until reader_check(). Errors are TableError: the disk is full or the directory unreadable; what was committed stays.
"""

import os
from itertools import islice

import lmdb

from syslogauth.record import U64

TYPE_CHECKING = False  # `syslogauth test` imports this module, and nothing that it can do without: typing takes 14 ms
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

TableError = lmdb.Error
FORMAT = 1
SLICE = 2_000  # addresses a write transaction: a few ms, so that a flush does not hold up the receiver
FIRST_NAMES = ("grants", "denies", "revoked", "changes", "meta")  # in every environment since 1.0
NAMES = (*FIRST_NAMES, "denied_networks", "always", "sessions", "session_ends", "held", "users", "positions")


def map_size_bytes(max_addresses: int) -> int:
    """Fixed and sparse. For each address: a record, about 230 bytes of pages (measured at a million), a row by user, 50, and four open
    sessions, 800; pinned and freed pages may take half as much again."""
    return (64 << 20) + max_addresses * 1536 // 4096 * 4096


class NewerFormatError(lmdb.Error):
    """The environment was written by a newer version of this program. The text says what to do."""

    def __init__(self, directory: "Path | str", found: int) -> None:
        super().__init__(
            f"{directory} has format {found}, and this syslogauth knows none after {FORMAT}: run the newer syslogauth that wrote it; or "
            "move that directory away, start anew, and restore a backup: syslogauth restore FILE"
        )


def addresses_of(map_size: int) -> int:
    """How many addresses a map of that size is made for: the inverse of map_size_bytes()."""
    return max(0, -(-(map_size - (64 << 20)) // 1536))


class View:
    """One transaction, and the databases by name. A database that is not there is empty. Ends with its `with` block: see begin()."""

    __slots__ = ("_cursors", "_databases", "_had", "_once", "txn")

    def __init__(self, txn: lmdb.Transaction, databases: "Mapping[str, Any]") -> None:
        self.txn = txn
        self._databases = databases
        self._cursors: dict[str, lmdb.Cursor] = {}
        self._had: dict[str, bool] = {}
        self._once: dict[bytes, bytes | None] = {}

    def __enter__(self) -> "View":  # a generator of contextlib costs four times as much, and its import 4 ms
        return self

    def __exit__(self, *raised: "Any") -> None:
        self.txn.__exit__(*raised)

    def get(self, name: str, key: bytes) -> bytes | None:
        database = self._databases[name]
        return None if database is None else self.txn.get(key, db=database)  # type: ignore[return-value, unused-ignore] # no buffers

    def get_all(self, name: str, keys: "Collection[bytes]") -> dict[bytes, bytes]:
        """Those of the keys that are there, and their values; in a writer."""
        return dict(self.shared_cursor(name).getmulti(keys))  # type: ignore[arg-type, unused-ignore] # no buffers

    def time(self, name: str, key: bytes) -> int:
        """A stored u64; 0 where there is none."""
        found = self.get(name, key)
        return 0 if found is None else int(U64.unpack(found)[0])

    def put(self, name: str, key: bytes, value: bytes) -> None:
        self.txn.put(key, value, db=self._databases[name])

    def put_all(self, name: str, rows: "Iterable[tuple[bytes, bytes]]") -> None:
        self.shared_cursor(name).putmulti(rows)

    def delete(self, name: str, key: bytes) -> bool:
        return bool(self.txn.delete(key, db=self._databases[name]))

    def empty(self, name: str) -> None:
        self.txn.drop(self._databases[name], delete=False)

    def count(self, name: str) -> int:
        """How many rows a database has."""
        database = self._databases[name]
        return 0 if database is None else int(self.txn.stat(database)["entries"])

    def had(self, name: str) -> bool:
        """Whether a database had any row when this was first asked; costs nothing from then on."""
        if (had := self._had.get(name)) is None:
            had = self._had[name] = (
                self._databases[name] is not None and self.shared_cursor(name).first()
            )  # stat() takes eight times as long
        return had

    def meta(self, key: bytes) -> bytes | None:
        """What `meta` said when this was first asked; costs nothing from then on."""
        if key not in self._once:
            self._once[key] = self.get("meta", key)
        return self._once[key]

    def cursor(self, name: str) -> lmdb.Cursor:
        """A reader must have asked had() before: what is not there has no cursor."""
        return self.txn.cursor(db=self._databases[name])

    def shared_cursor(self, name: str) -> lmdb.Cursor:
        """One a database, moved by every method here that uses it: making one costs as much as a step of it."""
        if (cursor := self._cursors.get(name)) is None:
            cursor = self._cursors[name] = self.txn.cursor(db=self._databases[name])
        return cursor

    def keys_from(self, name: str, first: bytes) -> "Iterator[bytes]":
        """Its keys from that one on, in a writer."""
        with self.cursor(name) as cursor:
            if cursor.set_range(first):
                yield from map(bytes, cursor.iternext(keys=True, values=False))

    def database(self, name: str) -> "Any":
        return self._databases[name]


class Environment:
    """The open environment. `directory` is made (0700) where it is missing, unless `readonly`. Raises TableError, OSError.

    Without `metasync` a power cut may undo the last transaction, and no more: each one waits for the disk with its data and the root of
    the one before, instead of once more with its own. A process that is killed loses nothing either way.
    """

    def __init__(self, directory: "Path | str", max_addresses: int, readonly: bool, metasync: bool = True) -> None:
        if not readonly:
            try:  # noqa: SIM105 - contextlib takes 4 ms
                os.mkdir(directory, 0o700)
            except FileExistsError:
                pass
        # lmdb 3.x bundles two engines whose files exclude each other; Debian's tools and Postfix read 0.9
        engine: dict[str, Any] = {"lib_version": 0} if int(lmdb.__version__.partition(".")[0]) >= 3 else {}
        size = 0 if readonly else map_size_bytes(max_addresses)  # a reader takes it from the file
        options: dict[str, Any] = {
            "map_size": size,
            "max_dbs": len(NAMES),
            "max_readers": 126,
            "mode": 0o600,
            "metasync": metasync,
            **engine,
        }
        self._env = lmdb.open(str(directory), readonly=readonly, create=not readonly, **options)
        self._databases: dict[str, Any] = dict.fromkeys(NAMES)
        if readonly:  # a handle that was opened in a read transaction of ours would end with it
            for name in NAMES:
                try:
                    self._databases[name] = self._env.open_db(name.encode(), create=False)
                except lmdb.NotFoundError:
                    if name in FIRST_NAMES:
                        raise
            with self._transaction(write=False) as txn:
                self._check_format(txn, directory)
        else:
            with self._transaction(write=True) as txn:
                self._databases["meta"] = self._env.open_db(b"meta", txn=txn)
                if not self._check_format(txn, directory):
                    txn.put(b"format", U64.pack(FORMAT), db=self._databases["meta"])
                self._databases = {name: self._env.open_db(name.encode(), txn=txn) for name in NAMES}

    def _check_format(self, txn: lmdb.Transaction, directory: "Path | str") -> bool:
        """Whether it says what its format is."""
        kept = txn.get(b"format", db=self._databases["meta"])
        if kept is not None and (found := int.from_bytes(kept)) > FORMAT:
            raise NewerFormatError(directory, found)
        return kept is not None

    def close(self) -> None:
        self._env.close()

    def copy(self, directory: "Path | str") -> None:
        """Copy it as it is at one moment into an empty directory, without the pages that are free."""
        self._env.copy(str(directory), compact=True)

    def begin(self, write: bool = False) -> View:
        """A transaction; durable where its block ends, nothing of it is kept where the block raises."""
        return View(self._transaction(write), self._databases)

    def _transaction(self, write: bool) -> lmdb.Transaction:
        try:
            return self._env.begin(write=write)
        except lmdb.MapResizedError:  # another process has a larger max_addresses
            self._env.set_mapsize(0)
            return self._env.begin(write=write)

    def scan(self, name: str, first: bytes = b"", last: bytes | None = None) -> "Iterator[tuple[bytes, bytes]]":
        """The rows of a database from key `first` to key `last`, read in slices, so that no long reader pins pages."""
        after = first
        while True:
            with self.begin() as view:
                if not view.had(name):
                    return
                with view.cursor(name) as cursor:
                    found = cursor.set_range(after) if after else cursor.first()
                    rows = [(bytes(key), bytes(value)) for key, value in islice(cursor.iternext(), SLICE)] if found else []
            for key, value in rows:
                if last is not None and key > last:
                    return
                yield key, value
            if not rows:
                return
            after = rows[-1][0] + b"\0"

    def reader_check(self) -> None:
        """Free the pages that readers which died have pinned."""
        self._env.reader_check()

    def used_bytes(self) -> tuple[int, int]:
        """Bytes in use, and the size at which the table is full."""
        info = self._env.info()
        return (info["last_pgno"] + 1) * self._env.stat()["psize"], info["map_size"]

    def commits(self) -> int:
        """The number of the last commit of any process."""
        return int(self._env.info()["last_txnid"])
