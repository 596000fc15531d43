"""`grant`, `revoke`, `deny`, `flush`: the table by hand. They work while the daemon runs and while it is down.

All but `grant` also with a configuration that has mistakes (site.py): a stolen password must not wait for a missing file of networks.

JSON: one object, of address (deny: network too) and what became of it: grant live, seconds; revoke live, existed; deny denied,
seconds (null: for ever), still_denied_by (null: nothing); flush removed, always. `map_kept`: whether an exporter carries it to the maps.
"""

import argparse
import json
import os
import time
from collections.abc import Callable

from syslogauth.cli import EX_NO, CommandError
from syslogauth.cli.listing import network_of, text_of
from syslogauth.cli.site import Place, address_of, audit, configuration, open_table, place, speaking_of_the_table, warn_without_keeper
from syslogauth.config import Config
from syslogauth.core.address import canonical
from syslogauth.denials import whole


def main(arguments: argparse.Namespace) -> int:
    with speaking_of_the_table():
        if arguments.verb == "grant":  # it asks for settings, and opens: not on a guess
            return grant(arguments, configuration(arguments.config))
        verbs: dict[str, Callable[[argparse.Namespace, Config | Place], int]] = {"revoke": revoke, "deny": deny, "flush": flush}
        return verbs[arguments.verb](arguments, place(arguments.config))


def grant(arguments: argparse.Namespace, config: Config) -> int:
    address = address_of(arguments.address)
    most = config.policy.max_manual_seconds
    seconds = config.policy.grace_seconds if arguments.seconds is None else arguments.seconds
    if not 0 < seconds <= most:
        raise CommandError(f"--seconds {seconds:g}: write more than 0 and at most {most:.10g} (policy.max_manual_seconds)", os.EX_USAGE)
    if any(c < " " or "\x7f" <= c <= "\x9f" for c in arguments.note):
        raise CommandError("--note: holds a control character; write plain text", os.EX_USAGE)
    table = open_table(config)
    text = canonical(address)
    if not table.grant(address, seconds, arguments.note, time.time()):
        by = max(((until, text_of(by)) for by, until in table.denied_by(address)), default=(0, text))[1]
        denied = "denied" if by == text else f"denied with {by}"
        raise CommandError(f"{text} is {denied}; lift that first: syslogauth deny {by} --seconds 0", EX_NO)
    audit(config, "grant", address=text, seconds=seconds, note=arguments.note)
    _tell(arguments, config, f"{text} may relay for {seconds:g} s", address=text, live=True, seconds=seconds)
    return os.EX_OK


def revoke(arguments: argparse.Namespace, config: Config | Place) -> int:
    address = address_of(arguments.address)
    table, text = open_table(config), canonical(address)
    if address in table.always():
        raise CommandError(
            f"{text} is in policy.always, which no revocation ends; take it out there, or: syslogauth deny {text}", os.EX_USAGE
        )
    existed = table.revoke(address, time.time())
    audit(config, "revoke", address=text)
    said = f"{text} {'may no longer relay' if existed else 'had no grant; what is on its way is void'}"
    _tell(arguments, config, said, address=text, live=False, existed=existed)
    return os.EX_OK


def deny(arguments: argparse.Namespace, config: Config | Place) -> int:
    text, now, seconds = arguments.address, time.time(), arguments.seconds
    network = network_of("deny", text, strict=True) if "/" in text else whole(address_of(text))
    if seconds is not None and not seconds >= 0:
        raise CommandError(f"--seconds {seconds:g}: write 0 to lift the denial, or more", os.EX_USAGE)
    table = open_table(config)
    table.deny_network(network, None if seconds is None else now + seconds, now)
    what, text = "network" if "/" in text else "address", text_of(network)
    audit(config, "deny", **{what: text}, seconds=seconds)
    wider = None
    if seconds == 0:
        wider = next((text_of(by) for by, until in table.denied_by(network[0]) if until > now and by[1] < network[1]), None)
        said = f"{text} is no longer denied" + (f" by itself, but it is in {wider}, which is" if wider else "")
    else:
        said = f"{text} is denied" + ("" if seconds is None else f" for {seconds:g} s")
    bounded = None if seconds is None or seconds == float("inf") else seconds  # JSON knows no infinity
    _tell(arguments, config, said, **{what: text}, denied=seconds != 0, seconds=bounded, still_denied_by=wider)
    return os.EX_OK


def flush(arguments: argparse.Namespace, config: Config | Place) -> int:
    if not arguments.yes:
        raise CommandError("flush removes every grant: every customer must log in again; say it with --yes", os.EX_USAGE)
    table = open_table(config)
    removed = table.flush(time.time())
    audit(config, "flush", removed=removed)
    always = len(table.always())
    said = f"{removed} grants removed; denials stay" + (f", and so do {always} addresses of policy.always" if always else "")
    _tell(arguments, config, said, removed=removed, always=always)
    return os.EX_OK


def _tell(arguments: argparse.Namespace, config: Config | Place, said: str, **known: object) -> None:
    kept = warn_without_keeper(config)
    print(json.dumps(known | {"map_kept": kept}) if arguments.json else said)
