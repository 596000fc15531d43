"""What looks like a login, and what such lines have in common: the words of a success and an address, never those of a failure."""

import re

import pytest

from syslogauth.core import formats
from syslogauth.core.formats.grammar import message_of
from syslogauth.core.formats.looks import LOOKED_AT, SUCCESS, looks_like_login, shape

# Each server's success as an upgrade might write it
CHANGED = [
    ("AppleMailServer", 'IMAP User "bob" logged on from 192.0.2.25'),
    ("imapd", "LOGIN OK, user=bob, ip=[::ffff:192.0.2.25], port=[47271]"),
    ("pop3d-ssl", 'LOGIN user="bob" ip=[2001:db8::10] port=[47271]'),
    ("cyrus/imap", "event=login.success r.clienthost=[192.0.2.25] u.username=bob login.mech=PLAIN"),
    ("dovecot", "imap-login: Authenticated: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1"),
    ("dbmail-imapd", "Notice:[imap] dbmail_imap_session_handle_auth(+12): [0x55d0] accepted login: user [bob] from [192.0.2.25:50100]"),
    ("nginx", "2026/11/22 11:25:07 [info] 91#91: *4 client authenticated, client: 192.0.2.25, server: 0.0.0.0:143"),
    ("AppleMailServer", "IMAP logon successful for bob from 192.0.2.25"),
    ("cyrus/imap", '{"event":"login","user":"bob","client":"192.0.2.25","result":"success"}'),
    ("imaps", "login: bob from client.example.net [192.0.2.25] with plaintext+TLS, session <1>"),
    ("dbmail-imapd", "Notice:[imap] login(+12): [0x55d0] login authenticated: user [bob] from [192.0.2.25:50100]"),
    ("dovecot", "imap-login: Successful login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1"),
    ("dovecot", "imap-login: Login succeeded: user=<bob>, rip=2001:db8::10"),
    ("dovecot", "imap-login: Login: user=<bob> method=PLAIN rip=192.0.2.25 lip=192.0.2.1"),
    ("imapproxyd", "LOGIN: bob (192.0.2.25:52113) on new server connection [9]"),
    ("gnu-pop3d", "User bob has logged in with mailbox /var/mail/bob from 192.0.2.25"),
    ("nginx", "2026/11/22 11:25:07 [info] 91#91: *4 client logged in, login: bob, client: 192.0.2.25, server: 0.0.0.0:143"),
    ("perdition", 'Authenticated: 192.0.2.25:42177->192.0.2.1:110 user="bob" status=ok'),
    ("popa3d", "Authentication succeeded for bob from 192.0.2.25"),
    ("qpopper", '(v5.0.0) POP3 login: user "bob" from c1.example.net [192.0.2.25]'),
    ("solid-pop3d", "user bob was authenticated from 192.0.2.25"),
    ("stalwart", '2026-01-14T10:16:38Z INFO Authentication successful (auth.success) remoteIp = 192.0.2.25, accountName = "bob"'),
    ("teapop", "Successful login of bob [192.0.2.1] from [192.0.2.25]"),
    ("tpop3d", "fork_child: [7]bob(192.0.2.25): session started for `bob' with passwd"),
    ("imapd", "Logged in user=bob host=client.example.net [192.0.2.25]"),
    ("vm-pop3d", "User 'bob' logged in, address 192.0.2.25, nmsgs=3"),
    ("vpopmail", "vchkpw-pop3: (PLAIN) login successful bob@example.org:192.0.2.25"),
    ("mailboxd", "INFO  [ImapServer-2] [name=bob;ip=192.0.2.25;] imap - authenticated user bob with LOGIN"),
]


@pytest.mark.parametrize(("app_name", "text"), CHANGED)
def test_a_changed_success_is_noticed(app_name: str, text: str) -> None:
    message = message_of(app_name, text, "7")
    assert message.app_name in formats.ALL.app_names or message.app_name.startswith(b"cyrus/")
    assert isinstance(formats.ALL.recognise(message), str), "a format takes it: write another change"
    assert formats.ALL.overlooks(message)
    assert re.match(rb"[^\n]{0,%d}?(?:" % LOOKED_AT + SUCCESS + rb")", message.text), "the gate would refuse it"


def test_every_server_has_a_changed_success_here() -> None:
    changed = {message_of(app_name, "").app_name for app_name, _ in CHANGED}
    missing = [form.name for form in formats.FORMATS if not any(form in formats.ALL.of(message_of(tag.decode(), "")) for tag in changed)]
    assert ["cucipop"] == missing  # its line has no word of success in it, now or then


def other_lines() -> list[tuple[str, str]]:
    """The near misses that no format begins: failures, and what a server writes besides."""
    return [
        (app_name, text)
        for form in formats.FORMATS
        for app_name, text in form.near_misses
        if not any(re.match(known.begins, text.encode()) for known in formats.ALL.of(message_of(app_name, text)))
    ]


@pytest.mark.parametrize(("app_name", "text"), other_lines())
def test_a_failure_is_not_taken_for_a_login_that_was_missed(app_name: str, text: str) -> None:
    assert not formats.ALL.overlooks(message_of(app_name, text, "7"))


@pytest.mark.parametrize("form", formats.FORMATS, ids=lambda form: form.name)
def test_the_end_of_a_session_is_not_taken_for_a_login_that_was_missed(form: formats.Format) -> None:
    assert [] == [text for app_name, text in form.logouts if formats.ALL.overlooks(message_of(app_name, text, "7"))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"Login user=bob host=client.example.net [192.0.2.25]", True),
        (b"Login user=bob host=[2001:db8::10]", True),
        (b"Login user=bob", False),
        (b"starting up at 10:00:00, authentication by PAM", False),
        (b"connect from 192.0.2.25", False),
        (b"authentication failed for bob from 192.0.2.25", False),
        (b"x" * LOOKED_AT + b"Login user=bob host=[192.0.2.25]", False),
    ],
)
def test_a_success_and_an_address_look_like_a_login(text: bytes, expected: bool) -> None:
    assert expected == looks_like_login(text)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            b"imap-login: Successful login: user=<bob>, method=PLAIN, rip=192.0.2.25, session=<Yw62>",
            b"imap-login: Successful login: user=<eve@example.org>, method=PLAIN, rip=2001:db8::10, session=<aa/+>",
            "imap-login: Successful login: user=<...>, method=..., rip=..., session=<...>",
        ),
        (
            b"pop3-login: LOGIN OK, user bob from client.example.net [192.0.2.25]",
            b"pop3-login: LOGIN OK, user eve7 from mx.example.org [2001:db8::10]",
            "pop3-login: LOGIN OK, user NAME from HOST [ADDRESS]",
        ),
        (
            b"vchkpw-pop3: (PLAIN) login successful bob@example.org:192.0.2.25",
            b"vchkpw-pop3: (PLAIN) login successful eve@example.org:2001:db8::10",
            "vchkpw-pop3: (PLAIN) login successful NAME:ADDRESS",
        ),
        (
            b'2026/11/22 11:25:07 [info] 91#91: *4 client 192.0.2.25 logged in, login: "bob"',
            b'2026/11/23 01:05:00 [info] 7#91: *188 client 192.0.2.26 logged in, login: "eve"',
            'TIME TIME [NAME] N#N: *N client ADDRESS logged in, login: "..."',
        ),
        (
            b"User `bob' logged in from 192.0.2.25, 3 messages",
            b"User `eve' logged in from 192.0.2.26, 14 messages",
            "User '...' logged in from ADDRESS, N messages",
        ),
    ],
)
def test_lines_of_different_users_have_one_shape(first: bytes, second: bytes, expected: str) -> None:
    assert (expected, expected) == (shape(first), shape(second))
