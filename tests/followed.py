"""A log, a table, and what follows the one into the other, without a process: as syslogauth's own does it, one life after another."""

import time
from pathlib import Path

import structlog

from syslogauth.committer import Committer
from syslogauth.core.address import Networks, pack
from syslogauth.core.intake import Intake
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from syslogauth.following import Following, opened
from syslogauth.record import Bounds
from syslogauth.table import Table

GRACE, HOLD = 1800.0, 43200.0
A, B = "192.0.2.25", "192.0.2.26"


class Host:
    """A log and a table, and one life after another of what follows the one into the other."""

    def __init__(self, directory: Path, *, escaped: bool = True, holds: bool = False) -> None:
        self.log = directory / "maillog"
        self.log.touch()
        self.table = Table(directory / "table", 1000, Bounds(GRACE, GRACE, HOLD + GRACE if holds else 0.0))
        self.policy = Policy(GRACE, frozenset(("imap", "pop3")), hold_max_seconds=HOLD if holds else 0.0)
        self.escaped = escaped
        self.begin()

    def begin(self) -> None:
        """A life of the process: after a kill, what was not committed is gone."""
        self.intake = Intake(Sources(Networks(("127.0.0.0/8",)), frozenset(("mail",))), self.policy)
        self.committer = Committer(self.table, structlog.get_logger())
        files = opened([(self.log, self.escaped)], self.table, structlog.get_logger())
        self.following = Following(files, self.intake, self.committer)

    def write(self, *lines: str) -> None:
        with self.log.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def commit(self) -> None:
        self.committer.stop()
        self.committer.run()

    def turn(self) -> None:
        self.following.turn()

    def read(self) -> None:
        """All that there is."""
        for _ in range(20):
            self.turn()

    def may_relay(self, address: str) -> bool:
        return self.table.live(packed(address), time.time()) is not None

    def left(self, address: str) -> float:
        until = self.table.live(packed(address), time.time())
        assert until is not None
        return until - time.time()

    def count(self, address: str) -> int:
        entry = self.table.get(packed(address))
        return entry.count if entry else 0


def packed(address: str) -> bytes:
    found = pack(address)
    assert found is not None
    return found


def stamp(seconds_ago: float) -> str:
    return time.strftime("%b %e %H:%M:%S", time.localtime(time.time() - seconds_ago))


def login(address: str, seconds_ago: float = 0.0, session: str = "aaaaaaaaaaaaaaaa") -> str:
    said = f"user=<bob>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid=80, session=<{session}>"
    return f"{stamp(seconds_ago)} mail1 dovecot: imap-login: Login: {said}"


def logout(seconds_ago: float, session: str = "aaaaaaaaaaaaaaaa") -> str:
    return f"{stamp(seconds_ago)} mail1 dovecot: imap(bob)<80><{session}>: Disconnected: Logged out in=1 out=2"
