"""What a login becomes: each reason to refuse it, their order, and the grant's fields."""

from dataclasses import replace

import pytest

from syslogauth.core.address import Networks, pack
from syslogauth.core.login import Grant, Login, Refusal
from syslogauth.core.policy import Policy

NOW = 1_700_000_000.0
CLIENT, SERVER, PEER = b"\xc0\x00\x02\x19", b"\xc0\x00\x02\x01", b"\xc6\x33\x64\x07"
POLICY = Policy(1800.0, frozenset({"imap", "pop3"}), Networks(("127.0.0.0/8", "::1/128", "198.51.100.0/25")))
LOGIN = Login("dovecot", "imap", "bob", CLIENT, SERVER, "Yw62")


def decide(policy: Policy, login: Login) -> Grant | Refusal:
    return policy.decide(login, {PEER}, "mail1", "10.0.0.0/8", NOW)


def row(name: str, *values: object) -> object:
    return pytest.param(*values, id=name)


def test_a_grant_runs_from_the_moment_of_receipt() -> None:
    assert Grant(CLIENT, NOW + 1800.0, NOW, "imap", "dovecot", "bob", "mail1", "10.0.0.0/8") == decide(POLICY, LOGIN)


@pytest.mark.parametrize(
    ("policy", "login", "expected"),
    [
        row("service", POLICY, replace(LOGIN, service="submission"), Refusal.SERVICE),
        row("never network", POLICY, replace(LOGIN, address=b"\x7f\x00\x00\x01"), Refusal.NEVER_NETWORK),
        row("never network, IPv6", POLICY, replace(LOGIN, address=bytes(15) + b"\x01"), Refusal.NEVER_NETWORK),
        row("the server's own address", POLICY, replace(LOGIN, address=SERVER), Refusal.OWN_ADDRESS),
        row("a peer's address", POLICY, replace(LOGIN, address=PEER), Refusal.OWN_ADDRESS),
        row("a peer's address before a never network", POLICY, replace(LOGIN, address=PEER, local_address=None), Refusal.OWN_ADDRESS),
        row("proxied", replace(POLICY, proxied=False), replace(LOGIN, proxied=True), Refusal.PROXIED),
        row("session end", POLICY, replace(LOGIN, session_end=True), Refusal.SESSION_END),
        row("session end of another service", POLICY, replace(LOGIN, session_end=True, service="submission"), Refusal.SESSION_END),
    ],
)
def test_a_login_is_refused_with_its_reason(policy: Policy, login: Login, expected: Refusal) -> None:
    assert expected == decide(policy, login)


@pytest.mark.parametrize(
    ("policy", "login"),
    [
        row("beside the never network", POLICY, replace(LOGIN, address=pack("198.51.100.128"))),
        row("proxied, by default", POLICY, replace(LOGIN, proxied=True)),
        row("session end, where it counts", replace(POLICY, qpopper_stats=True), replace(LOGIN, session_end=True)),
        row("own addresses, where they may", replace(POLICY, never_own=False), replace(LOGIN, address=SERVER)),
        row("a peer, where it may", replace(POLICY, never_own=False, never=Networks()), replace(LOGIN, address=PEER)),
        row("no local address logged", POLICY, replace(LOGIN, local_address=None)),
        row(
            "another service, where it is listed", replace(POLICY, services=frozenset({"submission"})), replace(LOGIN, service="submission")
        ),
    ],
)
def test_others_are_granted(policy: Policy, login: Login) -> None:
    found = decide(policy, login)
    assert isinstance(found, Grant)
    assert (login.address, NOW + policy.grace_seconds) == (found.address, found.expires_at)
