"""A line of a syslogd's configuration that sends messages on, and the lines of it that say something else of interest."""

import glob
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

FILES_AT_MOST = 200  # of one configuration, its includes among them


@dataclass(frozen=True, slots=True)
class Forward:
    """Messages of these facilities, at info, go to that host and port. `doubts` is what else may keep them from being read or sent."""

    host: str
    port: int
    transport: str  # udp, tcp or tls
    facilities: frozenset[str]
    where: str  # FILE:LINE
    doubts: tuple[str, ...] = ()


@dataclass(slots=True)
class Found:
    """What one syslogd's configuration says. `summed_up`: where it is told to sum repeated messages up; `files`: what was read."""

    forwards: list[Forward] = field(default_factory=list)
    summed_up: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


Texts = Callable[[str], Iterator[tuple[str, str]]]  # a path or a pattern of paths -> (path, text)


def texts_below(root: Path) -> Texts:
    """Reads files below `root`; what a pattern does not match is not there. Raises OSError where a file cannot be read."""

    def texts(pattern: str) -> Iterator[tuple[str, str]]:
        for path in sorted(glob.glob(str(root / pattern.lstrip("/"))))[:FILES_AT_MOST]:  # noqa: PTH207 - an absolute pattern
            if Path(path).is_file():
                yield "/" + str(Path(path).relative_to(root)), Path(path).read_text(errors="replace")

    return texts


def port_of(text: str, default: int = 514) -> int:
    return int(text) if text.isdecimal() else default
