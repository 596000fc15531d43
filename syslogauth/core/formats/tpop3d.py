"""tpop3d 1.x: the line it writes for those who follow its log for POP before SMTP.

    fork_child: [7]bob(192.0.2.25): began session for `bob' with mysql; child PID is 4711

The descriptor, the user and the client's address; then the user again, the authentication driver, and the process that serves the
session and writes, when it ends,

    connections_post_select: client [7]bob(192.0.2.25): finished session for `bob' with mysql

`authcontext_new_user_pass: began session for ...` says the same without an address. IPv4 only. Nothing is escaped; a name is one word.
Both mentions of the user must agree: a name that holds the words between them would part them elsewhere.
"""

import re

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, whole
from syslogauth.core.login import Login, Refusal, Report
from syslogauth.core.message import Message

NAME = rb"[^\x00-\x20\x7f()`']{1,255}"
CLIENT = rb"\[\d{1,10}\](?P<user>" + NAME + rb")\((?P<address>" + ADDRESS + rb")\): "


def read(message: Message, found: re.Match[bytes]) -> Report | Refusal:
    """The session's end is logged by the child process that the line names."""
    if found["user"] != found["again"]:
        return Refusal.AMBIGUOUS
    login = FORMAT.report(LOGIN, message, found)
    return login._replace(end_key=f"tpop3d[{found['child'].decode('ascii')}]") if isinstance(login, Login) else login


LOGIN = Line(
    Kind.LOGIN,
    whole(rb"fork_child: " + CLIENT + rb"began session for `(?P<again>" + NAME + rb")' with [a-z]{1,16}; child PID is (?P<child>\d{1,10})"),
    read=read,
)

FORMAT = Format(
    name="tpop3d",
    app_names={b"tpop3d": "pop3"},
    lines=(
        LOGIN,
        Line(
            Kind.LOGOUT, whole(rb"connections_post_select: client " + CLIENT + rb"finished session for `" + NAME + rb"' with [a-z]{1,16}")
        ),
    ),
    begins=rb"fork_child: \[",
    logout_begins=rb"connections_post_select: client \[",
    others=rb"connection_do: |listeners_post_select: |authcontext_new_|auth_[a-z]{1,10}|net_loop: |connections_post_select: ",
    ends="process",
    notes="Its log-facility is mail unless tpop3d.conf says otherwise.",
    samples=(
        Sample(
            *("tpop3d", "fork_child: [7]bob(192.0.2.25): began session for `bob' with passwd; child PID is 4711"),
            *("192.0.2.25", "bob", "pop3"),
        ),
        Sample(
            *("tpop3d", "fork_child: [12]bob@example.org(192.0.2.25): began session for `bob@example.org' with mysql; child PID is 4711"),
            *("192.0.2.25", "bob@example.org", "pop3"),
        ),
    ),
    logouts=(("tpop3d", "connections_post_select: client [7]bob(192.0.2.25): finished session for `bob' with passwd"),),
    near_misses=(
        ("tpop3d", "listeners_post_select: client [7]192.0.2.25/example.org: connected to local address 192.0.2.1:110"),
        ("tpop3d", "authcontext_new_user_pass: began session for `bob' with passwd; uid 1000, gid 8"),
        ("tpop3d", "authcontext_new_apop: began session for `bob' with mysql; uid 1000, gid 8"),
        ("tpop3d", "connection_do: client `[7]192.0.2.25/example.org': username `bob': 1 authentication failures"),
        ("tpop3d", "connection_do: client `[7]192.0.2.25/example.org': username `bob': failed to log in after 3 attempts"),
        ("tpop3d", "fork_child: client [7]bob(192.0.2.25): authentication context has UID of 0"),
        ("tpop3d", "connections_post_select: client [7]bob(192.0.2.25): disconnected; 12/345 bytes read/written"),
        ("tpop3d", "net_loop: timed out client [7]192.0.2.25/example.org"),
        # the name and, with log-bad-passwords, the password
        ("tpop3d", "connection_do: client `[7]192.0.2.25/x': username `fork_child:': failing password is `[7]a(9.9.9.9): began'"),
        ("tpop3d", "fork_child: [7]a(9.9.9.9): began session for `a(192.0.2.25): began session for `a' with mysql; child PID is 1"),
        ("tpop3d", "fork_child: [7]a(9.9.9.9)(192.0.2.25): began session for `a(9.9.9.9)' with mysql; child PID is 4711"),
        ("tpop3d", "fork_child: [7]a(192.0.2.25): began session for `b' with mysql; child PID is 4711"),
        # an address that is none, a line cut short, text after the end
        ("tpop3d", "fork_child: [7]bob(999.0.2.25): began session for `bob' with passwd; child PID is 4711"),
        ("tpop3d", "fork_child: [7]bob(192.0.2.25): began session for `bob' with passwd"),
        ("tpop3d", "fork_child: [7]bob(192.0.2.25): began session for `bob' with passwd; child PID is 4711 and more"),
    ),
    sources=("tpop3d 1.5 netloop.c (fork_child, connections_post_select), pop3.c (connection_do), connection.c, authswitch.c, logging.c",),
)
