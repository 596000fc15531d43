"""The highest rate that a receiver takes for a second without a loss, by bisection. Each asks for the receive buffer that syslogauth ships.

A trial is SECONDS of paced sending; it passes where the kernel has dropped nothing at the socket. Where the sender itself cannot keep a
rate the trial fails, and the result is marked: the receiver could do more. Such a rate is as good as the quiet of the machine: a receiver
that loses its core for as long as its buffer lasts has lost. `--nice` helps all alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Spread, markdown, spread
from benchmarks.receive import in_turn, progress, servers, warm_up
from benchmarks.sending import Sender, drained, dropped, sender
from benchmarks.servers import OURS, Server

SECONDS = 1.0
LEAST, MOST = 5_000.0, 1_200_000.0
STEPS = 9  # the last ones are 1.1 % apart
TRIES = 3  # where the sender was behind
BEHIND = 1.03  # times as long as planned: the sender could not keep the rate


@dataclass(frozen=True, slots=True)
class LossFree:
    """`by_sender`: a higher rate failed because of the sender."""

    rate: float
    by_sender: bool


def highest(passes: Callable[[float], bool], least: float = LEAST, most: float = MOST, steps: int = STEPS) -> float:
    """The highest rate that passed, by bisection on a logarithmic scale; 0 where the least did not. `most` itself is not tried."""
    if not passes(least):
        return 0.0
    for _ in range(steps):
        middle = (least * most) ** 0.5
        if passes(middle):
            least = middle
        else:
            most = middle
    return least


def loss_free(server: Server, sending: Sender, logins: float) -> LossFree:
    failed_by_sender: list[float] = []
    failed: list[float] = []

    def passes(rate: float) -> bool:
        for _ in range(TRIES):
            before = dropped(server)
            sent = sending.send(server.port, int(rate * SECONDS), rate, logins)
            drained(server)
            behind, lost = sent.seconds > SECONDS * BEHIND, dropped(server) - before
            if lost or not behind:
                break
        if lost or behind:
            (failed if lost else failed_by_sender).append(rate)
        return not (lost or behind)

    rate = highest(passes)
    return LossFree(rate, min(failed_by_sender, default=MOST) < min(failed, default=MOST))


def measure(rounds: int, directory: Path, logins: float, beside: Sequence[str], workers: Sequence[int]) -> dict[str, list[LossFree]]:
    """The rate by server, a value a round."""
    with servers(directory, beside, workers) as running, sender() as sending:
        found: dict[str, list[LossFree]] = {server.name: [] for server in running}
        warm_up(running, sending, logins, 20_000)
        for number in range(rounds):
            for server in in_turn(running, number):
                progress(f"round {number + 1} of {rounds}: {server.name}")
                found[server.name].append(loss_free(server, sending, logins))
    return found


def ratio(found: dict[str, list[LossFree]], others: Sequence[str]) -> Spread:
    """Syslogauth's rate divided by the best (by median) of the others, round by round."""
    best = max(others, key=lambda name: spread([each.rate for each in found[name]]).median)
    return spread([ours.rate / max(1.0, its.rate) for ours, its in zip(found[OURS], found[best], strict=True)])


def table(found: dict[str, list[LossFree]]) -> str:
    rows = []
    for name, rounds in found.items():
        limited = " (the sender's limit)" if any(each.by_sender for each in rounds) else ""
        compared = "1" if name == OURS else ratio(found, [name]).text(2)
        rows.append([name, spread([each.rate / 1000 for each in rounds]).text() + limited, compared])
    return markdown(["program", "loss-free, k/s", "syslogauth : it"], rows)
