"""Of a large table so much is read at a time, and so many leave at a time; nobody is lost in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from syslogauth import roster as roster_module
from syslogauth.core.login import Grant
from syslogauth.record import Bounds
from syslogauth.roster import Roster
from syslogauth.table import Table

NOW = 1_700_000_000.0
GRACE = 1800.0
A, B = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
FIRST = bytes((10, 0, 0, 1))  # comes before those of `many` in the table


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    opened = Table(tmp_path / "table", 1000, Bounds(GRACE, 86400))
    yield opened
    opened.close()


@pytest.fixture
def by_twos(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("READ_AT_ONCE", "SLICE", "DUE_AT_ONCE", "SETTLE_AT_ONCE"):
        monkeypatch.setattr(roster_module, name, 2)


def many(count: int) -> list[bytes]:
    return [bytes((192, 0, 2, n)) for n in range(count)]


def log_in(table: Table, *addresses: bytes, at: float = NOW) -> None:
    table.commit([Grant(address, at + GRACE, at, "imap", "dovecot", "alice", "mail1", "mail1") for address in addresses], at)


def follow(roster: Roster, now: float) -> bool:
    """As the exporter does, and as time goes where no clock is stepped."""
    changed = roster.advance(now, now - NOW)
    roster.settle(now)
    return changed


@pytest.mark.usefixtures("by_twos")
def test_a_large_table_is_read_in_parts_and_what_changes_meanwhile_is_not_lost(table: Table) -> None:
    log_in(table, *many(10))
    roster = Roster(table)
    assert (False, True, False) == (follow(roster, NOW), roster.reading, roster.known)
    follow(roster, NOW)
    table.revoke(many(1)[0], NOW)  # has been read
    log_in(table, FIRST)  # is before those that have been read
    while not roster.known:
        assert set() == roster.live
        changed = follow(roster, NOW)
    assert changed
    assert {FIRST, *many(10)[1:]} == roster.live
    assert ([], set()) == (roster.entered, roster.changed)


@pytest.mark.usefixtures("by_twos")
def test_who_is_known_is_followed_while_the_table_is_read_anew(table: Table) -> None:
    log_in(table, *many(10))
    roster = Roster(table)
    while not roster.known:
        follow(roster, NOW)
    roster.advance(NOW + 100, 1.0)  # the clock was stepped
    assert roster.reading
    log_in(table, FIRST, at=NOW + 101)
    table.revoke(A, NOW + 101)
    assert roster.advance(NOW + 101, 2.0)
    assert ({FIRST, A}, True) == (roster.changed, roster.reading)
    roster.changed.clear()
    while roster.reading:
        roster.advance(NOW + 101, 2.0)
    assert ({FIRST, *many(10)} - {A}, set()) == (roster.live, roster.changed)


@pytest.mark.usefixtures("by_twos")
def test_more_than_are_looked_at_at_once_leave_one_after_the_other(table: Table) -> None:
    log_in(table, *many(5))
    roster = Roster(table)
    while not roster.known:
        follow(roster, NOW)
    assert [3, 1, 0] == [(follow(roster, NOW + GRACE), len(roster.live))[1] for _ in range(3)]
    assert 5 == roster.expired


def test_looks_that_pile_up_are_cleared_by_reading_the_table(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where sessions come and go: the end of each has the address looked at again, at another time."""
    monkeypatch.setattr(roster_module, "LOOKS_KEPT", 10)
    log_in(table, A)
    roster = Roster(table)
    follow(roster, NOW)
    table.grant(B, 1000, "office", NOW)
    for second in range(1, 30):
        table.grant(B, 1000 + second, "office", NOW)
        assert not follow(roster, NOW + second) or second == 1
    assert ({A, B}, NOW + 1029, 0) == (roster.live, (table.live(B, NOW + 29)), roster.clock_steps)
    assert len(roster._known.agenda) <= 11
