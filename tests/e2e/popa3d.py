"""popa3d 1.0.3: by itself (-D), from inetd behind tcpd as Debian's package has it, and from inetd alone.

It logs to facility daemon. Only the standalone daemon logs its clients itself, and takes IPv4 alone; before one that comes from inetd,
tcpd logs the client under popa3d's name and process id. Without either no address is known.
"""

from tests.deadline import wait_until
from tests.e2e import accounts, inetd
from tests.e2e.netns import Netns
from tests.e2e.syslogds import PEERS_DIRECTORY
from tests.needs import need

STANDALONE_PORT = 110  # compiled in
TCPD_PORT = 1110
INETD_PORT = 2110
AT_ONCE = 4  # no more clients than wait in its queue (MAX_BACKLOG): the kernel keeps one that finds it full waiting for many seconds


def start(host: Netns, users: list[str]) -> None:
    program = need(str(PEERS_DIRECTORY / "usr/sbin/popa3d"))
    accounts.make(host, users, ["popa3d"])
    host.start("popa3d", program, "-D")
    inetd.start(host, {TCPD_PORT: [need("tcpd"), program], INETD_PORT: [program, "popa3d"]})
    wait_until(lambda: host.listens(("127.0.0.1", STANDALONE_PORT)), "popa3d's port")
