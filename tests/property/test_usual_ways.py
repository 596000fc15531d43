"""Invariant: a short way gives the same answer as the long one.

parse() reads the usual header by one pattern, Dovecot's format the usual login by one line; what they do not take goes the long way, and
what they take would come out of it the same.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.core.formats import dovecot
from syslogauth.core.formats.grammar import message_of
from syslogauth.core.login import Refusal
from syslogauth.core.message import CONTROL, MAX_DATAGRAM_BYTES, USUAL, parse, read_any
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
    ] == taken


USUAL_LINE, LONG_LINE = dovecot.FORMAT.usual, dovecot.FORMAT.lines[0]
assert USUAL_LINE
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
    usual, long = USUAL_LINE.pattern.fullmatch(message.text), LONG_LINE.pattern.fullmatch(message.text)
    if usual:
        assert long
        assert dovecot.read(message, long) == dovecot.read_usual(message, usual)


def test_the_usual_login_is_taken_by_the_short_way() -> None:
    [*_, sample] = (sample for sample in dovecot.FORMAT.samples if sample.text.startswith("imap-login: Login: user=<bob>, method=PLAIN"))
    message = message_of(sample.app_name, sample.text)
    found = USUAL_LINE.pattern.fullmatch(message.text)
    assert found
    assert not isinstance(dovecot.read_usual(message, found), Refusal)
