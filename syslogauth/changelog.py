"""The log of addresses that entered or left the table: how the exporter learns of change without reading a million records.

A database of the table's environment, written in the transaction of the change itself: sequence number (u64, big endian) -> packed address.
It keeps the last KEPT changes; a reader that is further behind is told so, and reads the whole table. A refresh is no change.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import lmdb

from syslogauth.record import U64

KEPT = 262_144


class Changes(NamedTuple):
    """What entered or left after a sequence number; `complete` is False where the log no longer reaches back that far."""

    sequence: int
    addresses: Sequence[bytes] = ()
    complete: bool = True


def append(txn: lmdb.Transaction, database: Any, addresses: Sequence[bytes]) -> None:
    """Log that these have changed, and forget what is older than KEPT."""
    if not addresses:
        return
    with txn.cursor(db=database) as cursor:
        newest = _key(cursor) if cursor.last() else 0
        cursor.putmulti([(U64.pack(newest + n), address) for n, address in enumerate(addresses, 1)], append=True)
        oldest_kept = newest + len(addresses) - KEPT
        if cursor.first():
            while _key(cursor) <= oldest_kept:
                cursor.delete()


def last(txn: lmdb.Transaction, database: Any) -> int:
    """The number of the last change; 0 where there was none."""
    with txn.cursor(db=database) as cursor:
        return _key(cursor) if cursor.last() else 0


def since(txn: lmdb.Transaction, database: Any, after: int) -> Changes:
    """What changed after that sequence number."""
    with txn.cursor(db=database) as cursor:
        newest = _key(cursor) if cursor.last() else 0
        oldest = _key(cursor) if cursor.first() else newest + 1
        if after == newest:
            return Changes(newest)
        if after > newest or oldest > after + 1:
            return Changes(newest, complete=False)
        cursor.set_range(U64.pack(after + 1))
        return Changes(newest, [bytes(value) for value in cursor.iternext(keys=False, values=True)])


def _key(cursor: lmdb.Cursor) -> int:
    return int(U64.unpack(cursor.key())[0])
