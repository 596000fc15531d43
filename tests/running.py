"""A running daemon on loopback, with what an administrator and a mail server do to it."""

import os
import signal
import socket
from pathlib import Path

from tests import live_map
from tests.appliance import Appliance, configuration, free_port
from tests.deadline import wait_until

LOGIN = "<22>Nov 22 10:09:49 mail1 dovecot: {service}-login: Login: user=<{user}>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid=80"
A, B, C, D = "198.51.100.1", "198.51.100.2", "198.51.100.3", "2001:db8::25"


class Site:
    """An appliance in a directory of its own, with what its tests look at."""

    def __init__(self, directory: Path, grace_seconds: int = 1800) -> None:
        self.directory = directory
        self.udp = ("127.0.0.1", free_port(socket.SOCK_DGRAM))
        self.metrics = ("127.0.0.1", free_port(socket.SOCK_STREAM))
        self.map = directory / "popauth.db"
        self.text = configuration(
            directory, udp=f"127.0.0.1:{self.udp[1]}", metrics=f"127.0.0.1:{self.metrics[1]}", grace_seconds=grace_seconds
        )
        directory.mkdir(exist_ok=True)
        self.configure(self.text)
        self.appliance = Appliance(directory / "syslogauth.toml", self.metrics)

    def configure(self, text: str) -> None:
        (self.directory / "syslogauth.toml").write_text(text)

    def start(self) -> None:
        self.appliance.start()
        self.appliance.wait_ready()

    def signal(self, number: int) -> int:
        """Send it to the parent and wait for its end; the exit code."""
        assert self.appliance.running
        self.appliance.running.send_signal(number)
        return self.appliance.running.wait(15)

    def child(self, role: str) -> int:
        """The process id of a running child."""
        return self.appliance.child(role)

    def reload(self, text: str) -> None:
        """SIGHUP with another configuration file; returns when it is taken or refused. Appliance.adopt() waits until it is at work."""
        said = self.appliance.said()
        self.configure(text)
        os.kill(self.appliance.parent(), signal.SIGHUP)
        wait_until(lambda: "reload" in self.appliance.said()[len(said) :], "the reload to be logged")

    def figures(self) -> dict[str, float]:
        """What /metrics says: a sample's name and label values -> its value."""
        return self.appliance.figures()

    def keys(self) -> frozenset[str]:
        return self.read(self.map)

    @staticmethod
    def read(path: Path) -> frozenset[str]:
        """The keys of a map; `damaged` where it cannot be read."""
        try:
            return live_map.keys(path)
        except (ValueError, FileNotFoundError):
            return frozenset(("damaged",))

    def holds(self, *addresses: str) -> None:
        """Wait until the map holds exactly these."""
        expected = frozenset(f"ipv6:{address.replace('::', ':0:0:0:0:0:')}" if ":" in address else address for address in addresses)
        wait_until(lambda: self.keys() == expected, f"the map to hold {sorted(expected)}, not {sorted(self.keys())}")


def log_in(server: tuple[str, int], *addresses: str, service: str = "imap", user: str = "alice") -> None:
    send(server, *(LOGIN.format(service=service, user=user, address=address) for address in addresses))


def send(server: tuple[str, int], *lines: str) -> None:
    """A datagram each, in this order."""
    with socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for line in lines:
            sender.sendto(line.encode(), server)


def refused(sender: socket.socket) -> bool:
    """Whether nobody holds the port that the socket is connected to."""
    try:
        sender.send(b"<22>?")
        sender.send(b"<22>?")
    except ConnectionRefusedError:
        return True
    return False
