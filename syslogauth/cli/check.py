"""`check-config`: exit 0 and what the configuration means, or 78 and every mistake in it.

JSON: one object of file (null: none is there, the defaults count), right, mistakes; where it is right also state_directory, listen (udp,
tcp, tls, file: arrays of texts), peers, maps (path, format), syslog_conf and sendmail_mc (the lines that fit), to_do (commands for root).
A mistake is file, key, problem, mend.
"""

import argparse
import json
import os
from typing import Any

from syslogauth import where
from syslogauth.assembly import recogniser_of
from syslogauth.cli import CommandError
from syslogauth.cli.shipped import syslog_conf
from syslogauth.cli.steps import directory_command, map_command
from syslogauth.config import Config, ConfigError, load
from syslogauth.settings import map_file


def main(arguments: argparse.Namespace) -> int:
    try:
        config, _, name = load(arguments.config, check_paths=True)
    except ConfigError as error:
        if not arguments.json:
            raise CommandError("\n".join(error.mistakes), os.EX_CONFIG) from None
        file = arguments.config or os.environ.get("SYSLOGAUTH_CONFIG") or where.FILE
        print(json.dumps({"file": file, "right": False, "mistakes": [mistake(line, file) for line in error.mistakes]}))
        return os.EX_CONFIG
    if faults := recogniser_of(config).check():
        raise CommandError("\n".join(faults), os.EX_SOFTWARE)
    known = {"file": None if name == "defaults" else name, "right": True, "mistakes": [], **meaning(config)}
    print(json.dumps(known) if arguments.json else "\n".join(_lines(known)))
    return os.EX_OK


def mistake(line: str, file: str) -> dict[str, str]:
    """The parts of `FILE: key: what is wrong; how to mend it`."""
    key, _, text = line.removeprefix(f"{file}: ").partition(": ")
    problem, _, mend = text.rpartition("; ")
    return {"file": file, "key": key, "problem": problem or mend, "mend": mend if problem else ""}


def meaning(config: Config) -> dict[str, Any]:
    listen = config.listen
    return {
        "state_directory": str(config.state_directory),
        "listen": {name: [str(place) for place in getattr(listen, name)] for name in ("udp", "tcp", "tls", "file")},
        "peers": list(listen.peers.texts),
        "maps": [{"path": str(map_file(export.path)), "format": export.format} for export in config.export],
        "syslog_conf": [line for place in listen.udp for line in syslog_conf(place, sorted(listen.facilities))],
        "sendmail_mc": [f"Kpopauth hash -a<OK> {export.path}" for export in config.export],
        "to_do": _to_do(config),
    }


def _lines(known: dict[str, Any]) -> list[str]:
    places = [place if name in ("udp", "file") else f"{place} ({name})" for name, places in known["listen"].items() for place in places]
    senders = f", for {', '.join(known['peers'])}" if known["listen"]["udp"] or known["listen"]["tcp"] else ""
    return [
        f"{known['file']} is right" if known["file"] else "no file: the defaults",
        f"  listens on    {', '.join(places)}{senders}",
        f"  keeps         {known['state_directory']}",
        *(f"  writes        {map_['path']} ({map_['format']})" for map_ in known["maps"]),
        *(f"  syslog.conf   {line}".replace("\t", "<TAB>") for line in known["syslog_conf"]),
        *(f"  sendmail.mc   {line}" for line in known["sendmail_mc"]),
        *(f"  to do         {line}" for line in known["to_do"]),
    ]


def _to_do(config: Config) -> list[str]:
    """What the administrator still has to make, once, as root."""
    homeless = not config.state_directory.is_dir()
    missing = [map_file(e.path) for e in config.export if e.path.parent != config.state_directory and not map_file(e.path).exists()]
    return [
        *([directory_command(config.state_directory)] if homeless else []),
        *map(map_command, missing),
    ]
