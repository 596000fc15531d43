"""`stats`: what is in the table and in the maps, and what the running daemon counts where it answers: figures.py has the object.

`--count` adds `live` to it: how many addresses may relay, in all and by what let them in; that reads
every record, some ten seconds a million.
"""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from syslogauth.cli import figures
from syslogauth.cli.site import configuration, open_table, speaking_of_the_table
from syslogauth.scrape import scrape, unready
from syslogauth.table import Table

SLICE = 2000
CLOSED = ("daemon.outcomes", "daemon.grants")  # their names are always the same: those that never came are not told


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config)
    scraped = scrape(config.metrics.listen)  # first, as the table may make us a user who cannot import what this needs
    reason = unready(config.metrics.listen) if scraped else None
    with speaking_of_the_table():
        table = open_table(config, readonly=True)
        known = figures.look(config, table, scraped, reason)
        if arguments.count:
            known["live"] = live(table, time.time())
    if arguments.json:
        print(json.dumps(known))
    else:
        for name, value in lines(known):
            print(f"{name:<48} {value}")
    return os.EX_OK


def live(table: Table, now: float) -> dict[str, Any]:
    """Those who may relay: `all`; `by`, an array of kind, server, service, count, the most frequent first."""
    always = table.always()
    kinds: Counter[tuple[str, str, str]] = Counter()
    kinds["always", "", ""] = sum(found.until_ms > 0 for found in table.honoured(always, now))
    entries = (entry for entry in table.entries() if entry.address not in always)
    while some := list(islice(entries, SLICE)):
        standings = table.honoured([entry.address for entry in some], now)
        kinds.update((entry.kind, entry.server, entry.service) for entry, found in zip(some, standings, strict=True) if found.until_ms > 0)
    names = ("kind", "server", "service")
    rows = [dict(zip(names, kind, strict=True)) | {"count": count} for kind, count in kinds.most_common() if count]
    return {"all": kinds.total(), "by": rows}


def lines(known: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The object as one name and value a line: `daemon.outcomes.grant`. The rows of an array by what is text in them."""
    if isinstance(known, dict):
        for key, value in known.items():
            if value != 0 or name not in CLOSED:
                yield from lines(value, f"{name}.{key}" if name else key)
    elif isinstance(known, list):
        for row in known:
            said = [value for value in row.values() if isinstance(value, str) and value]
            for key, value in row.items():
                if not isinstance(value, str):
                    yield from lines(value, f"{name}[{' '.join(said)}].{key}")
    else:
        yield name, "-" if known is None else str(known).lower() if isinstance(known, bool) else known
