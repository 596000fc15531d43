"""Perdition 1 and 2, the POP3 and IMAP proxy. It writes `Auth:` once its backend has said yes or no, and again while the session lives.

    Auth: 192.0.2.25:42177->192.0.2.1:110 client-secure=plaintext authorisation_id=NONE authentication_id="bob"
        server="198.51.100.3:110" protocol=POP3 server-secure=plaintext status="ok"             2; one line
    Auth: 192.0.2.25->192.0.2.1 user="bob" server="mail.example.org" port="143" status="ok"     1, IPv4 alone
    Closing session: 192.0.2.25:42177->192.0.2.1:110 authorisation_id=NONE authentication_id="bob" received=6 sent=5

The verdict is the last word, and the names before it are the client's: unescaped, without a limit, in a buffer of 4096 bytes that
syslogds cut further. A failed login of the name `x" server=... status="ok"` with padding behind would be a success where the cut falls
after `ok"`. So a text of more than LONGEST bytes is refused: a cut one is longer (the shortest datagram that a syslogd cuts has 480).
Version 1 names no protocol: it is the tag's, or else the backend's port says.
"""

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, whole

LONGEST = 320
UNCUT = rb"(?![\x00-\xff]{%d})" % (LONGEST + 1)
WITH_PORT = rb"(?P<address>" + ADDRESS + rb"):\d{1,5}->(?P<local_address>" + ADDRESS + rb"):\d{1,5} "
NAME = rb'[^\x00-\x20\x7f"]{1,128}'
SECURE = rb"(?:plaintext|ssl|starttls)"
VERSION_2 = whole(
    UNCUT + rb"Auth: ?" + WITH_PORT + rb"client-secure=" + SECURE + rb' authorisation_id=(?:NONE|"' + NAME + rb'") '
    rb'authentication_id="(?P<user>' + NAME + rb')"(?: passwd="[^\x00-\x1f\x7f"]{0,128}")? server="[\w.:-]{1,128}" '
    rb"protocol=(?P<service>POP3S?|IMAP4S?|MANAGESIEVE) server-secure=" + SECURE + rb' status="ok"'
)
VERSION_1 = (
    UNCUT + rb"Auth: (?P<address>[0-9.]{7,15})(?::\d{1,5})?->(?P<local_address>[0-9.]{7,15})(?::\d{1,5})? "
    rb'user="(?P<user>' + NAME + rb')" server="[\w.-]{1,128}" port="%s" status="ok"'
)
TAGS = {
    **dict.fromkeys((b"perdition.pop3", b"perdition.pop3s"), "pop3"),
    **dict.fromkeys((b"perdition.imap4", b"perdition.imap4s", b"perdition.imap", b"perdition.imaps"), "imap"),
    b"perdition.managesieve": "managesieve",
}
PLAIN_TAG = frozenset((b"perdition",))
TAIL = 'server="198.51.100.3:110" protocol=POP3 server-secure=plaintext'
ADDRESSES = "192.0.2.25:42177->192.0.2.1:110"
AUTH = f"Auth: {ADDRESSES} client-secure=plaintext"
FAILED = 'status="failed: Re-Authentication Failure"'

FORMAT = Format(
    name="perdition",
    app_names={b"perdition": "", **TAGS},
    lines=(
        Line(Kind.LOGIN, VERSION_2, proxied=True),
        Line(Kind.LOGIN, whole(VERSION_1 % rb"\d{1,5}"), app_names=frozenset(TAGS), proxied=True),
        Line(Kind.LOGIN, whole(VERSION_1 % rb"(?:110|995)"), app_names=PLAIN_TAG, service="pop3", proxied=True),
        Line(Kind.LOGIN, whole(VERSION_1 % rb"(?:143|993)"), app_names=PLAIN_TAG, service="imap", proxied=True),
        Line(
            Kind.LOGOUT,
            whole(rb"Closing(?: session)?: ?[0-9A-Fa-f:.]{2,53}->[0-9A-Fa-f:.]{2,53} (?:authorisation_id|user)=[^\x00-\x1f\x7f]{1,512}"),
        ),
    ),
    begins=rb"Auth: ?[0-9A-Fa-f:]",
    logout_begins=rb"Closing(?: session)?: ?[0-9A-Fa-f:.]",
    others=rb"Connect:|Closing|Fatal|Fail|Exiting|Timeout|Re-?[Aa]uth",
    ends="process",
    escapes=False,
    samples=(
        Sample(
            "perdition.pop3",
            f'Auth: {ADDRESSES} client-secure=plaintext authorisation_id=NONE authentication_id="bob" {TAIL} status="ok"',
            "192.0.2.25",
            "bob",
            "pop3",
        ),
        Sample(
            "perdition.imaps",
            'Auth:2001:db8::10:42177->2001:db8::1:993 client-secure=ssl authorisation_id="bob@example.org" authentication_id="bob" '
            'server="imap.example.org:993" protocol=IMAP4S server-secure=ssl status="ok"',
            "2001:db8::10",
            "bob",
            "imap",
        ),
        Sample(
            "perdition",
            'Auth: 192.0.2.25:42177->192.0.2.1:143 client-secure=starttls authorisation_id=NONE authentication_id="bob" passwd="a b" '
            'server="198.51.100.3:143" protocol=IMAP4 server-secure=plaintext status="ok"',
            "192.0.2.25",
            "bob",
            "imap",
        ),
        Sample(
            "perdition",
            'Auth: 192.0.2.25->192.0.2.1 user="bob" server="mail.example.org" port="143" status="ok"',
            "192.0.2.25",
            "bob",
            "imap",
        ),
        Sample(
            "perdition",
            'Auth: 192.0.2.25->192.0.2.1 user="bob" server="mail.example.org" port="110" status="ok"',
            "192.0.2.25",
            "bob",
            "pop3",
        ),
        Sample(
            "perdition.pop3",
            'Auth: 192.0.2.25:42177->192.0.2.1:110 user="bob" server="m" port="10110" status="ok"',
            "192.0.2.25",
            "bob",
            "pop3",
        ),
    ),
    logouts=(
        ("perdition.pop3", f'Closing session: {ADDRESSES} authorisation_id=NONE authentication_id="bob" received=6 sent=5'),
        ("perdition", "Closing: 192.0.2.25->192.0.2.1 user=bob 12 18"),
    ),
    near_misses=(
        ("perdition.pop3", f'{AUTH} authorisation_id=NONE authentication_id="bob" {TAIL} {FAILED}'),
        ("perdition", f'Auth: 192.0.2.25->192.0.2.1 user="bob" server="mail.example.org" port="143" {FAILED}'),
        ("perdition", 'Connect: 192.0.2.25->192.0.2.1 user="bob" server="mail.example.org" port="110"'),
        ("perdition.pop3", "Connect:  192.0.2.25:34825->192.0.2.1:110"),
        ("perdition.imap4", 'Closing NULL session: 192.0.2.25:50249->192.0.2.1:143 authorisation_id=NONE authentication_id="(null)"'),
        ("perdition.pop3", "Fatal Error reading authentication information from client 192.0.2.25:36963->192.0.2.1:110: Exiting child"),
        # a name that holds the rest of a line: whole, and so long that a cut makes the line end with it
        ("perdition.pop3", f'{AUTH} authorisation_id=NONE authentication_id="a" {TAIL} status="ok" {TAIL} {FAILED}'),
        ("perdition.pop3", f'{AUTH} authorisation_id=NONE authentication_id="{"a" * 200}" {TAIL} status="ok"'),
        ("perdition.pop3", f'{AUTH} authorisation_id="{"a" * 120}" authentication_id="{"b" * 50}" {TAIL} status="ok"'),
        ("perdition.pop3", f'{AUTH} authorisation_id=NONE authentication_id="Auth: 9.9.9.9:1->1.1.1.1:1" {TAIL} status="ok"'),
        ("perdition.pop3", f'{AUTH} authorisation_id=NONE authentication_id="a\nAuth: 9.9.9.9:1->1.1.1.1:1" {TAIL} status="ok"'),
        ("perdition", f'Auth: 192.0.2.25->192.0.2.1 user="a" server="x" port="110" status="ok" server="m" port="110" {FAILED}'),
        # an IPv6 address without its port would swallow a group of it; more behind
        ("perdition", 'Auth: 2001:db8::10->2001:db8::1 user="bob" server="mail.example.org" port="143" status="ok"'),
        ("perdition", 'Auth: 192.0.2.256->192.0.2.1 user="bob" server="mail.example.org" port="143" status="ok"'),
        ("perdition", 'Auth: 192.0.2.25->192.0.2.1 user="bob" server="mail.example.org" port="143" status="ok" and more'),
    ),
    sources=(
        "perdition 2.2 perdition/perdition.c (perdition_log_auth, perdition_log_close), perdition_types.h, protocol.c; Debian's as run",
        "perdition 1.x perdition/perdition.h (PERDITION_LOG_AUTH)",
    ),
)
