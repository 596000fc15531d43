"""The other generations of a followed log file: what rotation has made of it beside it, under other names, copied or compressed.

A generation that was read before is known by its bytes (LogFile), under any name that begins as the log's own; names that rotation gives
come first, since another log may hold the same lines (`mail.info`, beside `mail.log`). One that nobody has read yet, because the log was
rotated twice between two looks, must bear a name as newsyslog and logrotate give (`maillog.0`, `mail.log-20261122.gz`) and have been
written to since the last look. Rotated to another directory (logrotate's olddir), neither is found.
"""

import contextlib
import os
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path

from syslogauth.listeners.logfile import DAMAGED, UNPACKED, Key, LogFile, source_of
from syslogauth.positions import Mark

MOST = 100  # that are looked into
GRAIN_SECONDS = 2.0  # of a file system's times
COUNTED_OR_DATED = r"[.-]\d[\dT:.-]*"


def beside(path: Path) -> Iterator[os.DirEntry[str]]:
    """The files whose names begin as the log's, in its directory and in that of what it links to. Raises OSError."""
    for place in dict.fromkeys((path, Path(os.path.realpath(path)))):
        with os.scandir(place.parent) as entries:
            yield from (entry for entry in entries if entry.name.startswith(place.stem) and entry.is_file())


def _packed(entry: os.DirEntry[str]) -> bool:
    """They come last: one may be half made, beside what it is made of."""
    return entry.name.endswith(tuple(UNPACKED))


def _written_at(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:  # just removed
        return 0.0


def rotated_name(log: Path, name: str) -> bool:
    """Whether newsyslog or logrotate may have given the name to the log: counted, dated, also before its suffix."""
    packed = "|".join(map(re.escape, UNPACKED))
    whole, stem, suffix = map(re.escape, (log.name, log.stem, log.suffix))
    return re.fullmatch(f"(?:{whole}{COUNTED_OR_DATED}|{stem}{COUNTED_OR_DATED}{suffix})(?:{packed})?", name, re.ASCII) is not None


def _names(log: Path) -> set[Path]:
    return {log, Path(os.path.realpath(log))}


def _rotated(names: Iterable[Path], entry: os.DirEntry[str]) -> bool:
    return any(rotated_name(name, entry.name) for name in names)


def find(path: Path, mark: Mark, taken: Container[Key]) -> LogFile | None:
    """The generation of a mark, open there: the log itself, else a file beside it. Raises OSError where the log cannot be read."""
    try:
        if (file := opened(path, mark, taken)) is not None:
            return file
    except FileNotFoundError:
        pass
    names = _names(path)

    def likely(entry: os.DirEntry[str]) -> tuple[bool, bool, bool, float]:
        return entry.inode() == mark.inode, _rotated(names, entry), not _packed(entry), _written_at(entry)

    for entry in sorted(beside(path), key=likely, reverse=True)[:MOST]:
        with contextlib.suppress(OSError, *DAMAGED):
            if (file := opened(Path(entry.path), mark, taken)) is not None:
                return file
    return None


def opened(path: Path, mark: Mark, taken: Container[Key]) -> LogFile | None:
    """The file, open, where it is that of the mark. Raises OSError, DAMAGED."""
    file = LogFile(source_of(path), mark)
    same = False
    try:
        same = file.key not in taken and file.holds(mark)
    finally:
        if not same:
            file.close()
    return file if same else None


def between(
    path: Path, since: float, known: Sequence[LogFile], done: Iterable[bytes], unreadable: Callable[[os.DirEntry[str], Exception], None]
) -> list[LogFile]:
    """The generations that nobody has read, of after that time (Unix seconds), the oldest first. Raises OSError.

    Neither one of these files nor a copy of it, nor what begins as those that are done. Of one that cannot be read `unreadable` is told.
    """
    heads = [head for head in (*done, *(file.head() for file in known)) if head]
    keys = {file.key for file in known}
    found: list[LogFile] = []
    names = _names(path)
    for entry in sorted(beside(path), key=_packed):
        if not _rotated(names, entry) or _written_at(entry) <= since - GRAIN_SECONDS:
            continue
        file = None
        try:
            file = LogFile(source_of(Path(entry.path)))
            head = file.head()
        except FileNotFoundError:  # just renamed
            continue
        except (OSError, *DAMAGED) as error:
            if not (_packed(entry) and Path(entry.path).with_suffix("").exists()):  # else it is half made
                unreadable(entry, error)
            if file is not None:
                file.close()
            continue
        if not head or file.key in keys or any(head.startswith(other) for other in heads):
            file.close()
            continue
        found.append(file)
        heads.append(head)
    return sorted(found, key=lambda file: file.source.written_at())
