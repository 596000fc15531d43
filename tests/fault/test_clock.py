"""Invariant: whatever the wall clock does, no address is live beyond the bound of its grant, and whoever logs in after the step is granted.

The clock is stepped through the public functions, which take the time as an argument.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from syslogauth.core.login import Grant
from syslogauth.record import Bounds
from syslogauth.roster import Roster
from syslogauth.table import Committed, Table

NOW = 1_700_000_000.0
GRACE, DAY = 1800.0, 86400.0
A, B = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    opened = Table(tmp_path / "table", 1000, Bounds(GRACE, 30 * DAY))
    yield opened
    opened.close()


def log_in(table: Table, address: bytes, at: float) -> Committed:
    return table.commit([Grant(address, at + GRACE, at, "imap", "dovecot", "alice", "mail1", "mail1")], at)


def look(roster: Roster, now: float, monotonic: float) -> bool:
    changed = roster.advance(now, monotonic)
    roster.settle(now)
    return changed


def test_a_clock_that_jumps_ahead_ends_what_is_over_by_it(table: Table) -> None:
    roster = Roster(table)
    log_in(table, A, NOW)
    table.grant(B, DAY, "office", NOW)
    look(roster, NOW, 0)
    assert look(roster, NOW + GRACE + 5, 1)
    assert ({B}, 1, 1) == (roster.live, roster.expired, roster.clock_steps)
    assert Committed(new=1) == log_in(table, A, NOW + GRACE + 6)
    assert look(roster, NOW + GRACE + 6, 2)
    assert {A, B} == roster.live


def test_a_clock_that_is_set_back_leaves_no_grant_longer_than_its_bound_from_then_on(table: Table) -> None:
    roster = Roster(table)
    log_in(table, A, NOW)
    look(roster, NOW, 0)
    back = NOW - 10 * DAY
    look(roster, back, 1)
    assert ({A}, 1) == (roster.live, roster.clock_steps)
    assert back + GRACE == roster.next_due() == table.live(A, back + 1)
    assert look(roster, back + GRACE, 1 + GRACE)
    assert (set(), None) == (roster.live, table.get(A))


def test_who_logs_in_after_the_clock_was_set_back_has_the_whole_grace(table: Table) -> None:
    roster = Roster(table)
    log_in(table, A, NOW)
    look(roster, NOW, 0)
    back = NOW - DAY
    look(roster, back, 1)
    log_in(table, A, back + 60)
    log_in(table, B, back + 60)
    look(roster, back + 60, 61)
    assert {A: back + 60 + GRACE, B: back + 60 + GRACE} == {address: table.live(address, back + 61) for address in (A, B)}


def test_a_clock_that_went_wrong_and_came_back_keeps_nobody_out(table: Table) -> None:
    roster = Roster(table)
    look(roster, NOW, 0)
    wrong = NOW + 365 * DAY
    log_in(table, A, wrong)
    table.revoke(B, wrong)
    table.flush(wrong)
    look(roster, wrong, 1)
    look(roster, NOW + 2, 2)
    table.sweep(NOW + 3)  # the exporter's, once a minute
    assert Committed(new=1) == log_in(table, A, NOW + 4)
    assert Committed(new=1) == log_in(table, B, NOW + 4)
    look(roster, NOW + 4, 4)
    assert {A, B} == roster.live


def test_a_sweep_leaves_a_revocation_of_this_moment_in_force(table: Table) -> None:
    table.revoke(A, NOW + 0.5)  # by another process, since the sweep began
    table.flush(NOW + 0.5)
    table.sweep(NOW)
    assert Committed(revoked=1) == log_in(table, A, NOW + 0.5)
    assert Committed(revoked=1) == log_in(table, B, NOW + 0.5)


def test_a_denial_ends_by_the_clock_as_it_is_then(table: Table) -> None:
    roster = Roster(table)
    log_in(table, A, NOW)
    table.deny(A, NOW + 60, NOW)
    look(roster, NOW, 0)
    assert set() == roster.live
    assert look(roster, NOW + 120, 1)
    assert {A} == roster.live


@pytest.mark.parametrize("drift_seconds", [-1.5, 1.5])
def test_a_clock_that_is_slewed_is_no_step(table: Table, drift_seconds: float) -> None:
    roster = Roster(table)
    log_in(table, A, NOW)
    look(roster, NOW, 0)
    assert not look(roster, NOW + 10 + drift_seconds, 10)
    assert (0, {A}) == (roster.clock_steps, roster.live)
