"""The lock of a live map, flock(2) as sendmail takes it, on the file that is at the map's path, and only where that file may be touched.

Errors are OSErrors: TimeoutError where somebody else holds the lock for too long; MapRefusedError where the file is not one of a map's own
(a link, a FIFO, a directory), whose text says how to mend it.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

POLL_SECONDS = 0.002
LOCK_TIMEOUT_SECONDS = 5.0


class MapRefusedError(OSError):
    """The file at the map's path is not one that may be overwritten. The text says why and how to mend it."""


def read_locked(path: Path, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> bytes:
    """The live map, read under flock(LOCK_SH) as sendmail does."""
    with locked(path, os.O_RDONLY, fcntl.LOCK_SH, lock_timeout_seconds) as file, open(file, "rb", closefd=False) as live:
        return live.read()


@contextmanager
def locked(path: Path, access: int, operation: int, timeout_seconds: float) -> Iterator[int]:
    """The file at `path`, opened and locked; unlocked and closed at the end."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        file = _open(path, access)
        try:
            if _lock(file, operation) and _is_at(path, file):
                yield file
                return
        finally:
            os.close(file)
        if time.monotonic() >= deadline:
            raise TimeoutError(
                f"{path}: somebody else has held its lock for {timeout_seconds:g} s (`fuser -v {path}` shows who has it open)"
            )
        time.sleep(POLL_SECONDS)


def _open(path: Path, access: int) -> int:
    try:
        # O_NONBLOCK: a FIFO must not keep us waiting before it is refused.
        file = os.open(path, access | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        # The error for a symbolic link is ELOOP on Linux, EMLINK on FreeBSD, EFTYPE on NetBSD.
        with suppress(FileNotFoundError):
            _check_type(path, path.lstat())
        raise
    try:
        _check_type(path, os.fstat(file))
    except MapRefusedError:
        os.close(file)
        raise
    return file


def _check_type(path: Path, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise MapRefusedError(f"{path} is a symbolic link; make it a file of its own, or set the path that it leads to")
    if not stat.S_ISREG(found.st_mode):
        raise MapRefusedError(f"{path} is not a regular file; move it away")
    if found.st_nlink > 1:
        raise MapRefusedError(f"{path} has {found.st_nlink} hard links; remove the others (`find -inum {found.st_ino}`)")


def _lock(file: int, operation: int) -> bool:
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, file: int) -> bool:
    """Whether the file that was locked is still the one at `path`: somebody may have replaced it in between."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(file))
    except FileNotFoundError:
        return False
