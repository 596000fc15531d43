"""`top`: what the daemon does, looked at again and again until q or ^C; `--once`, or where there is no terminal: one look.

JSON (`--once --json`): the object of figures.py with two keys more. `newest` is an array of rows as `list` has them. `rates` is null where
no daemon answers, else: seconds, datagrams_per_second, dropped_per_second, outcomes and peers, each per second by name, and processes,
their CPU seconds per second. Rates are the difference of two scrapes `--interval` apart: the processes tell their figures once a second, so
that a longer one tells them more truly; the live view takes the last WINDOW_SECONDS. Where no daemon answers at the start, what the table
tells is told, and 69 is the exit code; one that goes away while it is watched is waited for.
"""

import argparse
import json
import os
import select
import signal
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live

from syslogauth.cli import CommandError, figures
from syslogauth.cli.frame import frame
from syslogauth.cli.listing import row_of
from syslogauth.cli.site import configuration, open_table, speaking_of_the_table
from syslogauth.config import Config
from syslogauth.scrape import Figures, scrape, total, unready
from syslogauth.table import Table

WINDOW_SECONDS = 10.0
LEAST_SECONDS, MOST_SECONDS = 0.2, 3600.0
NEWEST = 50  # rows at most
LOOKED_AT = 500  # changes at most: those who left are among them
WIDE = 132  # columns of what is piped
KEYS_THAT_END = b"qQ\x04"


def main(arguments: argparse.Namespace) -> int:
    interval = arguments.interval
    if not LEAST_SECONDS <= interval <= MOST_SECONDS:
        raise CommandError(f"--interval {interval:g}: write seconds from {LEAST_SECONDS:g} to {MOST_SECONDS:g}", os.EX_USAGE)
    console = Console(highlight=False, markup=False, emoji=False)
    once = arguments.once or arguments.json or not console.is_terminal or console.is_dumb_terminal
    config = configuration(arguments.config)
    history = History()
    history.add(scrape(config.metrics.listen), time.monotonic())
    cell_len("é")  # the table may make us a user who cannot import what rich imports late
    with speaking_of_the_table():
        table = open_table(config, readonly=True)
        if history.latest is None or once:
            return _once(config, table, history, interval, as_json=arguments.json)
        _live(config, table, history, interval, console)
    return os.EX_OK


@dataclass(slots=True)
class History:
    """The scrapes of the last while, for the rates: what grew from the oldest to the newest, by the second."""

    scrapes: deque[tuple[float, Figures]] = field(default_factory=deque)
    latest: Figures | None = None

    def add(self, scraped: Figures | None, at: float) -> None:
        """Take one in; None: nobody answered. One that counts less than the last is another daemon's: the rates begin anew."""
        newest = self.scrapes[-1][1] if self.scrapes else None
        if scraped is None or (newest and total(scraped, "outcomes_total") < total(newest, "outcomes_total")):
            self.scrapes.clear()
        self.latest = scraped
        if scraped is not None:
            self.scrapes.append((at, scraped))
        while len(self.scrapes) > 2 and at - self.scrapes[0][0] > WINDOW_SECONDS:
            self.scrapes.popleft()

    def rates(self) -> dict[str, Any] | None:
        if self.latest is None:
            return None
        (began, old), (ended, new) = self.scrapes[0], self.scrapes[-1]
        seconds = ended - began

        def rate(name: str, **labels: str) -> float | None:
            return round(max(0.0, total(new, name, **labels) - total(old, name, **labels)) / seconds, 3) if seconds else None

        def by(name: str, label: str) -> dict[str, float | None]:
            names = sorted({labels[label] for labels, _ in new.get(name, ()) if label in labels})
            return {called: rate(name, **{label: called}) for called in names}

        return {
            "seconds": round(seconds, 3),
            "datagrams_per_second": rate("datagrams_received_total"),
            "dropped_per_second": rate("datagrams_dropped_total"),
            "outcomes": by("outcomes_total", "outcome"),
            "peers": by("peer_datagrams_total", "peer"),
            "processes": by("process_cpu_seconds_total", "process"),
        }


def newest(table: Table, now: float, count: int = NEWEST) -> list[dict[str, Any]]:
    """Rows of those who entered last and may relay, the newest first. A login that only prolongs is none. Costs the same at any size."""
    always = table.always()
    recent = table.changes(max(0, table.sequence() - LOOKED_AT)).addresses
    rows: list[dict[str, Any]] = []
    for address in dict.fromkeys(reversed(recent)):
        entry = table.get(address)
        if entry and (row := row_of(table, address, entry, always.get(address), now)):
            rows.append(row)
    return sorted(rows, key=lambda row: -row["granted_at"])[:count]


def _look(config: Config, table: Table, history: History) -> dict[str, Any]:
    reason = unready(config.metrics.listen) if history.latest is not None else None
    known = figures.look(config, table, history.latest, reason)
    return known | {"rates": history.rates(), "newest": newest(table, time.time())}


def _once(config: Config, table: Table, history: History, interval: float, *, as_json: bool) -> int:
    if history.latest is not None:
        time.sleep(interval)
        history.add(scrape(config.metrics.listen), time.monotonic())
    known = _look(config, table, history)
    if as_json:
        print(json.dumps(known))
    else:
        console = Console(highlight=False, markup=False, emoji=False)
        wide = console if console.is_terminal else Console(highlight=False, markup=False, emoji=False, width=WIDE)
        with wide.capture() as captured:
            wide.print(frame(known, wide.width, None))
        print("\n".join(line.rstrip() for line in captured.get().splitlines()))
    if history.latest is None:
        raise CommandError(silent(config), os.EX_UNAVAILABLE)
    return os.EX_OK


def silent(config: Config) -> str:
    """Why there is no daemon to watch."""
    if config.metrics.listen is None:
        return 'metrics.listen is "": the daemon can be asked nowhere; give it an address such as 127.0.0.1:9514'
    return f"no daemon answers at http://{config.metrics.listen}/metrics; start it: syslogauth run"


def _live(config: Config, table: Table, history: History, interval: float, console: Console) -> None:
    with _keys() as ended, Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(frame(_look(config, table, history), console.width, console.height), refresh=True)
            if ended(interval):
                return
            history.add(scrape(config.metrics.listen), time.monotonic())


@contextmanager
def _keys() -> Iterator[Any]:
    """A function that waits so many seconds and says whether a key or a signal ended the watch. The terminal is left as it was."""
    keyboard = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = termios.tcgetattr(keyboard) if keyboard is not None else None
    woken, waker = os.pipe()  # a signal ends the wait through it, also one that comes between two waits
    os.set_blocking(waker, False)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH)
    handlers = {number: signal.signal(number, lambda number, _: os.write(waker, bytes((number,)))) for number in signals}

    def ended(seconds: float) -> bool:
        if select.select([woken] if keyboard is None else [woken, keyboard], [], [], seconds)[0] == []:
            return False
        ready = select.select([woken], [], [], 0)[0]
        if ready:
            return os.read(woken, 100).strip(bytes((signal.SIGWINCH,))) != b""  # a new size is shown at once
        pressed = os.read(keyboard, 100) if keyboard is not None else b""
        return not pressed or any(key in KEYS_THAT_END for key in pressed)

    try:
        if keyboard is not None:
            tty.setcbreak(keyboard, termios.TCSANOW)
        yield ended
    finally:
        if keyboard is not None and before is not None:
            with suppress(termios.error):  # it may be gone
                termios.tcsetattr(keyboard, termios.TCSANOW, before)
        for number, before_it in handlers.items():
            signal.signal(number, before_it)
        os.close(woken)
        os.close(waker)
