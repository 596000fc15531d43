"""What the figures were measured on, and with which versions."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers import syslog_ng_command
from benchmarks.prober import qualified
from benchmarks.processes import cores
from benchmarks.servers import BUFFER_BYTES, SYSTEM_PATH
from syslogauth import __version__

VERSION = re.compile(r"\d+[.]\d[\w.~+-]*")
MISSING = "missing: not compared"


def facts() -> dict[str, str]:
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    syslog_ng = syslog_ng_command()
    rmem_max = Path("/proc/sys/net/core/rmem_max").read_text().strip()
    return {
        "machine": f"{cpu[1] if cpu else platform.machine()}, {len(cores()[1] | {cores()[0]})} cores, Linux {platform.release()}",
        "syslogauth": f"{__version__} on Python {platform.python_version()}",
        "rsyslogd": _version(["rsyslogd", "-v"]),
        "syslog-ng": _version([*syslog_ng[0], "--version"], syslog_ng[1]) if syslog_ng else MISSING,
        "perl": _version(["perl", "-e", "print $^V"]),
        "mtail": _version(["mtail", "--version"]),
        "fail2ban-regex": _version(["fail2ban-regex", "--version"]),
        "sendmail": _version([*qualified(), "sendmail", "-C/dev/null", "-d0.1", "-bv", "nobody"], program="sendmail"),
        "cores": f"sender on {cores()[0]}, what is measured on {', '.join(map(str, sorted(cores()[1])))}",
        "receive buffer wanted": f"{BUFFER_BYTES} bytes; net.core.rmem_max is {rmem_max}{' (root may exceed it)' * (os.geteuid() == 0)}",
        "priority": f"nice {os.nice(0)}",
        "load at the start": load(),
    }


def _version(command: Sequence[str], environment: Mapping[str, str] | None = None, program: str = "") -> str:
    """The first version number in what it says. `program`: where the command begins with another."""
    if shutil.which(program or command[0], path=SYSTEM_PATH) is None:
        return MISSING
    searched = {**(environment or os.environ), "PATH": SYSTEM_PATH}
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=searched, stdin=subprocess.DEVNULL)
    found = VERSION.search(said.stdout + said.stderr)
    return found[0] if found else "unknown"


def load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())
