"""`stats`: what is in the table and in the maps, and the running daemon's own figures where it answers."""

import argparse
import json
import os
import time
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

from syslogauth.assembly import maps_of
from syslogauth.cli import CommandError
from syslogauth.cli.site import configuration, open_table
from syslogauth.config import Config
from syslogauth.settings import map_file
from syslogauth.table import TableError

FIGURES = ("datagrams_received_total", "outcomes_total", "datagrams_dropped_total", "process_restarts_total", "grants_total")


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config)
    try:
        daemon = _daemon(config)  # first, as the other two may make us a user who cannot import what this needs
        known = {"table": _table(config), "maps": _maps(config), "daemon": daemon}
    except (TableError, OSError, ValueError) as error:  # ValueError: a record of another version
        raise CommandError(f"the table cannot be read: {error}") from None
    if arguments.json:
        print(json.dumps(known))
        return os.EX_OK
    for part, figures in known.items():
        print(part)
        for name, value in (figures or {"": "does not answer"}).items():
            print(f"  {name:<44} {value}")
    return os.EX_OK


def _table(config: Config) -> dict[str, Any]:
    table, now = open_table(config, readonly=True), time.time()
    kinds: Counter[str] = Counter()
    always = table.always()
    if live_always := sum(found.until_ms > 0 for found in table.honoured(always, now)):
        kinds["live always"] = live_always
    for entry in table.entries():
        if entry.address not in always and table.live(entry.address, now) is not None:
            kinds[f"live {entry.kind} {entry.server} {entry.service}".rstrip()] += 1
    return {**table.sizes(), "live": kinds.total(), **dict(sorted(kinds.items()))}


def _maps(config: Config) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for settings in maps_of(config):
        path = map_file(settings.path)
        try:
            found = path.stat()
            figures[f"{path} bytes"] = found.st_size
            figures[f"{path} seconds since written"] = round(time.time() - found.st_mtime, 1)
        except OSError as error:
            figures[str(path)] = error.strerror
    return figures


def _daemon(config: Config) -> dict[str, Any] | None:
    """The figures of /metrics that are not zero; None where no daemon answers."""
    from prometheus_client.parser import text_string_to_metric_families

    if config.metrics.listen is None:
        return None
    try:
        with urllib.request.urlopen(f"http://{config.metrics.listen}/metrics", timeout=2) as answer:
            page = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None
    return {
        " ".join((sample.name.removeprefix("syslogauth_"), *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.removeprefix("syslogauth_") in FIGURES and sample.value
    }
