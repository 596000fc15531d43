from collections.abc import Iterator
from pathlib import Path

import pytest

from syslogauth import table as table_module
from syslogauth.changelog import Changes
from syslogauth.core.login import Grant
from syslogauth.denials import Network, last_address, whole
from syslogauth.record import Bounds
from syslogauth.roster import Roster
from syslogauth.table import Committed, Standing, Table

NOW = 1_700_000_000.0
GRACE = 1800.0


def v4(*parts: int) -> bytes:
    return bytes(parts).ljust(4, b"\0")


def v6(start: str, end: str = "") -> bytes:
    return bytes.fromhex(start) + bytes(16 - len(bytes.fromhex(start + end))) + bytes.fromhex(end)


A, B, C, D = v4(192, 0, 2, 1), v4(192, 0, 2, 200), v4(192, 0, 3, 1), v6("20010db8", "01")
SAME_BYTES = v6("c0000201")  # an IPv6 address that begins with the bytes of A
NETWORK = v4(192, 0, 2), 24


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    opened = Table(tmp_path / "table", 100_000, Bounds(GRACE, 86400))
    yield opened
    opened.close()


def log_in(table: Table, *addresses: bytes, at: float = NOW) -> Committed:
    return table.commit([Grant(address, at + GRACE, at, "imap", "dovecot", "alice", "mail1", "mail1") for address in addresses], at)


def live(table: Table, now: float = NOW) -> set[bytes]:
    return {address for address in (A, B, C, D, SAME_BYTES) if table.live(address, now)}


def test_a_denied_network_beats_grants_that_were_there_and_those_that_come(table: Table) -> None:
    log_in(table, A, C, SAME_BYTES)
    table.deny_network(NETWORK, NOW + 100, NOW)
    assert {C, SAME_BYTES} == live(table)
    assert Committed(denied=2, refreshed=1) == log_in(table, A, B, C)
    assert not table.grant(B, 60, "office", NOW)
    assert [Standing(0, round((NOW + 100) * 1000), unsettled=False)] == table.honoured([A], NOW)


def test_it_ends_by_the_clock_and_by_being_lifted(table: Table) -> None:
    log_in(table, A)
    table.deny_network(NETWORK, NOW + 100, NOW)
    assert {A} == live(table, NOW + 100)
    table.deny_network(NETWORK, None, NOW)
    assert set() == live(table, NOW + 100)
    table.deny_network((NETWORK[0], 25), NOW, NOW)  # another network
    assert set() == live(table)
    table.deny_network(NETWORK, NOW, NOW)
    assert {A} == live(table)


@pytest.mark.parametrize(
    ("network", "denied"),
    [
        ((v4(192, 0, 2), 24), {A, B}),
        ((v4(192, 0, 2), 25), {A}),
        ((v4(192, 0, 2, 128), 25), {B}),
        ((v4(192, 0, 2), 23), {A, B, C}),
        ((v4(192), 8), {A, B, C}),
        ((v4(0), 0), {A, B, C}),
        ((v4(192, 0, 2, 1), 31), set()),  # host bits set: no network, and nothing is in it
        ((v4(192, 0, 2, 1), 32), {A}),
        ((v6("20010db8"), 32), {D}),
        ((v6("20010db8"), 127), {D}),
        ((v6("20010db8", "01"), 128), {D}),
        ((v6("20010db9"), 32), set()),
        ((v6("c0000201"), 32), {SAME_BYTES}),
        ((v6(""), 0), {D, SAME_BYTES}),
    ],
)
def test_a_network_holds_its_own_addresses_and_no_other(table: Table, network: Network, denied: set[bytes]) -> None:
    log_in(table, A, B, C, D, SAME_BYTES)
    table.deny_network(network, None, NOW)
    assert {A, B, C, D, SAME_BYTES} - denied == live(table)


def test_the_last_to_end_of_all_denials_that_hold_an_address_counts(table: Table) -> None:
    log_in(table, A)
    ends = {(v4(192), 8): NOW + 50, NETWORK: NOW + 200, whole(A): NOW + 100, (v4(192, 0, 2), 31): NOW + 150}
    for network, until in ends.items():
        table.deny_network(network, until, NOW)
    assert NOW + 200 == table.denied_until(A)
    assert ends == dict(table.denied_by(A))
    assert (set(), {A}) == (live(table, NOW + 199), live(table, NOW + 200))
    assert 0 == table.denied_until(D)


def test_a_network_of_one_address_is_the_denial_of_that_address(table: Table) -> None:
    table.deny_network((A, 32), None, NOW)
    assert [(A, None)] == list(table.denials())
    table.deny(A, NOW, NOW)
    assert [] == list(table.denied())


def test_denials_are_listed_addresses_first(table: Table) -> None:
    table.deny_network(NETWORK, NOW + 100, NOW)
    table.deny_network((v6("20010db8"), 32), None, NOW)
    table.deny(C, None, NOW)
    assert [(whole(C), None), (NETWORK, NOW + 100), ((v6("20010db8"), 32), None)] == list(table.denied())
    assert [(C, None)] == list(table.denials())
    assert 3 == table.sizes()["denies"]


def test_a_sweep_forgets_those_that_are_over(table: Table) -> None:
    table.deny_network(NETWORK, NOW + 10, NOW)
    table.deny_network((v4(192), 8), NOW + 30, NOW)
    table.sweep(NOW + 10)
    assert [((v4(192), 8), NOW + 30)] == list(table.denied())


def test_every_recorded_address_of_the_network_has_changed_and_no_other(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(table, A, B, C, D, SAME_BYTES, v4(192, 0, 1, 255))
    monkeypatch.setattr(table_module, "SLICE", 1)
    table.deny_network(NETWORK, None, NOW)
    assert Changes(8, [A, B]) == table.changes(6)
    table.deny_network(NETWORK, NOW, NOW)
    assert Changes(10, [A, B]) == table.changes(8)


def test_the_roster_follows_a_network_out_and_in(table: Table) -> None:
    log_in(table, A, B, C)
    roster = Roster(table)
    roster.advance(NOW, 0)
    table.deny_network(NETWORK, NOW + 100, NOW)
    assert roster.advance(NOW + 1, 1)
    assert ({C}, NOW + 100) == (roster.live, roster.next_due())
    assert roster.advance(NOW + 100, 100)
    assert {A, B, C} == roster.live


@pytest.mark.parametrize(("network", "last"), [(NETWORK, v4(192, 0, 2, 255)), (whole(A), A), ((v6(""), 0), b"\xff" * 16)])
def test_the_last_address_of_a_network(network: Network, last: bytes) -> None:
    assert last == last_address(network)
