"""Addresses of policy.always: in the map for ever, with or without a record."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from syslogauth.changelog import Changes
from syslogauth.core.login import Grant
from syslogauth.record import FOR_EVER_MS, Bounds
from syslogauth.roster import Roster
from syslogauth.table import Committed, Standing, Table

NOW = 1_700_000_000.0
GRACE = 1800.0
A, B, C = (bytes((192, 0, 2, n)) for n in (1, 2, 3))
FOR_EVER = Standing(FOR_EVER_MS, 0, unsettled=False)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    opened = Table(tmp_path / "table", 1, Bounds(GRACE, 86400))
    yield opened
    opened.close()


def log_in(table: Table, address: bytes, at: float = NOW) -> Committed:
    return table.commit([Grant(address, at + GRACE, at, "imap", "dovecot", "alice", "mail1", "mail1")], at)


def test_an_address_without_a_record_is_honoured_for_ever(table: Table) -> None:
    table.keep_always({A: "the office", B: "Büro"})
    assert [FOR_EVER, FOR_EVER, Standing(0, 0, unsettled=False)] == table.honoured([A, B, C], NOW)
    assert table.live(A, NOW + 1e9)
    assert {A: "the office", B: "Büro"} == table.always()
    assert [A, B] == list(table.addresses())
    assert [] == list(table.entries())


def test_a_denial_beats_it_and_its_end_brings_it_back(table: Table) -> None:
    table.keep_always({A: ""})
    table.deny(A, NOW + 100, NOW)
    assert [Standing(0, round((NOW + 100) * 1000), unsettled=False)] == table.honoured([A], NOW)
    assert [FOR_EVER] == table.honoured([A], NOW + 100)
    table.deny_network((bytes((192, 0, 2, 0)), 24), None, NOW)
    assert [Standing(0, 0, unsettled=False)] == table.honoured([A], NOW + 100)


def test_they_do_not_count_towards_the_limit_of_addresses(table: Table) -> None:
    table.keep_always({A: "", B: ""})
    assert 0 == table.sizes()["entries"]
    assert Committed(new=1) == log_in(table, C)


def test_neither_revocation_nor_flush_ends_it(table: Table) -> None:
    table.keep_always({A: ""})
    log_in(table, A)
    table.revoke(A, NOW + 1)
    table.flush(NOW + 2)
    assert [FOR_EVER] == table.honoured([A], NOW + 2)


def test_exactly_those_that_are_named_are_kept_and_who_comes_or_goes_has_changed(table: Table) -> None:
    table.keep_always({A: "one", B: "two"})
    assert {A, B} == set(table.changes(0).addresses)
    table.keep_always({A: "one", B: "two"})
    assert Changes(2) == table.changes(2)
    table.keep_always({B: "three", C: "four"})
    assert {A, C} == set(table.changes(2).addresses)
    assert {B: "three", C: "four"} == table.always()
    table.keep_always({})
    assert {} == table.always()


def test_a_record_that_is_over_is_deleted_by_a_sweep(table: Table) -> None:
    table.keep_always({A: ""})
    log_in(table, A)
    table.sweep(NOW + GRACE - 1)
    assert table.get(A) is not None
    table.sweep(NOW + GRACE)
    assert table.get(A) is None
    assert [FOR_EVER] == table.honoured([A], NOW + GRACE)


def test_an_address_with_a_record_comes_once(table: Table) -> None:
    table.keep_always({B: ""})
    log_in(table, B)
    assert [B] == list(table.addresses())


def test_the_roster_finds_them_at_first_and_follows_the_configuration(table: Table) -> None:
    table.keep_always({A: "", B: ""})
    roster = Roster(table)
    assert roster.advance(NOW, 0)
    assert ({A, B}, float("inf")) == (roster.live, roster.next_due())
    table.keep_always({B: "", C: ""})
    assert roster.advance(NOW + 1, 1)
    assert {B, C} == roster.live
    table.deny(B, NOW + 100, NOW + 2)
    assert roster.advance(NOW + 2, 2)
    assert ({C}, NOW + 100) == (roster.live, roster.next_due())
    assert roster.advance(NOW + 100, 100)
    assert {B, C} == roster.live
    assert not roster.lapse(NOW + 1e9)
