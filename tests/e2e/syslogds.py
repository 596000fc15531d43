"""The syslog daemons of a mail host, each sending facility mail on over UDP, as its own manual has it.

Each reads the private /dev/log of the namespace. rsyslog is the installed one; the others are run from where tests/install-peers has
unpacked them. Port 514 is the only one that inetutils-syslogd sends to, so all of them do: it is free in a network of its own. rsyslogd
sends daemon and local0 too, where some mail servers log.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.deadline import wait_until
from tests.e2e.netns import Netns
from tests.needs import need

LISTENER = ("127.0.0.1", 514)
PEERS_DIRECTORY = Path(os.environ.get("SYSLOGAUTH_PEERS_DIR") or "/var/cache/syslogauth-peers")

RSYSLOG = """
module(load="imuxsock")
mail,daemon,local0.info @127.0.0.1:514
"""

SYSLOG_NG = """
@version: 3.38
source local { unix-dgram("/dev/log"); };
filter mail { facility(mail) and level(info..emerg); };
destination syslogauth { udp("127.0.0.1" port(514)); };
log { source(local); filter(mail); destination(syslogauth); };
"""

SENT = "sent"  # in the directory of rsyslogd: what it sends, each line after it has gone

INETUTILS = "mail.info\t@127.0.0.1\n"


UNPACKED = {
    "syslog-ng": PEERS_DIRECTORY / "usr/sbin/syslog-ng",
    "inetutils-syslogd": PEERS_DIRECTORY / "usr/sbin/syslogd",
    "busybox": PEERS_DIRECTORY / "bin/busybox",
}


def rsyslogd(host: Netns, program: str, directory: Path) -> None:
    configuration = directory / "rsyslog.conf"
    configuration.write_text(f'global(workDirectory="{directory}")\n{RSYSLOG}*.info {directory / SENT}\n')
    host.start("syslogd", program, "-n", "-f", configuration, "-i", directory / "pid")


def syslog_ng(host: Netns, program: str, directory: Path) -> None:
    configuration = directory / "syslog-ng.conf"
    configuration.write_text(SYSLOG_NG)
    files = {"pidfile": "pid", "control": "control", "persist-file": "persist"}
    libraries = PEERS_DIRECTORY / "usr/lib/syslog-ng"
    host.start(
        "syslogd",
        program,
        "--foreground",
        "--no-caps",
        f"--module-path={next(libraries.glob('[0-9]*'), libraries)}",
        f"--cfgfile={configuration}",
        *(f"--{option}={directory / name}" for option, name in files.items()),
        environment={"LD_LIBRARY_PATH": str(libraries)},
    )


def inetutils_syslogd(host: Netns, program: str, directory: Path) -> None:
    """It sends nothing without --inet, which would take port 514 on every address: hence --bind to one that the listener does not want."""
    configuration = directory / "syslog.conf"
    configuration.write_text(INETUTILS)
    files = [f"--rcfile={configuration}", f"--pidfile={directory / 'pid'}"]
    host.start("syslogd", program, "--no-detach", "--no-klog", "--inet", "--bind=127.0.0.2", *files)


def busybox_syslogd(host: Netns, program: str, directory: Path) -> None:
    """It cannot select a facility: everything is sent."""
    host.start("syslogd", program, "syslogd", "-n", "-R", "127.0.0.1:514")


SYSLOGDS: Mapping[str, Callable[[Netns, str, Path], None]] = {
    "rsyslogd": rsyslogd,
    "syslog-ng": syslog_ng,
    "inetutils-syslogd": inetutils_syslogd,
    "busybox": busybox_syslogd,
}


def start(host: Netns, name: str) -> None:
    """Start the daemon and wait until it reads /dev/log."""
    unpacked = UNPACKED.get(name)
    program = str(unpacked) if unpacked and unpacked.exists() else need(name)
    directory = host.directory / "syslogd"
    directory.mkdir()
    SYSLOGDS[name](host, program, directory)
    log = Path(f"/proc/{host.pid}/root/dev/log")
    wait_until(lambda: log.is_socket(), f"{name} on /dev/log")
