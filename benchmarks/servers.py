"""What receives the datagrams: syslogauth as it ships, in a private directory, on loopback. peers.py has the others.

A server has a name, the UDP port that it listens on, and its processes; `logins()` says how many logins it has seen up to now.
"""

import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.processes import cores, family, running, wait_until

BUFFER_BYTES = 16777216
OURS = "syslogauth"
START_SECONDS = 20.0
SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"

CONFIGURATION = """
state_directory = "{directory}/state"
[listen]
udp = ["127.0.0.1:{udp}"]
peers = ["127.0.0.0/8"]
receive_buffer_bytes = {buffer}
workers = {workers}
[[export]]
path = "{directory}/popauth"
format = "hash9"
[metrics]
listen = "127.0.0.1:{metrics}"
"""


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
    directory: Path
    takes_forwarded: bool = True

    def logins(self) -> int:
        return self._figure("logins")

    def accounted(self) -> int:
        """Datagrams that it knows of: received, or dropped by the kernel. The receiver's figures are up to a second old."""
        return self._figure("datagrams_received") + self._figure("datagrams_dropped")

    def entries(self) -> int:
        """Addresses in the table."""
        return self._figure("table_entries", "")

    def exported(self) -> int:
        """Addresses in the map as last published."""
        return self._figure("export_entries", "")

    def _figure(self, name: str, suffix: str = "_total") -> int:
        page = scrape(self.metrics, "/metrics")
        return int(sum(map(float, re.findall(rf"^syslogauth_{name}{suffix}(?:{{.*}})? (\S+)$", page, re.MULTILINE))))


@contextmanager
def syslogauth(directory: Path, buffer: int = BUFFER_BYTES, workers: int = 1) -> Iterator[Syslogauth]:
    """With several workers it gets the sender's core too: on one core a second has nothing to give."""
    directory.mkdir()
    udp, metrics = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
    file = configure(directory, udp, metrics, buffer, workers)
    on = {cores()[0], *cores()[1]} if workers > 1 else None
    with running(syslogauth_command("run", file), directory / "said", clean_environment(), on) as process:

        def ready() -> bool:
            alive(process, directory / "said")
            return scrape(metrics, "/-/ready").startswith("ok")

        wait_until(ready, "syslogauth to be ready", START_SECONDS)
        name = OURS if workers == 1 else f"{OURS}, {workers} workers"
        yield Syslogauth(name, udp, family(process.pid), metrics, directory)


def configure(directory: Path, udp: int, metrics: int, buffer: int = BUFFER_BYTES, workers: int = 1) -> Path:
    """Its configuration file: everything else is as shipped."""
    file = directory / "syslogauth.toml"
    file.write_text(CONFIGURATION.format(directory=directory, udp=udp, metrics=metrics, buffer=buffer, workers=workers))
    return file


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
    """(bytes that wait, datagrams dropped so far) of the sockets bound to a port of 127.0.0.1, from /proc/net/udp; None where none is."""
    local = f"0100007F:{port:04X}" if sys.byteorder == "little" else f"7F000001:{port:04X}"
    bound = []
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == local and words[2].endswith(":0000"):
            bound.append((int(words[4].partition(":")[2], 16), int(words[-1])))
    return (sum(queue for queue, _ in bound), sum(drops for _, drops in bound)) if bound else None


def free_port(kind: socket.SocketKind) -> int:
    """A port that the kernel has just given out, and that nobody holds any more."""
    with socket.socket(socket.AF_INET, kind) as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])
