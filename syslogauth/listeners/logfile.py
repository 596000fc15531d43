"""One generation of a followed log file, open: its whole lines from an offset on, and whether it is still what it was.

A line is whole when its line feed is there; until then it stays in the file, and nothing of it is kept here. A line of more than
MAX_LINE_BYTES is handed over cut, which no format takes, and the rest of it is passed over, lest it be taken for a line of its own (law 2).

A plain file may be truncated at any moment (copytruncate). What was read is therefore trusted only if the first and the last bytes before
it still stand there afterwards: a file that was truncated and has grown again has others. A compressed one is finished, and is unpacked
in steps, since to pass over a gigabyte of it takes half a minute.
"""

import bz2
import gzip
import lzma
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from syslogauth.listeners.tail import BLOCK_BYTES, MAX_LINE_BYTES
from syslogauth.positions import EDGE_BYTES, Mark, digest

STEP_BYTES = 4 << 20  # at a time, of what is passed over: some 20 ms of gzip, 150 of bzip2
UNPACKED: dict[str, Callable[[Path, str], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
DAMAGED = (EOFError, zlib.error, lzma.LZMAError)
Key = tuple[int, int]  # device and inode


class Replaced(Exception):  # noqa: N818 - it is no error
    """The file does not hold any more what was read of it: it was truncated, or written anew."""


class Source(Protocol):
    """The bytes of a file. All raise OSError; of a compressed file also DAMAGED."""

    key: Key

    def reach(self, offset: int) -> bool:
        """Whether what follows this offset can be read now; else it may be asked again."""

    def at(self, offset: int, count: int) -> bytes:
        """At most so many bytes from there on, fewer at the end only."""

    def size(self) -> int:
        """In bytes; of a compressed file what is known of it."""

    def written_at(self) -> float:
        """Its mtime, Unix seconds."""

    def close(self) -> None: ...


class Plain:
    def __init__(self, path: Path) -> None:
        """Raises OSError; what is no regular file would block, and is an OSError too."""
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        found = os.fstat(self._fd)
        self.key = (found.st_dev, found.st_ino)

    def reach(self, offset: int) -> bool:
        return True

    def at(self, offset: int, count: int) -> bytes:
        return os.pread(self._fd, count, offset)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def written_at(self) -> float:
        return os.fstat(self._fd).st_mtime

    def close(self) -> None:
        os.close(self._fd)


class Packed:
    """Goes forward only, but for the last EDGE_BYTES before what was asked for."""

    def __init__(self, path: Path) -> None:
        found = path.stat()
        self.key = (found.st_dev, found.st_ino)
        self._written_at = found.st_mtime
        self._file: BinaryIO = UNPACKED[path.suffix](path, "rb")
        self._start, self._data = 0, b""

    def reach(self, offset: int) -> bool:
        wanted = max(0, offset - EDGE_BYTES)
        for _ in range(STEP_BYTES // BLOCK_BYTES):
            if self._start + len(self._data) >= wanted:
                return True
            self._start, self._data = self._start + len(self._data), b""
            if not self._more():
                return True
        return False

    def at(self, offset: int, count: int) -> bytes:
        while self._start + len(self._data) < offset + count and self._more():
            pass
        found = self._data[max(0, offset - self._start) :][:count]
        if (gone := offset - EDGE_BYTES - self._start) > BLOCK_BYTES:
            self._start, self._data = self._start + gone, self._data[gone:]
        return found

    def _more(self) -> bool:
        if self._file.closed:
            return False
        try:
            more = self._file.read(BLOCK_BYTES)
        except OSError as error:
            if error.errno is None:  # so gzip and bz2 say that it is damaged
                raise EOFError(str(error)) from error
            raise
        if not more:
            self._file.close()  # xz keeps up to 64 MiB, and it may be one of many that are open
        self._data += more
        return bool(more)

    def size(self) -> int:
        return self._start + len(self._data)

    def written_at(self) -> float:
        return self._written_at

    def close(self) -> None:
        self._file.close()


def source_of(path: Path) -> Source:
    """Raises OSError."""
    return Packed(path) if path.suffix in UNPACKED else Plain(path)


class LogFile:
    """From `mark` on, else from its beginning. `half`: bytes of a line at its end that had no end when it was last read.

    `truncated`: it is the log that was truncated, and begins where the copy of it ends. `begins` and `ends` are the edges of what was read.
    """

    def __init__(self, source: Source, mark: Mark | None = None) -> None:
        self.source = source
        self.key = source.key
        self.offset = mark.offset if mark else 0
        self.in_line = bool(mark and mark.in_line)
        self.half = 0
        self.truncated = False
        self.seen_bytes = 0  # its size when last looked at
        self.reaching = False  # what comes before the mark must be unpacked yet
        self.grown_at = time.monotonic()
        self._mark = mark  # until its tail has been compared
        self.begins = self.ends = b""

    def read(self) -> bytes:
        """The next whole lines; empty where there are none now. Raises Replaced, OSError, DAMAGED."""
        if not self._continued():
            return b""
        for _ in range(STEP_BYTES // BLOCK_BYTES):
            data = self.source.at(self.offset, BLOCK_BYTES)
            self.stands()  # asked last: see the module
            taken, lines, self.in_line = cut(data, self.in_line)
            if len(data) != self.half or taken:
                self.grown_at = time.monotonic()
            self.half = len(data) - taken
            if not taken:
                return b""
            self.offset += taken
            self.begins = (self.begins + data[:taken])[:EDGE_BYTES] if len(self.begins) < EDGE_BYTES else self.begins
            self.ends = (self.ends + data[max(0, taken - EDGE_BYTES) : taken])[-EDGE_BYTES:]
            if lines:
                return lines
        return b""

    def holds(self, mark: Mark) -> bool:
        """Whether it is the generation of the mark; of a compressed one only the beginning is looked at yet. Raises OSError, DAMAGED."""
        if not mark.offset:
            return self.key == (mark.device, mark.inode)
        if digest(self.source.at(0, min(mark.offset, EDGE_BYTES))) != mark.head:
            return False
        return isinstance(self.source, Packed) or digest(self._edge_before(mark.offset)) == mark.tail

    def head(self) -> bytes:
        """Its first bytes, read or not. Raises OSError, DAMAGED."""
        return self.begins or self.source.at(0, EDGE_BYTES)

    def mark(self) -> Mark:
        if self._mark is not None:
            return self._mark
        return Mark(*self.key, self.offset, self.in_line, digest(self.begins), digest(self.ends))

    def unread_bytes(self) -> int:
        """Of a compressed file: what is known of them."""
        return max(0, self.source.size() - self.offset)

    def close(self) -> None:
        self.source.close()

    def _continued(self) -> bool:
        """True once what was read before the mark has been found to stand here."""
        mark = self._mark
        if mark is None:
            return True
        if not self.begins:
            self.begins = self.source.at(0, min(mark.offset, EDGE_BYTES))
        self.reaching = not self.source.reach(mark.offset)
        if self.reaching:
            self.grown_at = time.monotonic()
            return False
        self.ends = self._edge_before(mark.offset)
        if digest(self.ends) != mark.tail or digest(self.begins) != mark.head:
            raise Replaced
        self._mark = None
        return True

    def _edge_before(self, offset: int) -> bytes:
        count = min(offset, EDGE_BYTES)
        return self.source.at(offset - count, count)

    def stands(self) -> None:
        """Raises Replaced where what was read does not stand there any more; OSError."""
        if isinstance(self.source, Packed):
            return
        size = self.source.size()
        if (
            size < self.offset
            or self.source.at(0, len(self.begins)) != self.begins
            or self.source.at(self.offset - len(self.ends), len(self.ends)) != self.ends
        ):
            raise Replaced
        self.seen_bytes = size


def cut(data: bytes, in_line: bool) -> tuple[int, bytes, bool]:
    """How many bytes are dealt with, the whole lines among them, and whether the rest goes on in a line that was given up."""
    begin = 0
    if in_line:
        begin = data.find(b"\n") + 1
        if not begin:
            return len(data), b"", True
    if (end := data.rfind(b"\n", begin) + 1) > begin:
        return end, data[begin:end], False
    if len(data) - begin > MAX_LINE_BYTES:
        return begin + MAX_LINE_BYTES, data[begin : begin + MAX_LINE_BYTES], True
    return begin, b"", False
