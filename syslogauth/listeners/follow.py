"""A log file that is followed through its rotations (listen.file): its lines as they come, each once, and the position after them.

It is polled: to look whether something came costs a few system calls. What is read, the oldest first:

- by rename (newsyslog, logrotate's create): the old file to its end, and on for LINGER_SECONDS after its last growth, since the
  syslogd writes into it until it hears of the rotation; as long as nothing is in the new one, it has not heard. Then the new one.
- by copytruncate: a file that has shrunk, or that has other bytes where it was read. What was copied away unread is read from the copy,
  then the file from its beginning. What is written between the copying and the truncation is lost by logrotate itself.
- by another file that goes on where this one was read to (an editor's, a copy): from there on.
- after a restart: from its position on, wherever what it speaks of is now, also in a copy or compressed, and what came after that.

What stands without a line feed at the end of a file that is done is no line, whatever it looks like (law 2); after a copy that ends so,
neither is the beginning of the file up to its first line feed, which may be the rest of that line.

A file that is missing is waited for. One that cannot be read, or a generation that is not found, is a line in the log. Nothing here blocks
(but for a file system that hangs); a call reads a block at most, and nothing is kept between two but the edges of what was read.
"""

import os
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from syslogauth.core.batch import Batch
from syslogauth.listeners.logfile import DAMAGED, Key, LogFile, Plain, Replaced
from syslogauth.listeners.rotated import between, find, opened
from syslogauth.positions import Position

LINGER_SECONDS = 60.0
MISSING_SECONDS = 5.0  # longer than any rotation leaves none
MOST_FILES = 16  # read at once: a rotation more, and the oldest that is read to its end is given up
REMEMBERED = 64  # that are not read again should they seem to be new


class Lines(NamedTuple):
    """Whole lines, and when the file that they stand in was last written to, Unix seconds. `live`: nothing had waited before them."""

    batch: Batch
    written_at: float
    live: bool


class Follower:
    """`rotations` counts them by kind. Without a position the file is read from its beginning: old lines grant nothing (law 4)."""

    def __init__(
        self, path: Path, position: Position | None, log: structlog.stdlib.BoundLogger, linger_seconds: float = LINGER_SECONDS
    ) -> None:
        self.path = path
        self.log = log
        self.rotations = {"renamed": 0, "truncated": 0}
        self.readable = True
        self._linger_seconds = linger_seconds
        self._files: list[LogFile] = []  # the oldest first, the log as it is now last
        self._done: deque[bytes] = deque(maxlen=REMEMBERED)  # what those began with that were given up
        self._passed_over: deque[int] = deque(maxlen=REMEMBERED)  # inodes of those that could not be read, which was said
        self._key: Key | None = None  # of the log as it was when last opened
        self._empty_since = 0  # its mtime then, nanoseconds, while nothing of it has been read
        self._after_half = False  # the next one begins within a line that was given up
        self._caught_up = False
        self._resume_from = position  # what is not open yet
        self._looked_at = position.looked_at if position else 0.0
        self._seen_at = time.monotonic()
        self._trouble = ""  # that was said, and when it was met last
        self._failed_at = 0.0

    def read(self) -> Lines | None:
        """The next lines, None where none have come."""
        found = None
        try:
            self._look()
            self._fine()
        except OSError as error:
            self._failed(error)  # what is open is read on
        try:
            found = self._next()
        except OSError as error:  # a file system that went away, say
            self._failed(error)
            self._resume_from = self.position()
            self.close()
        return found

    def position(self) -> Position:
        """After all that was read."""
        return self._resume_from or Position(self._looked_at, tuple(file.mark() for file in self._files))

    def unread_bytes(self) -> int:
        try:
            return sum(file.unread_bytes() for file in self._files)
        except OSError:
            return 0  # read() will say so

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._files.clear()

    # which files there are

    def _look(self) -> None:
        """Open what is to be read. Raises OSError."""
        if self._resume_from is not None:
            self._resume(self._resume_from)
        now, looked_at = time.monotonic(), time.time()
        try:
            found = os.stat(self.path)  # noqa: PTH116 - ten times a second
            if not self._files or self._files[-1].key != (found.st_dev, found.st_ino):
                self._open_next()
            elif not self._files[-1].offset and found.st_mtime_ns != self._empty_since:  # or written, copied and truncated meanwhile
                self._files[-1:-1] = self._unread(self._files)
                self._empty_since = found.st_mtime_ns
        except FileNotFoundError:  # between a rename and the making of a new one
            if now - self._seen_at > MISSING_SECONDS:
                raise
            return
        self._seen_at, self._looked_at = now, looked_at

    def _resume(self, position: Position) -> None:
        """Open again what the position speaks of, wherever it is now. Raises OSError, and then nothing is open."""
        lost = 0
        try:
            for mark in position.marks:
                if (file := find(self.path, mark, {file.key for file in self._files})) is not None:
                    self._files.append(file)
                else:
                    lost += mark.offset > 0
        except OSError:
            self.close()
            raise
        self._resume_from, self._empty_since = None, 0
        if position.marks:
            self._key = (position.marks[-1].device, position.marks[-1].inode)
        if lost:
            self._lost("a rotated file is gone; what had not been read of it is lost")

    def _open_next(self) -> None:
        """Open the log as it is now, after what nobody has read between this one and the last. Raises OSError."""
        if self._files:
            self._look_again(self._files[-1])
        last = self._files[-1].mark() if self._files else None
        new = opened(self.path, last, ()) if last and last.offset else None
        if new is not None:
            self._files.append(new)
        else:
            new = LogFile(Plain(self.path))
            try:
                unread = self._unread([*self._files, new]) if self._key else []  # not the new one itself under a dated name
            except OSError:
                new.close()
                raise
            for file in (*unread, new):
                file.truncated = new.key == self._key
            if self._key is not None:
                self.rotations["truncated" if new.truncated else "renamed"] += 1
            self._files += [*unread, new]
        self._key = new.key

    def _unread(self, known: Sequence[LogFile]) -> list[LogFile]:
        """What has come and gone since the last look. Raises OSError."""

        def unreadable(entry: os.DirEntry[str], error: Exception) -> None:
            if entry.inode() not in self._passed_over:
                self._passed_over.append(entry.inode())
                self._lost("a rotated file cannot be read, and is passed over", name=entry.name, error=str(error))

        return between(self.path, self._looked_at, known, self._done, unreadable)

    def _let_go(self) -> None:
        """Close what is done: rotated away, quiet for long enough, and followed by a file that is written to."""
        for file, newer in zip(tuple(self._files), tuple(self._files[1:]), strict=False):
            quiet = time.monotonic() - file.grown_at > self._linger_seconds and newer.source.size() > 0
            if file.unread_bytes() <= file.half and (quiet or len(self._files) > MOST_FILES):
                if file.half and not newer.truncated:
                    self._lost("a rotated file ends within a line, which is not taken for one", bytes=file.half)
                self._drop(file)

    # what they hold

    def _next(self) -> Lines | None:
        """Raises OSError."""
        live, self._caught_up = self._caught_up, False
        for number, file in enumerate(tuple(self._files)):
            self._begin_after(self._files[number - 1] if number else None, file)
            written_at = file.source.written_at()  # first: what is read must not be lost where this fails
            if lines := self._lines(file):
                return Lines(Batch.of_lines(lines), written_at, live)
            if file.reaching or file not in self._files:
                return None
        self._let_go()
        self._caught_up = True
        return None

    def _lines(self, file: LogFile) -> bytes:
        try:
            return file.read()
        except Replaced:
            self._replaced(file)
        except DAMAGED as error:
            self._lost("a compressed file is damaged; the rest of it is lost", error=str(error))
            self._drop(file)
        return b""

    def _look_again(self, file: LogFile) -> None:
        """It may have been truncated before it was renamed."""
        try:
            file.stands()
        except Replaced:
            self._replaced(file)

    def _replaced(self, file: LogFile) -> None:
        """Go on in the copy of it, if there is one; the log itself is opened anew at the next look."""
        if file is not self._files[-1]:
            self._drop(file)
            return self._lost("a rotated file has changed; what had not been read of it is lost")
        copy = find(self.path, file.mark(), {other.key for other in self._files})
        self._drop(file)
        if copy is not None:
            self._files.append(copy)
        else:
            self._after_half = file.half > 0
            self._lost(
                "truncated, and no copy is found beside it; what had not been read is lost", known_bytes=file.seen_bytes - file.offset
            )
        return None

    def _begin_after(self, older: LogFile | None, file: LogFile) -> None:
        """A file that was truncated within a line may begin with the rest of that line."""
        if file.truncated and not file.offset and (self._after_half or (older is not None and older.half)):
            file.in_line, self._after_half = True, False

    def _drop(self, file: LogFile) -> None:
        self._files.remove(file)
        self._done.append(file.begins)
        file.close()

    # what is said

    def _lost(self, what: str, **figures: object) -> None:
        self.log.warning(f"followed file: {what}", file=str(self.path), **figures)

    def _fine(self) -> None:
        if self._trouble and time.monotonic() - self._failed_at > MISSING_SECONDS:
            self.log.info("followed file can be read again", file=str(self.path))
            self._trouble = ""
        self.readable = not self._trouble

    def _failed(self, error: OSError) -> None:
        self.readable, self._failed_at = False, time.monotonic()
        if (trouble := error.strerror or str(error)) != self._trouble:
            self.log.error("followed file cannot be read; tried again", file=str(self.path), error=trouble, mend=_mend(error, self.path))
            self._trouble = trouble


def _mend(error: OSError, path: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return "is listen.file right? it is waited for"
    if isinstance(error, PermissionError):
        return f"let this user (uid {os.geteuid()}) read it, its directory, and what rotation makes of it"
    return f"look at {path}"
