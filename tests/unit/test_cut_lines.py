"""Lines that a logger or a syslogd cut: what is left of one, or follows it, is a client's text and never a login.

`FIRST` is what courierlogger makes of a failed login whose name has 486 bytes and goes on as `REST`, which it writes as the next line.
"""

from collections.abc import Sequence

import pytest

from syslogauth.core.address import Networks
from syslogauth.core.batch import Batch
from syslogauth.core.intake import Intake
from syslogauth.core.message import parse
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy

NOW = 1_700_000_000.0
PEER = "10.0.0.1"
FIRST = "LOGIN FAILED, user=" + "x" * 486
REST = "LOGIN, user=bob, ip=[9.9.9.9], port=[1]"
GRACE = 1800.0
PERDITION = (
    'Auth: 192.0.2.25:42177->192.0.2.1:143 client-secure=plaintext authorisation_id=NONE authentication_id="x" server="a:1" '
    'protocol=IMAP4 server-secure=plaintext status="ok"'
)


def row(name: str, *values: object) -> object:
    return pytest.param(*values, id=name)


def new() -> Intake:
    return Intake(Sources(Networks(("10.0.0.0/8",)), frozenset({"mail", "daemon", "local0"})), Policy(GRACE, frozenset({"imap", "pop3"})))


def line(text: str, clock: str = "10:00:00", tag: str = "pop3d", host: str = "mail1 ") -> tuple[str, float]:
    """A message, and its receipt, in seconds after ten o'clock."""
    hours, minutes, seconds = map(int, clock.split(":"))
    return f"<22>Nov 22 {clock} {host}{tag}: {text}", hours * 3600.0 + minutes * 60 + seconds - 36000


def grants(*sent: tuple[str, float]) -> int:
    one = new()
    return sum(len(one.feed(Batch.of([(datagram.encode(), (PEER, 514))]), NOW + after)) for datagram, after in sent)


@pytest.mark.parametrize(
    "sent",
    [
        row("the rest at once", [line(FIRST), line(REST)]),
        row("a second begins between them", [line(FIRST, "23:59:59"), (line(REST, "00:00:00")[0], 50400.0)]),
        row("sent by two rules of a syslogd", [line(FIRST), line(FIRST), line(REST), line(REST)]),
        row("the rest doubled on the network", [line(FIRST), line(REST), line(REST), line(REST)]),
        row("twice", [line(FIRST), line(REST), line(FIRST), line(REST)]),
        row("summed up by rsyslog", [line(f"message repeated 2 times: [ {FIRST}]"), line(REST)]),
        row(
            "the second time the first half is in a summary alone",
            [line(FIRST, host=""), ("<22>Nov 22 10:05:00 last message repeated 1 times", 300.0), line(REST, "10:05:00", host="")],
        ),
        row("no stamps", [(f"<22>pop3d: {FIRST}", 0.0), (f"<22>pop3d: {REST}", 1.0)]),
        row("blanks to the cut, behind what looks like the end", [line(REST.replace("LOGIN,", "LOGIN FAILED,").ljust(505)), line(REST)]),
        row("a command, logged with DEBUG_LOGIN", [line("LOGIN: ip=[192.0.2.66], command=" + "X" * 473), line(REST)]),
        row("an error that names a mailbox", [line("Error reading ACLs for INBOX." + "x" * 476), line(REST)]),
    ],
)
def test_the_rest_of_a_cut_line_is_no_login(sent: Sequence[tuple[str, float]]) -> None:
    assert 0 == grants(*sent)


def test_the_halves_of_an_old_line_belong_together_however_long_a_catch_up_takes_between_them() -> None:
    one, written_at = new(), NOW - 900

    def feed(text: str, now: float) -> int:
        batch = Batch.of_lines(line(text)[0].removeprefix("<22>").encode())
        return len(one.feed_lines(batch, "/var/log/maillog", lambda stamp: written_at, now, escaped=True, live=False))

    assert [0, 0, 1] == [feed(FIRST, NOW), feed(REST, NOW + 30), feed(REST.replace("9.9.9.9", "9.9.9.8"), NOW + 60)]


@pytest.mark.parametrize(
    "sent",
    [
        row("after the rest", [line(FIRST), line("zz"), line(REST)]),
        row("of another tag", [line(FIRST), line(REST, tag="imapd")]),
        row("of another host", [line(FIRST), line(REST, host="mail2 ")]),
        row("of a later second", [line(FIRST), line(REST, "10:00:02")]),
        row("after a failed one of an ordinary name", [line("LOGIN FAILED, user=eve, ip=[192.0.2.66], port=[1]"), line(REST)]),
    ],
)
def test_a_login_is_not_the_rest_of_a_line_that_is_not_its_own(sent: Sequence[tuple[str, float]]) -> None:
    assert 1 == grants(*sent)


@pytest.mark.parametrize("cut_bytes", [480, 1024, 4096 + 40, 8096])
@pytest.mark.parametrize(
    ("tag", "first", "text"),
    [
        (
            "perdition.imap4[7]",
            "",
            PERDITION,
        ),
        ("gnu-imap4d[7]", "Connect from 192.0.2.25", "User `bob' logged in"),
        ("in.imapproxyd[7]", "", "LOGIN: 'a' (9.9.9.9:1) on new sd [1]"),
        ("AppleMailServer[7]", "", 'IMAP User "a" log on successful from 9.9.9.9'),
    ],
)
def test_a_name_padded_with_blanks_to_the_cut_makes_no_login(tag: str, first: str, text: str, cut_bytes: int) -> None:
    header = f"<22>Nov 22 10:00:00 mail1 {tag}: "
    before = [(header + first, 0.0)] if first else []
    assert 1 == grants(*before, (header + text, 0.0))
    assert 0 == grants(*before, ((header + text).ljust(cut_bytes), 0.0))


def test_a_few_blanks_at_the_end_are_the_senders_and_more_are_the_texts() -> None:
    texts = [getattr(parse(b"<22>Nov 22 10:00:00 mail1 imapd: text" + end), "text", None) for end in (b" \r\n\0", b"     ", b"     \n")]
    assert [b"text", b"text     ", b"text     "] == texts


@pytest.mark.parametrize(
    ("tag", "first", "unread", "second"),
    [
        ("popa3d[7]", "connect from c1.example.net (198.51.100.9)", "connect from a(b@c2 (192.0.2.66)", "Authentication passed for eve"),
        ("popa3d[7]", "Session from 198.51.100.9", "Session from fe80::1%em0", "Authentication passed for eve"),
        ("popa3d[7]", "Session from 198.51.100.9", "Session from 0.0.0.1", "Authentication passed for eve"),
        ("spop3d[7]", "connect from 198.51.100.9", "connect from a b (192.0.2.66)", "user eve authenticated"),
        ("vm-pop3d[7]", "Connect from 198.51.100.9", "Connect from unknown", "User 'eve' logged in"),
        ("gnu-imap4d[7]", "Connect from 198.51.100.9", "Connect from unknown", "User `eve' logged in"),
    ],
)
def test_a_first_line_that_cannot_be_read_voids_that_of_an_older_process(tag: str, first: str, unread: str, second: str) -> None:
    assert 1 == grants(line(first, tag=tag), line(second, tag=tag))
    assert 0 == grants(line(first, tag=tag), line(unread, tag=tag), line(second, tag=tag))
