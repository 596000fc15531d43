"""Abuse brakes: they stop addresses that are new, and nobody who is live."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.core.login import Closed, Grant, Opened
from syslogauth.environment import FIRST_NAMES
from syslogauth.grants import by_user
from syslogauth.limits import BUILDING, Limits
from syslogauth.record import Bounds
from syslogauth.table import Committed, Table

NOW = 1_700_000_000.0
GRACE = 1800.0
BOUNDS = Bounds(GRACE, 86400, 43200)
Make = Callable[..., Table]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Opens the table with these limits, closed first where it is open: a process may have it open once."""
    made: list[Table] = []

    def table(*limits: int) -> Table:
        for one in made:
            one.close()
        made.append(Table(tmp_path / "table", 10_000, BOUNDS, limits=Limits(*limits)))
        return made[-1]

    yield table
    for one in made:
        one.close()


def v4(n: int) -> bytes:
    return bytes((198, 51, n >> 8, n & 255))


def v6(net: int, n: int) -> bytes:
    return bytes.fromhex("20010db8") + net.to_bytes(4) + n.to_bytes(8)


def login(address: bytes, at: float = NOW, user: str = "alice") -> Grant:
    return Grant(address, at + GRACE, at, "imap", "dovecot", user, "mail1", "mail1")


def log_in(table: Table, *addresses: bytes, at: float = NOW, user: str = "alice") -> Committed:
    return table.commit([login(address, at, user) for address in addresses], at)


def test_without_limits_nothing_is_stopped(make: Make) -> None:
    assert Committed(new=600) == log_in(make(), *map(v4, range(300)), *(v6(1, n) for n in range(300)))


# by user


def test_a_user_has_so_many_addresses_and_no_more(make: Make) -> None:
    table = make(3)
    assert Committed(new=3, user_limit=2) == log_in(table, *map(v4, range(5)))
    assert Committed(refreshed=3, user_limit=2) == log_in(table, *map(v4, range(5)), at=NOW + 1)
    assert Committed(new=3, user_limit=2) == log_in(table, *map(v4, range(10, 15)), user="bob")


def test_a_live_address_may_change_to_a_user_at_his_limit(make: Make) -> None:
    table = make(1)
    log_in(table, v4(1), user="alice")
    log_in(table, v4(2), user="bob")
    assert Committed(refreshed=1) == log_in(table, v4(2), at=NOW + 1, user="alice")
    assert Committed(new=1) == log_in(table, v4(3), at=NOW + 2, user="bob")


def test_a_login_without_a_user_is_not_limited(make: Make) -> None:
    assert Committed(new=5) == log_in(make(1), *map(v4, range(5)), user="")


def test_manual_grants_do_not_count_whatever_their_note(make: Make) -> None:
    table = make(1)
    for n in range(5):
        assert table.grant(v4(n), 3600, "alice", NOW)
    assert Committed(new=1, user_limit=1) == log_in(table, v4(10), v4(11))


@pytest.mark.parametrize("how", ["revoked", "flushed", "settled", "over"])
def test_who_is_gone_leaves_his_place(make: Make, how: str) -> None:
    table = make(2)
    log_in(table, v4(1), v4(2))
    later = NOW + GRACE
    match how:
        case "revoked":
            table.revoke(v4(1), later)
            table.revoke(v4(2), later)
        case "flushed":
            table.flush(later)
        case "settled":
            table.settle([v4(1), v4(2)], later)
    assert Committed(new=2, user_limit=1) == log_in(table, v4(3), v4(4), v4(5), at=later + 1)


def test_an_address_that_only_a_session_holds_counts(make: Make) -> None:
    table = make(1)
    table.commit([login(v4(1))], NOW, [Opened(bytes(16), v4(1), NOW, NOW + 40_000, GRACE)])
    assert Committed(user_limit=1, refreshed=1) == log_in(table, v4(2), v4(1), at=NOW + 2 * GRACE)
    table.commit([], NOW + 3 * GRACE, [Closed(bytes(16), NOW + 3 * GRACE)])
    assert Committed(new=1) == log_in(table, v4(2), at=NOW + 4 * GRACE)


def test_many_that_are_over_and_that_nobody_has_deleted_end_the_search(make: Make) -> None:
    table = make(2)
    for turn in range(4):
        log_in(table, *(v4(10 * turn + n) for n in range(2)), at=NOW + turn * GRACE)
    assert Committed(user_limit=1) == log_in(table, v4(99), at=NOW + 4 * GRACE)


def test_a_user_longer_than_a_record_keeps_is_limited_all_the_same(make: Make) -> None:
    assert Committed(new=1, user_limit=1) == log_in(make(1), v4(1), v4(2), user="é" * 200)


# by IPv6 /64, by minute


def test_an_ipv6_64_has_so_many_addresses_and_no_more(make: Make) -> None:
    table = make(0, 3)
    assert Committed(new=3, prefix_limit=2) == log_in(table, *(v6(1, n) for n in range(5)))
    assert Committed(new=2, refreshed=1) == log_in(table, v6(0, 2**64 - 1), v6(2, 0), v6(1, 0))
    assert Committed(new=50) == log_in(table, *map(v4, range(50)))
    table.revoke(v6(1, 0), NOW + 1)
    assert Committed(new=1, prefix_limit=1) == log_in(table, v6(1, 7), v6(1, 8), at=NOW + 2)


def test_those_of_a_64_that_are_over_do_not_count(make: Make) -> None:
    table = make(0, 2)
    log_in(table, v6(1, 1), v6(1, 2))
    assert Committed(new=2, prefix_limit=1) == log_in(table, v6(1, 3), v6(1, 4), v6(1, 5), at=NOW + GRACE)


def test_a_minute_brings_so_many_new_addresses_and_no_more(make: Make) -> None:
    table = make(0, 0, 3)
    assert Committed(new=2) == log_in(table, v4(1), v4(2))
    assert Committed(new=1, refreshed=2, rate_limit=2) == log_in(table, *map(v4, range(5)), at=NOW + 59)
    assert Committed(new=2) == log_in(table, v4(3), v4(4), at=NOW + 60)
    assert Committed(new=1, rate_limit=1) == log_in(table, v4(5), v4(6), at=NOW + 61)


def test_the_minute_survives_a_restart_and_a_clock_that_is_set_back(make: Make) -> None:
    log_in(make(0, 0, 1), v4(1))
    table = make(0, 0, 1)
    assert Committed(rate_limit=1) == log_in(table, v4(2), at=NOW + 1)
    assert Committed(new=1) == log_in(table, v4(2), at=NOW - 3600)


def test_what_is_stopped_holds_nothing_and_is_not_counted_against_the_minute(make: Make) -> None:
    table = make(1, 0, 2)
    assert Committed(new=1, user_limit=3) == log_in(table, *map(v4, range(4)))
    table.commit([login(v4(9))], NOW, [Opened(bytes(16), v4(9), NOW, NOW + 40_000, GRACE)])
    assert (0, 0) == table.held(v4(9))
    assert Committed(new=1, rate_limit=1) == log_in(table, v4(20), v4(21), user="")


# the index by user


def rows(table: Table) -> set[tuple[bytes, bytes]]:
    return {(key[:8], key[8:]) for key, _ in table._environment.scan("users")}


def test_the_index_says_whose_login_each_record_is(make: Make) -> None:
    table = make(100)
    log_in(table, v4(1), v4(2), v6(1, 1))
    log_in(table, v4(2), at=NOW + 1, user="bob")
    log_in(table, v4(3), user="")
    table.grant(v4(4), 3600, "alice", NOW)
    table.grant(v4(1), 86400, "carol", NOW)
    assert {(by_user(b"bob"), v4(2)), (by_user(b"alice"), v6(1, 1))} == rows(table)
    table.revoke(v4(2), NOW + 2)
    table.settle([v6(1, 1)], NOW + GRACE)
    assert set() == rows(table)


def test_a_table_that_had_no_limit_is_indexed_when_it_gets_one(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syslogauth.limits.SLICE", 2)
    table = make()
    log_in(table, *map(v4, range(5)))
    assert set() == rows(table)
    table = make(5)
    assert {(by_user(b"alice"), v4(n)) for n in range(5)} == rows(table)
    assert Committed(user_limit=1) == log_in(table, v4(6))


def test_a_process_without_the_limit_keeps_the_index_of_one_that_has_it(make: Make) -> None:
    make(5)
    table = make()
    log_in(table, v4(1), v4(2))
    table.revoke(v4(2), NOW + 1)
    assert {(by_user(b"alice"), v4(1))} == rows(table)


def test_an_index_whose_build_was_cut_short_is_built_again(make: Make) -> None:
    table = make()
    log_in(table, v4(1), v4(2))
    with table._environment.begin(write=True) as view:
        view.put("meta", b"users", BUILDING)
    table = make(5)
    assert {(by_user(b"alice"), v4(1)), (by_user(b"alice"), v4(2))} == rows(table)


def test_an_address_that_leaves_a_user_and_comes_back_in_one_batch_is_his(make: Make) -> None:
    table = make(100)
    log_in(table, v4(1))
    table.commit([login(v4(1), NOW + n, user) for n, user in enumerate(("bob", "alice"), 1)], NOW + 2)
    assert {(by_user(b"alice"), v4(1))} == rows(table)
    table.commit([login(v4(1), NOW + n, user) for n, user in enumerate(("bob", "alice", "bob"), 3)], NOW + 5)
    assert {(by_user(b"bob"), v4(1))} == rows(table)


def test_an_address_that_was_over_and_comes_back_by_another_user_is_indexed_anew(make: Make) -> None:
    table = make(2)
    log_in(table, v4(1))
    assert Committed(new=1) == log_in(table, v4(1), at=NOW + GRACE, user="bob")
    assert {(by_user(b"bob"), v4(1))} == rows(table)


def test_who_changes_to_a_user_in_a_batch_counts_there_for_the_rest_of_it(make: Make) -> None:
    table = make(2)
    log_in(table, v4(1), user="bob")
    logins = [login(v4(2), NOW + 1), login(v4(1), NOW + 1), login(v4(3), NOW + 1)]
    assert Committed(new=1, refreshed=1, user_limit=1) == table.commit(logins, NOW + 1)


def test_who_left_a_user_before_another_was_found_full_is_not_taken_off_twice(make: Make) -> None:
    table = make(2)
    log_in(table, v4(1), v4(2), user="bob")
    log_in(table, v4(3), v4(4), user="alice")
    batch = [(v4(1), "carol"), (v4(5), "alice"), (v4(6), "bob"), (v4(7), "bob")]
    assert Committed(refreshed=1, user_limit=2, new=1) == table.commit([login(address, NOW + 1, user) for address, user in batch], NOW + 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 7), st.sampled_from("abc"), st.booleans()), max_size=12), max_size=5),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_a_batch_is_limited_as_its_logins_one_by_one_and_the_index_stays_right(
    batches: list[list[tuple[int, str, bool]]], per_user: int, per_ipv6_64: int
) -> None:
    """An address belongs to one user here: a place that is given up within a batch is free only from the next one on."""
    with tempfile.TemporaryDirectory() as directory:
        whole, single = (Table(Path(directory) / name, 100, BOUNDS, limits=Limits(per_user, per_ipv6_64)) for name in ("whole", "single"))
        for turn, batch in enumerate(batches):
            at = NOW + turn * GRACE / 2
            logins = [login(v6(ord(user), n) if ipv6 else v4(256 * ord(user) + n), at, user) for n, user, ipv6 in batch]
            one_by_one = [single.commit([one], at) for one in logins]
            assert Committed(*(sum(counts) for counts in zip(*one_by_one, strict=True))) == whole.commit(logins, at)
            assert {(by_user(entry.user.encode()), entry.address) for entry in whole.entries()} == rows(whole)
        whole.close()
        single.close()


# a table of an older version


def test_a_table_of_the_first_version_is_read_and_then_opened_as_it_is(tmp_path: Path) -> None:
    """Its reader, `syslogauth test` before the upgraded daemon has started, say, may not write."""
    table = Table(tmp_path / "made", 10, BOUNDS)
    log_in(table, v4(1))
    (tmp_path / "table").mkdir()
    engine = {"lib_version": 0} if int(lmdb.__version__.partition(".")[0]) >= 3 else {}
    old = lmdb.open(str(tmp_path / "table"), max_dbs=5, map_size=1 << 24, **engine)
    databases = {name: old.open_db(name.encode()) for name in FIRST_NAMES}
    with table._environment.begin() as view, old.begin(write=True) as txn:
        for name, key in (("grants", v4(1)), ("meta", b"bounds")):
            txn.put(key, view.get(name, key), db=databases[name])
    table.close()
    old.close()
    reader = Table(tmp_path / "table", readonly=True)
    assert (NOW + GRACE, None, BOUNDS) == (reader.live(v4(1), NOW), reader.live(b"meta", NOW), reader.bounds)
    assert ([v4(1)], [], {}, 0, (0, 0)) == (
        [*reader.addresses()], [*reader.denied()], reader.always(), reader.denied_until(v4(1)), reader.held(v4(1))
    )  # fmt: skip
    assert (1, 0, 0) == tuple(reader.sizes()[name] for name in ("entries", "denies", "sessions"))
    reader.close()
    table = Table(tmp_path / "table", 10, BOUNDS, limits=Limits(per_user=1))
    assert Committed(refreshed=1, user_limit=1) == log_in(table, v4(1), v4(2))
    table.close()
