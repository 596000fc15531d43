"""What the real Courier logs, sent on by the real rsyslogd, grants the addresses of those who logged in and no others."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.deadline import wait_until
from tests.e2e import courier
from tests.e2e.logins import (
    FORGED,
    USER,
    Attempt,
    Outcome,
    Service,
    addresses,
    bear_witness,
    granted,
    imap_cram_md5,
    imap_login,
    imap_plain,
    make_all,
    numbered,
    odd,
    ordinary,
    pop3_cram_md5,
    pop3_plain,
    pop3_user_pass,
    sent,
)
from tests.e2e.rig import Rig, rig

IMAP, IMAPS, POP3, POP3S = SERVICES = (
    Service("imapd", courier.PORTS["imapd"], (imap_login, imap_plain, imap_cram_md5)),
    Service("imapd-ssl", courier.PORTS["imapd-ssl"], (imap_login, imap_plain)),
    Service("pop3d", courier.PORTS["pop3d"], (pop3_user_pass, pop3_plain, pop3_cram_md5)),
    Service("pop3d-ssl", courier.PORTS["pop3d-ssl"], (pop3_user_pass, pop3_plain)),
)

# User names, each of an account too, and whether the line about its login is believed: where in doubt, it is not
NAMES = {
    "rob roy": True,
    "rob, roy": False,
    '"rob"': True,
    "rob>": True,
    "rip=9.9.9.9": True,
    "jörg": True,
    "n" * 300: False,  # too long for a line that a syslogd may cut
    f"rob, ip=[{FORGED}]": False,
    f"rob, ip=[{FORGED}], port=[1], protocol=IMAP": False,
    f"imapd: LOGIN, user=bob, ip=[{FORGED}]": False,
}
ATTEMPTS = numbered(
    (
        *ordinary(SERVICES),
        *(attempt for name, clear in NAMES.items() for attempt in odd((IMAP, POP3), name, welcome=True, granted=clear)),
    )
)
WITNESS, *WITNESSES = (Attempt("witness", service, service.methods[0], "IPv4", 250 + n) for n, service in enumerate((POP3, IMAP, POP3)))

# Names that end a line where courierlogger cuts it, and go on with a login; before the rest of the line, blanks do not count.
FILL = "x" * (courier.CUT_AT - len("LOGIN FAILED, user="))
FORGED_IMAP = f"LOGIN, user=bob, ip=[{FORGED}], port=[1], protocol=IMAP"
FORGED_POP3 = f"LOGIN, user=bob, ip=[{FORGED}], port=[1]"
SPLIT = [
    (Attempt("split", service, service.methods[0], "IPv4", number, name, "wrong"), f"{service.name}: {rest}")
    for number, service, name, rest in (
        (240, IMAP, f"{FILL}{FORGED_IMAP:>{courier.REST_AT_MOST}}x", FORGED_IMAP),
        (241, POP3, f"{FILL.replace('x', ' ')}{FORGED_POP3:>{courier.REST_AT_MOST}}x", FORGED_POP3),
        (242, POP3, f"{FILL}LOGIN, user=bob", "LOGIN, user=bob, ip=[::ffff:192.0.2.242], port=["),
    )
]


@pytest.fixture(scope="module")
def mail() -> Iterator[Rig]:
    everybody = addresses((*ATTEMPTS, *(attack for attack, _ in SPLIT), WITNESS, *WITNESSES))
    with rig("rsyslogd", 1800, partial(courier.start, users=(USER, *NAMES)), everybody) as mail:
        yield mail


@pytest.fixture(scope="module")
def outcome(mail: Rig) -> Outcome:
    return make_all(mail, ATTEMPTS, WITNESS)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[attempt.what for attempt in ATTEMPTS])
def test_whoever_logs_in_may_relay_and_who_does_not_may_not(outcome: Outcome, attempt: Attempt) -> None:
    assert attempt.welcome == (attempt.address in outcome.welcome)
    assert attempt.granted == (attempt.address in outcome.granted)


def test_nobody_else_may_relay(outcome: Outcome) -> None:
    assert {WITNESS.address, *(attempt.address for attempt in ATTEMPTS if attempt.granted)} == outcome.granted


def test_the_rest_of_a_line_that_courierlogger_splits_grants_nothing(mail: Rig, outcome: Outcome) -> None:
    """The rest follows when the next line of the service comes, which it replaces: here the one about a connection."""
    lines = len(sent(mail))
    with ThreadPoolExecutor(len(SPLIT)) as threads:
        let_in = []
        for attack, rest in SPLIT:
            let_in.append(threads.submit(attack.make, mail.host))
            wait_until(
                lambda: mail.host.listens(("127.0.0.1", attack.service.port)) and any(rest in line for line in sent(mail)[lines:]),  # noqa: B023
                f"a line with {rest}",
            )
    assert not any(answer.result() for answer in let_in)
    for witness in WITNESSES:
        bear_witness(mail, witness)

    assert granted(mail) == outcome.granted | {witness.address for witness in WITNESSES}
