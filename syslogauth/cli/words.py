"""The words of the command line: the verbs, and the argparse parser that knows them."""

import argparse
import os
import sys
from typing import NoReturn

from syslogauth import __version__


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(os.EX_USAGE, f"{self.prog}: {message}\n")


VERBS = {  # verb -> (module, what it does, its arguments: (names, options) ...)
    "run": (
        "run",
        "run the daemon",
        (
            (("--demo",), {"action": "store_true", "help": "show the daemon at work on sample lines, in a state directory of its own"}),
            (("--keep",), {"action": "store_true", "help": "with --demo: leave the state directory behind"}),
        ),
    ),
    "check-config": ("check", "say whether the configuration is right, and what it means", ()),
    "match": (
        "match",
        "say what each line would become",
        (
            (("line",), {"nargs": "*", "metavar": "LINE", "help": "a datagram with <PRI> or a line of a log file; - reads standard input"}),
            (("--json",), {"action": "store_true", "help": "one JSON object a line"}),
            (("--base64",), {"action": "store_true", "help": "each line is one datagram in base64"}),
            (("--unescaped",), {"action": "store_true", "help": "as from a source that splits messages at a client's line feeds"}),
            (("--peer",), {"metavar": "ADDRESS", "help": "as datagrams that this address sends: is it listed, does it escape?"}),
            (("--missed",), {"action": "store_true", "help": "LINE is a log file: tell what looks like a login there and was refused"}),
        ),
    ),
    "replay": (
        "replay",
        "feed log files into the table, at their lines' own times",
        (
            (("file",), {"nargs": "+", "metavar": "FILE", "help": "a maillog, plain or .gz; - reads standard input"}),
            (("--escaped",), {"action": "store_true", "help": "their syslogd escapes line feeds, whatever listen.source says of them"}),
            (("--nowrite",), {"action": "store_true", "help": "do not touch the table"}),
            (("--stats",), {"action": "store_true", "help": "count the lines by what became of them"}),
            (("--missed",), {"action": "store_true", "help": "tell which lines of known servers look like logins and were refused"}),
        ),
    ),
    "formats": (
        "formats",
        "list the formats of the servers that are recognised; `check FILE`: say what is wrong with one of your own",
        (
            (("what",), {"nargs": "?", "choices": ("check",), "metavar": "check"}),
            (("file",), {"nargs": "?", "metavar": "FILE", "help": "with check: a TOML file with [[format]] tables"}),
            (("--json",), {"action": "store_true", "help": "an array of objects"}),
        ),
    ),
    "list": (
        "table",
        "list the addresses that may relay",
        (
            (("--json",), {"action": "store_true", "help": "an array of objects"}),
            (("--user",), {"metavar": "U", "help": "only those of this user"}),
            (("--network",), {"metavar": "N", "help": "only those in this network"}),
            (("--by-user",), {"action": "store_true", "help": "the users instead, those at most addresses first"}),
        ),
    ),
    "show": (
        "table",
        "show all that is known of an address",
        ((("address",), {"metavar": "ADDRESS"}), (("--json",), {"action": "store_true", "help": "one object"})),
    ),
    "test": ("test", "exit 0 if the address may relay, 1 if not, 69 if that cannot be told", ((("address",), {"metavar": "ADDRESS"}),)),
    "grant": (
        "table",
        "let an address relay",
        (
            (("address",), {"metavar": "ADDRESS"}),
            (("--seconds",), {"type": float, "metavar": "N", "help": "for how long (default: policy.grace_seconds)"}),
            (("--note",), {"default": "", "metavar": "T", "help": "why, for those who list it"}),
        ),
    ),
    "revoke": ("table", "take the grant of an address away", ((("address",), {"metavar": "ADDRESS"}),)),
    "deny": (
        "table",
        "refuse an address or a network whatever it logs in to",
        (
            (("address",), {"metavar": "ADDRESS", "help": "or a network, such as 192.0.2.0/24"}),
            (("--seconds",), {"type": float, "metavar": "N", "help": "for how long (default: for ever); 0 lifts the denial"}),
        ),
    ),
    "flush": ("table", "remove every grant", ((("--yes",), {"action": "store_true", "help": "really"}),)),
    "export": (
        "export",
        "write the maps now",
        ((("--check",), {"action": "store_true", "help": "only hold the live maps against the table, every key"}),),
    ),
    "stats": ("stats", "count what is there", ((("--json",), {"action": "store_true", "help": "one object"}),)),
    # the daemon's own: started by `run` alone
    "receiver": ("run", None, ((("--control",), {"type": int, "required": True}), (("--socket",), {"type": int, "action": "append"}))),
    "exporter": ("run", None, ((("--control",), {"type": int, "required": True}),)),
}  # fmt: skip


def parser(asked: str = "") -> argparse.ArgumentParser:
    """The parser of all verbs, or of the one that was asked for alone: the others would cost `test` a quarter of its time."""
    top = _Parser(prog="syslogauth", description="Turns POP/IMAP logins seen in syslog into a sendmail map of addresses that may relay.")
    top.add_argument("--version", action="version", version=f"syslogauth {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    known = {asked: VERBS[asked]} if asked in VERBS else {name: verb for name, verb in VERBS.items() if verb[1]}
    for name, (_, words, arguments) in known.items():
        verb = verbs.add_parser(name, description=words, help=words) if words else verbs.add_parser(name)
        if words:
            verb.add_argument("--config", metavar="FILE", help="configuration file (also in the environment: SYSLOGAUTH_CONFIG)")
        for names, options in arguments:
            verb.add_argument(*names, **options)
    return top
