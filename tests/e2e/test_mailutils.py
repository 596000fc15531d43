"""What the real GNU pop3d and imap4d log, sent on by the real rsyslogd, grants nobody anything: no line says who logged in from where."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from tests.e2e import inetd, mailutils
from tests.e2e.dovecot import Dialogue
from tests.e2e.logins import (
    FORGED,
    USER,
    Attempt,
    Outcome,
    Service,
    addresses,
    imap_login,
    imap_plain,
    make_all,
    numbered,
    odd,
    ordinary,
    pop3_user_pass,
    quoted,
    sent,
)
from tests.e2e.rig import Rig, rig


def imap_literal(server: Dialogue, user: str, password: str) -> bool:
    """RFC 3501 section 4.3: the name may hold a line feed."""
    server.hear()
    server.ask(f"a LOGIN {{{len(user.encode())}}}")
    return server.ask(f"{user} {quoted(password)}").startswith("a OK")


POP3, TALKATIVE_POP3, INETD_POP3 = ALL_POP3 = [
    Service(f"pop3d{how}", mailutils.PORTS["pop3d"] + offset, (pop3_user_pass,), after_address=None)
    for how, offset in (("", 0), (", talkative", mailutils.TALKATIVE), (", from inetd", mailutils.FROM_INETD))
]
IMAP, TALKATIVE_IMAP, INETD_IMAP = ALL_IMAP = [
    Service(f"imap4d{how}", mailutils.PORTS["imap4d"] + offset, (imap_login, imap_plain), after_address=None)
    for how, offset in (("", 0), (", talkative", mailutils.TALKATIVE), (", from inetd", mailutils.FROM_INETD))
]

# User names, and whether pop3d takes them for one, a word whose mailbox can be opened; imap4d takes any.
NAMES = {
    "rob roy": False,
    "rob\"'x`y'\"": True,
    f"rip={FORGED}": True,
    f"rob, rip={FORGED}": False,
    f"rob' logged in with mailbox `/var/mail/rob' from {FORGED}": False,
    f"rob> [{FORGED}]": False,
    "rob, ": False,
    "jörg": True,
    "n" * 300: False,
    "rob\x7fx": True,
    "rob\x01x": True,
}
TWO_LINES = f"rob\nimap4d[1]: Connect from {FORGED}"


def odd_names() -> Iterator[Attempt]:
    for name, word in NAMES.items():
        for service in (POP3, TALKATIVE_POP3, IMAP, TALKATIVE_IMAP):
            is_taken = word or service in ALL_IMAP
            logged = f"ser `{name}'" if is_taken and name.isprintable() and name.isascii() else ""
            for attempt in odd((service,), name, welcome=is_taken, granted=False):
                yield replace(attempt, logged=logged if attempt.welcome else "")
    for service in (IMAP, TALKATIVE_IMAP):
        yield Attempt(
            f"{service.name}, a line feed", service, imap_literal, "IPv4", user=TWO_LINES, welcome=False, logged="rob#012imap4d[1]: Connect"
        )


ATTEMPTS = numbered(replace(attempt, granted=False) for attempt in (*ordinary((*ALL_POP3, *ALL_IMAP)), *odd_names()))


@pytest.fixture(scope="module")
def mail() -> Iterator[Rig]:
    with rig("rsyslogd", 1800, partial(mailutils.start, users=[USER, *NAMES]), addresses(ATTEMPTS)) as mail:
        yield mail


@pytest.fixture(scope="module")
def outcome(mail: Rig) -> Outcome:
    return make_all(mail, ATTEMPTS, None, inetd.AT_ONCE)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[attempt.what for attempt in ATTEMPTS])
def test_a_login_is_taken_or_refused_by_the_server(outcome: Outcome, attempt: Attempt) -> None:
    assert attempt.welcome == (attempt.address in outcome.welcome)


def test_nobody_may_relay(outcome: Outcome) -> None:
    assert frozenset() == outcome.granted


def test_no_line_about_a_login_has_the_address_of_its_client(mail: Rig, outcome: Outcome) -> None:
    """What says that Mailutils 3 cannot be used: should a later one log it, this is where it shows."""
    logins = [line for line in sent(mail) if "' logged in" in line]

    assert len(logins) >= len(outcome.welcome)
    assert [] == [line for line in logins if any(attempt.address in line for attempt in ATTEMPTS)]
