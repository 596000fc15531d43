"""Log files as lines, with how far the reading has come: plain, gzip, or standard input (`-`)."""

import gzip
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_LINE_BYTES = 65536  # a longer line is handed over in pieces, which no format takes


def lines(path: str) -> Iterator[tuple[bytes, int]]:
    """Each line without its line feed, and the bytes of the file read so far. Raises OSError, EOFError on a cut gzip file."""
    if path == "-":
        yield from _from(sys.stdin.buffer, sys.stdin.buffer)
        return
    with Path(path).open("rb") as raw:
        if raw.read(2) == b"\x1f\x8b":
            raw.seek(0)
            with gzip.open(raw) as unpacked:
                yield from _from(unpacked, raw)  # type: ignore[arg-type] # GzipFile reads like a BinaryIO, but is not typed as one
        else:
            raw.seek(0)
            yield from _from(raw, raw)


def _from(source: BinaryIO, measured: BinaryIO) -> Iterator[tuple[bytes, int]]:
    position = 0
    for count, line in enumerate(iter(lambda: source.readline(MAX_LINE_BYTES), b"")):
        if count % 4096 == 0 and measured.seekable():
            position = measured.tell()
        yield line.removesuffix(b"\n"), position


def size_and_mtime(path: str) -> tuple[int, float | None]:
    """Bytes of the file, and its mtime in Unix seconds; 0 and None for standard input."""
    if path == "-":
        return 0, None
    found = os.stat(path)  # noqa: PTH116 - a name, not a path object
    return found.st_size, found.st_mtime
