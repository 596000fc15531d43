"""Invariant: a short way gives the same answer as the long one.

parse() reads the usual header by one pattern, Dovecot's format the usual login by one line; what they do not take goes the long way, and
what they take would come out of it the same.
"""

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.core.address import Networks
from syslogauth.core.batch import Batch
from syslogauth.core.formats import ALL, Recogniser, dovecot, uw
from syslogauth.core.formats.grammar import message_of
from syslogauth.core.intake import Intake
from syslogauth.core.login import Refusal
from syslogauth.core.message import CONTROL, MAX_DATAGRAM_BYTES, USUAL, Message, parse, read_any
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from syslogauth.core.usual import usual_login
from tests.headers import HEADERS

TEXTS = (
    b"imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, session=<abc>",
    b"[ID 583609 mail.info] Login",
    b"[ID mail.info] Login",
    b"last message repeated 3 times",
    b"Last message 'x' repeated 3 times, suppressed by syslog-ng on mail1",
    b"message repeated 2 times: [ Login]",
    b"mail2 dovecot: x",
    b" two blanks before it",
    b"",
)
PIECES = (
    b"",
    b" ",
    b":",
    b": ",
    b"[",
    b"]",
    b"[7]",
    b"0",
    b"Forwarded from ",
    b"1 ",
    b"- ",
    b"mail1 ",
    b"Nov 22 10:28:45 ",
    b"\xff",
    b"2001:db8::1",
)


@st.composite
def datagrams(draw: st.DrawFn) -> bytes:
    header = draw(st.sampled_from(HEADERS)) % draw(st.sampled_from([b"dovecot", b"syslogd", b"in.qpopper", b"mailboxlog", b"a/b"]))
    line = header.replace(b"<22>", draw(st.sampled_from([b"<22>", b"<22>", b"<0>", b"<022>", b"<191>", b"<192>", b""]))) + draw(
        st.sampled_from(TEXTS)
    )
    start, length = draw(st.integers(0, 60)), draw(st.integers(0, 4))
    return line[:start] + draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3))) + line[start + length :]


@settings(deadline=None, max_examples=3000)
@given(datagram=datagrams(), needs_priority=st.booleans())
def test_the_usual_header_is_read_as_any_other(datagram: bytes, needs_priority: bool) -> None:
    datagram = datagram.translate(None, CONTROL).rstrip(b"\n\r\0 ")[:MAX_DATAGRAM_BYTES]
    assert read_any(datagram, 0, needs_priority) == parse(datagram, needs_priority)


def test_most_headers_of_syslogds_are_no_usual_ones_but_the_commonest_are() -> None:
    taken = [header for header in HEADERS if USUAL.fullmatch(header % b"dovecot" + TEXTS[0])]
    assert [
        b"<22>Nov 22 10:28:45 %s: ",
        b"<22>Nov  2 10:28:45 %s[733]: ",
        b"<22>Nov 22 10:28:45 mail1 %s: ",
        b"<22>Nov 22 10:28:45 192.0.2.5 %s[733]: ",
        b"<22>Nov 22 10:28:45 9mail %s: ",
        b"<22>Nov 22 10:28:45 Forwarded from 192.0.2.5: %s: ",
        b"<22>2026-11-22T10:28:45.583598+00:00 mail1 %s: ",
        b"<22>2026-11-22T10:28:45Z %s[733]: ",
        b"<22>2026-11-22 10:28:45,583 9mail %s: ",
    ] == taken


USUAL_TEXT, LONG_LINE = re.compile(dovecot.USUAL, re.DOTALL), dovecot.FORMAT.lines[0]
ELEMENTS = st.sampled_from(
    [
        "user=<bob>",
        "user=<bob, rip=9.9.9.9>",
        "user=<>",
        "user=<b\u00fcb@example.org>",
        "method=PLAIN",
        "method=ANONYMOUS",
        "rip=192.0.2.25",
        "rip=0.0.0.0",
        "rip=1.2.3",
        "rip=::ffff:192.0.2.25",
        "lip=192.0.2.1",
        "lip=x",
        "mpid=7",
        "TLS",
        "secured",
        "session=<abc+/=>",
        "session=abc",
        "session=<>",
    ]
)
USUAL_ORDER = st.tuples(
    *(
        st.sampled_from(choice)
        for choice in (
            ["user=<bob>", "user=<a, rip=9.9.9.9>", "user=<" + "a" * 330 + ">", "user=<b\u00fcb>"],
            ["method=PLAIN", "method=anonymous", "method="],
            ["rip=192.0.2.25", "rip=0.0.0.0", "rip=1.2.3", "rip=2001:db8::1", "rip=::ffff:192.0.2.25"],
            ["lip=192.0.2.1", "lip=1", "lip=1.2.3"],
            ["mpid=7", "TLS", "secured", "mpid=7, TLS", "session=<a>", ""],
            ["session=<abc>", "session=<>", "session=<" + "a" * 80 + ">", ""],
        )
    )
).map(lambda elements: [element for element in elements if element])


@settings(deadline=None, max_examples=2000)
@given(
    verb=st.sampled_from(["imap-login: Login: ", "pop3-login: Logged in: ", "sieve-login: Login: "]),
    elements=st.one_of(USUAL_ORDER, st.lists(ELEMENTS, max_size=7)),
)
def test_dovecots_usual_login_is_read_as_any_other(verb: str, elements: list[str]) -> None:
    message = message_of("dovecot", verb + ", ".join(elements))
    usual, long = USUAL_TEXT.fullmatch(message.text), LONG_LINE.pattern.fullmatch(message.text)
    if usual:
        assert long
        assert dovecot.read(message, long) == dovecot.read_usual(usual)


def test_the_usual_login_is_taken_by_the_short_way() -> None:
    [*_, sample] = (sample for sample in dovecot.FORMAT.samples if sample.text.startswith("imap-login: Login: user=<bob>, method=PLAIN"))
    message = message_of(sample.app_name, sample.text)
    found = USUAL_TEXT.fullmatch(message.text)
    assert found
    assert not isinstance(dovecot.read_usual(found), Refusal)


FACILITIES = frozenset({"mail"})
POLICY = Policy(1800.0, frozenset({"imap", "pop3"}), hold_max_seconds=3600.0)
WHOLE, READ = usual_login(ALL, FACILITIES)
WHOLE_LINE, _ = usual_login(ALL, None)


@settings(deadline=None, max_examples=2000)
@given(
    header=st.sampled_from(HEADERS),
    verb=st.sampled_from(["imap-login: Login: ", "pop3-login: Logged in: ", "sieve-login: Login: "]),
    elements=st.one_of(USUAL_ORDER, st.lists(ELEMENTS, max_size=7)),
    end=st.sampled_from([b"", b"", b"\n", b"\0", b"      ", b"\x01", b" x"]),
)
def test_a_usual_login_in_one_go_is_the_login_of_the_long_way(header: bytes, verb: str, elements: list[str], end: bytes) -> None:
    datagram = header % b"dovecot" + (verb + ", ".join(elements)).encode() + end
    for line, pattern, needs_priority in ((datagram, WHOLE, True), (datagram.removeprefix(b"<22>"), WHOLE_LINE, False)):
        if found := pattern.fullmatch(line):
            message = parse(line, needs_priority)
            assert isinstance(message, Message)
            assert message.hostname == (found["host"] or found["origin"] or b"")
            assert message.timestamp == found["stamp"]
            assert ALL.recognise(message) == READ(found)


def test_the_headers_that_most_syslogds_write_are_read_in_one_go() -> None:
    assert WHOLE.fullmatch(HEADERS[2] % b"dovecot" + TEXTS[0])
    assert WHOLE_LINE.fullmatch(HEADERS[2].removeprefix(b"<22>") % b"dovecot" + TEXTS[0])


def test_a_facility_that_is_not_listed_is_left_to_the_long_way() -> None:
    assert not WHOLE.fullmatch(HEADERS[2].replace(b"<22>", b"<38>") % b"dovecot" + TEXTS[0])


def test_a_tag_that_another_format_has_too_is_left_to_the_long_way() -> None:
    other = replace(uw.FORMAT, name="site", app_names={b"dovecot": "imap"}, site=True)
    assert Recogniser((dovecot.FORMAT, uw.FORMAT)).usual
    assert Recogniser((dovecot.FORMAT, other)).usual is None


def test_a_login_after_a_cut_line_or_one_that_may_repeat_goes_the_long_way() -> None:
    """The rest of a cut line is refused whatever it says, and a login must end what a summary may refer to."""
    sources = Sources(Networks(("10.0.0.0/8",)), FACILITIES)
    login = b"<22>Nov 22 10:28:45 mail1 dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, session=<abc>"
    old = b"<22>Nov 22 10:28:45 mail1 imapd[7]: Login user=eve host=[192.0.2.26]"
    summary = b"<22>Nov 22 10:28:45 mail1 last message repeated 2 times"
    one = Intake(sources, POLICY)
    grants = one.feed(Batch.of([(datagram, ("10.0.0.1", 514)) for datagram in (old, login, summary)]), 0.0)
    assert ["eve", "bob"] == [grant.user for grant in grants]
