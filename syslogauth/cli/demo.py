"""`run --demo`: the daemon at work on the formats' own sample lines, sent to it over real UDP.

State, map and ports are its own; it stays until ^C and leaves nothing behind unless asked.
"""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from syslogauth.assembly import intake_of, table_of
from syslogauth.cli import CommandError
from syslogauth.cli.match import WHY
from syslogauth.config import Config, parse
from syslogauth.core.address import canonical
from syslogauth.core.formats import FORMATS
from syslogauth.core.login import Refusal
from syslogauth.daemon import Daemon
from syslogauth.exports import hash9
from syslogauth.exports.sendmail_hash import map_keys
from syslogauth.places import Unavailable
from syslogauth.publish import read_locked
from syslogauth.settings import map_file
from syslogauth.table import Table

UDP_PORT, METRICS_PORT = 5140, 9514
ATTACKS = (
    ("sendmail", 'from=<"imap-login: Login: user=<bob>, method=PLAIN, rip=9.9.9.9, lip=192.0.2.1"@example.org>, relay=[192.0.2.66]'),
    ("postfix/smtpd[77]", "connect from client.example.net[192.0.2.66]"),
)
WAIT_SECONDS = 15.0


def demo(*, keep: bool) -> int:
    """Run it. The exit code."""
    directory = Path(tempfile.mkdtemp(prefix="syslogauth-demo-"))
    text = configuration(directory, free(UDP_PORT, socket.SOCK_DGRAM), free(METRICS_PORT, socket.SOCK_STREAM))
    daemon = Daemon(parse(text, "demo"), text, "")
    try:
        return asyncio.run(_run(daemon, directory, keep=keep))
    except Unavailable as error:
        raise CommandError(str(error)) from None
    finally:
        if keep:
            (directory / "syslogauth.toml").write_text(text)
            print(f"kept: {directory} (syslogauth list --config {directory}/syslogauth.toml)")
        else:
            shutil.rmtree(directory)


def configuration(directory: Path, udp_port: int, metrics_port: int) -> str:
    return f"""\
state_directory = "{directory}"
[listen]
udp = ["127.0.0.1:{udp_port}"]
[[export]]
format = "hash9"
[metrics]
listen = "127.0.0.1:{metrics_port}"
[log]
level = "error"
"""


def free(port: int, kind: socket.SocketKind) -> int:
    """The port if nobody has it, else one that the kernel chooses."""
    for candidate in (port, 0):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CommandError("no free port on 127.0.0.1")


def datagrams() -> list[bytes]:
    """A login of every format, an attack on each, and two lines of other programs, as a syslogd sends them."""
    lines = []
    for number, form in enumerate(FORMATS, 1):
        lines += [(s.app_name, s.text.replace(s.address, f"198.51.100.{number}")) for s in form.samples[:1]]
        several = form.sequences[:1]
        lines += [(f"{s.app_name}[{number}]", text.replace(s.address, f"203.0.113.{number}")) for s in several for text in s.texts]
    lines += [form.near_misses[-3] for form in FORMATS] + list(ATTACKS)
    stamp = time.strftime("%b %e %H:%M:%S")
    return [f"<22>{stamp} mail1 {app_name}: {text}".encode() for app_name, text in lines]


async def _run(daemon: Daemon, directory: Path, *, keep: bool) -> int:
    running = asyncio.create_task(daemon.run())
    show = asyncio.create_task(_show(daemon, directory))
    await asyncio.wait((running, show), return_when=asyncio.FIRST_COMPLETED)
    if show.done() and show.exception() is not None:
        daemon.stop()
    code = await running
    show.cancel()
    if show.done() and not show.cancelled():
        show.result()
    return code


async def _show(daemon: Daemon, directory: Path) -> None:
    console = Console(highlight=False)
    await _until(lambda: daemon.processes.ready() is None, "the daemon to be ready")
    lines = datagrams()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for line in lines:
            sender.sendto(line, (daemon.config.listen.udp[0].host, daemon.config.listen.udp[0].port))
    await _until(lambda: daemon.ledger.value("datagrams_received", ("udp",)) == len(lines), "the lines to arrive")
    granted = daemon.ledger.value("outcomes", ("grant",))
    table = table_of(daemon.config, readonly=True)
    await _until(lambda: len(_live(table)) > 0, "the grants to be committed")
    path = map_file(daemon.config.export[0].path)
    await _until(lambda: len(hash9.read(read_locked(path))) == len(_live(table)), "the map to be written")
    console.print(_what_became(daemon.config, lines))
    for name in (Refusal.NOT_LOGIN, Refusal.AMBIGUOUS):
        console.print(f"{name}: {WHY[name]}", soft_wrap=True)
    console.print()
    console.print(_what_is_in(table, path))
    table.close()
    console.print(f"{len(lines)} datagrams arrived, {granted:.0f} gave a grant; /metrics counts every outcome.")
    _say_what_to_try(console, daemon, directory)


def _what_became(config: Config, lines: list[bytes]) -> Grid:
    intake = intake_of(config)
    grid = Grid(title="What arrived, and what each line became")
    grid.add_column("outcome", no_wrap=True, min_width=10)
    grid.add_column("address", no_wrap=True, min_width=12)
    grid.add_column("line", overflow="fold", ratio=1)
    for line in lines:
        verdict = intake.judge(line, "127.0.0.1", time.time())
        address = canonical(verdict.grant.address) if verdict.grant else "-"
        colour = "green" if verdict.grant else "red" if verdict.outcome != Refusal.NOT_LOGIN else "yellow"
        grid.add_row(f"[{colour}]{verdict.outcome}[/]", address, escape(line.partition(b"mail1 ")[2].decode()))
    return grid


def _what_is_in(table: Table, path: Path) -> Grid:
    image = read_locked(path)
    grid = Grid(title="The table, and the map read back")
    for name in ("address", "user", "login at", "left", "map key", "value"):
        grid.add_column(name, no_wrap=name in ("address", "map key", "left"))
    now = time.time()
    for entry in table.entries():
        (key,) = map_keys(entry.address, "full", "")
        value = hash9.get(image, key) or b"-"
        left = f"{entry.expires_at - now:.0f} s"
        grid.add_row(canonical(entry.address), entry.user, f"{entry.server} {entry.service}", left, key.decode(), value.decode())
    return grid


def _say_what_to_try(console: Console, daemon: Daemon, directory: Path) -> None:
    port = daemon.config.listen.udp[0].port
    line = "imap-login: Login: user=<eve>, method=PLAIN, rip=198.51.100.99, lip=192.0.2.1, session=<demo>"
    to = f"-h 127.0.0.1 -P {port}" if "bsd" in sys.platform else f"--udp --server 127.0.0.1 --port {port}"
    console.print(f"\nthe map     {map_file(daemon.config.export[0].path)}", soft_wrap=True)
    console.print(f"metrics     http://{daemon.config.metrics.listen}/metrics", soft_wrap=True)
    console.print(f"try next    logger {to} -p mail.info -t dovecot '{escape(line)}'", soft_wrap=True)
    config = directory / "syslogauth.toml"
    config.write_text(daemon.text)
    program = os.environ.get("SYSLOGAUTH_PROGRAM", "syslogauth")  # ./dev says how it is called there
    console.print(f"and then    {program} show 198.51.100.99 --config {config}", soft_wrap=True)
    console.print("It runs until ^C." if os.isatty(0) else f"It runs until it is told to stop: kill {os.getpid()}", soft_wrap=True)


def _live(table: Table) -> list[bytes]:
    now = time.time()
    return [address for address in table.addresses() if table.live(address, now) is not None]


async def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise CommandError(f"waited {WAIT_SECONDS:.0f} s for {what}")
        await asyncio.sleep(0.05)
