"""What the running daemon makes of its policy: networks, rules, limits, senders, `always`; and what it does not believe."""

import time
from collections.abc import Iterator, Sequence

import pytest

from tests.deadline import wait_until
from tests.running import LOGIN, A, B, C, D, Site, log_in, send

PROMPT_SECONDS = 3.0  # for what takes a second on an idle machine
UW = "<22>Nov 22 10:09:49 mail1 imapd[80]: Login user=alice host=client.example.net [{address}]"
UNESCAPED = "refused: logins of a server that does not escape line feeds"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon with nothing special in its policy, whose tests use addresses of their own."""
    site = Site(tmp_path_factory.mktemp("plain"))
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
    """Wait until these addresses of IPv4 are in the map, and those are not."""

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


def test_the_first_rule_that_fits_refuses_or_gives_its_own_grace(site: Site) -> None:
    rules = f"""
[[policy.rule]]
user = ["Test-*"]
refuse = true
[[policy.rule]]
service = ["pop3", "submission"]
networks = ["{A}/32", "{B}/32"]
grace_seconds = 3
"""
    site.configure(site.text + rules)
    site.start()
    log_in(site.udp, "198.51.100.9", service="pop3", user="tEST-7")
    log_in(site.udp, A, C, service="pop3")
    log_in(site.udp, B, service="submission")
    log_in(site.udp, C, service="submission")  # no rule opens it for this one
    log_in(site.udp, D)
    site.holds(A, B, C, D)
    counted(site, grant=4, rule=1, service=1)
    graces = {entry["address"]: round(entry["expires_at"] - entry["granted_at"]) for entry in site.appliance.listed()}
    assert {A: 3, B: 3, C: 1800, D: 1800}.items() >= graces.items()
    site.holds(C, D)


def test_a_users_addresses_and_those_of_a_network_are_limited_and_what_is_beyond_is_counted(site: Site) -> None:
    limits = "max_addresses_per_user = 2\nmax_addresses_per_ipv6_64 = 1\nmax_new_grants_per_minute = 4"
    site.configure(within(site.text, "policy", limits))
    site.start()
    log_in(site.udp, A, B, C)
    site.holds(A, B)
    log_in(site.udp, A, B)
    log_in(site.udp, D, user="bob")
    log_in(site.udp, "2001:db8::26", user="carol")
    log_in(site.udp, C, user="dave")
    site.holds(A, B, C, D)
    log_in(site.udp, "198.51.100.4", user="eve")
    expected = {"new": 4, "refreshed": 2, "user_limit": 1, "prefix_limit": 1, "rate_limit": 1, "full": 0}
    names = {f"grants_total {kind}": value for kind, value in expected.items()}
    wait_until(lambda: names.items() <= site.figures().items(), f"{names}")
    assert frozenset((A, B, C, "ipv6:2001:db8:0:0:0:0:0:25")) == site.keys()


# what is not believed


def test_a_sender_declared_not_to_escape_line_feeds_is_not_believed_for_uw_and_the_log_says_so_once(site: Site) -> None:
    block = '[[listen.source]]\npeers = ["127.0.0.1"]\nescapes = {}\n'
    site.configure(site.text + block.format("false"))
    site.start()
    for refused in (1, 2):  # in two beats of the receiver
        send(site.udp, UW.format(address=A))
        counted(site, unescaped_source=refused)
    log_in(site.udp, B)
    site.holds(B)
    assert 1 == site.appliance.said().count(UNESCAPED)
    site.appliance.adopt(site.text + block.format("true"))
    send(site.udp, UW.format(address=A))
    site.holds(A, B)
    counted(site, unescaped_source=2, grant=2)
    assert 1 == site.appliance.said().count(UNESCAPED)


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
