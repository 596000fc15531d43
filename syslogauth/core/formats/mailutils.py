"""GNU pop3d and imap4d: the gnu-pop3d of 1999 to Mailutils 2, as far as they log an address. Mailutils 3 logs none.

    connect from 192.0.2.25                               Mailutils up to 2, tags gnu-pop3d and gnu-imap4d:
    User 'bob' logged in with mailbox '/var/mail/bob' (3 msgs)        two lines of one process; or, of imap4d,
    User `bob' logged in (source: system)
    User 'bob' logged in with mailbox '/var/mail/bob' from 192.0.2.25           gnu-pop3d as it was patched for POP before SMTP: one line

**Mailutils 2.99 and 3** (tags pop3d and imap4d; 3.15 as run) dropped the address: ``POP3 login: user `bob', source system`` names the
module that knew the user, not the client, and no line of a session has an address, in any mode. A daemon with `acl { log from any; }`
writes one, alone, in the administrator's words, and from the master's pid: it joins no login. Nothing can be granted from such a log;
the tags are listed here so that this is what a look-up finds. The plain gnu-pop3d 0.9 logs no address either (`Incoming connection
opened`).

Nothing is escaped: an IMAP literal's line feed is logged as it is. A refused attempt may be followed by another one on the same connection.
"""

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, Sequence, whole

NAME = rb"[^\x00-\x20\x7f`']{1,128}"  # twice in a line that ends with the address: it must fit where a syslogd cuts, at 480 bytes
POP3, IMAP = frozenset((b"gnu-pop3d",)), frozenset((b"gnu-imap4d",))
CLIENT = rb"(?P<address>" + ADDRESS + rb")"
USER = rb"[Uu]ser [`']?(?P<user>" + NAME + rb")'? logged in"
MAILBOX = rb" with mailbox [`']?" + NAME + rb"'?(?: \(\d{1,10} (?:msgs?|messages?)\))?"

FORMAT = Format(
    name="mailutils",
    app_names={b"gnu-pop3d": "pop3", b"gnu-imap4d": "imap", b"pop3d": "pop3", b"imap4d": "imap"},
    lines=(
        Line(Kind.LOGIN, whole(USER + MAILBOX + rb" from " + CLIENT), app_names=POP3),
        Line(Kind.CONNECTED, whole(rb"[Cc]onnect from " + CLIENT), app_names=POP3 | IMAP),
        Line(Kind.AUTHENTICATED, whole(USER + MAILBOX), app_names=POP3),
        Line(Kind.AUTHENTICATED, whole(USER + rb"(?: \(source: [A-Za-z0-9_-]{1,32}\))?"), app_names=IMAP),
        Line(
            Kind.FAILED,  # a first line that cannot be read, too: an older one of the same pid must not stand for it
            whole(rb"[Cc]onnect from .{1,1024}|[Ii]ncoming connection opened|[Ss]ession (?:ended|timed out) for no user"),
            app_names=POP3 | IMAP,
        ),
        Line(Kind.LOGOUT, whole(rb"[Ss]ession (?:ended|timed out|terminating) for user: " + NAME), app_names=POP3 | IMAP),
    ),
    begins=rb"[Uu]ser |[Cc]onnect from |[Ii]ncoming connection|[Ss]ession (?:ended|timed out) for no",
    logout_begins=rb"[Ss]ession (?:ended|timed out|terminating) for user: ",
    others=rb"[Ll]ogin failed|Possible probe|POP3 login: |Access from ",
    escapes=False,
    ends="process",
    notes="Mailutils 2.99 and 3 (3.15 was run) log no client address with a login, whatever is configured: such logins cannot be used. "
    "Up to 2 the address is in a line of its own (`connect from`), tags gnu-pop3d and gnu-imap4d.",
    samples=(
        Sample("gnu-pop3d", "User 'bob' logged in with mailbox '/var/mail/bob' from 192.0.2.25", "192.0.2.25", "bob", "pop3"),
        Sample("gnu-pop3d", "User bob logged in with mailbox /var/mail/bob from 192.0.2.25", "192.0.2.25", "bob", "pop3"),
    ),
    sequences=(
        Sequence(
            "gnu-pop3d",
            ("Incoming connection opened", "connect from 192.0.2.25", "User 'bob' logged in with mailbox '/var/mail/bob' (3 msgs)"),
            *("192.0.2.25", "bob", "pop3"),
        ),
        Sequence(
            *("gnu-pop3d", ("connect from 192.0.2.25", "User `bob' logged in with mailbox `mbox:///var/mail/bob' (1 message)")),
            *("192.0.2.25", "bob", "pop3"),
        ),
        Sequence("gnu-imap4d", ("Connect from 192.0.2.25", "User `bob' logged in"), "192.0.2.25", "bob", "imap"),
        Sequence("gnu-imap4d", ("Connect from 192.0.2.25", "User `bob' logged in (source: system)"), "192.0.2.25", "bob", "imap"),
        Sequence(
            *("gnu-imap4d", ("Connect from 192.0.2.25", "Login failed: bob", "User `bob' logged in (source: pam)")),
            *("192.0.2.25", "bob", "imap"),
        ),
    ),
    logouts=(
        ("gnu-pop3d", "Session ended for user: bob"),
        ("gnu-imap4d", "Session terminating for user: bob"),
        ("gnu-pop3d", "Session timed out for user: bob"),
    ),
    near_misses=(
        # Mailutils 3, which names where the account is kept, and not the client
        ("pop3d", "POP3 login: user `bob', source system"),
        ("pop3d", "POP3 login: user `bob', source 192.0.2.25"),
        ("pop3d", "user `bob' logged in with mailbox `/var/mail/bob' (3 messages)"),
        ("imap4d", "user `bob' logged in (source: system)"),
        ("imap4d", "user `bob' logged in (source: 192.0.2.25)"),
        ("pop3d", "192.0.2.25"),
        ("imap4d", "2AMFZtAM 192.0.2.25"),
        ("imap4d", "2AMFZtAM user `bob' logged in (source: system)"),
        # failures, of all of them
        ("pop3d", "user `bob': authentication failed"),
        ("pop3d", "user `nosuch' nonexistent"),
        ("imap4d", "login failed: bob"),
        ("gnu-imap4d", "Login failed: bob"),
        ("gnu-imap4d", "User `bob': nonexistent"),
        ("gnu-pop3d", "User 'bob': authentication failed"),
        ("gnu-pop3d", "Possible probe of account 'bob'"),
        ("gnu-imap4d", "anonymous user bob logged in"),
        ("gnu-imap4d", "Access from 192.0.2.25 blocked."),
        # the name, of a failed login and of one that was let in; in IMAP it may hold a line feed
        ("gnu-imap4d", "Login failed: User `a' logged in (source: system)"),
        ("gnu-imap4d", "User `a' logged in (source: system)': nonexistent"),
        ("gnu-imap4d", "Login failed: x\ngnu-imap4d[1]: Connect from 9.9.9.9"),
        ("gnu-pop3d", "user `x' logged in with mailbox `/var/mail/x' from 9.9.9.9' logged in (source: system)"),
        ("gnu-pop3d", "user `nox' logged in with mailbox `/var/mail/x' from 9.9.9.9' nonexistent"),
        ("gnu-pop3d", "User 'a' logged in with mailbox 'b' from 9.9.9.9': nonexistent"),
        ("gnu-pop3d", "User 'a' logged in with mailbox 'b' from 9.9.9.9' logged in with mailbox '/var/mail/bob' from 192.0.2.25"),
        ("gnu-pop3d", "User a logged in with mailbox b from 9.9.9.9 from 192.0.2.25"),
        # addresses that are none, text after the end
        ("gnu-pop3d", "connect from 999.0.2.25"),
        ("gnu-pop3d", "connect from 192.0.2.25 9.9.9.9"),
        ("gnu-pop3d", "User 'bob' logged in with mailbox '/var/mail/bob' from 999.0.2.25"),
        ("gnu-pop3d", "User 'bob' logged in with mailbox '/var/mail/bob' from 192.0.2.25 and more"),
    ),
    sources=(
        "GNU Mailutils pop3d/pop3d.c, user.c and imap4d/imap4d.c, login.c of 1999 to 2009 (gnu-pop3d 0.9, Mailutils to 2) and of 2012",
        "Mailutils 3.15 as run; the one-line form: pop-before-smtp's pattern",
    ),
)
