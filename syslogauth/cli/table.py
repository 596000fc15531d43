"""`list`, `show`, `grant`, `revoke`, `deny`, `flush`: the table by hand. They work while the daemon runs and while it is down."""

import argparse
import ipaddress
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from syslogauth.cli import EX_NO, CommandError
from syslogauth.cli.site import address_of, audit, configuration, open_table, warn_without_keeper
from syslogauth.config import Config
from syslogauth.core.address import MAPPED, canonical
from syslogauth.denials import Network, whole
from syslogauth.record import Entry
from syslogauth.table import Table, TableError

FIELDS = ("kind", "expires_at", "granted_at", "refreshed_at", "count", "service", "server", "user", "hostname", "peer")
BLANK = dict.fromkeys(("granted_at", "refreshed_at")) | {"count": 0} | dict.fromkeys(FIELDS[5:], "")


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
    within = _network("--network", arguments.network, strict=False) if arguments.network else None
    now = time.time()
    table = open_table(config, readonly=True)
    rows = _rows(table, within, arguments.user, now)
    if arguments.by_user:
        rows = _users(rows)
    if arguments.json:
        _print_array(rows)
    elif arguments.by_user:
        print(f"{'ADDRESSES':>9} {'LOGINS':>8}  USER")
        for row in rows:
            print(f"{row['addresses']:>9} {row['logins']:>8}  {row['user']}")
    else:
        _print_table(rows, now)
        for network, until in table.denied() if arguments.user is None else ():
            if within is None or _overlap(network, within):
                print(f"denied {_text(network)} {'for ever' if until is None else f'for {until - now:.0f} s more'}")
    return os.EX_OK


def show(arguments: argparse.Namespace, config: Config) -> int:
    address, now = address_of(arguments.address), time.time()
    table = open_table(config, readonly=True)
    entry, comment, (sessions, held_until) = table.get(address), table.always().get(address), table.held(address)
    denied_until, denied_by = max(((until, _text(by)) for by, until in table.denied_by(address) if until > now), default=(None, None))
    known = {"address": canonical(address), "live": table.live(address, now) is not None}
    known |= {"denied_until": denied_until, "denied_by": denied_by}
    known |= {"open_sessions": sessions, "held_until": held_until} if sessions else {}
    known |= _fields(entry) if entry else {}
    known |= {"kind": "always", "comment": comment} if comment is not None else {}
    if arguments.json:
        print(json.dumps(known))
    else:
        for name, value in known.items():
            print(f"{name:>14}  {_readable(name, value, now)}")
    return os.EX_OK if entry or denied_by or comment is not None else EX_NO


def grant(arguments: argparse.Namespace, config: Config) -> int:
    address = address_of(arguments.address)
    most = config.policy.max_manual_seconds
    seconds = config.policy.grace_seconds if arguments.seconds is None else arguments.seconds
    if not 0 < seconds <= most:
        raise CommandError(f"--seconds {seconds:g}: write more than 0 and at most {most:.10g} (policy.max_manual_seconds)", os.EX_USAGE)
    if any(c < " " or "\x7f" <= c <= "\x9f" for c in arguments.note):
        raise CommandError("--note: holds a control character; write plain text", os.EX_USAGE)
    table = open_table(config)
    if not table.grant(address, seconds, arguments.note, time.time()):
        by = max(((until, _text(by)) for by, until in table.denied_by(address)), default=(0, canonical(address)))[1]
        denied = "denied" if by == canonical(address) else f"denied with {by}"
        raise CommandError(f"{canonical(address)} is {denied}; lift that first: syslogauth deny {by} --seconds 0", EX_NO)
    audit(config, "grant", address=canonical(address), seconds=seconds, note=arguments.note)
    warn_without_keeper(config)
    print(f"{canonical(address)} may relay for {seconds:g} s")
    return os.EX_OK


def revoke(arguments: argparse.Namespace, config: Config) -> int:
    address = address_of(arguments.address)
    table = open_table(config)
    if address in table.always():
        text = canonical(address)
        raise CommandError(
            f"{text} is in policy.always, which no revocation ends; take it out there, or: syslogauth deny {text}", os.EX_USAGE
        )
    existed = table.revoke(address, time.time())
    audit(config, "revoke", address=canonical(address))
    warn_without_keeper(config)
    print(f"{canonical(address)} {'may no longer relay' if existed else 'had no grant; what is on its way is void'}")
    return os.EX_OK


def deny(arguments: argparse.Namespace, config: Config) -> int:
    text, now, seconds = arguments.address, time.time(), arguments.seconds
    network = _network("deny", text, strict=True) if "/" in text else whole(address_of(text))
    if seconds is not None and not seconds >= 0:
        raise CommandError(f"--seconds {seconds:g}: write 0 to lift the denial, or more", os.EX_USAGE)
    table = open_table(config)
    table.deny_network(network, None if seconds is None else now + seconds, now)
    text = _text(network)
    audit(config, "deny", **{"network" if "/" in text else "address": text}, seconds=seconds)
    warn_without_keeper(config)
    if seconds == 0:
        wider = [_text(by) for by, until in table.denied_by(network[0]) if until > now and by[1] < network[1]]
        print(f"{text} is no longer denied" + (f" by itself, but it is in {wider[0]}, which is" if wider else ""))
    else:
        print(f"{text} is denied" + ("" if seconds is None else f" for {seconds:g} s"))
    return os.EX_OK


def flush(arguments: argparse.Namespace, config: Config) -> int:
    if not arguments.yes:
        raise CommandError("flush removes every grant: every customer must log in again; say it with --yes", os.EX_USAGE)
    table = open_table(config)
    removed = table.flush(time.time())
    audit(config, "flush", removed=removed)
    warn_without_keeper(config)
    always = len(table.always())
    print(f"{removed} grants removed; denials stay" + (f", and so do {always} addresses of policy.always" if always else ""))
    return os.EX_OK


def _network(what: str, text: str, *, strict: bool) -> Network:
    """First address and prefix length; an IPv4-mapped network is one of IPv4, as such an address is."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise CommandError(f"{what}: {error}; write one such as 192.0.2.0/24", os.EX_USAGE) from None
    if strict and ipaddress.ip_interface(text).ip != network.network_address:
        raise CommandError(f"{what}: {text} has bits set behind its prefix; write {network}", os.EX_USAGE)
    first, prefix = network.network_address.packed, network.prefixlen
    return (first[12:], prefix - 96) if first.startswith(MAPPED) and prefix >= 96 else (first, prefix)


def _text(network: Network) -> str:
    first, prefix = network
    return canonical(first) if network == whole(first) else f"{canonical(first)}/{prefix}"


def _overlap(one: Network, other: Network) -> bool:
    shift = 8 * len(one[0]) - min(one[1], other[1])
    return len(one[0]) == len(other[0]) and int.from_bytes(one[0]) >> shift == int.from_bytes(other[0]) >> shift


def _rows(table: Table, within: Network | None, user: str | None, now: float) -> Iterator[dict[str, Any]]:
    """The addresses that may relay now: those with a record, and then those that need none."""
    always = table.always()
    for entry in table.entries():
        comment = always.pop(entry.address, None)
        if (within is None or _overlap(whole(entry.address), within)) and (user is None or entry.user == user):
            yield from _row(table, entry.address, entry, comment, now)
    for address, comment in always.items() if user is None else ():
        if within is None or _overlap(whole(address), within):
            yield from _row(table, address, None, comment, now)


def _row(table: Table, address: bytes, entry: Entry | None, comment: str | None, now: float) -> Iterator[dict[str, Any]]:
    """Its row if it may relay now; nothing for one that is over or denied."""
    until = table.live(address, now)
    if until is None:
        return
    row = {"address": canonical(address), **(_fields(entry) if entry else BLANK)}
    if comment is None:
        yield row | {"expires_at": until, "seconds_left": round(until - now, 1)}
    else:
        yield row | {"kind": "always", "expires_at": None, "seconds_left": None, "comment": comment}


def _users(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The users of those rows by the number of their addresses: a stolen password shows as one user at very many."""
    addresses: Counter[str] = Counter()
    logins: Counter[str] = Counter()
    for row in rows:
        if row["server"] and row["user"]:  # the user of a manual grant is a note
            addresses[row["user"]] += 1
            logins[row["user"]] += row["count"]
    return ({"user": user, "addresses": count, "logins": logins[user]} for user, count in addresses.most_common())


def _fields(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in FIELDS}


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
        left = "-" if row["expires_at"] is None else f"{row['expires_at'] - now:.0f}s"
        print(
            f"{row['address']:<39} {left:>8}  {row['kind']:<6} {row['service'] or '-':<11} "
            f"{row['server'] or '-':<8} {row['count']:>6}  {row['hostname'] or '-':<16} {row.get('comment') or row['user'] or '-'}"
        )
