"""A followed log file: what each kind of rotation, a restart and a fault leave to be read, and what is said of it."""

import bz2
import errno
import gzip
import lzma
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from syslogauth.listeners.follow import MOST_FILES, Follower
from syslogauth.listeners.logfile import BLOCK_BYTES, STEP_BYTES, UNPACKED, Plain, cut
from syslogauth.listeners.rotated import rotated_name
from syslogauth.listeners.tail import MAX_LINE_BYTES
from syslogauth.positions import MARK, Mark, Position, digest


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "maillog"


def follower(log: Path, position: Position | None = None, linger_seconds: float = 60.0) -> Follower:
    return Follower(log, position, structlog.get_logger(), linger_seconds)


def came(follower: Follower, looks: int = 20) -> list[str]:
    """What so many looks find."""
    found = [lines.batch for _ in range(looks) if (lines := follower.read()) is not None]
    return [batch.datagram(number).decode() for batch in found for number in range(len(batch))]


GONE = "followed file: truncated, and no copy is found beside it; what had not been read is lost"


def write(log: Path, *lines: str) -> None:
    with log.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def rotate(log: Path) -> Path:
    """By rename, without a new one."""
    for number in range(9, -1, -1):
        if (old := log.with_name(f"maillog.{number}")).exists():
            old.rename(log.with_name(f"maillog.{number + 1}"))
    return log.rename(log.with_name("maillog.0"))


def copytruncate(log: Path) -> Path:
    copy = Path(shutil.copy(log, log.with_name("maillog.0")))
    os.truncate(log, 0)
    return copy


def compress(path: Path, suffix: str = ".gz", pack: Callable[[bytes], bytes] = gzip.compress) -> Path:
    packed = path.with_name(path.name + suffix)
    packed.write_bytes(pack(path.read_bytes()))
    shutil.copystat(path, packed)
    path.unlink()
    return packed


# lines


def test_a_file_is_read_from_its_beginning_and_a_line_when_its_end_has_come(log: Path) -> None:
    write(log, "one", "two")
    read = follower(log)
    assert ["one", "two"] == came(read)
    with log.open("a") as file:
        file.write("thr")
        file.flush()
        assert [] == came(read)
        assert 3 == read.unread_bytes()
        file.write("ee\nfour\n")
    assert ["three", "four"] == came(read)
    assert 0 == read.unread_bytes()


@pytest.mark.parametrize(
    ("data", "in_line", "expected"),
    [
        (b"", False, (0, b"", False)),
        (b"one\ntwo\nth", False, (8, b"one\ntwo\n", False)),
        (b"half", False, (0, b"", False)),
        (b"rest", True, (4, b"", True)),
        (b"rest\n", True, (5, b"", False)),
        (b"rest\nwhole\nhalf", True, (11, b"whole\n", False)),
        (b"\n\n", False, (2, b"\n\n", False)),
        (b"x" * MAX_LINE_BYTES, False, (0, b"", False)),
        (b"x" * (MAX_LINE_BYTES + 1), False, (MAX_LINE_BYTES, b"x" * MAX_LINE_BYTES, True)),
    ],
)
def test_what_is_taken_of_a_block(data: bytes, in_line: bool, expected: tuple[int, bytes, bool]) -> None:
    assert expected == cut(data, in_line)


def test_of_a_line_that_is_too_long_one_piece_is_handed_over_and_the_rest_is_no_line(log: Path) -> None:
    log.write_bytes(b"one\n" + b"x" * (2 * BLOCK_BYTES) + b"Nov 22 10:09:49 mail1 imapd: forged\ntwo\n")
    assert ["one", "x" * MAX_LINE_BYTES, "two"] == came(follower(log))


def test_a_restart_in_a_line_that_is_too_long_does_not_take_its_rest_for_a_line(log: Path) -> None:
    log.write_bytes(b"x" * (2 * BLOCK_BYTES) + b"forged\ntwo\n")
    read = follower(log)
    assert read.read() is not None
    assert ["two"] == came(follower(log, Position.unpacked(read.position().packed())))


def test_an_empty_line_is_a_line(log: Path) -> None:
    write(log, "", "")
    assert ["", ""] == came(follower(log))


# rotations


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("maillog.0", True),
        ("maillog.12.gz", True),
        ("maillog-20261122", True),
        ("maillog-20261122.xz", True),
        ("maillog-20261122-1795000000", True),
        ("maillog.20261122T000000.bz2", True),
        ("maillog", False),
        ("maillog.gz", False),
        ("maillog.old", False),
        ("maillog.0.tmp", False),
        ("maillog.filtered", False),
        ("maillogs.0", False),
        ("messages.0", False),
    ],
)
def test_the_names_that_rotation_gives(name: str, expected: bool) -> None:
    assert expected == rotated_name(Path("maillog"), name)


@pytest.mark.parametrize("name", ["mail.log.1", "mail.log.1.gz", "mail-20261122.log", "mail-20261122.log.gz", "mail.1.log"])
def test_the_names_that_rotation_gives_a_log_with_a_suffix(name: str) -> None:
    assert rotated_name(Path("mail.log"), name)


def test_a_renamed_file_is_read_on_while_its_writer_has_not_heard(log: Path) -> None:
    write(log, "one")
    read = follower(log)
    assert ["one"] == came(read)
    old = rotate(log)
    write(old, "two")
    assert ["two"] == came(read)
    log.touch()
    write(old, "three")
    assert ["three"] == came(read)
    write(log, "four")
    write(old, "five")
    assert ["five", "four"] == came(read)
    assert {"renamed": 1, "truncated": 0} == read.rotations


def test_a_renamed_file_is_let_go_when_it_is_quiet_and_the_new_one_is_written_to(log: Path) -> None:
    write(log, "one")
    read = follower(log, linger_seconds=0)
    came(read)
    old = rotate(log)
    log.touch()
    came(read)
    write(old, "two")
    assert ["two"] == came(read)  # nothing is in the new one: the writer has not heard
    write(log, "three")
    assert ["three"] == came(read)
    assert 1 == len(read.position().marks)


def test_more_rotations_than_are_remembered_lose_nothing(log: Path) -> None:
    read, expected, found = follower(log), [], []
    for number in range(2 * MOST_FILES):
        write(log, f"line {number}")
        expected.append(f"line {number}")
        found += came(read)
        log.rename(log.with_name(f"maillog-{number}"))
    assert expected == found + came(read)
    assert len(read.position().marks) <= MOST_FILES + 1


def test_what_was_rotated_twice_between_two_looks_is_read_in_order(log: Path) -> None:
    write(log, "one")
    read = follower(log)
    came(read)
    for number in range(3):
        write(log, f"of generation {number}")
        os.utime(rotate(log), (2e9 + number, 2e9 + number))
    write(log, "last")
    assert ["of generation 0", "of generation 1", "of generation 2", "last"] == came(read)


def test_a_file_beside_the_log_that_no_rotation_has_named_is_not_read(log: Path) -> None:
    read = follower(log)
    write(log, "one")
    came(read)
    write(log.with_name("maillog.filtered"), "not ours")
    rotate(log)
    write(log, "two")
    assert ["two"] == came(read)


def test_the_copy_of_a_truncated_file_is_read_from_where_the_reading_stood(log: Path) -> None:
    write(log, "one")
    read = follower(log)
    came(read)
    write(log, "two")
    copytruncate(log)
    write(log, "three", "a line that makes the file longer than it was before it was truncated")
    assert ["two", "three", "a line that makes the file longer than it was before it was truncated"] == came(read)
    assert {"renamed": 0, "truncated": 1} == read.rotations


@pytest.mark.parametrize(("copied", "said"), [(True, []), (False, [GONE])])
def test_the_halves_of_a_line_that_truncation_tore_apart_are_no_lines(log: Path, copied: bool, said: list[str]) -> None:
    """The second half begins the file, and its text may be a client's: law 2."""
    write(log, "one")
    with log.open("a") as file:
        file.write("login failed, user=<")
    read = follower(log)
    assert ["one"] == came(read)
    copytruncate(log)
    if not copied:
        log.with_name("maillog.0").unlink()
    write(log, "Nov 22 10:09:49 mail1 dovecot: imap-login: Login: user=<bob>, rip=192.0.2.9", "two")
    with capture_logs() as logged:
        assert ["two"] == came(read)
    assert said == [entry["event"] for entry in logged]


def test_a_line_that_was_torn_by_a_truncation_that_nobody_saw_is_none(log: Path) -> None:
    write(log, "one")
    read = follower(log)
    came(read)
    with log.open("a") as file:
        file.write("login failed, user=<")
    copytruncate(log).rename(log.with_name("maillog.1"))
    write(log, "Nov 22 10:09:49 mail1 dovecot: imap-login: Login: user=<bob>, rip=192.0.2.9", "two")
    copytruncate(log)
    write(log, "three")
    assert ["two", "three"] == came(read)


def test_half_a_line_at_the_end_of_a_renamed_file_is_no_line_and_said(log: Path) -> None:
    write(log, "one")
    with log.open("a") as file:
        file.write("Login: user=<bob>, rip=192.0.2.2")  # was to be 192.0.2.25
    read = follower(log, linger_seconds=0)
    came(read)
    rotate(log)
    write(log, "two")
    with capture_logs() as logged:
        assert ["two"] == came(read)
    assert [("followed file: a rotated file ends within a line, which is not taken for one", 32)] == [
        (e["event"], e["bytes"]) for e in logged
    ]


def test_a_symbolic_link_may_come_to_point_elsewhere(log: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    write(first, "one")
    log.symlink_to(first)
    read = follower(log)
    assert ["one"] == came(read)
    write(first, "two")
    write(second, "three")
    log.unlink()
    log.symlink_to(second)
    assert ["two", "three"] == came(read)


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_link_that_goes_from_one_dated_file_to_the_next_gives_each_line_once(log: Path, link: Callable[[Path, Path], None]) -> None:
    first, second = log.with_name("maillog-20261121"), log.with_name("maillog-20261122")
    write(first, "one")
    link(first, log)
    read = follower(log)
    assert ["one"] == came(read)
    write(second, "two")
    log.unlink()
    link(second, log)
    assert ["two"] == came(read)
    write(second, "three")
    assert ["three"] == came(read)


def test_a_file_that_replaces_the_log_and_holds_what_was_read_goes_on_where_that_ended(log: Path) -> None:
    """An editor's, a copy that was moved back, or a file system whose inode numbers do not stay."""
    write(log, "one", "two")
    read = follower(log)
    came(read)
    copy = Path(shutil.copy(log, log.with_name("maillog~")))
    write(copy, "three")
    copy.replace(log)
    assert ["three"] == came(read)
    write(log, "four")
    assert ["four"] == came(read)
    assert {"renamed": 0, "truncated": 0} == read.rotations


@pytest.mark.parametrize("restart", [False, True])
def test_another_log_that_holds_the_same_lines_is_not_taken_for_what_rotation_made(tmp_path: Path, restart: bool) -> None:
    log, twin = tmp_path / "mail.log", tmp_path / "mail.info"
    for file in (log, twin):
        write(file, "one")
    read = follower(log)
    came(read)
    for file in (log, twin):
        write(file, "two")
    copy = Path(shutil.copy(log, tmp_path / "mail.log.1"))
    os.utime(copy, (time.time() - 60, time.time() - 60))
    os.truncate(log, 0)
    read = follower(log, read.position()) if restart else read
    for file in (log, twin):
        write(file, "three")
    assert ["two", "three"] == came(read)


def test_a_linked_log_is_looked_for_where_it_lies(log: Path, tmp_path: Path) -> None:
    real = tmp_path / "data" / "maillog"
    real.parent.mkdir()
    write(real, "one")
    log.symlink_to(real)
    read = follower(log)
    came(read)
    write(real, "two")
    rotate(real)
    write(real, "three")
    assert ["two", "three"] == came(follower(log, read.position()))


def test_a_directory_may_be_replaced(log: Path, tmp_path: Path) -> None:
    log = tmp_path / "log" / "maillog"
    log.parent.mkdir()
    write(log, "one")
    read = follower(log)
    came(read)
    log.parent.rename(tmp_path / "old")
    assert [] == came(read)
    log.parent.mkdir()
    write(log, "two")
    assert ["two"] == came(read)


# restarts


@pytest.mark.parametrize("inode", [True, False], ids=["the same file", "restored from a backup"])
def test_a_restart_goes_on_where_the_reading_stood(log: Path, inode: bool) -> None:
    write(log, "one", "two")
    read = follower(log)
    came(read)
    if not inode:
        Path(shutil.copy(log, log.with_name("x"))).replace(log)
    write(log, "three")
    assert ["three"] == came(follower(log, read.position()))


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("", None), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)],
    ids=["plain", "gz", "bz2", "xz"],
)
@pytest.mark.parametrize("size", [0, 3 * BLOCK_BYTES], ids=["short", "long"])
def test_a_restart_finds_what_was_rotated_meanwhile(log: Path, suffix: str, pack: Callable[[bytes], bytes] | None, size: int) -> None:
    write(log, "one", "x" * size)
    read = follower(log)
    came(read)
    write(log, "two")
    rotate(log)
    write(log, "three")
    rotate(log)
    if pack is not None:
        compress(log.with_name("maillog.0"), suffix, pack)
        compress(log.with_name("maillog.1"), suffix, pack)
    write(log, "four")
    with capture_logs() as logged:
        assert ["two", "three", "four"] == came(follower(log, read.position()))
    assert [] == logged


def test_a_restart_finds_the_copy_of_what_was_truncated_meanwhile(log: Path) -> None:
    write(log, "one")
    read = follower(log)
    came(read)
    write(log, "two")
    compress(copytruncate(log))
    write(log, "three")
    assert ["two", "three"] == came(follower(log, read.position()))


def test_older_files_are_not_read_again_after_a_restart(log: Path) -> None:
    write(log.with_name("maillog.0"), "long ago")
    os.utime(log.with_name("maillog.0"), (1e9, 1e9))
    write(log, "one")
    read = follower(log)
    came(read)
    rotate(log)
    write(log, "two")
    assert ["two"] == came(follower(log, read.position()))


def test_what_cannot_be_found_again_is_said_once(log: Path) -> None:
    write(log, "one")
    read = follower(log)
    came(read)
    log.unlink()
    write(log, "two")
    with capture_logs() as logged:
        assert ["two"] == came(follower(log, read.position()))
    assert [("warning", "followed file: a rotated file is gone; what had not been read of it is lost")] == [
        (entry["log_level"], entry["event"]) for entry in logged
    ]


PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]


@pytest.mark.parametrize("cut_short", [True, False], ids=["cut short", "overwritten"])
@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
def test_a_compressed_file_that_is_damaged_is_said_and_passed_over(
    log: Path, suffix: str, pack: Callable[[bytes], bytes], cut_short: bool
) -> None:
    log.write_bytes(b"one\n" + os.urandom(99_999).hex().encode() + b"\n")
    read = follower(log)
    came(read)
    write(log, *(os.urandom(50).hex() for _ in range(20_000)))
    packed = compress(rotate(log), suffix, pack)
    packed.write_bytes(packed.read_bytes()[:-20_000] if cut_short else packed.read_bytes()[:-20_000] + b"\xa5" * 20_000)
    write(log, "last")
    with capture_logs() as logged:
        assert "last" == came(follower(log, read.position()))[-1]
    assert ["followed file: a compressed file is damaged; the rest of it is lost"] == [entry["event"] for entry in logged]


def test_a_rotated_file_that_nobody_has_read_and_nobody_can_is_said_once(log: Path) -> None:
    write(log, "one")
    read = follower(log)
    came(read)
    rotate(log)
    write(log, "two")
    packed = compress(rotate(log))
    packed.write_bytes(packed.read_bytes()[:-12])
    write(log, "three")
    with capture_logs() as logged:
        assert ["three"] == came(read)
    assert [("warning", "followed file: a rotated file cannot be read, and is passed over", "maillog.0.gz")] == [
        (entry["log_level"], entry["event"], entry["name"]) for entry in logged
    ]


@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
def test_a_compressed_file_is_closed_when_it_has_been_unpacked(
    log: Path, suffix: str, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many may be read one after another, and xz keeps up to 64 MiB of each."""
    files = []
    unpacked = UNPACKED[suffix]

    def noting(path: Path, mode: str) -> object:
        files.append(unpacked(path, mode))
        return files[-1]

    monkeypatch.setitem(UNPACKED, suffix, noting)
    write(log, "one")
    read = follower(log)
    came(read)
    write(log, "two")
    compress(rotate(log), suffix, pack)
    write(log, "three")
    again = follower(log, read.position())
    assert ["two", "three"] == came(again)
    assert 2 == len(again.position().marks)
    assert {True} == {file.closed for file in files}


def test_what_must_be_unpacked_first_keeps_the_newer_lines_waiting(log: Path) -> None:
    write(log, *("x" * 999 for _ in range(3 * STEP_BYTES // 1000)))
    read = follower(log)
    while read.read() is not None:
        pass
    write(log, "two")
    compress(rotate(log))
    write(log, "three")
    again = follower(log, read.position())
    assert again.read() is None
    assert ["two", "three"] == came(again)
    write(log, "four")
    lines = again.read()
    assert lines is not None
    assert lines.live


def test_a_half_made_compressed_file_is_not_read_beside_what_it_is_made_of(log: Path) -> None:
    write(log, "one")
    read = follower(log)
    came(read)
    write(log, *(os.urandom(50).hex() for _ in range(5000)))
    copy = copytruncate(log)
    write(log, "last")
    half = copy.with_name("maillog.0.gz")
    half.write_bytes(gzip.compress(copy.read_bytes())[:-20_000])
    with capture_logs() as logged:
        assert 5001 == len(came(follower(log, read.position())))
    assert [] == logged


# what is wrong with the file


def test_a_file_that_is_missing_is_waited_for_and_said_after_a_while(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = follower(log)
    with capture_logs() as logged:
        assert [] == came(read)
        assert (True, []) == (read.readable, logged)
        monkeypatch.setattr("syslogauth.listeners.follow.MISSING_SECONDS", -1.0)
        assert [] == came(read)
    assert not read.readable
    assert [("followed file cannot be read; tried again", "No such file or directory", "is listen.file right? it is waited for")] == [
        (entry["event"], entry["error"], entry["mend"]) for entry in logged
    ]
    write(log, "one")
    with capture_logs() as logged:
        assert ["one"] == came(read)
    assert ["followed file can be read again"] == [entry["event"] for entry in logged]
    assert read.readable


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["a directory", "a pipe"])
def test_what_is_no_file_is_said_once_and_does_not_block(log: Path, make: Callable[[Path], None]) -> None:
    make(log)
    read = follower(log)
    with capture_logs() as logged:
        assert [] == came(read)
    assert ["followed file cannot be read; tried again"] == [entry["event"] for entry in logged]
    assert not read.readable


def test_a_file_that_may_not_be_read_is_said_and_tried_again() -> None:
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are root's alone
        Path(directory).chmod(0o755)
        log = Path(directory) / "maillog"
        write(log, "one")
        log.chmod(0)
        read = follower(log)
        with nobody(), capture_logs() as logged:
            assert [] == came(read)
        assert [("Permission denied", False)] == [(entry["error"], read.readable) for entry in logged]
        log.chmod(0o600)
        assert ["one"] == came(read)


def test_a_file_system_that_goes_away_after_a_reading_loses_nothing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(log, "one")
    read = follower(log)
    with monkeypatch.context() as stale, capture_logs():
        stale.setattr(Plain, "written_at", gone)
        assert [] == came(read)
    assert ["one"] == came(read)


def gone(_: Plain) -> float:
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


@contextmanager
def nobody() -> Iterator[None]:
    """Not root, who may read everything."""
    user = os.geteuid()
    if not user:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


# positions


def test_a_position_is_its_bytes() -> None:
    mark = Mark(64768, 7, 1000, True, digest(b"head"), digest(b"tail"))
    position = Position(1_700_000_000.125, (mark, Mark(2**64 - 1, 2**64 - 1, 0, False, digest(b""), digest(b""))))
    packed = position.packed()
    assert position == Position.unpacked(packed)
    assert b"\x01" + (1_700_000_000_125).to_bytes(8) == packed[:9]
    assert 9 + 2 * MARK.size == len(packed)


@pytest.mark.parametrize("stored", [b"", b"\x02" + bytes(8), b"\x01" + bytes(9), b"\x01"])
def test_a_position_of_another_version_or_a_damaged_one_is_an_error(stored: bytes) -> None:
    with pytest.raises(ValueError):
        Position.unpacked(stored)
