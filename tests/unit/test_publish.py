import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from syslogauth.exports import hash2, hash9
from syslogauth.publish import MapRefusedError, Published, Publisher, differing, read_locked
from tests.keys import pages, random_keys

KEYS = random_keys(3000)
EMPTY = hash9.render([])
IMAGE = hash9.render(KEYS)
ONE_MORE = hash9.render(KEYS | {b"192.0.2.1"}, hash9.bucket_count(IMAGE))
PAGE = 4096
CHANGED = differing(IMAGE, ONE_MORE)


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A map that is there already, half a minute old."""
    path = tmp_path / "popauth.db"
    path.write_bytes(EMPTY)
    aged = time.time() - 30
    os.utime(path, (aged, aged))
    return path


@contextmanager
def lock_held(path: Path, operation: str) -> Iterator[None]:
    """Another process that holds the lock."""
    program = (
        "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, getattr(fcntl, sys.argv[2])); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program, path, operation], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin
        assert holder.stdout
        assert b"\n" == holder.stdout.readline()
        yield
        holder.stdin.close()


def test_a_map_that_does_not_exist_is_created_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "popauth.db"
    done = Publisher(path, 0o604).publish(IMAGE)
    assert IMAGE == path.read_bytes()
    assert 0o604 == path.stat().st_mode & 0o7777
    assert Published(len(IMAGE) // PAGE, len(IMAGE), 0.0, whole=True) == done
    assert [path] == list(tmp_path.iterdir())


def test_what_a_crash_left_beside_the_map_does_not_hinder_its_creation(tmp_path: Path) -> None:
    (tmp_path / ".popauth.db.new").write_bytes(b"half")
    Publisher(tmp_path / "popauth.db", 0o640).publish(IMAGE)
    assert [tmp_path / "popauth.db"] == list(tmp_path.iterdir())


def test_a_directory_that_is_missing_is_an_error_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Publisher(tmp_path / "mail" / "popauth.db", 0o640).publish(IMAGE)


def test_a_live_map_is_written_in_place(live: Path) -> None:
    live.chmod(0o644)
    before = live.stat()
    Publisher(live, 0o640).publish(IMAGE)
    after = live.stat()
    assert IMAGE == live.read_bytes()
    assert (before.st_ino, before.st_mode, before.st_uid, before.st_nlink) == (after.st_ino, after.st_mode, after.st_uid, after.st_nlink)
    assert [live] == list(live.parent.iterdir())


def test_the_first_publication_is_whole_and_the_next_only_what_changed(live: Path) -> None:
    publisher = Publisher(live, 0o640)
    first, second, third = publisher.publish(IMAGE), publisher.publish(ONE_MORE, CHANGED), publisher.publish(ONE_MORE, ())
    assert (len(IMAGE) // PAGE, len(IMAGE), True) == (first.pages_written, first.bytes_written, first.whole)
    assert (2, 2 * PAGE, False) == (second.pages_written, second.bytes_written, second.whole)
    assert (0, 0, False) == (third.pages_written, third.bytes_written, third.whole)
    assert ONE_MORE == live.read_bytes()


def test_nothing_is_touched_where_nothing_changed(live: Path) -> None:
    publisher = Publisher(live, 0o640)
    publisher.publish(IMAGE)
    before = live.stat().st_mtime_ns
    publisher.publish(IMAGE, ())
    assert before == live.stat().st_mtime_ns


def rewritten_by_makemap(path: Path) -> None:
    """As makemap does: emptied, and filled anew."""
    path.write_bytes(EMPTY)


def one_byte_changed(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2 * PAGE)
        file.write(b"?")


def cut_off(path: Path) -> None:
    os.truncate(path, PAGE)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def metadata_lost(path: Path) -> None:
    path.write_bytes(bytes(PAGE) + path.read_bytes()[PAGE:])


def replaced(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(ONE_MORE)
    other.rename(path)


def made_longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"?")


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "tamper", [rewritten_by_makemap, one_byte_changed, cut_off, emptied, metadata_lost, replaced, made_longer, removed]
)
def test_what_somebody_else_changed_is_rewritten_whole(live: Path, tamper: Callable[[Path], None]) -> None:
    publisher = Publisher(live, 0o640)
    publisher.publish(IMAGE)
    tamper(live)
    assert publisher.publish(ONE_MORE, CHANGED).whole
    assert ONE_MORE == live.read_bytes()
    assert not publisher.publish(IMAGE, CHANGED).whole


def test_the_map_grows_and_shrinks_with_the_table(live: Path) -> None:
    publisher = Publisher(live, 0o640)
    image = b""
    for keys in (set(), {b"192.0.2.1"}, KEYS, set(sorted(KEYS)[:10]), set()):
        previous, image = image, hash9.render(keys, hash9.bucket_count(image) if image else 0)
        publisher.publish(image, differing(previous, image))
        assert keys == hash9.read(read_locked(live))
        assert len(image) == live.stat().st_size


def test_the_mtime_moves_by_a_whole_second_each_time(live: Path) -> None:
    publisher = Publisher(live, 0o640)
    seconds = [int(live.stat().st_mtime)]
    started = int(time.time())
    for image in [IMAGE, ONE_MORE] * 3:
        publisher.publish(image, CHANGED)
        seconds.append(int(live.stat().st_mtime))
    assert sorted(set(seconds)) == seconds
    assert seconds[1] >= started
    assert seconds[-1] <= int(time.time()) + 6, "one second ahead of the clock for each publication within a second, no more"


def test_a_map_of_another_size_has_a_later_mtime_than_it_had_while_it_was_written(live: Path) -> None:
    publisher = Publisher(live, 0o640)
    publisher.publish(EMPTY)
    aged = time.time() - 30
    os.utime(live, (aged, aged))
    started = int(time.time())
    publisher.publish(IMAGE, differing(EMPTY, IMAGE))
    assert int(live.stat().st_mtime) > started


def test_an_mtime_in_the_future_moves_forward_too(live: Path) -> None:
    future = int(time.time()) + 86_400
    os.utime(live, (future, future))
    Publisher(live, 0o640).publish(IMAGE)
    assert future + 1 == int(live.stat().st_mtime)


@pytest.mark.parametrize("operation", ["LOCK_SH", "LOCK_EX"])
def test_a_lock_that_is_held_too_long_is_a_timeout_and_nothing_is_touched(live: Path, operation: str) -> None:
    publisher = Publisher(live, 0o640, lock_timeout_seconds=0.1)
    publisher.publish(IMAGE)
    before = live.stat()
    with lock_held(live, operation), pytest.raises(TimeoutError, match=r"popauth.db: somebody else has held its lock for 0.1 s"):
        publisher.publish(ONE_MORE, CHANGED)
    assert IMAGE == live.read_bytes()
    assert (before.st_mtime_ns, before.st_ino) == (live.stat().st_mtime_ns, live.stat().st_ino)
    assert not publisher.publish(ONE_MORE, CHANGED).whole
    assert ONE_MORE == live.read_bytes()


def test_an_image_whose_changes_are_not_known_is_written_whole(live: Path) -> None:
    publisher = Publisher(live, 0o640)
    publisher.publish(IMAGE)
    assert publisher.publish(ONE_MORE).whole
    assert ONE_MORE == live.read_bytes()


def test_a_lock_that_is_released_in_time_is_waited_for(live: Path) -> None:
    with ThreadPoolExecutor(1) as thread, live.open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        publishing = thread.submit(Publisher(live, 0o640, lock_timeout_seconds=30).publish, IMAGE)
        with pytest.raises(TimeoutError):
            publishing.result(0.1)
        assert EMPTY == live.read_bytes()
        fcntl.flock(held, fcntl.LOCK_UN)
        assert publishing.result(10).whole
    assert IMAGE == live.read_bytes()


def test_reading_waits_for_the_writer_and_not_for_readers(live: Path) -> None:
    with lock_held(live, "LOCK_SH"):
        assert EMPTY == read_locked(live)
    with lock_held(live, "LOCK_EX"), pytest.raises(TimeoutError):
        read_locked(live, lock_timeout_seconds=0.1)


def symbolic_link(path: Path) -> None:
    path.rename(path.with_suffix(".other"))
    path.symlink_to(path.with_suffix(".other"))


def dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def hard_link(path: Path) -> None:
    path.with_suffix(".other").hardlink_to(path)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("192.0.2.1\tOK\n")


def map_of_another_kind(path: Path) -> None:
    path.write_bytes(hash2.render([]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (symbolic_link, "is a symbolic link; make it a file of its own"),
        (dangling_link, "is a symbolic link; make it a file of its own"),
        (hard_link, "has 2 hard links; remove the others"),
        (fifo, "is not a regular file; move it away"),
        (directory, "is not a regular file; move it away"),
        (text, "is no map at all, and a hash9 map was to be written there; set the `format` that sendmail reads, or empty it"),
        (map_of_another_kind, "is a hash2 file, and a hash9 map was to be written there"),
    ],
)
def test_a_file_that_is_not_ours_to_overwrite_is_refused(live: Path, spoil: Callable[[Path], None], message: str) -> None:
    publisher = Publisher(live, 0o640)
    publisher.publish(IMAGE)
    spoil(live)
    before = live.lstat()
    content = live.read_bytes() if live.is_file() else b""
    with pytest.raises(MapRefusedError, match=message):
        publisher.publish(ONE_MORE, CHANGED)
    assert (before.st_ino, before.st_mtime_ns) == (live.lstat().st_ino, live.lstat().st_mtime_ns)
    assert content == (live.read_bytes() if live.is_file() else b"")


def test_bytes_that_are_no_map_are_not_published(live: Path) -> None:
    with pytest.raises(ValueError, match="no map"):
        Publisher(live, 0o640).publish(b"192.0.2.1\tOK\n")
    assert EMPTY == live.read_bytes()


def test_metadata_are_written_last_and_changed_pages_in_one_go(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offsets: list[int] = []
    write = os.pwrite

    def pwrite(file: int, content: bytes, offset: int) -> int:
        offsets.append(offset)
        return write(file, content, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    publisher = Publisher(live, 0o640)
    publisher.publish(IMAGE)
    assert [len(EMPTY), PAGE, 0] == offsets, "what the file has not got yet, the pages, the metadata"
    offsets.clear()
    publisher.publish(ONE_MORE, CHANGED)
    (changed,) = (
        number * PAGE for number, (old, new) in enumerate(zip(pages(IMAGE), pages(ONE_MORE), strict=True)) if number and old != new
    )
    assert [changed, 0] == offsets
