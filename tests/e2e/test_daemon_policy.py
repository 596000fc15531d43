"""What the running daemon makes of its policy: networks, rules, limits, senders, `always`; and what it does not believe."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.deadline import wait_until
from tests.running import LOGIN, A, B, C, D, Site, log_in, send

PROMPT_SECONDS = 3.0  # for what takes a second on an idle machine
UW_CLIENT = "198.51.100.5"
UW = f"<22>Nov 22 10:09:49 mail1 imapd[80]: Login user=alice host=client.example.net [{UW_CLIENT}]"
UNESCAPED = "refused: logins of a server that does not escape line feeds"


RULES = f"""
[[policy.rule]]
user = ["Test-*"]
refuse = true
[[policy.rule]]
service = ["pop3", "submission"]
networks = ["{A}/32", "{B}/32"]
grace_seconds = 3
"""
LIMITS = "max_addresses_per_user = 2\nmax_addresses_per_ipv6_64 = 1"
NOT_ESCAPING = '[[listen.source]]\npeers = ["127.0.0.1"]\nescapes = false\n'


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon with nothing special in its policy. Its tests, as those of `strict`, use addresses of their own."""
    yield from running(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon with rules, limits, and a peer that does not escape."""
    yield from running(tmp_path_factory.mktemp("strict"), LIMITS, RULES + NOT_ESCAPING)


def running(directory: Path, policy: str = "", more: str = "") -> Iterator[Site]:
    site = Site(directory)
    site.configure(within(site.text, "policy", policy) + more)
    site.start()
    yield site
    site.appliance.stop()


def within(text: str, section: str, more: str) -> str:
    """The configuration with more lines at the beginning of a section."""
    return text.replace(f"[{section}]", f"[{section}]\n{more}")


def counted(site: Site, **expected: int) -> None:
    """Wait until /metrics says so of outcomes; it follows within a second."""
    names = {f"outcomes_total {outcome}": value for outcome, value in expected.items()}
    wait_until(lambda: names.items() <= site.figures().items(), f"{names}")


# networks


def test_files_of_never_networks_are_reread_at_sighup_and_a_bad_one_changes_nothing(site: Site) -> None:
    listed = site.directory / "never"
    listed.write_text("# carrier NAT\n198.51.100.2\n")
    site.configure(within(site.text, "policy", f'never_networks_files = ["{listed}"]'))
    text = (site.directory / "syslogauth.toml").read_text()
    site.start()
    log_in(site.udp, A, B)
    site.holds(A)
    counted(site, grant=1, never_network=1)

    listed.write_text("198.51.100.3  # the library's\n2001:db8::/32\n")
    log_in(site.udp, C)  # nobody has said that the file has changed
    site.holds(A, C)
    site.appliance.adopt(text)
    log_in(site.udp, B, D)
    site.holds(A, B, C)
    counted(site, grant=3, never_network=2)

    listed.write_text("198.51.100.0/24\n198.51.100.300\n")
    site.reload(text)
    assert f"policy.never_networks_files: {listed}: line 2: '198.51.100.300'" in site.appliance.said()
    assert "reload refused; the old configuration stays" in site.appliance.said()
    assert 0 == site.figures()["config_last_reload_successful"]
    log_in(site.udp, D, "198.51.100.4")
    site.holds(A, B, C, "198.51.100.4")
    counted(site, grant=4, never_network=3)


def test_a_denied_network_leaves_the_map_at_once_and_is_back_when_the_denial_is_lifted(plain: Site) -> None:
    inside, outside = ["192.0.2.2", "192.0.2.255"], ["192.0.1.255", "192.0.3.0"]
    log_in(plain.udp, *inside, *outside)
    shows(plain, *inside, *outside)
    prompt(plain, "deny", "192.0.2.0/24", shown=outside, hidden=inside)
    log_in(plain.udp, *inside, "192.0.2.3", "192.0.3.1")
    shows(plain, *outside, "192.0.3.1", hidden=(*inside, "192.0.2.3"))
    wait_until(lambda: plain.figures()["grants_total denied"] == 3, "the three to be counted")
    prompt(plain, "deny", "192.0.2.0/24", "--seconds", "0", shown=[*inside, *outside, "192.0.3.1"], hidden=["192.0.2.3"])


def shows(site: Site, *shown: str, hidden: Sequence[str] = ()) -> None:
    """Wait until these keys are in the map, and those are not."""

    def looks_so() -> bool:
        keys = site.keys()
        return keys.issuperset(shown) and keys.isdisjoint(hidden)

    wait_until(looks_so, f"{shown} in the map, {hidden} not")


def prompt(site: Site, *command: str, shown: Sequence[str], hidden: Sequence[str]) -> None:
    """What a command does shows in the map at once."""
    answer = site.appliance.ask(*command)
    assert 0 == answer.returncode, answer.stderr
    began = time.monotonic()
    shows(site, *shown, hidden=hidden)
    assert time.monotonic() - began <= PROMPT_SECONDS


def test_who_may_always_relay_is_in_the_map_from_the_start_until_a_reload_without_him(site: Site) -> None:
    blocks = [f'[[policy.always]]\naddress = "{address}"\ncomment = "a copier"\n' for address in (A, B, D)]
    site.configure(site.text + "".join(blocks))
    site.start()
    site.holds(A, B, D)
    log_in(site.udp, B, C)
    site.holds(A, B, C, D)
    site.reload(site.text + blocks[2])
    site.holds(B, C, D)  # one of them has logged in as well
    site.reload(site.text)
    site.holds(B, C)


# rules and limits


def test_the_first_rule_that_fits_refuses_or_gives_its_own_grace(strict: Site) -> None:
    log_in(strict.udp, "198.51.100.9", service="pop3", user="tEST-7")
    log_in(strict.udp, A, C, service="pop3", user="alice")
    log_in(strict.udp, B, service="submission", user="bob")
    log_in(strict.udp, "198.51.100.8", service="submission", user="bob")  # no rule opens it for this one
    log_in(strict.udp, "198.51.100.7", user="bob")
    shows(strict, A, B, C, "198.51.100.7", hidden=["198.51.100.8", "198.51.100.9"])
    graces = {entry["address"]: round(entry["expires_at"] - entry["granted_at"]) for entry in strict.appliance.listed()}
    assert {A: 3, B: 3, C: 1800, "198.51.100.7": 1800} == {A: 3, B: 3} | graces  # the short ones may be over by now
    shows(strict, C, "198.51.100.7", hidden=[A, B])
    counted(strict, rule=1, service=1)


def test_a_users_addresses_and_those_of_a_network_are_limited_and_what_is_beyond_is_counted(strict: Site) -> None:
    log_in(strict.udp, "192.0.2.11", "192.0.2.12", "192.0.2.13", user="mallory")
    log_in(strict.udp, "2001:db8::25", user="erin")
    log_in(strict.udp, "2001:db8::26", user="frank")
    names = {"grants_total user_limit": 1, "grants_total prefix_limit": 1}
    wait_until(lambda: names.items() <= strict.figures().items(), f"{names}")
    log_in(strict.udp, "192.0.2.13", user="grace")  # the address is not to blame
    shows(strict, "192.0.2.11", "192.0.2.12", "192.0.2.13", "ipv6:2001:db8:0:0:0:0:0:25", hidden=["ipv6:2001:db8:0:0:0:0:0:26"])
    (entry,) = [entry for entry in strict.appliance.listed() if entry["address"] == "192.0.2.13"]
    assert "grace" == entry["user"]


# what is not believed


def test_a_sender_declared_not_to_escape_line_feeds_is_not_believed_for_uw_and_the_log_says_so_once(strict: Site, plain: Site) -> None:
    for refused in (1, 2):  # in two beats of the receiver
        send(strict.udp, UW)
        counted(strict, unescaped_source=refused)
    log_in(strict.udp, "198.51.100.6", user="judy")
    shows(strict, "198.51.100.6", hidden=[UW_CLIENT])
    assert 1 == strict.appliance.said().count(UNESCAPED)
    send(plain.udp, UW)
    shows(plain, UW_CLIENT)
    assert 0 == plain.appliance.said().count(UNESCAPED)


def test_a_login_of_two_lines_is_joined_on_one_host_alone(plain: Site) -> None:
    first, second = "Session from {}", "Authentication passed for {}"
    popa3d(plain, ("mail1", first.format(A)), ("mail2", first.format(B)), ("mail3", second.format("carol")))
    popa3d(plain, ("mail2", second.format("bob")), ("mail1", second.format("alice")), ("mail1", second.format("mallory")))
    shows(plain, A, B)
    counted(plain, connected=2, unjoined=2)
    assert {(A, "mail1", "alice"), (B, "mail2", "bob")} == {
        (entry["address"], entry["hostname"], entry["user"]) for entry in plain.appliance.listed() if entry["server"] == "popa3d"
    }


def popa3d(site: Site, *lines: tuple[str, str]) -> None:
    """Lines of (hostname, text), all of the same process id."""
    send(site.udp, *(f"<22>Nov 22 10:09:49 {hostname} popa3d[7]: {text}" for hostname, text in lines))


def test_lines_that_a_server_writes_otherwise_than_it_did_grant_nothing_and_are_counted(plain: Site) -> None:
    usual = LOGIN.format(service="imap", user="alice", address=C)
    changed = [
        usual.replace(was, now) for was, now in (("Login: ", "Login succeeded: "), ("rip=", "remote="), (", mpid", ", country=AT, mpid"))
    ]
    assert usual not in changed
    send(plain.udp, *changed)
    log_in(plain.udp, "198.51.100.4")
    shows(plain, "198.51.100.4", hidden=[C])
    wait_until(lambda: plain.figures().get("unrecognised_total dovecot") == 3, "the three to be counted")
