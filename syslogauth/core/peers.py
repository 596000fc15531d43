"""Who may send, and how what they send is read: the peers of listen, their facilities, and what is declared of them (laws 2 and 3).

Of a peer that sends datagrams or a TCP stream the address decides; of one that has shown a certificate, the certificate alone: its name
is that of the [[tls.peer]] that lists it. Over a stream a message that ends at a line feed is believed to be whole only where that is
declared.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from syslogauth.core.address import Networks, canonical, pack
from syslogauth.core.login import Refusal

SYSLOG_PORT = 514
DNS_NAME = re.compile(r"(?:\*\.)?(?:[\w-]{1,63}\.)*[\w-]{1,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Peer:
    """One sender: a host and a port of it, a holder of a certificate, a file. `refusal` is why nothing of it is read, or None.

    `host` tells it from others: its lines are read together. `listed_in`: the key of [[listen.source]] that speaks of its like.
    """

    host: str
    name: str = ""  # the network as configured, the name of the [[tls.peer]], the path of the file: a metric's label
    address: bytes = b""
    needs_priority: bool = False
    escaped: bool = False  # see Sources.escape
    refusal: Refusal | None = None
    listed_in: str = "peers"

    @property
    def sender(self) -> str:
        """The host as one writes it in the configuration: IPv4 not mapped into IPv6."""
        address = pack(self.host.partition("%")[0])
        return canonical(address) if address else self.host


def file_peer(path: str, escaped: bool) -> Peer:
    """A log file as the peer of its lines: it has no address, and its lines no <PRI>."""
    return Peer(path, path, escaped=escaped, listed_in="files")


@dataclass(frozen=True, slots=True)
class Certified:
    """A [[tls.peer]]: the holder of a certificate with one of these DNS names (`*.example.org`: any one label), or of one with such a
    SHA-256 sum of its DER form (RFC 5425 4.2.2), in hexadecimal digits. What a certificate calls a DNS name and is none, with a NUL or
    without a label, say, is nobody's: whoever signed it may have read another."""

    name: str
    subjects: tuple[str, ...]
    fingerprints: tuple[str, ...]

    def holds(self, dns_names: Sequence[str], fingerprint: str) -> bool:
        names = {name.lower() for name in dns_names if DNS_NAME.fullmatch(name)}
        names |= {f"*.{parent}" for name in names if (parent := name.partition(".")[2])}
        return fingerprint in self.fingerprints or not names.isdisjoint(self.subjects)


def holder(known: Iterable[Certified], dns_names: Sequence[str], fingerprint: str) -> str | None:
    """The name of the first who may hold this certificate, in the order of the configuration."""
    return next((peer.name for peer in known if peer.holds(dns_names, fingerprint)), None)


@dataclass(frozen=True, slots=True)
class Sources:
    """Who may send, and what. Peers are networks; a datagram is counted under the configured text of its peer's network."""

    peers: Networks
    facilities: frozenset[str]
    without_priority: Networks = field(default_factory=Networks)
    require_source_port_514: bool = False
    escaping: Networks = field(default_factory=Networks)  # declared in listen.source: they escape a client's line feeds
    splitting: Networks = field(default_factory=Networks)  # declared too: they do not, and may make a second message of what follows one
    escaping_holders: frozenset[str] = frozenset()  # the same of names of [[tls.peer]]
    splitting_holders: frozenset[str] = frozenset()

    def escape(self, address: bytes, undeclared: bool) -> bool:
        """Whether a message of this sender is whole; `undeclared` is the answer where listen.source says nothing of it."""
        if address in self.splitting:
            return False
        return undeclared or address in self.escaping

    def admit(self, host: str, port: int) -> Peer:
        """Who sends from there: whether and how it is read. A listed peer's address is given even where its port is refused."""
        address = pack(host.partition("%")[0])
        name = self.peers.find(address) if address else None
        if not name or not address:
            return Peer(host, refusal=Refusal.UNLISTED_PEER)
        if self.require_source_port_514 and port != SYSLOG_PORT:
            return Peer(host, address=address, refusal=Refusal.SOURCE_PORT)
        with_priority = address not in self.without_priority  # else it is taken for socklog, which splits
        return Peer(host, name, address, with_priority, self.escape(address, with_priority))

    def admit_stream(self, host: str, *, counted: bool) -> Peer:
        """Who sends over TCP from there. `counted`: each message comes with its length. Its port is nobody's matter."""
        peer = self.admit(host, SYSLOG_PORT)
        return replace(peer, escaped=self.escape(peer.address, peer.needs_priority and counted)) if peer.refusal is None else peer

    def admit_holder(self, name: str, host: str, *, counted: bool) -> Peer:
        """Who sends over TLS with a certificate of that name: what listen.peers says of its address is not asked."""
        escaped = name not in self.splitting_holders and (counted or name in self.escaping_holders)
        return Peer(name, name, pack(host.partition("%")[0]) or b"", needs_priority=True, escaped=escaped, listed_in="tls_peers")
