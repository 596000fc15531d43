"""What syslogauth is compared with as a receiver of datagrams, each in a private directory, on loopback, and asking for the same buffer.

    rsyslogd queued, direct    imudp, the main queue as it comes or none (the two best configurations of several that were tried)
    syslog-ng                  network(udp); the installed one, or what tests/install-peers has unpacked, which conflicts with rsyslog
    naive asyncio-dgram        naive.py: one `await` a datagram

Each looks for the program, then for the line, and writes what matches to a file that is not fsynced. The first three take `Forwarded from`
for a host and the logins behind it for none, which is in their favour. syslog-ng does not force its buffer beyond net.core.rmem_max as the
others do where they run as root.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import running, wait_until
from benchmarks.servers import BUFFER_BYTES, START_SECONDS, SYSTEM_PATH, alive, clean_environment, free_port, kernel_queue

PEERS_DIRECTORY = Path(os.environ.get("SYSLOGAUTH_PEERS_DIR") or "/var/cache/syslogauth-peers")
LOGIN = r"(imap|pop3)-login: (Login|Logged in): user=<[^>]*>, method=[A-Z0-9-]+, rip=[0-9a-f.:]+, lip="
NAIVE = "naive asyncio-dgram"

# re_match() is a POSIX regular expression; $msg begins with the blank that follows the tag
RSYSLOG = """
global(workDirectory="{directory}" net.enableDNS="off")
{queue}
module(load="imudp" batchSize="128")
input(type="imudp" address="127.0.0.1" port="{udp}" rcvbufSize="{buffer}")
if $programname == "dovecot" and re_match($msg, "^ ?{login}") then
    action(type="omfile" file="{directory}/logins")
"""
QUEUES = {"queued": "", "direct": 'main_queue(queue.type="Direct")'}

SYSLOG_NG = """
@version: {version}
options {{ stats-freq(0); keep-hostname(yes); use-dns(no); dns-cache(no); }};
source datagrams {{ network(ip("127.0.0.1") port({udp}) transport("udp") so-rcvbuf({buffer})); }};
filter logins {{ program("dovecot" type(string)) and match("^{login}" value("MESSAGE") type("pcre")); }};
destination file {{ file("{directory}/logins"); }};
log {{ source(datagrams); filter(logins); destination(file); }};
"""


@dataclass(slots=True)
class Peer:
    name: str
    port: int
    pids: list[int]
    file: Path
    takes_forwarded: bool = False

    def logins(self) -> int:
        return self.file.read_bytes().count(b"\n") if self.file.exists() else 0


@contextmanager
def rsyslogd(directory: Path, queue: str, buffer: int = BUFFER_BYTES) -> Iterator[Peer]:
    """`queue` is a key of QUEUES: with the main queue as it comes, or none."""
    program = shutil.which("rsyslogd", path=SYSTEM_PATH)
    assert program, "rsyslogd is missing"
    directory.mkdir()
    udp = free_port(socket.SOCK_DGRAM)
    file = directory / "rsyslog.conf"
    file.write_text(RSYSLOG.format(directory=directory, udp=udp, buffer=buffer, queue=QUEUES[queue], login=LOGIN))
    command = [program, "-n", "-f", str(file), "-i", str(directory / "pid")]
    with _listening(f"rsyslogd {queue}", command, directory, udp) as peer:
        yield peer


@contextmanager
def syslog_ng(directory: Path, buffer: int = BUFFER_BYTES) -> Iterator[Peer]:
    found = syslog_ng_command()
    assert found, "syslog-ng is missing"
    command, environment = found
    directory.mkdir()
    udp = free_port(socket.SOCK_DGRAM)
    file = directory / "syslog-ng.conf"
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, env=environment).stdout
    version = next(line.split()[-1] for line in said.splitlines() if line.startswith("Config version:"))
    file.write_text(SYSLOG_NG.format(directory=directory, udp=udp, buffer=buffer, login=LOGIN, version=version))
    files = [f"--{option}={directory / name}" for option, name in (("pidfile", "pid"), ("control", "control"), ("persist-file", "persist"))]
    with _listening("syslog-ng", [*command, "--foreground", "--no-caps", f"--cfgfile={file}", *files], directory, udp, environment) as peer:
        yield peer


def syslog_ng_command() -> tuple[list[str], dict[str, str]] | None:
    """The command and its environment; None where it is neither installed nor unpacked."""
    if program := shutil.which("syslog-ng", path=SYSTEM_PATH):
        return [program], dict(os.environ)
    unpacked, libraries = PEERS_DIRECTORY / "usr/sbin/syslog-ng", PEERS_DIRECTORY / "usr/lib/syslog-ng"
    if not unpacked.exists():
        return None
    return [str(unpacked), f"--module-path={next(libraries.glob('[0-9]*'), libraries)}"], {**os.environ, "LD_LIBRARY_PATH": str(libraries)}


@contextmanager
def naive(directory: Path, buffer: int = BUFFER_BYTES) -> Iterator[Peer]:
    directory.mkdir()
    udp = free_port(socket.SOCK_DGRAM)
    command = [sys.executable, "-m", "benchmarks.naive", str(udp), str(buffer), str(directory / "logins")]
    with _listening(NAIVE, command, directory, udp, clean_environment()) as peer:
        peer.takes_forwarded = True
        yield peer


@contextmanager
def _listening(name: str, command: Sequence[str], directory: Path, udp: int, environment: dict[str, str] | None = None) -> Iterator[Peer]:
    """The peer, once it listens."""
    with running(command, directory / "said", environment) as process:

        def listens() -> bool:
            alive(process, directory / "said")
            return kernel_queue(udp) is not None

        wait_until(listens, f"{name} to listen", START_SECONDS)
        yield Peer(name, udp, [process.pid], directory / "logins")


def has_rsyslogd() -> bool:
    return shutil.which("rsyslogd", path=SYSTEM_PATH) is not None


Start = Callable[[Path, int], AbstractContextManager[Peer]]


def starters(beside: Sequence[str]) -> Mapping[str, Start]:
    """How to start each peer that is on this machine and whose name begins with one of the words: by a directory and a buffer size."""
    known: dict[str, Start] = {}
    if has_rsyslogd():
        known |= {f"rsyslogd {queue}": lambda directory, buffer, queue=queue: rsyslogd(directory, queue, buffer) for queue in QUEUES}  # type: ignore[misc]
    if syslog_ng_command():
        known["syslog-ng"] = syslog_ng
    known[NAIVE] = naive
    return {name: start for name, start in known.items() if name.startswith(tuple(beside))}
