"""The figures of each peer: its datagrams, its summaries, how far its clock is off."""

import time
from collections.abc import Iterator

import pytest

from syslogauth.core.address import Networks
from syslogauth.core.batch import Batch
from syslogauth.core.intake import SWEEP_SECONDS, Intake
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from syslogauth.core.tally import furthest

NOW = 1_795_429_725.0  # 2026-11-23T10:28:45Z
FARM, OTHER = "10.0.0.0/8", "192.0.2.7"
TEXT = "dovecot: imap-login: Disconnected: rip=198.51.100.1"
LOGIN = "dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=198.51.100.1, lip=192.0.2.1, mpid=80"


@pytest.fixture(autouse=True, params=["UTC", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def new() -> Intake:
    return Intake(Sources(Networks((FARM, OTHER)), frozenset({"mail"})), Policy(1800.0, frozenset({"imap"})))


def feed(one: Intake, *sent: tuple[str, str], now: float = NOW, port: int = 514) -> None:
    one.feed(Batch.of([(f"<22>{line}".encode(), (host, port)) for host, line in sent]), now)


def bsd(at: float) -> str:
    return time.strftime("%b %e %H:%M:%S", time.localtime(at))


def iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def test_datagrams_are_counted_by_the_peer_s_entry_also_where_many_come_at_once() -> None:
    one = new()
    line = f"{bsd(NOW)} mail1 {TEXT}"
    feed(one, *[("10.0.0.1", line)] * 3)
    feed(one, ("10.0.0.1", line), ("10.0.0.2", line), (OTHER, line), ("203.0.113.1", line), ("10.0.0.1", "?"))
    assert {FARM: 6, OTHER: 1} == one.tally.datagrams
    assert {FARM: "10.0.0.1", OTHER: OTHER} == one.tally.first_senders


def test_summaries_that_name_no_message_are_counted_whatever_they_stand_for() -> None:
    one = new()
    stamp = bsd(NOW)
    feed(one, ("10.0.0.1", f"{stamp} mail1 last message repeated 2 times"), (OTHER, f"{stamp} mail1 {TEXT}"))
    feed(one, ("10.0.0.1", f"{stamp} mail1 {LOGIN}"), ("10.0.0.1", f"{stamp} mail1 last message repeated 3 times"))
    feed(one, ("10.0.0.1", f"{stamp} mail1 {LOGIN.replace(': ', ': message repeated 2 times: [ ', 1)}]"))
    assert {FARM: 2} == one.tally.repeated
    assert 3 == one.tally.outcomes["grant"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(f"{iso(NOW + 5)} mail1 {TEXT}", 5.0, id="a stamp with a zone"),
        pytest.param(f"{iso(NOW - 86400 * 400)} mail1 {TEXT}", -86400.0 * 400, id="no battery"),
        pytest.param("2026-11-23T12:28:45.5+02:00 mail1 " + TEXT, 0.5, id="another zone, said"),
        pytest.param(f"1 {iso(NOW - 7)} mail1 dovecot 7 - - ?", -7.0, id="RFC 5424"),
        pytest.param(f"1 - mail1 dovecot 7 - - {TEXT}", None, id="RFC 5424 without a stamp"),
        pytest.param(TEXT, None, id="no stamp"),
        pytest.param(f"Nov 31 25:00:00 mail1 {TEXT}", None, id="no day"),
        pytest.param(f"2026-13-45T10:00:00Z mail1 {TEXT}", None, id="no month"),
        pytest.param("?", None, id="no syslog"),
    ],
)
def test_the_skew_is_that_of_the_stamp(line: str, expected: float | None) -> None:
    one = new()
    feed(one, (OTHER, line))
    assert ({} if expected is None else {OTHER: expected}) == one.tally.skews.by_peer()


@pytest.mark.parametrize("seconds", [0, 3600, -3600, 40 * 86400, -40 * 86400])
def test_a_stamp_without_a_zone_is_local_and_without_a_year_of_the_nearest(seconds: int) -> None:
    for now in (NOW, NOW + 39 * 86400):  # the turn of the year lies between
        one = new()
        feed(one, (OTHER, f"{bsd(now + seconds)} mail1 {TEXT}"), now=now)
        assert {OTHER: seconds} == one.tally.skews.by_peer()


def test_of_an_entry_with_many_senders_the_worst_clock_counts_whoever_comes_first() -> None:
    for order in ((1, -9, 2), (-9, 2, 1)):
        one = new()
        feed(one, *((f"10.0.0.{number}", f"{iso(NOW + skew)} mail1 {TEXT}") for number, skew in enumerate(order)))
        assert {FARM: -9.0} == one.tally.skews.by_peer()


def test_a_clock_that_was_put_right_is_forgotten_after_two_turns_and_a_silent_one_is_not() -> None:
    one = new()
    turn = SWEEP_SECONDS + 1
    feed(one, ("10.0.0.1", f"{iso(NOW + 60)} mail1 {TEXT}"))
    for number, expected in ((1, 60.0), (2, 0.0)):
        feed(one, ("10.0.0.1", f"{iso(NOW + number * turn)} mail1 {TEXT}"), now=NOW + number * turn)
        assert {FARM: expected} == one.tally.skews.by_peer()
    feed(one, ("10.0.0.1", f"{iso(NOW + 60)} mail1 {TEXT}"), now=NOW + 3 * turn)
    worst = 60 - 3 * turn
    for number in (4, 5, 6):  # others send, it does not
        feed(one, ("203.0.113.1", "?"), now=NOW + number * turn)
        assert {FARM: worst} == one.tally.skews.by_peer()


def test_a_sender_is_looked_at_once_in_a_turn() -> None:
    one = new()
    feed(one, (OTHER, f"{iso(NOW)} mail1 {TEXT}"))
    feed(one, (OTHER, f"{iso(NOW + 99)} mail1 {TEXT}"))
    assert {OTHER: 0.0} == one.tally.skews.by_peer()
    feed(one, (OTHER, f"{iso(NOW + 99)} mail1 {TEXT}"), port=515)  # another sender of the same host
    assert {OTHER: 99.0} == one.tally.skews.by_peer()


def test_of_two_skews_the_one_further_from_zero_is_taken_on_either_side() -> None:
    assert (-3.0, -3.0, 3.0, 0.0) == (furthest(-3, 2), furthest(2, -3), furthest(0, 3), furthest(0, 0))
