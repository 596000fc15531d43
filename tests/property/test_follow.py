"""Invariant: however a log is written, rotated by rename or by copying and truncating, compressed and re-opened late by its syslogd, and
whenever its follower looks, commits and is killed, every line comes exactly once; and so does every login, and every session that it opens
or closes, whenever the process is killed that brings them into the table.
"""

import bz2
import gzip
import lzma
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.listeners.follow import Follower
from syslogauth.positions import Position
from tests.followed import A, Host, login, logout, packed

ROTATIONS = 12  # within a minute: a follower remembers so many
PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}

Step = tuple[str, int]
steps = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 30)),
    st.tuples(st.just("half"), st.integers(1, 40)),
    st.tuples(st.sampled_from(("rename", "rename and create", "hup", "look", "commit", "restart")), st.just(0)),
    st.tuples(st.just("copytruncate"), st.integers(0, 9)),
    st.tuples(st.just("compress"), st.integers(0, 2)),
)


class World:
    """A syslogd, what rotates its log, and a follower whose lines and position are committed together."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "maillog"
        self.written: list[bytes] = []
        self.half = b""  # what is left of a line whose beginning was written
        self.rotations = 0
        self.hup(0)
        self.committed: list[bytes] = []
        self.pending: list[bytes] = []
        self.saved = Position().packed()
        self.follower = Follower(self.log, None, structlog.get_logger())
        self.running = False
        self.look(0)
        self.commit(0)

    def do(self, step: Step) -> None:
        getattr(self, step[0].replace(" ", "_"))(step[1])

    # the syslogd

    def write(self, count: int) -> None:
        self.end_line()
        lines = [b"line %06d of the log %s" % (len(self.written) + number, b"x" * (count * number % 700)) for number in range(count)]
        self.written += lines
        os.write(self.fd, b"".join(line + b"\n" for line in lines))

    def half_(self, length: int) -> None:
        self.end_line()
        line = b"line %06d in two %s" % (len(self.written), b"y" * 40)
        self.written.append(line)
        os.write(self.fd, line[:length])
        self.half = line[length:] + b"\n"

    def end_line(self) -> None:
        os.write(self.fd, self.half)
        self.half = b""

    def hup(self, _: int) -> None:
        if self.written or self.rotations:
            self.end_line()
            os.close(self.fd)
        self.fd = os.open(self.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    # what rotates

    def rename(self, _: int) -> None:
        if self.rotations < ROTATIONS and self.log.exists():
            self.rotations += 1
            self.shift()
            self.log.rename(self.log.with_name("maillog.0"))

    def rename_and_create(self, _: int) -> None:
        self.rename(0)
        self.log.touch()

    def copytruncate(self, after: int) -> None:
        self.hup(0)
        if self.rotations >= ROTATIONS:
            return
        self.rotations += 1
        if self.running:
            self.look(0)  # what has been written since, and is unread when it is copied:
            self.write(after + 1)
        self.shift()
        shutil.copyfile(self.log, self.log.with_name("maillog.0"))
        os.truncate(self.log, 0)
        if after:
            self.write(after)

    def shift(self) -> None:
        for number in range(ROTATIONS, -1, -1):
            for suffix in ("", *PACKERS):
                old = self.log.with_name(f"maillog.{number}{suffix}")
                if old.exists():
                    old.rename(old.with_name(f"maillog.{number + 1}{suffix}"))

    def compress(self, which: int) -> None:
        """Those that the syslogd does not write into any more."""
        suffix, pack = list(PACKERS.items())[which]
        for number in range(which, ROTATIONS):
            old = self.log.with_name(f"maillog.{number}")
            if old.exists() and old.stat().st_ino != os.fstat(self.fd).st_ino:
                new = old.with_name(old.name + suffix)
                new.write_bytes(pack(old.read_bytes()))
                shutil.copystat(old, new)
                old.unlink()

    # the follower

    def look(self, _: int) -> None:
        self.running = True
        for _ in range(2 * ROTATIONS + 2):
            while (found := self.follower.read()) is not None:
                self.pending += [found.batch.datagram(number) for number in range(len(found.batch))]

    def commit(self, _: int) -> None:
        self.committed += self.pending
        self.pending, self.saved = [], self.follower.position().packed()

    def restart(self, _: int) -> None:
        self.follower.close()
        self.pending, self.running = [], False
        self.follower = Follower(self.log, Position.unpacked(self.saved), structlog.get_logger())

    def close(self) -> None:
        self.follower.close()
        os.close(self.fd)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=30))
def test_every_line_comes_once(todo: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory, structlog.testing.capture_logs() as said:
        world = World(Path(directory))
        for step in todo:
            world.do(("half_", step[1]) if step[0] == "half" else step)
        world.hup(0)
        world.look(0)
        world.commit(0)
        world.close()
    assert Counter(world.written) == Counter(world.committed)
    assert [] == said


lives = st.lists(st.one_of(st.integers(1, 5), st.sampled_from(("logout", "turn", "commit", "kill", "rename"))), max_size=25)


@settings(max_examples=60, deadline=None)
@given(lives)
def test_every_login_and_every_session_counts_once_through_kills(todo: list[int | str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        host, logins, logouts, rotations = Host(Path(directory), holds=True), 0, 0, 0
        host.turn()
        host.commit()  # from the first position on
        for step in todo:
            if isinstance(step, int):
                host.write(*(login(A, 60, session=f"{logins + number:016}") for number in range(step)))
                logins += step
            elif step == "logout" and logouts < logins:
                host.write(logout(30, session=f"{logouts:016}"))
                logouts += 1
            elif step == "rename":
                host.log.rename(host.log.with_name(f"maillog-{rotations}"))
                host.log.touch()
                rotations += 1
            elif step == "kill":
                host.begin()
            elif step in ("turn", "commit"):
                getattr(host, step)()
        host.read()
        host.following.stop()
        host.commit()
        seen, held = host.count(A), host.table.held(packed(A))[0]
        host.table.close()
    assert (logins, logins - logouts) == (seen, held)
