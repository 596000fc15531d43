"""Cyrus IMAP 1.6 to 3.12 in prose, and 3.13 onwards in logfmt.

    login: client.example.net [192.0.2.25] bob plaintext+TLS User logged in SESSIONID=<cyrus-1795362166-39-1-7408908786282806633>
    login: [192.0.2.25] bob plaintext                  2.1 and before; without a reverse DNS name the address alone
    event=login.good r.sessionid=cyrus-39-1 r.clienthost="client.example.net [192.0.2.25]" u.username=bob login.mech=PLAIN login.tls=1
        login.magic=~null~                             one line; the last key is imapd's, pop.subfolder=~null~ is pop3d's
    USAGE bob user: 0.004029 sys: 0.016119             the end, of the same process, which serves one client after the other

The tag is the service's name in cyrus.conf, behind `syslog_prefix/` where that is set. timsieved, nntpd and httpd write the same words
with tags of their own, which are not listed. rsyslog's Protocol23Format cuts the tag to `cyrus`: then SESSIONID and a mechanism of IMAP or
POP3 are asked for (in logfmt imapd's or pop3d's own key), and the service of a SASL mechanism is taken to be imap.

Never: `anonymous`, whose password the line shows; `nopassword` (imapd -N: any password will do). In logfmt a value holds any bytes but is
quoted and escaped, so that none can end it; keys may be added (doc/logfmt-keys), except that an unknown `login.` key refuses the line. In
prose the client's ID is logged before any login with its line feeds.
"""

import re

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, whole
from syslogauth.core.login import Refusal, Report
from syslogauth.core.message import Message

USER = rb"(?P<user>[^\x00-\x20\x7f\[\]\"\\]{1,320})"
CLIENT = rb"(?:[A-Za-z0-9._-]{1,255} ?)?\[(?P<address>" + ADDRESS + rb")\]"
MECH = rb"(?!nopassword)(?P<mech>[A-Za-z0-9_-]{1,24})(?:\+TLS)?"
SESSION = rb"(?P<session>[!-;=?-~]{1,255})"
SHORT_TAG = b"cyrus"
POP3_MECHS = frozenset((b"APOP", b"KPOP"))
MAIL_MECHS = POP3_MECHS | {b"PLAINTEXT", b"PLAIN", b"LOGIN", b"CRAM-MD5", b"DIGEST-MD5", b"GSSAPI", b"EXTERNAL", b"XOAUTH2", b"OAUTHBEARER"}

PAIR = re.compile(rb' ([a-z][a-z0-9._]{0,47})=("(?:[^"\\\x00-\x1f\x7f]|\\[\\"nrtx])*"|[!#-<>-\[\]-~]+)')  # lib/logfmt.c
HOST = re.compile(rb'"(?:[A-Za-z0-9._-]{1,255} )?\[(' + ADDRESS + rb')\]"|\[?(' + ADDRESS + rb")\]?")
HARMLESS = frozenset((b"login.mech", b"login.tls", b"login.magic"))
LAST_KEYS = {b"login.magic": "imap", b"pop.subfolder": "pop3"}
PLAIN_LINE = whole(rb"login: " + CLIENT + rb" " + USER + rb" " + MECH)  # what a logfmt line says, in the words of the other


def read(message: Message, found: re.Match[bytes]) -> Report | Refusal:
    if message.app_name != SHORT_TAG:
        return FORMAT.report(LOGIN, message, found)
    if not found["session"] or (mech := found["mech"].upper()) not in MAIL_MECHS:
        return Refusal.NOT_LOGIN
    return FORMAT.report(SHORT["pop3" if mech in POP3_MECHS else "imap"], message, found)


def read_logfmt(message: Message, found: re.Match[bytes]) -> Report | Refusal:
    values: dict[bytes, bytes] = {}
    position = len("event=login.good")
    while pair := PAIR.match(message.text, position):
        if pair[1] in values or pair[1] == b"event":
            return Refusal.AMBIGUOUS
        values[pair[1]] = pair[2]
        position = pair.end()
    if position != len(message.text):
        return Refusal.AMBIGUOUS
    if b"login.anonymous" in values:
        return Refusal.ANONYMOUS
    host = HOST.fullmatch(values.get(b"r.clienthost", b""))
    if host is None or any(key.startswith(b"login.") and key not in HARMLESS for key in values):
        return Refusal.AMBIGUOUS
    said = [service for key, service in LAST_KEYS.items() if key in values]
    if len(said) > 1 or (message.app_name == SHORT_TAG and not said):
        return Refusal.NOT_LOGIN
    line = SHORT[said[0]] if message.app_name == SHORT_TAG else LOGFMT
    plain = PLAIN_LINE.fullmatch(
        b"login: [" + (host[1] or host[2]) + b"] " + values.get(b"u.username", b"") + b" " + values.get(b"login.mech", b"plaintext")
    )
    return FORMAT.report(line, message, plain) if plain else Refusal.AMBIGUOUS


LOGIN = Line(
    Kind.LOGIN,
    whole(
        rb"login: " + CLIENT + rb" " + USER + rb" (?:" + MECH + rb" User logged in(?: SESSIONID=<" + SESSION + rb">)?|plaintext(?:\+TLS)?)"
    ),
    read=read,
)
LOGFMT = Line(Kind.LOGIN, whole(rb"event=login\.good(?P<pairs> .*)"), read=read_logfmt)
SHORT = {service: Line(Kind.LOGIN, LOGIN.pattern, service=service) for service in ("imap", "pop3")}
NAMES = {
    **dict.fromkeys((b"imap", b"imaps", b"imapd", b"imapds", b"imapmail", b"imaplocal"), "imap"),
    **dict.fromkeys((b"pop3", b"pop3s", b"pop3d", b"pop3ds"), "pop3"),
}
ID = "SESSIONID=<cyrus-1795362166-39-1-7408908786282806633>"

FORMAT = Format(
    name="cyrus",
    app_names={prefix + name: service for name, service in NAMES.items() for prefix in (b"", b"cyrus/", b"*/")} | {SHORT_TAG: ""},
    lines=(
        LOGIN,
        LOGFMT,
        Line(Kind.LOGOUT, whole(rb"USAGE [^\x00-\x1f\x7f]{1,320} user: \d{1,10}\.\d{6} sys: \d{1,10}\.\d{6}")),
    ),
    begins=rb"login: |event=login\.good ",
    logout_begins=rb"USAGE ",
    others=rb"badlogin: |event=(?!login)|event=login\.bad|USAGE |client id|SASL |starttls|counts: |autocreate|fetching|"
    rb"accepted connection|inittls",
    ends="process",
    escapes=False,
    facility="local6",
    notes="Cyrus itself logs to facility local6 (Debian's to mail; imapd.conf's syslog_facility says otherwise) at notice: list it, and "
    "forward it. An IMAP connection that breaks off logs no end.",
    samples=(
        Sample("cyrus/imap", f"login: client.example.net [192.0.2.25] bob plaintext User logged in {ID}", "192.0.2.25", "bob", "imap"),
        Sample(
            "cyrus/imaps", f"login: [2001:db8::10] bob@example.org PLAIN+TLS User logged in {ID}", "2001:db8::10", "bob@example.org", "imap"
        ),
        Sample("cyrus/pop3", f"login: client.example.net [192.0.2.25] bob APOP User logged in {ID}", "192.0.2.25", "bob", "pop3"),
        Sample(
            "slot1/imap",
            f"login: client.example.net [192.0.2.25] bob SCRAM-SHA-256-PLUS+TLS User logged in {ID}",
            "192.0.2.25",
            "bob",
            "imap",
        ),
        Sample("pop3s", "login: client.example.net [192.0.2.25] bob+work plaintext+TLS User logged in", "192.0.2.25", "bob+work", "pop3"),
        Sample("imapd", "login: [192.0.2.25] bob plaintext", "192.0.2.25", "bob", "imap"),  # 2.1
        Sample("imapd", "login: client.example.net[192.0.2.25] bob CRAM-MD5 User logged in", "192.0.2.25", "bob", "imap"),  # 1.6, 2.0
        Sample("cyrus", f"login: client.example.net [192.0.2.25] bob plaintext User logged in {ID}", "192.0.2.25", "bob", "imap"),
        Sample("cyrus", f"login: [192.0.2.25] bob APOP User logged in {ID}", "192.0.2.25", "bob", "pop3"),
        Sample(
            "cyrus/imap",
            'event=login.good r.sessionid=cyrus-39-1 r.clienthost="client.example.net [192.0.2.25]" u.username=bob login.mech=PLAIN '
            "login.tls=1 login.magic=~null~",
            "192.0.2.25",
            "bob",
            "imap",
        ),
        Sample(
            "cyrus/pop3",
            "event=login.good session_id=cyrus-39-1 r.tid=a7 r.clienthost=[2001:db8::10] u.username=bob login.tls=0 pop.subfolder=~null~",
            "2001:db8::10",
            "bob",
            "pop3",
        ),
        Sample(
            "imaps",
            'event=login.good r.clienthost=192.0.2.25 u.username=bob login.mech=PLAIN login.tls=1 r.extra="a \\"b\\" c=d"',
            "192.0.2.25",
            "bob",
            "imap",
        ),
        Sample(
            "cyrus",
            'event=login.good sessionid=a r.clienthost="c.example.net [192.0.2.25]" u.username=bob login.tls=1 pop.subfolder=x',
            "192.0.2.25",
            "bob",
            "pop3",
        ),
    ),
    logouts=(
        ("cyrus/imap", "USAGE bob user: 0.004029 sys: 0.016119"),
        ("cyrus/pop3", "USAGE b ob user: 0.003635 sys: 0.014542"),
    ),
    near_misses=(
        ("cyrus/imap", "badlogin: client.example.net [192.0.2.25] plaintext (bob) [SASL(-13): authentication failure: checkpass failed]"),
        ("cyrus/imap", "badlogin: client.example.net [192.0.2.25] plaintext (a [9.9.9.9] b plaintext User logged in) invalid user"),
        ("cyrus/pop3", "badlogin: client.example.net [192.0.2.25] APOP (<1.2@mail.example.org>) SASL(-13): user not found"),
        ("cyrus/imap", "badlogin: [192.0.2.25] anonymous login refused"),
        ("cyrus/imap", 'client id sessionid=<cyrus-1>: "name" "login: [9.9.9.9] bob plaintext User logged in"'),
        ("cyrus/imap", 'client id sessionid=<cyrus-1>: "name" "a\nlogin: [9.9.9.9] bob plaintext User logged in'),
        ("cyrus/imap", "autocreateinbox: User login: [9.9.9.9] bob plaintext User logged in, INBOX was successfully created"),
        ("cyrus/imap", "USAGE bob user: 0.004029 sys: 0.016119"),
        ("cyrus/imaps", "starttls: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits new) no authentication"),
        # anonymous, its password being free text; a server that asks for no password
        ("cyrus/imap", "login: client.example.net [192.0.2.25] anonymous login: x [9.9.9.9] bob plaintext User logged in"),
        ("cyrus/imap", f"login: client.example.net [192.0.2.25] anonymous text [9.9.9.9] bob plaintext User logged in {ID}"),
        ("cyrus/imap", f"login: client.example.net [192.0.2.25] anonymous ANONYMOUS User logged in {ID}"),
        ("cyrus/imap", "login: client.example.net [192.0.2.25] anonymous plaintext"),
        ("cyrus/imap", f"login: client.example.net [192.0.2.25] bob nopassword+TLS User logged in {ID}"),
        # a user name, a reverse DNS name, text on either side
        ("cyrus/imap", f"login: client.example.net [192.0.2.25] b ob PLAIN User logged in {ID}"),
        ("cyrus/imap", f"login: [9.9.9.9] client.example.net [192.0.2.25] bob plaintext User logged in {ID}"),
        ("cyrus/imap", f"login: x] [9.9.9.9] bob plaintext [192.0.2.25] bob plaintext User logged in {ID}"),
        ("cyrus/imap", f"login: [192.0.2.25] bob plaintext User logged in {ID} and more"),
        ("cyrus/imap", f"login: [192.0.2.256] bob plaintext User logged in {ID}"),
        ("cyrus/imap", "login: client.example.net [192.0.2.2"),
        ("cyrus/imap", "login: client.example.net [192.0.2.25] bob nopasswor"),
        ("cyrus/imap", "login: client.example.net [192.0.2.25] bob PLAIN"),
        # logfmt: failures, anonymous, no password, and values that hold what a line is made of
        ("cyrus/imap", 'event=login.bad r.clienthost="c.example.net [192.0.2.25]" u.username=bob login.mech=PLAIN error="no such user"'),
        ("cyrus/imap", "event=login.good r.clienthost=[192.0.2.25] login.tls=1 login.anonymous=1 login.password=r.clienthost"),
        ("cyrus/imap", "event=login.good r.clienthost=[192.0.2.25] u.username=anonymous login.mech=ANONYMOUS login.tls=1"),
        ("cyrus/imap", "event=login.good r.clienthost=[192.0.2.25] u.username=bob login.tls=1 login.magic=~null~ login.nopassword=1"),
        ("cyrus/imap", "event=login.good r.clienthost=[192.0.2.25] u.username=bob login.scheme=Basic login.tls=1"),
        ("cyrus/imap", 'event=login.good r.clienthost=[192.0.2.25] u.username="a r.clienthost=[9.9.9.9]" login.mech=PLAIN login.tls=1'),
        ("cyrus/imap", "event=login.good r.clienthost=[9.9.9.9] r.clienthost=[192.0.2.25] u.username=bob login.mech=PLAIN login.tls=1"),
        ("cyrus/imap", 'event=login.good r.clienthost="[9.9.9.9] [192.0.2.25]" u.username=bob login.mech=PLAIN login.tls=1'),
        ("cyrus/imap", 'event=login.good r.tid="x\\" r.clienthost=[9.9.9.9] r.clienthost=[192.0.2.25] u.username=bob login.tls=1'),
        ("cyrus/imap", 'event=login.bad u.username="event=login.good r.clienthost=[9.9.9.9] u.username=a" r.clienthost=[192.0.2.25]'),
        ("cyrus/imap", "event=login.good r.clienthost=~null~ u.username=bob login.mech=PLAIN login.tls=1"),
        ("cyrus/imap", 'event=login.good r.clienthost=[192.0.2.25] u.username=bob login.mech=PLAIN login.magic="cut sho'),
    ),
    sources=(
        "cyrus-imapd imap/imapd.c, pop3d.c, global.c, telemetry.c (1.6 to 3.6.1), timsieved/parser.c, imap/httpd.c; 3.6.1 as run",
        "cyrus-imapd imap/loginlog.c, lib/logfmt.c, doc/logfmt-keys, doc/README.logfmt.md (3.13.1 to 3.13.8)",
    ),
)
