"""inetd, for the servers that wait for none by themselves: a process of theirs a connection, which they find as their standard input.

It is GNU's (inetutils), with a socket for both families a service, so that a server sees an IPv4 client at an IPv4-mapped address.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.deadline import wait_until
from tests.e2e.netns import Netns
from tests.e2e.syslogds import PEERS_DIRECTORY
from tests.needs import need

A_MINUTE = 1000  # connections to a service before inetd takes it for a loop
AT_ONCE = 8  # clients; its queue holds ten, and the kernel keeps one that finds it full waiting for many seconds


def start(host: Netns, services: Mapping[int, Sequence[str | Path]]) -> None:
    """Port -> the program, argv[0] and what follows; waits until connections are taken. argv[0] is what tcpd goes on to run."""
    configuration = host.directory / "inetd.conf"
    lines = (f"{port} stream tcp6 nowait root {' '.join(map(str, command))}\n" for port, command in services.items())
    configuration.write_text("".join(lines))
    program = need(str(PEERS_DIRECTORY / "usr/sbin/inetutils-inetd"))
    host.start("inetd", program, f"--rate={A_MINUTE}", f"--pidfile={host.directory / 'inetd.pid'}", configuration)
    wait_until(lambda: all(host.listens(("127.0.0.1", port)) for port in services), "inetd's ports")
