"""`replay FILE...`: feed log files into the table at their lines' own times.

The one place where a line's stamp counts (law 4), and then never beyond now + grace: a line stamped in the future is taken as of now. A
grant that would be over already is not stored. The table is written in slices, so that the running daemon is not held up.

JSON: one object of lines, logins (an array: server, service, count), outcomes by outcome, grants, over (of them, by now), stored (null with
--nowrite), missed (an array as of `match --missed --json`; null without --missed).
"""

import argparse
import json
import os
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from syslogauth.assembly import file_escapes, intake_of
from syslogauth.cli import CommandError
from syslogauth.cli.match import WHY, unreadable_code
from syslogauth.cli.missed import Missed
from syslogauth.cli.site import audit, configuration, open_table
from syslogauth.core.batch import Batch
from syslogauth.core.intake import Intake
from syslogauth.core.linetime import LineClock
from syslogauth.core.login import Grant, Refusal
from syslogauth.listeners.tail import blocks, open_log, size_and_mtime
from syslogauth.table import Table, TableError

SLICE = 1000


@dataclass(slots=True)
class Tally:
    lines: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    logins: Counter[tuple[str, str]] = field(default_factory=Counter)  # server, service
    stored: int = 0
    over: int = 0


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config)
    intake = intake_of(config)
    tally = Tally()
    missed = Missed(intake.recogniser) if arguments.missed else None
    with ExitStack() as stack:
        # before the table, which makes root its owner: who may not read the log
        logs = [(path, stack.enter_context(_opened(path))) for path in arguments.file]
        table = None if arguments.nowrite else open_table(config)
        for path, log in logs:
            try:
                escaped = arguments.escaped or bool(file_escapes(config, path))
                _replay(path, log, intake, table, tally, missed=missed, escaped=escaped)
            except (OSError, EOFError, zlib.error) as error:
                raise _unreadable(path, error) from None
            except TableError as error:
                raise CommandError(f"the table: {error}; what was read up to here is stored") from None
    if table is not None:
        audit(config, "replay", files=arguments.file, stored=tally.stored)
    if arguments.json:
        print(json.dumps(_known(tally, missed, wrote=table is not None)))
        return os.EX_OK
    if missed is not None:
        print("\n".join(missed.report()) or "nothing was missed")
    if arguments.stats or missed is None:
        _report(tally, wrote=table is not None, stats=arguments.stats)
    return os.EX_OK


def _opened(path: str) -> BinaryIO:
    try:
        return open_log(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> CommandError:
    return CommandError(f"{path}: {getattr(error, 'strerror', None) or error}", unreadable_code(error))


def _replay(path: str, log: BinaryIO, intake: Intake, table: Table | None, tally: Tally, *, missed: Missed | None, escaped: bool) -> None:
    size, mtime = size_and_mtime(log)
    now = time.time()
    clock = LineClock(min(now, mtime or now))
    waiting: list[Grant] = []

    def time_of(timestamp: bytes) -> float:
        return min(clock.at(timestamp), now)

    with progress(path, size) as advance:
        for block, position in blocks(log):
            batch, read = Batch.of_lines(block), 0
            for number, verdict in intake.lines.judge_all(batch, time_of, escaped=escaped):
                read += 1
                tally.outcomes[verdict.outcome] += 1
                if verdict.login:
                    tally.logins[verdict.login.server, verdict.login.service] += 1
                if missed is not None:
                    missed.add(verdict, batch.datagram(number))
                if verdict.grant is not None:
                    waiting.append(verdict.grant._replace(peer="replay"))
                    if len(waiting) >= SLICE:
                        _store(waiting, table, tally)
            tally.lines += len(batch)
            tally.outcomes[Refusal.NOT_LOGIN] += len(batch) - read
            advance(position)
        _store(waiting, table, tally)


def _store(waiting: list[Grant], table: Table | None, tally: Tally) -> None:
    now = time.time()
    alive = [grant for grant in waiting if grant.expires_at > now]
    tally.over += len(waiting) - len(alive)
    waiting.clear()
    if table is not None and alive:
        done = table.commit(alive, now)
        tally.stored += done.new + done.refreshed


def _known(tally: Tally, missed: Missed | None, *, wrote: bool) -> dict[str, object]:
    return {
        "lines": tally.lines,
        "logins": [{"server": server, "service": service, "count": count} for (server, service), count in tally.logins.most_common()],
        "outcomes": {str(outcome): count for outcome, count in tally.outcomes.most_common()},
        "grants": tally.outcomes["grant"],
        "over": tally.over,
        "stored": tally.stored if wrote else None,
        "missed": None if missed is None else missed.rows(),
    }


def _report(tally: Tally, *, wrote: bool, stats: bool) -> None:
    print(f"{tally.lines} lines, {tally.logins.total()} logins, {tally.outcomes['grant']} grants, {tally.over} of them over by now")
    print(f"{tally.stored} stored" if wrote else "nothing stored (--nowrite)")
    if stats:
        for (server, service), count in tally.logins.most_common():
            print(f"  {count:>9}  login {server} {service}")
        for outcome, count in tally.outcomes.most_common():
            why = "" if outcome == "grant" else WHY[Refusal(outcome)]
            print(f"  {count:>9}  {outcome:<18} {why}")


@contextmanager
def progress(path: str, size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, nothing elsewhere."""
    if not (size and sys.stderr.isatty()):
        yield lambda position: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr)) as bar:
        task = bar.add_task(path, total=size)
        yield lambda position: bar.update(task, completed=position)
