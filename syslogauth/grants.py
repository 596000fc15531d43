"""The records of `grants` and whose they are, written together.

    users  8 bytes of BLAKE2b of the user, packed address -> nothing

A manual grant and a login without a user have no row. The index is kept by every process from the moment that its build begins
(limits.py, which asks it): where nobody asks, it costs nothing.
"""

from hashlib import blake2b

from syslogauth.environment import View
from syslogauth.record import Entry, decode, encode, user_bytes


def put(view: View, entry: Entry, record: bytes | None, fresh: bool) -> None:
    """Store the later of the entry and the record that is there; the entry where it is `fresh`: the address was not live."""
    new = encode(entry if fresh or record is None else decode(entry.address, record).merged(entry))
    view.put("grants", entry.address, new)
    _reindex(view, entry.address, record, new)


def delete(view: View, address: bytes) -> bool:
    """Delete its record. True where there was one."""
    record = view.get("grants", address)
    _reindex(view, address, record, None)
    return record is not None and view.delete("grants", address)


def by_user(user: bytes) -> bytes:
    """What the keys of a user begin with in `users`."""
    return blake2b(user, digest_size=8).digest()


def _reindex(view: View, address: bytes, old: bytes | None, new: bytes | None) -> None:
    if view.meta(b"users") is None or (before := user_bytes(old)) == (after := user_bytes(new)):
        return
    if before:
        view.delete("users", by_user(before) + address)
    if after:
        view.put("users", by_user(after) + address, b"")
