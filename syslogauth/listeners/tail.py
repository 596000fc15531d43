"""Log files as lines, with how far the reading has come: plain, gzip, or standard input (`-`)."""

import gzip
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

BLOCK_BYTES = 1 << 18
MAX_LINE_BYTES = 65536  # a longer line is handed over in pieces, which no format takes


def open_log(path: str) -> BinaryIO:
    """Raises OSError."""
    return sys.stdin.buffer if path == "-" else Path(path).open("rb")


def lines(log: BinaryIO) -> Iterator[bytes]:
    """Each line without its line feed. Raises as blocks()."""
    for block, _ in blocks(log):
        yield from block.removesuffix(b"\n").split(b"\n")


def blocks(log: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Whole lines, as many as come at once, and the bytes of the file read so far.

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
            yield from _from(unpacked, log)
    else:
        yield from _from(log, log)


def _from(source: Any, measured: BinaryIO | None) -> Iterator[tuple[bytes, int]]:
    begun = b""  # a line whose end has not come yet
    while read := source.read1(BLOCK_BYTES):
        whole, end, rest = (begun + read).rpartition(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            whole, end, rest = whole + end + rest, b"", b""
        if whole or end:
            yield whole + end, measured.tell() if measured else 0
        begun = rest
    if begun:
        yield begun, measured.tell() if measured else 0


def size_and_mtime(log: BinaryIO) -> tuple[int, float | None]:
    """Bytes of the file, and its mtime in Unix seconds; 0 and None for what is no file, as standard input may be."""
    found = os.fstat(log.fileno())
    return (found.st_size, found.st_mtime) if stat.S_ISREG(found.st_mode) else (0, None)
