"""Sessions that hold the grant of their address while they are open (policy.hold_while_connected).

    sessions      key of the session, 16 bytes -> opened_at, held_until, grace (u64 each), count (u32), packed address
    session_ends  held_until (u64), key        -> nothing: which session is forgotten next
    held          packed address               -> number of its rows in `sessions` (u32), the latest held_until of them (u64)

All numbers are big endian, all times Unix milliseconds, grace milliseconds. The record in `grants` stays what the logins made it; an
address is honoured until the later of its record's expiry and its held_until, neither beyond its bound, and without a record not at all.
A close moves the record's expiry to closed_at + grace, where that is later. A logout that was lost holds until held_until, and gives no
grace then.

A session that was opened at or before the revocation of its address (or a flush) is void: its `held` row went with the grant, and its
close changes nothing. Times are those of receipt; what comes earlier than the opening that its key stands for came late, and is ignored,
unless the opening lies ahead of the clock, which has been set back then.
"""

import struct
from collections import namedtuple  # as in record.py

from syslogauth.environment import View
from syslogauth.record import FOR_EVER_MS, U64, ms, prolonged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from syslogauth.core.login import Closed, Opened

SESSION = struct.Struct(">QQQI")
HELD = struct.Struct(">IQ")
SESSIONS_AN_ADDRESS = 4  # on average: a full table takes that many


class Session(namedtuple("Session", ("opened_at", "held_until", "grace", "sessions", "address"))):
    """A row of `sessions`. Times and grace in milliseconds; `sessions` counts those that share the key."""

    __slots__ = ()
    opened_at: int
    held_until: int
    grace: int
    sessions: int
    address: bytes

    def packed(self) -> bytes:
        return SESSION.pack(*self[:4]) + self.address


def held(view: View, address: bytes) -> tuple[int, int]:
    """How many sessions hold an address, and until when at most, Unix milliseconds; zeros where none does."""
    found = view.get("held", address)
    return (0, 0) if found is None else HELD.unpack(found)


def holding(view: View, packed: bytes) -> bool:
    """Whether this row of `sessions` is one that holds its address."""
    row = _unpacked(packed)
    return row.opened_at > voided_ms(view, row.address) and view.get("held", row.address) is not None


def opened(view: View, event: "Opened", may_relay: bool, longest_ms: int, now_ms: int, most: int) -> tuple[bool, list[bytes]]:
    """Take note of a session where its address may relay: whether there was room, and whose last session it ended.

    `longest_ms`: no session holds longer. At most so many rows are kept.
    """
    at = ms(event.opened_at)
    until = min(ms(event.held_until), min(at, now_ms) + longest_ms)
    old, ended = _session(view, event.key), []
    if old is not None and (old.address != event.address or old.opened_at <= voided_ms(view, old.address)):
        if at < old.opened_at <= now_ms:
            return True, []
        if _end(view, event.key, old, at):  # a process id came round: whoever had it is gone
            ended.append(old.address)
        old = None
    if not may_relay or at <= voided_ms(view, event.address) or (old is None and until <= now_ms):
        return True, ended
    if old is None and view.count("sessions") >= most:
        return False, ended
    row = Session(at, until, ms(event.grace_seconds), 1, event.address)
    if old is not None:
        view.delete("session_ends", U64.pack(old.held_until) + event.key)
        if old.held_until > now_ms:
            together = min(old.sessions + event.counted, 0xFFFFFFFF)
            row = row._replace(opened_at=max(at, old.opened_at), held_until=max(until, old.held_until), sessions=together)
    sessions, latest_ms = held(view, event.address)
    view.put("held", event.address, HELD.pack(max(1, sessions + (old is None)), max(latest_ms, row.held_until)))
    _put(view, event.key, row)
    return True, ended


def restored(view: View, key: bytes, row: Session, longest_ms: int, now_ms: int, most: int) -> str:
    """Take a session of a backup back, and say what became of it, in the words of merge.py."""
    at = min(row.opened_at, now_ms)
    until = min(row.held_until, at + longest_ms)
    if not longest_ms or until <= now_ms:
        return "over"
    if at <= voided_ms(view, row.address) or view.get("grants", row.address) is None:
        return "void"
    if _session(view, key) is not None:
        return "same"
    if view.count("sessions") >= most:
        return "full"
    sessions, latest_ms = held(view, row.address)
    view.put("held", row.address, HELD.pack(sessions + 1, max(latest_ms, until)))
    _put(view, key, row._replace(opened_at=at, held_until=until))
    return "new"


def withdrawn(view: View, key: bytes) -> None:
    """Forget a session that is about to be void."""
    row = _session(view, key)
    if row is None or row.opened_at <= voided_ms(view, row.address):
        return
    view.delete("sessions", key)
    view.delete("session_ends", U64.pack(row.held_until) + key)
    sessions, latest_ms = held(view, row.address)
    if sessions > 1:
        view.put("held", row.address, HELD.pack(sessions - 1, latest_ms))
    else:
        view.delete("held", row.address)


def closed(view: View, event: "Closed", now_ms: int) -> list[bytes]:
    """The address, where this was its last session: its end is earlier now than it was."""
    row, at = _session(view, event.key), ms(event.closed_at)
    if row is None or (row.sessions == 1 and at < row.opened_at <= now_ms):
        return []
    if row.sessions > 1 and row.opened_at > voided_ms(view, row.address):
        _prolong(view, row, at)
        view.put("sessions", event.key, row._replace(sessions=row.sessions - 1).packed())
        return []
    return [row.address] if _end(view, event.key, row, at) else []


def overdue(view: View, longest_ms: int, now_ms: int, at_most: int) -> list[bytes]:
    """For forget(): keys of `session_ends` that lie behind now, or, as the clock was set back, ahead of now + longest."""
    found: list[bytes] = []
    for first_ms, last_ms in ((0, now_ms), (now_ms + longest_ms + 1, FOR_EVER_MS)):
        for end in view.keys_from("session_ends", U64.pack(first_ms)):
            if len(found) == at_most or U64.unpack_from(end)[0] > last_ms:
                break
            found.append(end)
    return found


def forget(view: View, ends: "Iterable[bytes]", longest_ms: int, now_ms: int) -> list[bytes]:
    """Forget the sessions whose logout was lost, and pull back those ahead of the clock. Whose last one was forgotten."""
    changed = []
    for end in ends:
        view.delete("session_ends", end)
        key, row = end[8:], _session(view, end[8:])
        if row is None or row.held_until != U64.unpack_from(end)[0]:
            continue
        if row.held_until <= now_ms:
            if _end(view, key, row, None):
                changed.append(row.address)
            continue
        most_ms = now_ms + longest_ms
        _put(view, key, row._replace(opened_at=min(row.opened_at, now_ms), held_until=min(row.held_until, most_ms)))
        sessions, latest_ms = held(view, row.address)
        if sessions:
            view.put("held", row.address, HELD.pack(sessions, min(latest_ms, most_ms)))
    return changed


def forget_all(view: View) -> None:
    for name in ("sessions", "session_ends", "held"):
        view.empty(name)


def voided_ms(view: View, address: bytes) -> int:
    """What was granted or opened at or before then is void."""
    return max(view.time("meta", b"flushed_at"), view.time("revoked", address))


def _session(view: View, key: bytes) -> Session | None:
    found = view.get("sessions", key)
    if found is None:
        return None
    return _unpacked(found)


def _unpacked(packed: bytes) -> Session:
    opened_at, held_until, grace, sessions = SESSION.unpack_from(packed)
    return Session(opened_at, held_until, grace, sessions, packed[SESSION.size :])


def _put(view: View, key: bytes, row: Session) -> None:
    view.put("sessions", key, row.packed())
    view.put("session_ends", U64.pack(row.held_until) + key, b"")


def _end(view: View, key: bytes, row: Session, at_ms: int | None) -> bool:
    """Delete the row of a session that was closed then (None: it is forgotten). True where it was the last that held its address."""
    view.delete("sessions", key)
    view.delete("session_ends", U64.pack(row.held_until) + key)
    sessions, latest_ms = held(view, row.address)
    if row.opened_at <= voided_ms(view, row.address) or not sessions:
        return False
    if at_ms is not None:
        _prolong(view, row, at_ms)
    if sessions > 1:
        view.put("held", row.address, HELD.pack(sessions - 1, latest_ms))
        return False
    return view.delete("held", row.address)


def _prolong(view: View, row: Session, at_ms: int) -> None:
    """Let the record run to the close + grace; after held_until the session held nothing any more."""
    record = view.get("grants", row.address)
    if record is not None and at_ms <= row.held_until:
        view.put("grants", row.address, prolonged(row.address, record, at_ms + row.grace))
