"""The followed log files (listen.file): lines -> intake -> pending grants, and with them, in one commit, the position after them.

A line counts at its own stamp, as in `replay`, and never later than now: what was logged while nobody read it grants no more than it
would have then. A stamp without a year is read by the time that its file was last written to.

What a line gave and the position after it are committed together, so that a kill at any moment loses none and counts none twice (law 9).
The position after lines that gave nothing is committed each POSITION_SECONDS: after a kill they are read again, and give nothing again.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog

from syslogauth.committer import Committer
from syslogauth.core.intake import Intake
from syslogauth.core.linetime import LineClock
from syslogauth.core.login import Grant
from syslogauth.listeners.follow import Follower, Lines
from syslogauth.metrics import Samples
from syslogauth.positions import Mark, Position
from syslogauth.table import Table

POLL_SECONDS = 0.1
POSITION_SECONDS = 5.0
BLOCKS_AT_ONCE = 4  # of one file, before the others have their turn


class FollowedFile:
    """One file, and what is known of it. `escaped`: what writes it escapes a client's line feeds (law 2)."""

    def __init__(self, follower: Follower, *, escaped: bool) -> None:
        self.follower = follower
        self.path = str(follower.path)
        self.escaped = escaped
        self.committed_at = -POSITION_SECONDS  # at once: from then on nothing is lost
        self.committed: tuple[Mark, ...] | None = None  # up to there
        self._clock = LineClock(0.0)
        self._now = 0.0

    def begin(self, lines: Lines) -> float:
        """Now, which no line of these is later than."""
        self._now = time.time()
        self._clock.reference = min(self._now, lines.written_at)
        return self._now

    def time_of(self, stamp: bytes) -> float:
        return min(self._clock.at(stamp), self._now)


class Following:
    """All of them. `turn()` is called each POLL_SECONDS."""

    def __init__(self, files: Sequence[FollowedFile], intake: Intake, committer: Committer) -> None:
        self.files = files
        self.intake = intake
        self.committer = committer
        self.received = 0
        self.received_bytes = 0

    def turn(self) -> bool:
        """Read what has come, a share of each file. Whether more waits."""
        more = False
        for file in self.files:
            for _ in range(BLOCKS_AT_ONCE):
                if self.committer.full():
                    break
                if (lines := file.follower.read()) is None:
                    break
                self._feed(file, lines)
            else:
                more = True
            if time.monotonic() - file.committed_at >= POSITION_SECONDS:
                self._keep(file)
        return more

    def stop(self) -> None:
        """Make the positions pending, and close the files."""
        for file in self.files:
            self._keep(file)
            file.follower.close()

    def samples(self) -> Samples:
        return {
            "file_readable": [((file.path,), int(file.follower.readable)) for file in self.files],
            "file_rotations": [((file.path, kind), count) for file in self.files for kind, count in file.follower.rotations.items()],
            "file_unread_bytes": [((file.path,), file.follower.unread_bytes()) for file in self.files],
        }

    def _feed(self, file: FollowedFile, lines: Lines) -> None:
        batch, now = lines.batch, file.begin(lines)
        self.received += len(batch)
        self.received_bytes += sum(batch.lengths)
        grants = self.intake.feed_lines(batch, file.path, file.time_of, now, escaped=file.escaped, live=lines.live)
        if grants or self.intake.sessions:
            self._commit(file, file.follower.position(), grants)

    def _keep(self, file: FollowedFile) -> None:
        file.committed_at, position = time.monotonic(), file.follower.position()
        if position.marks != file.committed:
            self._commit(file, position)

    def _commit(self, file: FollowedFile, position: Position, grants: Sequence[Grant] = ()) -> None:
        self.committer.add(grants, self.intake.sessions, [(file.path, position.packed())])
        self.intake.sessions.clear()
        file.committed, file.committed_at = position.marks, time.monotonic()


def opened(paths: Iterable[tuple[Path, bool]], table: Table, log: structlog.stdlib.BoundLogger) -> list[FollowedFile]:
    """Follow these files, each with whether it is escaped, from where the table says that they were read to. Raises TableError."""
    return [FollowedFile(Follower(path, _position(path, table, log), log), escaped=escaped) for path, escaped in paths]


def _position(path: Path, table: Table, log: structlog.stdlib.BoundLogger) -> Position | None:
    stored = table.position(str(path))
    if stored is None:
        log.info("followed file: read from its beginning", file=str(path))
        return None
    try:
        return Position.unpacked(stored)
    except ValueError as error:
        log.warning("followed file: its position cannot be read; read from its beginning", file=str(path), error=str(error))
        return None
