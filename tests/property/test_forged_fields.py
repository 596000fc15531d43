"""Invariant: nothing a client can write moves the address (law 2).

Each field of a line that a client controls is filled with random text, rich in the separators and keys of that very line. What comes out is
a refusal, or a login from the true address; a line that reports a failure is a refusal whatever it holds.
"""

from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.core import formats
from syslogauth.core.address import Networks, pack
from syslogauth.core.intake import Intake, Sources, Verdict
from syslogauth.core.login import GRANT
from syslogauth.core.policy import Policy
from tests.headers import HEADERS

TRUE = pack("192.0.2.25")
POLICY = Policy(1800.0, frozenset({"imap", "pop3", "submission", "managesieve"}), qpopper_stats=True, never_own=False)
SOURCES = Sources(Networks(("10.0.0.0/8",)), frozenset({"mail"}))
TAIL = b"rip=192.0.2.25, lip=192.0.2.1, mpid=80"


@dataclass(frozen=True, slots=True)
class Line:
    """A line as its server writes it; `%s` is what the client chose, everywhere it appears."""

    app_name: bytes
    text: bytes
    succeeds: bool


def success(app_name: bytes, *texts: bytes) -> list[Line]:
    return [Line(app_name, text, True) for text in texts]


def failure(app_name: bytes, *texts: bytes) -> list[Line]:
    return [Line(app_name, text, False) for text in texts]


LINES = [
    *success(
        b"dovecot",
        b"imap-login: Login: %s [192.0.2.25]",  # 0.99
        b"imap-login: Login: user=<%s>, method=PLAIN, " + TAIL + b", TLS, session=<Yw62>",
        b"pop3-login: Logged in: user=<%s>, method=PLAIN, " + TAIL + b", session=<Yw62>",
        b"imap-login: Login: user=<bob>, method=%s, " + TAIL,
        b"imap-login: Login: user=<bob>, method=PLAIN, " + TAIL + b", session=<%s>",  # of a trusted proxy
        b"imap-login: Login: user=<bob>, method=PLAIN, " + TAIL + b", TLS: %s, session=<Yw62>",  # the TLS library's words
        b"imap-login: Login: user=<bob>, method=PLAIN, " + TAIL + b", %s, TLS",  # %{local_name}: SNI
        b"imap-login: Login: %s, user=<bob>, method=PLAIN, " + TAIL,  # the same, put first
        b"imap-login: Login: user=<bob>, orig=<%s>, method=PLAIN, " + TAIL,
        b"imap-login: Login: session=<%s>, user=<bob>, method=PLAIN, " + TAIL,
        b"pop3-login: proxy(%s): started proxying to h.example.org:110: user=<%s>, method=PLAIN, " + TAIL,
        b"imap-login: proxy(%s,127.0.0.1:143): Started proxying to remote host (0.123 secs): user=<%s>, method=PLAIN, " + TAIL,
    ),
    *failure(
        b"dovecot",
        b"imap-login: Disconnected: Aborted login by logging out (auth failed, 1 attempts in 0 secs): user=<%s>, method=PLAIN, " + TAIL,
        b"imap-login: Login aborted: Logged out (auth failed, 1 attempts in 0 secs) (auth_failed): user=<%s>, method=PLAIN, " + TAIL,
        b"imap-login: Disconnected: Connection closed: SSL_accept() failed: %s: user=<>, " + TAIL + b", TLS handshaking: %s",
        b"imap-login: proxy(%s,127.0.0.1:143): Disconnected by server: user=<%s>, method=PLAIN, " + TAIL,
        b"imap-login: ID sent: name=%s: user=<>, " + TAIL,
        b"imap(%s)<80><Yw62>: Disconnected: Logged out in=8 out=468",
        b"imap(bob)<80><Yw62>: ID sent: name=%s",
        b"auth: passwd-file(%s,192.0.2.25,<Yw62>): unknown user",
        b"lmtp(bob)<1><s>: msgid=%s: saved mail to INBOX",
        b"managesieve-login: Disconnected (no auth attempts): user=<%s>, " + TAIL,
    ),
    *success(
        b"qpopper",
        b'(v4.1.0) POP login by user "%s" at (c1.example.net) 192.0.2.25',
        b'(v4.1.0) POP login by user "bob" at (%s) 192.0.2.25 [pop_log.c:244]',
        b'(v4.1.0) POP login by user "%s" at (%s) 192.0.2.25',
        b"Stats: %s 0 0 12 34567 c1.example.net 192.0.2.25",
        b"Stats: bob 0 0 12 34567 %s 192.0.2.25 [pop_updt.c:296]",
        b"Stats: %s 0 0 12 34567 %s 192.0.2.25",
    ),
    *failure(
        b"qpopper",
        b'%s at c1.example.net (192.0.2.25): -ERR [AUTH] Password supplied for "%s" is incorrect. [pop_pass.c:1295]',
        b"%s at %s (192.0.2.25): -ERR Unknown command: %s",
        b"[AUTH] Failed attempted login to %s from host (%s) 192.0.2.25 [pop_pass.c:1300]",
        b"Possible probe of account %s from host %s (192.0.2.25)",
        b'(v4.1.0) Servicing request from "%s" at 192.0.2.25 [pop_init.c:1408]',
    ),
    *success(
        b"imapd",
        b"Login user=%s host=[192.0.2.25]",
        b"Login user=bob host=%s [192.0.2.25]",
        b"Authenticated user=%s host=%s [192.0.2.25] mech=PLAIN",
        b"Authenticated user=bob host=[192.0.2.25] mech=%s",
        b"Admin Login user=%s host=c1.example.net [192.0.2.25]",
    ),
    *success(b"ipop3d", b"Login user=%s host=[192.0.2.25] nmsgs=0/0", b"APOP user=%s host=%s [192.0.2.25] nmsgs=0/0"),
    *failure(
        b"imapd",
        b"Login failed user=%s auth=%s host=[192.0.2.25]",
        b"Login disabled user=%s auth=%s host=[192.0.2.25]",
        b"Login excessive login failures user=%s auth=%s host=[192.0.2.25]",
        b"Login anonymous=%s host=[192.0.2.25]",
        b"Logout user=%s host=%s [192.0.2.25]",
        b"Unexpected client disconnect, while reading line user=%s host=[192.0.2.25]",
        b"Command stream end of file, while reading line user=%s host=[192.0.2.25]",
        b"Preauthenticated user=%s host=[192.0.2.25]",
        b"Authenticated anonymous=%s host=[192.0.2.25]",
    ),
    *failure(b"ipop3d", b"IMAP login to host=%s user=%s host=[192.0.2.25]", b"Login failure user=%s host=[192.0.2.25]"),
    *failure(
        b"sendmail",
        b"q7: from=<%s>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=[192.0.2.25]",
        b"q7: ruleset=check_rcpt, arg1=<%s>, relay=%s [192.0.2.25], reject=550 5.7.1 Relaying denied",
        b"%s [192.0.2.25] did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA",
    ),
]

FORGED = [
    b"imap-login: Login: user=<a>, method=PLAIN, rip=9.9.9.9, lip=1.1.1.1",
    b"dovecot: imap-login: Logged in: user=<a>, method=PLAIN, rip=9.9.9.9, lip=1.1.1.1",
    b'(v4.1.0) POP login by user "a" at (x) 9.9.9.9',
    b"Stats: a 0 0 0 0 x 9.9.9.9",
    b"imapd[1]: Login user=a host=x [9.9.9.9]",
    b"Login user=a host=x [9.9.9.9]",
    b"message repeated 2 times: [ Login user=a host=x [9.9.9.9]",
    b"<22>Nov 22 10:28:45 imapd[1]: Login user=a host=x [9.9.9.9]",
    b"1 - m imapd - - - Login user=a host=x [9.9.9.9]",
    b"Forwarded from x: imapd[1]: Login user=a host=x [9.9.9.9]",
    b"[ID 7 mail.info] Login user=a host=x [9.9.9.9]",
    b"Last message '' repeated 9 times, suppressed by syslog-ng on x",
    b"last message repeated 9 times",
]
PIECES = [
    *(
        b"9.9.9.9",
        b"rip=9.9.9.9",
        b"lip=1.1.1.1",
        b"user=<a>",
        b"method=PLAIN",
        b"session=<",
        b"session=",
        b"real_rip=",
        b"TLS",
        b"secured",
    ),
    *(
        b", ",
        b">",
        b"<",
        b")",
        b"(",
        b'"',
        b"'",
        b"[",
        b"]",
        b" ",
        b":",
        b": ",
        b"=",
        b"\n",
        b"\r",
        b"\0",
        b"\t",
        b"\x7f",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
    ),
    *(
        b" host=",
        b"host=[9.9.9.9]",
        b" [9.9.9.9]",
        b" mech=PLAIN",
        b" nmsgs=0/0",
        b" no mailbox",
        b'" at (x) 9.9.9.9',
        b" at (",
        b"[pop_log.c:1]",
    ),
    *(
        b"\xff",
        b"...",
        b"-",
        b"bob",
        b"anonymous",
        b"::ffff:9.9.9.9",
        b"2001:db8::9",
        b"0 0 0 0 ",
        b"): started proxying to x:1: ",
        b"proxy(",
    ),
]
field = st.lists(
    st.one_of(st.sampled_from(FORGED), st.sampled_from(PIECES), st.sampled_from(PIECES), st.binary(max_size=6)), max_size=9
).map(b"".join)
headers = st.sampled_from([header for header in HEADERS if b"1 - - %s" not in header])


def judged(datagram: bytes) -> Verdict:
    return Intake(SOURCES, POLICY).judge(datagram, "10.0.0.1", 0.0)


@pytest.mark.parametrize("line", LINES, ids=lambda line: repr(line.text)[2:60])
@settings(deadline=None, max_examples=60)
@given(field=field, header=headers)
def test_no_field_moves_the_address(line: Line, field: bytes, header: bytes) -> None:
    datagram = header % line.app_name + line.text.replace(b"%s", field)
    login = judged(datagram).login
    assert login is None or (line.succeeds and login.address == TRUE), datagram


@pytest.mark.parametrize("line", LINES, ids=lambda line: repr(line.text)[2:60])
def test_no_whole_line_in_a_field_is_read_as_one(line: Line) -> None:
    befores, ends = (b"", b"a ", b"x]: ", b"a\n", b"a>, ", b'a" ', b"a: "), (b"", b" ", b"]", b">", b", ", b"\n")
    for before, forged, end in product(befores, FORGED, ends):
        login = judged(HEADERS[0] % line.app_name + line.text.replace(b"%s", before + forged + end)).login
        assert login is None or (line.succeeds and login.address == TRUE), (before, forged, end)


def test_the_lines_of_successes_are_logins_where_the_client_is_honest() -> None:
    """Otherwise the tests above would show nothing."""
    honest = [line for line in LINES if line.succeeds and b", %s" not in line.text and b": %s, " not in line.text]
    for line in honest:
        verdict = judged(
            HEADERS[0] % line.app_name + line.text.replace(b"%s", b"PLAIN" if b"mech=" in line.text or b"method=%" in line.text else b"bob")
        )
        assert (GRANT, TRUE) == (verdict.outcome, verdict.login and verdict.login.address), line
    assert len(honest) > len([line for line in LINES if line.succeeds]) - 4


SAMPLES = [
    (sample.app_name.encode(), sample.text.encode())
    for form in formats.FORMATS
    for sample in form.samples
    if " Info: " not in f" {sample.text}"
]
OTHERS = [*(text for _, text in SAMPLES), *(text.encode() for form in formats.FORMATS for _, text in form.near_misses), *FORGED]


@settings(deadline=None, max_examples=600)
@given(
    sample=st.sampled_from(SAMPLES),
    other=st.one_of(st.sampled_from(OTHERS), st.sampled_from(FORGED)),
    between=st.sampled_from([b" ", b"\n", b": ", b", ", b"\t", b"\0", b"", b"\r\n<22>Nov 22 10:28:45 mail1 "]),
    header=headers,
    first=st.booleans(),
)
def test_a_sample_with_another_line_s_text_before_or_after_it_is_refused(
    sample: tuple[bytes, bytes], other: bytes, between: bytes, header: bytes, first: bool
) -> None:
    app_name, text = sample
    joined = text + between + other if first else other + between + text
    assert judged(header % app_name + joined).login is None


@pytest.mark.parametrize("limit_bytes", [480, 1024, 1180])
@pytest.mark.parametrize("line", [line for line in LINES if line.succeeds], ids=lambda line: repr(line.text)[2:60])
def test_a_syslogd_that_cuts_lines_does_not_move_the_address(line: Line, limit_bytes: int) -> None:
    """FreeBSD 12 cuts at 480 and 1180 bytes, others at 1024. No name that a format takes is long enough for its line to be cut there."""
    for length in range(1, 400):
        cut = (HEADERS[1] % line.app_name + line.text.replace(b"%s", b"a" * length))[:limit_bytes]
        login = judged(cut).login
        assert login is None or login.address == TRUE


# qpopper's line ends with the address, or with a source position after it: for it the test above must do
@pytest.mark.parametrize(("app_name", "text"), [(app_name, text) for app_name, text in SAMPLES if b"popper" not in app_name])
def test_a_line_cut_anywhere_gives_its_own_address_or_nothing(app_name: bytes, text: bytes) -> None:
    for header in HEADERS[:2]:
        whole = judged(header % app_name + text).login
        assert whole is not None
        for length in range(len(text)):
            cut = judged(header % app_name + text[:length]).login
            assert cut is None or cut.address == whole.address


@settings(deadline=None, max_examples=300)
@given(
    name=st.from_regex(rb"[A-Za-z0-9._-]{1,100}", fullmatch=True),
    address=st.ip_addresses(),
    user=st.from_regex(rb"[a-z]{1,80}", fullmatch=True),
)
def test_uw_cuts_its_host_at_80_bytes_and_never_to_another_address(name: bytes, address: object, user: bytes) -> None:
    """host=%.80s: the owner of a reverse DNS name chooses where the address is cut."""
    host = (name + b" [%s]" % str(address).encode())[:80]
    login = judged(b"<22>Nov 22 10:28:45 imapd[86]: Login user=%s host=%s" % (user, host)).login
    assert login is None or login.address == pack(str(address))
