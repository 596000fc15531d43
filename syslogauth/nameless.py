"""No user's name in the table (policy.store_users = false): those that are there leave it, and those of a backup do not enter.

What the receivers store in place of a name is core/policy.py's pseudonym(): 17 bytes, which stay, so that policy.max_addresses_per_user
goes on. Bytes that LMDB has set free may hold a name until they are used again.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from syslogauth.backup import Granted, Row
from syslogauth.core.policy import PSEUDONYM_BYTES
from syslogauth.environment import SLICE, Environment
from syslogauth.grants import by_user
from syslogauth.record import user_bytes, without_user


def forget_users(environment: Environment) -> int:
    """Take the names out of the records, in slices. The number of records changed. Raises TableError."""
    forgotten, rows = 0, environment.scan("grants")
    while slice_ := list(islice(rows, SLICE)):
        if not any(_name(record) for _, record in slice_):
            continue
        with environment.begin(write=True) as view:
            for address, _ in slice_:
                record = view.get("grants", address)
                if record is None or not (name := _name(record)):
                    continue
                view.put("grants", address, without_user(record))
                if view.meta(b"users") is not None:
                    view.delete("users", by_user(name) + address)
                forgotten += 1
    return forgotten


def without_users(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows of a backup that name no user."""
    for row in rows:
        yield row._replace(record=without_user(row.record)) if isinstance(row, Granted) and _name(row.record) else row


def _name(record: bytes) -> bytes:
    user = user_bytes(record)
    return b"" if user[:1] == b"#" and len(user) == PSEUDONYM_BYTES else user
