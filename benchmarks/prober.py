"""The sender that looks as well: `python -m benchmarks.prober`, one JSON order a line in, one JSON answer a line out, as sender.py.

    {"port": 5140, "rate": 50000, "logins": 0.05, "seconds": 8, "first": 0, "table": DIR, "map": PATH, "directory": DIR, "core": 1}
      ->  {"table": [seconds, ...], "map": [seconds, ...], "missed": 0, "late": 0.0, "probes": 130}

While the corpus goes out at the rate (0: not at all), it logs in now and then from an address of its own, and looks until the login can
be seen: in the table, as `syslogauth test` reads it but in this process, every LOOK_SECONDS; and in the map, as `sendmail -bt` says,
every ASK_SECONDS. One process does all in its pauses: another one that looks would wait for the core of a busy sender. sendmail runs on
the cores of what is measured. `missed`: not seen within PATIENCE_SECONDS, lost on the way as a rule.
"""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.processes import wait_until
from benchmarks.sender import Sockets, datagrams, headers_of, instants, paced
from benchmarks.servers import SYSTEM_PATH
from syslogauth.table import Table

LOOK_SECONDS = 0.0001
ASK_SECONDS = 0.005
PAUSE_SECONDS = (0.015, 0.065)  # between two probes: no multiple of any clock of the receiver's
LAST = 1 / 3  # of the time no probe begins: its map is to be seen under the same load
PATIENCE_SECONDS = 2.0
MAP_PATIENCE_SECONDS = 10.0
START_SECONDS = 90.0
ANSWER = re.compile(rb"map_lookup: popauth \(([^)]*)\) (returns|no match)[^\n]*\n")
LINE = (
    "<22>Nov 22 10:28:45 mail1 dovecot: imap-login: Login: user=<p{number}@example.org>, method=PLAIN, rip={address}, lip=192.0.2.1, "
    "mpid=7, TLS, session=<probe{number:08x}>"
)
CF = """V10/Berkeley
O DontBlameSendmail=TrustStickyBit
O QueueDirectory={directory}
Kpopauth hash -a<OK> {map}
Mlocal, P=/bin/false, F=lsDFMAw5:/|@q, S=0, R=0, A=false
Mprog, P=/bin/false, F=lsDFMoqeu9, S=0, R=0, A=false
"""


def address_of(number: int) -> str:
    """The probe's client: 172.16.0.0/12 (RFC 1918)."""
    return f"172.{16 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


class Sendmail:
    """`sendmail -bt`, asked without waiting: it takes shared locks, looks at the mtime and reopens the map as the daemon does."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        assert process.stdout
        self._asks, self._answers = process.stdin, process.stdout.fileno()
        os.set_blocking(self._answers, False)
        self._said = b""
        self.ask("127.0.0.1")  # opens the map
        wait_until(lambda: self.answer() is not None, "sendmail", START_SECONDS)

    def ask(self, key: str) -> None:
        self._asks.write(f"/map popauth {key}\n".encode())
        self._asks.flush()
        self.asked = True

    def answer(self) -> bool | None:
        """Whether the map holds the key; None as long as there is no answer."""
        try:
            self._said += os.read(self._answers, 4096)
        except BlockingIOError:
            return None
        if (found := ANSWER.search(self._said)) is None:
            return None
        self._said, self.asked = b"", False
        return found[2] == b"returns"


@contextmanager
def sendmail(directory: Path, map_path: str, core: int) -> Iterator[Sendmail | None]:
    """None where there is no sendmail."""
    program = shutil.which("sendmail", path=SYSTEM_PATH)
    if program is None:
        yield None
        return
    cf = directory / "sendmail.cf"
    cf.write_text(CF.format(directory=directory, map=map_path))
    with subprocess.Popen(
        [*qualified(), program, "-C", cf, "-bt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        os.sched_setaffinity(process.pid, {core})
        try:
            yield Sendmail(process)
        finally:
            process.kill()


def qualified() -> list[str]:
    """What gives it a hostname with a domain, for which it waits a minute at its start. Only root can; others wait."""
    if "." in socket.gethostname() or os.geteuid() != 0 or not shutil.which("unshare"):
        return []
    return ["unshare", "--uts", "sh", "-c", 'echo bench.example >/proc/sys/kernel/hostname && exec "$@"', "sh"]


class Prober:
    """`look` is called over and over: it sends a login, or looks for one, or asks sendmail, or has nothing to do yet."""

    def __init__(self, sockets: Sockets, table: Table, asking: Sendmail | None, first: int, until: float) -> None:
        self.table_seconds: list[float] = []
        self.map_seconds: list[float] = []
        self.missed = 0
        self.number = first
        self._sockets, self._table, self._asking, self._until = sockets, table, asking, until
        self._chance = random.Random(first)  # noqa: S311 - no secret
        self._next_probe, self._next_look, self._next_ask = time.perf_counter() + 0.2, 0.0, 0.0
        self._sent: tuple[bytes, str, float] | None = None
        self._unpublished: deque[tuple[str, float]] = deque()

    @property
    def done(self) -> bool:
        return self._sent is None and not self._unpublished and time.perf_counter() > self._until

    def look(self) -> None:
        now = time.perf_counter()
        if self._sent is None:
            if self._next_probe <= now < self._until:
                self._probe()
        elif now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._look_in_table(*self._sent)
        if self._asking and self._asking.asked:
            self._hear()
        elif self._asking and self._unpublished and now >= self._next_ask:
            self._next_ask = now + ASK_SECONDS
            self._asking.ask(self._unpublished[0][0])

    def _probe(self) -> None:
        address = address_of(self.number)
        line = LINE.format(number=self.number, address=address).encode()
        self._sent = bytes(map(int, address.split("."))), address, time.perf_counter()
        self._sockets.send(self.number, line)
        self.number += 1

    def _look_in_table(self, packed: bytes, address: str, sent: float) -> None:
        seen, now = self._table.live(packed, time.time()) is not None, time.perf_counter()
        if seen:
            self.table_seconds.append(now - sent)
            if self._asking:
                self._unpublished.append((address, sent))
        elif now - sent > PATIENCE_SECONDS:
            self.missed += 1
        else:
            return
        self._sent, self._next_probe = None, now + self._chance.uniform(*PAUSE_SECONDS)

    def _hear(self) -> None:
        assert self._asking
        if (listed := self._asking.answer()) is None:
            return
        now = time.perf_counter()
        if listed:
            _, sent = self._unpublished.popleft()
            self.map_seconds.append(now - sent)
            self._next_ask = now  # what was published with it is seen at once
        elif now - self._unpublished[0][1] > MAP_PATIENCE_SECONDS:
            self._unpublished.popleft()
            self.missed += 1


def probe(order: dict[str, Any]) -> dict[str, Any]:
    rate, seconds, logins = order["rate"], order["seconds"], order["logins"]
    count = int(rate * seconds)
    due = instants(count, rate) if count else []
    datagrams(logins)
    headers_of(logins)
    table = Table(order["table"], readonly=True)
    sockets = Sockets(order["port"])
    try:
        with sendmail(Path(order["directory"]), order["map"], order["core"]) as asking:
            began = time.perf_counter()
            prober = Prober(sockets, table, asking, order["first"], began + seconds * (1 - LAST))
            late = paced(sockets, due, count, rate, logins, prober.look) if count else 0
            while not prober.done and time.perf_counter() < began + seconds + MAP_PATIENCE_SECONDS:
                prober.look()
    finally:
        sockets.close()
        table.close()
    return {
        "table": prober.table_seconds,
        "map": prober.map_seconds,
        "missed": prober.missed,
        "late": late / count if count else 0.0,
        "probes": prober.number - order["first"],
    }


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    for word in sys.stdin:
        print(json.dumps(probe(json.loads(word))), flush=True)
