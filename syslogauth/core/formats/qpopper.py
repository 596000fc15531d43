"""Qpopper 2.53, 3 and 4: the line of log-login, and the `Stats:` line at the end of a session.

    (v4.0.9) POP login by user "bob" at (client.example.net) 192.0.2.25 [pop_log.c:244]
    Stats: bob 0 0 3 2048 client.example.net 192.0.2.25 [pop_updt.c:296]     user, deleted, bytes, left, bytes, host, address

The source position stands there in debugging builds only. `at (...)` and the host of Stats are the client's reverse DNS name or its
address. A failure line begins with the client's own USER word, so that only the whole line from both ends can be believed.
Stats is written when an authenticated session ends: a login is marked `session_end`, and policy.qpopper_stats says whether it counts.
Qpopper logs to facility local0 everywhere but on Linux and OSF/1 (LOG_MAIL). Nothing is escaped; a user name is cut at 64 bytes.
"""

from syslogauth.core.formats.grammar import ADDRESS, PTR_NAME, Format, Kind, Line, Sample, whole

USER = rb'(?P<user>[^\x00-\x20\x7f"()]{1,64})'
HOST = rb"(?:" + PTR_NAME + rb"|" + ADDRESS + rb")"
CLIENT = rb"(?P<address>" + ADDRESS + rb")"
SOURCE_LINE = rb"(?: \[pop_[a-z]{1,16}\.c:\d{1,5}\])?"
UNCUT = rb"(?![\x00-\xff]{321})"  # the address comes last: of a longer text a syslogd may have cut some digits of it (FreeBSD 12: at 480)

FORMAT = Format(
    name="qpopper",
    app_names=dict.fromkeys((b"qpopper", b"popper", b"in.qpopper", b"in.popper"), "pop3"),
    lines=(
        Line(
            Kind.LOGIN,
            whole(UNCUT + rb'\(v[0-9][\w.-]{0,31}\) POP login by user "' + USER + rb'" at \(' + HOST + rb"\) " + CLIENT + SOURCE_LINE),
        ),
        Line(
            Kind.LOGIN,
            whole(UNCUT + rb"Stats: " + USER + rb" \d{1,10} \d{1,20} \d{1,10} \d{1,20} (?:" + HOST + rb" )?" + CLIENT + SOURCE_LINE),
            session_end=True,
        ),
    ),
    begins=rb"\(v[0-9][^ ]*+ POP login|Stats: ",
    others=rb"[^ ]++ at |Possible probe|\[AUTH\] Failed|\(v[0-9][^ ]*+ Servicing",
    ends="process",
    facility="local0",
    notes="Logs to facility local0 except on Linux and OSF/1 (LOG_MAIL): forward local0.info too. Logs logins only where log-login is set.",
    samples=(
        Sample("qpopper", '(v4.0.9) POP login by user "bob" at (c1.example.net) 192.0.2.25 [pop_log.c:244]', "192.0.2.25", "bob", "pop3"),
        Sample("in.qpopper", '(v4.0.19) POP login by user "bob" at (192.0.2.25) 192.0.2.25', "192.0.2.25", "bob", "pop3"),
        Sample(
            "popper", '(v3.1.2) POP login by user "bob@example.org" at (c1.example.net) 192.0.2.25', "192.0.2.25", "bob@example.org", "pop3"
        ),
        Sample("popper", '(v2.53) POP login by user "bob" at (c1.example.net) 192.0.2.25', "192.0.2.25", "bob", "pop3"),
        Sample("qpopper", "Stats: bob 0 0 12 34567 c1.example.net 192.0.2.25 [pop_updt.c:296]", "192.0.2.25", "bob", "pop3"),
        Sample("popper", "Stats: bob 0 0 12 34567 192.0.2.25", "192.0.2.25", "bob", "pop3"),
    ),
    near_misses=(
        # the USER word of a failed login comes first in the line
        ("qpopper", 'bob at c1.example.net (192.0.2.25): -ERR [AUTH] Password supplied for "bob" is incorrect. [pop_pass.c:1295]'),
        ("qpopper", '(v4.0.9) POP login by user "a" at (x) 9.9.9.9 at c1.example.net (192.0.2.25): -ERR [AUTH] incorrect.'),
        ("qpopper", "Stats: a 0 0 0 0 x 9.9.9.9 at c1.example.net (192.0.2.25): -ERR Unknown command"),
        ("qpopper", "[AUTH] Failed attempted login to bob from host (c1.example.net) 192.0.2.25 [pop_pass.c:1300]"),
        ("qpopper", '(v4.0.9) Servicing request from "c1.example.net" at 192.0.2.25 [pop_init.c:1408]'),
        ("qpopper", "Possible probe of account bob from host c1.example.net (192.0.2.25)"),
        # a reverse DNS name and a user name that hold an address of the client's choice
        ("qpopper", '(v4.1.0) POP login by user "bob" at (evil) 9.9.9.9 (x) 192.0.2.25 [pop_log.c:244]'),
        ("qpopper", '(v4.1.0) POP login by user "b" at (x) 9.9.9.9" at (c1.example.net) 192.0.2.25'),
        ("qpopper", "Stats: b 0 0 0 0 9.9.9.9 0 0 12 34567 c1.example.net 192.0.2.25"),
        ("qpopper", '(v4.1.0) POP login by user "bob" at (c1.example.net) 999.0.2.25'),
        # a reverse DNS name so long that the address may be cut
        ("qpopper", f'(v4.1.0) POP login by user "{"b" * 64}" at ({"c" * 220}) 192.0.2.2'),
        ("qpopper", '(v4.1.0) POP login by user "bob" at (c1.example.net) 192.0.2.2 and more'),
    ),
    sources=("qpopper 4.0.19 popper/pop_log.c, pop_init.c, pop_updt.c; 2.53 and 3.1.2 the same files",),
)
