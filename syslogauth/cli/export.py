"""`export` and `export --check`: write the maps from the table, or read the live maps back and hold every key against it."""

import argparse
import os
import sys
import time

from syslogauth.assembly import maps_of
from syslogauth.cli import EX_NO, CommandError
from syslogauth.cli.site import configuration, open_table
from syslogauth.exports import hash2, hash9
from syslogauth.exports.sendmail_hash import HEAD_BYTES, identify
from syslogauth.logs import configure
from syslogauth.maps import Map, MapSettings
from syslogauth.ownership import take_lock
from syslogauth.publish import read_locked
from syslogauth.roster import Roster
from syslogauth.settings import map_file
from syslogauth.table import Table, TableError

READERS = {"hash9": hash9, "hash2": hash2}
PATIENCE_SECONDS = 5.0  # a running exporter may be that far behind the table


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config)
    table = open_table(config, readonly=arguments.check)
    try:
        held = None if arguments.check else take_lock(config.state_directory / "exporter.lock")
        if held is None:
            if not arguments.check:
                print("the daemon's exporter is at work and writes within a second; checking what it wrote")
            return max((_check(table, settings) for settings in maps_of(config)), default=os.EX_OK)
        log = configure(config.log.format, config.log.level, "export", sys.stderr)
        table.keep_always(config.policy.always)
        roster = Roster(table)
        while not roster.known:
            roster.advance(time.time(), time.monotonic())
        for settings in maps_of(config):
            map_ = Map(settings, log)
            if not map_.keep(roster.live, time.monotonic()):
                raise CommandError(f"export {settings.path}: {map_.reason}", os.EX_CANTCREAT)
            print(f"{map_file(settings.path)}: {map_.entries} addresses")
        os.close(held)
    except TableError as error:
        raise CommandError(f"the table cannot be read: {error}") from None
    return os.EX_OK


def _check(table: Table, settings: MapSettings) -> int:
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
        if not missing and not extra:
            print(f"{path}: {len(wanted)} keys, each of them found, none besides ({kind})")
            return os.EX_OK
        if time.monotonic() >= deadline:
            print(f"{path}: {len(missing)} keys missing, {len(extra)} too many", file=sys.stderr)
            for word, keys in (("missing", missing), ("too many", extra)):
                for key in sorted(keys)[:10]:
                    print(f"  {word}: {key.decode('ascii', 'backslashreplace')}", file=sys.stderr)
            return EX_NO
        time.sleep(0.2)
