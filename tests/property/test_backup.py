"""Invariants: a backup merged into an empty table makes the same table; merged again it changes nothing; two tables merged into each other
in either order are the same, and what either has revoked, flushed or denied stays so; no merge honours an expiry beyond its bound."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.backup import read
from syslogauth.core.login import Closed, Grant, Opened
from syslogauth.record import Bounds
from syslogauth.table import Table

NOW = 1_700_000_000
GRACE, MANUAL, HOLD = 100, 1000, 400
BOUNDS = Bounds(GRACE, MANUAL, HOLD + GRACE)
ADDRESSES = [bytes((192, 0, 2, n)) for n in range(1, 4)] + [bytes((0x20, 1)) + bytes(14)]
NETWORKS = [(bytes((192, 0, 2, 0)), 30), (bytes((0x20, 0)) + bytes(14), 12)]

addresses, ats = st.sampled_from(ADDRESSES), st.integers(NOW - 90, NOW)
events = st.one_of(
    st.tuples(st.just("login"), addresses, ats),
    st.tuples(st.just("grant"), addresses, ats),
    st.tuples(st.just("revoke"), addresses, ats),
    st.tuples(st.just("deny"), st.sampled_from([*((a, 8 * len(a)) for a in ADDRESSES), *NETWORKS]), ats),
    st.tuples(st.just("flush"), addresses, ats),
    st.tuples(st.just("open"), addresses, ats),
    st.tuples(st.just("close"), addresses, ats),
)
histories = st.lists(events, max_size=8, unique_by=lambda event: event[2]).map(lambda found: sorted(found, key=lambda event: event[2]))


@contextmanager
def tables(count: int) -> Iterator[list[Table]]:
    with tempfile.TemporaryDirectory() as directory:
        made = [Table(Path(directory) / str(number), 100, BOUNDS) for number in range(count)]
        try:
            yield made
        finally:
            for table in made:
                table.close()


def live_through(table: Table, history: list[tuple[str, object, int]], which: int) -> None:
    for number, (event, what, at) in enumerate(history):
        key = bytes((which, number)) * 8
        match event, what:
            case "login", bytes():
                table.commit([Grant(what, at + GRACE, at, "imap", "dovecot", f"u{number}", "mail1", "p")], at)
            case "grant", bytes():
                table.grant(what, 10 * number + 50, "by hand", at)
            case "revoke", bytes():
                table.revoke(what, at)
            case "deny", tuple():
                table.deny_network(what, None if number % 2 else at + 500, at)
            case "flush", _:
                table.flush(at)
            case "open", bytes():
                table.commit(
                    [Grant(what, at + GRACE, at, "imap", "dovecot", "s", "mail1", "p")], at, [Opened(key, what, at, at + HOLD, GRACE)]
                )
            case "close", _:
                table.commit([], at, [Closed(bytes((which, max(0, number - 1))) * 8, at)])


def history_has(history: list[tuple[str, object, int]], event: str) -> bool:
    return any(what == event for what, _, _ in history)


def text(table: Table) -> list[bytes]:
    """Without the first line, which says when it was made."""
    return list(table.backup())[1:]


def merge(into: Table, whose: Table, now: float = NOW) -> None:
    into.merge(read(list(whose.backup())), now)


@settings(max_examples=60, deadline=None)
@given(histories)
def test_a_backup_makes_the_same_table_and_the_second_merge_changes_nothing(history: list[tuple[str, object, int]]) -> None:
    with tables(2) as (one, other):
        live_through(one, history, 1)
        merge(other, one)
        assert text(one) == text(other)
        for before, after in zip(one.honoured(ADDRESSES, NOW), other.honoured(ADDRESSES, NOW), strict=True):
            assert bool(before.until_ms) is bool(after.until_ms)
            assert after.until_ms <= before.until_ms  # which may be that of a session that has ended since: a bound
            assert history_has(history, "close") or after == before
        sequence = other.sequence()
        merge(other, one)
        assert (text(one), sequence) == (text(other), other.sequence())


@settings(max_examples=60, deadline=None)
@given(histories, histories)
def test_two_tables_merged_in_either_order_are_the_same_and_what_is_void_or_denied_stays_so(
    history: list[tuple[str, object, int]], second: list[tuple[str, object, int]]
) -> None:
    with tables(4) as (one, other, there, back):
        live_through(one, history, 1)
        live_through(other, [event for event in second if event[0] not in ("open", "close")], 2)
        for target, order in ((there, (one, other)), (back, (other, one))):
            for source in order:
                merge(target, source)
        assert text(there) == text(back)
        for address in ADDRESSES:
            assert there.denied_until(address) >= max(one.denied_until(address), other.denied_until(address))
            until, mine = there.live(address, NOW), [one.live(address, NOW) or 0, other.live(address, NOW) or 0]
            assert (until or 0) <= max(*mine, *(t.held(address)[1] for t in (one, other)))


@settings(max_examples=30, deadline=None)
@given(histories, st.integers(0, 10**6))
def test_no_expiry_goes_beyond_the_bound_of_its_kind_nor_any_time_beyond_now(history: list[tuple[str, object, int]], back: int) -> None:
    now = NOW - back
    with tables(2) as (one, other):
        live_through(one, history, 1)
        merge(other, one, now)
        for entry in other.entries():
            assert entry.expires_at <= now + BOUNDS[("login", "manual", "held").index(entry.kind)]
            assert max(entry.granted_at, entry.refreshed_at) <= now
            assert (other.live(entry.address, now) or 0) <= now + max(BOUNDS)
