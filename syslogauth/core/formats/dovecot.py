"""Dovecot 0.99 to 2.4: `imap-login`, `pop3-login`, `submission-login` and `managesieve-login` of one tag.

The text is `SERVICE-login: VERB: ELEMENTS`. The verb is `Login` up to 2.3 and `Logged in` from 2.4 on (2.4 writes `Login aborted: ...`
for a failure). A proxying host writes `proxy(USER...): Started proxying to ...` instead, once its backend has said yes. The elements
are `login_log_format_elements`: keyed, comma separated, empty ones left out, the order the administrator's. They are read one after
the other from a closed set; an unknown one (such as a bare SNI, which is the client's text) refuses the line, and so does a key that
comes twice: `user=<...>` holds up to 80 bytes of the client's choice where auth_username_chars was emptied.

A process hands its log process lines of PIPE_BUF bytes, and splits a longer one into several, each logged with `imap-login: ` before it
(src/lib/failures.c, internal_send_split): 512 on the BSDs, where an IMAP ID that is logged (imap_id_log) can make of a piece a whole login,
by anybody. A piece behind which another one comes is as long as it can be: so a text of more than LONGEST bytes is refused. The last one
may be short, but ends with what the server wrote.
"""

import re

from syslogauth.core.formats.grammar import (
    ADDRESS,
    SERVICES,
    Format,
    Kind,
    Line,
    Sample,
    Usual,
    client_address,
    local_address,
    printable,
    quoted,
    whole,
)
from syslogauth.core.login import Login, Refusal
from syslogauth.core.message import Message

OWN_STAMP = rb"(?:(?:\d{4}-\d\d-\d\d|[A-Z][a-z]{2} \d\d) \d\d:\d\d:\d\d Info: )?"
SERVICE_LOGIN = OWN_STAMP + rb"(?:imap|pop3|submission|managesieve|sieve)-login: "
SERVICE = rb"(?P<service>imap|pop3|submission|managesieve|sieve)-login: "
TAGS = {b"imap-login": "imap", b"pop3-login": "pop3", b"submission-login": "submission", b"managesieve-login": "managesieve"}
NAME = rb"[^\x00-\x1f\x7f<>()]{1,320}?"
HOST_PORT = rb"[\w.:\[\]-]{1,255}"
OTHER_NAME = rb"[^\x00-\x20\x7f<>(),:/]{1,128}"  # on the backend, where that is not the user's: destuser, master
ELEMENTS = rb"(?P<elements>(?:[a-z_]{2,16}=|TLS|secured).*)"
SUCCESS = rb"(?:Login|Logged in): " + ELEMENTS
STARTED = (
    rb"proxy\((?P<name>" + NAME + rb")(?:," + HOST_PORT + rb")?\): [Ss]tarted proxying to "
    rb"(?:remote host|<" + HOST_PORT + rb">(?: \(<" + HOST_PORT + rb">\))?|" + HOST_PORT + rb"(?:/" + OTHER_NAME + rb")?)"
    rb"(?: from [0-9A-Fa-f:.]{2,45})?(?: as user " + OTHER_NAME + rb")?(?: \(master " + OTHER_NAME + rb"\))?"
    rb"(?: \(\d{1,6}\.\d{3} secs(?:, \d{1,4} reconnects)?\))?: " + ELEMENTS
)
# Dovecot's own log file: `dovecot: STAMP Info: imap-login: Login: ...` (1.x), `STAMP imap-login: Info: Login: ...` (2.x)
OWN_1 = rb"(?P<own>(?:\d{4}-\d\d-\d\d|[A-Z][a-z]{2} \d\d) \d\d:\d\d:\d\d Info: )?"
OWN_2 = rb"Info: "
KEY = re.compile(rb"[a-z_]{2,16}=|TLSv1|TLS|secured")
QUOTED = rb"<([^\x00-\x1f\x7f<>]{1,320})>"  # str_sanitize() cuts at 80 since 2.2; 320: the longest address (RFC 3696, erratum 1690)
VALUES = {
    key: re.compile(value)
    for keys, value in (
        (b"user=", QUOTED),
        (b"method=", rb"([A-Za-z0-9_+-]{1,20})"),
        (b"rip= lip= real_rip= real_lip=", rb"(" + ADDRESS + rb")"),
        (b"mpid= pid= rport= lport= real_rport= real_lport=", rb"(\d{1,10})"),
        (b"session=", rb"<?([A-Za-z0-9+/=]{0,64})>?"),
        (b"orig= auth= master= original_user= auth_user= master_user=", QUOTED),
        (b"TLS secured", rb"()"),
        (b"TLSv1", rb"((?:\.[0-3])? with cipher [A-Z0-9_-]{1,64} \(\d{1,4}/\d{1,4} bits\))"),  # %k
    )
    for key in keys.split()
}

SHOWN_BYTES = 40  # of what is wrong, in an explanation
LONGEST = 380  # a login of all elements and the longest addresses has some 330; a piece of PIPE_BUF, cut at FreeBSD 12's 480, still more

# The order that Dovecot has by default; the same classes as of the lines, so the same answer
USUAL = (
    rb"(?!.{%d})" % (LONGEST + 1) + SERVICE + rb"(?:Login|Logged in): user=<(?P<user>[^\x00-\x1f\x7f<>]{1,320})>, "
    rb"method=(?P<method>[A-Za-z0-9_+-]{1,20}), rip=(?P<rip>" + ADDRESS + rb"), lip=(?P<lip>" + ADDRESS + rb")"
    rb"(?:, mpid=\d{1,10})?(?:, (?:TLS|secured))?(?:, session=<(?P<session>[A-Za-z0-9+/=]{0,64})>)?"
)


def read(message: Message, found: re.Match[bytes]) -> Login | Refusal:
    part = found.groupdict()
    if part.get("own") and message.priority is not None:
        return Refusal.NOT_LOGIN
    service = SERVICES[part.get("service") or message.app_name.partition(b"-")[0]]
    name = part.get("name")
    text = part["elements"]
    if len(message.text) > LONGEST:
        return Refusal.AMBIGUOUS
    values = _elements(text)[0]
    if not {b"user=", b"method=", b"rip=", b"lip="} <= values.keys():
        return Refusal.AMBIGUOUS
    user = values[b"user="]
    if b"rip=" in user:  # read rightly here, but a name that holds the key is an attack or a mistake
        return Refusal.AMBIGUOUS
    if name is not None and name != user:
        return Refusal.AMBIGUOUS
    if values[b"method="].upper() == b"ANONYMOUS":
        return Refusal.ANONYMOUS
    address = client_address(values[b"rip="])
    if address is None:
        return Refusal.BAD_ADDRESS
    session = values.get(b"session=", b"").decode("ascii")
    return Login(
        *("dovecot", service, printable(user), address, local_address(values[b"lip="]), session),
        proxied=name is not None,
        end_key="" if name is not None else session,  # a proxy's end of session is its backend's matter
    )


def read_usual(found: re.Match[bytes]) -> Login | Refusal:
    """The same for a text that is USUAL."""
    service, user, method, remote, local, session = found.group("service", "user", "method", "rip", "lip", "session")
    if b"rip=" in user:
        return Refusal.AMBIGUOUS
    if method.upper() == b"ANONYMOUS":
        return Refusal.ANONYMOUS
    if (address := client_address(remote)) is None:
        return Refusal.BAD_ADDRESS
    name = session.decode("ascii") if session else ""
    return Login("dovecot", SERVICES[service], printable(user), address, local_address(local), name, end_key=name)


def explain(message: Message, found: re.Match[bytes]) -> str:
    """Why read() refused the line, in words for its server's administrator."""
    part = found.groupdict()
    if part.get("own") and message.priority is not None:
        return "it is a line of Dovecot's own log file, which is not taken from the network"
    values, fault = _elements(part["elements"], found.start("elements"))
    if fault:
        return fault
    if len(message.text) > LONGEST:
        return f"it has more than {LONGEST} bytes: it may be a piece of a longer line, and wholly a client's text"
    if missing := [key.decode() for key in (b"user=", b"method=", b"rip=", b"lip=") if key not in values]:
        return f"it has no {' and no '.join(missing)}: login_log_format_elements needs user, method, rip and lip"
    user = printable(values[b"user="])
    if b"rip=" in values[b"user="]:
        return f"the user's name {quoted(values[b'user='])} holds `rip=`, a key of the line itself"
    if (name := part.get("name")) is not None and name != values[b"user="]:
        return f"proxy({printable(name)}) and user=<{user}> are not the same user"
    return f"rip={printable(values[b'rip='])} is no address that a client can have"


def _elements(text: bytes, start: int = 0) -> tuple[dict[bytes, bytes], str]:
    """The values by key, and what is wrong: no values at all where a key comes twice, or where anything is not of the closed set.

    `start`: where the elements begin in the message, for the words about what is wrong.
    """
    values: dict[bytes, bytes] = {}
    position = 0
    while key := KEY.match(text, position):
        at = f"after {start + position} bytes of the text"
        if key[0] not in VALUES:
            return {}, f"{at}, {printable(key[0])} is an element that is not known"
        if key[0] in values:
            return {}, f"{at}, {printable(key[0])} comes a second time: one of the two is a client's text"
        if not (value := VALUES[key[0]].match(text, key.end())):
            left = quoted(text[key.end() : key.end() + SHOWN_BYTES])
            return {}, f"{at}, {printable(key[0])} is followed by {left}, which is no value that Dovecot gives it"
        values[key[0]] = value[1]
        position = value.end()
        if position == len(text):
            return values, ""
        if not text.startswith(b", ", position):
            left = quoted(text[position : position + SHOWN_BYTES])
            return {}, f"after {start + position} bytes of the text, {printable(key[0])} ends, and instead of a comma {left} follows"
        position += 2
    left = quoted(text[position : position + SHOWN_BYTES])
    return {}, (
        f"after {start + position} bytes of the text, {left} is no element that is known: "
        "login_log_format_elements may hold keyed ones alone (what stands there bare, such as an SNI, is a client's text)"
    )


TAIL = "rip=192.0.2.25, lip=192.0.2.1, mpid=80, session=<Yw62FttgdcTAAAIZ>"

# imap-hibernate keeps a client that idles (imap_hibernate_timeout); a session has one end, in whichever process it is
SESSION_OF = rb"(?:imap(?:-hibernate)?|pop3|submission|managesieve|sieve)\("
PROCESS = SESSION_OF + rb"[^\x00-\x1f\x7f<>()]{1,320}\)<\d{1,10}><(?P<session>[A-Za-z0-9+/=]{8,64})>: "
OLD = rb"(?P<service>imap|pop3)-login: Login: (?P<user>[^\x00-\x20\x7f<>\[\],=]{1,255}) \[(?P<address>" + ADDRESS + rb")\]"
SYSLOG, OWN_FILE = frozenset((b"dovecot",)), frozenset(TAGS)

FORMAT = Format(
    name="dovecot",
    app_names={b"dovecot": ""},
    file_app_names=TAGS,
    lines=(
        Line(Kind.LOGIN, whole(OWN_1 + SERVICE + SUCCESS), app_names=SYSLOG, read=read, explain=explain),
        Line(Kind.LOGIN, whole(OWN_1 + SERVICE + STARTED), app_names=SYSLOG, proxied=True, read=read, explain=explain),
        Line(Kind.LOGIN, whole(OLD), app_names=SYSLOG),
        Line(Kind.LOGIN, whole(OWN_2 + SUCCESS), app_names=OWN_FILE, read=read, explain=explain),
        Line(Kind.LOGIN, whole(OWN_2 + STARTED), app_names=OWN_FILE, proxied=True, read=read, explain=explain),
        Line(Kind.LOGOUT, whole(PROCESS + rb"(?:Disconnected|Connection closed|Logged out)[^\x00-\x1f\x7f]{0,512}"), app_names=SYSLOG),
    ),
    usual=Usual(SYSLOG, USUAL, read_usual),
    begins=SERVICE_LOGIN + rb"(?:Login: |Logged in: |proxy\()",
    logout_begins=SESSION_OF + rb"[^ ]{1,320}>: (?:Disconnected|Connection closed|Logged out)",
    others=rb"(?!"
    + SERVICE_LOGIN
    + rb")|"
    + SERVICE_LOGIN
    + rb"(?:Disconnected|Login aborted|Aborted login|Authenticate(?!d)|ID sent|Info|Warning|Error|Debug)",
    ends="session",
    notes="login_log_format_elements may come in any order, if keyed (user=<%u> method=%m rip=%r lip=%l are needed); a bare "
    "%{local_name} is the client's text and refuses the line. The end of a session is known from 2.3 on, where mail_log_prefix has the "
    "session's id (the default). Where imap_id_log or a bare %{local_name} is set, a client's text makes lines so long that Dovecot splits "
    "them, at 512 bytes on the BSDs: leave both out there.",
    samples=(
        Sample("dovecot", f"imap-login: Login: user=<bob>, method=PLAIN, {TAIL}", "192.0.2.25", "bob", "imap"),
        Sample("dovecot", f"pop3-login: Logged in: user=<bob@example.org>, method=APOP, {TAIL}", "192.0.2.25", "bob@example.org", "pop3"),
        Sample(
            "dovecot",
            "imap-login: Logged in: user=<bob>, method=PLAIN, rip=2001:db8::10, lip=2001:db8::1, mpid=96, TLS, session=</rLlMdtg0aYgAQ24>",
            "2001:db8::10",
            "bob",
            "imap",
        ),
        Sample(
            "dovecot",  # 1.1, 1.2
            "pop3-login: Login: user=<bob>, method=PLAIN, rip=::ffff:192.0.2.25, lip=::ffff:192.0.2.1, TLS",
            "192.0.2.25",
            "bob",
            "pop3",
        ),
        Sample("dovecot", "imap-login: Login: bob [192.0.2.25]", "192.0.2.25", "bob", "imap"),  # 0.99
        Sample(
            "dovecot",  # login_log_format_elements in another order, with %k
            "imap-login: Login: user=<bob>, session=h6/hvXfOIQBA, method=XOAUTH2, rip=192.0.2.25, lip=192.0.2.1, secured, "
            "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
            "192.0.2.25",
            "bob",
            "imap",
        ),
        Sample("dovecot", f"managesieve-login: Login: user=<bob>, method=PLAIN, {TAIL}", "192.0.2.25", "bob", "managesieve"),
        Sample("dovecot", f"submission-login: Logged in: user=<bob>, method=PLAIN, {TAIL}", "192.0.2.25", "bob", "submission"),
        Sample(
            "dovecot",  # 2.0 to 2.2
            "pop3-login: proxy(bob): started proxying to 198.51.100.3:110: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1",
            "192.0.2.25",
            "bob",
            "pop3",
        ),
        Sample(
            "dovecot",  # 2.3
            f"imap-login: proxy(bob,127.0.0.1:143): Started proxying to <127.0.0.1> (0.000 secs): user=<bob>, method=PLAIN, {TAIL}",
            "192.0.2.25",
            "bob",
            "imap",
        ),
        Sample(
            "dovecot",  # 2.0 to 2.2, where the backend knows the user by another name
            "imap-login: proxy(bob@d.org): started proxying to b1:143/bob (master adm): user=<bob@d.org>, method=PLAIN, rip=192.0.2.25, "
            "lip=192.0.2.1, TLS",
            "192.0.2.25",
            "bob@d.org",
            "imap",
        ),
        Sample(
            "dovecot",  # 2.3, of a host given by its name
            "imap-login: proxy(bob@d.org,[2001:db8::3]:143): Started proxying to <2001:db8::3> (<b1.d.org>) from 192.0.2.1 as user bob "
            f"(master adm) (0.123 secs, 1 reconnects): user=<bob@d.org>, method=PLAIN, {TAIL}",
            "192.0.2.25",
            "bob@d.org",
            "imap",
        ),
        Sample(
            "dovecot",  # 2.4
            f"imap-login: proxy(bob,127.0.0.1:143): Started proxying to remote host (0.123 secs): user=<bob>, method=PLAIN, {TAIL}",
            "192.0.2.25",
            "bob",
            "imap",
        ),
        Sample(
            "dovecot",
            f"2008-10-02 23:34:07 Info: pop3-login: Login: user=<bob>, method=PLAIN, {TAIL}",
            "192.0.2.25",
            "bob",
            "pop3",
            own_log=True,
        ),
        Sample("imap-login", f"Info: Login: user=<bob>, method=PLAIN, {TAIL}", "192.0.2.25", "bob", "imap", own_log=True),
    ),
    logouts=(
        ("dovecot", "imap(bob)<99><JQO0dOBg74PAAAIZ>: Disconnected: Logged out in=8 out=86 deleted=0 expunged=0 trashed=0 hdr_count=0"),
        ("dovecot", "imap(bob)<88><mKIWeuBg7+vAAAIa>: Disconnected: Too many invalid IMAP commands. in=158 out=1903 deleted=0"),
        ("dovecot", "imap-hibernate(bob)<105><tl+0dOBgf4PAAAIa>: Disconnected: Connection closed in=8 out=414 deleted=0 expunged=0"),
        ("dovecot", "pop3(bob)<92><V/WzdOBgg5jAAAIZ>: Disconnected: Logged out top=0/0, retr=0/0, del=0/0, size=0"),
    ),
    near_misses=(
        # failures, of 2.3 and of 2.4
        ("dovecot", f"imap-login: Disconnected: Aborted login by logging out (auth failed, 1 attempts in 0 secs): user=<bob>, {TAIL}"),
        ("dovecot", f"imap-login: Login aborted: Logged out (auth failed, 1 attempts in 0 secs) (auth_failed): user=<bob>, {TAIL}"),
        ("dovecot", f"imap-login: Login: user=<>, method=PLAIN, {TAIL}"),
        ("dovecot", f"imap-login: Login: user=<anonymous>, method=ANONYMOUS, {TAIL}"),
        ("dovecot", f"imap-login: proxy(bob,127.0.0.1:143): Disconnected by server (0s idle): user=<bob>, method=PLAIN, {TAIL}"),
        ("dovecot", f"imap(bob)<80><Yw62>: Disconnected: Logged out in=8 out=468, user=<bob>, method=PLAIN, {TAIL}"),
        # a user name that holds a whole line, in a failure and in a success
        ("dovecot", f"imap-login: Disconnected (auth failed): user=<imap-login: Login: user=<a>, method=PLAIN, rip=9.9.9.9>, {TAIL}"),
        ("dovecot", f"imap-login: Login: user=<a>, method=PLAIN, rip=9.9.9.9, lip=1.1.1.1, session=<x>, method=PLAIN, {TAIL}"),
        ("dovecot", f"imap-login: Login: user=<a>b, rip=9.9.9.9>, method=PLAIN, {TAIL}"),
        ("dovecot", f"imap-login: Login: user=<x, rip=9.9.9.9>, method=PLAIN, {TAIL}"),
        ("dovecot", f"imap-login: proxy(a): started proxying to x:1: user=<a>, rip=9.9.9.9): Disconnected: user=<a>, method=PLAIN, {TAIL}"),
        ("dovecot", f"imap-login: proxy(a): started proxying to x:1/b: user=<a>, rip=9.9.9.9: user=<a>, method=PLAIN, {TAIL}"),
        ("dovecot", f"imap-login: proxy(eve,127.0.0.1:143): Started proxying to <127.0.0.1>: user=<bob>, method=PLAIN, {TAIL}"),
        # a session id from a trusted proxy, an SNI, an IMAP ID, a message-id
        ("dovecot", "imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, session=<a>, rip=9.9.9.9>"),
        ("dovecot", f"imap-login: Login: user=<bob>, method=PLAIN, evil.example, {TAIL}"),
        ("dovecot", f"imap-login: ID sent: name=x>, method=PLAIN, rip=9.9.9.9, lip=1.1.1.1: user=<>, {TAIL}"),
        ("dovecot", "lmtp(bob)<1><s>: msgid=<imap-login: Login: user=<a>, method=PLAIN, rip=9.9.9.9, lip=1.1.1.1>: saved mail to INBOX"),
        # addresses that are none, a line cut short, text after the end
        ("dovecot", "imap-login: Login: user=<bob>, method=PLAIN, rip=0x7f.1, lip=192.0.2.1"),
        ("dovecot", "imap-login: Login: user=<bob>, method=PLAIN, rip=0.0.0.0, lip=192.0.2.1"),
        ("dovecot", "imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.2"),
        ("dovecot", f"imap-login: Login: user=<bob>, method=PLAIN, {TAIL} and more"),
        ("dovecot", "imap-login: Login: bob [9.9.9.9] [192.0.2.25]"),
        # a piece of PIPE_BUF bytes of the IMAP ID's keys and values
        ("dovecot", f"imap-login: Login: user=<b>, method=PLAIN, rip=9.9.9.9, lip=1.1.1.1, auth=<{'a' * 300}>, orig=<{'a' * 112}>"),
        ("dovecot", f"imap-login: proxy({'a' * 300}): started proxying to x: user=<{'a' * 300}>, method=A, rip=9.9.9.9, lip=1.1.1.1"),
    ),
    sources=(
        "dovecot-core src/login-common/login-settings.c, client-common.c (get_var_expand_table), client-common-auth.c, login-proxy.c",
        "Dovecot 2.3.19 and 2.4.1 as run; 0.99 and 1.x from the sources and from pop-before-smtp's patterns",
    ),
)
