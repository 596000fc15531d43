"""The receive path: CPU time a datagram, flat out and at paced rates, syslogauth beside the others (peers.py), interleaved.

All servers stand ready all the time; a cell (rate, share of logins) is measured on one after the other before the next cell, in an order
that turns with each round. A measurement runs from before the first datagram until SETTLE_SECONDS after the kernel's queue is empty: by
then syslogauth has committed and published, and its idle cost of that time is in the figure. Nothing is asked of a server within it.
Afterwards the books must balance: syslogauth's received + dropped is what was sent, and where nothing was lost each server has seen
every login. On loopback the sender's system calls do the kernel's half of the work of each datagram: nobody is charged for that.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.corpus import SIZE, corpus, counted
from benchmarks.figures import Sample, markdown, ratios_to_better, spread
from benchmarks.peers import starters
from benchmarks.processes import cpu_seconds, wake_ups
from benchmarks.sending import Sender, accounted, drained, dropped, sender
from benchmarks.servers import BUFFER_BYTES, OURS, Server, Syslogauth, syslogauth

SETTLE_SECONDS = 1.2  # the shortest time between two maps is 1 s


@dataclass(frozen=True, slots=True)
class Plan:
    """`rates` are datagrams a second, 0 is flat out; `count` datagrams flat out, `seconds` of sending when paced.

    `beside`: with what the names of the peers begin; `workers`: a syslogauth for each number.
    """

    rounds: int
    rates: tuple[float, ...]
    logins: tuple[float, ...]
    count: int
    seconds: float
    idle_seconds: float
    beside: tuple[str, ...] = ("",)
    workers: tuple[int, ...] = (1,)

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


@contextmanager
def servers(directory: Path, beside: Sequence[str], workers: Sequence[int] = (1,), buffer: int = BUFFER_BYTES) -> Iterator[list[Server]]:
    """Syslogauth, with one worker and where wanted with more, and the peers, all running."""
    with ExitStack() as stack:
        running: list[Server] = [stack.enter_context(syslogauth(directory / f"syslogauth-{number}", buffer, number)) for number in workers]
        for name, start in starters(beside).items():
            running.append(stack.enter_context(start(directory / name.replace(" ", "-"), buffer)))
        yield running


def measure(plan: Plan, directory: Path) -> tuple[Samples, dict[str, list[float]]]:
    """The samples of every cell and server, and idle CPU seconds a second by server."""
    cells = [Cell(rate, logins) for rate, logins in product(plan.rates, plan.logins)]
    samples: Samples = {cell: {} for cell in cells}
    idle: dict[str, list[float]] = {}
    with servers(directory, plan.beside, plan.workers) as running, sender() as sending:
        warm_up(running, sending, max(plan.logins), min(SIZE, plan.count))
        for number in range(plan.rounds):
            for cell, server in product(cells, in_turn(running, number)):
                samples[cell].setdefault(server.name, []).append(_one(server, sending, cell, plan.datagrams(cell.rate)))
                progress(f"round {number + 1} of {plan.rounds}: {cell.rate_name}, {cell.logins:.0%} logins")
            if plan.idle_seconds:
                for name, seconds in _idle(running, plan.idle_seconds).items():
                    idle.setdefault(name, []).append(seconds)
    names = [server.name for server in running]
    return {cell: {name: by_server[name] for name in names} for cell, by_server in samples.items()}, idle


def in_turn(running: Sequence[Server], number: int) -> list[Server]:
    """In another order each round: whoever comes first never does so always."""
    turn = number % len(running)
    return [*running[turn:], *running[:turn]]


def warm_up(running: Sequence[Server], sending: Sender, logins: float, count: int) -> None:
    """The first use of everything, which is not measured."""
    for server in running:
        sending.send(server.port, count, 0, logins)
    for server in running:
        drained(server)
        if isinstance(server, Syslogauth):
            accounted(server, count)
    time.sleep(SETTLE_SECONDS)


def _one(server: Server, sending: Sender, cell: Cell, count: int) -> Sample:
    logins_before, drops_before = server.logins(), dropped(server)
    accounted_before = server.accounted() if isinstance(server, Syslogauth) else 0
    waits_before, cpu_before = sum(map(wake_ups, server.pids)), _cpu(server)
    sent = sending.send(server.port, count, cell.rate, cell.logins)
    drained(server)
    waits = sum(map(wake_ups, server.pids)) - waits_before
    time.sleep(SETTLE_SECONDS)
    cpu = _cpu(server) - cpu_before
    lost = dropped(server) - drops_before
    if isinstance(server, Syslogauth):
        accounted(server, accounted_before + count)
    if not lost:
        flags = [entry.login and (server.takes_forwarded or not entry.forwarded) for entry in corpus(cell.logins)]
        seen, expected = server.logins() - logins_before, counted(flags, count)
        assert seen == expected, f"{server.name} saw {seen} logins, {expected} were sent"
    return Sample(count, lost, cpu, sent.seconds, waits, sent.late)


def _idle(running: Sequence[Server], seconds: float) -> dict[str, float]:
    before = {server.name: _cpu(server) for server in running}
    time.sleep(seconds)
    return {server.name: (_cpu(server) - before[server.name]) / seconds for server in running}


def _cpu(server: Server) -> float:
    return sum(map(cpu_seconds, server.pids))


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)


def table(samples: Samples, idle: dict[str, list[float]]) -> str:
    """CPU nanoseconds a received datagram, and loss, by server."""
    names = list(dict.fromkeys(name for by_server in samples.values() for name in by_server))
    rows = []
    for cell, by_server in samples.items():
        row = [cell.rate_name, f"{cell.logins:.0%}"]
        for name in names:
            row.append(spread([sample.nanoseconds for sample in by_server[name]]).text())
            row.append(f"{spread([sample.loss for sample in by_server[name]]).median:.1%}")
        rows.append(row)
    if idle:
        rows.append(["idle, ms/s", "", *(cell for name in names for cell in (spread([s * 1000 for s in idle[name]]).text(1), ""))])
    return markdown(["rate", "logins", *(word for name in names for word in (f"{name}, ns", "lost"))], rows)


def against(names: Sequence[str]) -> dict[str, list[str]]:
    """With what syslogauth is compared: the better rsyslogd of the same round, and each other server."""
    queues = [name for name in names if name.startswith("rsyslogd")]
    rest = {name: [name] for name in names if name not in queues and name != OURS}
    return ({"rsyslogd": queues} if queues else {}) | rest


def ratios(by_server: dict[str, list[Sample]], others: Sequence[str]) -> list[float]:
    """Syslogauth's CPU time a datagram divided by the better of the others, a value a round."""
    ours, *theirs = ([sample.nanoseconds for sample in by_server[name]] for name in (OURS, *others))
    return ratios_to_better(ours, *theirs)


def ratio_table(samples: Samples) -> str:
    """What syslogauth costs as a multiple of the others."""
    columns = against(list(next(iter(samples.values()))))
    rows = [
        [cell.rate_name, f"{cell.logins:.0%}", *(spread(ratios(by_server, others)).text(2) for others in columns.values())]
        for cell, by_server in samples.items()
    ]
    return markdown(["rate", "logins", *(f"syslogauth : {name}" for name in columns)], rows)


def wake_up_table(samples: Samples) -> str:
    """How often each server waits for more, a received datagram; and how much of what was sent went out late, which bunches it."""
    names = list(next(iter(samples.values())))
    rows = []
    for cell, by_server in samples.items():
        waits = (spread([each.wake_ups / max(1, each.sent - each.lost) for each in by_server[name]]).median for name in names)
        late = spread([each.late for found in by_server.values() for each in found])
        rows.append(
            [cell.rate_name, f"{cell.logins:.0%}", *(f"{value:.2f}" for value in waits), f"{late.median:.1%}, at most {late.most:.1%}"]
        )
    return markdown(["rate", "logins", *names, "sent late"], rows)
