"""The receive path: CPU time a datagram, flat out and at paced rates, syslogauth beside rsyslogd, interleaved.

All servers stand ready all the time; a cell (rate, share of logins) is measured on one after the other before the next cell, in an order
that turns with each round. A measurement runs from before the first datagram until SETTLE_SECONDS after the kernel's queue is empty: by
then syslogauth has committed and published, and its idle cost of that time is in the figure. Nothing is asked of a server within it.
Afterwards the books must balance: syslogauth's received + dropped is what was sent, and where nothing was lost each server has seen
every login.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.corpus import SIZE, corpus, counted
from benchmarks.figures import Sample, markdown, ratio_to_better, spread
from benchmarks.processes import cores, cpu_seconds, wait_until
from benchmarks.servers import QUEUES, Server, Syslogauth, has_rsyslogd, kernel_queue, rsyslogd, syslogauth

SETTLE_SECONDS = 1.2  # the shortest time between two maps is 1 s
DRAIN_SECONDS = 60.0
SENDER_SECONDS = 120.0
IDLE_RATE = -1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`rates` are datagrams a second, 0 is flat out; `count` datagrams flat out, `seconds` of sending when paced."""

    rounds: int
    rates: tuple[float, ...]
    logins: tuple[float, ...]
    count: int
    seconds: float
    idle_seconds: float

    def datagrams(self, rate: float) -> int:
        return self.count if not rate else max(1, min(self.count, int(rate * self.seconds)))


@dataclass(frozen=True, slots=True)
class Cell:
    rate: float
    logins: float

    @property
    def rate_name(self) -> str:
        return f"{self.rate / 1000:g} k/s" if self.rate else "flat out"


Samples = dict[Cell, dict[str, list[Sample]]]


@dataclass(slots=True)
class Sender:
    process: subprocess.Popen[str]

    def send(self, port: int, count: int, cell: Cell) -> float:
        """Send, and wait until it is done; the seconds that it took."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"port": port, "count": count, "rate": cell.rate, "logins": cell.logins}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the sender has failed"
        return float(json.loads(answer)["seconds"])


@contextmanager
def sender() -> Iterator[Sender]:
    command = [sys.executable, "-m", "benchmarks.sender", str(cores()[0])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as process:
        try:
            yield Sender(process)
        finally:
            process.kill()


def measure(plan: Plan, directory: Path) -> tuple[Samples, dict[str, list[float]]]:
    """The samples of every cell and server, and idle CPU seconds a second by server."""
    cells = [Cell(rate, logins) for rate, logins in product(plan.rates, plan.logins)]
    samples: Samples = {cell: {} for cell in cells}
    idle: dict[str, list[float]] = {}
    with ExitStack() as stack:
        servers: list[Server] = [stack.enter_context(syslogauth(directory / "syslogauth"))]
        if has_rsyslogd():
            servers += [stack.enter_context(rsyslogd(directory / f"rsyslogd-{queue}", queue)) for queue in QUEUES]
        sending = stack.enter_context(sender())
        _warm_up(servers, sending, Cell(0, max(plan.logins)), min(SIZE, plan.count))
        for number in range(plan.rounds):
            turn = number % len(servers)
            for cell, server in product(cells, servers[turn:] + servers[:turn]):
                samples[cell].setdefault(server.name, []).append(_one(server, sending, cell, plan.datagrams(cell.rate)))
                _progress(number, plan.rounds, cell)
            if plan.idle_seconds:
                for name, seconds in _idle(servers, plan.idle_seconds).items():
                    idle.setdefault(name, []).append(seconds)
    return samples, idle


def _warm_up(servers: Sequence[Server], sending: Sender, cell: Cell, count: int) -> None:
    """The first use of everything, which is not measured."""
    for server in servers:
        sending.send(server.port, count, cell)
    for server in servers:
        _drained(server)
        if isinstance(server, Syslogauth):
            _accounted(server, count)
    time.sleep(SETTLE_SECONDS)


def _drained(server: Server) -> None:
    wait_until(lambda: (kernel_queue(server.port) or (1, 0))[0] == 0, f"{server.name} to read everything", DRAIN_SECONDS, 0.01)


def _accounted(server: Syslogauth, count: int) -> None:
    wait_until(lambda: server.accounted() == count, f"received + dropped to be the {count} datagrams that were sent", 5.0)


def _one(server: Server, sending: Sender, cell: Cell, count: int) -> Sample:
    logins_before, drops_before = server.logins(), _drops(server)
    accounted_before = server.accounted() if isinstance(server, Syslogauth) else 0
    cpu_before = _cpu(server)
    seconds = sending.send(server.port, count, cell)
    _drained(server)
    time.sleep(SETTLE_SECONDS)
    cpu = _cpu(server) - cpu_before
    lost = _drops(server) - drops_before
    if isinstance(server, Syslogauth):
        _accounted(server, accounted_before + count)
    if not lost:
        flags = [entry.login and (server.takes_forwarded or not entry.forwarded) for entry in corpus(cell.logins)]
        seen, expected = server.logins() - logins_before, counted(flags, count)
        assert seen == expected, f"{server.name} saw {seen} logins, {expected} were sent"
    return Sample(count, lost, cpu, seconds)


def _idle(servers: Sequence[Server], seconds: float) -> dict[str, float]:
    before = {server.name: _cpu(server) for server in servers}
    time.sleep(seconds)
    return {server.name: (_cpu(server) - before[server.name]) / seconds for server in servers}


def _cpu(server: Server) -> float:
    return sum(map(cpu_seconds, server.pids))


def _drops(server: Server) -> int:
    found = kernel_queue(server.port)
    assert found, f"{server.name} no longer listens"
    return found[1]


def _progress(number: int, rounds: int, cell: Cell) -> None:
    if sys.stderr.isatty():
        print(f"\rround {number + 1} of {rounds}: {cell.rate_name}, {cell.logins:.0%} logins   ", end="", file=sys.stderr, flush=True)


def table(samples: Samples, idle: dict[str, list[float]]) -> str:
    """CPU nanoseconds a received datagram and loss by server, and the ratio to the better rsyslogd of the same round."""
    names = list(dict.fromkeys(name for by_server in samples.values() for name in by_server))
    ours, others = names[0], names[1:]
    rows = []
    for cell, by_server in samples.items():
        row = [cell.rate_name, f"{cell.logins:.0%}"]
        for name in names:
            row.append(spread([sample.nanoseconds for sample in by_server[name]]).text())
            row.append(f"{spread([sample.loss for sample in by_server[name]]).median:.1%}")
        row.append(_ratio(by_server, ours, others))
        rows.append(row)
    if idle:
        rows.append(["idle, ms/s", "", *(cell for name in names for cell in (spread([s * 1000 for s in idle[name]]).text(1), "")), ""])
    headings = ["rate", "logins", *(word for name in names for word in (f"{name}, ns", "lost")), "ratio"]
    return markdown(headings, rows)


def _ratio(by_server: dict[str, list[Sample]], ours: str, others: Sequence[str]) -> str:
    if not others:
        return "-"
    mine, *theirs = ([sample.nanoseconds for sample in by_server[name]] for name in (ours, *others))
    return ratio_to_better(mine, *theirs).text(2)
