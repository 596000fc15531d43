from collections.abc import Iterator
from pathlib import Path

import pytest

from syslogauth import changelog
from syslogauth.core.login import Grant
from syslogauth.record import Bounds
from syslogauth.roster import Roster
from syslogauth.table import Table, TableError

NOW = 1_700_000_000.0
GRACE = 1800.0
A, B, C = (bytes((192, 0, 2, n)) for n in (1, 2, 3))


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    opened = Table(tmp_path / "table", 100_000, Bounds(GRACE, 86400))
    yield opened
    opened.close()


def log_in(table: Table, *addresses: bytes, at: float = NOW) -> None:
    table.commit([Grant(address, at + GRACE, at, "imap", "dovecot", "alice", "mail1", "mail1") for address in addresses], at)


def advance(roster: Roster, now: float) -> bool:
    """As the exporter does, and as time goes where no clock is stepped."""
    changed = roster.advance(now, now - NOW)
    roster.settle(now)
    return changed


def test_the_first_look_finds_who_is_live(table: Table) -> None:
    log_in(table, A, B)
    table.deny(B, None, NOW)
    roster = Roster(table)
    assert advance(roster, NOW)
    assert {A} == roster.live


def test_an_empty_table_is_a_change_at_first_and_none_afterwards(table: Table) -> None:
    roster = Roster(table)
    assert advance(roster, NOW)  # an empty map is to be written
    assert not advance(roster, NOW + 1)


def test_who_enters_and_who_is_revoked_is_seen_at_the_next_look(table: Table) -> None:
    roster = Roster(table)
    advance(roster, NOW)
    log_in(table, A, B)
    assert advance(roster, NOW + 1)
    assert {A, B} == roster.live
    table.revoke(A, NOW + 2)
    assert advance(roster, NOW + 2)
    assert {B} == roster.live


def test_grants_end_by_the_clock_alone(table: Table) -> None:
    log_in(table, A)
    log_in(table, B, at=NOW + 10)
    roster = Roster(table)
    advance(roster, NOW + 10)
    assert NOW + GRACE == roster.next_due()
    assert not advance(roster, NOW + GRACE - 0.001)
    assert advance(roster, NOW + GRACE)
    assert {B} == roster.live
    assert advance(roster, NOW + GRACE + 10)
    assert (set(), 2, float("inf")) == (roster.live, roster.expired, roster.next_due())
    assert [] == list(table.addresses())


def test_a_refresh_is_no_change_and_carries_the_grant_over_its_old_expiry(table: Table) -> None:
    log_in(table, A)
    roster = Roster(table)
    advance(roster, NOW)
    log_in(table, A, at=NOW + 100)
    assert not advance(roster, NOW + 100)
    assert not advance(roster, NOW + GRACE)
    assert ({A}, NOW + 100 + GRACE) == (roster.live, roster.next_due())
    assert advance(roster, NOW + 100 + GRACE)
    assert set() == roster.live


def test_a_denial_takes_the_address_out_and_its_end_brings_it_back(table: Table) -> None:
    log_in(table, A)
    roster = Roster(table)
    advance(roster, NOW)
    table.deny(A, NOW + 100, NOW)
    assert advance(roster, NOW)
    assert (set(), NOW + 100) == (roster.live, roster.next_due())
    assert advance(roster, NOW + 100)
    assert {A} == roster.live
    assert advance(roster, NOW + GRACE)
    assert set() == roster.live


def test_a_flush_empties_it(table: Table) -> None:
    log_in(table, *(n.to_bytes(4) for n in range(1, 5001)))
    roster = Roster(table)
    advance(roster, NOW)
    assert 5000 == len(roster.live)
    table.flush(NOW + 1)
    assert advance(roster, NOW + 1)
    assert set() == roster.live


def test_a_roster_that_is_behind_the_log_reads_the_whole_table(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelog, "KEPT", 2)
    roster = Roster(table)
    advance(roster, NOW)
    log_in(table, A)
    log_in(table, B, C)
    assert advance(roster, NOW + 1)
    assert {A, B, C} == roster.live


def test_only_who_was_not_there_before_has_entered(table: Table) -> None:
    """What is in the table at the start was published by an exporter before; who waited for it cannot be told."""
    log_in(table, A)
    roster = Roster(table)
    advance(roster, NOW)
    assert [] == roster.entered
    log_in(table, B, at=NOW + 1)
    advance(roster, NOW + 1)
    assert [B] == roster.entered
    roster.advance(NOW + 100, 1.0)  # the clock was stepped: the table is read anew
    assert [B] == roster.entered


def test_a_grant_beyond_its_bound_is_pulled_back_and_ends(table: Table) -> None:
    table.commit([Grant(A, NOW + 10 * 86400, NOW, "imap", "dovecot", "alice", "mail1", "mail1")], NOW)
    roster = Roster(table)
    advance(roster, NOW)
    assert {A} == roster.live
    entry = table.get(A)
    assert entry is not None
    assert NOW + GRACE == entry.expires_at
    assert advance(roster, NOW + GRACE)
    assert set() == roster.live


def test_a_table_that_cannot_be_tidied_does_not_keep_a_grant_alive(table: Table, tmp_path: Path) -> None:
    """As on a full disk: what can be read is followed, and what is over is deleted when that works again."""
    log_in(table, A, B)
    table.close()
    reader = Table(tmp_path / "table", readonly=True)
    roster = Roster(reader)
    assert roster.advance(NOW, 0)
    assert {A, B} == roster.live
    assert roster.advance(NOW + GRACE, GRACE)
    assert (set(), {A, B}) == (roster.live, roster.unsettled)
    with pytest.raises(TableError):
        roster.settle(NOW + GRACE)
    assert not roster.advance(NOW + GRACE + 1, GRACE + 1)
    assert {A, B} == roster.unsettled
    reader.close()
    roster.table = Table(tmp_path / "table", 100_000, Bounds(GRACE, 86400))
    roster.settle(NOW + GRACE + 2)
    assert (set(), 2, []) == (roster.unsettled, roster.expired, list(roster.table.addresses()))
    roster.table.close()


def test_after_a_failure_the_whole_table_is_read_anew_and_counts_as_changed(tmp_path: Path) -> None:
    table = Table(tmp_path / "table", 100_000, Bounds(GRACE, 86400))
    roster = Roster(table)
    log_in(table, A)
    advance(roster, NOW)
    table.revoke(A, NOW + 1)
    log_in(table, B, at=NOW + 1)
    table.close()
    with pytest.raises(TableError):
        roster.advance(NOW + 2, 2)
    roster.table = Table(tmp_path / "table", 100_000, Bounds(GRACE, 86400))
    assert advance(roster, NOW + 3)
    assert {B} == roster.live
    roster.table.close()
