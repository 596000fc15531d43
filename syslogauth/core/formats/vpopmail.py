"""vpopmail's vchkpw, 4 and 5: the password check of qmail-pop3d and of IMAP servers that run it.

    vchkpw: login [bob@example.org] from 192.0.2.25                             4
    vchkpw-pop3: (PLAIN) login success bob@example.org:192.0.2.25               5; a user of /etc/passwd instead:
    vchkpw-pop3: system password login success bob:192.0.2.25

The word after `vchkpw-` is made of the local port: pop3, pop3s, imap and imaps are read here. smtp, smtps and submission are mail being
sent, webmail is the server's own address, and a bare number (another port) may be any of them: none of these authorises. The address is
TCPREMOTEIP, and is empty where that is not set. What has come as far as a success has passed vpopmail's own classes for user and domain
(parse_email), of which no character is a colon: an IPv6 address after one is whole. With a dotted tail it is refused, except mapped: that
is what a domain with a colon before an IPv4 address would look like. Failures log the name as it came and, built for it, the password; of
all bytes only `%` is replaced.
"""

from syslogauth.core.formats.grammar import Format, Kind, Line, Sample, whole

USER = rb"[!#$&'*+./0-9=?A-Z^-~-]{1,155}"  # is_username_valid()
DOMAIN = rb"[A-Za-z0-9._-]{1,155}"  # is_domain_valid(), and the underscore
CLIENT = rb"(?P<address>(?:::ffff:)?\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9A-Fa-f:]{2,39})"
SERVICE = rb"vchkpw-(?P<service>(?:pop3|imap)s?): "

FORMAT = Format(
    name="vpopmail",
    app_names={b"vpopmail": ""},
    lines=(
        Line(Kind.LOGIN, whole(SERVICE + rb"\([A-Z0-9-]{3,20}\) login success (?P<user>" + USER + rb"@" + DOMAIN + rb"):" + CLIENT)),
        Line(Kind.LOGIN, whole(SERVICE + rb"system password login success (?P<user>" + USER + rb"):" + CLIENT)),
        Line(
            Kind.LOGIN,
            whole(rb"vchkpw: login \[(?P<user>" + USER + rb"(?:@" + DOMAIN + rb")?)\] from " + CLIENT),
            service="pop3",
        ),
    ),
    begins=rb"vchkpw(?:-(?:pop3|imap)s?: (?:\(|system password login success)|: login \[)",
    others=rb"vchkpw-(?:smtps?|submission|webmail|\d{1,5}): ",
    escapes=False,
    notes="Build vpopmail with --enable-logging=y (or v): by default it logs errors only. vchkpw on a port of its own is not read.",
    samples=(
        Sample("vpopmail", "vchkpw-pop3: (PLAIN) login success bob@example.org:192.0.2.25", "192.0.2.25", "bob@example.org", "pop3"),
        Sample("vpopmail", "vchkpw-pop3s: (APOP) login success bob@example.org:192.0.2.25", "192.0.2.25", "bob@example.org", "pop3"),
        Sample("vpopmail", "vchkpw-imap: (PLAIN) login success bob@example.org:192.0.2.25", "192.0.2.25", "bob@example.org", "imap"),
        Sample("vpopmail", "vchkpw-imaps: (PLAIN) login success bob@example.org:2001:db8::10", "2001:db8::10", "bob@example.org", "imap"),
        Sample("vpopmail", "vchkpw-pop3: system password login success bob:192.0.2.25", "192.0.2.25", "bob", "pop3"),
        Sample("vpopmail", "vchkpw: login [bob@example.org] from 192.0.2.25", "192.0.2.25", "bob@example.org", "pop3"),
        Sample("vpopmail", "vchkpw: login [bob] from 192.0.2.25", "192.0.2.25", "bob", "pop3"),
    ),
    near_misses=(
        ("vpopmail", "vchkpw-pop3: password fail bob@example.org:192.0.2.25"),
        ("vpopmail", "vchkpw-pop3: system password fail bob:192.0.2.25"),
        ("vpopmail", "vchkpw-pop3: vpopmail user not found bob@example.org:192.0.2.25"),
        ("vpopmail", "vchkpw-pop3: null password given bob@example.org:192.0.2.25"),
        ("vpopmail", "vchkpw-pop3: pop access denied bob@example.org:192.0.2.25"),
        # sending, the server's own webmail, a port of its own
        ("vpopmail", "vchkpw-smtp: (CRAM-MD5) login success bob@example.org:192.0.2.25"),
        ("vpopmail", "vchkpw-smtps: (PLAIN) login success bob@example.org:192.0.2.25"),
        ("vpopmail", "vchkpw-submission: (PLAIN) login success bob@example.org:192.0.2.25"),
        ("vpopmail", "vchkpw-webmail: (PLAIN) login success bob@example.org:127.0.0.1"),
        ("vpopmail", "vchkpw-2525: (PLAIN) login success bob@example.org:192.0.2.25"),
        ("vpopmail", "vchkpw-pop3: (PLAIN) login success bob@example.org:"),  # TCPREMOTEIP was not set
        # the name and the password of a failed login
        ("vpopmail", "vchkpw-pop3: vpopmail user not found (PLAIN) login success a@b:9.9.9.9@:192.0.2.25"),
        ("vpopmail", "vchkpw-pop3: password fail (pass: 'vchkpw-pop3: (PLAIN) login success a@b:9.9.9.9') a@b:192.0.2.25"),
        ("vpopmail", "vchkpw-pop3: invalid user/domain characters a@b:9.9.9.9:192.0.2.25"),
        ("vpopmail", "vchkpw-smtp: invalid user/domain characters x\nvpopmail: vchkpw-pop3: (PLAIN) login success a@b:9.9.9.9"),
        ("vpopmail", "vchkpw-pop3: (PLAIN) login success a:9.9.9.9@example.org:192.0.2.25"),
        ("vpopmail", "vchkpw-pop3: (PLAIN) login success a@b:9.9.9.9 a@example.org:192.0.2.25"),
        ("vpopmail", "vchkpw-pop3: (PLAIN) login success a@b:2001:db8::9:192.0.2.25"),
        ("vpopmail", "vchkpw: login [a] from 9.9.9.9] from 192.0.2.25"),
        # an address that is none, a line cut short, text after the end
        ("vpopmail", "vchkpw-pop3: (PLAIN) login success bob@example.org:192.0.2.256"),
        ("vpopmail", "vchkpw-pop3: (PLAIN) login success bob@example.org:192.0.2."),
        ("vpopmail", "vchkpw-pop3: (PLAIN) login success bob@example.org:192.0.2.25 and more"),
    ),
    sources=(
        "vpopmail 5.4 and 5.6 vchkpw.c (main, read_user_pass, login_virtual_user, login_system_user, vlog, sysc), vpopmail.c (parse_email)",
        "4: from pop-before-smtp's pattern",
    ),
)
