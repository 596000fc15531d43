import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from syslogauth import changelog
from syslogauth.changelog import Changes
from syslogauth.core.login import Grant
from syslogauth.environment import map_size_bytes
from syslogauth.record import Bounds, Entry
from syslogauth.table import Committed, Standing, Table, TableError

NOW = 1_700_000_000.0
GRACE = 1800.0
BOUNDS = Bounds(login_seconds=GRACE, manual_seconds=86400)
A, B, C = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)), bytes((0x20, 0x01, 0x0D, 0xB8)) + bytes(11) + b"\1"


def login(address: bytes, at: float = NOW, user: str = "alice", count: int = 1, seconds: float = GRACE) -> Grant:
    return Grant(address, at + seconds, at, "imap", "dovecot", user, "mail1", "192.0.2.0/24", count)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    opened = Table(tmp_path / "table", 1000, BOUNDS)
    yield opened
    opened.close()


def test_a_login_is_stored_with_all_that_is_known_of_it(table: Table) -> None:
    assert Committed(new=2) == table.commit([login(A), login(C, user="bob")], NOW)
    assert Entry(A, "login", NOW + GRACE, NOW, NOW, 1, "imap", "dovecot", "alice", "mail1", "192.0.2.0/24") == table.get(A)
    assert [C, A] == list(table.addresses())
    assert ["bob", "alice"] == [entry.user for entry in table.entries()]
    assert NOW + GRACE == table.live(A, NOW)
    assert table.live(B, NOW) is None


def test_a_second_login_refreshes_and_keeps_when_the_address_entered(table: Table) -> None:
    table.commit([login(A)], NOW)
    assert Committed(refreshed=1) == table.commit([login(A, NOW + 60, "bob", 2)], NOW + 60)
    expected = Entry(A, "login", NOW + 60 + GRACE, NOW, NOW + 60, 3, "imap", "dovecot", "bob", "mail1", "192.0.2.0/24")
    assert expected == table.get(A)


def test_an_earlier_login_that_comes_late_changes_neither_expiry_nor_user(table: Table) -> None:
    table.commit([login(A, NOW + 60, "late")], NOW + 60)
    table.commit([login(A, NOW, "early")], NOW + 61)
    entry = table.get(A)
    assert entry is not None
    assert ("late", NOW + 60 + GRACE, NOW, NOW + 60) == (entry.user, entry.expires_at, entry.granted_at, entry.refreshed_at)


def test_a_login_after_the_expiry_begins_anew(table: Table) -> None:
    table.commit([login(A, count=7)], NOW)
    later = NOW + GRACE + 1
    assert Committed(new=1) == table.commit([login(A, later)], later)
    entry = table.get(A)
    assert entry is not None
    assert (later, 1) == (entry.granted_at, entry.count)


def test_a_grant_ends_at_its_expiry_and_not_before(table: Table) -> None:
    table.commit([login(A)], NOW)
    assert table.live(A, NOW + GRACE - 0.001) == NOW + GRACE
    assert table.live(A, NOW + GRACE) is None


def test_the_same_batch_twice_changes_nothing_but_the_count(table: Table) -> None:
    table.commit([login(A), login(B)], NOW)
    first = [(entry.address, entry.expires_at) for entry in table.entries()]
    assert Committed(refreshed=2) == table.commit([login(A), login(B)], NOW)
    assert first == [(entry.address, entry.expires_at) for entry in table.entries()]


def test_a_full_table_refuses_new_addresses_and_goes_on_refreshing(tmp_path: Path) -> None:
    table = Table(tmp_path / "table", 1, BOUNDS)
    assert Committed(new=1, full=1) == table.commit([login(A), login(B)], NOW)
    assert Committed(refreshed=1, full=1) == table.commit([login(B), login(A, NOW + 1)], NOW + 1)
    assert table.live(B, NOW) is None
    table.close()


# deny, revoke, flush


def test_a_denial_beats_a_grant_that_was_there_and_those_that_come(table: Table) -> None:
    table.commit([login(A)], NOW)
    table.deny(A, NOW + 100, NOW)
    assert table.live(A, NOW) is None
    assert Committed(denied=1) == table.commit([login(A, NOW + 1)], NOW + 1)
    assert not table.grant(A, 60, "", NOW + 1)
    assert [Standing(0, int((NOW + 100) * 1000), unsettled=False)] == table.honoured([A], NOW + 1)


def test_a_denial_ends_by_the_clock_and_the_grant_below_it_is_honoured_again(table: Table) -> None:
    table.commit([login(A)], NOW)
    table.deny(A, NOW + 100, NOW)
    assert NOW + GRACE == table.live(A, NOW + 100)
    assert NOW + 100 == table.denied_until(A)


def test_a_denial_is_lifted_by_one_that_is_over(table: Table) -> None:
    table.commit([login(A)], NOW)
    table.deny(A, None, NOW)
    assert [(A, None)] == list(table.denials())
    table.deny(A, NOW, NOW)
    assert [] == list(table.denials())
    assert NOW + GRACE == table.live(A, NOW)


def test_a_revocation_voids_what_was_granted_up_to_it_and_nothing_later(table: Table) -> None:
    table.commit([login(A), login(B)], NOW)
    assert table.revoke(A, NOW + 10)
    assert not table.revoke(A, NOW + 10)
    assert Committed(revoked=2) == table.commit([login(A, NOW + 5), login(A, NOW + 10)], NOW + 11)
    assert table.live(A, NOW + 11) is None
    assert NOW + GRACE == table.live(B, NOW + 11)
    assert Committed(new=1) == table.commit([login(A, NOW + 10.001)], NOW + 11)


def test_a_revoked_address_may_be_granted_by_hand_at_once(table: Table) -> None:
    table.revoke(A, NOW)
    assert table.grant(A, 60, "", NOW)
    assert NOW + 60 == table.live(A, NOW)


def test_flush_removes_every_grant_and_voids_those_on_their_way_and_keeps_denials(table: Table) -> None:
    many = [i.to_bytes(4) for i in range(1, 901)]
    table.commit([login(address) for address in many], NOW)
    table.grant(B, 3600, "", NOW)
    table.deny(C, None, NOW)
    assert 901 == table.flush(NOW + 1)
    assert [] == list(table.addresses())
    assert Committed(revoked=1, new=1) == table.commit([login(A, NOW + 1), login(B, NOW + 2)], NOW + 2)
    assert [(C, None)] == list(table.denials())


def test_flush_leaves_alone_who_logged_in_after_it(table: Table) -> None:
    table.commit([login(A), login(B, NOW + 2)], NOW + 2)
    assert 1 == table.flush(NOW + 1)
    assert [B] == list(table.addresses())


def test_who_logs_in_while_a_flush_is_at_work_is_kept(tmp_path: Path) -> None:
    many = [i.to_bytes(4) for i in range(1, 20_001)]
    table = Table(tmp_path / "table", 40_000, BOUNDS)
    table.commit([login(address) for address in many], NOW)
    flushing = threading.Thread(target=table.flush, args=(NOW + 1,))
    flushing.start()
    while table.sizes()["entries"] == len(many) and flushing.is_alive():
        pass
    table.commit([login(address, NOW + 2) for address in many], NOW + 2)
    flushing.join()
    assert len(many) == table.sizes()["entries"]
    table.close()


def test_a_manual_grant_is_cut_to_its_bound(table: Table) -> None:
    assert table.grant(A, 10 * 86400, "office", NOW)
    assert NOW + 86400 == table.live(A, NOW)
    entry = table.get(A)
    assert entry is not None
    assert ("manual", "office") == (entry.kind, entry.user)


def test_a_login_does_not_shorten_a_manual_grant(table: Table) -> None:
    table.grant(A, 86400, "office", NOW)
    table.commit([login(A, NOW + 1)], NOW + 1)
    assert NOW + 86400 == table.live(A, NOW + 1)


# bounds, settling, sweeping


def test_no_expiry_is_honoured_beyond_the_bound_of_its_kind(table: Table) -> None:
    table.commit([login(A, seconds=10 * 86400)], NOW)
    until = int((NOW + GRACE) * 1000)
    assert [Standing(until, until, unsettled=True)] == table.honoured([A], NOW)
    assert 0 == table.settle([A], NOW)
    assert [Standing(until, until, unsettled=False)] == table.honoured([A], NOW)
    assert table.live(A, NOW + GRACE) is None


def test_settle_deletes_what_is_over_and_nothing_else(table: Table) -> None:
    table.commit([login(A), login(B, NOW + 10)], NOW + 10)
    assert 1 == table.settle([A, B, C], NOW + GRACE)
    assert [B] == list(table.addresses())


def test_sweep_forgets_denials_that_are_over_and_revocations_that_can_void_nothing(table: Table) -> None:
    table.deny(A, NOW + 10, NOW)
    table.deny(B, NOW + 30, NOW)
    table.revoke(C, NOW)
    table.sweep(NOW + 20)
    assert [(B, NOW + 30)] == list(table.denials())
    assert Committed(revoked=1) == table.commit([login(C, NOW)], NOW + 20)
    table.sweep(NOW + 86401)
    assert Committed(new=1) == table.commit([login(C, NOW)], NOW + 86401)


# the log of changes


def test_what_enters_and_what_leaves_is_a_change_and_a_refresh_is_none(table: Table) -> None:
    assert Changes(0) == table.changes(0)
    table.commit([login(A), login(B)], NOW)
    assert Changes(2, [A, B]) == table.changes(0)
    table.commit([login(A, NOW + 1)], NOW + 1)
    assert Changes(2) == table.changes(2)
    table.revoke(A, NOW + 2)
    table.deny(B, None, NOW + 2)
    table.grant(C, 60, "", NOW + 2)
    assert Changes(5, [A, B, C]) == table.changes(2)
    table.settle([C], NOW + 100)
    assert Changes(6, [C]) == table.changes(5)
    table.flush(NOW + 101)
    assert Changes(7, [B]) == table.changes(6)


def test_a_sequence_number_that_the_table_never_gave_is_answered_as_incomplete(table: Table) -> None:
    table.commit([login(A)], NOW)
    assert not table.changes(99).complete


def test_the_log_is_bounded_and_says_where_it_no_longer_reaches(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelog, "KEPT", 3)
    for number in range(5):
        table.revoke(bytes((10, 0, 0, number)), NOW)
    assert Changes(5, complete=False) == table.changes(1)
    assert Changes(5, [bytes((10, 0, 0, n)) for n in (2, 3, 4)]) == table.changes(2)


# files, processes


def test_the_table_is_its_owners_alone(tmp_path: Path) -> None:
    Table(tmp_path / "table", 10, BOUNDS).close()
    assert 0o700 == (tmp_path / "table").stat().st_mode & 0o7777
    assert {0o600} == {path.stat().st_mode & 0o7777 for path in (tmp_path / "table").iterdir()}


def test_the_table_is_of_the_format_that_lmdb_0_9_reads(table: Table, tmp_path: Path) -> None:
    table.commit([login(A)], NOW)
    meta = (tmp_path / "table" / "data.mdb").read_bytes()[16:24]
    assert (0xBEEFC0DE, 1) == (int.from_bytes(meta[:4], sys.byteorder), int.from_bytes(meta[4:], sys.byteorder))


def test_another_process_sees_what_was_committed_and_what_it_commits_is_seen(table: Table, tmp_path: Path) -> None:
    table.commit([login(A)], NOW)
    program = (
        "import sys; from pathlib import Path; from syslogauth.table import Table; from syslogauth.record import Bounds;"
        "t = Table(Path(sys.argv[1]), 1000, Bounds(1800, 86400)); print(*[a.hex() for a in t.addresses()]);"
        f"t.grant(bytes.fromhex('{B.hex()}'), 60, '', {NOW})"
    )
    said = subprocess.run([sys.executable, "-c", program, tmp_path / "table"], capture_output=True, text=True, check=True, timeout=30)
    assert A.hex() == said.stdout.strip()
    assert NOW + 60 == table.live(B, NOW)


def test_a_process_with_a_larger_limit_does_not_break_one_with_a_smaller(tmp_path: Path) -> None:
    directory = tmp_path / "table"
    small = Table(directory, 10, BOUNDS)
    small.commit([login(A)], NOW)
    program = (
        "import sys; from pathlib import Path; from syslogauth.table import Table; from syslogauth.record import Bounds;"
        "from syslogauth.core.login import Grant;"
        "t = Table(Path(sys.argv[1]), 1_000_000, Bounds(1800, 86400));"
        f"t.commit([Grant(n.to_bytes(4), {NOW + GRACE}, {NOW}, '', '', 'u' * 250, 'h' * 250, 'p' * 250) for n in range(1, 100_001)], {NOW})"
    )
    subprocess.run([sys.executable, "-c", program, directory], check=True, timeout=60)
    assert small.sizes()["entries"] == 100_000 + 1
    assert Committed(refreshed=1) == small.commit([login(A, NOW + 1)], NOW + 1)
    assert small.live((100_000).to_bytes(4), NOW) == NOW + GRACE
    small.close()


def test_a_table_that_is_not_there_cannot_be_opened_for_reading(tmp_path: Path) -> None:
    with pytest.raises(TableError):
        Table(tmp_path / "table", 10, BOUNDS, readonly=True)
    assert not (tmp_path / "table").exists()


def test_a_reader_cannot_write(table: Table, tmp_path: Path) -> None:
    table.commit([login(A)], NOW)
    table.close()
    reader = Table(tmp_path / "table", 1000, BOUNDS, readonly=True)
    assert NOW + GRACE == reader.live(A, NOW)
    with pytest.raises(TableError):
        reader.revoke(A, NOW)
    reader.close()


@pytest.mark.parametrize("damage", ["version", "kind"])
def test_a_record_of_another_version_or_kind_is_refused_wherever_it_is_read(table: Table, tmp_path: Path, damage: str) -> None:
    table.commit([login(A)], NOW)
    table.close()
    environment = lmdb.open(str(tmp_path / "table"), max_dbs=5, map_size=1 << 27, **({"lib_version": 0} if lmdb.__version__ >= "2" else {}))
    with environment.begin(write=True, db=environment.open_db(b"grants")) as txn:
        record = bytearray(txn.get(A))
        record[("version", "kind").index(damage)] = 9
        txn.put(A, bytes(record))
    environment.close()
    again = Table(tmp_path / "table", 1000, BOUNDS)
    readings = (lambda: again.get(A), lambda: again.live(A, NOW))
    for read in readings:
        with pytest.raises(ValueError, match=f"{damage} 9"):
            read()
    assert (0, [], 1) == (again.settle([A], NOW + 1e6), list(again.entries()), again.unreadable)  # who follows the table skips it
    assert 1 == again.sizes()["entries"]
    assert [Standing(0, 0, unsettled=False, readable=False)] == again.honoured([A], NOW)  # who asks for many: it may not relay
    assert Committed(new=1) == again.commit([login(A)], NOW)  # and the next login of the address writes it anew
    assert NOW + GRACE == again.live(A, NOW)
    again.close()


def test_the_figures_of_the_table(table: Table) -> None:
    table.commit([login(A), login(B)], NOW)
    table.deny(C, None, NOW)
    sizes = table.sizes()
    assert (2, 1) == (sizes["entries"], sizes["denies"])
    assert 0 < sizes["used_bytes"] < sizes["map_size_bytes"] == map_size_bytes(1000)


@pytest.mark.parametrize("metasync", [True, False])
def test_what_was_committed_survives_a_kill_at_once(tmp_path: Path, metasync: bool) -> None:
    program = (
        "import os, sys; from pathlib import Path; from syslogauth.table import Table; from syslogauth.record import Bounds;"
        "from syslogauth.core.login import Grant; "
        f"t = Table(Path(sys.argv[1]), 1000, Bounds(1800, 86400), metasync={metasync});"
        f"t.commit([Grant({A!r}, {NOW + GRACE}, {NOW}, '', '', '', '', '')], {NOW}); os.kill(os.getpid(), 9)"
    )
    assert -9 == subprocess.run([sys.executable, "-c", program, tmp_path / "table"], check=False, timeout=30).returncode
    table = Table(tmp_path / "table", 1000, BOUNDS)
    assert NOW + GRACE == table.live(A, NOW)
    table.close()


def test_a_thousand_grants_are_committed_in_one_transaction(table: Table) -> None:
    began = time.perf_counter()
    table.commit([login(n.to_bytes(4)) for n in range(1, 1001)], NOW)
    assert 1000 == table.sizes()["entries"]
    assert time.perf_counter() - began < 5  # a transaction each would be a thousand fsyncs
