"""What the real solid-pop3d logs, sent on by the real rsyslogd, grants the addresses of those who logged in and no others."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from tests.e2e import inetd, solid_pop3d
from tests.e2e.logins import (
    FORGED,
    USER,
    Attempt,
    Outcome,
    Service,
    addresses,
    make_all,
    numbered,
    odd,
    ordinary,
    pop3_apop,
    pop3_user_pass,
)
from tests.e2e.rig import rig

POP3 = Service("pop3", solid_pop3d.PORT, (pop3_user_pass, pop3_apop), after_address="\n")

# User names, and whether solid-pop3d takes them for one (at most 40 bytes) and the line about their login is beyond doubt.
NAMES = {
    "rob roy": (True, False),
    "rob\"'x`y'\"": (True, True),
    f"rip={FORGED}": (True, True),
    f"rob, rip={FORGED}": (True, False),
    f"rob> [{FORGED}]": (True, False),
    f"rob authenticated - {FORGED}": (True, False),
    f"rob - {FORGED}": (True, False),
    "rob, ": (True, False),
    "jörg": (True, True),
    "n" * 40: (True, True),
    "n" * 300: (False, False),
    "rob\x7fx": (True, False),  # no syslog daemon escapes it, and a datagram that holds it is refused
    "rob\x01x": (True, True),  # rsyslogd sends #001
    "b\u0085x\u2028y": (True, True),
}
WRONG = "wrong"
ALIAS = Attempt("alias", POP3, pop3_user_pass, "IPv6", user=solid_pop3d.ALIAS, logged=f"mapped user {solid_pop3d.ALIAS} ")
ATTEMPTS = numbered(
    (
        *ordinary((POP3,)),
        Attempt("wrong password, APOP", POP3, pop3_apop, "IPv4", password=WRONG, welcome=False, granted=False),
        ALIAS,
        replace(ALIAS, what="alias, wrong password", family="IPv4", password=WRONG, welcome=False, granted=False),
        *(
            attempt if len(name) <= 40 and name.isprintable() else replace(attempt, logged="connect from ")
            for name, (welcome, clear) in NAMES.items()
            for attempt in odd((POP3, POP3), name, welcome=welcome, granted=clear)
        ),
    )
)
WITNESS = Attempt("witness", POP3, pop3_user_pass, "IPv4", 250)


@pytest.fixture(scope="module")
def outcome() -> Iterator[Outcome]:
    """Facility local0 is in listen.facilities without being asked for."""
    with rig("rsyslogd", 1800, partial(solid_pop3d.start, users=[USER, *NAMES]), addresses((*ATTEMPTS, WITNESS))) as mail:
        yield make_all(mail, ATTEMPTS, WITNESS, inetd.AT_ONCE)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[f"{attempt.what}, {attempt.family}" for attempt in ATTEMPTS])
def test_whoever_logs_in_may_relay_and_who_does_not_may_not(outcome: Outcome, attempt: Attempt) -> None:
    assert attempt.welcome == (attempt.address in outcome.welcome)
    assert attempt.granted == (attempt.address in outcome.granted)


def test_nobody_else_may_relay(outcome: Outcome) -> None:
    assert {WITNESS.address, *(attempt.address for attempt in ATTEMPTS if attempt.granted)} == outcome.granted
