"""What begins and ends a session, logins of several lines on their way through the intake, and what is counted beside the outcomes."""

from dataclasses import replace

import pytest

from syslogauth.core.address import Networks, canonical
from syslogauth.core.batch import Batch
from syslogauth.core.formats import FORMATS, Recogniser
from syslogauth.core.formats.grammar import Format, Kind, Line, whole
from syslogauth.core.intake import SWEEP_SECONDS, Intake
from syslogauth.core.login import Closed, Opened, Refusal
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy, Rule
from syslogauth.core.sessions import JOIN_SECONDS
from syslogauth.settings import users

NOW = 1_700_000_000.0
GRACE, HOLD = 1800.0, 3600.0
PEER, OTHER, SOCKLOG, DECLARED, SPLITTING = "10.0.0.1", "10.0.0.2", "10.9.0.1", "10.9.0.2", "10.9.1.1"
POLICY = Policy(GRACE, frozenset({"imap", "pop3"}), Networks(("127.0.0.0/8",)), hold_max_seconds=HOLD)
SOURCES = Sources(
    peers=Networks(("10.0.0.0/8", "2001:db8:1::/48")),
    facilities=frozenset({"mail", "local0"}),
    without_priority=Networks(("10.9.0.0/24",)),
    escaping=Networks((DECLARED,)),
    splitting=Networks((SPLITTING,)),
)
STAMP, MAIL1 = b"<22>Nov 22 10:28:45 ", b"<22>Nov 22 10:28:45 mail1 "
UW, UW_LOGOUT = b"imapd[86]: Login user=bob host=[192.0.2.25]", b"imapd[86]: Logout user=bob host=[192.0.2.25]"
DOVECOT = b"dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, mpid=80, TLS, session=<Yw62FttgdcTA>"
DOVECOT_LOGOUT = b"dovecot: imap(bob)<80><Yw62FttgdcTA>: Disconnected: Logged out in=8 out=468"
STATS = b"qpopper[7]: Stats: bob 0 0 3 2048 c1.example.net 192.0.2.25"
QPOPPER = b'qpopper[7]: (v4.0.19) POP login by user "bob" at (c1.example.net) 192.0.2.25'
NOISE = b"sendmail[9]: q7: from=<a@example.org>, size=0, relay=[192.0.2.25]"
FIRST, LATER, FAILED = (
    b"popa3d[7]: Session from 192.0.2.25",
    b"popa3d[7]: Authentication passed for bob",
    b"popa3d[7]: Authentication failed for bob",
)


def row(name: str, *values: object) -> object:
    return pytest.param(*values, id=name)


def new(**changes: object) -> Intake:
    return Intake(SOURCES, replace(POLICY, **changes))  # type: ignore[arg-type]


def events(of: Intake, *datagrams: bytes, host: str = PEER, now: float = NOW) -> list[Opened | Closed]:
    of.feed(Batch.of([(datagram, (host, 514)) for datagram in datagrams]), now)
    taken, of.sessions = of.sessions, []
    return taken


def outcomes(of: Intake) -> dict[str, int]:
    return {name: count for name, count in of.tally.outcomes.items() if count}


# sessions that hold a grant


@pytest.mark.parametrize(
    ("login", "logout"),
    [
        row("by the session's id", DOVECOT, DOVECOT_LOGOUT),
        row("by the process", UW, UW_LOGOUT),
        row("by the process, in other words", UW, b"imapd[86]: Autologout user=bob host=[192.0.2.25]"),
        row("by the line that qpopper writes at the end", QPOPPER, STATS),
        row("of a login of two lines", FIRST + b"|" + LATER, b"popa3d[7]: 0 (0) deleted, 3 (2048) left"),
    ],
)
def test_a_login_and_its_logout_name_one_session(login: bytes, logout: bytes) -> None:
    one = new()
    [opened] = events(one, *(MAIL1 + line for line in login.split(b"|")))
    [closed] = events(one, MAIL1 + logout, now=NOW + 60)
    assert isinstance(opened, Opened)
    assert Opened(opened.key, b"\xc0\x00\x02\x19", NOW, NOW + HOLD + GRACE, GRACE) == opened
    assert Closed(opened.key, NOW + 60) == closed
    assert 16 == len(opened.key)


@pytest.mark.parametrize(
    ("header", "line", "host"),
    [
        row("another peer", MAIL1, UW_LOGOUT, OTHER),
        row("another hostname", b"<22>Nov 22 10:28:45 mail2 ", UW_LOGOUT, PEER),
        row("no hostname", STAMP, UW_LOGOUT, PEER),
        row("another process", MAIL1, UW_LOGOUT.replace(b"[86]", b"[87]"), PEER),
        row("another tag", MAIL1, UW_LOGOUT.replace(b"imapd", b"imaps"), PEER),
    ],
)
def test_a_logout_elsewhere_names_another_session(header: bytes, line: bytes, host: str) -> None:
    one = new()
    [opened] = events(one, MAIL1 + UW)
    [closed] = events(one, header + line, host=host)
    assert opened.key != closed.key


def test_the_same_sender_seen_through_another_socket_names_the_same_session() -> None:
    [before] = events(new(), MAIL1 + UW, host="10.0.0.1")
    [after] = events(new(), MAIL1 + UW_LOGOUT, host="::ffff:10.0.0.1")
    assert before.key == after.key


def test_sessions_come_in_the_order_of_arrival() -> None:
    found = events(new(), MAIL1 + UW, MAIL1 + UW_LOGOUT, MAIL1 + DOVECOT, MAIL1 + UW, MAIL1 + DOVECOT_LOGOUT)
    assert [Opened, Closed, Opened, Opened, Closed] == [type(event) for event in found]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        row("a login that is refused", {}, UW.replace(b"192.0.2.25", b"127.0.0.1")),
        row("a login that a rule refuses", {"rules": (Rule(users=users(["bob"])),)}, UW),
        row("a login whose session has no name: no process id", {}, UW.replace(b"[86]", b"")),
        row("a login whose session has no name: no session id", {}, DOVECOT.replace(b", session=<Yw62FttgdcTA>", b"")),
        row("a proxied login, whose end is its backend's", {}, DOVECOT.replace(b"Login:", b"proxy(bob): started proxying to h:143:")),
        row("a logout without a name", {}, UW_LOGOUT.replace(b"[86]", b"")),
        row("a first line", {}, FIRST),
        row("a failure", {}, FAILED),
        row("noise", {}, NOISE),
        row("a summary", {}, b"last message repeated 3 times"),
    ],
)
def test_other_lines_begin_and_end_nothing(changes: dict[str, object], line: bytes) -> None:
    assert [] == events(new(**changes), MAIL1 + line)


def test_a_summary_of_a_login_opens_no_session_again() -> None:
    one = new()
    assert 1 == len(events(one, MAIL1 + UW))
    assert [] == events(one, MAIL1 + b"last message repeated 3 times")
    assert {"grant": 2} == outcomes(one)


@pytest.mark.parametrize(
    ("line", "outcome"), [(DOVECOT_LOGOUT, "not_login"), (UW_LOGOUT, "not_login"), (UW, "grant"), (STATS, "session_end")]
)
def test_where_grants_are_not_held_nothing_is_kept(line: bytes, outcome: str) -> None:
    one = new(hold_max_seconds=0.0)
    assert [] == events(one, MAIL1 + line)
    assert {outcome: 1} == outcomes(one)


def test_the_rule_that_grants_says_how_long_it_runs_after_the_end() -> None:
    [opened] = events(new(rules=(Rule(grace_seconds=60.0),)), MAIL1 + UW)
    assert isinstance(opened, Opened)
    assert (60.0, NOW + HOLD + 60) == (opened.grace_seconds, opened.held_until)


@pytest.mark.parametrize("counts", [True, False])
def test_a_qpopper_line_at_the_end_closes_whether_it_grants_or_not(counts: bool) -> None:
    one = new(qpopper_stats=counts)
    [closed] = events(one, MAIL1 + STATS)
    assert isinstance(closed, Closed)
    assert {"grant" if counts else "session_end": 1} == outcomes(one)


WHO = rb"(?P<user>[^ ]{1,64}) (?P<address>[0-9.]{7,15})"
BY_CLIENT = Format(
    name="mypop",
    app_names={b"mypopd": "pop3"},
    lines=(Line(Kind.LOGIN, whole(rb"in " + WHO)), Line(Kind.LOGOUT, whole(rb"out " + WHO))),
    begins=rb"in ",
    logout_begins=rb"out ",
    ends="client",
    samples=(),
    near_misses=(),
    sources=(),
)


def test_a_session_that_is_named_by_user_and_address_may_be_one_of_several() -> None:
    one = Intake(SOURCES, POLICY, Recogniser((BY_CLIENT,)))
    lines = [b"in bob 192.0.2.25", b"out bob 192.0.2.25", b"in bob 192.0.2.26", b"in eve 192.0.2.25"]
    keys = [event.key for line in lines for event in events(one, MAIL1 + b"mypopd: " + line)]
    assert (4, 3) == (len(keys), len(set(keys)))
    assert keys[0] == keys[1]
    [alone] = events(one, MAIL1 + b"mypopd[7]: " + lines[0])
    [counted] = events(one, MAIL1 + b"mypopd: " + lines[0])
    assert (True, True) == tuple(event.counted for event in (alone, counted) if isinstance(event, Opened))  # a pid may be its logger's


# logins of several lines


def test_a_login_of_two_lines_is_granted_when_the_second_comes() -> None:
    one = new()
    assert [] == one.feed(Batch.of([(MAIL1 + FIRST, (PEER, 514))]), NOW)
    [grant] = one.feed(Batch.of([(MAIL1 + LATER, (PEER, 514))]), NOW + 5)
    assert ("192.0.2.25", "bob", "pop3", "popa3d", NOW + 5, NOW + 5 + GRACE) == (
        *(canonical(grant.address), grant.user, grant.service, grant.server),
        *(grant.granted_at, grant.expires_at),
    )
    assert {"connected": 1, "grant": 1} == outcomes(one)
    assert {("popa3d", "pop3"): 1} == one.tally.logins


@pytest.mark.parametrize(
    "between",
    [
        row("noise", NOISE),
        row("another process", FIRST.replace(b"[7]", b"[8]").replace(b"192.0.2.25", b"192.0.2.9")),
        row("a failure of another", FAILED.replace(b"[7]", b"[8]")),
        row("a summary", b"last message repeated 3 times"),
        row("a login", DOVECOT),
    ],
)
def test_other_lines_may_come_between(between: bytes) -> None:
    one = new()
    grants = one.feed(Batch.of([(MAIL1 + line, (PEER, 514)) for line in (FIRST, between, LATER)]), NOW)
    assert ("192.0.2.25", "popa3d") == (canonical(grants[-1].address), grants[-1].server)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        row("a failure between", (FIRST, FAILED, LATER), {"connected": 1, "not_login": 1, "unjoined": 1}),
        row("the wrong order", (LATER, FIRST), {"connected": 1, "unjoined": 1}),
        row("twice", (FIRST, LATER, LATER), {"connected": 1, "grant": 1, "unjoined": 1}),
        row("another process", (FIRST, LATER.replace(b"[7]", b"[8]")), {"connected": 1, "unjoined": 1}),
        row("no process", (FIRST.replace(b"[7]", b""), LATER.replace(b"[7]", b"")), {"connected": 1, "unjoined": 1}),
        row("an address that is none", (FIRST.replace(b"25", b"256"), LATER), {"bad_address": 1, "unjoined": 1}),
    ],
)
def test_lines_that_are_not_surely_one_login_grant_nothing(lines: tuple[bytes, ...], expected: dict[str, int]) -> None:
    one = new()
    one.feed(Batch.of([(MAIL1 + line, (PEER, 514)) for line in lines]), NOW)
    assert expected == outcomes(one)


def test_first_lines_are_swept_with_the_rest() -> None:
    one = new()
    one.feed(Batch.of([(MAIL1 + FIRST, (PEER, 514))]), NOW)
    one.feed(Batch.of([(MAIL1 + NOISE, (OTHER, 514))]), NOW + JOIN_SECONDS + SWEEP_SECONDS)
    assert 0 == len(one._judge.joins)


def test_a_clock_that_was_set_back_does_not_put_off_the_sweeping() -> None:
    one = new()
    one.feed(Batch.of([(MAIL1 + FIRST, (PEER, 514))]), NOW)
    one.feed(Batch.of([(MAIL1 + NOISE, (OTHER, 514))]), NOW - 86400)
    assert 0 == len(one._judge.joins)


# what looks like a login and is none of the known ones


@pytest.mark.parametrize(
    ("datagram", "host", "counted"),
    [
        row("a new wording", MAIL1 + b"imapd[86]: Logged in as bob from [192.0.2.25]", PEER, {"imapd": 1}),
        row("a new element", MAIL1 + DOVECOT.replace(b", TLS", b", ja4=x"), PEER, {"dovecot": 1}),
        row("an attack", MAIL1 + DOVECOT.replace(b"<bob>", b"<a, rip=9.9.9.9>"), PEER, {"dovecot": 1}),
        row("an address that is none", MAIL1 + UW.replace(b"192.0.2.25", b"0.0.0.1"), PEER, {"imapd": 1}),
        row("a prefix is not a label", MAIL1 + b"slot7/imap[86]: login accepted: bob from 192.0.2.25", PEER, {"*/imap": 1}),
        row("a login", MAIL1 + UW, PEER, {}),
        row("a refused one", MAIL1 + UW.replace(b"192.0.2.25", b"127.0.0.1"), PEER, {}),
        row("a failed one", MAIL1 + b"imapd[86]: Login failed user=bob auth=bob host=[192.0.2.25]", PEER, {}),
        row("a failed one, without <PRI>", UW.replace(b"Login", b"Login failed"), SOCKLOG, {}),
        row("the failure of a login of two lines", MAIL1 + FAILED, PEER, {}),
        row("no address", MAIL1 + b"imapd[86]: Logged in as bob", PEER, {}),
        row("an unknown server", MAIL1 + b"newpopd[86]: Logged in as bob from [192.0.2.25]", PEER, {}),
        row("an unlisted facility", b"<38>Nov 22 10:28:45 imapd[86]: Logged in as bob from [192.0.2.25]", PEER, {}),
        row("an unlisted peer", MAIL1 + b"imapd[86]: Logged in as bob from [192.0.2.25]", "203.0.113.1", {}),
        row("control bytes", MAIL1 + b"imapd[86]: Logged in as bob\x07 from [192.0.2.25]", PEER, {}),
    ],
)
def test_what_looks_like_a_login_of_a_known_server_and_is_refused_is_counted_by_its_tag(
    datagram: bytes, host: str, counted: dict[str, int]
) -> None:
    one = new()
    one.feed(Batch.of([(datagram, (host, 514))]), NOW)
    assert counted == one.tally.unrecognised


@pytest.mark.parametrize("hold_max_seconds", [0.0, HOLD])
def test_what_is_known_to_be_no_login_is_not_counted_though_it_looks_like_one(hold_max_seconds: float) -> None:
    one = new(hold_max_seconds=hold_max_seconds)
    for form in FORMATS:
        for app_name, text in form.logouts:
            datagram = f"mail.info: Nov 22 10:28:45 {app_name}[7]: {text}".encode()  # past the gate, which wants a <PRI>
            one.feed(Batch.of([(datagram, (DECLARED, 514))]), NOW)
    assert {} == one.tally.unrecognised


# sources that may split a message at a client's line feed


@pytest.mark.parametrize(
    ("datagram", "host", "noted"),
    [
        row("with <PRI>, undeclared", STAMP + UW, PEER, {}),
        row("without, undeclared", b"mail.info: Nov 22 10:28:45 " + UW, SOCKLOG, {"10.0.0.0/8": (SOCKLOG, "imapd")}),
        row("without, declared to escape", b"mail.info: Nov 22 10:28:45 " + UW, DECLARED, {}),
        row("with <PRI>, declared not to escape", STAMP + UW, SPLITTING, {"10.0.0.0/8": (SPLITTING, "imapd")}),
        row("a server that escapes", b"mail.info: Nov 22 10:28:45 " + DOVECOT, SOCKLOG, {}),
        row("the end of a session", STAMP + UW_LOGOUT, SPLITTING, {"10.0.0.0/8": (SPLITTING, "imapd")}),
        row("noise", STAMP + NOISE, SPLITTING, {}),
    ],
)
def test_what_is_not_believed_for_the_sake_of_its_sender_is_noted(datagram: bytes, host: str, noted: dict[str, tuple[str, str]]) -> None:
    one = new()
    one.feed(Batch.of([(datagram, (host, 514))]), NOW)
    taken = one.tally.refusals.take()
    told = {peer: (example.sender, example.app_name) for reason, peer, _, example in taken if reason == "unescaped_source"}
    assert noted == told
    assert len(noted) == one.tally.outcomes[Refusal.UNESCAPED_SOURCE]
    assert {} == one.tally.unrecognised
