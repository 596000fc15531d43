"""The one thread of the receiver that writes to the table: what is pending, merged by address, as a group, durable but for a power cut
(environment.py).

The first grant after a quiet time is committed at once; while more come, a commit begins GAP_SECONDS after the one before at the earliest.
A commit that fails (disk full) leaves its grants pending and is tried again each RETRY_SECONDS: nothing is lost, and at CAPACITY the
sockets are not read any more. A kill costs what was pending: at most one gap and one commit.

A thread of its own and a lock, not an executor's futures: what asyncio does to hand over a call and to hear of its end takes longer than
the commit. Python runs one thread at a time, but the longest part, the kernel's, runs beside the receiving.
"""

import threading
import time
from collections.abc import Iterable, Sequence
from operator import add
from queue import SimpleQueue

import structlog

from syslogauth.core.login import Closed, Grant, Opened
from syslogauth.metrics import Samples, histogram
from syslogauth.table import Committed, Table, TableError

GAP_SECONDS = 0.010
RETRY_SECONDS = 1.0
CAPACITY = 100_000


class Committer:
    """`run()` is the thread's. The rest is for the receiving one."""

    def __init__(self, table: Table, log: structlog.stdlib.BoundLogger) -> None:
        self.table = table
        self.log = log
        self.grants: dict[bytes, Grant] = {}
        self.sessions: list[Opened | Closed] = []  # in the order of arrival
        self.read_to: dict[str, bytes] = {}  # followed file -> the position after what is pending of it, see positions.py
        self.committed = Committed()
        self.commit_seconds = histogram("commit_seconds")
        self.errors = 0
        self.writable = True
        self._in_commit = 0
        self._lock = threading.Lock()  # of what is pending, and of the figures that belong together
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._stopping = threading.Event()

    def add(self, grants: Iterable[Grant], sessions: Sequence[Opened | Closed], read_to: Iterable[tuple[str, bytes]] = ()) -> None:
        """Make these pending, to be committed at once: what the lines of a followed file gave, and the position after them."""
        with self._lock:
            was_empty = not (self.grants or self.sessions or self.read_to)
            for grant in grants:
                waiting = self.grants.get(grant.address)
                self.grants[grant.address] = grant if waiting is None else merged(waiting, grant)
            self.sessions += sessions
            self.read_to.update(read_to)
        if was_empty:
            self._wake.put(None)

    def waiting(self) -> int:
        """How much is pending, with what is being committed, for that may come back."""
        return len(self.grants) + len(self.sessions) + self._in_commit

    def full(self) -> bool:
        """Whether nothing more may be read."""
        return self.waiting() >= CAPACITY

    def stop(self) -> None:
        """Let run() try once more to commit what is pending, and end."""
        self._stopping.set()
        self._wake.put(None)

    def run(self) -> None:
        """Commit what comes until stop(). Raises only what is our own fault."""
        began = 0.0
        while not self._stopping.is_set():
            self._wake.get()
            if (early := began + GAP_SECONDS - time.monotonic()) > 0:
                self._stopping.wait(early)
            began = time.monotonic()
            while not self._commit() and not self._stopping.wait(RETRY_SECONDS):
                pass
        self._commit()

    def _commit(self) -> bool:
        """True where nothing is left to be tried again."""
        with self._lock:
            grants, self.grants = self.grants, {}
            sessions, self.sessions = self.sessions, []
            read_to, self.read_to = self.read_to, {}
            self._in_commit = len(grants) + len(sessions)
        if not (self._in_commit or read_to):
            return True
        began = time.perf_counter()
        try:
            done = self.table.commit(list(grants.values()), time.time(), sessions, read_to.items())
        except (TableError, OSError) as error:
            self._failed(error, grants, sessions, read_to)
            return False
        with self._lock:
            self._in_commit = 0
            self.commit_seconds.observe(time.perf_counter() - began)
            self.committed = Committed(*map(add, self.committed, done))
        if not self.writable:
            self.log.info("table writable again", committed=len(grants))
        self.writable = True
        return True

    def _failed(self, error: Exception, grants: dict[bytes, Grant], sessions: list[Opened | Closed], read_to: dict[str, bytes]) -> None:
        self.errors += 1
        if self.writable:
            self.log.error("table not writable; grants wait", error=str(error), waiting=len(grants))
        self.writable = False
        with self._lock:
            for address, grant in self.grants.items():  # what came meanwhile is later
                grants[address] = merged(grants[address], grant) if address in grants else grant
            self.grants = grants
            self.sessions = sessions + self.sessions
            self.read_to = read_to | self.read_to
            self._in_commit = 0

    def samples(self) -> Samples:
        """Every figure of the commits as it stands."""
        with self._lock:
            return {
                "grants": [((name,), getattr(self.committed, name)) for name in Committed._fields],
                "pending_grants": [((), self.waiting())],
                "pending_capacity": [((), CAPACITY)],
                "commit_seconds": [((), self.commit_seconds.state())],
                "sessions_refused": [((), self.table.sessions_refused)],
                "table_errors": [((), self.errors)],
                "table_writable": [((), int(self.writable))],
            }


def merged(earlier: Grant, later: Grant) -> Grant:
    """One grant of two for an address: the one that lasts longer, for rules of the policy may differ (law 5), with the logins of both.

    Where the longer is the earlier one, and the address was revoked between the two, both are void: the next login grants again.
    """
    longer = later if later.expires_at >= earlier.expires_at else earlier
    return longer._replace(count=earlier.count + later.count)
