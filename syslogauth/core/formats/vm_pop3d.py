"""vm-pop3d (virtualmail-pop3d) 1.1: from 1.1.7 on one line, before that two of one process.

    User 'bob@example.org' logged in from 192.0.2.25, nmsgs=3
    Connect from 192.0.2.25
    User 'bob' of 'example.org' logged in               without `of` for a user of the system

IPv4 only. The name is one word of the USER command, cut at the first of `;!:@`; the domain is the rest, blanks and quotes included: both
are let in only where such a domain has a password file. Nothing is escaped. A refused attempt is not logged, and may be followed by
another one on the same connection.
"""

import re
from dataclasses import replace

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, Sequence, whole
from syslogauth.core.login import Authenticated, Refusal, Report
from syslogauth.core.message import Message

USER = rb"'(?P<user>[^\x00-\x20\x7f',]{1,255})'"
DOMAIN = rb"'(?P<domain>[A-Za-z0-9._-]{1,255})'"
CLIENT = rb"(?P<address>" + ADDRESS + rb")"
ANY_USER = rb"'?[^\x00-\x20\x7f',]{1,255}'?"


def read(message: Message, found: re.Match[bytes]) -> Report | Refusal:
    """The user's name with its domain: `bob` may be in several."""
    part = FORMAT.report(OF_DOMAIN, message, found)
    return replace(part, user=f"{part.user}@{found['domain'].decode('ascii')}") if isinstance(part, Authenticated) else part


OF_DOMAIN = Line(Kind.AUTHENTICATED, whole(rb"User " + USER + rb" of " + DOMAIN + rb" logged in"), read=read)

FORMAT = Format(
    name="vm-pop3d",
    app_names={b"vm-pop3d": "pop3"},
    lines=(
        Line(Kind.LOGIN, whole(rb"User " + USER + rb" logged in from " + CLIENT + rb"(?:, nmsgs=\d{1,10})?")),
        Line(Kind.CONNECTED, whole(rb"Connect from " + CLIENT)),
        Line(Kind.AUTHENTICATED, whole(rb"User " + USER + rb" logged in")),
        OF_DOMAIN,
        # a first line that cannot be read, too: an older one of the same pid must not stand for it
        Line(Kind.FAILED, whole(rb"Connect from .{1,1024}|(?:Incoming c|C)onnection opened|Session (?:ended for|timed out for) no user")),
        Line(
            Kind.LOGOUT,
            whole(
                rb"Session (?:ended|timed out) for user: "
                + ANY_USER
                + rb"(?: from [0-9A-Fa-f:.]{2,45})?(?:, nmsgs=\d{1,10})?(?:, ndel=\d{1,10})?"
            ),
        ),
    ),
    begins=rb"User '|Connect from |(?:Incoming c|C)onnection opened|Session (?:ended|timed out) for no user",
    logout_begins=rb"Session (?:ended|timed out) for user: ",
    others=rb"bytes: |Unable to use |Socket closed|Quitting",
    ends="process",
    samples=(
        Sample(
            *("vm-pop3d", "User 'bob@example.org' logged in from 192.0.2.25, nmsgs=3"),
            *("192.0.2.25", "bob@example.org", "pop3"),
        ),
        Sample("vm-pop3d", "User 'bob' logged in from 192.0.2.25, nmsgs=0", "192.0.2.25", "bob", "pop3"),
    ),
    sequences=(
        Sequence("vm-pop3d", ("Connect from 192.0.2.25", "User 'bob' logged in"), "192.0.2.25", "bob", "pop3"),
        Sequence(
            *("vm-pop3d", ("Connect from 192.0.2.25", "User 'bob' of 'example.org' logged in")),
            *("192.0.2.25", "bob@example.org", "pop3"),
        ),
        Sequence("vm-pop3d", ("Connect from 192.0.2.25", "User 'bob@example.org' logged in"), "192.0.2.25", "bob@example.org", "pop3"),
    ),
    logouts=(
        ("vm-pop3d", "Session ended for user: bob"),
        ("vm-pop3d", "Session ended for user: 'bob@example.org' from 192.0.2.25, nmsgs=3, ndel=0"),
        ("vm-pop3d", "Session timed out for user: bob"),
    ),
    near_misses=(
        ("vm-pop3d", "Non-existent user: bob (example.org)"),
        ("vm-pop3d", "Unable to use bob's mailbox; using /dev/null for testing"),
        ("vm-pop3d", "bytes: domain example.org 491 bytes"),
        ("vm-pop3d", "Session ended for user: 'bob' from 192.0.2.25, nmsgs=3, ndel=0"),
        ("vm-pop3d", "Session ended for no user"),
        # the name and the domain, which are the client's words
        ("vm-pop3d", "Non-existent user: a' logged in from 9.9.9.9, nmsgs=3"),
        ("vm-pop3d", "User 'a' logged in from 9.9.9.9, nmsgs=3' logged in from 192.0.2.25, nmsgs=0"),
        ("vm-pop3d", "User 'a' of 'x' logged in from 9.9.9.9, nmsgs=3' logged in"),
        ("vm-pop3d", "User 'a' of 'x' logged in from 9.9.9.9, nmsgs=3"),
        ("vm-pop3d", "pop3 user: Connect from 9.9.9.9"),
        ("vm-pop3d", "Connect from 9.9.9.9 192.0.2.25"),
        # addresses that are none, a line cut short, text after the end
        ("vm-pop3d", "User 'bob' logged in from 999.0.2.25, nmsgs=3"),
        ("vm-pop3d", "User 'bob' logged in from 192.0.2.25, nm"),
        ("vm-pop3d", "User 'bob' logged in from 192.0.2.25, nmsgs=3 and more"),
        ("vm-pop3d", "Connect from 999.0.2.25"),
    ),
    sources=(
        "vm-pop3d 1.1.6 vm-pop3d.c (pop3_mainloop), user.c, quit.c, extra.c (read in a fork that kept their words)",
        "1.1.7: from published logs and pop-before-smtp's pattern",
    ),
)
