"""The smaller POP servers: what their lines become beyond a login in one line, and lines that running ones wrote."""

import pytest

from syslogauth.core import formats
from syslogauth.core.address import canonical
from syslogauth.core.formats.grammar import message_of
from syslogauth.core.login import Authenticated, Connected, Failed, Login, Logout, Refusal, Report


def recognised(app_name: str, text: str, procid: str = "") -> Report | Refusal:
    return formats.ALL.recognise(message_of(app_name, text, procid))


@pytest.mark.parametrize(("word", "service"), [("pop3", "pop3"), ("pop3s", "pop3"), ("imap", "imap"), ("imaps", "imap")])
def test_vchkpw_is_believed_for_reading_mail(word: str, service: str) -> None:
    login = recognised("vpopmail", f"vchkpw-{word}: (PLAIN) login success bob@example.org:192.0.2.25")
    assert isinstance(login, Login)
    assert (service, "192.0.2.25") == (login.service, canonical(login.address))


@pytest.mark.parametrize("word", ["smtp", "smtps", "submission", "webmail", "25", "1110"])
def test_vchkpw_is_not_believed_for_sending_mail_nor_on_another_port(word: str) -> None:
    assert recognised("vpopmail", f"vchkpw-{word}: (PLAIN) login success bob@example.org:192.0.2.25") is Refusal.NOT_LOGIN
    assert recognised("vpopmail", f"vchkpw-{word}: system password login success bob:192.0.2.25") is Refusal.NOT_LOGIN


def test_the_client_of_teapop_is_the_last_address_and_the_server_the_first() -> None:
    login = recognised("teapop", "Successful login for bob [192.0.2.1] from c1.example.net [192.0.2.25]")
    assert isinstance(login, Login)
    assert login.local_address is not None
    assert ("192.0.2.25", "192.0.2.1") == (canonical(login.address), canonical(login.local_address))


def test_a_session_of_tpop3d_is_named_by_its_child_process() -> None:
    login = recognised("tpop3d", "fork_child: [7]bob(192.0.2.25): began session for `bob' with passwd; child PID is 4711", "80")
    end = recognised("tpop3d", "connections_post_select: client [7]bob(192.0.2.25): finished session for `bob' with passwd", "4711")
    assert isinstance(login, Login)
    assert Logout("tpop3d", login.end_key) == end


def test_cucipop_logs_a_login_at_the_end_of_its_session() -> None:
    login = recognised("cucipop", "bob 192.0.2.25 0, 0 (0), 3 (12345)")
    assert isinstance(login, Login)
    assert not login.session_end  # its only line: it counts like any other


def test_users_of_two_domains_of_vm_pop3d_are_two_users() -> None:
    part = recognised("vm-pop3d", "User 'bob' of 'example.org' logged in", "7")
    assert Authenticated("vm-pop3d", "pop3", "bob@example.org", "vm-pop3d[7]") == part


@pytest.mark.parametrize(
    ("app_name", "text"),
    [
        # as they wrote them: popa3d 1.0.3, solid-pop3d 0.15
        ("popa3d", "Authentication failed for bob"),
        ("popa3d", "Authentication failed for UNKNOWN USER"),
        ("popa3d", "Authentication failed for UNKNOWN USER -- [192.0.2.25]"),
        ("popa3d", "Didn't attempt authentication"),
        ("solid-pop3d", "authentication failed for user bob - 192.0.2.25"),
        ("solid-pop3d", "authentication failed: no such user: nobob authenticated - 9.9.9.9 - 192.0.2.25"),
        ("solid-pop3d", "APOP authentication failed for user bob - 192.0.2.25"),
        ("solid-pop3d", "can't find APOP secret for user bob - 192.0.2.25"),
        ("solid-pop3d", "root login not allowed - 192.0.2.25"),
        ("spop3d", "authentication failed for mapped user bob"),
        # a process that begins anew, or ends without a login
        ("gnu-pop3d", "Incoming connection opened"),
        ("gnu-pop3d", "Session ended for no user"),
        ("vm-pop3d", "Session timed out for no user"),
    ],
)
def test_what_ends_an_attempt_voids_the_address_before_it(app_name: str, text: str) -> None:
    assert isinstance(recognised(app_name, text, "7"), Failed)


@pytest.mark.parametrize(
    ("app_name", "text"),
    [
        ("gnu-imap4d", "Login failed: bob"),
        ("gnu-imap4d", "User `bob': nonexistent"),
        ("gnu-pop3d", "User 'bob': authentication failed"),
        ("gnu-pop3d", "Possible probe of account 'bob'"),
    ],
)
def test_an_attempt_that_may_be_followed_by_another_one_voids_nothing(app_name: str, text: str) -> None:
    assert recognised(app_name, text, "7") is Refusal.NOT_LOGIN


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Session from 192.0.2.25", "192.0.2.25"),
        ("connect from 192.0.2.25 (192.0.2.25)", "192.0.2.25"),
        ("connect from ::ffff:192.0.2.25 (::ffff:192.0.2.25)", "192.0.2.25"),
        ("connect from 2001:db8::10 (2001:db8::10)", "2001:db8::10"),
        ("connect from 9.9.9.9 (192.0.2.25)", "192.0.2.25"),  # the reverse DNS name is its owner's
        ("connect from 9.9.9.9@c1.example.net (192.0.2.25)", "192.0.2.25"),  # and what identd says is the client's
    ],
)
def test_popa3d_or_tcpd_before_it_says_who_connected(text: str, address: str) -> None:
    part = recognised("popa3d", text, "7")
    assert isinstance(part, Connected)
    assert address == canonical(part.address)


@pytest.mark.parametrize("user", ["bob smith", "bob, rip=9.9.9.9", "bob authenticated - 9.9.9.9", "bob, ", "bob\x7fx", "u" * 41])
def test_a_user_of_solid_pop3d_with_a_blank_in_the_name_gets_nothing(user: str) -> None:
    assert recognised("solid-pop3d", f"user {user} authenticated - 192.0.2.25") is Refusal.NOT_LOGIN


@pytest.mark.parametrize(
    ("app_name", "text"),
    [
        ("pop3d", "POP3 login: user `bob', source system"),
        ("pop3d", "user `bob' logged in with mailbox `/var/mail/bob' (0 messages)"),
        ("pop3d", "session ended for user: bob"),
        ("pop3d", "192.0.2.25"),
        ("pop3d", "2AMFZtAM 192.0.2.25"),
        ("imap4d", "user `bob' logged in (source: system)"),
        ("imap4d", "user `x' logged in with mailbox `/var/mail/x' from 9.9.9.9' logged in (source: system)"),
        ("imap4d", "2AMFb71k info: 0:0:0:0:0:FFFF:C000:219"),
    ],
)
def test_nothing_of_mailutils_3_is_a_login_or_a_part_of_one(app_name: str, text: str) -> None:
    assert recognised(app_name, text, "7") is Refusal.NOT_LOGIN
