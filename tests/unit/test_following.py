"""What followed lines give: at their own stamps, once, with the position after them in the same commit."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from syslogauth.core.login import GRANT
from syslogauth.following import BLOCKS_AT_ONCE
from syslogauth.listeners.tail import BLOCK_BYTES
from syslogauth.positions import Position
from tests.followed import GRACE, HOLD, A, B, Host, login, logout, packed, stamp


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_line_counts_at_its_own_stamp(host: Host) -> None:
    host.write(login(A, 600))
    host.read()
    host.commit()
    assert 1190 < host.left(A) <= 1201


def test_what_is_over_grants_nothing_and_what_claims_to_come_from_the_future_counts_from_now(host: Host) -> None:
    host.write(login(A, 1900), login(B, -7200))
    host.read()
    host.commit()
    assert not host.may_relay(A)
    assert 1 == host.table.sizes()["entries"]
    assert 1790 < host.left(B) <= 1800


def test_every_line_is_counted_once_under_the_name_of_its_file(host: Host) -> None:
    host.write(login(A), "noise", "", login(B, 1900), "x" * 10_000)
    host.read()
    tally = host.intake.tally
    assert 5 == host.following.received == sum(tally.outcomes.values()) == tally.datagrams[str(host.log)]
    assert 2 == tally.outcomes[GRANT]
    assert 1 == tally.outcomes["oversize"]
    assert {str(host.log)} == tally.last_message.keys() == tally.last_login.keys()
    assert host.log.stat().st_size == host.following.received_bytes + 5
    host.commit()
    entry = host.table.get(packed(A))
    assert entry is not None
    assert str(host.log) == entry.peer


def test_our_own_lines_are_counted_as_ours(host: Host) -> None:
    """By which `doctor --send` sees that what syslogd writes is read."""
    host.write(f"{stamp(0)} mail1 syslogauth: doctor 1", f"{stamp(0)} mail1 syslogauth[7]: doctor 2")
    host.read()
    assert 2 == host.intake.tally.outcomes["own_message"]


UW = "mail1 imapd[86]: Login user=bob host=[192.0.2.25]"


@pytest.mark.parametrize(("escaped", "outcome"), [(True, GRANT), (False, "unescaped_source")])
def test_a_server_that_does_not_escape_is_believed_where_the_file_is_declared_to(tmp_path: Path, escaped: bool, outcome: str) -> None:
    host = Host(tmp_path, escaped=escaped)
    host.write(f"{stamp(0)} {UW}")
    host.read()
    assert 1 == host.intake.tally.outcomes[outcome]


def test_the_position_is_committed_with_what_the_lines_before_it_gave(host: Host) -> None:
    host.write(login(A))
    host.read()
    assert host.table.position(str(host.log)) is None
    host.commit()
    stored = host.table.position(str(host.log))
    assert stored is not None
    assert [host.log.stat().st_size] == [mark.offset for mark in Position.unpacked(stored).marks]


def test_a_kill_before_the_commit_loses_nothing_and_one_after_it_counts_nothing_twice(host: Host) -> None:
    host.write(login(A))
    host.read()
    host.begin()
    host.read()
    host.commit()
    assert 1 == host.count(A)
    host.begin()
    host.write(login(B))
    host.read()
    host.commit()
    assert (1, 1) == (host.count(A), host.count(B))


def test_the_position_after_lines_that_gave_nothing_is_kept_at_a_stop(host: Host) -> None:
    host.write("noise", "more of it")
    host.read()
    host.following.stop()
    host.commit()
    host.begin()
    host.read()
    assert 0 == host.following.received


def test_a_position_that_cannot_be_read_is_said_and_the_file_read_from_its_beginning(host: Host) -> None:
    host.write(login(A))
    host.table.commit([], time.time(), (), [(str(host.log), b"\x09?")])
    with structlog.testing.capture_logs() as said:
        host.begin()
    assert [("warning", "followed file: its position cannot be read; read from its beginning")] == [
        (e["log_level"], e["event"]) for e in said
    ]
    host.read()
    host.commit()
    assert 1 == host.count(A)


def test_a_commit_that_fails_leaves_the_position_with_its_grants(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.write(login(A))
    host.read()
    with monkeypatch.context() as full:
        full.setattr(host.table, "commit", disk_full)
        host.commit()
    assert host.table.position(str(host.log)) is None
    host.commit()
    assert 1 == host.count(A)
    assert host.table.position(str(host.log)) is not None


def disk_full(*_: object) -> None:
    raise OSError("no space left on device")


def test_a_turn_takes_a_share_and_says_that_more_waits(host: Host) -> None:
    line = "x" * 1023
    host.write(*[line] * ((BLOCKS_AT_ONCE * BLOCK_BYTES) // 1024 + 10))
    assert host.following.turn()
    assert BLOCKS_AT_ONCE * BLOCK_BYTES == host.following.received_bytes + host.following.received
    assert not host.following.turn()


def test_the_figures_say_what_is_unread_and_how_the_file_was_rotated(host: Host) -> None:
    host.read()
    host.write("noise")
    samples = host.following.samples()
    path = str(host.log)
    assert [((path,), 6)] == samples["file_unread_bytes"]
    assert [((path,), 1)] == samples["file_readable"]
    host.read()
    host.log.rename(host.log.with_name("maillog.0"))
    host.log.touch()
    host.read()
    samples = host.following.samples()
    assert [((path, "renamed"), 1), ((path, "truncated"), 0)] == samples["file_rotations"]
    assert [((path,), 0)] == samples["file_unread_bytes"]


# grants that are held while a session is open


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (lambda: [login(A, 7200)], True),
        (lambda: [login(A, 7200), logout(3600)], False),
        (lambda: [login(A, 7200), logout(600)], True),
        (lambda: [login(A, HOLD + GRACE + 60)], False),
    ],
    ids=["open", "closed long ago", "closed within the grace", "longer than it may last"],
)
def test_who_logged_in_long_ago_and_is_still_connected_may_relay_after_a_catch_up(
    tmp_path: Path, lines: Callable[[], list[str]], expected: bool
) -> None:
    host = Host(tmp_path, holds=True)
    host.write(*lines())
    host.read()
    host.commit()
    assert expected == host.may_relay(A)


def test_the_clock_of_a_file_in_another_time_zone_shows(host: Host) -> None:
    host.read()
    host.write(login(A, 3600))
    host.read()
    (skew,) = host.intake.tally.skews.by_peer().values()
    assert -3602 < skew <= -3600


def test_a_file_of_last_year_grants_nothing(host: Host) -> None:
    """Its stamps name no year: the time that it was last written to does."""
    host.write(login(A, -60), login(B, 60))
    os.utime(host.log, (time.time() - 365 * 86400, time.time() - 365 * 86400))
    host.read()
    host.commit()
    assert (False, False) == (host.may_relay(A), host.may_relay(B))
