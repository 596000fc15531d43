"""Stalwart, whose console tracer systemd's journal hands to syslog.

    2026-01-14T10:16:38Z INFO Authentication successful (auth.success) listenerId = "imaptls", localPort = 993, remoteIp = 192.0.2.25,
        remotePort = 50116, accountName = "bob@example.org", accountId = 2                               one line

Its journal tracer writes `Authentication successful` alone: address and user are fields of the journal that syslog does not get. The
event is the same for SMTP, HTTP and ManageSieve; the local port says which it was, and those of others are not recognised. In strings
line feeds and backslashes are escaped, quotes are not; all that a client writes comes behind its address. A login by the fallback
administrator for somebody has `details`, and is no login of the user's.
"""

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, whole

BEGINS = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d) INFO Authentication successful \(auth\.success\) "
LOGIN = (
    BEGINS + rb'listenerId = "[\w. -]{1,64}", localPort = %s, remoteIp = (?P<address>' + ADDRESS + rb"), remotePort = \d{1,5}, "
    rb'accountName = "(?P<user>[^\x00-\x20\x7f"\\]{1,255})"(?:, accountId = \d{1,20})?(?:, type = "[a-z]{1,16}")?'
)
EVENT = "2026-01-14T10:16:38Z INFO Authentication successful (auth.success)"
CLIENT = "remoteIp = 192.0.2.25, remotePort = 50116"

FORMAT = Format(
    name="stalwart",
    app_names=dict.fromkeys((b"stalwart", b"stalwart-mail"), ""),
    lines=(
        Line(Kind.LOGIN, whole(LOGIN % rb"(?:143|993)"), service="imap"),
        Line(Kind.LOGIN, whole(LOGIN % rb"(?:110|995)"), service="pop3"),
    ),
    begins=BEGINS,
    others=rb"(?!\d{4}-\d\d-\d\dT[^ ]{8,20} INFO Auth)",
    facility="daemon",
    notes="Needs a tracer of the console kind (stdout) with ansi and multiline off, under systemd: list facility daemon. What its journal "
    "tracer writes reaches syslog without the address.",
    samples=(
        Sample(
            "stalwart",
            f'{EVENT} listenerId = "imaptls", localPort = 993, {CLIENT}, accountName = "bob@example.org", accountId = 2',
            "192.0.2.25",
            "bob@example.org",
            "imap",
        ),
        Sample(
            "stalwart-mail",
            f'{EVENT} listenerId = "pop3", localPort = 110, remoteIp = 2001:db8::10, remotePort = 5, accountName = "bob", type = "group"',
            "2001:db8::10",
            "bob",
            "pop3",
        ),
    ),
    near_misses=(
        ("stalwart", "Authentication successful"),
        ("stalwart", f'2026-01-14T10:16:38Z INFO Authentication failed (auth.failed) listenerId = "imap", localPort = 143, {CLIENT}'),
        ("stalwart", f'{EVENT} listenerId = "submission", localPort = 587, {CLIENT}, accountName = "bob", accountId = 2'),
        ("stalwart", f'{EVENT} listenerId = "http", localPort = 443, {CLIENT}, accountName = "bob", accountId = 2'),
        ("stalwart", f'{EVENT} listenerId = "imap", localPort = 143, {CLIENT}, accountName = "bob", accountId = 2, details = "admin"'),
        # text of the client's: a raw command, a name
        (
            "stalwart",
            f'2026-01-14T10:16:38Z TRACE Raw IMAP input received (imap.raw-input) contents = "{EVENT} listenerId = "a", localPort = 143',
        ),
        (
            "stalwart",
            f'{EVENT} listenerId = "imap", localPort = 143, {CLIENT}, accountName = "a", remoteIp = 9.9.9.9, accountName = "b"',
        ),
        ("stalwart", f'{EVENT} listenerId = "imap", localPort = 143, {CLIENT}, accountName = "a b", accountId = 2'),
        # no address; cut short; more behind
        (
            "stalwart",
            f'{EVENT} listenerId = "imap", localPort = 143, remoteIp = 192.0.2.256, remotePort = 5, accountName = "bob", accountId = 2',
        ),
        ("stalwart", f'{EVENT} listenerId = "imap", localPort = 143, {CLIENT}'),
        ("stalwart", f'{EVENT} listenerId = "imap", localPort = 143, {CLIENT}, accountName = "bob", accountId = 2, and more'),
    ),
    sources=(
        "stalwart crates/trc/src/serializers/text.rs, crates/common/src/telemetry/tracers/journald.rs, src/auth, src/listener/listen.rs",
        "stalwart issues 765 (a log of the text tracer) and 1842 (the journal's lines in syslog)",
    ),
)
