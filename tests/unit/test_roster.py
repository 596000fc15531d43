from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from syslogauth import changelog
from syslogauth.core.login import Grant
from syslogauth.record import Bounds
from syslogauth.roster import Roster
from syslogauth.table import Standing, Table, TableError

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


class Failing(Table):
    """A table whose environment is closed, as by a broken disk, at a step of the next reading."""

    fails_at = ""

    def _reach(self, step: str) -> None:
        if step == self.fails_at:
            self.close()

    def sequence(self) -> int:
        self._reach("the log's end")
        return super().sequence()

    def changes(self, after: int) -> changelog.Changes:
        self._reach("the log")
        return super().changes(after)

    def addresses(self) -> Iterator[bytes]:
        self._reach("the addresses")
        return super().addresses()

    def honoured(self, addresses: Sequence[bytes], now: float) -> list[Standing]:  # type: ignore[override]
        self._reach("the records")
        return super().honoured(addresses, now)


STEPS_OF_FOLLOWING = ("the log", "the records")
STEPS_OF_READING_ALL = ("the log's end", "the addresses", "the records")


def opened(tmp_path: Path) -> Failing:
    return Failing(tmp_path / "table", 100_000, Bounds(GRACE, 86400))


@pytest.mark.parametrize("step", STEPS_OF_FOLLOWING)
def test_without_the_table_who_was_seen_to_end_leaves_and_the_others_stay(tmp_path: Path, step: str) -> None:
    table = opened(tmp_path)
    log_in(table, A)
    log_in(table, B, at=NOW + 10)
    table.grant(C, 86400, "office", NOW)
    roster = Roster(table)
    advance(roster, NOW + 10)
    log_in(table, A, at=NOW + 20)  # seen by nobody before the table fails
    table.fails_at = step
    with pytest.raises(TableError):
        roster.advance(NOW + GRACE, GRACE)
    assert {A, B, C} == roster.live
    assert roster.lapse(NOW + GRACE)
    assert {B, C} == roster.live
    assert not roster.lapse(NOW + GRACE + 9.999)
    for late in (GRACE + 10, GRACE + 11):
        with pytest.raises(TableError):
            roster.advance(NOW + late, late)
        assert (late == GRACE + 10) == roster.lapse(NOW + late)
        assert {C} == roster.live
    assert NOW + 86400 == roster.next_due()
    table = roster.table = opened(tmp_path)
    assert advance(roster, NOW + GRACE + 12)
    assert {A, C} == roster.live  # the login that nobody had seen
    assert A in roster.entered
    table.close()


def test_without_the_table_the_end_of_a_denial_lets_nobody_in_and_changes_nothing(tmp_path: Path) -> None:
    table = opened(tmp_path)
    log_in(table, A)
    table.deny(A, NOW + 100, NOW)
    roster = Roster(table)
    advance(roster, NOW)
    table.fails_at = "the log"
    with pytest.raises(TableError):
        roster.advance(NOW + 100, 100)
    assert (False, set()) == (roster.lapse(NOW + 100), roster.live)
    table = roster.table = opened(tmp_path)
    assert advance(roster, NOW + 101)
    assert {A} == roster.live
    table.close()


@pytest.mark.parametrize("step", STEPS_OF_READING_ALL)
def test_a_reading_of_all_that_fails_leaves_who_is_live_as_it_was(tmp_path: Path, step: str) -> None:
    table = opened(tmp_path)
    log_in(table, A)
    table.grant(B, 86400, "office", NOW)
    roster = Roster(table)
    advance(roster, NOW)
    table.revoke(B, NOW + 1)
    log_in(table, C, at=NOW + 1)
    table.fails_at = step
    with pytest.raises(TableError):
        roster.advance(NOW + 100, 1)  # the clock was stepped
    assert ({A, B}, [], True, NOW + GRACE) == (roster.live, roster.entered, roster.known, roster.next_due())
    assert roster.lapse(NOW + GRACE)
    assert {B} == roster.live
    table = roster.table = opened(tmp_path)
    assert advance(roster, NOW + 102)
    assert ({A, C}, {A, C}) == (roster.live, set(roster.entered))
    table.close()


@pytest.mark.parametrize("step", STEPS_OF_READING_ALL)
def test_a_table_that_was_never_read_is_not_known(tmp_path: Path, step: str) -> None:
    table = opened(tmp_path)
    log_in(table, A)
    roster = Roster(table)
    table.fails_at = step
    with pytest.raises(TableError):
        roster.advance(NOW, 0)
    assert (False, set(), False) == (roster.known, roster.live, roster.lapse(NOW + GRACE))
    table = roster.table = opened(tmp_path)
    assert advance(roster, NOW)
    assert (True, {A}, []) == (roster.known, roster.live, roster.entered)
    table.close()
