"""What the checks are told of the site: values of the configuration, the running daemon's figures, and where the system's files are."""

import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from syslogauth.core.address import Networks
from syslogauth.settings import Endpoint

Figures = dict[str, list[tuple[dict[str, str], float]]]  # sample without `syslogauth_` -> (labels, value)
ANSWER_SECONDS = 10.0
FREEBSD = sys.platform.startswith("freebsd")
START, RESTART, RELOAD, STOP = (
    f"service syslogauth {verb}" if FREEBSD else f"systemctl {verb} syslogauth" for verb in ("start", "restart", "reload", "stop")
)
LOG = "grep syslogauth /var/log/daemon.log | tail" if FREEBSD else "journalctl -u syslogauth -n 20"  # what it has said
AS_ROOT = "run it as root: syslogauth doctor"


@dataclass(frozen=True, slots=True)
class WatchedMap:
    """A map as configured: its path with `.db`, and what sendmail must ask it for."""

    path: Path
    mode: int = 0o640
    ipv6_form: str = "full"
    key_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """`figures` is None where the daemon's metrics do not answer; `scrape` asks for them once more."""

    config_file: str
    state_directory: Path
    udp: tuple[Endpoint, ...]
    tcp: tuple[Endpoint, ...]
    tls: tuple[Endpoint, ...]
    files: tuple[Path, ...]
    peers: Networks
    facilities: frozenset[str]
    receive_buffer_bytes: int
    require_source_port_514: bool
    maps: tuple[WatchedMap, ...]
    metrics: Endpoint | None
    on_stop: str
    silent_after_seconds: float
    scrape: Callable[[], Figures | None]
    max_addresses: float = math.inf
    mistakes: tuple[str, ...] = ()
    send: bool = False
    root: Path = Path("/")
    platform: str = sys.platform
    figures: Figures | None = None
    now: float = field(default_factory=time.time)

    @property
    def freebsd(self) -> bool:
        return self.platform.startswith("freebsd")

    def at(self, path: str | Path) -> Path:
        """Where a file of the system lies."""
        return self.root / str(path).lstrip("/")

    def text(self, path: str | Path) -> str:
        """The text of a file of the system; empty where there is none. Raises OSError where there is one that cannot be read."""
        try:
            return self.at(path).read_text(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def total(self, name: str, **labels: str) -> float:
        return total(self.figures, name, **labels)

    def each(self, name: str, label: str) -> dict[str, float]:
        """A sample's values by one label; empty where it is not there."""
        return {labels[label]: value for labels, value in (self.figures or {}).get(name, ()) if label in labels}


def total(figures: Figures | None, name: str, **labels: str) -> float:
    return sum(value for of, value in (figures or {}).get(name, ()) if labels.items() <= of.items())


class Answer(NamedTuple):
    """What a program said, both streams together; `code` is None where it was not waited for any longer."""

    text: str
    code: int | None


def ask(argv: Sequence[str | Path], said: str = "", seconds: float = ANSWER_SECONDS) -> Answer:
    """Run a program, telling it `said`. Raises OSError where it cannot be started."""
    with subprocess.Popen(
        [str(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        try:
            return Answer(process.communicate(said, seconds)[0], process.returncode)
        except subprocess.TimeoutExpired:
            process.kill()
            try:
                return Answer(process.communicate(timeout=1.0)[0], None)
            except subprocess.TimeoutExpired:  # a child of its own holds the pipe
                return Answer("", None)
