"""up-imapproxy (SquirrelMail's in.imapproxyd), 1.0 to 1.2.8.

    LOGIN: '"bob"' (192.0.2.25:52113) on new sd [9]           the backend has said yes
    LOGIN: 'bob' (192.0.2.25:52113) on existing sd [9]        its connection for that name and password was open still
    LOGOUT: '"bob"' from server sd [9]                        the end; the connection to the backend is kept
    LOGIN: 'bob' (192.0.2.25) on new sd [9]                   1.0: no port

The name is what the client sent, quotes and all, unescaped, and it stands before the address: it is bounded, so that no line which a
syslogd cuts (480 bytes at the least) could end inside it and be a login. The address of a webmail's proxy is the webmail's, mostly.
"""

from syslogauth.core.formats.grammar import Format, Kind, Line, Sample, whole

QUOTED_NAME = rb"""'"?(?P<user>[^\x00-\x20\x7f'"()]{1,128})"?' """
IPV4 = rb"\((?P<address>[0-9.]{7,15})(?::\d{1,5})?\)"
IPV6 = rb"\((?P<address>[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,40}):\d{1,5}\)"
SD = rb"(?P<session>sd \[\d{1,7}\])"

FORMAT = Format(
    name="imapproxy",
    app_names=dict.fromkeys((b"in.imapproxyd", b"imapproxyd"), "imap"),
    lines=(
        Line(Kind.LOGIN, whole(rb"LOGIN: " + QUOTED_NAME + IPV4 + rb" on (?:new|existing) " + SD), proxied=True),
        Line(Kind.LOGIN, whole(rb"LOGIN: " + QUOTED_NAME + IPV6 + rb" on (?:new|existing) " + SD), proxied=True),
        Line(Kind.LOGOUT, whole(rb"LOGOUT: '[^\x00-\x1f\x7f]{1,512}' from server " + SD)),
    ),
    begins=rb"LOGIN: '",
    logout_begins=rb"LOGOUT: '",
    others=rb"LOGOUT|LOGIN: '[^']{0,512}' \([^)]{1,64}\) (?:failed|no previous)",
    ends="session",
    escapes=False,
    samples=(
        Sample("in.imapproxyd", "LOGIN: '\"bob\"' (192.0.2.25:52113) on new sd [9]", "192.0.2.25", "bob", "imap"),
        Sample("in.imapproxyd", "LOGIN: 'bob@example.org' (192.0.2.25:52113) on existing sd [12]", "192.0.2.25", "bob@example.org", "imap"),
        Sample("in.imapproxyd", "LOGIN: 'bob' (2001:db8::10:52113) on new sd [9]", "2001:db8::10", "bob", "imap"),
        Sample("in.imapproxyd", "LOGIN: 'bob' (::ffff:192.0.2.25:52113) on new sd [9]", "192.0.2.25", "bob", "imap"),
        Sample("imapproxyd", "LOGIN: 'bob' (192.0.2.25) on new sd [9]", "192.0.2.25", "bob", "imap"),
    ),
    logouts=(
        ("in.imapproxyd", "LOGOUT: '\"bob\"' from server sd [9]"),
        ("in.imapproxyd", "LOGOUT: 'a b' from server sd [11]"),
    ),
    near_misses=(
        ("in.imapproxyd", "LOGIN: '\"bob\"' (192.0.2.25:60517) failed: non-OK server response to LOGIN command: NO nope"),
        ("in.imapproxyd", "LOGIN: '\"bob\"' (192.0.2.25:39015) no previous connection: creating a new one"),
        ("in.imapproxyd", "LOGIN: 'bob' (192.0.2.25:39015) failed: Out of free ICC structs."),
        ("in.imapproxyd", "LOGOUT: '\"bob\"' from server sd [9]"),
        ("in.imapproxyd", "Get_Server_conn(): Unable to reuse server sd [9] for user 'bob' (192.0.2.25:1) because password doesn't match."),
        ("in.imapproxyd", "IMAP_Line_Read(): connection closed prematurely."),
        # a name that holds the rest of a line: before another address, at the end of a line cut short
        ("in.imapproxyd", "LOGIN: 'a' (9.9.9.9:1) on new sd [1]' (192.0.2.25:55461) on new sd [15]"),
        ("in.imapproxyd", "LOGIN: 'a' (9.9.9.9:1) on new sd [1]' (192.0.2.25:55461) failed: non-OK server response to LOGIN command"),
        ("in.imapproxyd", f"LOGIN: '{'a' * 400}' (9.9.9.9:1) on new sd [1]"),
        ("in.imapproxyd", "LOGIN: 'bob [9.9.9.9] plaintext User logged in' (192.0.2.25:55461) on new sd [15]"),
        ("in.imapproxyd", "LOGIN: 'a\nLOGIN: 'b' (9.9.9.9:1) on new sd [1]"),
        # no port behind an IPv6 address would take a group of it for one; no address; more behind
        ("in.imapproxyd", "LOGIN: 'bob' (2001:db8::10) on new sd [9]"),
        ("in.imapproxyd", "LOGIN: 'bob' (192.0.2.256:52113) on new sd [9]"),
        ("in.imapproxyd", "LOGIN: 'bob' (localhost:52113) on new sd [9]"),
        ("in.imapproxyd", "LOGIN: 'bob' (192.0.2.25:52113) on new sd [9] and more"),
    ),
    sources=("up-imapproxy src/imapcommon.c (Get_Server_conn), src/icc.c (ICC_Logout), 1.0 to 1.2.8; Debian's 1.2.8 as run",),
)
