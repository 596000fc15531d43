"""DBMail 2.3 to 3.x: dbmail-imapd alone (as dbmail/imap4d up to 3.1).

    Notice:[imap] dbmail_imap_session_handle_auth(+1455): [0x55d0c0de] login accepted: id [12] user [bob] from [192.0.2.25:50100]

2.3 puts the source file before the function, some 3.x a thread (`[0x7b9d1502ea30] `) before all; `id` is there since 3.2. The login is the
name as given, unescaped; the port always follows the address. On dual-stack sockets 3.x writes an address out of too short a buffer
(issues 501, 564): IPv4 becomes `::1c00:0:a00:3e1`, which is refused like all that begins `::` but for mapped IPv4; of IPv6 the first half
alone is right, so that the grant is of no use, yet to nobody else's network.

Not recognised: POP3, which no version logs with an address; IMAP up to 2.2, which has the address in an earlier line of a process that
serves one client after the other: with one line lost, a login would be joined to the address of the client before.
"""

from syslogauth.core.formats.grammar import Format, Kind, Line, Sample, whole

BEGINS = rb"(?:\[0x[0-9a-f]{1,16}\] )?Notice:\[imap\] "
WHERE = rb"(?:[\w.-]{1,64},)?\w{1,64}\(\+\d{1,6}\): \[0x[0-9a-f]{1,16}\] "
ACCEPTED = BEGINS + WHERE + rb"login accepted: (?:id \[\d{1,20}\] )?user \[(?P<user>[^\x00-\x20\x7f\[\]]{1,128})\] from "
IPV4 = rb"\[(?P<address>[0-9.]{7,15}):\d{1,5}\]"
IPV6 = rb"\[(?P<address>::ffff:[0-9.]{7,15}|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{2,37}):\d{1,5}\]"
FUNCTION = "dbmail_imap_session_handle_auth"

FORMAT = Format(
    name="dbmail",
    app_names=dict.fromkeys((b"dbmail-imapd", b"dbmail/imap4d", b"dbmail/imapd"), "imap"),
    lines=(Line(Kind.LOGIN, whole(ACCEPTED + IPV4)), Line(Kind.LOGIN, whole(ACCEPTED + IPV6))),
    begins=BEGINS + WHERE + rb"login accepted: ",
    others=rb"(?!" + BEGINS + rb")|" + BEGINS + WHERE + rb"login rejected",
    escapes=False,
    notes="Logs logins at notice only: syslog_logging_levels must include 32 in dbmail.conf. IMAP only: no version "
    "logs the address of a POP3 client, nor 2.2 and before that of an IMAP one in a line that could be relied on.",
    samples=(
        Sample(
            "dbmail-imapd",
            f"Notice:[imap] {FUNCTION}(+1455): [0x55d0c0de] login accepted: id [12] user [bob@example.org] from [192.0.2.25:50100]",
            "192.0.2.25",
            "bob@example.org",
            "imap",
        ),
        Sample(
            "dbmail-imapd",
            f"[0x7b9d1502ea30] Notice:[imap] {FUNCTION}(+1455): [0x55d0c0de] login accepted: id [12] user [bob] from [2001:db8::10:50100]",
            "2001:db8::10",
            "bob",
            "imap",
        ),
        Sample(
            "dbmail/imap4d",
            f"Notice:[imap] {FUNCTION}(+1198): [0x8a3f] login accepted: user [bob] from [::ffff:192.0.2.25:50100]",
            "192.0.2.25",
            "bob",
            "imap",
        ),
        Sample(
            "dbmail/imap4d",
            f"Notice:[imap] dbmail-imapsession.c,{FUNCTION}(+1021): [0x8a3f] login accepted: user [bob] from [192.0.2.25:50100]",
            "192.0.2.25",
            "bob",
            "imap",
        ),
    ),
    near_misses=(
        ("dbmail-imapd", f"Notice:[imap] {FUNCTION}(+1448): [0x55d0] login rejected: user [bob] from [192.0.2.25:50100]"),
        ("dbmail-imapd", "Notice:[clientbase] client_init(+176): [0x5602] incoming connection on [192.0.2.1:143] from [192.0.2.25:50100]"),
        ("dbmail-pop3d", "Notice:[pop3] _pop3_session_authenticated(+341): user bob logged in [messages=3, octets=2048]"),
        ("dbmail/imap4d", f"Message:[imap] dbmail-imapsession.c,{FUNCTION}(+905): user (id 3, name bob) login accepted @ 1163000000"),
        # a name that holds the rest of a line
        (
            "dbmail-imapd",
            f"Notice:[imap] {FUNCTION}(+1448): [0x1] login rejected: user [a] from [192.0.2.5:1] login accepted: user [b] from [9.9.9.9:2]",
        ),
        (
            "dbmail-imapd",
            f"Notice:[imap] {FUNCTION}(+1455): [0x1] login accepted: id [1] user [a] from [9.9.9.9:1] from [192.0.2.25:50100]",
        ),
        ("dbmail-imapd", f"Notice:[imap] {FUNCTION}(+1455): [0x1] login accepted: user [a] from [9.9.9.9:1]] from [192.0.2.25:50100]"),
        (
            "dbmail-imapd",
            f"Debug:[imap] f(+1): [0x1] C < [9:a\nNotice:[imap] {FUNCTION}(+1): [0x1] login accepted: user [b] from [9.9.9.9:2]",
        ),
        # addresses out of a short buffer, without a port, none at all; more behind
        ("dbmail-imapd", f"Notice:[imap] {FUNCTION}(+1455): [0x1] login accepted: id [1] user [bob] from [::1c00:0:a00:3e1:51990]"),
        ("dbmail-imapd", f"Notice:[imap] {FUNCTION}(+1455): [0x1] login accepted: id [1] user [bob] from [192.0.2.25]"),
        ("dbmail-imapd", f"Notice:[imap] {FUNCTION}(+1455): [0x1] login accepted: id [1] user [bob] from [:]"),
        ("dbmail-imapd", f"Notice:[imap] {FUNCTION}(+1455): [0x1] login accepted: id [1] user [bob] from [192.0.2.256:50100]"),
        ("dbmail-imapd", f"Notice:[imap] {FUNCTION}(+1455): [0x1] login accepted: id [1] user [bob] from [192.0.2.25:50100] and more"),
    ),
    sources=(
        "dbmail src/dm_imapsession.c, dbmail-imapsession.c, pop3.c, clientbase.c, dm_debug.c, debug.c, serverchild.c (2.0 to 3.5)",
        "dbmail issues 501 and 564, FreeBSD's mail/dbmail patch of clientbase.c: which addresses are wrong",
    ),
)
