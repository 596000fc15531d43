"""What receives the datagrams: syslogauth as it ships, and rsyslogd in its two best configurations. Private directories, loopback.

A server has a name, the UDP port that it listens on, and its processes; `logins()` says how many logins it has seen up to now. Both ask
for the same receive buffer. rsyslogd looks for the program name, then for the line, and writes it to a file that is not fsynced; it
takes `Forwarded from` for a host and its logins for none, which is in its favour.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.processes import family, running, wait_until

BUFFER_BYTES = 16777216
START_SECONDS = 20.0
SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"

CONFIGURATION = """
state_directory = "{directory}/state"
[listen]
udp = ["127.0.0.1:{udp}"]
peers = ["127.0.0.0/8"]
receive_buffer_bytes = {buffer}
[[export]]
path = "{directory}/popauth"
format = "hash9"
[metrics]
listen = "127.0.0.1:{metrics}"
"""

# re_match() is a POSIX regular expression; $msg begins with the blank that follows the tag
RSYSLOG = """
global(workDirectory="{directory}" net.enableDNS="off")
{queue}
module(load="imudp" batchSize="128")
input(type="imudp" address="127.0.0.1" port="{udp}" rcvbufSize="{buffer}")
if $programname == "dovecot" and
    re_match($msg, "^ ?(imap|pop3)-login: (Login|Logged in): user=<[^>]*>, method=[A-Z0-9-]+, rip=[0-9a-f.:]+, lip=") then
    action(type="omfile" file="{directory}/logins")
"""
QUEUES = {"queued": "", "direct": 'main_queue(queue.type="Direct")'}


class Server(Protocol):
    """`takes_forwarded`: whether it sees the logins behind `Forwarded from`."""

    name: str
    port: int
    pids: list[int]
    takes_forwarded: bool

    def logins(self) -> int: ...


@dataclass(slots=True)
class Syslogauth:
    name: str
    port: int
    pids: list[int]
    metrics: int
    takes_forwarded: bool = True

    def logins(self) -> int:
        return self._figure("logins")

    def accounted(self) -> int:
        """Datagrams that it knows of: received, or dropped by the kernel. The receiver's figures are up to a second old."""
        return self._figure("datagrams_received") + self._figure("datagrams_dropped")

    def _figure(self, name: str) -> int:
        page = scrape(self.metrics, "/metrics")
        return int(sum(map(float, re.findall(rf"^syslogauth_{name}_total(?:{{.*}})? (\S+)$", page, re.MULTILINE))))


@dataclass(slots=True)
class Rsyslogd:
    name: str
    port: int
    pids: list[int]
    file: Path
    takes_forwarded: bool = False

    def logins(self) -> int:
        return self.file.read_bytes().count(b"\n") if self.file.exists() else 0


@contextmanager
def syslogauth(directory: Path) -> Iterator[Syslogauth]:
    directory.mkdir()
    udp, metrics = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
    file = directory / "syslogauth.toml"
    file.write_text(CONFIGURATION.format(directory=directory, udp=udp, metrics=metrics, buffer=BUFFER_BYTES))
    with running(syslogauth_command("run", file), directory / "said", clean_environment()) as process:

        def ready() -> bool:
            alive(process, directory / "said")
            return scrape(metrics, "/-/ready").startswith("ok")

        wait_until(ready, "syslogauth to be ready", START_SECONDS)
        yield Syslogauth("syslogauth", udp, family(process.pid), metrics)


@contextmanager
def rsyslogd(directory: Path, queue: str) -> Iterator[Rsyslogd]:
    """`queue` is a key of QUEUES: with the main queue as it comes, or none."""
    directory.mkdir()
    udp = free_port(socket.SOCK_DGRAM)
    file = directory / "rsyslog.conf"
    file.write_text(RSYSLOG.format(directory=directory, udp=udp, buffer=BUFFER_BYTES, queue=QUEUES[queue]))
    program = shutil.which("rsyslogd", path=SYSTEM_PATH)
    assert program, "rsyslogd is missing"
    with running([program, "-n", "-f", str(file), "-i", str(directory / "pid")], directory / "said") as process:

        def listening() -> bool:
            alive(process, directory / "said")
            return kernel_queue(udp) is not None

        wait_until(listening, "rsyslogd to listen", START_SECONDS)
        yield Rsyslogd(f"rsyslogd {queue}", udp, [process.pid], directory / "logins")


def has_rsyslogd() -> bool:
    return shutil.which("rsyslogd", path=SYSTEM_PATH) is not None


def syslogauth_command(verb: str, file: Path) -> list[str]:
    return [sys.executable, "-m", "syslogauth", verb, "--config", str(file)]


def clean_environment() -> dict[str, str]:
    """Without what would change the configuration or hand over sockets, and with the syslogauth that lies beside this package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SYSLOGAUTH_", "LISTEN_"))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parent.parent)}


def alive(process: subprocess.Popen[bytes], said: Path) -> None:
    assert process.poll() is None, f"{process.args!r} has ended: {said.read_text(errors='replace')[-2000:]}"


def scrape(port: int, path: str) -> str:
    """A page of the metrics endpoint; empty where it does not answer, or not with 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def kernel_queue(port: int) -> tuple[int, int] | None:
    """(bytes that wait, datagrams dropped so far) of the socket bound to a port of 127.0.0.1, from /proc/net/udp; None where none is."""
    local = f"0100007F:{port:04X}" if sys.byteorder == "little" else f"7F000001:{port:04X}"
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == local and words[2].endswith(":0000"):
            return int(words[4].partition(":")[2], 16), int(words[-1])
    return None


def free_port(kind: socket.SocketKind) -> int:
    """A port that the kernel has just given out, and that nobody holds any more."""
    with socket.socket(socket.AF_INET, kind) as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])
