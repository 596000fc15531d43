"""Log files as lines, with how far the reading has come: plain, gzip, or standard input (`-`)."""

import gzip
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_LINE_BYTES = 65536  # a longer line is handed over in pieces, which no format takes


def open_log(path: str) -> BinaryIO:
    """Raises OSError."""
    return sys.stdin.buffer if path == "-" else Path(path).open("rb")


def lines(log: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Each line without its line feed, and the bytes of the file read so far.

    Raises OSError, and on a damaged gzip file EOFError or zlib.error.
    """
    if not stat.S_ISREG(os.fstat(log.fileno()).st_mode):
        yield from _from(log, None)
        return
    start = log.tell()
    packed = log.read(2) == b"\x1f\x8b"
    log.seek(start)
    if packed:
        with gzip.open(log) as unpacked:
            yield from _from(unpacked, log)  # type: ignore[arg-type] # GzipFile reads like a BinaryIO, but is not typed as one
    else:
        yield from _from(log, log)


def _from(source: BinaryIO, measured: BinaryIO | None) -> Iterator[tuple[bytes, int]]:
    position = 0
    for count, line in enumerate(iter(lambda: source.readline(MAX_LINE_BYTES), b"")):
        if measured and count % 4096 == 0:
            position = measured.tell()
        yield line.removesuffix(b"\n"), position


def size_and_mtime(log: BinaryIO) -> tuple[int, float | None]:
    """Bytes of the file, and its mtime in Unix seconds; 0 and None for what is no file, as standard input may be."""
    found = os.fstat(log.fileno())
    return (found.st_size, found.st_mtime) if stat.S_ISREG(found.st_mode) else (0, None)
