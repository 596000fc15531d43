"""`match`: what each line would become, in the order of the lines, at the lines' own times, and why one is no login.

A line with <PRI> is read as the datagram that a syslogd sent, one without as a line of a log file. Peers are asked for only where one is
named. Lines are taken as whole messages unless `--unescaped` says, or listen.source of the file or of the peer, that they may be halves.
`--missed` reads files instead and tells what was overlooked in them (missed.py).
"""

import argparse
import base64
import binascii
import errno
import json
import os
import sys
import time
import zlib
from collections.abc import Iterable, Iterator

from syslogauth.assembly import file_escapes, intake_of
from syslogauth.cli import CommandError
from syslogauth.cli.missed import Missed
from syslogauth.cli.site import address_of, configuration
from syslogauth.config import Config
from syslogauth.core.address import canonical
from syslogauth.core.formats.nearest import Explanation, explain
from syslogauth.core.intake import Intake
from syslogauth.core.judge import Verdict
from syslogauth.core.linetime import LineClock
from syslogauth.core.login import Refusal
from syslogauth.core.message import parse
from syslogauth.listeners.tail import lines as lines_of
from syslogauth.listeners.tail import open_log, size_and_mtime

INDENT = 10 * " "
EXPLAINED = frozenset(
    (
        *(Refusal.NOT_LOGIN, Refusal.AMBIGUOUS, Refusal.BAD_ADDRESS, Refusal.UNESCAPED_SOURCE),
        *(Refusal.CONNECTED, Refusal.UNJOINED, Refusal.CUT, Refusal.LOGOUT),
    )
)
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
    Refusal.CONNECTED: "the first line of a login that takes several",
    Refusal.UNJOINED: "the later line of a login, and none before it says from where",
    Refusal.CUT: "a line that its server's logger cut, or the rest of one",
    Refusal.LOGOUT: "the end of a session",
    Refusal.UNESCAPED_SOURCE: "its server logs line feeds unescaped, and what wrote this may split there: see listen.source",
    Refusal.ANONYMOUS: "an anonymous login",
    Refusal.BAD_ADDRESS: "its address is none that a client can have",
    Refusal.PROXIED: "a proxied login, and policy.proxied is false",
    Refusal.UNTRUSTED_PROXY: "the client's address is the word of a proxy that is not in policy.trusted_proxies",
    Refusal.SESSION_END: "the end of a qpopper session, and policy.qpopper_stats is false",
    Refusal.SERVICE: "a login to a service that is not in policy.services",
    Refusal.NEVER_NETWORK: "its address is in policy.never_networks",
    Refusal.OWN_ADDRESS: "from the server's own address, or a sending peer's: a webmail (policy.never_own)",
    Refusal.RULE: "a rule of policy.rule refuses it",
}


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config)
    intake = intake_of(config)
    if arguments.missed:
        return _missed(config, intake, arguments)
    for line, verdict in _judged(intake, _lines(arguments.line), arguments):
        why = Explanation("") if verdict.login else because(intake, line, verdict)
        print(json.dumps(answer(verdict, why)) if arguments.json else _sentence(verdict, why, line))
    return os.EX_OK


def answer(verdict: Verdict, why: Explanation) -> dict[str, object]:
    """What is said of one line with --json."""
    login = verdict.login
    return {
        "login": login is not None,
        "address": canonical(login.address) if login else None,
        "user": login.user if login else None,
        "service": login.service if login else None,
        "server": login.server if login else None,
        "outcome": str(verdict.outcome),
        "nearest": why.nearest or None,
        "explanation": why.words or None,
    }


def because(intake: Intake, line: bytes, verdict: Verdict) -> Explanation:
    """Why a line is no login; no words where the outcome says it all."""
    message = verdict.message or parse(line, needs_priority=False)  # the gate of files refuses without reading
    if isinstance(message, Refusal):
        return Explanation("" if message == verdict.outcome else WHY[message])
    if verdict.outcome in EXPLAINED:
        return explain(intake.recogniser, message, verdict.outcome)
    if verdict.outcome == Refusal.UNLISTED_FACILITY:
        return Explanation(f'its facility is {message.facility}; if its server logs there, add "{message.facility}" to listen.facilities')
    return Explanation("")


def _lines(given: list[str]) -> Iterator[bytes]:
    if given and given != ["-"]:
        yield from (os.fsencode(line) for line in given)
    elif given or not sys.stdin.isatty():
        yield from (line.removesuffix(b"\n") for line in sys.stdin.buffer)
    else:
        raise CommandError("match: give it a line in quotes, or - to read lines from standard input", os.EX_USAGE)


def _judged(intake: Intake, lines: Iterable[bytes], arguments: argparse.Namespace) -> Iterator[tuple[bytes, Verdict]]:
    clock = LineClock(time.time())
    if arguments.peer:
        address_of(arguments.peer)
    for number, line in enumerate(lines, 1):
        datagram = line
        if arguments.base64:
            try:
                datagram = base64.b64decode(line, validate=True)
            except binascii.Error as error:
                raise CommandError(f"line {number}: is not base64 ({error})", os.EX_DATAERR) from None
        if arguments.peer:
            yield datagram, intake.judge(datagram, arguments.peer, time.time())
        else:
            yield datagram, intake.lines.judge(datagram, clock.at, escaped=not arguments.unescaped)


def _sentence(verdict: Verdict, why: Explanation, line: bytes) -> str:
    if login := verdict.login:
        what = f"{canonical(login.address)} {login.user} {login.service} {login.server}"
        because = "" if verdict.grant else f" ({WHY[Refusal(verdict.outcome)]})"
        return f"login     {what}: {verdict.outcome}{because}"
    sentence = f"no login  {verdict.outcome} ({WHY[Refusal(verdict.outcome)]}): {line[:100].decode('utf-8', 'backslashreplace')!r}"
    return f"{sentence}\n{INDENT}{told(why)}" if why.words else sentence


def told(why: Explanation) -> str:
    return f"nearest is {why.nearest}: {why.words}" if why.nearest else why.words


def unreadable_code(error: Exception) -> int:
    """66 of a file that is not there or not ours to read, 74 where its disk fails, 65 where what it holds is damaged."""
    if not isinstance(error, OSError) or error.errno is None:  # gzip.BadGzipFile is an OSError without a number
        return os.EX_DATAERR
    return os.EX_IOERR if error.errno == errno.EIO else os.EX_NOINPUT


def _missed(config: Config, intake: Intake, arguments: argparse.Namespace) -> int:
    if arguments.base64 or arguments.peer or not arguments.line:
        raise CommandError("match: --missed takes log files (- is standard input), without --base64 and --peer", os.EX_USAGE)
    missed = Missed(intake.recogniser)
    for path in arguments.line:
        escaped = not arguments.unescaped and file_escapes(config, path) is not False
        try:
            with open_log(path) as log:
                mtime = size_and_mtime(log)[1]
                clock = LineClock(min(time.time(), mtime or time.time()))
                for line in lines_of(log):
                    missed.add(intake.lines.judge(line, clock.at, escaped=escaped), line)
        except (OSError, EOFError, zlib.error) as error:
            raise CommandError(f"{path}: {getattr(error, 'strerror', None) or error}", unreadable_code(error)) from None
    print(json.dumps(missed.rows()) if arguments.json else "\n".join(missed.report()) or "nothing was missed")
    return os.EX_OK
