"""Cucipop 1.31, the Cubic Circle's POP3 daemon: one line, when a session ends.

    bob 192.0.2.25 0, 0 (0), 3 (12345)            user, client, then the session's statistics

It is written by default where the mailbox was not empty, with -a always, with -q never; a login has no other line. The name comes
first in the line: one word of up to 40 bytes, not escaped, of a user that was let in.
"""

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, whole

FORMAT = Format(
    name="cucipop",
    app_names={b"cucipop": "pop3"},
    lines=(
        Line(
            Kind.LOGIN,
            whole(
                rb"(?P<user>[^\x00-\x20\x7f]{1,40}) (?P<address>" + ADDRESS + rb") "
                rb"\d{1,10}, \d{1,10} \(\d{1,20}\), \d{1,10} \(\d{1,20}\)"
            ),
        ),
    ),
    begins=rb"(?>[^ ]{1,40}) (?>[0-9A-Fa-f:.]{2,45}) \d",
    others=rb"Invalid command |authentication fail|mailbox ",
    notes="Logs a login only when its session ends, and by default only where there was mail: run it with -a, never with -q.",
    samples=(
        Sample("cucipop", "bob 192.0.2.25 0, 0 (0), 3 (12345)", "192.0.2.25", "bob", "pop3"),
        Sample("cucipop", "bob@example.org 2001:db8::10 12, 2 (2048), 3 (12345)", "2001:db8::10", "bob@example.org", "pop3"),
    ),
    near_misses=(
        ("cucipop", "Invalid command user bob 192.0.2.25"),
        ("cucipop", "mailbox bob corrupted at 4096"),
        ("cucipop", "/var/mail/bob mailbox 17 short"),
        # the words of a command are logged
        ("cucipop", "Invalid command bob 9.9.9.9 0, 0 (0), 3 (12345)"),
        ("cucipop", "a 9.9.9.9 0, 0 (0), 3 (1) 192.0.2.25 0, 0 (0), 3 (12345)"),
        ("cucipop", "a 9.9.9.9 192.0.2.25 0, 0 (0), 3 (12345)"),
        ("cucipop", "192.0.2.25 0, 0 (0), 3 (12345)"),
        # an address that is none, lines cut short, text after the end
        ("cucipop", "bob invalid 0, 0 (0), 3 (12345)"),
        ("cucipop", "bob 999.0.2.25 0, 0 (0), 3 (12345)"),
        ("cucipop", "bob 192.0.2.25 0, 0 (0)"),
        ("cucipop", "bob 192.0.2.25 0, 0 (0), 3 (12345) and more"),
    ),
    sources=(
        "cucipop 1.31 cucipop.c (peer, readcommand), config.h (ARGLEN, LOG_FACILITY), cucipop(1) (-a, -q)",
        "the line itself: a sample in pop-before-smtp's configuration",
    ),
)
