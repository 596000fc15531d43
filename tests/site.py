"""A private state directory with its configuration, and its commands as processes of their own. No daemon runs."""

import json
import pwd
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from syslogauth.core.login import Grant
from syslogauth.record import Bounds
from syslogauth.table import Table
from tests.appliance import clean_environment, configuration

A, B, C = "198.51.100.1", "198.51.100.2", "2001:db8::25"
PACKED = {A: bytes((198, 51, 100, 1)), B: bytes((198, 51, 100, 2)), C: bytes.fromhex("20010db8000000000000000000000025")}
LINE = "{stamp} mail1 dovecot: imap-login: Login: user=<{user}>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid=80"


class Site:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "syslogauth.toml"
        self.text = configuration(directory, udp="127.0.0.1:0", metrics="127.0.0.1:1").replace(
            "[policy]", "[policy]\nmax_addresses = 1000\nmax_manual_seconds = 7200"
        )
        self.config.write_text(self.text)
        self.state = directory / "state"
        self.map = directory / "popauth.db"

    def make(self) -> None:
        """The state directory and an empty table, as a first start leaves them."""
        self.state.mkdir(0o750)
        self.table().close()

    def table(self) -> Table:
        return Table(self.state / "table", 1000, Bounds(1800, 7200))

    def log_in(self, *addresses: str, user: str = "alice", ago: float = 0) -> None:
        table, at = self.table(), time.time() - ago
        table.commit([Grant(PACKED[a], at + 1800, at, "imap", "dovecot", user, "mail1", "127.0.0.0/8") for a in addresses], at)
        table.close()

    def ask(
        self, verb: str, *words: str, stdin: bytes = b"", environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return ask([verb, "--config", str(self.config), *words], stdin, environment)

    def audited(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.state / "audit.log").read_text().splitlines()]


def ask(words: Sequence[str | bytes], stdin: bytes = b"", environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "syslogauth", *words],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env=clean_environment() | {"TZ": "UTC"} | (environment or {}),
    )
    said, complained = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in complained, complained
    return subprocess.CompletedProcess(done.args, done.returncode, said, complained)


def nobody() -> tuple[int, int]:
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid
