"""`doctor`: a line for each thing that was looked at, OK, WARN or FAIL, and below it the command that mends it.

Exit code 0 where nothing FAILs: a WARN may be right here. 1 where something does; 78 where the configuration cannot be read at all.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict

from syslogauth.assembly import maps_of
from syslogauth.cli import EX_NO
from syslogauth.cli.listing import escaped
from syslogauth.config import Config, ConfigError, load
from syslogauth.doctor import configuration
from syslogauth.doctor.checkup import examine
from syslogauth.doctor.finding import Finding, Level
from syslogauth.doctor.site import Site, WatchedMap
from syslogauth.scrape import scrape
from syslogauth.settings import map_file

COLOURS = {Level.OK: "32", Level.WARN: "33", Level.FAIL: "31"}


def main(arguments: argparse.Namespace) -> int:
    code, findings = os.EX_OK, list[Finding]()
    try:
        found = examine(_site(arguments))
    except ConfigError as error:
        code, found = os.EX_CONFIG, configuration.judge("", error.mistakes)
    for finding in found:
        findings.append(finding)
        if not arguments.json:
            _tell(finding)
        if finding.level is Level.FAIL:
            code = code or EX_NO
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    return code


def _site(arguments: argparse.Namespace) -> Site:
    """Raises ConfigError where no part of the configuration can be used."""
    mistakes: tuple[str, ...] = ()
    try:
        config, _, file = load(arguments.config, check_paths=True)
    except ConfigError as error:  # of a directory that is open to others, perhaps: the rest can be looked at
        config, _, file = load(arguments.config)
        mistakes = error.mistakes
    return site_of(config, "" if file == "defaults" else file, mistakes, send=arguments.send)


def site_of(config: Config, file: str, mistakes: tuple[str, ...] = (), *, send: bool = False) -> Site:
    listen = config.listen
    return Site(
        config_file=file,
        state_directory=config.state_directory,
        udp=listen.udp,
        tcp=listen.tcp,
        tls=listen.tls,
        files=listen.file,
        peers=listen.peers,
        facilities=listen.facilities,
        receive_buffer_bytes=listen.receive_buffer_bytes,
        require_source_port_514=listen.require_source_port_514,
        maps=tuple(WatchedMap(map_file(each.path), each.mode, each.ipv6_form, each.key_prefix) for each in maps_of(config)),
        metrics=config.metrics.listen,
        on_stop=config.policy.on_stop,
        silent_after_seconds=config.log.silent_after_seconds or float("inf"),
        scrape=lambda: scrape(config.metrics.listen),
        max_addresses=config.policy.max_addresses,
        mistakes=mistakes,
        send=send,
        figures=scrape(config.metrics.listen),
    )


def _tell(finding: Finding) -> None:
    colour = COLOURS[finding.level] if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ""
    level = f"\x1b[{colour}m{finding.level:<4}\x1b[0m" if colour else f"{finding.level:<4}"
    print(f"{level} {finding.subject}: {escaped(finding.text)}", flush=True)
    if finding.mend and finding.level is not Level.OK:
        print(f"       mend: {escaped(finding.mend)}", flush=True)
