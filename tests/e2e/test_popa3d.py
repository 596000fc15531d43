"""What the real popa3d and tcpd log, sent on by the real rsyslogd, grants the addresses of those who logged in and no others."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from tests.e2e import popa3d
from tests.e2e.logins import FORGED, USER, Attempt, Outcome, Service, addresses, make_all, numbered, odd, ordinary, pop3_user_pass
from tests.e2e.rig import rig

STANDALONE = Service("by itself", popa3d.STANDALONE_PORT, (pop3_user_pass,), after_address="\n")
BEHIND_TCPD = Service("behind tcpd", popa3d.TCPD_PORT, (pop3_user_pass,), after_address=")")
FROM_INETD = Service("from inetd alone", popa3d.INETD_PORT, (pop3_user_pass,), after_address=None)

# User names, and whether popa3d takes them for one (a word of at most 40 bytes) and the line about their login is beyond doubt.
NAMES = {
    "rob roy": (False, False),
    "rob\"'x`y'\"": (True, True),
    f"rip={FORGED}": (True, True),
    f"rob, rip={FORGED}": (False, False),
    f"rob> [{FORGED}]": (False, False),
    f"rob -- [{FORGED}]": (False, False),
    f"rob--[{FORGED}]": (True, False),
    "rob,": (True, True),
    "jörg": (True, True),
    "n" * 40: (True, True),
    "n" * 300: (False, False),
    "rob\x7fx": (True, False),  # no syslog daemon escapes it, and a datagram that holds it is refused
    "rob\x01x": (True, True),  # rsyslogd sends #001
    "b\u0085x\u2028y": (True, True),
}
ATTEMPTS = numbered(
    (
        *(attempt for attempt in ordinary((STANDALONE,)) if attempt.family != "IPv6"),
        *ordinary((BEHIND_TCPD,)),
        Attempt("from inetd alone", FROM_INETD, pop3_user_pass, "IPv4", granted=False, logged="Authentication passed for bob"),
        *(
            replace(attempt, logged="from ")  # the name itself is logged only with a success, in a line without the address
            for name, (welcome, clear) in NAMES.items()
            for attempt in odd((STANDALONE, BEHIND_TCPD), name, welcome=welcome, granted=clear)
        ),
    )
)
WITNESS, SECOND_WITNESS = (Attempt("witness", STANDALONE, pop3_user_pass, "IPv4", number) for number in (250, 251))
EVERYBODY = addresses((*ATTEMPTS, WITNESS, SECOND_WITNESS))


@pytest.fixture(scope="module")
def outcome() -> Iterator[Outcome]:
    with rig("rsyslogd", 1800, partial(popa3d.start, users=[USER, *NAMES]), EVERYBODY, ["mail", "daemon"]) as mail:
        yield make_all(mail, ATTEMPTS, WITNESS, popa3d.AT_ONCE)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[attempt.what for attempt in ATTEMPTS])
def test_whoever_logs_in_may_relay_and_who_does_not_may_not(outcome: Outcome, attempt: Attempt) -> None:
    assert attempt.welcome == (attempt.address in outcome.welcome)
    assert attempt.granted == (attempt.address in outcome.granted)


def test_nobody_else_may_relay(outcome: Outcome) -> None:
    assert {WITNESS.address, *(attempt.address for attempt in ATTEMPTS if attempt.granted)} == outcome.granted


def test_without_facility_daemon_in_listen_facilities_nobody_may_relay() -> None:
    few = [attempt for attempt in ATTEMPTS if attempt.granted][:2]
    with rig("rsyslogd", 1800, partial(popa3d.start, users=[USER]), EVERYBODY) as mail:
        assert frozenset() == make_all(mail, few, witness=None).granted
