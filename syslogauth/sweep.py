"""What the table forgets: records that are over, when the exporter has seen it; denials that have ended, revocations that can void
nothing any more, sessions that nobody closed, once a minute.

A revocation or flush from before the clock was set back would void every login until its time comes again: it is pulled back. All of it
in slices of SLICE rows, so that no receiver waits.
"""

from collections.abc import Sequence
from itertools import islice

from syslogauth import changelog, holds
from syslogauth.environment import SLICE, Environment
from syslogauth.grants import delete
from syslogauth.record import EXPIRY, U64, VERSION, Bounds, expiry, ms, refreshed_ms
from syslogauth.standing import held_ms, standing

AHEAD_SECONDS = 2.0  # what lies further ahead was written before the clock was set back
SETTLED_AT_ONCE = 500  # records a transaction: this goes on all day, and receivers wait meanwhile
DENIALS = ("denies", "denied_networks")


def sweep(environment: Environment, bounds: Bounds, now: float) -> None:
    """Forget what is over at `now`, Unix seconds. Raises TableError."""
    forget_sessions(environment, bounds, ms(now))  # before the revocations that void them
    oldest, ahead = ms(now - max(bounds)), ms(now + AHEAD_SECONDS)
    over = [(name, key) for name in DENIALS for key, until in environment.scan(name) if U64.unpack(until)[0] <= ms(now)]
    over += [("revoked", address) for address, at in environment.scan("revoked") if not oldest < U64.unpack(at)[0] <= ahead]
    over.append(("meta", b"flushed_at"))
    for at in range(0, len(over), SLICE):
        with environment.begin(write=True) as view:
            for name, key in over[at : at + SLICE]:
                time_ms = view.time(name, key)
                if name not in DENIALS and time_ms > ahead:
                    view.put(name, key, U64.pack(ms(now)))
                elif time_ms <= (ms(now) if name in DENIALS else oldest):
                    view.delete(name, key)
    with environment.begin() as view:  # who may always relay has no end that anybody looks for; his record has one
        always = [bytes(address) for address in view.keys_from("always", b"\0")] if view.had("always") else []
        over_too = [address for address in always if standing(view, bounds, address, ms(now)).unsettled]
    settle(environment, bounds, over_too, now)


def flush(environment: Environment, at_ms: int) -> int:
    """Void whatever was granted up to then, Unix milliseconds, and delete it. The number deleted."""
    with environment.begin(write=True) as view:
        view.put("meta", b"flushed_at", U64.pack(at_ms))
    removed = 0
    voided = (address for address, record in environment.scan("grants") if refreshed_ms(record) <= at_ms)
    while addresses := list(islice(voided, SLICE)):
        with environment.begin(write=True) as view:
            records = ((address, view.get("grants", address)) for address in addresses)  # a login may just have come
            left = [address for address, record in records if record is None or refreshed_ms(record) <= at_ms]
            removed += sum(delete(view, address) for address in left)
            changelog.append(view.txn, view.database("changes"), left)
    return removed


def settle(environment: Environment, bounds: Bounds, addresses: Sequence[bytes], now: float) -> int:
    """Delete the records whose time is over, and pull those back that lie beyond the bound of their kind. The number deleted."""
    deleted, now_ms = 0, ms(now)
    for at in range(0, len(addresses), SETTLED_AT_ONCE):
        with environment.begin(write=True) as view:
            left = []
            for address in addresses[at : at + SETTLED_AT_ONCE]:
                record = view.get("grants", address)
                if record is None:
                    continue
                try:
                    kind, expires = expiry(record)
                except ValueError:  # it is not honoured, and the next login overwrites it
                    continue
                latest = bounds.latest_ms(kind, now_ms)
                if expires > latest:
                    view.put("grants", address, EXPIRY.pack(VERSION, kind, latest) + record[EXPIRY.size :])
                elif expires <= now_ms and held_ms(view, bounds, address, now_ms) <= now_ms:
                    delete(view, address)
                    left.append(address)
            changelog.append(view.txn, view.database("changes"), left)
            deleted += len(left)
    return deleted


def forget_sessions(environment: Environment, bounds: Bounds, now_ms: int) -> None:
    """Those past their time, one by one; all of them where sessions hold nothing."""
    longest_ms = ms(bounds.held_seconds)
    while True:
        with environment.begin() as view:
            ends = holds.overdue(view, longest_ms, now_ms, SLICE)
        if not ends:
            return
        with environment.begin(write=True) as view:
            if longest_ms:
                changelog.append(view.txn, view.database("changes"), holds.forget(view, ends, longest_ms, now_ms))
            else:
                holds.forget_all(view)
