"""University of Washington (and Panda) imapd and ipop3d, 4.x to 2007f.

    Login user=bob host=client.example.net [198.51.100.7]
    Authenticated user=bob host=[192.0.2.25] mech=PLAIN
    Auth user=bob host=[192.0.2.25] nmsgs=0/0          ipop3d; APOP and `Admin Login` alike; `no mailbox` instead of nmsgs

`user=` is %.80s of the client's bytes, unescaped (line feeds included: see law 2 on sources that split them). `host=%.80s` is the
reverse DNS name and the address: a long name cuts the address off, so that the closing bracket is required. The other lines that
begin with Login (failed, disabled, excessive login failures, SYSTEM BREAK-IN ATTEMPT, anonymous=) have another word before `user=`;
`IMAP login to host=` is ipop3d logging in to a server of the client's choice.
"""

import re

from syslogauth.core.formats.grammar import ADDRESS, PTR_NAME, Format, Kind, Line, Sample, whole
from syslogauth.core.login import Refusal, Report
from syslogauth.core.message import Message

USER = rb"(?P<user>[^\x00-\x20\x7f]{1,80})"
CLIENT = rb"host=(?P<host>(?:" + PTR_NAME + rb" )?\[(?P<address>" + ADDRESS + rb")\])"
HOST_CUT_BYTES = 80  # of exactly that length, the field may be `NAME [9.9.9.9] [address]` cut after a bracket of the name's owner


def read(message: Message, found: re.Match[bytes]) -> Report | Refusal:
    if len(found["host"]) == HOST_CUT_BYTES:
        return Refusal.AMBIGUOUS
    return FORMAT.report(LOGIN, message, found)


def explain(message: Message, found: re.Match[bytes]) -> str:
    if len(found["host"]) != HOST_CUT_BYTES:
        return ""
    return f"its host field has {HOST_CUT_BYTES} bytes, where the server cuts it: the address may be a part of a longer reverse DNS name"


LOGIN = Line(
    Kind.LOGIN,
    whole(
        rb"(?:Admin )?(?:Login|Authenticated|Auth|APOP) user="
        + USER
        + rb" "
        + CLIENT
        + rb"(?: mech=[A-Z0-9-]{1,20}| nmsgs=\d{1,10}/\d{1,10}| no mailbox)?"
    ),
    own_keys=(b"host=",),
    read=read,
    explain=explain,
)

FORMAT = Format(
    name="uw",
    app_names={b"imapd": "imap", b"imaps": "imap", b"ipop3d": "pop3", b"ipop3s": "pop3"},
    lines=(
        LOGIN,
        Line(
            Kind.LOGOUT,
            whole(
                rb"(?:Logout|Autologout|Update|Killed \(lost mailbox lock\)) user="
                + USER
                + rb" "
                + CLIENT
                + rb"(?: nmsgs=\d{1,10}(?:/\d{1,10}| ndele=\d{1,10}(?: nseen=\d{1,10})?))?"
            ),
        ),
    ),
    begins=rb"(?:Admin )?(?:Login|Authenticated|Auth|APOP) user=",
    logout_begins=rb"(?:Logout|Autologout|Update|Killed \(lost mailbox lock\)) user=",
    others=rb"Logout|Autologout|Killed|Update|Login (?:failed|failure|disabled|excessive|SYSTEM|anonymous)|"
    rb"Unexpected|Command stream|imaps? SSL|pop3s? SSL",
    escapes=False,
    ends="process",
    samples=(
        Sample("imapd", "Login user=bob host=client.example.net [198.51.100.7]", "198.51.100.7", "bob", "imap"),
        Sample("imapd", "Authenticated user=bob host=[::ffff:192.0.2.25] mech=PLAIN", "192.0.2.25", "bob", "imap"),
        Sample("imapd", "Authenticated user=bob host=client.example.net [198.51.100.7]", "198.51.100.7", "bob", "imap"),
        Sample("imaps", "Login user=bob@example.org host=[2001:db8::10]", "2001:db8::10", "bob@example.org", "imap"),
        Sample("ipop3d", "Login user=bob host=[192.0.2.25] nmsgs=144/144", "192.0.2.25", "bob", "pop3"),
        Sample("ipop3d", "Auth user=bob host=2-4-4.example.net [192.0.2.25] nmsgs=0/0", "192.0.2.25", "bob", "pop3"),
        Sample("ipop3d", "APOP user=bob host=[192.0.2.25] nmsgs=0/0", "192.0.2.25", "bob", "pop3"),
        Sample("ipop3d", "Admin Login user=bob host=client.example.net [192.0.2.25] nmsgs=3/3", "192.0.2.25", "bob", "pop3"),
        Sample("ipop3d", "Login user=bob host=client.example.net [192.0.2.25] no mailbox", "192.0.2.25", "bob", "pop3"),
    ),
    logouts=(
        ("imapd", "Logout user=bob host=client.example.net [192.0.2.25]"),
        ("imapd", "Autologout user=bob host=[192.0.2.25]"),
        ("ipop3d", "Update user=bob host=client.example.net [192.0.2.25] nmsgs=3 ndele=1 nseen=2"),
        ("ipop3d", "Logout user=bob host=client.example.net [192.0.2.25] nmsgs=3 ndele=0"),
    ),
    near_misses=(
        ("imapd", "Login failed user=bob auth=bob host=client.example.net [192.0.2.25]"),
        ("imapd", "Login disabled user=bob auth=bob host=client.example.net [192.0.2.25]"),
        ("imapd", "Login excessive login failures user=bob auth=bob host=client.example.net [192.0.2.25]"),
        ("imapd", "Login SYSTEM BREAK-IN ATTEMPT user=bob auth=bob host=client.example.net [192.0.2.25]"),
        ("imapd", "Login bob failed: unable to set chroot=/home/bob host=client.example.net [192.0.2.25]"),
        ("imapd", "AUTHENTICATE PLAIN failure host=client.example.net [192.0.2.25]"),
        ("imapd", "Preauthenticated user=bob host=[192.0.2.25]"),
        ("imapd", "Logout user=bob host=client.example.net [192.0.2.25]"),
        ("imapd", "Autologout user=bob host=client.example.net [192.0.2.25]"),
        ("ipop3d", "Update user=bob host=client.example.net [192.0.2.25] nmsgs=3 ndele=1 nseen=2"),
        ("ipop3d", "IMAP login to host=imap.evil.example user=bob host=client.example.net [192.0.2.25]"),
        # anonymous, its password being free text
        ("imapd", "Login anonymous=user=bob host=x [9.9.9.9] host=[192.0.2.25]"),
        ("imapd", "Login user=anonymous host=[192.0.2.25]"),
        # a user name, a reverse DNS name, and a name so long that the address is cut
        ("imapd", "Login user=a host=x [9.9.9.9] host=[192.0.2.25]"),
        ("imapd", "Login user=a,host=[9.9.9.9] host=[192.0.2.25]"),
        ("imapd", "Login user=bob host=[9.9.9.9] [192.0.2.25]"),
        ("imapd", "Login user=bob host=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.example-long.net [192.0.2.10"),
        ("ipop3d", "Login user=bob host=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example-long.net [2 nmsgs=0/0"),
        ("imapd", "Logout user=a\nimapd[1]: Login user=b host=x [9.9.9.9] host=[192.0.2.25]"),
        ("imapd", "Login user=bob host=[192.0.2.256]"),
        ("imapd", f"Login user=bob host={'b' * 70} [9.9.9.9]"),
    ),
    sources=("imap-2007f src/imapd/imapd.c, src/ipopd/ipop3d.c, src/osdep/unix/env_unix.c (built and run); 2000 to 2004 the same words",),
)
