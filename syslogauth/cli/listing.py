"""`list`, `show`: who may relay, for how long, and why. With a daemon, without one, and with a configuration that has mistakes.

JSON: `list` an array of rows, `--by-user` an array of user, addresses, logins; `show` one object: a row's fields as far as they are known,
with live, denied_until, denied_by, and open_sessions and held_until where there are sessions. Times are Unix seconds; null: none, for ever.
A table on a terminal is cut to its width, the texts that others chose first; what is piped is never cut.
"""

import argparse
import ipaddress
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from syslogauth.cli import EX_NO, CommandError
from syslogauth.cli.site import Place, address_of, open_table, place, speaking_of_the_table
from syslogauth.config import Config
from syslogauth.core.address import MAPPED, canonical
from syslogauth.core.formats.grammar import printable
from syslogauth.denials import Network, whole
from syslogauth.record import Entry
from syslogauth.table import Table

FIELDS = ("kind", "expires_at", "granted_at", "refreshed_at", "count", "service", "server", "user", "hostname", "peer")
BLANK = dict.fromkeys(("granted_at", "refreshed_at")) | {"count": 0} | dict.fromkeys(FIELDS[5:], "")


def main(arguments: argparse.Namespace) -> int:
    config = place(arguments.config)
    verbs: dict[str, Callable[[argparse.Namespace, Config | Place], int]] = {"list": list_, "show": show}
    with speaking_of_the_table():
        return verbs[arguments.verb](arguments, config)


def list_(arguments: argparse.Namespace, config: Config | Place) -> int:
    within = network_of("--network", arguments.network, strict=False) if arguments.network else None
    now = time.time()
    if arguments.user and isinstance(config, Config) and not config.policy.store_users and not arguments.user.startswith("#"):
        what = "names of users are not stored (policy.store_users = false); give what `syslogauth list --by-user` shows instead: #..."
        print(f"syslogauth: {what}", file=sys.stderr)
    table = open_table(config, readonly=True)
    rows = _rows(table, within, arguments.user, now)
    if arguments.by_user:
        rows = _users(rows)
    if arguments.json:
        _print_array(rows)
    elif arguments.by_user:
        print(f"{'ADDRESSES':>9} {'LOGINS':>8}  USER")
        for row in rows:
            print(f"{row['addresses']:>9} {row['logins']:>8}  {escaped(row['user'])}")
    else:
        _print_table(rows, now)
        for network, until in table.denied() if arguments.user is None else ():
            if within is None or _overlap(network, within):
                print(f"denied {text_of(network)} {'for ever' if until is None else f'for {until - now:.0f} s more'}")
    if table.unreadable:
        what = f"{table.unreadable} of the table's records cannot be read: damaged, or a newer syslogauth's"
        print(f"syslogauth: {what}; they are not honoured, and the next login of their address replaces them", file=sys.stderr)
    return os.EX_OK


def show(arguments: argparse.Namespace, config: Config | Place) -> int:
    address, now = address_of(arguments.address), time.time()
    table = open_table(config, readonly=True)
    entry, comment, (sessions, held_until) = table.get(address), table.always().get(address), table.held(address)
    denied_until, denied_by = max(((until, text_of(by)) for by, until in table.denied_by(address) if until > now), default=(None, None))
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


def network_of(what: str, text: str, *, strict: bool) -> Network:
    """First address and prefix length; an IPv4-mapped network is one of IPv4, as such an address is."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise CommandError(f"{what}: {error}; write one such as 192.0.2.0/24", os.EX_USAGE) from None
    if strict and ipaddress.ip_interface(text).ip != network.network_address:
        raise CommandError(f"{what}: {text} has bits set behind its prefix; write {network}", os.EX_USAGE)
    first, prefix = network.network_address.packed, network.prefixlen
    return (first[12:], prefix - 96) if first.startswith(MAPPED) and prefix >= 96 else (first, prefix)


def text_of(network: Network) -> str:
    first, prefix = network
    return canonical(first) if network == whole(first) else f"{canonical(first)}/{prefix}"


def escaped(text: str) -> str:
    """A client's text for a terminal: nothing in it drives one."""
    return printable(text.encode("utf-8", "backslashreplace"))


def row_of(table: Table, address: bytes, entry: Entry | None, comment: str | None, now: float) -> dict[str, Any] | None:
    """Its row if it may relay now; None for one that is over or denied. `comment`: that of policy.always, None where it is not there."""
    until = table.live(address, now)
    if until is None:
        return None
    row = {"address": canonical(address), **(_fields(entry) if entry else BLANK)}
    if comment is None:
        return row | {"expires_at": until, "seconds_left": round(until - now, 1)}
    return row | {"kind": "always", "expires_at": None, "seconds_left": None, "comment": comment}


def _overlap(one: Network, other: Network) -> bool:
    shift = 8 * len(one[0]) - min(one[1], other[1])
    return len(one[0]) == len(other[0]) and int.from_bytes(one[0]) >> shift == int.from_bytes(other[0]) >> shift


def _rows(table: Table, within: Network | None, user: str | None, now: float) -> Iterator[dict[str, Any]]:
    """The addresses that may relay now: those with a record, and then those that need none."""
    always = table.always()
    for entry in table.entries():
        comment = always.pop(entry.address, None)
        if (within is None or _overlap(whole(entry.address), within)) and (user is None or entry.user == user):
            row = row_of(table, entry.address, entry, comment, now)
            if row:
                yield row
    for address, comment in always.items() if user is None else ():
        if (within is None or _overlap(whole(address), within)) and (row := row_of(table, address, None, comment, now)):
            yield row


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
    return "-" if value in (None, "") else str(value).lower() if isinstance(value, bool) else escaped(str(value))


def _print_array(rows: Iterator[dict[str, Any]]) -> None:
    """A JSON array, a row a line: a million of them must not wait in memory."""
    print("[", end="")
    for number, row in enumerate(rows):
        print(",\n " if number else "\n ", json.dumps(row), sep="", end="")
    print("\n]")


def _print_table(rows: Iterator[dict[str, Any]], now: float) -> None:
    fit = _fitting(shutil.get_terminal_size().columns) if sys.stdout.isatty() else _whole
    print(fit("ADDRESS", "LEFT", "KIND", "SERVICE", "SERVER", "LOGINS", "HOST", "USER"))
    for row in rows:
        left = "-" if row["expires_at"] is None else f"{row['expires_at'] - now:.0f}s"
        texts = (row["service"], row["server"], row["hostname"], row.get("comment") or row["user"])
        service, server, hostname, user = (escaped(text) or "-" for text in texts)
        print(fit(row["address"], left, row["kind"], service, server, str(row["count"]), hostname, user))


def _whole(address: str, left: str, kind: str, service: str, server: str, logins: str, host: str, user: str) -> str:
    return f"{address:<39} {left:>8}  {kind:<6} {service:<11} {server:<8} {logins:>6}  {host:<16} {user}"


def _fitting(columns: int) -> Callable[..., str]:
    """Rows for a terminal: an IPv4 address takes its 15 columns, one that is longer its own; the last two fields what is left, cut."""

    def fit(address: str, left: str, kind: str, service: str, server: str, logins: str, host: str, user: str) -> str:
        first = f"{address:<15} {left:>7} {kind:<6} {service[:8]:<8} {server[:8]:<8} {logins:>6} "
        room = columns - len(first) - 1
        host_room = max(4, room // 3)
        return f"{first}{_cut(host, host_room):<{host_room}} {_cut(user, max(4, room - host_room))}"[:columns]

    return fit


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"
