"""How an address stands: the later of its record and of what its open sessions hold, each within its bound, if it is not denied.

An address of policy.always needs neither. A record of another version is not honoured; the next login of its address overwrites it.
"""

import struct
from collections import namedtuple  # as in record.py

from syslogauth import denials, holds
from syslogauth.environment import View
from syslogauth.record import EXPIRY, FOR_EVER_MS, HELD, KINDS, VERSION, Bounds, decode, expiry


class Standing(namedtuple("Standing", ("until_ms", "look_again_ms", "unsettled", "readable"), defaults=(True,))):
    """How an address stands, in Unix ms: honoured until then (0: not), to be looked at again then (0: never, but for a change).

    `unsettled`: its record has expired, or lies beyond the bound of its kind: settle() is to put it right. Not `readable`: its record is of
    another version.
    """

    __slots__ = ()
    until_ms: int
    look_again_ms: int
    unsettled: bool
    readable: bool


def kept_bounds(view: View) -> Bounds:
    """The bounds that the daemon keeps in the table; all 0 where it has not run yet."""
    return Bounds.unpacked(view.get("meta", b"bounds") or bytes(24))


def live_until(view: View, bounds: Bounds, address: bytes, now_ms: int) -> int:
    """Until when the address may relay, Unix ms; 0 where it may not. ValueError where its record is of another version."""
    found = standing(view, bounds, address, now_ms)
    if not found.readable:
        decode(address, view.get("grants", address) or b"")
    return found.until_ms


def standing(view: View, bounds: Bounds, address: bytes, now_ms: int) -> Standing:
    until, unsettled, readable = _granted(view, bounds, address, now_ms)
    if view.had("always") and view.get("always", address) is not None:
        until, readable = FOR_EVER_MS, True
    look_again = until
    if until and (denied := denials.until(view, address)) > now_ms:
        until, look_again = 0, min(denied, until)
    return Standing(until, 0 if look_again == FOR_EVER_MS else look_again, unsettled, readable)


def lives(view: View, bounds: Bounds, address: bytes, record: bytes | None, now_ms: int) -> bool:
    """Whether its record or a session of it has not ended, be it denied or not. Not one of a newer version, after a downgrade."""
    if record is None:
        return False
    try:
        version, kind, expires_ms = EXPIRY.unpack_from(record)  # for every login: expiry() takes twice as long
    except struct.error:
        return False
    if version != VERSION or kind >= len(KINDS):
        return False
    return bool(expires_ms > now_ms or held_ms(view, bounds, address, now_ms) > now_ms)


def held_ms(view: View, bounds: Bounds, address: bytes, now_ms: int) -> int:
    """Until when open sessions hold it."""
    if not bounds.held_seconds:
        return 0
    return min(holds.held(view, address)[1], bounds.latest_ms(HELD, now_ms))


def _granted(view: View, bounds: Bounds, address: bytes, now_ms: int) -> tuple[int, bool, bool]:
    """Until when record and sessions let it relay, 0 if not; as in Standing: unsettled, readable."""
    if (record := view.get("grants", address)) is None:
        return 0, False, True
    try:
        kind, stored = expiry(record)
    except ValueError:
        return 0, False, False
    own = min(stored, bounds.latest_ms(kind, now_ms))
    until = max(own, held_ms(view, bounds, address, now_ms))
    return (until, stored > own, True) if until > now_ms else (0, True, True)
