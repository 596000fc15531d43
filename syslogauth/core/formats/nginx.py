"""nginx as a mail proxy (ngx_mail): IMAP and POP3.

    2026/11/22 11:25:07 [info] 91#91: *4 client logged in, client: 192.0.2.25, server: 0.0.0.0:143, login: "bob", upstream: 198.51.100.3:143
    2026/11/22 11:25:08 [info] 91#91: *4 proxied session done, client: 192.0.2.25, ...                   the end: the same worker and number

` using starttls` may stand after the client, and its port behind its address (PROXY protocol, other builds). The line is written once the
backend has said yes; not so for SMTP, where nginx gives the backend no password, so that it never counts. What the protocol is only
the server's port says: those of others are not recognised. The login is the client's, unescaped and unlimited, but behind the
address; the fixed words before it are nginx's own.
"""

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, whole

STAMP = rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[info\] "
SESSION = rb"(?P<session>\d{1,10}#\d{1,10}: \*\d{1,20}) "
IPV4 = rb"(?P<address>[0-9.]{7,15})(?::\d{1,5})?"
IPV6 = rb"(?:\[(?=[^\]]{2,45}\]:\d))?(?P<address>[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,40})(?:\]:\d{1,5})?"
SERVER = rb"(?: using starttls)?, server: \[?" + ADDRESS + rb"\]?:%s, "
REST = rb'login: "(?P<user>[^\x00-\x20\x7f"]{1,255})", upstream: (?:unix:[\w./-]{1,128}|\[?' + ADDRESS + rb"\]?:\d{1,5})"
LOGGED_IN = STAMP + SESSION + rb"client logged in, client: "
PORTS = {"imap": rb"(?:143|993)", "pop3": rb"(?:110|995)"}
LINE = "2026/11/22 11:25:07 [info] 91#91: *4"
TAIL = 'login: "bob", upstream: 198.51.100.3:143'

FORMAT = Format(
    name="nginx",
    app_names={b"nginx": ""},
    lines=(
        *(
            Line(Kind.LOGIN, whole(LOGGED_IN + client + SERVER % port + REST), service=service, proxied=True)
            for service, port in PORTS.items()
            for client in (IPV4, IPV6)
        ),
        Line(Kind.LOGOUT, whole(STAMP + SESSION + rb"proxied session done, client: [^\x00-\x1f\x7f]{1,1024}")),
    ),
    begins=STAMP + rb"\d{1,10}#\d{1,10}: \*\d{1,20} client logged in, client: ",
    logout_begins=STAMP + rb"\d{1,10}#\d{1,10}: \*\d{1,20} proxied session done, ",
    others=rb"(?!"
    + STAMP
    + rb")|"
    + STAMP
    + rb"\d{1,10}#\d{1,10}: (?!\*)|"  # other modules, other processes
    + STAMP
    + rb"\d{1,10}#\d{1,10}: \*\d{1,20} (?:client login failed|proxied session|client [0-9A-Fa-f:.]{2,45} )",
    ends="session",
    escapes=False,
    facility="local7",
    notes="Needs `error_log syslog:server=unix:/dev/log,facility=mail,nohostname info;` in the mail block (its own default is "
    "facility local7); the ports must be 110, 143, 993, 995. In front of Zimbra, say, its line has the client's address, Zimbra's not.",
    samples=(
        Sample("nginx", f"{LINE} client logged in, client: 192.0.2.25, server: 0.0.0.0:143, {TAIL}", "192.0.2.25", "bob", "imap"),
        Sample(
            "nginx",
            f"{LINE} client logged in, client: 192.0.2.25 using starttls, server: 192.0.2.1:143, {TAIL}",
            "192.0.2.25",
            "bob",
            "imap",
        ),
        Sample("nginx", f"{LINE} client logged in, client: 192.0.2.25:50100, server: 0.0.0.0:993, {TAIL}", "192.0.2.25", "bob", "imap"),
        Sample("nginx", f"{LINE} client logged in, client: 2001:db8::10, server: [::]:110, {TAIL}", "2001:db8::10", "bob", "pop3"),
        Sample("nginx", f"{LINE} client logged in, client: [2001:db8::10]:50100, server: [::]:995, {TAIL}", "2001:db8::10", "bob", "pop3"),
        Sample(
            "nginx",
            f'{LINE} client logged in, client: ::ffff:192.0.2.25, server: [::]:993, login: "bob@example.org", upstream: [2001:db8::3]:143',
            "192.0.2.25",
            "bob@example.org",
            "imap",
        ),
        Sample(
            "nginx",
            f'{LINE} client logged in, client: 192.0.2.25, server: 0.0.0.0:110, login: "bob", upstream: unix:/var/run/pop3.sock',
            "192.0.2.25",
            "bob",
            "pop3",
        ),
    ),
    logouts=(("nginx", f"{LINE} proxied session done, client: 192.0.2.25, server: 0.0.0.0:143, {TAIL}"),),
    near_misses=(
        (
            "nginx",
            f'{LINE} client login failed: "no" while in http auth state, client: 192.0.2.25, server: 0.0.0.0:143, login: "bob"',
        ),
        (
            "nginx",
            f'{LINE} upstream sent invalid response: "NO" while reading response, client: 192.0.2.25, server: 0.0.0.0:143, {TAIL}',
        ),
        ("nginx", f"{LINE} client 192.0.2.25:49201 connected to 0.0.0.0:143"),
        ("nginx", f"{LINE} proxied session done, client: 192.0.2.25, server: 0.0.0.0:143, {TAIL}"),
        ("nginx", '192.0.2.25 - - [22/Nov/2026:11:25:07 +0000] "GET /client logged in, client: 9.9.9.9 HTTP/1.1" 200 5'),
        # SMTP: no backend was asked for a password
        ("nginx", f"{LINE} client logged in, client: 192.0.2.25, server: 0.0.0.0:25, {TAIL}"),
        ("nginx", f"{LINE} client logged in, client: 192.0.2.25, server: 0.0.0.0:587, {TAIL}"),
        ("nginx", f"{LINE} client logged in, client: 192.0.2.25, server: 0.0.0.0:1143, {TAIL}"),
        # the text of a failure, a login name
        (
            "nginx",
            f'{LINE} client login failed: "{LINE} client logged in, client: 9.9.9.9, server: 0.0.0.0:143, {TAIL}", client: 192.0.2.25',
        ),
        (
            "nginx",
            f'{LINE} client logged in, client: 192.0.2.25, server: 0.0.0.0:143, login: "a", upstream: 1.1.1.1:1, client: 9.9.9.9, {TAIL}',
        ),
        ("nginx", f'{LINE} client logged in, client: 192.0.2.25, server: 0.0.0.0:143, login: "a b", upstream: 198.51.100.3:143'),
        ("nginx", f'{LINE} client login failed: "x", login: "a\n{LINE} client logged in, client: 9.9.9.9, server: 0.0.0.0:143, {TAIL}'),
        # addresses that are none; cut short; more behind
        ("nginx", f"{LINE} client logged in, client: unix:, server: 0.0.0.0:143, {TAIL}"),
        ("nginx", f"{LINE} client logged in, client: 192.0.2.256, server: 0.0.0.0:143, {TAIL}"),
        ("nginx", f"{LINE} client logged in, client: 192.0.2.25, server: 0.0.0.0:143"),
        ("nginx", f"{LINE} client logged in, client: 192.0.2.25, server: 0.0.0.0:143, {TAIL}, and more"),
    ),
    sources=(
        "nginx 1.22.1 src/mail/ngx_mail_proxy_module.c, ngx_mail_handler.c (ngx_mail_log_error), src/core/ngx_syslog.c; Debian's as run",
        "nginx docs, ngx_core_module error_log and syslog.html: facility, tag and nohostname",
    ),
)
