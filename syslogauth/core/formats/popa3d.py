"""popa3d 0.4 to 1.0.3 (Openwall, Debian, OpenBSD), plain and with pop-before-smtp's patch.

    Session from 192.0.2.25               two lines of one process;
    Authentication passed for bob         `bob@192.0.2.1` where POP_VIRTUAL is on: the local address stands for the domain
    connect from c1.example.net (192.0.2.25)                instead of the first, under inetd: tcpd's, which then becomes popa3d
    Authentication passed for bob -- [192.0.2.25]           patched: one line

A connection has one attempt. `Session from` is written by the standalone daemon (-D) only: under inetd popa3d logs no address, and tcpd
must, as in Debian's set-up (its name and pid are popa3d's; the reverse DNS name may be the address, `IDENT@` may precede it, and older
ones write `connect from ADDRESS`, or no more than the name). A user's name is the one word after USER, up to 40 bytes, which ends at a
blank or a line feed; it is not escaped, and one that is not in the password file is logged as `UNKNOWN USER`. A session ends with what
it deleted and left, or with why it broke off.
"""

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, Sequence, whole

USER = rb"(?P<user>[^\x00-\x20\x7f\[\]]{1,64})"
CLIENT = rb"(?P<address>" + ADDRESS + rb")"
BY_TCPD = rb"(?:[^\x00-\x20\x7f@()]{1,255}@)?[A-Za-z0-9._:-]{1,255} \(" + CLIENT + rb"\)"

FORMAT = Format(
    name="popa3d",
    app_names={b"popa3d": "pop3"},
    lines=(
        Line(Kind.CONNECTED, whole(rb"(?:Session|connect) from " + CLIENT)),
        Line(Kind.CONNECTED, whole(rb"connect from " + BY_TCPD)),
        Line(Kind.AUTHENTICATED, whole(rb"Authentication passed for " + USER)),
        Line(Kind.LOGIN, whole(rb"Authentication passed for " + USER + rb" -- \[" + CLIENT + rb"\]")),
        # a first line whose address cannot be read (a PTR name or an IDENT of its client's choice) voids an older one of the same pid
        Line(Kind.FAILED, whole(rb"(?:Session|connect) from .{1,1024}|Authentication failed for .{1,1024}|Didn't attempt authentication")),
        Line(
            Kind.LOGOUT,
            whole(
                rb"\d{1,10} \(\d{1,20}\) deleted, \d{1,10} \(\d{1,20}\) left|Premature disconnect|Connection timed out|"
                rb"Another MUA active, giving up|Failed or refused to load .{1,1024}"
            ),
        ),
    ),
    begins=rb"(?:Session|connect) from |Authentication (?:passed|failed) for |Didn't attempt",
    logout_begins=rb"\d{1,10} \(\d{1,20}\) deleted|Premature disconnect|Connection timed out|Another MUA|Failed or refused",
    others=rb"\d{1,10} messages? \(|Server failure|Failed to update|Authentication failed",
    ends="process",
    facility="daemon",
    notes="Logs to facility daemon: list it, and forward daemon.info too. Unpatched it logs the client's address only as a standalone "
    "daemon (-D); from inetd it must be run through tcpd.",
    samples=(
        Sample("popa3d", "Authentication passed for bob -- [192.0.2.25]", "192.0.2.25", "bob", "pop3"),
        Sample("popa3d", "Authentication passed for bob@192.0.2.1 -- [192.0.2.25]", "192.0.2.25", "bob@192.0.2.1", "pop3"),
    ),
    sequences=(
        Sequence("popa3d", ("Session from 192.0.2.25", "Authentication passed for bob"), "192.0.2.25", "bob", "pop3"),
        Sequence("popa3d", ("Session from 2001:db8::10", "Authentication passed for bob"), "2001:db8::10", "bob", "pop3"),
        Sequence(
            *("popa3d", ("connect from c1.example.net (192.0.2.25)", "Authentication passed for bob")),
            *("192.0.2.25", "bob", "pop3"),
        ),
        Sequence(
            *("popa3d", ("connect from ::ffff:192.0.2.25 (::ffff:192.0.2.25)", "Authentication passed for bob")),
            *("192.0.2.25", "bob", "pop3"),
        ),
        Sequence(
            *("popa3d", ("connect from joe@2001:db8::10 (2001:db8::10)", "Authentication passed for bob")),
            *("2001:db8::10", "bob", "pop3"),
        ),
        Sequence("popa3d", ("connect from 192.0.2.25", "Authentication passed for bob"), "192.0.2.25", "bob", "pop3"),
    ),
    logouts=(
        ("popa3d", "0 (0) deleted, 3 (2048) left"),
        ("popa3d", "Premature disconnect"),
        ("popa3d", "Connection timed out"),
        ("popa3d", "Failed or refused to load /var/mail/bob"),
    ),
    near_misses=(
        ("popa3d", "Authentication failed for bob"),
        ("popa3d", "Authentication failed for UNKNOWN USER"),
        ("popa3d", "Authentication failed for UNKNOWN USER -- [192.0.2.25]"),
        ("popa3d", "Authentication passed for UNKNOWN USER"),
        ("popa3d", "3 messages (2048 bytes) loaded"),
        ("popa3d", "192.0.2.25: per source limit reached"),
        ("popa3d", "192.0.2.25: sessions limit reached"),
        # the name, of a failed login and of one that was let in
        ("popa3d", "Authentication failed for x -- [9.9.9.9] Authentication passed for y -- [9.9.9.9] -- [192.0.2.25]"),
        ("popa3d", "Authentication passed for x -- [9.9.9.9] -- [192.0.2.25]"),
        ("popa3d", "Authentication passed for x--[9.9.9.9] -- [192.0.2.25]"),
        ("popa3d", "Authentication passed for x\npopa3d[1]: Session from 9.9.9.9"),
        # the reverse DNS name, and the user that the client's identd names
        ("popa3d", "connect from c1.example.net"),
        ("popa3d", "connect from x (9.9.9.9) (192.0.2.25)"),
        ("popa3d", "connect from x (9.9.9.9)@c1.example.net (192.0.2.25)"),
        ("popa3d", "refused connect from c1.example.net (192.0.2.25)"),
        # addresses that are none, lines cut short, text after the end
        ("popa3d", "Session from 999.0.2.25"),
        ("popa3d", "Session from 192.0.2.25 9.9.9.9"),
        ("popa3d", "connect from c1.example.net (192.0.2.2"),
        ("popa3d", "Authentication passed for bob -- [192.0.2.2"),
        ("popa3d", "Authentication passed for bob -- [192.0.2.25] and more"),
    ),
    sources=(
        "popa3d 1.0.3 standalone.c, pop_root.c, pop_auth.c, pop_trans.c, protocol.c (pop_get_param), params.h (SYSLOG_*, POP_STANDALONE)",
        "Debian's popa3d 1.0.3-1.1 as run, with -D, and under inetd with tcpd; contrib/popa3d of pop-before-smtp 1.42 for the patched line",
    ),
)
