"""One record of the table: its bytes, its entry, and how far ahead its time may lie.

    offset  bytes  field
         0      1  version: 1
         1      1  kind: 0 login, 1 manual, 2 held (as yet unused: what holds a grant is kept beside it, see holds.py)
         2      8  expires_at    u64, big endian, Unix milliseconds
        10      8  granted_at    the same: when the address entered
        18      8  refreshed_at  the same: the last login
        26      4  count of logins, u32, saturating
        30      -  service, server, user (of a manual grant: the note), hostname, peer: each its length in one byte, then UTF-8
                   of at most 255 bytes

Bounds are stored in the order of their fields, u64 milliseconds. The functions here are the only ones that know all this. A record of a
version or kind that this program does not know, or that is damaged, is a ValueError wherever it is read: it is skipped, not honoured, and
overwritten by the next login of its address.
"""

import struct
from collections import namedtuple  # not typing.NamedTuple: `syslogauth test` imports this, and typing takes 14 ms of its 40

KINDS = ("login", "manual", "held")
LOGIN, MANUAL, HELD = range(3)
FOR_EVER_MS = 2**63 - 1
MAX_COUNT = 2**32 - 1
LENGTHS = [bytes((length,)) for length in range(256)]

VERSION = 1
VERSION_BYTE, MANUAL_BYTE = bytes((VERSION,)), bytes((MANUAL,))
HEAD = struct.Struct(">BBQQQI")
EXPIRY = struct.Struct(">BBQ")
U64 = struct.Struct(">Q")
TEXTS_AT = HEAD.size


class Bounds(namedtuple("Bounds", ("login_seconds", "manual_seconds", "held_seconds"), defaults=(0.0,))):
    """How far ahead an expiry may lie, by kind, in seconds (law 4): a poisoned or post-dated record ends all the same.

    `login_seconds` is the longest grace. `held_seconds` is how long a session may hold a grant, with the grace after it; 0: not at all.
    """

    __slots__ = ()
    login_seconds: float
    manual_seconds: float
    held_seconds: float

    def latest_ms(self, kind: int, now_ms: int) -> int:
        return now_ms + int(1000 * self[kind])

    def packed(self) -> bytes:
        return struct.pack(">3Q", *map(ms, self))

    @classmethod
    def unpacked(cls, stored: bytes) -> "Bounds":
        return cls(*(part / 1000 for part in struct.unpack(">3Q", stored)))


class Entry(namedtuple("Entry", "address kind expires_at granted_at refreshed_at count service server user hostname peer")):
    """One record. Times are Unix seconds; `expires_at` is as stored, before the bounds."""

    __slots__ = ()
    address: bytes
    kind: str
    expires_at: float
    granted_at: float
    refreshed_at: float
    count: int  # hides tuple.count(), which nobody asks for
    service: str
    server: str
    user: str
    hostname: str
    peer: str


def encode(entry: Entry) -> bytes:
    """The record's bytes; texts longer than 255 bytes are cut."""
    times = (ms(entry.expires_at), ms(entry.granted_at), ms(entry.refreshed_at))
    head = HEAD.pack(VERSION, KINDS.index(entry.kind), *times, min(entry.count, MAX_COUNT))
    return head + texts(entry.service, entry.server, entry.user, entry.hostname, entry.peer)


def texts(*fields: str) -> bytes:
    """Texts as a record holds them."""
    cut = (field.encode("utf-8", "replace")[:255] for field in fields)
    return b"".join(LENGTHS[len(field)] + field for field in cut)


def first(kind: int, expires_ms: int, at_ms: int, count: int, said: bytes) -> bytes:
    """The record of an address that enters at that time. `said` is what texts() makes of its five texts."""
    return HEAD.pack(VERSION, kind, expires_ms, at_ms, at_ms, min(count, MAX_COUNT)) + said


def renewed(record: bytes, live_ms: int, kind: int, expires_ms: int, at_ms: int, count: int, said: bytes) -> bytes | None:
    """The record after one more grant: the later expiry with what belongs to it, the whole span, all logins.

    None where it does not last beyond `live_ms`, is of another version, or damaged.
    """
    try:
        version, old_kind, old_expires_ms, granted_ms, refreshed_ms, old_count = HEAD.unpack_from(record)
    except struct.error:
        return None
    if version != VERSION or old_expires_ms <= live_ms or old_kind > HELD:
        return None
    if expires_ms < old_expires_ms:
        kind, expires_ms, said = old_kind, old_expires_ms, record[TEXTS_AT:]
    if at_ms < granted_ms:
        granted_ms = at_ms
    if at_ms > refreshed_ms:
        refreshed_ms = at_ms
    return HEAD.pack(VERSION, kind, expires_ms, granted_ms, refreshed_ms, min(old_count + count, MAX_COUNT)) + said


def decode(address: bytes, record: bytes) -> Entry:
    """The entry of a record. ValueError as expiry()."""
    kind, _ = expiry(record)
    _, _, expires, granted, refreshed, count = HEAD.unpack_from(record)
    fields, at = [], TEXTS_AT
    for _ in range(5):
        end = at + 1 + int.from_bytes(record[at : at + 1])
        fields.append(record[at + 1 : end].decode("utf-8", "replace"))
        at = end
    if at > len(record):
        raise ValueError(f"table record of {len(record)} bytes: damaged")
    return Entry(address, KINDS[kind], expires / 1000, granted / 1000, refreshed / 1000, count, *fields)


def expiry(record: bytes) -> tuple[int, int]:
    """Kind and stored expiry, Unix milliseconds. Raises ValueError on a version or kind that this program does not know, and on damage."""
    if len(record) < TEXTS_AT:
        raise ValueError(f"table record of {len(record)} bytes: damaged")
    version, kind, expires_at = EXPIRY.unpack_from(record)
    if version != VERSION or kind >= len(KINDS):
        what = f"version {version}" if version != VERSION else f"kind {kind}"
        raise ValueError(f"table record {what}: written by a newer syslogauth")
    return kind, expires_at


def prolonged(address: bytes, record: bytes, until_ms: int) -> bytes:
    """The record with a login's expiry then, where that is later. A manual grant that it outlasts is a login's from then on."""
    try:
        kind, stored = expiry(record)
    except ValueError:
        return record
    if stored >= until_ms:
        return record
    if kind == MANUAL:  # whose user text is a note
        return encode(decode(address, record)._replace(kind="login", expires_at=until_ms / 1000, user=""))
    return EXPIRY.pack(VERSION, LOGIN, until_ms) + record[EXPIRY.size :]


def user_bytes(record: bytes | None) -> bytes:
    """The user of a login's record, as it is stored; empty where it names none, and for a manual grant."""
    if record is None or record[:1] != VERSION_BYTE or record[1:2] == MANUAL_BYTE:
        return b""
    try:
        at = TEXTS_AT
        at += 1 + record[at]
        at += 1 + record[at]
        return record[at + 1 : at + 1 + record[at]]
    except IndexError:
        return b""


def without_user(record: bytes) -> bytes:
    """The record of a login, naming nobody."""
    at = TEXTS_AT
    at += 1 + record[at]
    at += 1 + record[at]
    return record[:at] + b"\0" + record[at + 1 + record[at] :]


def refreshed_ms(record: bytes) -> int:
    """The time of its last login; 0 where that cannot be read."""
    return int(HEAD.unpack_from(record)[4]) if record[:1] == VERSION_BYTE and len(record) >= TEXTS_AT else 0


def ms(seconds: float) -> int:
    if 0 <= seconds < 1e15:  # nearly always; min() and max() take three times as long
        return round(seconds * 1000)
    return max(0, round(min(seconds * 1000, FOR_EVER_MS)))
