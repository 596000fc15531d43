"""syslogauth as its user runs it: `syslogauth run` in a process of its own, with a configuration file, asked through its commands.

`Appliance.prefix` is what a command line begins with where the appliance is to run elsewhere, as in a network namespace.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.deadline import wait_until
from tests.processes import children, command_line

REPOSITORY = Path(__file__).parent.parent
TAKEN = "config_last_reload_success_timestamp_seconds"


def configuration(
    directory: Path, *, udp: str, metrics: str, grace_seconds: int = 1800, facilities: Sequence[str] = (), policy: str = ""
) -> str:
    """A configuration whose state and map, `popauth.db`, are in the directory.

    Without `facilities`, the default ones are listed. `policy`: more lines of its section.
    """
    listed = f"facilities = {json.dumps([*facilities])}" if facilities else ""
    return f"""
state_directory = "{directory}/state"
[listen]
udp = ["{udp}"]
{listed}
[policy]
grace_seconds = {grace_seconds}
{policy}
[[export]]
path = "{directory}/popauth"
format = "hash9"
mode = "0640"
[metrics]
listen = "{metrics}"
"""


def free_port(kind: socket.SocketKind) -> int:
    """A port of 127.0.0.1 that the kernel has just given out, and that nobody holds any more."""
    with socket.socket(socket.AF_INET, kind) as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def dial(server: tuple[str, int]) -> socket.socket:
    return socket.create_connection(server, 5)


@dataclass(slots=True)
class Appliance:
    """One installation: its configuration file and what it says (`appliance.out` beside it); at most one running parent."""

    config: Path
    metrics: tuple[str, int]
    prefix: Sequence[str] = ()
    connect: Callable[[tuple[str, int]], socket.socket] = dial
    running: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def command(self, verb: str, *arguments: str) -> list[str]:
        return [*self.prefix, sys.executable, "-m", "syslogauth", verb, "--config", str(self.config), *arguments]

    def start(self) -> None:
        """Start the parent; it may not be ready yet."""
        with self.config.with_name("appliance.out").open("ab") as said:
            self.running = subprocess.Popen(
                self.command("run"), stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=clean_environment()
            )

    def wait_ready(self, seconds: float = 15.0) -> None:
        """Until /-/ready answers 200."""
        wait_until(self.ready, "syslogauth to be ready", seconds)

    def ready(self) -> bool:
        assert self.running
        assert self.running.poll() is None, f"syslogauth has ended: {self.said()}"
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of its metrics endpoint."""
        connection = http.client.HTTPConnection(*self.metrics)
        connection.sock = self.connect(self.metrics)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ask(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its commands; the exit code is not checked."""
        return subprocess.run(self.command(verb, *arguments), capture_output=True, text=True, timeout=60, env=clean_environment())

    def allows(self, address: str) -> bool:
        """What `test ADDRESS` says: exit 0 or 1; anything else is a failure."""
        answer = self.ask("test", address)
        assert answer.returncode in (0, 1), f"test {address}: exit {answer.returncode}, {answer.stderr}"
        return answer.returncode == 0

    def listed(self) -> list[dict[str, Any]]:
        """What `list --json` says."""
        answer = self.ask("list", "--json")
        assert answer.returncode == 0, answer.stderr
        entries: list[dict[str, Any]] = json.loads(answer.stdout)
        return entries

    def parent(self) -> int:
        """The process id of the running parent, as this test sees it; nsenter waits for it as for its only child."""
        assert self.running
        (pid,) = children(self.running.pid) if self.prefix else [self.running.pid]
        return pid

    def child(self, role: str) -> int:
        """The process id of a running child; 0 where there is none."""
        return next(iter(self.workers(role)), 0)

    def workers(self, role: str = "receiver") -> list[int]:
        """The process ids of the running children of that role, oldest first."""
        return [pid for pid in children(self.parent()) if role in command_line(pid)]

    def figures(self) -> dict[str, float]:
        """What /metrics says: a sample's name and label values -> its value."""
        status, page = self.get("/metrics")
        assert status == 200
        return {
            " ".join((sample.name.removeprefix("syslogauth_"), *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }

    def adopt(self, text: str) -> None:
        """SIGHUP with another configuration, a good one; returns when both children work by it."""
        taken = self.figures()[TAKEN]
        self.config.write_text(text)
        os.kill(self.parent(), signal.SIGHUP)
        wait_until(lambda: self.figures()[TAKEN] > taken, "the configuration to be taken")
        self.wait_ready()

    def stop(self) -> None:
        """An ordered stop, waited for; nothing where it has ended already."""
        if self.running and self.running.poll() is None:
            os.kill(self.parent(), signal.SIGTERM)
            self.running.wait(15)

    def said(self) -> str:
        return self.config.with_name("appliance.out").read_text(errors="replace")


def clean_environment() -> dict[str, str]:
    """The environment without what would change the configuration, the lines' width or the sockets, with this repository's syslogauth."""
    others = ("SYSLOGAUTH_", "LISTEN_", "NOTIFY_", "WATCHDOG_", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}
