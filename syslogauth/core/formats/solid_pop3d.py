"""Solid POP3 0.14 and 0.15 (`solid-pop3d`, in older builds `spop3d`), with and without --enable-logextend.

    user bob authenticated - 192.0.2.25                       `mapped user`, where a map names the system's user
    user bob authenticated through APOP - c1.example.net (192.0.2.25)           with --enable-resolve
    connect from 192.0.2.25                                   without logextend, with --enable-connect or standalone:
    user bob authenticated                                    two lines of one process

user %.40s (in lower case after USER, blanks included), client %.384s: a reverse DNS name of up to 256 bytes and the address, which is
never cut. A command ends at CR LF only, so that a lone line feed stands in a name and in the log. A user whose name holds a blank is
let in there, and refused here. A failure ends the connection; one that breaks off is not logged.
"""

from syslogauth.core.formats.grammar import ADDRESS, PTR_NAME, Format, Kind, Line, Sample, Sequence, whole

USER = rb"(?:mapped )?user (?P<user>[^\x00-\x20\x7f]{1,40})"
HOW = rb" authenticated(?: through APOP)?"
ANY_USER = rb"[^\x00-\x1f\x7f]{1,40}"
ANY_CLIENT = rb"(?: - [^\x00-\x20\x7f]{1,256}(?: [(\[][^\x00-\x20\x7f]{2,100})?)?"
CLIENTS = (rb"(?P<address>" + ADDRESS + rb")", PTR_NAME + rb" [(\[](?P<address>" + ADDRESS + rb")[)\]]")

FORMAT = Format(
    name="solid-pop3d",
    app_names=dict.fromkeys((b"solid-pop3d", b"spop3d"), "pop3"),
    lines=(
        *(Line(Kind.LOGIN, whole(USER + HOW + rb" - " + client)) for client in CLIENTS),
        *(Line(Kind.CONNECTED, whole(rb"connect from " + client)) for client in CLIENTS),
        Line(Kind.AUTHENTICATED, whole(USER + HOW)),
        Line(
            Kind.FAILED,
            whole(  # a first line that cannot be read, too: an older one of the same pid must not stand for it
                rb"connect from .{1,1024}|(?:APOP )?authentication failed.{1,1024}|can't find APOP secret for user .{1,1024}|"
                rb"root login not allowed" + ANY_CLIENT
            ),
        ),
        Line(
            Kind.LOGOUT,
            whole(
                rb"(?:session ended for (?:mapped )?user " + ANY_USER + rb"|autologout time elapsed(?: for user " + ANY_USER + rb")?|"
                rb"wrong commands limit exceeded)" + ANY_CLIENT
            ),
        ),
    ),
    begins=rb"user |mapped user |connect from |(?:APOP )?authentication failed|can't find APOP|root login not",
    logout_begins=rb"session ended for |autologout time elapsed|wrong commands limit",
    others=rb"Stats: |per source limit|session limit|session ended",
    escapes=False,
    ends="process",
    facility="local0",
    notes="Logs to facility local0 unless LogPriority says otherwise: list it, and forward local0.info too. Without --enable-logextend it "
    "logs the address only when a client connects (--enable-connect, or the standalone daemon).",
    samples=(
        Sample("solid-pop3d", "user bob authenticated - 192.0.2.25", "192.0.2.25", "bob", "pop3"),
        Sample("solid-pop3d", "user bob authenticated - 2001:db8::10", "2001:db8::10", "bob", "pop3"),
        Sample("solid-pop3d", "user bob authenticated - c1.example.net (192.0.2.25)", "192.0.2.25", "bob", "pop3"),
        Sample("solid-pop3d", "user bob authenticated - c1.example.net [192.0.2.25]", "192.0.2.25", "bob", "pop3"),
        Sample("solid-pop3d", "mapped user bob authenticated - 192.0.2.25", "192.0.2.25", "bob", "pop3"),
        Sample("solid-pop3d", "user bob authenticated through APOP - 192.0.2.25", "192.0.2.25", "bob", "pop3"),
        Sample("spop3d", "user bob authenticated - 192.0.2.25", "192.0.2.25", "bob", "pop3"),
    ),
    sequences=(
        Sequence("spop3d", ("connect from 192.0.2.25", "user bob authenticated"), "192.0.2.25", "bob", "pop3"),
        Sequence(
            *("solid-pop3d", ("connect from c1.example.net (2001:db8::10)", "user bob authenticated through APOP")),
            *("2001:db8::10", "bob", "pop3"),
        ),
        Sequence("spop3d", ("connect from 192.0.2.25", "mapped user bob authenticated"), "192.0.2.25", "bob", "pop3"),
    ),
    logouts=(
        ("solid-pop3d", "session ended for user bob - 192.0.2.25"),
        ("solid-pop3d", "session ended for mapped user bob - c1.example.net (192.0.2.25)"),
        ("solid-pop3d", "autologout time elapsed for user bob - 192.0.2.25"),
        ("spop3d", "autologout time elapsed"),
        ("spop3d", "session ended for user bob"),
        ("spop3d", "wrong commands limit exceeded - 192.0.2.25"),
    ),
    near_misses=(
        ("solid-pop3d", "authentication failed for user bob - 192.0.2.25"),
        ("solid-pop3d", "authentication failed for mapped user bob - 192.0.2.25"),
        ("solid-pop3d", "authentication failed: no such user: bob - 192.0.2.25"),
        ("solid-pop3d", "authentication failed: can't map user name: bob - 192.0.2.25"),
        ("solid-pop3d", "APOP authentication failed for user bob - 192.0.2.25"),
        ("solid-pop3d", "can't find APOP secret for user bob - 192.0.2.25"),
        ("solid-pop3d", "root login not allowed - 192.0.2.25"),
        ("solid-pop3d", "user spop3d not found"),
        ("solid-pop3d", "autologout time elapsed for user bob - 192.0.2.25"),
        ("solid-pop3d", "session ended - 192.0.2.25"),
        ("solid-pop3d", "Stats: bob 0 0 3 2048"),
        ("solid-pop3d", "per source limit exceeded: 192.0.2.25"),
        # the name, of a failed login and of one that was let in, and with the line feed that it may hold
        ("solid-pop3d", "authentication failed: no such user: user a authenticated - 9.9.9.9 - 192.0.2.25"),
        ("solid-pop3d", "authentication failed: no such user: x\nspop3d: user a authenticated - 9.9.9.9"),
        ("solid-pop3d", "user a authenticated - 9.9.9.9 authenticated - 192.0.2.25"),
        ("solid-pop3d", "user a authenticated - 9.9.9.9 - 192.0.2.25"),
        ("solid-pop3d", "user bob, rip=9.9.9.9 authenticated - 192.0.2.25"),
        # the reverse DNS name
        ("solid-pop3d", "user bob authenticated - 9.9.9.9) (192.0.2.25)"),
        ("solid-pop3d", "user bob authenticated - x (9.9.9.9) (192.0.2.25)"),
        ("solid-pop3d", "connect from x (9.9.9.9) (192.0.2.25)"),
        # an address that is none, a line cut short, text after the end
        ("solid-pop3d", "user bob authenticated - 999.0.2.25"),
        ("solid-pop3d", "user bob authenticated - c1.example.net (192.0.2.2"),
        ("solid-pop3d", "user bob authenticated - 192.0.2.25 and more"),
    ),
    sources=("Solid POP3 0.15 src/main.c, standalone.c, log.c, const.h; Debian's patch 06-autologout-username; 0.15-31 as run",),
)
