"""`match`: what each line would become, in the order of the lines, at the lines' own times.

A line with <PRI> is read as the datagram that a syslogd sent, one without as a line of a log file. Peers are not asked for.
"""

import argparse
import base64
import binascii
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator

from syslogauth.assembly import policy_of, sources_of
from syslogauth.cli import CommandError
from syslogauth.cli.site import configuration
from syslogauth.core.address import canonical
from syslogauth.core.intake import Intake, Verdict
from syslogauth.core.linetime import LineClock
from syslogauth.core.login import Refusal

WHY = {
    Refusal.UNLISTED_PEER: "the sender is not in listen.peers",
    Refusal.SOURCE_PORT: "not from port 514, as listen.require_source_port_514 asks",
    Refusal.OVERSIZE: "longer than 8192 bytes",
    Refusal.NO_PRIORITY: "no <PRI>: see listen.accept_without_pri",
    Refusal.MALFORMED: "no syslog header that any known syslogd writes",
    Refusal.CONTROL_BYTES: "a control byte inside: one message a datagram, nothing else",
    Refusal.UNLISTED_FACILITY: "its facility is not in listen.facilities",
    Refusal.OWN_MESSAGE: "one of our own lines",
    Refusal.NOT_LOGIN: "no successful login of a known server",
    Refusal.REPEATED: "a repeat of a message that made no grant",
    Refusal.AMBIGUOUS: "looks like a login, but could be read in two ways or holds what its server does not write",
    Refusal.UNESCAPED_SOURCE: "its server logs line feeds unescaped, and what wrote this may split there (replay: see --escaped)",
    Refusal.ANONYMOUS: "an anonymous login",
    Refusal.BAD_ADDRESS: "its address is none that a client can have",
    Refusal.PROXIED: "a proxied login, and policy.proxied is false",
    Refusal.SESSION_END: "the end of a qpopper session, and policy.qpopper_stats is false",
    Refusal.SERVICE: "a login to a service that is not in policy.services",
    Refusal.NEVER_NETWORK: "its address is in policy.never_networks",
    Refusal.OWN_ADDRESS: "from the server's own address, or a sending peer's: a webmail (policy.never_own)",
}


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config)
    intake = Intake(sources_of(config), policy_of(config))
    for line, verdict in _judged(intake, _lines(arguments.line), arguments.base64):
        print(json.dumps(answer(verdict)) if arguments.json else _sentence(verdict, line))
    return os.EX_OK


def answer(verdict: Verdict) -> dict[str, object]:
    """What is said of one line with --json."""
    login = verdict.login
    if login is None:
        return {"login": False, "address": None, "user": None, "service": None, "server": None, "outcome": str(verdict.outcome)}
    return {
        "login": True,
        "address": canonical(login.address),
        "user": login.user,
        "service": login.service,
        "server": login.server,
        "outcome": str(verdict.outcome),
    }


def _lines(given: list[str]) -> Iterator[bytes]:
    if given and given != ["-"]:
        yield from (os.fsencode(line) for line in given)
    elif given or not sys.stdin.isatty():
        yield from (line.removesuffix(b"\n") for line in sys.stdin.buffer)
    else:
        raise CommandError("match: give it a line in quotes, or - to read lines from standard input", os.EX_USAGE)


def _judged(intake: Intake, lines: Iterable[bytes], in_base64: bool) -> Iterator[tuple[bytes, Verdict]]:
    clock = LineClock(time.time())
    for number, line in enumerate(lines, 1):
        datagram = line
        if in_base64:
            try:
                datagram = base64.b64decode(line, validate=True)
            except binascii.Error as error:
                raise CommandError(f"line {number}: is not base64 ({error})", os.EX_DATAERR) from None
        yield datagram, intake.judge_line(datagram, clock.at, escaped=True)


def _sentence(verdict: Verdict, line: bytes) -> str:
    if login := verdict.login:
        what = f"{canonical(login.address)} {login.user} {login.service} {login.server}"
        because = "" if verdict.grant else f" ({WHY[Refusal(verdict.outcome)]})"
        return f"login     {what}: {verdict.outcome}{because}"
    return f"no login  {verdict.outcome} ({WHY[Refusal(verdict.outcome)]}): {line[:100].decode('utf-8', 'backslashreplace')!r}"
