"""`export`, `stats`, `replay`, `match`, and what root leaves behind: each a process of its own, with no daemon running."""

import gzip
import json
import os
import time
from pathlib import Path

import pytest

from syslogauth.cli.match import WHY
from syslogauth.core.login import Refusal
from syslogauth.exports import hash9
from tests.needs import need
from tests.site import LINE, A, B, C, Site, ask, nobody

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
    known = json.loads(site.ask("stats", "--count", "--json").stdout)
    assert (3, 1, 1000, 0.003) == tuple(known["table"][name] for name in ("entries", "denies", "max_addresses", "entries_ratio"))
    login = {"kind": "login", "server": "dovecot", "service": "imap", "count": 2}
    assert {"all": 3, "by": [login, {"kind": "manual", "server": "", "service": "", "count": 1}]} == known["live"]
    written = {"path": str(site.map), "format": "hash9", "bytes": site.map.stat().st_size, "written_at": site.map.stat().st_mtime}
    assert [written | {"error": None}] == known["maps"]
    assert known["daemon"] is None
    said = dict(line.rsplit(maxsplit=1) for line in site.ask("stats").stdout.splitlines())
    assert ("3", "-") == (said["table.entries"], said["daemon"])
    assert not [name for name in said if name.startswith("live")]


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


@pytest.mark.parametrize(("damage", "code"), [("cut", 65), ("noise", 65), ("missing", 66)])
def test_replay_of_a_file_that_is_damaged_is_65_and_of_one_that_is_not_there_66(site: Site, damage: str, code: int) -> None:
    whole = gzip.compress("\n".join(line(A, 60, user=f"user{n}") for n in range(500)).encode())
    log = site.directory / "maillog.gz"
    if damage != "missing":
        log.write_bytes(whole[:-200] if damage == "cut" else whole[:200] + b"\xa5" * 200 + whole[400:])
    done = site.ask("replay", str(log))
    assert (code, 1) == (done.returncode, len(done.stderr.splitlines()))
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
    head, explained, example = done.stdout.splitlines()
    assert "        1  dovecot  ambiguous  imap-login: Login: user=<...>, method=..., rip=..., rip=..., lip=..., mpid=..." == head
    assert explained.endswith("nearest is dovecot: after 61 bytes of the text, rip= comes a second time: one of the two is a client's text")
    assert odd == example.strip()


UNESCAPED = "Nov 22 10:00:00 mail1 imapd[7]: Login user=bob host=[192.0.2.25]"


@pytest.mark.parametrize(
    ("escapes", "option", "granted"),
    [("", (), 0), ("", ("--escaped",), 1), ("true", (), 1), ("false", (), 0), ("false", ("--escaped",), 1)],
)
def test_replay_believes_what_is_declared_of_a_file(bare: Site, escapes: str, option: tuple[str, ...], granted: int) -> None:
    log = bare.directory / "maillog"
    log.write_text(UNESCAPED + "\n")
    if escapes:
        declared = f'[[listen.source]]\nfiles = ["{bare.directory}/mail*"]\nescapes = {escapes}\n'
        bare.config.write_text(f"{bare.text}\n{declared}")
    done = bare.ask("replay", "--nowrite", *option, str(log))
    assert (0, "") == (done.returncode, done.stderr)
    assert f"1 lines, {granted} logins, {granted} grants" in done.stdout


# match


def test_match_says_what_each_line_becomes_in_order() -> None:
    lines = [line(A, 60), "<22>" + line(B, 60), "<22>Nov 22 10:00:00 mail1 postfix/smtpd[1]: connect", line("127.0.0.1", 60)]
    done = ask(["match", "--json", "-"], "\n".join(lines).encode())
    answers = [json.loads(answer) for answer in done.stdout.splitlines()]
    assert [(True, A, "grant"), (True, B, "grant"), (False, None, "not_login"), (True, "127.0.0.1", "never_network")] == [
        (answer["login"], answer["address"], answer["outcome"]) for answer in answers
    ]
    login = {"login": True, "address": A, "user": "alice", "service": "imap", "server": "dovecot", "outcome": "grant"}
    assert login | {"nearest": None, "explanation": None} == answers[0]
    unknown = "no format has the tag postfix/smtpd (syslogauth formats lists those that there are; a [[format]] of your own adds one)"
    assert (None, unknown) == (answers[2]["nearest"], answers[2]["explanation"])


def test_match_takes_lines_as_words_and_datagrams_in_base64() -> None:
    import base64

    done = ask(["match", line(A, 60)])
    assert (0, f"login     {A} alice imap dovecot: grant\n") == (done.returncode, done.stdout)
    encoded = base64.b64encode(f"<22>{line(B, 60)}".encode()).decode()
    assert f"login     {B} alice imap dovecot: grant\n" == ask(["match", "--base64", encoded]).stdout
    done = ask(["match", "--base64", "-"], b"!\n")
    assert (65, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("syslogauth: line 1: is not base64")


def test_match_explains_what_came_near_below_its_sentence() -> None:
    changed = "Nov 22 10:00:00 mail1 dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25"
    lacks = "nearest is dovecot: it has no lip=: login_log_format_elements needs user, method, rip and lip"
    why = "looks like a login, but could be read in two ways or holds what its server does not write"
    assert f"no login  ambiguous ({why}): {changed!r}\n          {lacks}\n" == ask(["match", changed]).stdout
    (answer,) = map(json.loads, ask(["match", "--json", changed]).stdout.splitlines())
    assert ("dovecot", f"nearest is dovecot: {answer['explanation']}") == (answer["nearest"], lacks)


def test_match_joins_the_lines_of_its_input() -> None:
    lines = ("popa3d[7]: Session from 192.0.2.25", "popa3d[7]: Authentication passed for bob", "popa3d[7]: Authentication passed for bob")
    done = ask(["match", "--json", "-"], "".join(f"Nov 22 10:00:00 mail1 {text}\n" for text in lines).encode())
    assert ["connected", "grant", "unjoined"] == [json.loads(answer)["outcome"] for answer in done.stdout.splitlines()]


def test_match_judges_as_from_a_source_that_splits() -> None:
    assert "login     192.0.2.25 bob imap uw: grant\n" == ask(["match", UNESCAPED]).stdout
    done = ask(["match", "--unescaped", UNESCAPED])
    assert done.stdout.startswith("no login  unescaped_source (")
    assert done.stdout.endswith("declare so: [[listen.source]] with its peers or files and escapes = true\n")


@pytest.mark.parametrize(
    ("peer", "prefix", "outcome"),
    [
        ("127.0.0.1", "<22>", "grant"),
        ("127.0.0.2", "<22>", "unescaped_source"),
        ("127.0.0.1", "", "no_priority"),
        ("192.0.2.1", "<22>", "unlisted_peer"),
    ],
)
def test_match_judges_as_what_a_peer_sends(bare: Site, peer: str, prefix: str, outcome: str) -> None:
    bare.config.write_text(f'{bare.text}\n[[listen.source]]\npeers = ["127.0.0.2/32"]\nescapes = false\n')
    done = bare.ask("match", "--json", "--peer", peer, prefix + UNESCAPED)
    assert (outcome, "") == (json.loads(done.stdout)["outcome"], done.stderr)


MISSED = (
    "Nov 22 10:00:0{n} mail1 dovecot: imap-login: Successful login: user=<user{n}>, method=PLAIN, rip=192.0.2.{n}, lip=192.0.2.1",
    "Nov 22 10:00:0{n} mail1 imapd[{n}]: LOGIN OK, user=user{n}, ip=[::ffff:192.0.2.{n}]",
)


def test_match_tells_what_a_log_has_that_was_missed_by_its_shape(bare: Site) -> None:
    plain, packed = bare.directory / "maillog", bare.directory / "maillog.0.gz"
    plain.write_text("\n".join((*(MISSED[0].format(n=n) for n in range(1, 4)), line(A, 60), MISSED[1].format(n=1), "x sshd: y")))
    packed.write_bytes(gzip.compress(MISSED[0].format(n=9).encode() + b"\x1b[2J"))
    done = bare.ask("match", "--missed", "--json", str(plain), str(packed))
    assert (0, "") == (done.returncode, done.stderr)
    first, second = json.loads(done.stdout)
    assert (3, "dovecot", "not_login", "dovecot") == tuple(first[name] for name in ("count", "app_name", "outcome", "nearest"))
    assert "imap-login: Successful login: user=<...>, method=..., rip=..., lip=..." == first["shape"]
    assert MISSED[0].format(n=1) == first["example"]
    assert (1, "imapd", "LOGIN OK, user=..., ip=[ADDRESS]") == tuple(second[name] for name in ("count", "app_name", "shape"))
    told = bare.ask("match", "--missed", str(plain), str(packed)).stdout
    assert "        3  dovecot  not_login  imap-login: Successful login: user=<...>" in told.splitlines()[0]


def test_match_says_where_nothing_was_missed() -> None:
    assert "nothing was missed\n" == ask(["match", "--missed", "-"], line(A, 60).encode()).stdout
    assert "[]\n" == ask(["match", "--missed", "--json", "-"], line(A, 60).encode()).stdout


@pytest.mark.parametrize("words", [["--missed"], ["--missed", "--base64", "-"], ["--missed", "--peer", A, "-"]])
def test_what_missed_does_not_take_is_64(words: list[str]) -> None:
    done = ask(["match", *words])
    expected = "syslogauth: match: --missed takes log files (- is standard input), without --base64 and --peer\n"
    assert (64, expected) == (done.returncode, done.stderr)


def test_missed_in_a_file_that_is_not_there_is_66() -> None:
    assert (66, "syslogauth: /nonexistent: No such file or directory\n") == (
        (done := ask(["match", "--missed", "/nonexistent"])).returncode,
        done.stderr,
    )


def test_every_reason_has_its_words() -> None:
    assert set(Refusal) == set(WHY)


# root


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
