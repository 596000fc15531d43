"""Each command as a process of its own, on a private state directory, with no daemon running."""

import gzip
import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from syslogauth.core.login import Grant
from syslogauth.exports import hash9
from syslogauth.record import Bounds
from syslogauth.table import Table
from tests.appliance import clean_environment, configuration
from tests.needs import need

A, B, C = "198.51.100.1", "198.51.100.2", "2001:db8::25"
PACKED = {A: bytes((198, 51, 100, 1)), B: bytes((198, 51, 100, 2)), C: bytes.fromhex("20010db8000000000000000000000025")}
LINE = "{stamp} mail1 dovecot: imap-login: Login: user=<{user}>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid=80"


class Site:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "syslogauth.toml"
        self.text = configuration(directory, udp="127.0.0.1:0", metrics="127.0.0.1:1").replace(
            "[policy]", "[policy]\nmax_addresses = 1000\nmax_manual_seconds = 7200"
        )
        self.config.write_text(self.text)
        self.state = directory / "state"
        self.map = directory / "popauth.db"

    def make(self) -> None:
        """The state directory and an empty table, as a first start leaves them."""
        self.state.mkdir(0o750)
        self.table().close()

    def table(self) -> Table:
        return Table(self.state / "table", 1000, Bounds(1800, 7200))

    def log_in(self, *addresses: str, user: str = "alice", ago: float = 0) -> None:
        table, at = self.table(), time.time() - ago
        table.commit([Grant(PACKED[a], at + 1800, at, "imap", "dovecot", user, "mail1", "127.0.0.0/8") for a in addresses], at)
        table.close()

    def ask(
        self, verb: str, *words: str, stdin: bytes = b"", environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return ask([verb, "--config", str(self.config), *words], stdin, environment)

    def audited(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.state / "audit.log").read_text().splitlines()]


def ask(words: Sequence[str | bytes], stdin: bytes = b"", environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "syslogauth", *words],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env=clean_environment() | {"TZ": "UTC"} | (environment or {}),
    )
    said, complained = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in complained, complained
    return subprocess.CompletedProcess(done.args, done.returncode, said, complained)


@pytest.fixture
def bare(tmp_path: Path) -> Site:
    """Configured, never started."""
    return Site(tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.make()
    return site


# what is not a command


@pytest.mark.parametrize(
    ("words", "last_line"),
    [
        ([], "syslogauth: the following arguments are required: VERB"),
        (["test"], "syslogauth test: the following arguments are required: ADDRESS"),
        (["test", "mail1"], "syslogauth: 'mail1' is no address; write one such as 192.0.2.25 or 2001:db8::25"),
        (["revoke", "192.0.2.256"], "syslogauth: '192.0.2.256' is no address; write one such as 192.0.2.25 or 2001:db8::25"),
        (["grant", A, "--seconds", "long"], "syslogauth grant: argument --seconds: invalid float value: 'long'"),
        (["list", "--network", "office"], None),
        (["flush"], "syslogauth: flush removes every grant: every customer must log in again; say it with --yes"),
        (["deny", A, "--seconds", "-1"], "syslogauth: --seconds -1: write 0 to lift the denial, or more"),
        (["deny", A, "--seconds", "nan"], "syslogauth: --seconds nan: write 0 to lift the denial, or more"),
        (["grant", A, "--seconds", "0"], "syslogauth: --seconds 0: write more than 0 and at most 7200 (policy.max_manual_seconds)"),
        (["grant", A, "--seconds", "7201"], "syslogauth: --seconds 7201: write more than 0 and at most 7200 (policy.max_manual_seconds)"),
        (["grant", A, "--seconds", "nan"], "syslogauth: --seconds nan: write more than 0 and at most 7200 (policy.max_manual_seconds)"),
    ],
)
def test_a_mistake_in_the_words_is_one_line_and_64(site: Site, words: list[str], last_line: str | None) -> None:
    done = ask(words, environment={"SYSLOGAUTH_CONFIG": str(site.config)})
    assert (64, "") == (done.returncode, done.stdout)
    assert last_line is None or last_line == done.stderr.splitlines()[-1]
    assert not (site.state / "audit.log").exists()


def test_an_unknown_verb_is_64_and_the_verbs_are_named() -> None:
    done = ask(["tets", A])
    assert 64 == done.returncode
    assert "'test'" in done.stderr


def test_the_version_is_told() -> None:
    from syslogauth import __version__

    assert f"syslogauth {__version__}\n" == ask(["--version"]).stdout


@pytest.mark.parametrize("verb", ["list", "show", "test", "grant", "revoke", "deny", "flush", "export", "stats", "match", "replay", "run"])
def test_every_command_takes_the_configuration_and_ends_with_78_on_a_bad_one(bare: Site, verb: str) -> None:
    bare.config.write_text("state_directory = ")
    words = {"show": [A], "test": [A], "grant": [A], "revoke": [A], "deny": [A], "flush": ["--yes"], "match": ["x"], "replay": ["-"]}
    done = bare.ask(verb, *words.get(verb, []))
    assert (78, "") == (done.returncode, done.stdout)
    assert f"{bare.config}: syntax: " in done.stderr


# check-config


def test_check_config_tells_what_a_right_file_means(bare: Site) -> None:
    done = bare.ask("check-config")
    assert (0, "") == (done.returncode, done.stderr)
    assert f"{bare.config} is right\n" in done.stdout
    assert f"to do         install -d -o syslogauth -g 0 -m 0750 {bare.state}\n" in done.stdout
    assert f"Kpopauth hash -a<OK> {bare.directory}/popauth\n" in done.stdout
    assert not bare.state.exists()


def test_check_config_tells_every_mistake_on_a_line_of_its_own(bare: Site) -> None:
    bare.config.write_text("[policy]\ngrace = 1\n[listen]\nworkers = 2\n")
    done = bare.ask("check-config")
    assert 78 == done.returncode
    expected = [f"{bare.config}: listen.workers: 2 receiving", f"{bare.config}: policy.grace: no such setting"]
    assert [True, True] == [start in line for start, line in zip(expected, done.stderr.splitlines(), strict=True)]


def test_the_environment_names_the_configuration_and_the_option_beats_it(site: Site, tmp_path: Path) -> None:
    site.log_in(A)
    other = tmp_path / "other"
    other.mkdir()
    empty = Site(other)
    empty.make()
    environment = {"SYSLOGAUTH_CONFIG": str(site.config)}
    assert 0 == ask(["test", A], environment=environment).returncode
    assert 1 == ask(["test", A, "--config", str(empty.config)], environment=environment).returncode


# test


def test_test_is_silent_and_says_0_or_1(site: Site) -> None:
    site.log_in(A, C)
    site.log_in(B, ago=1801)
    assert [(0, "", ""), (1, "", ""), (0, "", ""), (0, "", ""), (1, "", "")] == [
        (done.returncode, done.stdout, done.stderr)
        for address in (A, B, C, f"::ffff:{A}", "203.0.113.1")
        if (done := site.ask("test", address))
    ]


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


@pytest.mark.parametrize("verb", ["list", "show", "test", "stats", "revoke"])
def test_a_table_that_this_user_may_not_read_is_69(site: Site, verb: str) -> None:
    need("root")
    site.log_in(A)
    for folder in (site.directory, *site.directory.parents):
        if folder.stat().st_uid == 0 and folder != Path("/") and folder.parent != Path("/"):
            folder.chmod(0o755)
    os.chown(site.state, *nobody())  # root gives way to the directory's owner, who may not read root's table
    words = [A] if verb in ("show", "test", "revoke") else []
    done = site.ask(verb, *words)
    assert (69, 1) == (done.returncode, len(done.stderr.splitlines()))


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


# export, stats


def test_export_writes_the_map_and_check_reads_every_key_back(site: Site) -> None:
    site.log_in(A, C)
    done = site.ask("export", "--check")
    assert (66, f"syslogauth: {site.map}: does not exist; start the daemon, or run: syslogauth export\n") == (done.returncode, done.stderr)
    done = site.ask("export")
    assert (0, f"{site.map}: 2 addresses\n") == (done.returncode, done.stdout)
    assert {A.encode(), b"ipv6:2001:db8:0:0:0:0:0:25"} == hash9.read(site.map.read_bytes())
    done = site.ask("export", "--check")
    assert (0, f"{site.map}: 2 keys, each of them found, none besides (hash9)\n") == (done.returncode, done.stdout)


def test_export_check_says_what_is_wrong_with_the_map(site: Site) -> None:
    site.log_in(A, B)
    site.map.write_bytes(hash9.render({A.encode(), b"203.0.113.9"}))
    done = site.ask("export", "--check")
    assert 1 == done.returncode
    expected = [f"{site.map}: 1 keys missing, 1 too many", f"  missing: {B}", "  too many: 203.0.113.9"]
    assert expected == done.stderr.splitlines()


@pytest.mark.parametrize(("at", "bytes_"), [(0, b"\0" * 512), (4096, b"\xff" * 64), (4116, b"\xff\xff"), (4090, b"\0" * 4000), (None, b"")])
def test_export_check_of_a_damaged_map_is_65(site: Site, at: int | None, bytes_: bytes) -> None:
    site.log_in(A, B)
    image = hash9.render({A.encode(), B.encode()})
    site.map.write_bytes(image[:5000] if at is None else image[:at] + bytes_ + image[at + len(bytes_) :])
    done = site.ask("export", "--check")
    assert (65, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert str(site.map) in done.stderr


def test_export_leaves_a_file_of_another_kind_alone_and_says_73(site: Site) -> None:
    site.map.write_bytes(b"somebody's work " * 1000)
    done = site.ask("export")
    assert 73 == done.returncode
    assert "set the `format` that sendmail reads, or empty it" in done.stderr.splitlines()[-1]
    assert b"somebody's work " * 1000 == site.map.read_bytes()


def test_where_no_map_is_configured_there_is_none_to_write_or_check(site: Site) -> None:
    head, _, tail = site.text.partition("[[export]]")
    site.config.write_text("export = []\n" + head + tail[tail.index("[metrics]") :])
    assert (0, 0) == (site.ask("export").returncode, site.ask("export", "--check").returncode)


def test_stats_count_the_table_and_the_maps(site: Site) -> None:
    site.log_in(A, C)
    site.ask("grant", B)
    site.ask("deny", "203.0.113.1")
    site.ask("export")
    known = json.loads(site.ask("stats", "--json").stdout)
    assert (3, 1, 3, 2, 1) == tuple(
        known["table"][name] for name in ("entries", "denies", "live", "live login dovecot imap", "live manual")
    )
    assert site.map.stat().st_size == known["maps"][f"{site.map} bytes"]
    assert known["daemon"] is None
    assert "does not answer" in site.ask("stats").stdout


# replay


def stamped(seconds_ago: float, iso: bool = False) -> str:
    at = time.time() - seconds_ago
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00" if iso else "%b %d %H:%M:%S", time.gmtime(at))


def line(address: str, seconds_ago: float, user: str = "alice", iso: bool = False) -> str:
    return LINE.format(stamp=stamped(seconds_ago, iso), address=address, user=user)


def test_replay_takes_a_log_at_its_lines_own_times(site: Site) -> None:
    log = site.directory / "maillog"
    log.write_text("\n".join((line(B, 4000), line(A, 600), line(C, 60, iso=True), "Nov 22 10:00:00 mail1 sshd: x", "")))
    done = site.ask("replay", str(log), "--stats")
    assert (0, "") == (done.returncode, done.stderr)
    assert ["4 lines, 3 logins, 3 grants, 1 of them over by now", "2 stored"] == done.stdout.splitlines()[:2]
    assert "3  login dovecot imap" in done.stdout
    left = {row["address"]: row["seconds_left"] for row in json.loads(site.ask("list", "--json").stdout)}
    assert {A, C} == left.keys()
    assert 1190 < left[A] <= 1201
    assert 1730 < left[C] <= 1741
    assert [{"verb": "replay", "files": [str(log)], "stored": 2}] == [
        {name: value for name, value in entry.items() if name not in ("at", "who")} for entry in site.audited()
    ]


def test_replay_reads_gzip_and_standard_input(site: Site) -> None:
    packed = site.directory / "maillog.0.gz"
    packed.write_bytes(gzip.compress(line(A, 60).encode() + b"\n"))
    assert 0 == site.ask("replay", str(packed), "-", stdin=line(B, 60).encode()).returncode
    assert (0, 0) == (site.ask("test", A).returncode, site.ask("test", B).returncode)


@pytest.mark.parametrize("damage", ["cut", "noise", "missing"])
def test_replay_of_a_file_that_cannot_be_read_is_66(site: Site, damage: str) -> None:
    whole = gzip.compress("\n".join(line(A, 60, user=f"user{n}") for n in range(500)).encode())
    log = site.directory / "maillog.gz"
    if damage != "missing":
        log.write_bytes(whole[:-200] if damage == "cut" else whole[:200] + b"\xa5" * 200 + whole[400:])
    done = site.ask("replay", str(log))
    assert (66, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert done.stderr.startswith(f"syslogauth: {log}: ")


def test_replay_without_writing_touches_nothing(bare: Site) -> None:
    done = bare.ask("replay", "--nowrite", "-", stdin=line(A, 60).encode())
    assert (0, ["1 lines, 1 logins, 1 grants, 0 of them over by now", "nothing stored (--nowrite)"]) == (
        done.returncode,
        done.stdout.splitlines(),
    )
    assert not bare.state.exists()


def test_replay_takes_no_stamp_of_the_future_for_more_than_now(site: Site) -> None:
    site.ask("replay", "-", stdin=line(A, -3600, iso=True).encode())
    (row,) = json.loads(site.ask("list", "--json").stdout)
    assert 1790 < row["seconds_left"] <= 1800


def test_replay_reads_a_file_over_the_turn_of_the_year(site: Site) -> None:
    """A file of last January that begins in December: neither half is of this year, and nothing of it is live."""
    year = time.gmtime().tm_year
    log = site.directory / "maillog"
    log.write_text(
        LINE.format(stamp="Dec 31 23:59:58", address=A, user="a") + "\n" + LINE.format(stamp="Jan  1 00:00:01", address=B, user="b")
    )
    january = time.mktime((year, 1, 1, 0, 0, 5, 0, 0, 0))
    os.utime(log, (january, january))
    done = site.ask("replay", str(log))
    assert "2 lines, 2 logins, 2 grants, 2 of them over by now" == done.stdout.splitlines()[0]


def test_replay_tells_what_it_may_have_missed(site: Site) -> None:
    odd = f"{stamped(60)} mail1 dovecot: imap-login: Login: user=<a>, method=PLAIN, rip={A}, rip={B}, lip=192.0.2.1, mpid=80"
    failed = f"{stamped(60)} mail1 dovecot: imap-login: Aborted login (auth failed): user=<a>, rip={A}, lip=192.0.2.1"
    done = site.ask("replay", "--missed", "--nowrite", "-", stdin=f"{odd}\n{failed}\n{line(A, 60)}\n".encode())
    assert [f"ambiguous: {odd}"] == done.stdout.splitlines()


# match


def test_match_says_what_each_line_becomes_in_order() -> None:
    lines = [line(A, 60), "<22>" + line(B, 60), "<22>Nov 22 10:00:00 mail1 postfix/smtpd[1]: connect", line("127.0.0.1", 60)]
    done = ask(["match", "--json", "-"], "\n".join(lines).encode())
    answers = [json.loads(answer) for answer in done.stdout.splitlines()]
    assert [(True, A, "grant"), (True, B, "grant"), (False, None, "not_login"), (True, "127.0.0.1", "never_network")] == [
        (answer["login"], answer["address"], answer["outcome"]) for answer in answers
    ]
    assert {"login": True, "address": A, "user": "alice", "service": "imap", "server": "dovecot", "outcome": "grant"} == answers[0]


def test_match_takes_lines_as_words_and_datagrams_in_base64() -> None:
    import base64

    done = ask(["match", line(A, 60)])
    assert (0, f"login     {A} alice imap dovecot: grant\n") == (done.returncode, done.stdout)
    encoded = base64.b64encode(f"<22>{line(B, 60)}".encode()).decode()
    assert f"login     {B} alice imap dovecot: grant\n" == ask(["match", "--base64", encoded]).stdout
    done = ask(["match", "--base64", "-"], b"!\n")
    assert (65, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("syslogauth: line 1: is not base64")


# root


def nobody() -> tuple[int, int]:
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


@pytest.fixture
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site of the user nobody, made by root."""
    need("root")
    directory = tmp_path_factory.mktemp("foreign")
    for folder in (directory, *directory.parents):
        if folder.stat().st_uid == 0 and folder != Path("/") and folder.parent != Path("/"):
            folder.chmod(0o755)
    site = Site(directory)
    os.chown(directory, *nobody())
    site.state.mkdir(0o750)
    os.chown(site.state, *nobody())
    return site


def test_what_root_does_belongs_to_the_owner_of_the_state_directory(foreign: Site) -> None:
    for words in (("grant", A), ("deny", B), ("revoke", A), ("flush", "--yes"), ("export",), ("list",), ("stats",), ("test", A)):
        assert foreign.ask(*words).returncode in (0, 1), words
    made = [*foreign.state.rglob("*"), foreign.map]
    assert {"audit.log", "data.mdb", "lock.mdb", "table", "exporter.lock", "popauth.db"} <= {path.name for path in made}
    assert {nobody()} == {(path.stat().st_uid, path.stat().st_gid) for path in made}
    assert {"root"} == {line["who"] for line in foreign.audited()}


def test_root_replays_a_log_that_only_root_may_read(foreign: Site) -> None:
    log = foreign.directory / "maillog"
    log.write_text(line(A, 60))
    log.chmod(0o600)
    done = foreign.ask("replay", str(log))
    assert (0, "") == (done.returncode, done.stderr)
    assert 0 == foreign.ask("test", A).returncode
    assert {nobody()} == {(path.stat().st_uid, path.stat().st_gid) for path in foreign.state.rglob("*")}
