"""`last message repeated N times`: when it renews a grant, and when it is only counted."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from syslogauth.core import intake, recent
from syslogauth.core.address import Networks, canonical
from syslogauth.core.batch import Batch
from syslogauth.core.intake import Intake
from syslogauth.core.login import Grant, Refusal
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from syslogauth.core.recent import REPEAT_SECONDS
from syslogauth.record import Bounds
from syslogauth.table import Committed, Table

NOW = 1_700_000_000.0
GRACE = 1800.0
PEER, OTHER = "10.0.0.1", "10.0.0.2"
STAMP = b"<22>Nov 22 10:28:45 "
DOVECOT = b"dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, mpid=80, TLS, session=<Yw62FttgdcTA>"
UW = b"imapd[86]: Login user=bob host=[192.0.2.25]"
NOISE = b"sendmail[9]: q7: from=<a@example.org>, size=0, relay=[192.0.2.25]"
SUMMARY = b"last message repeated 3 times"


def row(name: str, *values: object) -> object:
    return pytest.param(*values, id=name)


def new() -> Intake:
    policy = Policy(GRACE, frozenset({"imap", "pop3"}), Networks(("127.0.0.0/8",)))
    return Intake(Sources(Networks(("10.0.0.0/8",)), frozenset({"mail", "local0"})), policy)


def outcomes(of: Intake) -> dict[str, int]:
    return {name: count for name, count in of.tally.outcomes.items() if count}


def granted(of: Intake, *sent: tuple[bytes, str, float]) -> list[Grant]:
    """What these give. A datagram is a batch of its own; it has its sender and the time of its receipt, in seconds from now."""
    return [grant for datagram, host, after in sent for grant in of.feed(Batch.of([(datagram, (host, 40000))]), NOW + after)]


def fed(of: Intake, *sent: tuple[bytes, str, float]) -> list[float]:
    """When each grant expires, in seconds from now."""
    return [grant.expires_at - NOW for grant in granted(of, *sent)]


def at(after: float, datagram: bytes, host: str = PEER) -> tuple[bytes, str, float]:
    return datagram, host, after


LATER = GRACE + 30.0
DIALECTS = [
    row("FreeBSD 10", STAMP + UW, STAMP + SUMMARY),
    row("FreeBSD 12", STAMP + UW, STAMP + b"syslogd: " + SUMMARY),
    row("FreeBSD 10, of another host", STAMP + b"Forwarded from 192.0.2.5: " + UW, STAMP + b"Forwarded from 192.0.2.5: " + SUMMARY),
    row(
        "FreeBSD 12, of another host", STAMP + b"Forwarded from 192.0.2.5: " + UW, STAMP + b"Forwarded from 192.0.2.5: syslogd: " + SUMMARY
    ),
    row(
        "FreeBSD -O rfc5424",
        b"<22>1 2026-11-22T10:31:04Z mail1 imapd 86 - - " + UW.partition(b": ")[2],
        b"<22>1 2026-11-22T10:31:35Z mail1 syslogd - - - " + SUMMARY,
    ),
    row("OpenBSD -Z", b"<22>2026-11-22T10:31:04.123Z " + UW, b"<22>2026-11-22T10:31:35.123Z " + SUMMARY),
    row("NetBSD, of another host", STAMP + b"[relay]: " + UW, STAMP + b"[relay]: " + SUMMARY),
    row("inetutils", STAMP + UW, STAMP + SUMMARY + b" "),
    row("relayed with a hostname", STAMP + b"mail1 " + UW, STAMP + b"mail1 " + SUMMARY),
    row("FreeBSD 12, relayed with a hostname", STAMP + b"mail1 " + UW, STAMP + b"mail1 syslogd: " + SUMMARY),
    row("sysklogd", b"<22>" + UW, b"<22>" + SUMMARY),
    row(
        "syslog-ng suppress()",
        STAMP + b"mail1 " + UW,
        STAMP + b"mail1 imapd[86]: Last message 'Login user=bob host=' repeated 3 times, suppressed by syslog-ng on mail1\n",
    ),
]


@pytest.mark.parametrize(("line", "summary"), DIALECTS)
def test_a_summary_renews_the_grant_before_it(line: bytes, summary: bytes) -> None:
    one = new()
    assert [GRACE, LATER] == fed(one, at(0, line), at(30, summary))
    assert {"grant": 2} == outcomes(one)


@pytest.mark.parametrize(("line", "summary"), DIALECTS)
def test_a_summary_of_no_login_is_only_counted(line: bytes, summary: bytes) -> None:
    one = new()
    assert [GRACE] == fed(one, at(0, line), at(1, line.replace(b"Login", b"Logout")), at(30, summary))
    assert {"grant": 1, "not_login": 1, "repeated": 1} == outcomes(one)


def test_a_quoted_message_is_read_once_whatever_came_before() -> None:
    """rsyslog's $RepeatedMsgReduction."""
    assert [GRACE] == fed(
        new(), at(0, STAMP + NOISE), at(0, STAMP + b"mail1 imapd[86]: message repeated 2 times: [ " + UW.partition(b": ")[2] + b"]")
    )


def test_a_summary_renews_what_a_summary_renewed() -> None:
    """FreeBSD's intervals: 30, 120, 600 s. Eleven minutes run from each summary's receipt."""
    afters = [31.0, 92.0, 212.0, 812.0, 812.0 + REPEAT_SECONDS]
    assert [GRACE, *(GRACE + after for after in afters)] == fed(new(), at(0, STAMP + UW), *(at(after, STAMP + SUMMARY) for after in afters))


@pytest.mark.parametrize(("after", "renewed"), [(0.0, True), (REPEAT_SECONDS, True), (661.0, False), (-1.0, False)])
def test_a_summary_renews_for_eleven_minutes(after: float, renewed: bool) -> None:
    one = new()
    expected = [GRACE, GRACE + after] if renewed else [GRACE]
    assert expected == fed(one, at(0, STAMP + UW), at(after, STAMP + SUMMARY))
    assert {"grant": len(expected), **({} if renewed else {"repeated": 1})} == outcomes(one)


def test_eleven_minutes_are_660_seconds() -> None:
    assert REPEAT_SECONDS == 11 * 60


MAIL1, MAIL2 = STAMP + b"mail1 ", STAMP + b"mail2 "


@pytest.mark.parametrize(
    "between",
    [
        row("noise", at(1, MAIL1 + NOISE)),
        row("long noise", at(1, MAIL1 + NOISE + b"x" * 4000)),
        row("noise of the same server", at(1, MAIL1 + b"imapd[86]: Logout user=bob host=[192.0.2.25]")),
        row("a failed login", at(1, MAIL1 + b"imapd[86]: Login failed user=bob auth=bob host=[192.0.2.9]")),
        row("another facility's", at(1, b"<38>Nov 22 10:28:45 mail1 " + NOISE)),
        row("a login that is refused", at(1, MAIL1 + UW.replace(b"192.0.2.25", b"127.0.0.1"))),
        row("a login with a session id", at(1, MAIL1 + DOVECOT.replace(b"192.0.2.25", b"127.0.0.1"))),
        row("our own message", at(1, MAIL1 + b"syslogauth: x")),
        row("control bytes: whose it was cannot be told", at(1, MAIL2 + b"imapd[86]: Logout user=a\nb host=[192.0.2.9]")),
        row("a malformed datagram", at(1, b"<22>x")),
        row("an oversize one", at(1, MAIL2 + NOISE * 200)),
        row("one without a priority", at(1, b"x")),
        row("a summary too late", at(661, MAIL1 + SUMMARY)),
    ],
)
def test_whatever_comes_between_of_the_same_host_ends_the_renewing(between: tuple[bytes, str, float]) -> None:
    assert [GRACE] == fed(new(), at(0, MAIL1 + UW), between, at(30, MAIL1 + SUMMARY))


@pytest.mark.parametrize(
    "between",
    [
        row("noise of another hostname", at(1, MAIL2 + NOISE)),
        row("noise of another peer", at(1, MAIL1 + NOISE, OTHER)),
        row("noise of the relay itself", at(1, STAMP + NOISE)),
        row("a summary of another hostname", at(1, MAIL2 + SUMMARY)),
        row("a malformed datagram of another peer", at(1, b"<22>x", OTHER)),
        row("anything of an unlisted sender", at(1, MAIL1 + NOISE, "203.0.113.1")),
    ],
)
def test_what_others_send_between_does_not_matter(between: tuple[bytes, str, float]) -> None:
    assert [GRACE, LATER] == fed(new(), at(0, MAIL1 + UW), between, at(30, MAIL1 + SUMMARY))


@pytest.mark.parametrize(
    ("line", "summary", "host"),
    [
        row("another peer", MAIL1 + UW, MAIL1 + SUMMARY, OTHER),
        row("another hostname", MAIL1 + UW, MAIL2 + SUMMARY, PEER),
        row("no hostname", MAIL1 + UW, STAMP + SUMMARY, PEER),
        row("a hostname where the line had none", STAMP + UW, MAIL1 + SUMMARY, PEER),
        row("a forwarded one's where the line was local", STAMP + UW, STAMP + b"Forwarded from 192.0.2.5: " + SUMMARY, PEER),
        row("after a login with a session id", MAIL1 + DOVECOT, MAIL1 + SUMMARY, PEER),
        row("after a login that was refused", MAIL1 + UW.replace(b"192.0.2.25", b"127.0.0.1"), MAIL1 + SUMMARY, PEER),
    ],
)
def test_a_summary_that_does_not_follow_renews_nothing(line: bytes, summary: bytes, host: str) -> None:
    one = new()
    before = fed(one, at(0, line))
    assert [] == fed(one, at(30, summary, host))
    assert 1 == one.tally.outcomes[Refusal.REPEATED]
    assert before in ([GRACE], [])


def test_a_login_that_can_not_repeat_ends_the_renewing_of_the_one_before() -> None:
    assert [GRACE, GRACE] == fed(new(), at(0, MAIL1 + UW), at(0, MAIL1 + DOVECOT), at(30, MAIL1 + SUMMARY))


def test_a_summary_renews_the_last_login_alone() -> None:
    one = new()
    fed(one, at(0, MAIL1 + UW), at(0, MAIL1 + UW.replace(b"192.0.2.25", b"192.0.2.26")))
    [grant] = one.feed(Batch.of([(MAIL1 + SUMMARY, (PEER, 514))]), NOW)
    assert "192.0.2.26" == canonical(grant.address)


def test_hostnames_of_one_peer_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "CAPACITY_OF_ONE", 4)
    one = new()
    fed(one, *(at(0, STAMP + b"mail%d " % n + UW) for n in range(20)))
    assert [b"mail0", b"mail1", b"mail2", b"mail3"] == list(one._judge.recent.hosts[PEER].repeatable)


def test_senders_of_one_listed_network_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "CAPACITY_HOSTS", 4)
    one = new()
    senders = [f"10.0.1.{n}" for n in range(20)]
    assert [GRACE] * 20 == fed(one, *(at(0, STAMP + UW, sender) for sender in senders))
    assert senders[:4] == list(one._judge.recent.hosts)
    assert [GRACE + 30] * 4 == fed(one, *(at(30, STAMP + SUMMARY, sender) for sender in senders))


def test_what_no_summary_can_renew_any_more_is_swept_whoever_sends_next() -> None:
    one = new()
    fed(one, at(0, MAIL1 + UW), at(0, MAIL1 + UW, OTHER), at(100, MAIL2 + UW))
    fed(one, at(REPEAT_SECONDS + 1, MAIL1 + NOISE, "10.0.0.3"))
    assert {PEER: [b"mail2"]} == {host: list(of.repeatable) for host, of in one._judge.recent.hosts.items()}
    fed(one, at(REPEAT_SECONDS + 101 + intake.SWEEP_SECONDS, MAIL1 + NOISE, "10.0.0.3"))
    assert {} == one._judge.recent.hosts


def test_a_memory_that_was_swept_has_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "CAPACITY_HOSTS", 1)
    one = new()
    later = REPEAT_SECONDS + 1
    fed(one, at(0, STAMP + UW), at(0, STAMP + UW, OTHER), at(later, STAMP + NOISE, "10.0.0.3"), at(later, STAMP + UW, OTHER))
    assert [later + 30 + GRACE] == fed(one, at(later + 30, STAMP + SUMMARY, PEER), at(later + 30, STAMP + SUMMARY, OTHER))


# renewing is not logging in again: when the repeated logins were is unknown


def test_a_renewed_grant_counts_from_the_line_that_is_repeated_and_ends_as_the_summary_says() -> None:
    times = [(grant.granted_at - NOW, grant.expires_at - NOW) for grant in granted(new(), *LINE_AND_SUMMARIES)]
    assert [(0.0, GRACE), (0.0, GRACE + 30), (0.0, GRACE + 90)] == times


LINE_AND_SUMMARIES = (at(0, STAMP + UW), at(30, STAMP + SUMMARY), at(90, STAMP + SUMMARY))


@pytest.mark.parametrize(
    ("how", "when", "became"),
    [
        row("not at all", "", 0, ["new", "refreshed", "refreshed"]),
        row("revoked behind the login", "revoke", 10, ["new", "revoked", "revoked"]),
        row("revoked between the summaries", "revoke", 60, ["new", "refreshed", "revoked"]),
        row("flushed behind the login", "flush", 10, ["new", "revoked", "revoked"]),
        row("revoked before the login", "revoke", -10, ["new", "refreshed", "refreshed"]),
    ],
)
def test_what_was_taken_away_is_not_brought_back_by_a_summary(tmp_path: Path, how: str, when: float, became: Sequence[str]) -> None:
    table, one = Table(tmp_path / "table", 1000, Bounds(GRACE, 86400)), new()
    take_away = {"revoke": lambda: table.revoke(bytes((192, 0, 2, 25)), NOW + when), "flush": lambda: table.flush(NOW + when)}.get(how)
    seen = []
    for datagram, host, after in LINE_AND_SUMMARIES:
        if take_away and when <= after:
            take_away()
            take_away = None
        seen.append(table.commit(granted(one, (datagram, host, after)), NOW + after))
    assert [Committed(**{name: 1}) for name in became] == seen
    table.close()
