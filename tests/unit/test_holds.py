"""Sessions that hold the grant of their address (policy.hold_while_connected)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from syslogauth import roster as roster_module
from syslogauth.changelog import Changes
from syslogauth.core.login import Closed, Grant, Opened
from syslogauth.record import Bounds
from syslogauth.roster import Roster
from syslogauth.table import Committed, Standing, Table

NOW = 1_700_000_000.0
GRACE, HOLD, DAY = 1800.0, 12 * 3600.0, 86400.0
BOUNDS = Bounds(GRACE, DAY, HOLD + GRACE)
A, B, C = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)), bytes.fromhex("20010db8") + bytes(11) + b"\1"


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    opened = Table(tmp_path / "table", 1000, BOUNDS)
    yield opened
    opened.close()


def login(address: bytes, at: float, user: str = "alice") -> Grant:
    return Grant(address, at + GRACE, at, "imap", "dovecot", user, "mail1", "mail1")


def opened(key: str, address: bytes, at: float = NOW, counted: bool = False, hold: float = HOLD) -> Opened:
    return Opened(key.encode().ljust(16), address, at, at + hold, GRACE, counted)


def closed(key: str, at: float) -> Closed:
    return Closed(key.encode().ljust(16), at)


def connect(table: Table, key: str, address: bytes, at: float = NOW, counted: bool = False) -> Committed:
    return table.commit([login(address, at)], at, [opened(key, address, at, counted)])


def close(table: Table, key: str, at: float) -> None:
    table.commit([], at, [closed(key, at)])


def test_a_session_holds_its_grant_beyond_the_grace_and_up_to_its_limit(table: Table) -> None:
    assert Committed(new=1) == connect(table, "s", A)
    assert [NOW + HOLD] * 2 == [table.live(A, NOW + later) for later in (GRACE + 1, HOLD - 1)]
    assert table.live(A, NOW + HOLD) is None
    assert (1, NOW + HOLD) == table.held(A)
    entry = table.get(A)
    assert entry is not None
    assert ("login", NOW + GRACE) == (entry.kind, entry.expires_at)


def test_the_grace_runs_from_the_last_close(table: Table) -> None:
    connect(table, "s", A)
    connect(table, "t", A, NOW + 60)
    close(table, "s", NOW + 7200)
    assert NOW + 60 + HOLD == table.live(A, NOW + 7200)
    close(table, "t", NOW + 9000)
    assert NOW + 9000 + GRACE == table.live(A, NOW + 9000)
    assert table.live(A, NOW + 9000 + GRACE) is None
    assert (0, 0) == table.held(A)
    assert 0 == table.sizes()["sessions"]


def test_a_session_that_ends_within_the_grace_of_another_login_shortens_nothing(table: Table) -> None:
    connect(table, "s", A)
    table.commit([login(A, NOW + 500)], NOW + 500)
    close(table, "s", NOW + 100)
    assert NOW + 500 + GRACE == table.live(A, NOW + 500)


def test_an_end_that_nobody_knows_changes_nothing(table: Table) -> None:
    table.commit([login(A, NOW)], NOW)
    close(table, "s", NOW + 60)
    assert NOW + GRACE == table.live(A, NOW + 60)
    assert Changes(1) == table.changes(1)


def test_opening_and_end_in_one_batch_are_taken_in_their_order(table: Table) -> None:
    table.commit([login(A, NOW), login(B, NOW)], NOW + 9, [opened("s", A), closed("s", NOW + 5), closed("t", NOW + 5), opened("t", B)])
    assert (NOW + 5 + GRACE, NOW + HOLD) == (table.live(A, NOW + 9), table.live(B, NOW + 9))


def test_what_the_receiver_repeats_counts_once(table: Table) -> None:
    for at in (NOW, NOW, NOW + 50):
        connect(table, "s", A, at)
    assert (1, NOW + 50 + HOLD) == table.held(A)
    for _ in range(2):
        close(table, "s", NOW + 60)
    assert NOW + 60 + GRACE == table.live(A, NOW + 60)


def test_sessions_that_share_a_key_end_with_the_last_of_them(table: Table) -> None:
    for at in (NOW, NOW + 10, NOW + 20):
        connect(table, "s", A, at, counted=True)
    assert (1, NOW + 20 + HOLD) == table.held(A)
    close(table, "s", NOW + 5000)
    close(table, "s", NOW + 6000)
    assert NOW + 20 + HOLD == table.live(A, NOW + 6000)
    close(table, "s", NOW + 7000)
    assert NOW + 7000 + GRACE == table.live(A, NOW + 7000)


def test_a_key_that_comes_round_ends_whose_it_was(table: Table) -> None:
    connect(table, "s", A)
    connect(table, "s", B, NOW + 5000)
    assert (NOW + 5000 + GRACE, NOW + 5000 + HOLD) == (table.live(A, NOW + 5000), table.live(B, NOW + 5000))
    assert ((0, 0), 1) == (table.held(A), table.sizes()["sessions"])


def test_a_key_that_comes_round_to_an_address_that_may_not_relay_ends_whose_it_was(table: Table) -> None:
    connect(table, "s", A)
    table.deny(B, None, NOW)
    assert Committed(denied=1) == connect(table, "s", B, NOW + 5000)
    assert (NOW + 5000 + GRACE, (0, 0)) == (table.live(A, NOW + 5000), table.held(B))


def test_an_end_from_before_the_opening_is_that_of_an_older_session(table: Table) -> None:
    connect(table, "s", A, NOW + 100)
    table.commit([], NOW + 101, [closed("s", NOW + 50)])
    assert (1, NOW + 100 + HOLD) == table.held(A)


def test_an_opening_that_comes_late_takes_no_key_from_a_newer_one(table: Table) -> None:
    connect(table, "s", B, NOW + 100)
    table.commit([login(A, NOW + 50)], NOW + 101, [opened("s", A, NOW + 50)])
    assert ((0, 0), (1, NOW + 100 + HOLD)) == (table.held(A), table.held(B))


def test_an_end_after_the_session_held_nothing_any_more_revives_nothing(table: Table) -> None:
    connect(table, "s", A)
    close(table, "s", NOW + HOLD + 1)
    assert table.live(A, NOW + HOLD + 1) is None


def test_the_end_of_the_last_session_is_a_change_and_no_other_is(table: Table) -> None:
    connect(table, "s", A)
    connect(table, "t", A, NOW + 1)
    assert Changes(1, [A]) == table.changes(0)
    close(table, "s", NOW + 2)
    assert Changes(1) == table.changes(1)
    close(table, "t", NOW + 3)
    assert Changes(2, [A]) == table.changes(1)


# whose grant was refused, taken away, denied


REFUSALS = {
    "denied": lambda table: table.deny(A, None, NOW),
    "revoked": lambda table: table.revoke(A, NOW),
    "flushed": lambda table: table.flush(NOW),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_whose_grant_is_refused_is_not_held(table: Table, refusal: str) -> None:
    REFUSALS[refusal](table)
    connect(table, "s", A)
    assert ((0, 0), 0, None) == (table.held(A), table.sizes()["sessions"], table.live(A, NOW))


def test_whom_the_table_has_no_room_for_is_not_held(tmp_path: Path) -> None:
    table = Table(tmp_path / "table", 1, BOUNDS)
    connect(table, "s", A)
    assert Committed(full=1) == connect(table, "t", B)
    assert (0, 0) == table.held(B)
    table.close()


def test_an_opening_without_its_grant_holds_nothing(table: Table) -> None:
    table.commit([], NOW, [opened("s", A)])
    table.commit([login(B, NOW)], NOW)
    table.commit([], NOW + GRACE, [opened("t", B, NOW + GRACE)])  # over, though its record is still there
    assert ((0, 0), (0, 0)) == (table.held(A), table.held(B))


@pytest.mark.parametrize("refusal", ["revoked", "flushed"])
def test_the_session_of_a_revoked_address_neither_holds_nor_revives_it(table: Table, refusal: str) -> None:
    connect(table, "s", A, NOW - 10)
    REFUSALS[refusal](table)
    assert ((0, 0), None) == (table.held(A), table.live(A, NOW))
    table.commit([login(A, NOW + 60)], NOW + 60)
    close(table, "s", NOW + 1000)
    assert NOW + 60 + GRACE == table.live(A, NOW + 1000)
    assert 0 == table.sizes()["sessions"]


@pytest.mark.parametrize("refusal", ["revoked", "flushed"])
def test_a_session_after_the_revocation_counts_without_those_before_it(table: Table, refusal: str) -> None:
    for key in ("s", "t", "u"):
        connect(table, key, A, NOW - 10, counted=True)
    REFUSALS[refusal](table)
    connect(table, "s", A, NOW + 60, counted=True)
    assert (1, NOW + 60 + HOLD) == table.held(A)
    close(table, "t", NOW + 70)
    assert (1, NOW + 60 + HOLD) == table.held(A)
    close(table, "s", NOW + 80)
    assert ((0, 0), NOW + 80 + GRACE) == (table.held(A), table.live(A, NOW + 80))


def test_who_logs_in_again_while_a_flush_is_at_work_is_held_by_the_new_session_alone(table: Table) -> None:
    connect(table, "s", A)
    connect(table, "t", A, NOW + 10)  # the flush of NOW + 5 finds it refreshed, and leaves it
    table.flush(NOW + 5)
    assert NOW + 10 + GRACE == table.live(A, NOW + 10)
    assert (0, 0) == table.held(A)
    connect(table, "u", A, NOW + 20)
    close(table, "u", NOW + 5000)
    assert NOW + 5000 + GRACE == table.live(A, NOW + 5000)


def test_a_denial_beats_a_session_and_its_end_brings_it_back(table: Table) -> None:
    connect(table, "s", A)
    table.deny(A, NOW + 5000, NOW)
    until = round((NOW + 5000) * 1000)
    assert [Standing(0, until, unsettled=False)] == table.honoured([A], NOW + 4000)
    assert NOW + HOLD == table.live(A, NOW + 5000)


# manual grants


def test_a_session_does_not_shorten_a_manual_grant(table: Table) -> None:
    table.grant(A, DAY, "office", NOW)
    connect(table, "s", A, NOW + 1)
    close(table, "s", NOW + 100)
    entry = table.get(A)
    assert entry is not None
    assert ("manual", "office", NOW + DAY) == (entry.kind, entry.user, entry.expires_at)


def test_a_manual_grant_that_a_session_outlasts_is_a_logins(table: Table) -> None:
    table.grant(A, 3600, "office", NOW)
    connect(table, "s", A, NOW + 1)
    close(table, "s", NOW + 7200)
    entry = table.get(A)
    assert entry is not None
    assert ("login", "", NOW + 7200 + GRACE) == (entry.kind, entry.user, entry.expires_at)


# settling, sweeping, bounds


def test_settle_keeps_the_record_of_a_held_address_and_deletes_it_afterwards(table: Table) -> None:
    connect(table, "s", A)
    later, end = NOW + GRACE + 1, round((NOW + HOLD) * 1000)
    assert [Standing(end, end, unsettled=False)] == table.honoured([A], later)
    assert 0 == table.settle([A], later)
    assert NOW + HOLD == table.live(A, later)
    assert [Standing(0, 0, unsettled=True)] == table.honoured([A], NOW + HOLD)
    assert 1 == table.settle([A], NOW + HOLD)


def test_a_lost_logout_is_forgotten_and_the_others_still_hold(table: Table) -> None:
    connect(table, "s", A)
    connect(table, "t", A, NOW + 3600)
    connect(table, "u", B)
    table.sweep(NOW + HOLD - 1)
    assert 3 == table.sizes()["sessions"]
    table.sweep(NOW + HOLD)
    assert ((1, NOW + 3600 + HOLD), (0, 0), 1) == (table.held(A), table.held(B), table.sizes()["sessions"])
    close(table, "t", NOW + HOLD + 60)
    assert NOW + HOLD + 60 + GRACE == table.live(A, NOW + HOLD + 60)


def test_an_address_whose_record_went_with_a_lost_logout_is_held_anew(table: Table) -> None:
    connect(table, "s", A)
    over = NOW + HOLD
    table.settle([A], over)  # before the sweep, which comes once a minute
    connect(table, "t", A, over + 1)
    table.sweep(over + 2)
    assert (1, over + 1 + HOLD) == table.held(A)


def test_more_sessions_than_a_slice_are_forgotten(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syslogauth.sweep.SLICE", 3)
    table.commit([login(A, NOW)], NOW, [opened(str(n), A) for n in range(10)])
    table.sweep(NOW + HOLD)
    assert ((0, 0), 0) == (table.held(A), table.sizes()["sessions"])


def test_no_session_holds_beyond_its_bound(table: Table) -> None:
    table.commit([login(A, NOW)], NOW, [opened("s", A, hold=30 * DAY)])
    assert NOW + HOLD + GRACE == table.live(A, NOW) == table.held(A)[1]


def test_a_session_from_before_the_clock_was_set_back_ends_within_its_bound(table: Table) -> None:
    ahead = NOW + 30 * DAY
    connect(table, "s", A, ahead)
    assert NOW + HOLD + GRACE == table.live(A, NOW)
    table.sweep(NOW)
    assert (1, NOW + HOLD + GRACE) == table.held(A)
    table.settle([A], NOW)  # its record too
    assert table.live(A, NOW + HOLD + GRACE) is None
    close(table, "s", NOW + 60)
    assert (0, 0) == table.held(A)


def test_an_end_after_the_clock_was_set_back_is_taken_before_any_sweep(table: Table) -> None:
    connect(table, "s", A, NOW + 30 * DAY)
    close(table, "s", NOW)
    assert (0, 0) == table.held(A)


def test_where_holding_is_off_no_session_counts_and_a_sweep_forgets_them(table: Table, tmp_path: Path) -> None:
    connect(table, "s", A)
    table.close()
    off = Table(tmp_path / "table", 1000, BOUNDS._replace(held_seconds=0))
    assert NOW + GRACE == off.live(A, NOW)
    assert off.live(A, NOW + GRACE) is None
    connect(off, "t", B)
    assert 1 == off.sizes()["sessions"]
    off.sweep(NOW)
    assert ((0, 0), 0) == (off.held(A), off.sizes()["sessions"])
    off.close()


def test_sessions_are_bounded_and_what_is_refused_is_counted(tmp_path: Path) -> None:
    table = Table(tmp_path / "table", 2, BOUNDS)
    table.commit([login(A, NOW)], NOW, [opened(str(n), A) for n in range(10)])
    assert (8, 2) == (table.sizes()["sessions"], table.sessions_refused)
    table.commit([login(A, NOW)], NOW, [opened("3", A), closed("4", NOW + 1), opened("x", A, NOW + 1)])
    assert (8, 2, 8) == (table.sizes()["sessions"], table.sessions_refused, table.held(A)[0])
    table.close()


def test_sessions_survive_a_restart(table: Table, tmp_path: Path) -> None:
    connect(table, "s", A)
    connect(table, "t", C)
    table.close()
    again = Table(tmp_path / "table", 1000, BOUNDS)
    assert NOW + HOLD == again.live(A, NOW + 7200) == again.live(C, NOW + 7200)
    close(again, "t", NOW + 7200)
    assert NOW + 7200 + GRACE == again.live(C, NOW + 7200)
    again.close()


# the exporter


def turns(roster: Roster, *times: float) -> Sequence[set[bytes]]:
    seen = []
    for now in times:
        roster.advance(now, now - NOW)
        roster.settle(now)
        seen.append(set(roster.live))
    return seen


def test_the_roster_sees_the_end_that_a_close_brought_forward(table: Table) -> None:
    roster = Roster(table)
    connect(table, "s", A)
    assert [{A}, {A}] == turns(roster, NOW, NOW + GRACE)
    assert NOW + HOLD == roster.next_due()
    close(table, "s", NOW + 7200)
    assert [{A}] == turns(roster, NOW + 7200)
    assert NOW + 7200 + GRACE == roster.next_due()
    assert [{A}, set(), set()] == turns(roster, NOW + 7200 + GRACE - 1, NOW + 7200 + GRACE, NOW + HOLD + 1)
    assert [] == list(table.addresses())


def test_looks_that_nobody_needs_do_not_pile_up(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster_module, "LOOKS_KEPT", 10)
    roster = Roster(table, _looks_kept=10)
    connect(table, "other", B)
    for at in range(200):
        connect(table, "s", A, NOW + 100 * at)
        roster.advance(NOW + 100 * at, 100 * at)
        close(table, "s", NOW + 100 * at + 50)  # seen when the next one is open
        assert len(roster._known.agenda) <= 20
    last = NOW + 100 * 199 + 50
    assert [{A, B}, {B}, set()] == turns(roster, last + GRACE - 1, last + GRACE, NOW + HOLD)
