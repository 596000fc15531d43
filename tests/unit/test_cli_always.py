"""What the commands say of an address that policy.always lists."""

import json

import pytest

from tests.site import PACKED, A, B, C, Site


@pytest.fixture
def site(site: Site) -> Site:
    always = "".join(
        f'[[policy.always]]\naddress = "{address}"\ncomment = "{comment}"\n' for address, comment in ((A, "the office"), (C, ""))
    )
    site.config.write_text(site.text + always)
    table = site.table()
    table.keep_always({PACKED[A]: "the office", PACKED[C]: ""})
    table.close()
    return site


def test_it_may_relay(site: Site) -> None:
    assert [0, 1, 0] == [site.ask("test", address).returncode for address in (A, B, C)]
    site.ask("deny", A)
    assert 1 == site.ask("test", A).returncode


def test_list_shows_it_with_its_comment(site: Site) -> None:
    site.log_in(B, C)
    rows = json.loads(site.ask("list", "--json").stdout)
    assert {A: ("always", "the office", ""), B: ("login", None, "alice"), C: ("always", "", "alice")} == {
        row["address"]: (row["kind"], row.get("comment"), row["user"]) for row in rows
    }
    assert {None} == {row["seconds_left"] for row in rows if row["kind"] == "always"}
    shown = next(line for line in site.ask("list").stdout.splitlines() if line.startswith(A))
    assert [A, "-", "always", "-", "-", "0", "-", "the", "office"] == shown.split()
    assert [B, C] == [row["address"] for row in json.loads(site.ask("list", "--json", "--user", "alice").stdout)][::-1]
    assert [A] == [row["address"] for row in json.loads(site.ask("list", "--json", "--network", f"{A}/32").stdout)]


def test_show_says_so(site: Site) -> None:
    known = json.loads(site.ask("show", A, "--json").stdout)
    assert (True, "always", "the office") == (known["live"], known["kind"], known["comment"])
    assert 0 == site.ask("show", C).returncode


def test_it_is_not_revoked_but_denied(site: Site) -> None:
    done = site.ask("revoke", A)
    expected = f"syslogauth: {A} is in policy.always, which no revocation ends; take it out there, or: syslogauth deny {A}\n"
    assert (64, "", expected) == (done.returncode, done.stdout, done.stderr)
    assert f"{A} is denied\n" == site.ask("deny", A).stdout


def test_a_flush_leaves_it_and_says_so(site: Site) -> None:
    site.log_in(A, B)
    assert "2 grants removed; denials stay, and so do 2 addresses of policy.always\n" == site.ask("flush", "--yes").stdout
    assert [0, 1] == [site.ask("test", address).returncode for address in (A, B)]


def test_stats_count_it(site: Site) -> None:
    site.log_in(B, C)
    live = json.loads(site.ask("stats", "--count", "--json").stdout)["live"]
    always, login = {"kind": "always", "server": "", "service": ""}, {"kind": "login", "server": "dovecot", "service": "imap"}
    assert {"all": 3, "by": [always | {"count": 2}, login | {"count": 1}]} == live


def test_the_map_has_it_and_a_check_wants_it(site: Site) -> None:
    site.log_in(B)
    assert 0 == site.ask("export").returncode
    done = site.ask("export", "--check")
    assert (0, "3 keys, each of them found, none besides") == (done.returncode, done.stdout.partition(": ")[2].partition(" (")[0])
