"""`deny` of networks, and what the other commands say of it."""

import json

import pytest

from tests.site import A, B, C, Site

NETWORK = "198.51.100.0/24"


def test_a_network_is_denied_listed_and_lifted(site: Site) -> None:
    site.log_in(A, B, C)
    assert f"{NETWORK} is denied for 60 s\n" == site.ask("deny", NETWORK, "--seconds", "60").stdout
    assert [1, 1, 0] == [site.ask("test", address).returncode for address in (A, B, C)]
    listed = site.ask("list").stdout.splitlines()
    assert [C, "denied"] == [line.split()[0] for line in listed[1:]]
    assert listed[-1].startswith(f"denied {NETWORK} for ")
    assert f"{NETWORK} is no longer denied\n" == site.ask("deny", NETWORK, "--seconds", "0").stdout
    assert [{"verb": "deny", "network": NETWORK, "seconds": seconds} for seconds in (60.0, 0.0)] == [
        {name: value for name, value in line.items() if name not in ("at", "who")} for line in site.audited()
    ]
    assert 0 == site.ask("test", A).returncode


def test_show_says_which_denial_it_is(site: Site) -> None:
    site.log_in(A)
    site.ask("deny", NETWORK)
    site.ask("deny", A, "--seconds", "60")
    known = json.loads(site.ask("show", A, "--json").stdout)
    assert (NETWORK, False) == (known["denied_by"], known["live"])
    done = site.ask("show", B)  # of which nothing else is known
    assert 0 == done.returncode
    assert f"denied_by  {NETWORK}" in done.stdout
    assert "denied_until  for ever" in done.stdout
    site.ask("deny", NETWORK, "--seconds", "0")
    assert A == json.loads(site.ask("show", A, "--json").stdout)["denied_by"]
    assert json.loads(site.ask("show", B, "--json").stdout)["denied_by"] is None


def test_who_lifts_the_denial_of_an_address_is_told_of_its_network(site: Site) -> None:
    site.ask("deny", NETWORK)
    site.ask("deny", A)
    expected = f"{A} is no longer denied by itself, but it is in {NETWORK}, which is\n"
    assert expected == site.ask("deny", A, "--seconds", "0").stdout


def test_a_grant_in_a_denied_network_says_what_to_lift(site: Site) -> None:
    site.ask("deny", NETWORK)
    done = site.ask("grant", A)
    assert (1, f"syslogauth: {A} is denied with {NETWORK}; lift that first: syslogauth deny {NETWORK} --seconds 0\n") == (
        done.returncode,
        done.stderr,
    )


def test_list_of_a_network_shows_the_denials_that_touch_it(site: Site) -> None:
    for denied in (NETWORK, "198.51.0.0/16", "198.51.100.128/25", "203.0.113.0/24", "2001:db8::/32", A):
        site.ask("deny", denied)
    rows = site.ask("list", "--network", NETWORK).stdout.splitlines()[1:]
    assert {A, NETWORK, "198.51.0.0/16", "198.51.100.128/25"} == {row.split()[1] for row in rows}


def test_an_ipv4_mapped_network_is_one_of_ipv4(site: Site) -> None:
    assert f"{NETWORK} is denied\n" == site.ask("deny", "::ffff:198.51.100.0/120").stdout
    assert f"{A} is denied\n" == site.ask("deny", f"::ffff:{A}/128").stdout


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("198.51.100.1/24", "deny: 198.51.100.1/24 has bits set behind its prefix; write 198.51.100.0/24"),
        ("2001:db8::1/32", "deny: 2001:db8::1/32 has bits set behind its prefix; write 2001:db8::/32"),
        ("198.51.100.0/33", "deny: '198.51.100.0/33' does not appear to be an IPv4 or IPv6 network; write one such as 192.0.2.0/24"),
        ("here/24", "deny: 'here/24' does not appear to be an IPv4 or IPv6 network; write one such as 192.0.2.0/24"),
    ],
)
def test_what_is_no_network_is_one_clear_line(site: Site, written: str, complaint: str) -> None:
    done = site.ask("deny", written)
    assert (64, "", f"syslogauth: {complaint}\n") == (done.returncode, done.stdout, done.stderr)
