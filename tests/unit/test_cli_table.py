"""`test`, `list`, `show`, `grant`, `revoke`, `deny`, `flush`: each a process of its own, with no daemon running."""

import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from syslogauth.core.login import Grant
from tests.appliance import clean_environment
from tests.needs import need
from tests.site import A, B, C, Site, ask, nobody

# test


def test_test_is_silent_and_says_0_or_1(site: Site) -> None:
    site.log_in(A, C)
    site.log_in(B, ago=1801)
    assert [(0, "", ""), (1, "", ""), (0, "", ""), (0, "", ""), (1, "", "")] == [
        (done.returncode, done.stdout, done.stderr)
        for address in (A, B, C, f"::ffff:{A}", "203.0.113.1")
        if (done := site.ask("test", address))
    ]


def test_test_imports_nothing_that_it_can_do_without(site: Site) -> None:
    """fail2ban asks it for every ban: each of these would cost it milliseconds."""
    program = (
        "import sys; from syslogauth import cli; code = cli.main(sys.argv[1:]);"
        "print(code, *{'syslogauth.table', 'syslogauth.config', 'syslogauth.core', 'hashlib', 'dataclasses', 'pathlib'} & {*sys.modules})"
    )
    words = [sys.executable, "-S", "-c", program, "test", "--config", str(site.config), A]
    environment = clean_environment() | {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    assert "1\n" == subprocess.run(words, capture_output=True, text=True, check=True, timeout=30, env=environment).stdout


@pytest.mark.parametrize("damage", ["no state directory", "no table", "empty files", "zeros", "noise", "truncated", "another version"])
def test_test_says_69_where_it_cannot_be_told(bare: Site, damage: str) -> None:
    data = bare.state / "table" / "data.mdb"
    if damage != "no state directory":
        bare.make()
        bare.log_in(A, B, C)
    match damage:
        case "no table":
            shutil.rmtree(bare.state / "table")
        case "empty files":
            data.write_bytes(b"")
        case "zeros":
            data.write_bytes(bytes(data.stat().st_size))
        case "noise":
            data.write_bytes(b"\xa5" * data.stat().st_size)
        case "truncated":
            os.truncate(data, 4096)
        case "another version":
            content = data.read_bytes()
            at = content.rindex(b"\x04imap\x07dovecot") - 30
            assert b"\1\0" == content[at : at + 2]
            data.write_bytes(content.replace(content[at : at + 10], b"\2" + content[at + 1 : at + 10]))
    codes = {site_ask.returncode for address in (A, B, C) if (site_ask := bare.ask("test", address))}
    assert codes == {69}


@pytest.mark.parametrize(("verb", "code"), [("list", 77), ("show", 77), ("test", 69), ("stats", 77), ("revoke", 77)])
def test_a_table_that_this_user_may_not_read_is_77_and_69_to_fail2ban(site: Site, verb: str, code: int) -> None:
    need("root")
    site.log_in(A)
    for folder in (site.directory, *site.directory.parents):
        if folder.stat().st_uid == 0 and folder != Path("/") and folder.parent != Path("/"):
            folder.chmod(0o755)
    os.chown(site.state, *nobody())  # root gives way to the directory's owner, who may not read root's table
    words = [A] if verb in ("show", "test", "revoke") else []
    done = site.ask(verb, *words)
    assert (code, 1) == (done.returncode, len(done.stderr.splitlines()))


# list and show


def test_list_shows_who_may_relay_and_who_is_denied(site: Site) -> None:
    site.log_in(A, C)
    site.log_in(B, ago=1801)
    site.ask("deny", "203.0.113.7")
    done = site.ask("list")
    rows = done.stdout.splitlines()
    assert [C, A, "denied"] == [row.split()[0] for row in rows[1:]]
    assert "denied 203.0.113.7 for ever" == rows[-1]
    assert ["imap", "dovecot", "1", "mail1", "alice"] == rows[2].split()[3:]


def test_list_in_json_by_user_and_by_network(site: Site) -> None:
    site.log_in(A, C)
    site.log_in(B, user="bob")
    everything = json.loads(site.ask("list", "--json").stdout)
    assert {A, B, C} == {row["address"] for row in everything}
    row = next(row for row in everything if row["address"] == B)
    assert ("login", 1, "imap", "dovecot", "bob", "mail1", "127.0.0.0/8") == tuple(
        row[name] for name in ("kind", "count", "service", "server", "user", "hostname", "peer")
    )
    assert 1790 < row["seconds_left"] <= 1800
    for words, expected in (
        (("--user", "bob"), {B}),
        (("--user", "nobody"), set()),
        (("--network", "198.51.100.0/31"), {A}),
        (("--network", "198.51.100.2"), {B}),
        (("--network", "198.51.100.77/24"), {A, B}),
        (("--network", "2001:db8::/32"), {C}),
        (("--network", "198.51.100.0/24", "--user", "alice"), {A}),
    ):
        assert expected == {row["address"] for row in json.loads(site.ask("list", "--json", *words).stdout)}


def test_list_by_user_shows_who_is_at_most_addresses_first(site: Site) -> None:
    site.log_in(A, user="bob")
    site.log_in(B, C)
    site.log_in(B)
    site.ask("grant", "203.0.113.7", "--note", "alice")  # a note is no user
    done = site.ask("list", "--by-user", "--json")
    assert [{"user": "alice", "addresses": 2, "logins": 3}, {"user": "bob", "addresses": 1, "logins": 1}] == json.loads(done.stdout)
    done = site.ask("list", "--by-user", "--network", "198.51.100.0/24")
    assert ["ADDRESSES LOGINS USER", "1 1 bob", "1 2 alice"] == [" ".join(line.split()) for line in done.stdout.splitlines()]


def test_list_of_one_user_says_nothing_of_denied_addresses(site: Site) -> None:
    site.log_in(A)
    site.ask("deny", B)
    assert "denied" not in site.ask("list", "--user", "alice").stdout


def test_a_reader_that_has_seen_enough_is_no_error(site: Site) -> None:
    table = site.table()
    now = time.time()
    table.commit([Grant(n.to_bytes(4), now + 1800, now, "imap", "dovecot", "u" * 200, "h", "p") for n in range(1, 900)], now)
    table.close()
    command = [sys.executable, "-m", "syslogauth", "list", "--config", str(site.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()) as listing:
        assert listing.stdout
        assert listing.stderr
        listing.stdout.readline()
        listing.stdout.close()
        assert b"" == listing.stderr.read()
    assert 0 == listing.returncode


def test_show_tells_all_of_an_address_and_1_where_nothing_is_known(site: Site) -> None:
    site.log_in(A)
    done = site.ask("show", A, "--json")
    known = json.loads(done.stdout)
    assert (0, A, True, "alice", None) == (done.returncode, known["address"], known["live"], known["user"], known["denied_until"])
    done = site.ask("show", B)
    assert (1, "") == (done.returncode, done.stderr)
    site.ask("deny", B)
    done = site.ask("show", B)
    assert 0 == done.returncode
    assert "denied_until  for ever" in done.stdout
    assert "live  false" in done.stdout


# grant, revoke, deny, flush


def test_changes_are_made_and_audited(site: Site) -> None:
    began = int(time.time())
    site.log_in(C)
    assert f"{A} may relay for 3600 s\n" == site.ask("grant", A, "--seconds", "3600", "--note", "the office").stdout
    assert 0 == site.ask("test", A).returncode
    assert f"{B} is denied for 60 s\n" == site.ask("deny", B, "--seconds", "60").stdout
    assert f"{A} may no longer relay\n" == site.ask("revoke", f"::ffff:{A}").stdout
    assert f"{A} had no grant; what is on its way is void\n" == site.ask("revoke", A).stdout
    assert "1 grants removed; denials stay\n" == site.ask("flush", "--yes").stdout
    assert f"{B} is no longer denied\n" == site.ask("deny", B, "--seconds", "0").stdout
    lines = site.audited()
    assert [
        {"verb": "grant", "address": A, "seconds": 3600.0, "note": "the office"},
        {"verb": "deny", "address": B, "seconds": 60.0},
        {"verb": "revoke", "address": A},
        {"verb": "revoke", "address": A},
        {"verb": "flush", "removed": 1},
        {"verb": "deny", "address": B, "seconds": 0.0},
    ] == [{name: value for name, value in line.items() if name not in ("at", "who")} for line in lines]
    assert {pwd.getpwuid(os.getuid()).pw_name} == {line["who"] for line in lines}
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)) <= str(lines[0]["at"])
    assert 0o640 == (site.state / "audit.log").stat().st_mode & 0o7777


def test_the_one_behind_sudo_is_the_one_who_did_it(site: Site) -> None:
    site.ask("revoke", A, environment={"SUDO_USER": "carol"})
    assert f"carol as {pwd.getpwuid(os.getuid()).pw_name}" == site.audited()[0]["who"]


def test_a_grant_without_seconds_runs_as_long_as_a_login(site: Site) -> None:
    site.ask("grant", A)
    (row,) = json.loads(site.ask("list", "--json").stdout)
    assert "manual" == row["kind"]
    assert 1790 < row["seconds_left"] <= 1800


def test_a_denial_beats_a_grant(site: Site) -> None:
    site.log_in(A)
    site.ask("deny", A)
    assert 1 == site.ask("test", A).returncode
    done = site.ask("grant", A)
    assert (1, "") == (done.returncode, done.stdout)
    assert f"syslogauth: {A} is denied; lift that first: syslogauth deny {A} --seconds 0\n" == done.stderr
    site.ask("deny", A, "--seconds", "0")
    assert 0 == site.ask("test", A).returncode


def test_a_denial_for_longer_than_time_is_one_for_ever(site: Site) -> None:
    assert 0 == site.ask("deny", A, "--seconds", "inf").returncode
    assert "denied 198.51.100.1 for ever" in site.ask("list").stdout


def test_a_note_in_bytes_of_another_encoding_is_taken(site: Site) -> None:
    done = ask(["grant", "--config", str(site.config), A, "--note", b"B\xfcro"])
    assert 0 == done.returncode
    assert "B?ro" in site.ask("list").stdout


def test_a_note_with_a_control_character_is_refused(site: Site) -> None:
    done = site.ask("grant", A, "--note", "a\nb\x1b[31m")
    assert (64, "syslogauth: --note: holds a control character; write plain text\n") == (done.returncode, done.stderr)


def test_a_change_without_a_daemon_says_that_the_maps_stay(site: Site) -> None:
    for words in (("grant", A), ("deny", A), ("revoke", A), ("flush", "--yes")):
        expected = "the daemon does not run: the maps stay as they are until it does, or until: syslogauth export\n"
        assert expected == site.ask(*words).stderr


def test_changes_need_a_state_directory(bare: Site) -> None:
    for words in (("grant", A), ("revoke", A), ("deny", A), ("flush", "--yes"), ("list",), ("stats",), ("export",)):
        done = bare.ask(*words)
        expected = f"syslogauth: {bare.state}: does not exist; start the daemon once, or name another with --config\n"
        assert (69, expected) == (done.returncode, done.stderr)
