"""Invariant: nothing a client can write moves the address (law 2).

Each field of a line that a client controls is filled with random text, rich in the separators and keys of that very line. What comes out is
a refusal, or a login from the true address; a line that reports a failure is a refusal whatever it holds. LINES are the servers' lines
with what a client chose marked; beside them every format's own samples, sequences and near misses, users and reverse DNS names replaced.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.core import formats
from syslogauth.core.address import Networks, pack
from syslogauth.core.formats.grammar import Format, any_prefix
from syslogauth.core.intake import Intake
from syslogauth.core.judge import Verdict
from syslogauth.core.login import GRANT
from syslogauth.core.peers import Sources
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
    *success(b"AppleMailServer", b'IMAP User "%s" log on successful from 192.0.2.25'),
    *failure(b"AppleMailServer", b'IMAP User "%s" log on failed from 192.0.2.25'),
    *success(
        b"imapd-ssl",
        b"LOGIN, user=%s, ip=[::ffff:192.0.2.25], port=[47271], protocol=IMAP",
        b"LOGIN, user=%s, ip=[192.0.2.25]",
        b"IMAP connect from @ [192.0.2.25]INFO: LOGIN, user=%s, ip=[192.0.2.25], protocol=IMAP",
    ),
    *failure(
        b"imapd-ssl",
        b"LOGIN FAILED, user=%s, ip=[192.0.2.25], port=[33003]",
        b"LOGIN FAILED, method=%s, ip=[192.0.2.25], port=[33003]",
        b"ID, user=bob, ip=[192.0.2.25], port=[45901], name=%s",
        b"LOGOUT, user=%s, ip=[192.0.2.25], port=[45901], headers=0, body=0, rcvd=18, sent=101, time=0",
        b"LOCKED, user=%s, ip=[192.0.2.25], port=[45901]",
    ),
    *success(b"cucipop", b"%s 192.0.2.25 0, 0 (0), 3 (12345)"),
    *failure(b"cucipop", b"Invalid command %s", b"authentication failure %s 192.0.2.25"),
    *success(
        b"cyrus/imap",
        b"login: %s [192.0.2.25] bob plaintext User logged in SESSIONID=<cyrus-1>",
        b"login: c1.example.net [192.0.2.25] %s plaintext User logged in SESSIONID=<cyrus-1>",
        b"login: %s [192.0.2.25] %s PLAIN+TLS User logged in",
        b"login: [192.0.2.25] bob %s User logged in",
        b'event=login.good r.clienthost="%s [192.0.2.25]" u.username=bob login.mech=PLAIN login.tls=1',
        b'event=login.good r.clienthost=[192.0.2.25] u.username="%s" login.mech=PLAIN login.tls=1',
        b"event=login.good r.clienthost=[192.0.2.25] u.username=%s login.mech=PLAIN login.tls=1",
    ),
    *failure(
        b"cyrus/imap",
        b"badlogin: %s [192.0.2.25] plaintext (%s) [SASL(-13): authentication failure: checkpass failed]",
        b"badlogin: c1.example.net [192.0.2.25] plaintext %s invalid user",
        b"login: c1.example.net [192.0.2.25] anonymous %s",
        b'client id sessionid=<cyrus-1>: "name" "%s"',
        b'event=login.bad u.username="%s" r.clienthost=[192.0.2.25]',
    ),
    *success(
        b"dbmail-imapd", b"Notice:[imap] dbmail_imap_session_handle_auth(+1455): [0x1] login accepted: user [%s] from [192.0.2.25:50100]"
    ),
    *failure(
        b"dbmail-imapd",
        b"Notice:[imap] dbmail_imap_session_handle_auth(+1448): [0x1] login rejected: user [%s] from [192.0.2.25:50100]",
        b"Debug:[imap] f(+1): [0x1] C < [9:%s",
    ),
    *success(b"in.imapproxyd", b"LOGIN: '%s' (192.0.2.25:52113) on new sd [9]"),
    *failure(b"in.imapproxyd", b"LOGIN: '%s' (192.0.2.25:52113) failed: %s"),
    *success(b"gnu-pop3d", b"User '%s' logged in with mailbox '/var/mail/%s' from 192.0.2.25"),
    *failure(b"gnu-pop3d", b"User '%s': nonexistent", b"User '%s': authentication failed", b"Login failed: %s"),
    *success(
        b"nginx",
        b"2026/11/22 11:25:07 [info] 91#91: *4 client logged in, client: 192.0.2.25, server: 0.0.0.0:143, "
        b'login: "%s", upstream: 198.51.100.3:143',
    ),
    *failure(
        b"nginx",
        b'2026/11/22 11:25:07 [info] 91#91: *4 client login failed: "%s" while in http auth state, client: 192.0.2.25, login: "%s"',
        b'192.0.2.25 - - [22/Nov/2026:11:25:07 +0000] "GET %s HTTP/1.1" 200 5',
    ),
    *success(
        b"perdition.pop3",
        b'Auth: 192.0.2.25:42177->192.0.2.1:110 client-secure=plaintext authorisation_id=NONE authentication_id="%s" '
        b'server="198.51.100.3:110" protocol=POP3 server-secure=plaintext status="ok"',
        b'Auth: 192.0.2.25:42177->192.0.2.1:110 client-secure=plaintext authorisation_id="%s" authentication_id="%s" passwd="%s" '
        b'server="198.51.100.3:110" protocol=POP3 server-secure=plaintext status="ok"',
        b'Auth: 192.0.2.25->192.0.2.1 user="%s" server="mail.example.org" port="110" status="ok"',
    ),
    *failure(
        b"perdition.pop3",
        b'Auth: 192.0.2.25:42177->192.0.2.1:110 client-secure=plaintext authorisation_id=NONE authentication_id="%s" '
        b'server="198.51.100.3:110" protocol=POP3 server-secure=plaintext status="failed: Re-Authentication Failure"',
        b'Auth: 192.0.2.25->192.0.2.1 user="%s" server="mail.example.org" port="110" status="failed: Re-Authentication Failure"',
    ),
    *success(b"popa3d", b"Authentication passed for %s -- [192.0.2.25]"),
    *failure(b"popa3d", b"Authentication failed for %s -- [192.0.2.25]", b"Authentication failed for %s"),
    *success(
        b"solid-pop3d",
        b"user %s authenticated - 192.0.2.25",
        b"user bob authenticated - %s [192.0.2.25]",
        b"user bob authenticated - %s (192.0.2.25)",
        b"mapped user %s authenticated - %s (192.0.2.25)",
    ),
    *failure(
        b"solid-pop3d",
        b"authentication failed: no such user: %s - 192.0.2.25",
        b"authentication failed for user %s - 192.0.2.25",
        b"authentication failed: can't map user name: %s - 192.0.2.25",
    ),
    *success(
        b"stalwart",
        b'2026-01-14T10:16:38Z INFO Authentication successful (auth.success) listenerId = "imaptls", localPort = 993, '
        b'remoteIp = 192.0.2.25, remotePort = 50116, accountName = "%s", accountId = 2',
    ),
    *failure(
        b"stalwart",
        b'2026-01-14T10:16:38Z INFO Authentication failed (auth.failed) listenerId = "imap", localPort = 143, '
        b'remoteIp = 192.0.2.25, remotePort = 50116, accountName = "%s"',
    ),
    *success(b"teapop", b"Successful login for %s [192.0.2.1] from c1.example.net [192.0.2.25]"),
    *success(b"teapop", b"Successful login for bob [192.0.2.1] from %s [192.0.2.25]"),
    *failure(b"teapop", b"Failed login for %s [192.0.2.1] from %s [192.0.2.25]"),
    *success(b"tpop3d", b"fork_child: [7]%s(192.0.2.25): began session for `%s' with passwd; child PID is 4711"),
    *failure(b"tpop3d", b"connection_do: client `[7]192.0.2.25/x': username `%s': failing password is `%s'"),
    *success(b"vm-pop3d", b"User '%s' logged in from 192.0.2.25, nmsgs=3"),
    *failure(b"vm-pop3d", b"Non-existent user: %s", b"pop3 user: %s"),
    *success(
        b"vpopmail",
        b"vchkpw-pop3: (PLAIN) login success %s:192.0.2.25",
        b"vchkpw-imaps: (PLAIN) login success bob@%s:192.0.2.25",
        b"vchkpw: login [%s] from 192.0.2.25",
    ),
    *failure(
        b"vpopmail",
        b"vchkpw-pop3: password fail (pass: '%s') %s:192.0.2.25",
        b"vchkpw-pop3: vpopmail user not found %s:192.0.2.25",
        b"vchkpw-pop3: invalid user/domain characters %s:192.0.2.25",
    ),
    *success(
        b"mailboxd",
        b"INFO  [ImapSSLServer-3] [name=%s;ip=192.0.2.25;ua=x;] imap - user %s authenticated, mechanism=LOGIN [TLS]",
        b"INFO  [ImapServer-2] [name=bob;ip=192.0.2.25;ua=%s;] imap - user bob authenticated, mechanism=LOGIN",
    ),
    *failure(b"mailboxd", b"INFO  [ImapServer-2] [ip=192.0.2.25;ua=%s;] imap - authentication failed for [%s] (invalid password)"),
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
        b"2001:db8:",
        b"9.9.9.",
        b"0 0 0 0 ",
        b"): started proxying to x:1: ",
        b"proxy(",
    ),
]
field = st.lists(
    st.one_of(st.sampled_from(FORGED), st.sampled_from(PIECES), st.sampled_from(PIECES), st.binary(max_size=6)), max_size=9
).map(b"".join)
headers = st.sampled_from([header for header in HEADERS if b"1 - - %s" not in header])


READER = Intake(SOURCES, POLICY)
TIMES = count(0, 100_000)  # so far apart that no message says anything of the next


def judged(datagram: bytes) -> Verdict:
    return READER.judge(datagram, "10.0.0.1", float(next(TIMES)))


@pytest.mark.parametrize("line", LINES, ids=lambda line: repr(line.text)[2:60])
def test_no_whole_line_in_a_field_is_read_as_one(line: Line) -> None:
    befores, ends = (b"", b"a ", b"x]: ", b"a\n", b"a>, ", b'a" ', b"a: "), (b"", b" ", b"]", b">", b", ", b"\n")
    for before, forged, end in product(befores, FORGED, ends):
        login = judged(HEADERS[0] % line.app_name + line.text.replace(b"%s", before + forged + end)).login
        assert login is None or (line.succeeds and login.address == TRUE), (before, forged, end)


def test_the_lines_of_successes_are_logins_where_the_client_is_honest() -> None:
    """Otherwise the tests above would show nothing."""
    doubtful = (b", %s", b": %s, ", b'u.username="%s"')  # an SNI; what Cyrus quotes only where it must
    honest = [line for line in LINES if line.succeeds and not any(part in line.text for part in doubtful)]
    for line in honest:
        verdicts = [
            judged(HEADERS[0] % line.app_name + line.text.replace(b"%s", field)) for field in (b"bob", b"PLAIN", b"bob@example.org")
        ]
        assert (GRANT, TRUE) in [(verdict.outcome, verdict.login and verdict.login.address) for verdict in verdicts], line
    assert len(honest) > len([line for line in LINES if line.succeeds]) - 5


def test_every_format_has_lines_here() -> None:
    tags = {line.app_name for line in LINES if line.succeeds}
    without = [form.name for form in formats.FORMATS if not tags & {tag.replace(b"*", b"cyrus") for tag in form.app_names}]
    assert [] == without


PTR_NAME = re.compile(rb"(?<![@\w.-])(?:[a-z0-9-]+\.){1,4}example(?:\.[a-z]{3})?(?![\w.-])|\bunknown\b")
FORGED_ADDRESSES = {pack("9.9.9.9"), pack("1.1.1.1"), pack("2001:db8::9")}
KEY = re.compile(rb"[A-Za-z_.]+[=:] ?|[^A-Za-z0-9@.]+|[A-Za-z]+")


# A blank or a line feed ends the name that the server reads (popa3d's pop_get_param): its patched line is told from the plain one by that.
ONE_WORD = {"popa3d"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A login of a format's own, or a near miss, whose address is None; `fields` are what a client chose in it."""

    form: str
    app_name: bytes
    texts: tuple[bytes, ...]
    fields: tuple[bytes, ...]
    address: bytes | None


def shown(form: Format) -> Iterator[Shown]:
    for sample in form.samples:
        if not sample.own_log:
            yield of(form, sample.app_name, (sample.text,), sample.user, sample.address)
    for sequence in form.sequences:
        yield of(form, sequence.app_name, sequence.texts, sequence.user, sequence.address)
    for app_name, text in form.near_misses:
        yield of(form, app_name, (text,), "bob", "")


def of(form: Format, app_name: str, texts: tuple[str, ...], user: str, address: str) -> Shown:
    lines = tuple(text.encode() for text in texts)
    # of a near miss not the names: one may stand where the server would log the address, which makes it a miss
    names = {found for line in lines for found in PTR_NAME.findall(line)} if address else set()
    return Shown(form.name, app_name.encode(), lines, (user.partition("@")[0].encode(), user.encode(), *sorted(names)), pack(address))


SHOWN = [one for form in formats.FORMATS for one in shown(form)]


def forgeries(form: Format) -> list[bytes]:
    """What a client would write who knows the format: its lines with another address and user, whole and from anywhere on, and its keys."""
    found: set[bytes] = set()
    for sample in (*form.samples, *form.sequences):
        for text in getattr(sample, "texts", None) or (sample.text,):
            line = text.encode()
            for address in {sample.address.encode(), b"::ffff:" + sample.address.encode()}:
                line = line.replace(address, b"9.9.9.9")
            found |= {line, *KEY.findall(line)}
            for start in (place.start() for place in KEY.finditer(line)):
                found |= {line[start:], line[:start], line[start:].rpartition(b"9.9.9.9")[0] + b"9.9.9.9"}
    return sorted(found - {b""})


FORGERIES = {form.name: forgeries(form) for form in formats.FORMATS}


def filling(form: str) -> st.SearchStrategy[bytes]:
    """Random text for a field of the line: pieces of such lines, of any line, and any bytes; quite often with an honest beginning."""
    pieces = st.one_of(st.sampled_from(FORGERIES[form]), st.sampled_from(FORGERIES[form]), st.sampled_from(PIECES))
    pieces = st.one_of(pieces, pieces, st.sampled_from(FORGED), st.binary(max_size=4))
    return st.builds(lambda start, rest: start + b"".join(rest), st.sampled_from([b"", b"", b"a", b"a@b"]), st.lists(pieces, max_size=4))


@pytest.mark.parametrize("line", LINES, ids=lambda line: repr(line.text)[2:60])
@settings(deadline=None, max_examples=40)
@given(data=st.data(), header=headers)
def test_no_field_moves_the_address(line: Line, data: st.DataObject, header: bytes) -> None:
    readers = [
        filling(form.name) for form in formats.FORMATS if any_prefix(line.app_name) in form.app_names or line.app_name in form.app_names
    ]
    datagram = header % line.app_name + line.text.replace(b"%s", data.draw(st.one_of(field, *readers)))
    login = judged(datagram).login
    assert login is None or (line.succeeds and login.address == TRUE), datagram


def filled(data: st.DataObject, one: Shown) -> list[bytes]:
    """The texts, some of whose fields a client has chosen: the same everywhere that one stands."""
    texts = list(one.texts)
    for field in one.fields:
        if data.draw(st.booleans()):
            chosen = data.draw(filling(one.form))
            if one.form in ONE_WORD:
                chosen = chosen.translate(None, b" \n")
            texts = [text.replace(field, chosen) for text in texts]
    return texts


@pytest.mark.parametrize("form", [form.name for form in formats.FORMATS])
@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_no_field_of_a_format_s_own_lines_moves_the_address(form: str, data: st.DataObject) -> None:
    one = data.draw(st.sampled_from([one for one in SHOWN if one.form == form]))
    header = data.draw(st.sampled_from(HEADERS[:20] if len(one.texts) == 1 else WITH_PROCID))
    now = float(next(TIMES))
    for text in filled(data, one):
        login = READER.judge(header % one.app_name + text, "10.0.0.1", now).login
        assert login is None or login.address == one.address or (one.address is None and login.address not in FORGED_ADDRESSES), text


WITH_PROCID = [header for header in HEADERS if b"%s[733]" in header]
SEQUENCES = [one for one in SHOWN if len(one.texts) > 1]


@settings(deadline=None, max_examples=600)
@given(
    one=st.sampled_from(SEQUENCES),
    header=st.sampled_from(WITH_PROCID),
    other=st.sampled_from([one for one in SHOWN if one.address is not None]),
    procid=st.sampled_from([b"[734]", b"[73]", b"[7330]", b""]),
    data=st.data(),
)
def test_another_process_s_lines_between_do_not_move_the_address(
    one: Shown, header: bytes, other: Shown, procid: bytes, data: st.DataObject
) -> None:
    """Whatever is in the fields of both; each login has its own address or none."""
    now = float(next(TIMES))
    mine = [(header % one.app_name + text, one.address) for text in filled(data, one)]
    others = [(header.replace(b"[733]", procid) % other.app_name + text, other.address) for text in filled(data, other)]
    order = data.draw(st.permutations([0] * len(mine) + [1] * len(others)))
    queues = [iter(mine), iter(others)]
    for datagram, address in [next(queues[which]) for which in order]:
        login = READER.judge(datagram, "10.0.0.1", now).login
        assert login is None or login.address == address, datagram


def test_what_the_formats_show_are_logins_where_the_client_is_honest() -> None:
    """Otherwise the tests above would show nothing."""
    for one in SHOWN:
        now = float(next(TIMES))
        last = [READER.judge(WITH_PROCID[0] % one.app_name + text, "10.0.0.1", now).login for text in one.texts][-1]
        assert one.address == (last and last.address), one.texts


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


# These may end with the address: for them the test above must do.
ENDS_WITH_ADDRESS = {"qpopper", "apple", "mailutils", "solid-pop3d", "vm-pop3d", "vpopmail"}
CLOSED = [one for one in SHOWN if one.address and len(one.texts) == 1 and one.form not in ENDS_WITH_ADDRESS]


@pytest.mark.parametrize(("app_name", "text"), [(one.app_name, one.texts[0]) for one in CLOSED])
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
