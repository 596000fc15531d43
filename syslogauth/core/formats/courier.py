"""Courier 1.x to 5.x: imapd and pop3d with their `-ssl` twins, the older imaplogin and pop3login, and Plesk's build.

    LOGIN, user=bob, ip=[::ffff:192.0.2.25], port=[47271], protocol=IMAP      imapd; IPv4 is always mapped
    LOGIN, user=bob, ip=[2001:db8::10], port=[52031]                          pop3d; newer under STLS with `, stls=1` behind
    LOGIN, user=bob, ip=[::ffff:192.0.2.25], protocol=IMAP                    before 4.0: no port
    LOGOUT, user=bob, ip=[::ffff:192.0.2.25], port=[47271], headers=0, ...    the end; TIMEOUT, DISCONNECTED; a POP3 server of 2025: `disc`

The name is the authenticated account's, and a comma ends it; it is bounded, so that no line which a syslogd cuts (480 bytes at the
least) could end inside a name and be a login. As a proxy (IMAP_PROXY, POP3_PROXY) Courier writes the same line once the
backend has said yes. A pid, where there is one, is courierlogger's, one for all sessions: a session is known by its address and port.

courierlogger reads lines of 511 bytes, and what does not fit comes out as a line of its own: a failed login whose name is 486 bytes and
then a line of this format forges that line to the byte (5.0.13/1.0.16 as run). No pattern tells it from a genuine one; that it follows
a cut line of the same server does (CUT_BYTES, and recent.py). Names of failures are escaped otherwise (courier_safe_printf); with
IMAP_ID_FIELDS set, the client's ID is not, and a line feed in it makes a second line in the same way. With DEBUG_LOGIN set, the first half
of a long command is of severity debug (`LOGIN: ip=[...], command=`), which mail.info does not forward, and the second is of info.
"""

import re

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, whole
from syslogauth.core.login import Cut, Refusal
from syslogauth.core.message import Message

USER = rb"user=(?P<user>[^\x00-\x1f\x7f,\[\]]{1,200}), "
CLIENT = rb"ip=\[(?P<address>" + ADDRESS + rb")\]"
SESSION = rb"(?P<session>" + CLIENT + rb", port=(?:\[\d{1,5}\]|\d{1,5}))"
PROTOCOL = rb"(?:, protocol=[A-Z0-9]{1,8})?(?:, (?:start|s)tls=1)?"
PLESK = rb"IMAP connect from @ \[" + ADDRESS + rb"\]INFO: "  # without a line feed before Courier's own line
ENDED = rb"(?:\d{10}\.\d{6} )?(?:LOGOUT|TIMEOUT|DISCONNECTED|disc|Disconnected during shutdown by signal), "
END = ENDED + rb"user="
ENDS = rb"(?:\]|=\d{1,12}|protocol=[A-Z0-9]{1,8})"
CUT_BYTES = 400  # courierlogger cuts at 511, FreeBSD 12 all at 480 with the header; a failed login with a name of 300 bytes is no half
LOGGER_BYTES = 500  # the end of a long-named account's session may have more than CUT_BYTES, and is whole
OF_ACCOUNT = re.compile(rb"(?:LOGIN|LOGOUT|TIMEOUT|DISCONNECTED), user=")  # no client's choice: only the logger cuts those
# of a line in other words: an error that names a mailbox is as long as its user likes. Other servers' lines of such tags are shorter
OTHER_CUT = rb"(?=[\x00-\xff]{400})"


def cut(message: Message, found: re.Match[bytes]) -> Cut | Refusal:
    """Whether the rest of the line is to come: it is long, the blanks at its end included, or does not end as Courier's lines do."""
    limit_bytes = LOGGER_BYTES if OF_ACCOUNT.match(message.text) else CUT_BYTES
    long = len(message.text) + message.stripped_bytes >= limit_bytes
    failed = message.text.startswith(b"LOGIN FAILED, ")  # whose name is anybody's; a login that ends otherwise is a changed log
    return Cut("courier") if long or (failed and not found["end"]) else Refusal.NOT_LOGIN


FORMAT = Format(
    name="courier",
    app_names={
        **dict.fromkeys((b"imapd", b"imapd-ssl", b"imaplogin", b"imaplogin-ssl", b"courierimapd", b"courierimaplogin"), "imap"),
        **dict.fromkeys((b"pop3d", b"pop3d-ssl", b"pop3login", b"pop3login-ssl", b"courierpop3d", b"courierpop3login"), "pop3"),
    },
    lines=(
        Line(Kind.LOGIN, whole(rb"LOGIN, " + USER + SESSION + PROTOCOL)),
        Line(Kind.LOGIN, whole(rb"LOGIN, " + USER + CLIENT + PROTOCOL)),
        Line(Kind.LOGIN, whole(PLESK + rb"LOGIN, " + USER + CLIENT + PROTOCOL)),
        Line(Kind.LOGOUT, whole(ENDED + USER + SESSION + rb", [a-z]{1,16}=[^\x00-\x1f\x7f]{0,512}")),
        Line(Kind.LOGOUT, whole(ENDED + USER + CLIENT + rb", (?!port=)[a-z]{1,16}=[^\x00-\x1f\x7f]{0,512}")),
        Line(
            Kind.CUT,
            whole(rb"(?:[A-Z]{2,16}(?: FAILED)?, |LOGIN: ip=|" + OTHER_CUT + rb").*?(?P<end>" + ENDS + rb"|)"),
            read=cut,
        ),
    ),
    begins=rb"LOGIN, user=|(?:[A-Z]{2,16}(?: FAILED)?, |LOGIN: ip=)(?:(?s:.{290})|(?!(?s:.*)"
    + ENDS
    + rb"[\n\r\0 ]{0,4}\Z))|"
    + OTHER_CUT
    + rb"|IMAP connect from @ \[[0-9A-Fa-f:.]{2,45}\]INFO: LOGIN, user=",
    logout_begins=END,
    others=rb"LOGIN FAILED|"
    + END
    + rb"|LOGOUT|Connection|Disconnected|LOCKED|ID,|DELETED|EXPUNGED|IMAP connect|ip=\[|couriertls|authentication error",
    ends="client",
    notes="Set no IMAP_ID_FIELDS (it lets a logged-in user write lines of his own) and no DEBUG_LOGIN (it lets anybody), and forward "
    "by TCP or TLS or let the log file be followed: courierlogger splits long lines, and the second half of one that follows a lost "
    "first half cannot be told from a login.",
    samples=(
        Sample("imapd", "LOGIN, user=bob, ip=[::ffff:192.0.2.25], port=[47271], protocol=IMAP", "192.0.2.25", "bob", "imap"),
        Sample(
            "imapd",
            "LOGIN, user=bob@example.org, ip=[2001:db8::10], port=[40013], protocol=IMAP",
            "2001:db8::10",
            "bob@example.org",
            "imap",
        ),
        Sample("imapd-ssl", "LOGIN, user=bob, ip=[192.0.2.25], port=[40377], protocol=SMAP1", "192.0.2.25", "bob", "imap"),
        Sample("imapd", "LOGIN, user=bob, ip=[::ffff:192.0.2.25], port=[40377], protocol=IMAP, starttls=1", "192.0.2.25", "bob", "imap"),
        Sample("imapd", "LOGIN, user=b ob, ip=[::ffff:192.0.2.25], port=[34803], protocol=IMAP", "192.0.2.25", "b ob", "imap"),
        Sample("pop3d", "LOGIN, user=bob, ip=[::ffff:192.0.2.25], port=[39061]", "192.0.2.25", "bob", "pop3"),
        Sample("pop3d-ssl", "LOGIN, user=bob, ip=[2001:db8::10], port=[55897], stls=1", "2001:db8::10", "bob", "pop3"),
        Sample("pop3d", "LOGIN, user=bob, ip=[192.0.2.25], port=39061", "192.0.2.25", "bob", "pop3"),
        Sample("pop3d", "LOGIN, user=bob, ip=[::ffff:192.0.2.25], port=[39061], protocol=POP3", "192.0.2.25", "bob", "pop3"),
        Sample("courierpop3login", "LOGIN, user=bob, ip=[::ffff:192.0.2.25]", "192.0.2.25", "bob", "pop3"),
        Sample("imaplogin", "LOGIN, user=bob, ip=[::ffff:192.0.2.25], protocol=IMAP", "192.0.2.25", "bob", "imap"),
        Sample(
            "imapd",
            "IMAP connect from @ [::ffff:192.0.2.25]INFO: LOGIN, user=bob@example.org, ip=[::ffff:192.0.2.25], protocol=IMAP",
            "192.0.2.25",
            "bob@example.org",
            "imap",
        ),
    ),
    logouts=(
        ("imapd", "LOGOUT, user=bob, ip=[::ffff:192.0.2.25], port=[47271], headers=0, body=0, rcvd=18, sent=101, time=0"),
        ("imapd-ssl", "TIMEOUT, user=bob, ip=[2001:db8::10], port=[40377], headers=0, body=0, rcvd=10, sent=80, time=1800, starttls=1"),
        ("pop3d", "DISCONNECTED, user=bob, ip=[::ffff:192.0.2.25], port=[33861], top=0, retr=0, rcvd=0, sent=16, time=0"),
        ("pop3d-ssl", "disc, user=bob, ip=[192.0.2.25], port=[33861], top=0, retr=0, rcvd=0, sent=16, time=0, stls=1"),
        ("pop3d", "LOGOUT, user=bob, ip=[::ffff:192.0.2.25], top=0, retr=0, rcvd=6, sent=30, time=0"),
        ("pop3d", "1390648707.677664 LOGOUT, user=bob, ip=[192.0.2.25], port=[33861], top=0, retr=0, time=1, rcvd=24, sent=3887"),
    ),
    near_misses=(
        ("imapd", "LOGIN FAILED, user=bob, ip=[::ffff:192.0.2.25], port=[33003]"),
        ("imapd", "LOGIN FAILED, method=PLAIN, ip=[::ffff:192.0.2.25], port=[33003]"),
        ("courierpop3login", "LOGIN FAILED, ip=[::ffff:192.0.2.25]"),
        ("imapd", "LOGOUT, user=bob, ip=[::ffff:192.0.2.25], port=[47271], headers=0, body=0, rcvd=18, sent=101, time=0"),
        ("imapd", "LOGOUT, ip=[::ffff:192.0.2.25], port=[33003], rcvd=31, sent=277"),
        ("imapd", "Connection, ip=[::ffff:192.0.2.25], port=[47271]"),
        ("imapd", "Disconnected, ip=[::ffff:192.0.2.25], port=[45901], time=0"),
        ("imapd", "LOCKED, user=bob, ip=[::ffff:192.0.2.25], port=[45901]"),
        ("imapd", "ID, user=bob, ip=[192.0.2.25], port=[45901], name=LOGIN, user=a, ip=[9.9.9.9], port=[1], protocol=IMAP"),
        ("pop3d", "IMAP connect from @ [192.0.2.25]ERR: LOGIN FAILED, ip=[192.0.2.25]"),
        # a name that holds a line: of a failure, of an account
        ("imapd", "LOGIN FAILED, user=imapd: LOGIN, user=a, ip=[9.9.9.9], port=[1], protocol=IMAP, ip=[::ffff:192.0.2.25], port=[43681]"),
        ("imapd", "LOGIN FAILED, user=a.imapd: LOGIN, user=b, ip=[9.9.9.9], port=[1], protocol=IMAP, ip=[192.0.2.25], port=[43681]"),
        ("imapd", "LOGIN, user=a, ip=[9.9.9.9], ip=[::ffff:192.0.2.25], port=[35167], protocol=IMAP"),
        ("imapd", "LOGIN, user=a, ip=[9.9.9.9], port=[1], protocol=IMAP, ip=[::ffff:192.0.2.25], port=[35167], protocol=IMAP"),
        ("pop3d", "IMAP connect from x@[9.9.9.9]INFO: LOGIN, user=a, ip=[9.9.9.9] [192.0.2.25]INFO: LOGIN, user=bob, ip=[192.0.2.25]"),
        # cut short, no address, more behind
        ("imapd", "LOGIN, user=bob, ip=[::ffff:192.0.2.2"),
        ("imapd", "LOGIN, user=bob, ip=[::ffff:192.0.2.25], port=[340"),
        ("imapd", "LOGIN, user=bob, ip=[::ffff:192.0.2.256], port=[34803], protocol=IMAP"),
        ("imapd", "LOGIN, user=bob, ip=[192.0.2.25], port=[34803], protocol=IMAP, and more"),
        ("pop3d", "LOGIN, user=, ip=[192.0.2.25], port=[34803]"),
    ),
    sources=(
        "courier-libs imap/imapd.C, imaplogin.C, pop3login.C, pop3dserver.C, imaptoken.C, liblog/logger.c",
        "courier-imap 5.0.13 and courier-pop 1.0.16 as run; before 4.0 and Plesk: the lines of their logs",
    ),
)
