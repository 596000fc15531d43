"""One batch of logins, and of openings and ends of sessions, into the table, within a transaction: who enters, who stays, who is stopped.

A denial, a flush or a revocation stops any login, a full table and the limits (limits.py) new addresses alone. Sessions come after the
logins, whose addresses they hold.
"""

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from syslogauth import changelog, denials, holds, positions
from syslogauth.core.login import Closed, Grant, Opened
from syslogauth.environment import View
from syslogauth.grants import Records, Times, by_login, login_texts
from syslogauth.limits import Brakes, Limits
from syslogauth.record import LOGIN, Bounds, ms
from syslogauth.standing import held_ms, standing


class Committed(NamedTuple):
    """What a batch of grants became."""

    new: int = 0
    refreshed: int = 0
    denied: int = 0
    revoked: int = 0
    full: int = 0
    user_limit: int = 0
    prefix_limit: int = 0
    rate_limit: int = 0


class Rules(NamedTuple):
    bounds: Bounds
    limits: Limits
    max_addresses: int


def store(
    view: View,
    rules: Rules,
    grants: Sequence[Grant],
    sessions: Iterable[Opened | Closed],
    read_to: Iterable[tuple[str, bytes]],
    now_ms: int,
) -> tuple[Committed, int]:
    """What the grants became, and how many sessions were refused. `read_to`: the positions in followed files after them."""
    records = Records(view, [grant.address for grant in grants])
    brakes = Brakes(view, records, rules.limits, rules.bounds, now_ms)
    counts, changed = _enter(view, rules, records, brakes, grants, now_ms)
    records.write()
    brakes.keep(counts["new"])
    ended, refused = _follow(view, rules, sessions, records.written, now_ms)
    changelog.append(view.txn, view.database("changes"), changed + ended)
    for path, position in read_to:
        positions.keep(view, path, position)
    return Committed(**counts), refused


def _enter(
    view: View, rules: Rules, records: Records, brakes: Brakes, grants: Sequence[Grant], now_ms: int
) -> tuple[dict[str, int], list[bytes]]:
    """What the grants became, by the names of Committed, and the addresses that entered."""
    counts, times, bounds = dict.fromkeys(Committed._fields, 0), Times(), rules.bounds
    changed: list[bytes] = []
    flushed = view.time("meta", b"flushed_at")
    denied, revoked = view.had("denies") or view.had("denied_networks"), view.had("revoked")
    room = rules.max_addresses - view.count("grants") if len(records.found) < len(grants) else 0  # asked of new addresses alone
    for address, expires_at, granted_at, service, server, user, hostname, peer, count in grants:  # by name takes 0.4 us more
        until_ms, granted_ms = times[expires_at], times[granted_at]
        said = login_texts(service, server, user, hostname, peer)
        record = records.found.get(address)
        if denied and denials.until(view, address) > now_ms:
            became = "denied"
        elif granted_ms <= flushed or (revoked and granted_ms <= view.time("revoked", address)):
            became = "revoked"
        elif record is None and room <= 0:
            became = "full"
        elif record is not None and (
            records.renew(address, now_ms, LOGIN, until_ms, granted_ms, count, said)
            or (held_ms(view, bounds, address, now_ms) > now_ms and records.renew(address, 0, LOGIN, until_ms, granted_ms, count, said))
        ):
            became = "refreshed"
        elif not (became := brakes.stop(address, crowd := by_login(user) if records.indexed else b"", counts["new"])):
            became = "new"
            records.enter(address, LOGIN, until_ms, granted_ms, count, said, crowd)
            room -= record is None
            changed.append(address)
        counts[became] += 1
    return counts, changed


def _follow(
    view: View, rules: Rules, sessions: Iterable[Opened | Closed], granted: Container[bytes], now_ms: int
) -> tuple[list[bytes], int]:
    """Take the openings and ends of sessions, as they came. Whose last session ended, for his end is earlier now; how many were refused."""
    longest_ms, most = ms(rules.bounds.held_seconds), holds.SESSIONS_AN_ADDRESS * rules.max_addresses
    ended: list[bytes] = []
    refused = 0
    for event in sessions if longest_ms else ():
        if isinstance(event, Closed):
            ended += holds.closed(view, event, now_ms)
            continue
        may_relay = event.address in granted or (
            view.get("grants", event.address) is not None and standing(view, rules.bounds, event.address, now_ms).until_ms > 0
        )
        taken, gone = holds.opened(view, event, may_relay, longest_ms, now_ms, most)
        refused += not taken
        ended += gone
    return ended, refused
