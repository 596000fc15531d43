"""What a login becomes: each reason to refuse it, their order, and the grant's fields."""

from dataclasses import replace

import pytest

from syslogauth.core.address import Networks, pack
from syslogauth.core.login import Grant, Login, Refusal
from syslogauth.core.policy import Policy, Rule
from syslogauth.settings import users

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
        row("service", POLICY, LOGIN._replace(service="submission"), Refusal.SERVICE),
        row("never network", POLICY, LOGIN._replace(address=b"\x7f\x00\x00\x01"), Refusal.NEVER_NETWORK),
        row("never network, IPv6", POLICY, LOGIN._replace(address=bytes(15) + b"\x01"), Refusal.NEVER_NETWORK),
        row("the server's own address", POLICY, LOGIN._replace(address=SERVER), Refusal.OWN_ADDRESS),
        row("a peer's address", POLICY, LOGIN._replace(address=PEER), Refusal.OWN_ADDRESS),
        row("a peer's address before a never network", POLICY, LOGIN._replace(address=PEER, local_address=None), Refusal.OWN_ADDRESS),
        row("proxied", replace(POLICY, proxied=False), LOGIN._replace(proxied=True), Refusal.PROXIED),
        row("a proxy that is not trusted", POLICY, LOGIN._replace(via=PEER), Refusal.UNTRUSTED_PROXY),
        row("session end", POLICY, LOGIN._replace(session_end=True), Refusal.SESSION_END),
        row("session end of another service", POLICY, LOGIN._replace(session_end=True, service="submission"), Refusal.SESSION_END),
    ],
)
def test_a_login_is_refused_with_its_reason(policy: Policy, login: Login, expected: Refusal) -> None:
    assert expected == decide(policy, login)


@pytest.mark.parametrize(
    ("policy", "login"),
    [
        row("beside the never network", POLICY, LOGIN._replace(address=pack("198.51.100.128"))),
        row("proxied, by default", POLICY, LOGIN._replace(proxied=True)),
        row("session end, where it counts", replace(POLICY, qpopper_stats=True), LOGIN._replace(session_end=True)),
        row("own addresses, where they may", replace(POLICY, never_own=False), LOGIN._replace(address=SERVER)),
        row("a peer, where it may", replace(POLICY, never_own=False, never=Networks()), LOGIN._replace(address=PEER)),
        row("a trusted proxy", replace(POLICY, trusted_proxies=Networks(("198.51.100.7",))), LOGIN._replace(via=PEER)),
        row("no local address logged", POLICY, LOGIN._replace(local_address=None)),
        row(
            "another service, where it is listed", replace(POLICY, services=frozenset({"submission"})), LOGIN._replace(service="submission")
        ),
    ],
)
def test_others_are_granted(policy: Policy, login: Login) -> None:
    found = decide(policy, login)
    assert isinstance(found, Grant)
    assert (login.address, NOW + policy.grace_seconds) == (found.address, found.expires_at)


# rules

SHORT, LONG, REFUSE = Rule(grace_seconds=60.0), Rule(grace_seconds=7200.0), Rule()
OFFICE = Networks(("192.0.2.0/27", "2001:db8::/32"))


def outcome(policy: Policy, login: Login) -> float | Refusal:
    """For how long, or why not."""
    found = decide(policy, login)
    return found if isinstance(found, Refusal) else found.expires_at - NOW


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        row("none", (), 1800.0),
        row("one that matches", (SHORT,), 60.0),
        row("the first of two", (SHORT, LONG), 60.0),
        row("the first of two, the other way round", (LONG, SHORT), 7200.0),
        row("a refusal first", (REFUSE, LONG), Refusal.RULE),
        row("a refusal last", (LONG, REFUSE), 7200.0),
        row("the second, where the first does not match", (replace(REFUSE, servers=frozenset({"uw"})), LONG), 7200.0),
        row("none that matches", (replace(REFUSE, servers=frozenset({"uw"})),), 1800.0),
    ],
)
def test_the_first_rule_that_matches_decides(rules: tuple[Rule, ...], expected: float | Refusal) -> None:
    assert expected == outcome(replace(POLICY, rules=rules), LOGIN)


@pytest.mark.parametrize(
    ("rule", "login", "matches"),
    [
        row("no condition", Rule(), LOGIN, True),
        row("service", Rule(services=frozenset({"imap", "submission"})), LOGIN, True),
        row("another service", Rule(services=frozenset({"pop3"})), LOGIN, False),
        row("server", Rule(servers=frozenset({"uw", "dovecot"})), LOGIN, True),
        row("another server", Rule(servers=frozenset({"uw"})), LOGIN, False),
        row("network", Rule(networks=OFFICE), LOGIN, True),
        row("network, IPv6", Rule(networks=OFFICE), LOGIN._replace(address=pack("2001:db8::10")), True),
        row("beside the network", Rule(networks=OFFICE), LOGIN._replace(address=pack("192.0.2.32")), False),
        row("user", Rule(users=users(["eve", "bob"])), LOGIN, True),
        row("user, in another case", Rule(users=users(["BOB"])), LOGIN._replace(user="Bob"), True),
        row("user, a pattern", Rule(users=users(["*@example.org"])), LOGIN._replace(user="bob@EXAMPLE.org"), True),
        row("user, any one character", Rule(users=users(["b?b"])), LOGIN, True),
        row("user, one of some characters", Rule(users=users(["[abc]ob"])), LOGIN, True),
        row("user, the whole of it", Rule(users=users(["bo"])), LOGIN, False),
        row("user, no regular expression", Rule(users=users(["b.b", "bob|eve", ".*"])), LOGIN, False),
        row("user, a line feed escaped", Rule(users=users(["*x"])), LOGIN._replace(user="a\\nx"), True),
        row("all of them", Rule(frozenset({"imap"}), frozenset({"dovecot"}), OFFICE, users(["b*"])), LOGIN, True),
        row("all but the service", Rule(frozenset({"pop3"}), frozenset({"dovecot"}), OFFICE, users(["b*"])), LOGIN, False),
        row("all but the server", Rule(frozenset({"imap"}), frozenset({"uw"}), OFFICE, users(["b*"])), LOGIN, False),
        row("all but the network", Rule(frozenset({"imap"}), frozenset({"dovecot"}), Networks(("::/0",)), users(["b*"])), LOGIN, False),
        row("all but the user", Rule(frozenset({"imap"}), frozenset({"dovecot"}), OFFICE, users(["e*"])), LOGIN, False),
    ],
)
def test_a_rule_matches_where_each_of_its_parts_does(rule: Rule, login: Login, matches: bool) -> None:
    assert (Refusal.RULE if matches else 1800.0) == outcome(replace(POLICY, rules=(rule,)), login)


@pytest.mark.parametrize(
    ("rules", "service", "expected"),
    [
        row("by its name", (replace(SHORT, services=frozenset({"submission"})),), "submission", 60.0),
        row("by the name of another", (replace(SHORT, services=frozenset({"managesieve"})),), "submission", Refusal.SERVICE),
        row("without a name: policy.services", (SHORT,), "submission", Refusal.SERVICE),
        row("without a name: policy.services, which has it", (SHORT,), "pop3", 60.0),
        row("refused by its name", (replace(REFUSE, services=frozenset({"submission"})),), "submission", Refusal.RULE),
        row("a user's without a name", (replace(SHORT, users=users(["bob"])),), "submission", Refusal.SERVICE),
    ],
)
def test_a_rule_opens_a_service_only_by_its_name(rules: tuple[Rule, ...], service: str, expected: float | Refusal) -> None:
    assert expected == outcome(replace(POLICY, rules=rules), LOGIN._replace(service=service))


@pytest.mark.parametrize("rule", [row("a grace", LONG), row("a refusal", REFUSE)])
@pytest.mark.parametrize(
    ("changes", "login", "expected"),
    [
        row("never network", {}, LOGIN._replace(address=pack("198.51.100.1")), Refusal.NEVER_NETWORK),
        row("the server's own address", {}, LOGIN._replace(address=SERVER), Refusal.OWN_ADDRESS),
        row("a peer's address", {}, LOGIN._replace(address=PEER), Refusal.OWN_ADDRESS),
        row("proxied", {"proxied": False}, LOGIN._replace(proxied=True), Refusal.PROXIED),
        row("a proxy that is not trusted", {}, LOGIN._replace(via=PEER), Refusal.UNTRUSTED_PROXY),
        row("session end", {}, LOGIN._replace(session_end=True), Refusal.SESSION_END),
    ],
)
def test_no_rule_overrides_what_never_counts(rule: Rule, changes: dict[str, bool], login: Login, expected: Refusal) -> None:
    assert expected == outcome(replace(POLICY, rules=(rule,), **changes), login)  # type: ignore[arg-type]


@pytest.mark.parametrize(("hold_max_seconds", "holds"), [(0.0, False), (1.0, True)])
def test_grants_are_held_where_a_longest_time_is_named(hold_max_seconds: float, holds: bool) -> None:
    assert holds == replace(POLICY, hold_max_seconds=hold_max_seconds).holds
