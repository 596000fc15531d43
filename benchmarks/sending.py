"""The sender's process (sender.py) as a benchmark uses it, and what the kernel says of a server's socket after it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import cores, wait_until
from benchmarks.servers import Server, Syslogauth, kernel_queue

DRAIN_SECONDS = 60.0
FILL_AT_ONCE = 200  # logins between two looks at the queue: what the smallest receive buffer holds


@dataclass(frozen=True, slots=True)
class Sent:
    """`late`: the share of the datagrams that went out after their instant, see sender.py."""

    sent: int
    seconds: float
    late: float


@dataclass(slots=True)
class Sender:
    process: subprocess.Popen[str]

    def send(self, port: int, count: int, rate: float = 0, logins: float = 0.0) -> Sent:
        """Send from the corpus, at a rate or (0) flat out, and wait until it is done."""
        return self._order(port=port, count=count, rate=rate, logins=logins)

    def send_fresh(self, port: int, first: int, count: int) -> Sent:
        """Send logins, each from an address of its own, flat out."""
        return self._order(port=port, count=count, rate=0, fresh=first)

    def _order(self, **order: Any) -> Sent:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the sender has failed"
        return Sent(**json.loads(answer))


@contextmanager
def sender() -> Iterator[Sender]:
    command = [sys.executable, "-m", "benchmarks.sender", str(cores()[0])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as process:
        try:
            yield Sender(process)
        finally:
            process.kill()


def dropped(server: Server) -> int:
    """Datagrams that the kernel has dropped at its socket so far."""
    found = kernel_queue(server.port)
    assert found, f"{server.name} no longer listens"
    return found[1]


def waiting(server: Server) -> int:
    """Bytes that wait in its receive buffer; 1 where it does not listen."""
    return (kernel_queue(server.port) or (1, 0))[0]


def drained(server: Server, pause: float = 0.01) -> None:
    wait_until(lambda: waiting(server) == 0, f"{server.name} to read everything", DRAIN_SECONDS, pause)


def accounted(server: Syslogauth, count: int) -> None:
    """Wait until its books balance."""
    wait_until(lambda: server.accounted() == count, f"received + dropped to be the {count} datagrams that were sent", 10.0)


def fill(server: Syslogauth, sending: Sender, first: int, count: int) -> None:
    """Log in from the fresh addresses numbered `first` to `count`, and wait until the table holds so many more than the corpus gave it.

    At its own pace, without a loss: the next logins go when the kernel's queue is empty.
    """
    entries, lost = server.entries(), dropped(server)
    for number in range(first, count, FILL_AT_ONCE):
        sending.send_fresh(server.port, number, min(FILL_AT_ONCE, count - number))
        drained(server, 0.001)
    assert dropped(server) == lost, "a login that fills the table was lost in the kernel"
    wait_until(lambda: server.entries() >= entries + count - first, f"{count} live addresses", 120.0, 0.2)
