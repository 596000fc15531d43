"""GNU Mailutils 3's pop3d and imap4d: as they come, with everything on that might log a client, and from inetd with the same.

Both log to facility mail under their own names. One socket takes both families, since a second one on the same port is refused to them.
"""

import subprocess
from pathlib import Path

from tests.deadline import wait_until
from tests.e2e import accounts, inetd
from tests.e2e.netns import Netns
from tests.needs import missing, need

PORTS = {"pop3d": 110, "imap4d": 143}
TALKATIVE = 1000  # added to the port
FROM_INETD = 2000

# Several clients may have the same mailbox open.
COMMON = "mandatory-locking { enable no; };\n"

# An acl's `log` writes the address of who connects, a session id joins that line of the master's to those of the process that it starts.
TALK = """
logging { syslog yes; session-id yes; print-severity yes; severity debug; };
debug { level "all"; line-info yes; };
transcript yes;
acl { log from any; allow from any; };
"""


def start(host: Netns, users: list[str]) -> None:
    accounts.make(host, users)
    services: dict[int, list[str | Path]] = {}
    for program, port in PORTS.items():
        path = need(program)
        if "GNU Mailutils" not in subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout:
            missing(f"GNU Mailutils' {program}")
        for offset, more in ((0, ""), (TALKATIVE, TALK)):
            configuration = host.directory / f"{program}-{port + offset}.conf"
            configuration.write_text(f'mode daemon;\nforeground yes;\nserver "[::]:{port + offset}" {{}};\n{COMMON}{more}')
            host.start(configuration.stem, path, "--config-file", configuration)
        from_inetd = host.directory / f"{program}-inetd.conf"
        from_inetd.write_text(f"mode inetd;\n{COMMON}{TALK}")
        services[port + FROM_INETD] = [path, program, "--config-file", from_inetd]
    inetd.start(host, services)
    ports = [port + offset for port in PORTS.values() for offset in (0, TALKATIVE)]
    wait_until(lambda: all(host.listens(("127.0.0.1", port)) for port in ports), "the ports of pop3d and imap4d")
