"""What each sender's stream becomes (facts: rsyslog, syslog-ng, OpenBSD's syslogd), and what a client may not make of it."""

import pytest

from syslogauth.core.framing import CUT_AT, Framing

LOGIN = b"<22>Nov 22 10:09:49 mail1 dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, mpid=80"
COUNTED = b"%d %b" % (len(LOGIN), LOGIN)
LONG = b"<22>" + b"x" * 10_000

CASES = [  # what comes, what it becomes, whether it was counted, whether a message has begun
    ("rsyslog @@", LOGIN + b"\n" + LOGIN + b"\n", [LOGIN, LOGIN], False, False),
    ("rsyslog @@(o)", COUNTED + COUNTED, [LOGIN, LOGIN], True, False),
    ("rsyslog @@(o) with a template that ends in a line feed", b"6 <22>a\n6 <22>b\n", [b"<22>a\n", b"<22>b\n"], True, False),
    ("rsyslog TCP_FrameDelimiter=0", LOGIN + b"\0" + LOGIN + b"\0", [LOGIN, LOGIN], False, False),
    ("a line feed behind each counted message", b"5 <22>a\n5 <22>b\n", [b"<22>a", b"<22>b"], True, False),
    ("a line that is not whole", LOGIN + b"\n" + LOGIN[:-1], [LOGIN], False, True),
    ("a counted message that is not whole", COUNTED[:-1], [], True, True),
    ("a length that is not whole", b"12", [], True, True),
    ("empty lines", b"\n\n" + LOGIN + b"\n\n\n", [LOGIN], False, False),
    ("a line feed in a counted message is its own", b"11 <22>a\n<22>b", [b"<22>a\n<22>b"], True, False),
    ("a NUL in lines is their own", b"<22>a\n<22>b\0c\n", [b"<22>a", b"<22>b\0c"], False, False),
    ("a client's line feed and a length begin no counted message", b"<22>a\n5 <22>b\n", [b"<22>a", b"5 <22>b"], False, False),
    ("too long a line, cut, and the next one whole", LONG + b"\n" + LOGIN + b"\n", [LONG[:CUT_AT], LOGIN], False, False),
    ("too long a counted message likewise", b"10004 " + LONG + COUNTED, [LONG[:CUT_AT], LOGIN], True, False),
    ("too long a line that goes on", LONG, [LONG[:CUT_AT]], False, True),
    ("a second blank is of the message", b"5  22>a", [b" 22>a"], True, False),
    ("the longest that is read", b"8192 " + b"x" * 8192 + COUNTED, [b"x" * 8192, LOGIN], True, False),
]
BROKEN = [
    (b"0 ", []),
    (b"01 x", []),
    (b"5<22>a", []),
    (b"5 <22>a<22>b\n", [b"<22>a"]),
    (b"5 <22>a 5 <22>b", [b"<22>a"]),
    (b"12345678 x", []),
    (b"2026-11-22 10:00:00 mail1 x: y\n", []),
    (b"5 <22>a5 <22>bGET / HTTP/1.0\r\n5 <22>c", [b"<22>a", b"<22>b"]),
]


@pytest.mark.parametrize(("stream", "expected", "counted", "begun"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_stream_becomes_messages(stream: bytes, expected: list[bytes], counted: bool, begun: bool) -> None:
    framing = Framing()
    assert expected == framing.feed(stream)
    assert (counted, begun, False) == (framing.counted, framing.begun, framing.broken)


@pytest.mark.parametrize(("stream", "before"), BROKEN, ids=[ascii(stream) for stream, _ in BROKEN])
def test_what_is_no_length_ends_a_counted_stream(stream: bytes, before: list[bytes]) -> None:
    framing = Framing()
    assert before == framing.feed(stream)
    assert framing.broken
    assert [] == framing.feed(COUNTED)


def test_nothing_is_decided_before_the_first_byte() -> None:
    framing = Framing()
    assert ([], None, False) == (framing.feed(b""), framing.counted, framing.begun)
