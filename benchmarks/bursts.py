"""Bursts into an idle receiver, sent flat out: what is lost, by the receive buffer that was asked for.

Linux holds about one datagram of this length for each kilobyte asked for, and gives no more than net.core.rmem_max to who may not force it.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import markdown, spread
from benchmarks.receive import in_turn, progress, servers, warm_up
from benchmarks.sending import drained, dropped, sender

IDLE_SECONDS = 0.5
Losses = dict[str, dict[int, dict[int, list[int]]]]  # server -> buffer -> burst -> datagrams lost, a value a round


def measure(
    rounds: int,
    directory: Path,
    bursts: Sequence[int],
    buffers: Sequence[int],
    logins: float,
    beside: Sequence[str],
    workers: Sequence[int],
) -> Losses:
    losses: Losses = {}
    for buffer in buffers:
        place = directory / str(buffer)
        place.mkdir()
        with servers(place, beside, workers, buffer) as running, sender() as sending:
            warm_up(running, sending, logins, 1000)
            for number in range(rounds):
                for burst in bursts:
                    for server in in_turn(running, number):
                        progress(f"round {number + 1} of {rounds}: {burst} datagrams, {buffer} bytes")
                        time.sleep(IDLE_SECONDS)
                        before = dropped(server)
                        sending.send(server.port, burst, 0, logins)
                        drained(server)
                        by_buffer = losses.setdefault(server.name, {}).setdefault(buffer, {})
                        by_buffer.setdefault(burst, []).append(dropped(server) - before)
    return losses


def table(losses: Losses) -> str:
    """The share that was lost, the median of the rounds, and the most."""
    names = list(losses)
    bursts = list(next(iter(losses[names[0]].values())))
    rows = []
    for buffer in losses[names[0]]:
        for burst in bursts:
            found = [spread([lost / burst for lost in losses[name][buffer][burst]]) for name in names]
            rows.append([f"{buffer >> 10} KiB", str(burst), *(f"{each.median:.1%}, at most {each.most:.1%}" for each in found)])
    return markdown(["receive buffer", "datagrams", *(f"{name}, lost" for name in names)], rows)
