"""From sendto() of a login to its address in the table, and to sendmail's answer, at shares of the loss-free rate and idle.

prober.py sends and looks. The table holds LIVE other addresses, and the load is the corpus. In the table means what `syslogauth test` asks,
so a commit is durable by then. The map comes at most once a second.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import markdown, quantile
from benchmarks.lossfree import loss_free
from benchmarks.processes import cores
from benchmarks.receive import progress
from benchmarks.sending import drained, dropped, fill, sender
from benchmarks.servers import syslogauth

LEVELS = (0.0, 0.1, 0.5, 0.9)  # of the loss-free rate
SECONDS = 9.0
LOGINS = 0.05


@dataclass(slots=True)
class Level:
    """All rounds together: seconds until a login was seen; probes that were not; datagrams lost in the kernel, of `sent`."""

    live: int
    share: float
    rate: float
    table: list[float] = field(default_factory=list)
    map: list[float] = field(default_factory=list)
    missed: int = 0
    lost: int = 0
    sent: int = 0
    late: list[float] = field(default_factory=list)


@contextmanager
def prober() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.prober", str(cores()[0])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as process:
        try:
            yield process
        finally:
            process.kill()


def measure(
    rounds: int,
    directory: Path,
    live: Sequence[int],
    loss_free_rate: float = 0.0,
    seconds: float = SECONDS,
    shares: Sequence[float] = LEVELS,
) -> list[Level]:
    """`loss_free_rate` where it has been measured before."""
    levels: list[Level] = []
    with syslogauth(directory / "latency") as server, prober() as probing:
        first = number = 0
        for size in live:
            with sender() as sending:
                fill(server, sending, first, size)
                loss_free_rate = loss_free_rate or loss_free(server, sending, LOGINS).rate
            first = size
            at_size = [Level(size, share, share * loss_free_rate) for share in shares]
            for turn in range(rounds):
                for level in at_size:
                    progress(f"round {turn + 1} of {rounds}: {size} live addresses, {level.rate / 1000:.0f} k/s")
                    before = dropped(server)
                    order: dict[str, Any] = {"port": server.port, "rate": level.rate, "logins": LOGINS, "seconds": seconds, "first": number}
                    order |= {"table": str(directory / "latency/state/table"), "map": str(directory / "latency/popauth")}
                    number += _probe(probing, order | {"directory": str(directory), "core": min(cores()[1])}, level)
                    drained(server)
                    level.lost += dropped(server) - before
                    level.sent += int(level.rate * seconds)
            levels += at_size
    return levels


def _probe(process: subprocess.Popen[str], order: dict[str, Any], level: Level) -> int:
    """Add what was seen to the level; how many probes were sent."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    said = process.stdout.readline()
    assert said, "the prober has failed"
    answer = json.loads(said)
    level.table += answer["table"]
    level.map += answer["map"]
    level.missed += answer["missed"]
    level.late.append(answer["late"])
    return int(answer["probes"])


def table(levels: Sequence[Level]) -> str:
    rows = []
    for level in levels:
        load = f"{level.share:.0%}, {level.rate / 1000:.0f} k/s" if level.rate else "idle"
        seen = [f"{len(level.table)}, {level.missed} missed", f"{level.lost / max(1, level.sent):.2%}"]
        rows.append([str(level.live), load, *_quantiles(level.table), *_quantiles(level.map), *seen])
    columns = [f"{where}, {name}" for where in ("table", "sendmail") for name in ("p50 ms", "p99", "most")]
    return markdown(["live", "load", *columns, "probes", "lost"], rows)


def _quantiles(seconds: Sequence[float]) -> list[str]:
    return [f"{quantile(seconds, share) * 1000:.1f}" for share in (0.5, 0.99, 1.0)] if seconds else ["-"] * 3
