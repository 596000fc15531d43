"""How a finished image becomes the live map that sendmail reads: in place, under flock(LOCK_EX), never by rename.

sendmail opens a map as stat, open, compare, flock(LOCK_SH), open again, compare; a rename in between makes it log `changed after open`
and refuse every relaying client for the rest of that session (sendmail 8.17 and 8.18, map.c and safefile.c). It takes the same lock
around each look-up and opens the map anew when the mtime, in whole seconds, is greater than the one it saw. So a publication is:

  lock, with a deadline | look what is there | pages behind the old end | changed pages from 1 on | page 0, the metadata | cut to size |
  mtime := max(now, the old one + 1 s) | unlock | fsync

sendmail reads page 0 under the lock, gives the lock back, and only then notes the mtime. A publication that falls between would leave it
with the old number of buckets and the new mtime, and half of the keys missing until the next publication. So where page 0 may mean other
buckets, the publisher sleeps a moment under the lock, that such a reader may go on and note an mtime, and sets a later second than that.

Only changed pages are written where inode, size and mtime are what this publisher left behind; else the whole image: a map that somebody
else wrote to, or that a crash tore, is whole again after one publication. Only a map that does not exist is created by rename.

Errors are OSErrors, the environment's: TimeoutError when the lock is held too long, MapRefusedError when the file must not be
overwritten. The file keeps its content in both cases, and when the disk is full while the map grows. Any other error may leave a torn map
behind, which the next publication writes whole. The rate is the caller's: two publications in a second move the mtime ahead of the clock.
"""

import fcntl
import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from syslogauth.exports.sendmail_hash import HEAD_BYTES, identify
from syslogauth.maplock import LOCK_TIMEOUT_SECONDS, MapRefusedError, locked, read_locked

__all__ = ["ForeignFileError", "MapRefusedError", "Published", "Publisher", "differing", "read_locked"]

PAGE_BYTES = 4096  # what is compared and written at a time; a map's own pages may have another size
BRIDGED_BYTES = 4 * PAGE_BYTES  # unchanged ones between two pieces: to write them takes less time under the lock than another call
TOUCH_SECONDS = 0.02
SETTLE_SECONDS = 0.003
SECOND_NS = 1_000_000_000


class ForeignFileError(MapRefusedError):
    """The file is of another kind: nothing of ours is in it, and sendmail cannot read it as the map that was to be there."""


@dataclass(frozen=True, slots=True)
class Published:
    """What one publication did. `lock_seconds`: how long readers may have had to wait. `whole`: not just the changed pages."""

    pages_written: int
    bytes_written: int
    lock_seconds: float
    whole: bool


@dataclass(frozen=True, slots=True)
class _State:
    """A file as it was left behind."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, file: int) -> "_State":
        found = os.fstat(file)
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


Piece = tuple[int, int]  # first byte, byte after the last
Image = bytes | bytearray


class Publisher:
    """Publishes images to one path, the map's own with `.db`. One publisher at a time for a map: its caller sees to that.

    `mode` is for the creation of the map alone. Root makes it with group 0, and with itself as the owner: sendmail, as root, reads a map
    of another owner only where its own group may.
    """

    def __init__(self, path: Path, mode: int, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> None:
        self.path = path
        self.mode = mode
        self.lock_timeout_seconds = lock_timeout_seconds
        self._left: _State | None = None

    def publish(self, image: Image, changed: Collection[int] | None = None, *, touch: bool = False) -> Published:
        """Make `image` the live map; `touch`: move its mtime even where nothing changed.

        `changed`: the numbers of the pages in which it differs from the image that was published last, without an error; None: unknown.
        OSErrors as the module says; ValueError where the image is no map.
        """
        kind = identify(bytes(image[:HEAD_BYTES]))
        if kind is None:
            raise ValueError("the image to publish is no map")
        if changed is None:
            self._left = None
        pieces = _pieces(changed or (), len(image))  # before the lock, which is to be short
        try:
            with locked(self.path, os.O_RDWR, fcntl.LOCK_EX, self.lock_timeout_seconds) as file:
                return self._rewrite(file, image, kind, pieces, touch)
        except FileNotFoundError:
            return self._create(image)

    def _rewrite(self, file: int, image: Image, kind: str, changed: list[Piece], touch: bool) -> Published:
        locked_at = time.monotonic()
        _check_kind(self.path, file, kind)
        before = os.fstat(file)
        whole = self._left != _State.of(file)
        pieces = [(0, PAGE_BYTES), (PAGE_BYTES, len(image))] if whole else changed
        moved, seen_ns = True, before.st_mtime_ns
        self._left = None  # unless this succeeds, nothing is known of the file
        if pieces or touch:
            _write(file, image, pieces, before.st_size)
            if whole or before.st_size != len(image):
                time.sleep(SETTLE_SECONDS)
                seen_ns = max(seen_ns, os.fstat(file).st_mtime_ns)
            moved = _move_mtime(file, seen_ns)
        state = _State.of(file)
        fcntl.flock(file, fcntl.LOCK_UN)
        lock_seconds = time.monotonic() - locked_at
        os.fsync(file)
        if moved:
            self._left = state
        else:
            _touch_in_next_second(file, seen_ns)
        return _published(pieces, lock_seconds, whole)

    def _create(self, image: Image) -> Published:
        """rename is safe here alone: nobody has a map open that does not exist."""
        new = self.path.with_name(f".{self.path.name}.new")
        new.unlink(missing_ok=True)  # left behind by a crash
        try:
            file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except PermissionError:
            made_by_root = f"install -o {os.geteuid()} -g 0 -m {self.mode:04o} /dev/null {self.path}"
            raise PermissionError(f"{self.path} does not exist, and may not be made here; as root: {made_by_root}") from None
        try:
            if os.geteuid() == 0:
                os.fchown(file, -1, 0)
            os.fchmod(file, self.mode)
            _write_at(file, image, 0, len(image))
            os.fsync(file)
            state = _State.of(file)
            if os.path.lexists(self.path):
                raise FileExistsError(f"{self.path} was made by somebody else just now; it is written in place the next time")
            new.rename(self.path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        _fsync_directory(self.path.parent)
        self._left = state
        return _published([(0, len(image))], 0.0, whole=True)


def differing(previous: Image, image: Image) -> list[int]:
    """The numbers of the pages of an image that are other than those of the previous one."""
    starts = range(0, len(image), PAGE_BYTES)
    return [number for number, start in enumerate(starts) if previous[start : start + PAGE_BYTES] != image[start : start + PAGE_BYTES]]


def _published(pieces: list[Piece], lock_seconds: float, whole: bool) -> Published:
    pages = sum(-(-(end - start) // PAGE_BYTES) for start, end in pieces)
    return Published(pages, sum(end - start for start, end in pieces), lock_seconds, whole)


def _pieces(changed: Iterable[int], size: int) -> list[Piece]:
    """The pages with these numbers, near ones as one piece; page 0 apart from its neighbour. What lies behind the end is left out."""
    pieces: list[Piece] = []
    for number in sorted(changed):
        start, end = PAGE_BYTES * number, min(PAGE_BYTES * (number + 1), size)
        if pieces and pieces[-1][0] and start - pieces[-1][1] <= BRIDGED_BYTES:
            pieces[-1] = pieces[-1][0], end
        elif start < end:
            pieces.append((start, end))
    return pieces


def _check_kind(path: Path, file: int, kind: str) -> None:
    head = os.pread(file, HEAD_BYTES, 0)
    found = identify(head)
    if found == kind or not any(head):  # zeros: torn while it was made, before its metadata were written
        return
    is_what = f"a {found} file" if found else "no map at all"
    raise ForeignFileError(
        f"{path} is {is_what}, and a {kind} map was to be written there; set the `format` that sendmail reads, or empty it (: > {path})"
    )


def _write(file: int, image: Image, pieces: list[Piece], old_size: int) -> None:
    # What lies behind the old end comes first: if the disk is full, that shows before anything is overwritten.
    boundary = max(old_size, PAGE_BYTES)
    if len(image) > boundary:
        try:
            _write_at(file, image, boundary, len(image))
        except OSError:
            os.ftruncate(file, old_size)
            raise
    for start, end in sorted(pieces, key=lambda piece: piece[0] == 0):
        _write_at(file, image, start, min(end, boundary))
    os.ftruncate(file, len(image))


def _write_at(file: int, image: Image, start: int, end: int) -> None:
    view = memoryview(image)
    while start < end:
        start += os.pwrite(file, view[start:end], start)


def _move_mtime(file: int, seen_ns: int) -> bool:
    """Move the mtime to a later second than a reader has seen; False where that cannot be done yet.

    Only the owner may set a time. Another user's write has just set it to now, which may be in the same second.
    """
    now, next_second = time.time_ns(), (seen_ns // SECOND_NS + 1) * SECOND_NS
    try:
        os.utime(file, ns=(now, max(now, next_second)))
    except PermissionError:
        return os.fstat(file).st_mtime_ns >= next_second
    return True


def _touch_in_next_second(file: int, seen_ns: int) -> None:
    """For a map of another owner: wait until the second is over, without the lock, and set the mtime to now, which a writer may.

    A map whose mtime lies further in the future stays unseen by sessions that are open already, until the clock has passed it.
    """
    next_second = (seen_ns // SECOND_NS + 1) * SECOND_NS
    deadline = time.monotonic() + 1.1  # the clock of a file system runs some milliseconds behind
    while os.fstat(file).st_mtime_ns < next_second and time.monotonic() < deadline:
        time.sleep(TOUCH_SECONDS)
        os.utime(file)


def _fsync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
