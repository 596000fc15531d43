"""Who may send, and how what they send is read: the peers of listen, their facilities, and what is declared of them (laws 2 and 3)."""

from dataclasses import dataclass, field

from syslogauth.core.address import Networks, pack
from syslogauth.core.login import Refusal

SYSLOG_PORT = 514


@dataclass(frozen=True, slots=True)
class Peer:
    """One sender: a host, and a port of it. `refusal` is why nothing of it is read, None where it may send."""

    host: str
    name: str = ""  # the network as configured: a metric's label
    address: bytes = b""
    needs_priority: bool = False
    escaped: bool = False  # see Sources.escape
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """Who may send, and what. Peers are networks; a datagram is counted under the configured text of its peer's network."""

    peers: Networks
    facilities: frozenset[str]
    without_priority: Networks = field(default_factory=Networks)
    require_source_port_514: bool = False
    escaping: Networks = field(default_factory=Networks)  # declared in listen.source: they escape a client's line feeds
    splitting: Networks = field(default_factory=Networks)  # declared too: they do not, and may make a second message of what follows one

    def escape(self, address: bytes, with_priority: bool) -> bool:
        """Whether a message of this sender is whole. Undeclared, one without <PRI> is taken for socklog's, which splits."""
        if address in self.splitting:
            return False
        return with_priority or address in self.escaping

    def admit(self, host: str, port: int) -> Peer:
        """Who sends from there: whether and how it is read. A listed peer's address is given even where its port is refused."""
        address = pack(host.partition("%")[0])
        name = self.peers.find(address) if address else None
        if not name or not address:
            return Peer(host, refusal=Refusal.UNLISTED_PEER)
        if self.require_source_port_514 and port != SYSLOG_PORT:
            return Peer(host, address=address, refusal=Refusal.SOURCE_PORT)
        with_priority = address not in self.without_priority
        return Peer(host, name, address, with_priority, self.escape(address, with_priority))
