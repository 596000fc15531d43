"""`init`: makes what syslogauth needs on this host, or says what it would make, and the lines that fit this host's syslogd and sendmail.

Without --write nothing is changed. What is there is never overwritten; a second run finds all of it there. It starts nothing.

JSON: one object of written (whether --write was said), host (system, services, syslogds, servers, sendmail, map_format), steps (each what,
path, command, state: there, to do or done, and how it was found), by_hand (each what and text).
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from syslogauth.cli import CommandError, shipped
from syslogauth.cli.host import Host, address
from syslogauth.cli.steps import Step, privileged, steps
from syslogauth.config import Config, ConfigError, parse
from syslogauth.settings import Endpoint, map_file

OWN_USE = (Path("/home"), Path("/root"))  # ProtectHome=yes hides them from the service


def main(arguments: argparse.Namespace) -> int:
    if arguments.write and os.geteuid() != 0:
        raise CommandError("init --write makes a user and files of root's: run it as root", os.EX_NOPERM)
    host = Host(Path(arguments.root).resolve())
    file = arguments.config or host.configuration_file
    text, config = configuration(host, file, arguments.listen or [], arguments.peer or [])
    program = program_of(host)
    plan = list(steps(host, config, text, file, program))
    if arguments.print:
        return _print(plan, arguments.print)
    states = [_take(step, arguments.write) for step in plan]
    known = {
        "written": arguments.write,
        "host": _about(host, config),
        "steps": [
            {"what": step.what, "path": step.path, "command": step.command, "state": state, "found": step.there}
            for step, state in zip(plan, states, strict=True)
        ],
        "by_hand": [{"what": what, "text": words} for what, words in by_hand(host, config, file, program)],
    }
    print(json.dumps(known) if arguments.json else "\n".join(_lines(known)))
    return os.EX_OK


def configuration(host: Host, file: str, listen: list[str], peers: list[str]) -> tuple[str, Config]:
    """The text that is in the file, or that fits this host; and what it means. CommandError (78) where it is wrong."""
    try:
        text = host.at(file).read_text()
    except FileNotFoundError:
        in_mail = host.at("etc/mail").is_dir()
        map_path = "/etc/mail/popauth" if in_mail else f"{host.state_directory}/popauth"
        facilities = list(dict.fromkeys(["mail", "local0", *host.facilities]))
        text = shipped.configuration(
            host.state_directory, map_path, listen, ["127.0.0.0/8", "::1/128", *peers] if peers else [], facilities, str(Path(file).parent)
        )
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{host.at(file)}: {error}; make it a text that root may read", os.EX_NOINPUT) from None
    else:
        if listen or peers:
            raise CommandError(f"{host.at(file)} is there, and stays: set listen.udp and listen.peers in it", os.EX_USAGE)
    try:
        return text, parse(text, file)
    except ConfigError as error:
        raise CommandError("\n".join(error.mistakes), os.EX_CONFIG) from None


def program_of(host: Host) -> str:
    """What the service file starts: the usual link, or the program beside this interpreter."""
    own = Path(sys.prefix) / "bin/syslogauth"
    return shipped.PROGRAM if host.root != Path("/") or host.has(shipped.PROGRAM) or not own.exists() else str(own)


def _take(step: Step, write: bool) -> str:
    if step.there:
        return "there"
    if not write:
        return "to do"
    try:
        step.make()
    except FileExistsError:
        return "there"
    except OSError as error:
        raise CommandError(f"{step.path}: {error.strerror}; mend that, and try again: what is made stays", os.EX_CANTCREAT) from None
    return "done"


def _about(host: Host, config: Config) -> dict[str, Any]:
    return {
        "system": host.platform,
        "services": host.services,
        "syslogds": list(host.syslogds),
        "servers": list(host.servers),
        "sendmail": host.sendmail,
        "map_format": host.map_format(map_file(config.export[0].path)),
    }


def _lines(known: dict[str, Any]) -> Iterator[str]:
    about = known["host"]
    here = {"mail servers": about["servers"], "syslogd": about["syslogds"], "services": [about["services"]]}
    for name, found in here.items():
        yield f"{name:<14} {', '.join(word for word in found if word) or 'none that is known here'}"
    sendmail = f"reads {about['map_format']} maps" if about["sendmail"] else "not here; its maps will be " + about["map_format"]
    yield f"{'sendmail':<14} {sendmail}"
    yield ""
    for step in known["steps"]:
        yield f"{step['state']:<6} {step['what']:<16} {step['path']}" + (f" ({step['found']})" if step["found"] else "")
        if step["state"] == "to do":
            yield f"         {step['command']}"
    if not known["written"] and any(step["state"] == "to do" for step in known["steps"]):
        yield "\nNothing was changed. As root: syslogauth init --write"
    for hint in known["by_hand"]:
        yield f"\n{hint['what']}\n"
        yield from (f"    {line}" if line else "" for line in hint["text"].splitlines())


def by_hand(host: Host, config: Config, file: str, program: str) -> Iterator[tuple[str, str]]:
    """What is left to the administrator, in its order: what to do, and the lines."""
    if missing := [str(path) for export in config.export if not host.at((path := map_file(export.path)).parent).is_dir()]:
        yield "No such directory: sendmail's must be there before its map. Then: syslogauth init --write", "\n".join(missing)
    if config.listen.udp and all(ip_address(place.host).is_loopback for place in config.listen.udp):
        yield f"Where other hosts send too, in {file} (UDP can be forged: only your mail servers)", _for_others(host, config)
    yield "Is it right?", f"syslogauth check-config --config {file}"
    if config.export:
        yield "sendmail: at the end of its .mc; the gaps are TABS", shipped.sendmail_mc(str(config.export[0].path))
    yield "Start it", _start(host, config, program)
    if config.listen.udp:
        yield from _senders(host, _reached(host, config.listen.udp[0]), sorted(config.listen.facilities))
    yield "Then, after somebody has logged in", "syslogauth doctor\nsyslogauth list"


def _for_others(host: Host, config: Config) -> str:
    udp = [str(place) for place in (*config.listen.udp, Endpoint(address(host) or "192.0.2.1", 5140))]
    return f'udp = {json.dumps(udp)}\npeers = ["127.0.0.0/8", "::1/128", "192.0.2.0/24"]'


def _reached(host: Host, place: Endpoint) -> Endpoint:
    """Where this host's own syslogd sends to."""
    if not ip_address(place.host).is_unspecified:
        return place
    return Endpoint("127.0.0.1" if ":" not in place.host else "::1", place.port)


def _senders(host: Host, place: Endpoint, facilities: list[str]) -> Iterator[tuple[str, str]]:
    ours = [name for name in host.facilities if name in facilities] if host.servers else ["mail"]
    plain = "\n".join(shipped.syslog_conf(place, ours))
    others = ", and on each other mail server" if not ip_address(place.host).is_loopback else ""
    if "rsyslog" in host.syslogds:
        yield f"/etc/rsyslog.d/60-syslogauth.conf{others}; then restart rsyslog", shipped.rsyslog(place, ours)
    if "syslog-ng" in host.syslogds:
        yield f"/etc/syslog-ng/conf.d/60-syslogauth.conf{others}; then reload syslog-ng", shipped.syslog_ng(place, ours)
    if host.freebsd:
        yield f"/usr/local/etc/syslog.d/syslogauth.conf{others}; the gap is a TAB; then service syslogd reload", plain
    elif not {"rsyslog", "syslog-ng"} & {*host.syslogds}:
        yield f"/etc/syslog.conf{others}; the gap is a TAB; then let syslogd reread it", plain


def _start(host: Host, config: Config, program: str) -> str:
    if host.services == "rc.d":
        other = f"sysrc syslogauth_executable={program}\n" if program != shipped.PROGRAM else ""
        state = str(config.state_directory)
        other += f"sysrc syslogauth_statedir={state}\n" if state != host.state_directory else ""
        return f"{other}sysrc syslogauth_enable=YES\nservice syslogauth start"
    if host.services == "systemd":
        units = "syslogauth.socket syslogauth.service" if privileged(config) else "syslogauth.service"
        hidden = any(Path(program).is_relative_to(home) for home in OWN_USE)
        warning = f"# {program} is hidden from the service (ProtectHome=yes): install syslogauth elsewhere\n" if hidden else ""
        return f"{warning}systemctl daemon-reload\nsystemctl enable --now {units}"
    return f"{program} run     # as user syslogauth, in the foreground, by your service manager"


def _print(plan: list[Step], path: str) -> int:
    for step in plan:
        if step.path == path and step.text:
            print(step.text, end="")
            return os.EX_OK
    known = ", ".join(step.path for step in plan if step.text)
    raise CommandError(f"--print {path}: not made here; these are: {known}", os.EX_USAGE)
