"""`export` and `export --check`: write the maps from the table, or read the live maps back and hold every key against it.

JSON: one object of checked (false: they were written) and maps, an array: path, and of one that was written addresses, of one that was
checked format, keys (those that it shall have), missing and too_many (numbers), and the first of each in missing_keys, too_many_keys.
"""

import argparse
import json
import os
import sys
import time
from typing import Any

from syslogauth.assembly import maps_of
from syslogauth.cli import EX_NO, CommandError
from syslogauth.cli.site import configuration, open_table, speaking_of_the_table
from syslogauth.config import Config
from syslogauth.exports import hash2, hash9
from syslogauth.exports.sendmail_hash import HEAD_BYTES, identify
from syslogauth.logs import configure
from syslogauth.maps import Map, MapSettings
from syslogauth.ownership import take_lock
from syslogauth.publish import read_locked
from syslogauth.roster import Roster
from syslogauth.settings import map_file
from syslogauth.table import Table

READERS = {"hash9": hash9, "hash2": hash2}
EXAMPLES = 10
PATIENCE_SECONDS = 5.0  # a running exporter may be that far behind the table


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config)
    table = open_table(config, readonly=arguments.check)
    with speaking_of_the_table():
        held = None if arguments.check else take_lock(config.state_directory / "exporter.lock")
        if held is not None:
            maps = _write(config, table)
            os.close(held)
        else:
            if not arguments.check:
                print("the daemon's exporter is at work and writes within a second; checking what it wrote", file=sys.stderr)
            maps = [_check(table, settings) for settings in maps_of(config)]
    if arguments.json:
        print(json.dumps({"checked": held is None, "maps": maps}))
    else:
        for known in maps:
            _tell(known)
    return EX_NO if any(known.get("missing") or known.get("too_many") for known in maps) else os.EX_OK


def _write(config: Config, table: Table) -> list[dict[str, Any]]:
    """Every map, from the table."""
    log = configure(config.log.format, config.log.level, "export", sys.stderr)
    table.keep_always(config.policy.always)
    roster = Roster(table)
    while not roster.known:
        roster.advance(time.time(), time.monotonic())
    maps: list[dict[str, Any]] = []
    for settings in maps_of(config):
        map_ = Map(settings, log)
        if not map_.keep(roster.live, time.monotonic()):
            raise CommandError(f"export {settings.path}: {map_.reason}", os.EX_CANTCREAT)
        maps.append({"path": str(map_file(settings.path)), "addresses": map_.entries})
    return maps


def _tell(known: dict[str, Any]) -> None:
    if "addresses" in known:
        print(f"{known['path']}: {known['addresses']} addresses")
    elif not known["missing"] and not known["too_many"]:
        print(f"{known['path']}: {known['keys']} keys, each of them found, none besides ({known['format']})")
    else:
        print(f"{known['path']}: {known['missing']} keys missing, {known['too_many']} too many", file=sys.stderr)
        for word, keys in (("missing", known["missing_keys"]), ("too many", known["too_many_keys"])):
            for key in keys:
                print(f"  {word}: {key}", file=sys.stderr)


def _check(table: Table, settings: MapSettings) -> dict[str, Any]:
    """Every key of the table is got from the live map as sendmail would get it, and no other key is in it."""
    path = map_file(settings.path)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        now = time.time()
        addresses = list(table.addresses())
        live = {address for address, standing in zip(addresses, table.honoured(addresses, now), strict=True) if standing.until_ms}
        wanted = set(settings.keys(live))
        try:
            image = read_locked(path)
            kind = identify(image[:HEAD_BYTES])
            if kind not in READERS:
                what = f"a {kind} file, which cannot be read back here; try makemap -u" if kind else "no map"
                raise CommandError(f"{path}: is {what}", os.EX_DATAERR)
            found = READERS[kind].read(image)
            missing = {key for key in wanted if READERS[kind].get(image, key) is None}
        except FileNotFoundError:
            raise CommandError(f"{path}: does not exist; start the daemon, or run: syslogauth export", os.EX_NOINPUT) from None
        except (OSError, ValueError) as error:
            raise CommandError(f"{path}: {error}", os.EX_DATAERR) from None
        extra = found - wanted
        if (not missing and not extra) or time.monotonic() >= deadline:
            return {
                "path": str(path),
                "format": kind,
                "keys": len(wanted),
                "missing": len(missing),
                "too_many": len(extra),
                "missing_keys": _first(missing),
                "too_many_keys": _first(extra),
            }
        time.sleep(0.2)


def _first(keys: set[bytes]) -> list[str]:
    return [key.decode("ascii", "backslashreplace") for key in sorted(keys)[:EXAMPLES]]
