"""The words of the command line: the verbs, and the argparse parser that knows them."""

import argparse
import os
import sys
from typing import Any, NoReturn

from syslogauth import __version__


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(os.EX_USAGE, f"{self.prog}: {message}\n")


def _json(shape: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    return ("--json",), {"action": "store_true", "help": shape}


VERBS = {  # verb -> (module, what it does, its arguments: (names, options) ...)
    "run": (
        "run",
        "run the daemon",
        (
            (("--demo",), {"action": "store_true", "help": "show the daemon at work on sample lines, in a state directory of its own"}),
            (("--keep",), {"action": "store_true", "help": "with --demo: leave the state directory behind"}),
        ),
    ),
    "check-config": ("check", "say whether the configuration is right, and what it means", (_json("one object, with every mistake"),)),
    "match": (
        "match",
        "say what each line would become",
        (
            (("line",), {"nargs": "*", "metavar": "LINE", "help": "a datagram with <PRI> or a line of a log file; - reads standard input"}),
            _json("one object a line; with --missed an array"),
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
            _json("one object"),
        ),
    ),
    "formats": (
        "formats",
        "list the formats of the servers that are recognised; `check FILE`: say what is wrong with one of your own",
        (
            (("what",), {"nargs": "?", "choices": ("check",), "metavar": "check"}),
            (("file",), {"nargs": "?", "metavar": "FILE", "help": "with check: a TOML file with [[format]] tables"}),
            _json("an array of objects; with check one object"),
        ),
    ),
    "list": (
        "listing",
        "list the addresses that may relay",
        (
            _json("an array of objects"),
            (("--user",), {"metavar": "U", "help": "only those of this user"}),
            (("--network",), {"metavar": "N", "help": "only those in this network"}),
            (("--by-user",), {"action": "store_true", "help": "the users instead, those at most addresses first"}),
        ),
    ),
    "show": ("listing", "show all that is known of an address", ((("address",), {"metavar": "ADDRESS"}), _json("one object"))),
    "test": (
        "test",
        "exit 0 if the address may relay, 1 if not, 69 if that cannot be told",
        ((("address",), {"metavar": "ADDRESS"}), _json("one object, where nothing is said otherwise")),
    ),
    "grant": (
        "table",
        "let an address relay",
        (
            (("address",), {"metavar": "ADDRESS"}),
            (("--seconds",), {"type": float, "metavar": "N", "help": "for how long (default: policy.grace_seconds)"}),
            (("--note",), {"default": "", "metavar": "T", "help": "why, for those who list it"}),
            _json("one object"),
        ),
    ),
    "revoke": ("table", "take the grant of an address away", ((("address",), {"metavar": "ADDRESS"}), _json("one object"))),
    "deny": (
        "table",
        "refuse an address or a network whatever it logs in to",
        (
            (("address",), {"metavar": "ADDRESS", "help": "or a network, such as 192.0.2.0/24"}),
            (("--seconds",), {"type": float, "metavar": "N", "help": "for how long (default: for ever); 0 lifts the denial"}),
            _json("one object"),
        ),
    ),
    "flush": ("table", "remove every grant", ((("--yes",), {"action": "store_true", "help": "really"}), _json("one object"))),
    "export": (
        "export",
        "write the maps now",
        ((("--check",), {"action": "store_true", "help": "only hold the live maps against the table, every key"}), _json("one object")),
    ),
    "stats": (
        "stats",
        "count what is there",
        (
            (("--count",), {"action": "store_true", "help": "read every record too, and count those that may relay, by what let them in"}),
            _json("one object"),
        ),
    ),
    "doctor": (
        "doctor",
        "look whether all is well here, and say what mends what is not",
        (
            (("--send",), {"action": "store_true", "help": "send a line through this host's syslogd with logger(1); it grants nothing"}),
            _json("an array of objects"),
        ),
    ),
    "top": (
        "top",
        "watch what the daemon does; q ends it",
        (
            (("--interval",), {"type": float, "default": 2.0, "metavar": "SECONDS", "help": "between two looks (default: 2)"}),
            (("--once",), {"action": "store_true", "help": "one look, with the rates of one interval; so too where there is no terminal"}),
            _json("with --once: one object"),
        ),
    ),
    "completion": (
        "completion",
        "print what teaches a shell to complete these words",
        ((("shell",), {"choices": ("bash", "zsh", "tcsh", "fish"), "metavar": "bash|zsh|tcsh|fish"}),),
    ),
    "version": ("version", "tell the version, and those of what it stands on", (_json("one object"),)),
    "backup": (
        "backup",
        "write the table to a file, while the daemon runs",
        ((("file",), {"metavar": "FILE", "help": "compressed where it ends in .gz; - writes to standard output"}), _json("one object")),
    ),
    "restore": (
        "backup",
        "merge a backup into the table, while the daemon runs",
        (
            (("file",), {"metavar": "FILE", "help": "what `syslogauth backup` wrote; - reads standard input"}),
            (("--nowrite",), {"action": "store_true", "help": "only read it, and count"}),
            _json("one object"),
        ),
    ),
    "import": (
        "imported",
        "let the addresses relay that another program's file has",
        (
            (("file",), {"metavar": "FILE", "help": "pop-before-smtp's popauth.db, or a text of addresses; - is standard input"}),
            (("--seconds",), {"type": float, "metavar": "N", "help": "for how long, each of them (default: policy.grace_seconds)"}),
            (("--format",), {"choices": ("auto", "hash", "text"), "default": "auto", "help": "what the file is (default: auto)"}),
            (("--nowrite",), {"action": "store_true", "help": "only read it, and count"}),
            _json("one object"),
        ),
    ),
    "init": (
        "init",
        "say what this host needs, with the lines for its syslogd and its sendmail; make it with --write",
        (
            (("--write",), {"action": "store_true", "help": "make it, as root; what is there stays as it is"}),
            (("--listen",), {"action": "append", "metavar": "ADDRESS:PORT", "help": "listen.udp of a new configuration; repeatable"}),
            (("--peer",), {"action": "append", "metavar": "NETWORK", "help": "listen.peers, beside this host; repeatable"}),
            (("--root",), {"default": "/", "metavar": "DIR", "help": "of a system that is being made ready below DIR"}),
            (("--print",), {"metavar": "PATH", "help": "print the text of this one of the files alone"}),
            _json("one object"),
        ),
    ),
    # the daemon's own: started by `run` alone
    "receiver": ("run", None, ((("--control",), {"type": int, "required": True}), (("--socket",), {"type": int, "action": "append"}))),
    "streams": ("run", None, ((("--control",), {"type": int, "required": True}), (("--socket",), {"type": int, "action": "append"}))),
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
