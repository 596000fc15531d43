"""What doctor says of files: those that are followed, the map, the table. What is mended by a command is mended by it."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syslogauth.core.login import Grant
from syslogauth.doctor import examine, followed, maps, table
from syslogauth.doctor.finding import Finding, Level
from syslogauth.doctor.site import RESTART, START, Answer, WatchedMap
from syslogauth.exports import hash9
from tests.doctor import levels, looked_at, worst
from tests.needs import need
from tests.site import A, Site, nobody

OK, WARN, FAIL = Level


# files that are followed


@pytest.mark.parametrize(
    ("readable", "idle", "level"),
    [(True, 5, OK), (True, 5000, WARN), (False, 5, FAIL), (None, 5, WARN)],
    ids=["right", "idle", "closed", "unseen"],
)
def test_a_followed_file_is_judged(readable: bool | None, idle: float, level: Level) -> None:
    assert level == followed.judge(Path("/var/log/mail.log"), readable, "syslogauth", "adm", idle, 900, freebsd=False).level


@pytest.fixture
def passable() -> Iterator[Path]:
    """A directory that every user may pass through, unlike pytest's."""
    need("root")
    with tempfile.TemporaryDirectory(prefix="syslogauth-test-", dir="/run") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_a_followed_file_is_tried_as_the_daemons_user(passable: Path) -> None:
    user, group = nobody()
    state, log = passable / "state", passable / "mail.log"
    state.mkdir()
    os.chown(state, user, group)
    site = looked_at(passable, files=(log,), now=0)
    assert [FAIL] == levels(followed.check(site))
    log.touch(0o640)
    assert [FAIL] == levels(followed.check(site))
    os.chown(log, 0, group)
    assert [OK] == levels(followed.check(site))
    as_started = looked_at(passable, files=(log,), now=0, figures={"file_readable": [({"file": str(log)}, 0.0)]})
    (finding,) = followed.check(as_started)
    assert (FAIL, RESTART) == (finding.level, finding.mend)


@pytest.mark.parametrize("group", ["root", "wheel"])
def test_nobody_is_told_to_make_the_daemon_a_member_of_roots_own_group(group: str) -> None:
    """On FreeBSD the log is root:wheel, and who is in wheel may su."""
    finding = followed.judge(Path("/var/log/maillog"), False, "syslogauth", group, 5, 900, freebsd=group == "wheel")
    assert finding.mend.startswith('chgrp "$(id -gn syslogauth)" /var/log/maillog && chmod g+r /var/log/maillog')


# the map


@pytest.fixture
def watched(tmp_path: Path) -> WatchedMap:
    path = tmp_path / "mail" / "popauth.db"
    path.parent.mkdir(mode=0o755)
    path.write_bytes(hash9.render({b"198.51.100.1"}))
    path.chmod(0o640)
    return WatchedMap(path)


def chmod(mode: int) -> Callable[[Path], object]:
    return lambda path: path.chmod(mode)


MAP_FAULTS: list[tuple[str, Callable[[Path], object], Level]] = [
    ("open to all", chmod(0o644), WARN),
    ("writable by all", chmod(0o666), FAIL),
    ("writable by its group", chmod(0o660), FAIL),
    ("another's", lambda path: os.chown(path, 1, 0), FAIL),
    ("not for root to read", lambda path: os.chown(path, 65534, 65534), FAIL),
    ("hard link", lambda path: os.link(path, path.with_name("other")), FAIL),
    ("directory open to its group", lambda path: path.parent.chmod(0o775), FAIL),
    ("directory open to all", lambda path: path.parent.chmod(0o777), FAIL),
    ("missing", lambda path: path.unlink(), FAIL),
]  # fmt: skip


@pytest.mark.parametrize(("make", "level"), [case[1:] for case in MAP_FAULTS], ids=[case[0] for case in MAP_FAULTS])
def test_a_fault_of_the_map_is_told_and_its_command_mends_it(make: Callable[[Path], object], level: Level, watched: WatchedMap) -> None:
    need("root")
    os.chown(watched.path, 65534, 0)
    assert [] == of_the_map(watched)
    make(watched.path)
    found = of_the_map(watched)
    assert level in levels(found)
    for finding in found:
        subprocess.run(["sh", "-c", finding.mend], check=True)
    assert [] == of_the_map(watched)


def of_the_map(watched: WatchedMap) -> list[Finding]:
    """What is wrong with the file and the way to it from its own directory, for the daemon's user nobody."""
    if not watched.path.exists():
        site = looked_at(watched.path.parent, maps=(watched,), state_directory=Path("/proc/nobody"))
        return [
            Finding(found.level, found.subject, found.text, found.mend.replace("-o syslogauth", "-o nobody"))
            for found in maps.check(site)
            if found.text == "does not exist"
        ]
    way = maps.directories([maps.Place.of(watched.path.parent)], frozenset())
    return [*way, *maps.modes(maps.Place.of(watched.path), watched.mode, 65534, -1)]


def test_a_symbolic_link_is_told(watched: WatchedMap) -> None:
    watched.path.rename(watched.path.with_name("elsewhere.db"))
    watched.path.symlink_to(watched.path.with_name("elsewhere.db"))
    assert [FAIL] == levels(maps.modes(maps.Place.of(watched.path), 0o640, 0, -1))


@pytest.mark.parametrize(
    ("mode", "allowances", "expected"),
    [
        (0o40775, set(), [FAIL]),
        (0o40775, {"groupwritabledirpathsafe"}, []),
        (0o40777, {"groupwritabledirpathsafe"}, [FAIL]),
        (0o41777, set(), [FAIL]),
        (0o41777, {"truststickybit"}, []),
        (0o40777, {"mapinunsafedirpath"}, []),
        (0o40755, set(), []),
    ],
)
def test_what_dontblamesendmail_allows_is_allowed(mode: int, allowances: set[str], expected: list[Level]) -> None:
    assert expected == levels(maps.directories([maps.Place(Path("/srv"), mode, 0, 0)], frozenset(allowances)))


@pytest.mark.parametrize(
    ("owner", "group", "mode", "trusted", "readable"),
    [(7, 0, 0o640, -1, True), (7, 7, 0o640, -1, False), (7, 7, 0o644, -1, True), (7, 7, 0o640, 7, True), (0, 7, 0o600, -1, True)],
)
def test_root_reads_a_map_as_safefile_lets_it(owner: int, group: int, mode: int, trusted: int, readable: bool) -> None:
    found = maps.modes(maps.Place(Path("/m.db"), 0o100000 | mode, owner, group), 0o644, owner, trusted)
    assert readable == (FAIL not in levels(found))


@pytest.mark.parametrize(
    ("seconds", "runs", "level"),
    [(10, True, OK), (10, False, OK), (1000, True, FAIL), (1000, False, FAIL), (1000, None, FAIL), (-500, True, WARN)],
)
def test_the_age_of_a_map_tells_whether_somebody_keeps_it(seconds: float, runs: bool | None, level: Level, watched: WatchedMap) -> None:
    assert level == maps.age("map", seconds, runs, watched).level


def test_an_empty_map_that_nobody_keeps_harms_nobody(watched: WatchedMap) -> None:
    watched.path.write_bytes(hash9.render(set()))
    assert WARN == maps.age("map", 1000, False, watched).level


def test_a_map_that_does_not_agree_with_the_table_is_told_and_mended(site: Site) -> None:
    """Through the real commands. Nobody keeps the map: what mends it is a start, which writes it as `export` does."""
    site.log_in(A)
    site.map.write_bytes(hash9.render({b"203.0.113.9"}))
    told = looked_at(site.directory, config_file=str(site.config), state_directory=site.state, maps=(WatchedMap(site.map),))
    (finding,) = [found for found in maps.check(told) if found.subject == "map and table"]
    assert (FAIL, START) == (finding.level, finding.mend)
    assert 0 == site.ask("export").returncode
    assert [OK] == levels(maps.check(told), "map and table")


# the table


def test_no_module_of_the_directory_that_it_is_asked_in_is_run(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may stand in anybody's."""
    site.log_in(A)
    for name in ("json.py", "syslogauth.py", "lmdb.py"):
        (tmp_path / name).write_text("raise SystemExit('what another user wrote has been run')")
    monkeypatch.chdir(tmp_path)
    told = looked_at(site.directory, config_file=str(site.config), state_directory=site.state, maps=(WatchedMap(site.map),))
    assert [OK, OK] == levels(table.check(told))
    assert "been run" not in " ".join(finding.text for finding in maps.check(told))


def test_a_sound_table_is_read_as_a_whole(site: Site) -> None:
    site.log_in(A)
    assert [OK, OK] == levels(table.check(looked_at(site.directory)))


def fill(site: Site) -> None:
    """Several pages of addresses."""
    opened, at = site.table(), time.time()
    opened.commit([Grant(bytes((10, 0, 0, n)), at + 1800, at, "imap", "dovecot", "alice", "mail1", "127.0.0.0/8") for n in range(200)], at)
    opened.close()


def test_a_damaged_table_is_told(site: Site) -> None:
    fill(site)
    data = site.state / "table/data.mdb"
    image = bytearray(data.read_bytes())
    for page in range(3, len(image) // 4096):
        image[4096 * page + 10 : 4096 * page + 16] = b"\xff" * 6
    data.write_bytes(image)
    assert FAIL == worst(table.check(looked_at(site.directory)))


def test_a_table_that_is_cut_short_is_told(site: Site) -> None:
    fill(site)
    with (site.state / "table/data.mdb").open("r+b") as data:
        data.truncate(3 * 4096)
    assert FAIL == worst(table.check(looked_at(site.directory)))


def test_a_file_that_is_no_table_is_told(site: Site) -> None:
    (site.state / "table/data.mdb").write_bytes(b"x" * 16384)
    assert [FAIL] == levels(table.check(looked_at(site.directory)))


def test_a_record_of_another_version_is_told(site: Site) -> None:
    site.log_in(A)
    opened = site.table()
    with opened._environment.begin(write=True) as view:
        view.put("grants", b"\1\2\3\4", b"\xff" * 40)
    opened.close()
    assert FAIL == worst(table.check(looked_at(site.directory)))


def test_a_table_that_does_not_exist_yet_is_told(bare: Site) -> None:
    bare.state.mkdir()
    assert [WARN] == levels(table.check(looked_at(bare.directory)))


def test_a_table_whose_files_are_roots_is_told_and_mended(passable: Path) -> None:
    site = Site(passable)
    site.make()
    os.chown(site.state, *nobody())
    (finding,) = table.check(looked_at(site.directory))
    assert (FAIL, False) == (finding.level, "stat -c" in finding.mend), "FreeBSD's stat(1) knows no -c"
    subprocess.run(["sh", "-c", finding.mend], check=True)
    assert [OK, OK] == levels(table.check(looked_at(site.directory)))


SAID = {"entries": 9, "used_bytes": 1 << 20, "map_size_bytes": 64 << 20, "stale_readers": 0, "engine": "0.9.36"}
SOUND = {"problems": [], "seconds": 0.1}


@pytest.mark.parametrize(
    ("lines", "code", "as_root", "level"),
    [
        ([SAID, SOUND], 0, True, OK),
        ([SAID | {"stale_readers": 2}, SOUND], 0, True, OK),
        ([SAID | {"used_bytes": 60 << 20}, SOUND], 0, True, WARN),
        ([SAID, {"problems": ["page 3: what"], "seconds": 0.1}], 0, True, FAIL),
        ([SAID], None, True, WARN),
        ([SAID], -7, True, FAIL),
        ([SAID], -9, True, WARN),
        ([], None, True, WARN),
        ([{"fault": "x: Permission denied"}], 69, True, FAIL),
        ([{"fault": "x: Permission denied"}], 69, False, WARN),
        ([{"fault": "x: MDB_VERSION_MISMATCH"}], 69, True, FAIL),
        ([], 1, True, FAIL),
    ],
    ids=[
        "sound",
        "stale readers",
        "nearly full",
        "damaged",
        "too large",
        "signal",
        "killed",
        "slow",
        "not the owner's",
        "not seen",
        "version",
        "traceback",
    ],
)
def test_what_the_reading_of_the_table_said_is_judged(lines: list[object], code: int | None, as_root: bool, level: Level) -> None:
    answer = Answer("".join(json.dumps(line) + "\n" for line in lines), code)
    assert level == worst(table.judge(answer, Path("/s"), as_root=as_root))


def test_the_reading_says_what_it_found(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.log_in(A)
    assert 0 == examine.main(str(site.state))
    first, second = map(json.loads, capfd.readouterr().out.splitlines())
    assert (1, []) == (first["entries"], second["problems"])
    assert site.table().sizes()["map_size_bytes"] == first["map_size_bytes"]
