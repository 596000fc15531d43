"""`list`, `show`, `grant`, `revoke`, `deny`, `flush`: the table by hand. They work while the daemon runs and while it is down."""

import argparse
import ipaddress
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from syslogauth.cli import EX_NO, CommandError
from syslogauth.cli.site import address_of, audit, configuration, open_table, warn_without_keeper
from syslogauth.config import Config
from syslogauth.core.address import Networks, canonical
from syslogauth.record import Entry
from syslogauth.table import Table, TableError


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config)
    verbs: dict[str, Callable[[argparse.Namespace, Config], int]] = {
        "list": list_, "show": show, "grant": grant, "revoke": revoke, "deny": deny, "flush": flush,
    }  # fmt: skip
    try:
        return verbs[arguments.verb](arguments, config)
    except (TableError, OSError, ValueError) as error:  # ValueError: a record of another version
        if isinstance(error, BrokenPipeError):
            raise
        raise CommandError(f"the table: {error}") from None


def list_(arguments: argparse.Namespace, config: Config) -> int:
    try:
        within = Networks((str(ipaddress.ip_network(arguments.network, strict=False)),)) if arguments.network else None
    except ValueError as error:
        raise CommandError(f"--network: {error}; write one such as 192.0.2.0/24", os.EX_USAGE) from None
    now = time.time()
    table = open_table(config, readonly=True)
    rows = (
        row
        for entry in table.entries()
        if (within is None or entry.address in within) and (arguments.user is None or entry.user == arguments.user)
        for row in _row(table, entry, now)
    )
    if arguments.json:
        _print_array(rows)
    else:
        _print_table(rows, now)
        for address, until in table.denials() if arguments.user is None else ():
            if within is None or address in within:
                print(f"denied {canonical(address)} {'for ever' if until is None else f'for {until - now:.0f} s more'}")
    return os.EX_OK


def show(arguments: argparse.Namespace, config: Config) -> int:
    address, now = address_of(arguments.address), time.time()
    table = open_table(config, readonly=True)
    entry, denied = table.get(address), table.denied_until(address)
    live = table.live(address, now)
    known = {"address": canonical(address), "live": live is not None, "denied_until": denied if denied > now else None}
    known |= _fields(entry) if entry else {}
    if arguments.json:
        print(json.dumps(known))
    else:
        for name, value in known.items():
            print(f"{name:>14}  {_readable(name, value, now)}")
    return os.EX_OK if entry or denied > now else EX_NO


def grant(arguments: argparse.Namespace, config: Config) -> int:
    address = address_of(arguments.address)
    most = config.policy.max_manual_seconds
    seconds = config.policy.grace_seconds if arguments.seconds is None else arguments.seconds
    if not 0 < seconds <= most:
        raise CommandError(f"--seconds {seconds:g}: write more than 0 and at most {most:g} (policy.max_manual_seconds)", os.EX_USAGE)
    if any(c < " " or "\x7f" <= c <= "\x9f" for c in arguments.note):
        raise CommandError("--note: holds a control character; write plain text", os.EX_USAGE)
    if not open_table(config).grant(address, seconds, arguments.note, time.time()):
        raise CommandError(f"{canonical(address)} is denied; lift that first: syslogauth deny {canonical(address)} --seconds 0", EX_NO)
    audit(config, "grant", address=canonical(address), seconds=seconds, note=arguments.note)
    warn_without_keeper(config)
    print(f"{canonical(address)} may relay for {seconds:g} s")
    return os.EX_OK


def revoke(arguments: argparse.Namespace, config: Config) -> int:
    address = address_of(arguments.address)
    existed = open_table(config).revoke(address, time.time())
    audit(config, "revoke", address=canonical(address))
    warn_without_keeper(config)
    print(f"{canonical(address)} {'may no longer relay' if existed else 'had no grant; what is on its way is void'}")
    return os.EX_OK


def deny(arguments: argparse.Namespace, config: Config) -> int:
    address, now, seconds = address_of(arguments.address), time.time(), arguments.seconds
    if seconds is not None and not seconds >= 0:
        raise CommandError(f"--seconds {seconds:g}: write 0 to lift the denial, or more", os.EX_USAGE)
    open_table(config).deny(address, None if seconds is None else now + seconds, now)
    audit(config, "deny", address=canonical(address), seconds=seconds)
    warn_without_keeper(config)
    lifted = seconds == 0
    print(
        f"{canonical(address)} is {'no longer denied' if lifted else 'denied'}{'' if seconds is None or lifted else f' for {seconds:g} s'}"
    )
    return os.EX_OK


def flush(arguments: argparse.Namespace, config: Config) -> int:
    if not arguments.yes:
        raise CommandError("flush removes every grant: every customer must log in again; say it with --yes", os.EX_USAGE)
    removed = open_table(config).flush(time.time())
    audit(config, "flush", removed=removed)
    warn_without_keeper(config)
    print(f"{removed} grants removed; denials stay")
    return os.EX_OK


def _row(table: Table, entry: Entry, now: float) -> Iterator[dict[str, Any]]:
    """The row of an entry that may relay now; nothing for one that is over or denied."""
    until = table.live(entry.address, now)
    if until is not None:
        yield {"address": canonical(entry.address), **_fields(entry), "expires_at": until, "seconds_left": round(until - now, 1)}


def _fields(entry: Entry) -> dict[str, Any]:
    names = ("kind", "expires_at", "granted_at", "refreshed_at", "count", "service", "server", "user", "hostname", "peer")
    return {name: getattr(entry, name) for name in names}


def _readable(name: str, value: Any, now: float) -> str:
    if name.endswith(("_at", "_until")) and value is not None:
        if value > now + 10 * 366 * 86400:
            return "for ever"
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
        return f"{stamp} ({abs(value - now):.0f} s {'from now' if value >= now else 'ago'})"
    return "-" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)


def _print_array(rows: Iterator[dict[str, Any]]) -> None:
    """A JSON array, a row a line: a million of them must not wait in memory."""
    print("[", end="")
    for number, row in enumerate(rows):
        print(",\n " if number else "\n ", json.dumps(row), sep="", end="")
    print("\n]")


def _print_table(rows: Iterator[dict[str, Any]], now: float) -> None:
    print(f"{'ADDRESS':<39} {'LEFT':>8}  {'KIND':<6} {'SERVICE':<11} {'SERVER':<8} {'LOGINS':>6}  {'HOST':<16} USER")
    for row in rows:
        print(
            f"{row['address']:<39} {row['expires_at'] - now:>7.0f}s  {row['kind']:<6} {row['service'] or '-':<11} "
            f"{row['server'] or '-':<8} {row['count']:>6}  {row['hostname'] or '-':<16} {row['user'] or '-'}"
        )
