"""Logins of several lines: which two lines are one login, and what is kept of the first meanwhile."""

import pytest

from syslogauth.core import sessions
from syslogauth.core.login import Authenticated, Connected, Login, Refusal
from syslogauth.core.message import Message
from syslogauth.core.sessions import JOIN_SECONDS, Joins

NOW = 1_700_000_000.0
CLIENT, OTHER_CLIENT = b"\xc0\x00\x02\x19", b"\xc6\x33\x64\x07"
FIRST, LATER = Connected("popa3d", CLIENT), Authenticated("popa3d", "pop3", "bob", "popa3d[7]")
LOGIN = Login("popa3d", "pop3", "bob", CLIENT, end_key="popa3d[7]")


def row(name: str, *values: object) -> object:
    return pytest.param(*values, id=name)


def of(hostname: bytes = b"mail1", app_name: bytes = b"popa3d", procid: bytes = b"7") -> Message:
    return Message(22, b"", hostname, app_name, procid, b"")


def test_two_lines_of_one_process_are_one_login() -> None:
    joins = Joins()
    joins.connected("10.0.0.1", of(), FIRST, NOW)
    assert LOGIN == joins.authenticated("10.0.0.1", of(), LATER, NOW)


@pytest.mark.parametrize(
    ("host", "message", "line"),
    [
        row("another peer", "10.0.0.2", of(), LATER),
        row("another hostname", "10.0.0.1", of(hostname=b"mail2"), LATER),
        row("no hostname", "10.0.0.1", of(hostname=b""), LATER),
        row("another app_name", "10.0.0.1", of(app_name=b"popa3ds"), LATER),
        row("another process", "10.0.0.1", of(procid=b"8"), LATER),
        row("no procid", "10.0.0.1", of(procid=b""), LATER),
        row("another server's line", "10.0.0.1", of(), Authenticated("solid-pop3d", "pop3", "bob")),
    ],
)
def test_what_is_not_surely_of_the_same_process_is_not_joined(host: str, message: Message, line: Authenticated) -> None:
    joins = Joins()
    joins.connected("10.0.0.1", of(), FIRST, NOW)
    assert Refusal.UNJOINED == joins.authenticated(host, message, line, NOW)


def test_lines_without_a_procid_are_never_joined_nor_kept() -> None:
    joins = Joins()
    joins.connected("10.0.0.1", of(procid=b""), FIRST, NOW)
    assert Refusal.UNJOINED == joins.authenticated("10.0.0.1", of(procid=b""), LATER, NOW)
    assert 0 == len(joins)


@pytest.mark.parametrize(
    ("after", "joined"),
    [row("at once", 0.0, True), row("60 s", 60.0, True), row("later", 60.1, False), row("the clock was set back", -0.1, False)],
)
def test_the_later_line_comes_within_60_seconds(after: float, joined: bool) -> None:
    joins = Joins()
    joins.connected("10.0.0.1", of(), FIRST, NOW)
    assert (LOGIN if joined else Refusal.UNJOINED) == joins.authenticated("10.0.0.1", of(), LATER, NOW + after)
    assert 60.0 == JOIN_SECONDS


def test_a_first_line_is_good_for_one_login() -> None:
    joins = Joins()
    joins.connected("10.0.0.1", of(), FIRST, NOW)
    assert LOGIN == joins.authenticated("10.0.0.1", of(), LATER, NOW)
    assert Refusal.UNJOINED == joins.authenticated("10.0.0.1", of(), LATER, NOW)


def test_a_first_line_that_comes_second_joins_nothing_that_was_before_it() -> None:
    joins = Joins()
    assert Refusal.UNJOINED == joins.authenticated("10.0.0.1", of(), LATER, NOW)
    joins.connected("10.0.0.1", of(), FIRST, NOW)
    assert 1 == len(joins)


def test_the_last_first_line_of_a_process_counts_for_a_pid_comes_again() -> None:
    joins = Joins()
    joins.connected("10.0.0.1", of(), Connected("popa3d", OTHER_CLIENT), NOW)
    joins.connected("10.0.0.1", of(), FIRST, NOW + 1)
    assert LOGIN == joins.authenticated("10.0.0.1", of(), LATER, NOW + 2)


def test_a_pid_that_comes_again_does_not_join_what_is_too_old() -> None:
    joins = Joins()
    joins.connected("10.0.0.1", of(), Connected("popa3d", OTHER_CLIENT), NOW)
    assert Refusal.UNJOINED == joins.authenticated("10.0.0.1", of(), LATER, NOW + JOIN_SECONDS + 1)
    assert 0 == len(joins)


def test_the_same_pid_on_two_hosts_is_two_processes() -> None:
    joins = Joins()
    joins.connected("10.0.0.1", of(), FIRST, NOW)
    joins.connected("10.0.0.2", of(), Connected("popa3d", OTHER_CLIENT), NOW)
    joins.connected("10.0.0.1", of(hostname=b"mail2"), Connected("popa3d", OTHER_CLIENT), NOW)
    assert LOGIN == joins.authenticated("10.0.0.1", of(), LATER, NOW)


@pytest.mark.parametrize(
    ("host", "message", "joined"),
    [
        row("its own", "10.0.0.1", of(), False),
        row("another process's", "10.0.0.1", of(procid=b"8"), True),
        row("another peer's", "10.0.0.2", of(), True),
    ],
)
def test_a_failure_voids_the_first_line_of_its_process(host: str, message: Message, joined: bool) -> None:
    joins = Joins()
    joins.connected("10.0.0.1", of(), FIRST, NOW)
    joins.failed(host, message)
    assert (LOGIN if joined else Refusal.UNJOINED) == joins.authenticated("10.0.0.1", of(), LATER, NOW)


def test_beyond_its_capacity_the_oldest_first_line_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CAPACITY", 3)
    joins = Joins()
    for pid in (b"1", b"2", b"3", b"1", b"4"):  # 1 came again: 2 is the oldest
        joins.connected("10.0.0.1", of(procid=pid), FIRST, NOW)
    assert 3 == len(joins)
    found = [isinstance(joins.authenticated("10.0.0.1", of(procid=pid), LATER, NOW), Login) for pid in (b"1", b"2", b"3", b"4")]
    assert [True, False, True, True] == found


@pytest.mark.parametrize(
    ("swept_after", "left"),
    [
        row("while both can be joined", JOIN_SECONDS, 2),
        row("when the first is too old", JOIN_SECONDS + 10, 1),
        row("when both are", JOIN_SECONDS + 31, 0),
        row("after the clock was set back", -1.0, 0),
    ],
)
def test_what_nothing_can_join_any_more_is_swept(swept_after: float, left: int) -> None:
    joins = Joins()
    joins.connected("10.0.0.1", of(procid=b"1"), FIRST, NOW)
    joins.connected("10.0.0.1", of(procid=b"2"), FIRST, NOW + 30)
    joins.sweep(NOW + swept_after)
    assert left == len(joins)
