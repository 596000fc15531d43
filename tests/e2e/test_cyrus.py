"""What the real Cyrus logs, sent on by the real rsyslogd, grants the addresses of those who logged in and no others."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e import cyrus
from tests.e2e.dovecot import Dialogue
from tests.e2e.logins import (
    FORGED,
    USER,
    Attempt,
    Outcome,
    Service,
    addresses,
    imap_cram_md5,
    imap_login,
    imap_plain,
    make_all,
    numbered,
    odd,
    ordinary,
    pop3_apop,
    pop3_cram_md5,
    pop3_plain,
    pop3_user_pass,
)
from tests.e2e.rig import rig

IMAP, IMAPS, POP3, POP3S = SERVICES = (
    Service("imap", cyrus.PORTS["imap"], (imap_login, imap_plain, imap_cram_md5)),
    Service("imaps", cyrus.PORTS["imaps"], (imap_login, imap_plain, imap_cram_md5)),
    Service("pop3", cyrus.PORTS["pop3"], (pop3_user_pass, pop3_plain, pop3_cram_md5, pop3_apop)),
    Service("pop3s", cyrus.PORTS["pop3s"], (pop3_user_pass, pop3_plain, pop3_cram_md5)),
)

MAIL, NO_MAILBOX = (IMAP, POP3), (IMAP, IMAPS)  # POP3 logs the login, and then refuses an account that has no mailbox

# User names: where an account of that name may log in (Cyrus takes not every name), and whether the line about its login is believed
NAMES: dict[str, tuple[tuple[Service, ...], bool]] = {
    "rob roy": (MAIL, False),
    "rob, roy": (MAIL, False),
    '"rob"': (NO_MAILBOX, False),
    "rob>": (NO_MAILBOX, True),
    "rip=9.9.9.9": (MAIL, True),
    f"rob [{FORGED}] rob plaintext User logged in": (MAIL, False),
    f"login: [{FORGED}] rob plaintext User logged in": ((), False),
    "jörg": ((), False),
    "n" * 300: ((), False),
}


def imap_anonymous(server: Dialogue, user: str, password: str) -> bool:
    """LOGIN of `anonymous`: the password is any text, and is logged."""
    return imap_login(server, "anonymous", f"trace [{FORGED}] {user} plaintext User logged in")


ATTEMPTS = numbered(
    (
        *ordinary(SERVICES),
        *(
            attempt
            for name, (welcome, clear) in NAMES.items()
            for attempt in odd(welcome or MAIL, name, welcome=bool(welcome), granted=clear)
        ),
        Attempt("anonymous", IMAP, imap_anonymous, "IPv4", granted=False, logged=f"anonymous trace [{FORGED}]"),
    )
)
WITNESS = Attempt("witness", POP3, pop3_user_pass, "IPv4", 250)


@pytest.fixture(scope="module")
def outcome() -> Iterator[Outcome]:
    with rig("rsyslogd", 1800, partial(cyrus.start, users=(USER, *NAMES)), addresses((*ATTEMPTS, WITNESS))) as mail:
        yield make_all(mail, ATTEMPTS, WITNESS)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[attempt.what for attempt in ATTEMPTS])
def test_whoever_logs_in_may_relay_and_who_does_not_may_not(outcome: Outcome, attempt: Attempt) -> None:
    assert attempt.welcome == (attempt.address in outcome.welcome)
    assert attempt.granted == (attempt.address in outcome.granted)


def test_nobody_else_may_relay(outcome: Outcome) -> None:
    assert {WITNESS.address, *(attempt.address for attempt in ATTEMPTS if attempt.granted)} == outcome.granted
