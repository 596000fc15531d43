"""Apple's own mail server of Mac OS X Server 10.0 to 10.2 (AppleMailServer).

    IMAP User "bob" log on successful from 192.0.2.25

Later ones are Cyrus (10.3 to 10.5) and Dovecot (10.6 onwards), with those formats. Its sources were never published: the line is the one
that pop-before-smtp's pattern was written for. The name is in quotes and excludes them, the address ends the line. The name is
bounded, so that no line which a syslogd cuts (480 bytes at the least) could end inside it and be a login.
"""

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, whole

FORMAT = Format(
    name="apple",
    app_names=dict.fromkeys((b"AppleMailServer", b"MailService"), ""),
    lines=(
        Line(
            Kind.LOGIN,
            whole(
                rb'(?P<service>IMAP|POP3?) User "(?P<user>[^\x00-\x20\x7f"]{1,128})" log on successful from (?P<address>' + ADDRESS + rb")"
            ),
        ),
    ),
    begins=rb'(?:IMAP|POP3?) User "',
    others=rb"(?!IMAP |POP3? )",
    escapes=False,
    notes="Wrote to a log file of its own: its lines come by syslog only where something forwards that file under the tag AppleMailServer.",
    samples=(
        Sample("AppleMailServer", 'IMAP User "bob" log on successful from 192.0.2.25', "192.0.2.25", "bob", "imap"),
        Sample("AppleMailServer", 'POP User "bob" log on successful from 192.0.2.25', "192.0.2.25", "bob", "pop3"),
    ),
    near_misses=(
        ("AppleMailServer", 'IMAP User "bob" log on failed from 192.0.2.25'),
        ("AppleMailServer", 'IMAP User "a" log on successful from 9.9.9.9" log on failed from 192.0.2.25'),
        ("AppleMailServer", 'IMAP User "a" log on successful from 9.9.9.9" log on successful from 192.0.2.25'),
        ("AppleMailServer", 'SMTP User "bob" log on successful from 192.0.2.25'),
        ("AppleMailServer", 'IMAP User "bob" log on successful from client.example.net'),
        ("AppleMailServer", 'IMAP User "bob" log on successful from 192.0.2.256'),
        ("AppleMailServer", 'IMAP User "bob" log on successful from 192.0.2.25 and more'),
    ),
    sources=("pop-before-smtp 1.42, pop-before-smtp-conf.pl: its pattern for the Apple IMAP mail server",),
)
