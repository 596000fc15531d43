"""Resident memory (PSS) of each process of syslogauth: with so many live addresses in the table, and through an overload.

The addresses come over UDP, as logins, and their map is published before anything is read. The overload is OVERLOAD_SECONDS of sending
flat out, the corpus over and over: what it adds is measured from where a shorter one, WARM_UP datagrams, has left the receiver, so that
code and buffers that any traffic touches are not taken for growth.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import markdown
from benchmarks.processes import family, pss_bytes, wait_until
from benchmarks.sending import drained, dropped, fill, sender
from benchmarks.servers import Syslogauth, syslogauth

LOGINS = 0.05
OVERLOAD_SECONDS = 10.0
WARM_UP = 200_000
AT_ONCE = 200_000
LOOK_SECONDS = 0.2
PUBLISHED_SECONDS = 60.0


@dataclass(slots=True)
class Memory:
    """Bytes by process: at so many live addresses; before the overload, at most in it, and after it, when `lost` of `sent` were lost."""

    live: dict[int, dict[str, int]] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    lost: int = 0

    @property
    def growth(self) -> int:
        """Of all processes together."""
        return sum(self.most.values()) - sum(self.before.values())


def measure(directory: Path, sizes: Sequence[int], overload_seconds: float = OVERLOAD_SECONDS) -> Memory:
    memory = Memory()
    with syslogauth(directory / "memory") as server, sender() as sending:
        first = 0
        for size in sizes:
            fill(server, sending, first, size)
            _published(server, size)
            memory.live[size] = by_process(server)
            first = size
    with syslogauth(directory / "overload") as server, sender() as sending:
        sending.send(server.port, WARM_UP, 0, LOGINS)
        drained(server)
        time.sleep(2)  # until it is published
        memory.before = memory.most = by_process(server)
        dropped_before, ended = dropped(server), threading.Event()

        def watch() -> None:
            while not ended.wait(LOOK_SECONDS):
                memory.most = max(memory.most, by_process(server), key=lambda found: sum(found.values()))

        watching = threading.Thread(target=watch)
        watching.start()
        began = time.monotonic()
        while time.monotonic() - began < overload_seconds:
            memory.sent += sending.send(server.port, AT_ONCE, 0, LOGINS).sent
        drained(server)
        ended.set()
        watching.join()
        memory.after, memory.lost = by_process(server), dropped(server) - dropped_before
    return memory


def _published(server: Syslogauth, size: int) -> None:
    wait_until(lambda: server.exported() >= size, f"a map of {size} addresses", PUBLISHED_SECONDS, 0.2)
    time.sleep(1.5)  # what only the publishing takes is given back


def by_process(server: Syslogauth) -> dict[str, int]:
    """PSS in bytes by what the process is: the parent, and its children by the verb that they were started with."""
    found: dict[str, int] = {}
    for pid in family(server.pids[0]):
        name = "parent" if pid == server.pids[0] else _role(pid)
        found[name] = found.get(name, 0) + pss_bytes(pid)
    return found


def _role(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return next((word for word in reversed(words) if word.isalpha()), "child")


def tables(memory: Memory) -> str:
    names = list(dict.fromkeys(name for found in [*memory.live.values(), memory.before] for name in found))

    def row(title: str, found: dict[str, int]) -> list[str]:
        return [title, *(f"{found.get(name, 0) / 1e6:.1f}" for name in names), f"{sum(found.values()) / 1e6:.1f}"]

    rows = [row(f"{size} live addresses", found) for size, found in memory.live.items()]
    if memory.before:
        share = f"{memory.lost / max(1, memory.sent):.0%} of {memory.sent / 1e6:.1f} million lost"
        overload = [("before the overload", memory.before), (f"at most in it ({share})", memory.most), ("after it", memory.after)]
        rows += [row(title, found) for title, found in overload]
    return markdown(["PSS, MB", *names, "together"], rows)
