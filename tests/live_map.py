"""The live map as sendmail opens it: the whole file, read under the shared lock that its writer must wait for."""

import fcntl
from pathlib import Path

from syslogauth.exports import hash9


def image(path: Path) -> bytes:
    """The bytes of a map, by its full name with `.db`."""
    with path.open("rb") as live:
        fcntl.flock(live, fcntl.LOCK_SH)
        return live.read()


def keys(path: Path) -> frozenset[str]:
    """Every key of a hash9 map. ValueError on a damaged one."""
    return frozenset(key.decode() for key in hash9.read(image(path)))
