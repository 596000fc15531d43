"""The whole path on one mail host: a mail server -> a syslog daemon -> syslogauth -> the map -> sendmail -> the sink.

The appliance listens where the syslog daemons send to (syslogds.LISTENER), and its map is `popauth.db` in the host's directory.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.appliance import Appliance, configuration
from tests.e2e import dovecot, syslogds
from tests.e2e.netns import HOSTNAME, Netns, mail_host

SERVER4 = "192.0.2.1"
SERVER6 = "2001:db8::1"
CLIENTS4 = ["192.0.2.25", "192.0.2.26", "192.0.2.27"]
CLIENTS6 = ["2001:db8::10", "2001:db8::11"]
METRICS = ("127.0.0.1", 9514)

ADDRESSES = {
    SERVER4: HOSTNAME,
    SERVER6: HOSTNAME,
    **{address: f"client{number}.example.net" for number, address in enumerate([*CLIENTS4, *CLIENTS6])},
}


@dataclass(frozen=True, slots=True)
class Rig:
    """A mail host whose servers log to a syslog daemon that sends to the appliance; all run."""

    host: Netns
    appliance: Appliance

    @property
    def map_path(self) -> Path:
        """The map as sendmail.cf names it, without `.db`."""
        return self.host.directory / "popauth"


def server_for(client: str) -> str:
    """The server's address in the client's family."""
    return SERVER6 if ":" in client else SERVER4


@contextmanager
def rig(
    syslogd: str,
    grace_seconds: int,
    start_servers: Callable[[Netns], None] = dovecot.start,
    addresses: Mapping[str, str] = ADDRESSES,
    facilities: Sequence[str] = (),
    policy: str = "",
) -> Iterator[Rig]:
    """Everything up to the map, started in the order in which the parts need each other.

    `facilities`, `policy`: see appliance.configuration.
    """
    with mail_host(addresses) as host:
        config = host.directory / "syslogauth.toml"
        udp, metrics = (f"{address}:{port}" for address, port in (syslogds.LISTENER, METRICS))
        config.write_text(
            configuration(host.directory, udp=udp, metrics=metrics, grace_seconds=grace_seconds, facilities=facilities, policy=policy)
        )
        appliance = Appliance(config, METRICS, host.command(), lambda server: host.connect(server[0], server))
        appliance.start()
        try:
            appliance.wait_ready()
            syslogds.start(host, syslogd)
            start_servers(host)
            yield Rig(host, appliance)
        finally:
            appliance.stop()
