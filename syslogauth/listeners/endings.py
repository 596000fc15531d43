"""How connections have ended: counted by transport and reason, and told to the log, each reason at most once a minute with one example.

An example is what the peer did in words that are printable and bounded: a client wrote some of it. What it sent may name a user, and is
told only where `users` is true (log.users).
"""

import time
from collections import Counter

import structlog

from syslogauth.listeners.stream import Ending

SUMMARY_SECONDS = 60.0
NO_NEWS = (Ending.CLOSED, Ending.STOPPED)
MENDS = {
    Ending.FRAMING: "let it send the length before each message, or before none; log.users = true shows what came",
    Ending.UNLISTED_PEER: "add its address to listen.peers",
    Ending.UNKNOWN_CERTIFICATE: "add it to the subjects or fingerprints of a [[tls.peer]]",
    Ending.CERTIFICATE: "let it show one that tls.client_ca has signed, and renew it in time",
    Ending.MAX_CONNECTIONS: "see listen.max_connections",
    Ending.MAX_CONNECTIONS_PER_PEER: "see listen.max_connections_per_peer",
}


class Endings:
    """`counted`: by transport and reason."""

    def __init__(self, log: structlog.stdlib.BoundLogger, *, users: bool) -> None:
        self.log = log
        self.users = users
        self.counted: Counter[tuple[str, Ending]] = Counter()
        self._news: dict[Ending, tuple[int, dict[str, str]]] = {}  # since it was said last: how many, and the latest
        self._said_at: dict[Ending, float] = {}
        self._waits_said_at = -SUMMARY_SECONDS

    def count(self, transport: str, ending: Ending, host: str, example: str = "") -> None:
        self.counted[transport, ending] += 1
        if ending in NO_NEWS:
            return
        told = {"transport": transport, "last": host}
        if example and (self.users or ending is not Ending.FRAMING):
            told["example"] = example
        self._news[ending] = self._news.get(ending, (0, {}))[0] + 1, told

    def tell(self) -> None:
        """What is due of it."""
        now = time.monotonic()
        for ending in [ending for ending in self._news if now - self._said_at.get(ending, -SUMMARY_SECONDS) >= SUMMARY_SECONDS]:
            count, latest = self._news.pop(ending)
            self._said_at[ending] = now
            mend = {"mend": MENDS[ending]} if ending in MENDS else {}
            self.log.warning("connections ended", reason=str(ending), connections=count, **latest, **mend)

    def tell_wait(self, transport: str, error: OSError) -> None:
        """New connections cannot be taken: it is tried again and again, and told as seldom."""
        now = time.monotonic()
        if now - self._waits_said_at >= SUMMARY_SECONDS:
            self._waits_said_at = now
            self.log.warning("connections wait", transport=transport, error=error.strerror)
