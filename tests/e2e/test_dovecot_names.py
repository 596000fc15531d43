"""What the real Dovecot logs of logins with any kind of name, sent on by the real rsyslogd, grants only those who logged in.

Its default auth_username_chars lets no odd name in, but has it in the lines about failures; emptied, it lets in all of them.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from tests.e2e import dovecot
from tests.e2e.dovecot import Dialogue
from tests.e2e.logins import (
    FORGED,
    PASSWORD,
    USER,
    Attempt,
    Method,
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

IMAP = Service("imap", dovecot.IMAP_PORT, (imap_plain, imap_login, imap_cram_md5), after_address=",")
POP3 = Service("pop3", dovecot.POP3_PORT, (pop3_user_pass, pop3_plain, pop3_apop, pop3_cram_md5), after_address=",")

# User names, and whether the line about their login is beyond doubt.
NAMES = {
    "rob roy": True,
    "rob\"'x`y'\"": True,
    f"rip={FORGED}": False,
    f"rob, rip={FORGED}": False,
    f"rob>, method=PLAIN, rip={FORGED}, lip=192.0.2.1": False,
    f"rob> [{FORGED}]": False,
    "rob>": False,
    "rob, ": True,
    "jörg": True,
    "n" * 300: True,  # the line has 77 of them and three dots
    "rob\x7fx": False,  # no syslog daemon escapes it, and a datagram that holds it is refused
    "rob\x01x": True,  # the line has a question mark
    "b\u0085x\u2028y": True,
}
ANY_NAME = """
auth_username_chars =
auth_username_format =
"""

# A client at an IPv4-mapped address comes to Dovecot from a proxy only: its own sockets take one family each.
PROXY_PORT = 10143
PROXIED = {"TCP4": "198.51.100.78", "TCP6": "2001:db8:1::78", "mapped": "198.51.100.79"}
HEADERS = {
    "TCP4": f"PROXY TCP4 {PROXIED['TCP4']} 192.0.2.1 40000 143\r\n",
    "TCP6": f"PROXY TCP6 {PROXIED['TCP6']} 2001:db8::1 40000 143\r\n",
    "mapped": f"PROXY TCP6 ::ffff:{PROXIED['mapped']} ::ffff:192.0.2.1 40000 143\r\n",
}
BEHIND_PROXY = f"""
haproxy_trusted_networks = 192.0.2.0/24
service imap-login {{
  inet_listener proxied {{
    port = {PROXY_PORT}
    haproxy = yes
  }}
}}
"""


def announced(header: str) -> Method:
    """The proxy's header, version 1, and then the client."""

    def log_in(server: Dialogue, user: str, password: str) -> bool:
        server.connection.sendall(header.encode())
        return imap_plain(server, user, password)

    return log_in


def odd_names(*, any_name: bool) -> Iterator[Attempt]:
    """With the right password, whether it helps or not, and with a wrong one."""
    for name, clear in NAMES.items():
        as_it_is = name.isprintable() and name.isascii() and len(name) <= 80
        is_taken = any_name or (name.isascii() and name.isalnum())
        for attempt in odd((IMAP, POP3), name, welcome=is_taken, granted=is_taken and clear):
            yield replace(attempt, logged=f"user=<{name}>" if as_it_is else "user=<")


def proxied() -> Iterator[Attempt]:
    """None of them for its own address, which is the proxy's."""
    service = Service("imap, proxied", PROXY_PORT, (), after_address=None)
    for kind, header in HEADERS.items():
        right = Attempt(f"proxied, {kind}", service, announced(header), "IPv4", granted=False, logged=f"{PROXIED[kind]}, ")
        yield right
        wrong = header.replace("198.51.100.", "198.51.100.1").replace("2001:db8:1::", "2001:db8:2::")
        yield replace(right, what=f"{right.what}, wrong password", method=announced(wrong), password="wrong", welcome=False, logged="")  # noqa: S106


STRICT, LENIENT = (numbered((*ordinary((IMAP, POP3)), *proxied(), *odd_names(any_name=any_name))) for any_name in (False, True))
WITNESS = Attempt("witness", POP3, pop3_apop, "IPv4", 250)
USERS = dict.fromkeys((USER, *NAMES), PASSWORD)
EVERYBODY = addresses((*STRICT, WITNESS))


def outcome_of(attempts: list[Attempt], more: str) -> Outcome:
    with rig("rsyslogd", 1800, partial(dovecot.start, users=USERS, more=more), EVERYBODY) as mail:
        return make_all(mail, attempts, WITNESS)


@pytest.fixture(scope="module")
def strict() -> Outcome:
    return outcome_of(STRICT, BEHIND_PROXY)


@pytest.fixture(scope="module")
def lenient() -> Outcome:
    return outcome_of(LENIENT, BEHIND_PROXY + ANY_NAME)


@pytest.mark.parametrize("attempt", STRICT, ids=[attempt.what for attempt in STRICT])
def test_whoever_logs_in_may_relay_and_who_does_not_may_not(strict: Outcome, attempt: Attempt) -> None:
    assert attempt.welcome == (attempt.address in strict.welcome)
    assert attempt.granted == (attempt.address in strict.granted)


@pytest.mark.parametrize("attempt", LENIENT, ids=[attempt.what for attempt in LENIENT])
def test_whoever_logs_in_under_any_name_may_relay_unless_the_name_looks_like_a_part_of_the_line(lenient: Outcome, attempt: Attempt) -> None:
    assert attempt.welcome == (attempt.address in lenient.welcome)
    assert attempt.granted == (attempt.address in lenient.granted)


@pytest.mark.parametrize(("attempts", "fixture"), [(STRICT, "strict"), (LENIENT, "lenient")], ids=["by default", "any name"])
def test_nobody_else_may_relay(request: pytest.FixtureRequest, attempts: list[Attempt], fixture: str) -> None:
    outcome: Outcome = request.getfixturevalue(fixture)
    granted = {attempt.address for attempt in attempts if attempt.granted}

    assert {WITNESS.address, *PROXIED.values(), *granted} == outcome.granted
