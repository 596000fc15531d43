"""From a batch of datagrams to grants: the gate, the formats, the policy. Every datagram gets exactly one outcome.

    peer known? -> source port? -> GATE -> parse -> facility? -> repeated? -> formats -> joined? -> policy -> grant

When the repeated logins were of which a summary speaks is unknown: the renewed grant counts as granted when the line itself came, so that
a revocation since then voids it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from syslogauth.core import formats
from syslogauth.core.address import Networks, canonical, pack
from syslogauth.core.formats import Recogniser
from syslogauth.core.gate import line_noise_pattern, noise_pattern
from syslogauth.core.login import GRANT, OUTCOMES, Authenticated, Closed, Connected, Cut, Failed, Grant, Login, Logout, Opened, Refusal
from syslogauth.core.message import MAX_DATAGRAM_BYTES, OWN_APP_NAME, Message, parse
from syslogauth.core.policy import Policy
from syslogauth.core.recent import Recent
from syslogauth.core.sessions import Joins

REMEMBERED_PEERS = 65536  # addresses whose verdict is kept; forged ones must not fill the memory
SWEEP_SECONDS = 60.0
SYSLOG_PORT = 514

UNBELIEVED = frozenset((Refusal.NOT_LOGIN, Refusal.AMBIGUOUS, Refusal.BAD_ADDRESS, Refusal.UNESCAPED_SOURCE))

Source = tuple[str, int]  # what recvfrom() gives: host and port; IPv6 adds flow and scope, which are not read


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


@dataclass(frozen=True, slots=True)
class Peer:
    name: str  # the network as configured: a metric's label
    address: bytes
    needs_priority: bool
    escaped: bool  # see Sources.escape


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one datagram: `outcome` is `grant` or the refusal's reason."""

    outcome: str
    login: Login | None = None
    grant: Grant | None = None
    message: Message | None = None
    session: Opened | Closed | None = None  # what begins or ends with it, where grants are held while a session is open


@dataclass(slots=True)
class Tally:
    """Plain counters of the hot path, read by whoever publishes them."""

    received: int = 0
    received_bytes: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    logins: dict[tuple[str, str], int] = field(default_factory=dict)
    last_message: dict[str, float] = field(default_factory=dict)
    last_login: dict[str, float] = field(default_factory=dict)
    unrecognised: dict[str, int] = field(default_factory=dict)  # by app_name: look like logins of a known server, and were refused
    unescaped: dict[str, tuple[str, str]] = field(default_factory=dict)  # peer -> sender, tag: refused because the peer may split
    last_unlisted: str = ""  # the sender that was refused last, for the log: the likeliest mistake of a set-up


class Intake:
    """`sessions` fills while grants are held: what began and ended, in the order of arrival. Whoever commits the grants takes them."""

    def __init__(self, sources: Sources, policy: Policy, recogniser: Recogniser = formats.ALL) -> None:
        self.sources = sources
        self.policy = policy
        self.recogniser = recogniser
        self.tally = Tally()
        self.sessions: list[Opened | Closed] = []
        self._joins = Joins()
        self._peers: dict[str, Peer | None] = {}
        self._own_addresses: set[bytes] = {
            packed for text in sources.peers.texts if (packed := pack(text.removesuffix("/32").removesuffix("/128"))) is not None
        }
        self._noise = noise_pattern(recogniser, sources.facilities, logouts=policy.holds).match
        self._line_noise = line_noise_pattern(recogniser).match
        self._recent = Recent()
        self._next_sweep = 0.0

    def feed(self, batch: Iterable[tuple[bytes, Source]], now: float) -> list[Grant]:
        """The grants that a batch gives, in the order of arrival. Counts one outcome for each datagram. `now`: Unix seconds."""
        grants = []
        tally, peers, noise, attentive = self.tally, self._peers, self._noise, self._recent.hosts
        outcomes, any_port = tally.outcomes, not self.sources.require_source_port_514
        received = received_bytes = noises = 0  # locals: at a million datagrams a second each attribute shows
        last_peer = None
        for datagram, source in batch:
            received += 1
            received_bytes += len(datagram)
            host = source[0]
            peer = peers[host] if host in peers else self._admit(host)
            if peer is None:
                outcomes[Refusal.UNLISTED_PEER] += 1
                tally.last_unlisted = host
                continue
            if peer is not last_peer:
                last_peer = peer
                tally.last_message[peer.name] = now
            if noise(datagram) and len(datagram) <= MAX_DATAGRAM_BYTES and (any_port or source[1] == SYSLOG_PORT):
                noises += 1
                if host in attentive:
                    self._recent.came(host, parse(datagram), now)
            elif not any_port and source[1] != SYSLOG_PORT:
                outcomes[Refusal.SOURCE_PORT] += 1
            else:
                verdict = self._judge(parse(datagram, peer.needs_priority), peer, host, now)
                outcomes[verdict.outcome] += 1
                if verdict.login:
                    self._count(verdict.login, peer, now)
                elif verdict.outcome in UNBELIEVED:
                    self._look_again(verdict, peer)
                if verdict.session:
                    self.sessions.append(verdict.session)
                if verdict.grant:
                    grants.append(verdict.grant)
        if not 0 < self._next_sweep - now <= SWEEP_SECONDS:  # or the clock was set back
            self._sweep(now)
        tally.received += received
        tally.received_bytes += received_bytes
        outcomes[Refusal.NOT_LOGIN] += noises
        return grants

    def judge(self, datagram: bytes, host: str, now: float) -> Verdict:
        """What one datagram from `host` becomes, without the gate and without counting."""
        peer = self._peers[host] if host in self._peers else self._admit(host)
        return self._judge(parse(datagram, peer.needs_priority), peer, host, now) if peer else Verdict(Refusal.UNLISTED_PEER)

    def judge_line(self, line: bytes, time_of: Callable[[bytes], float], *, escaped: bool) -> Verdict:
        """What one line of a log file becomes: no peer, and no <PRI> asked for. `time_of` gives the line's time for its stamp.

        `escaped`: the syslogd that wrote the file escapes line feeds; otherwise formats of servers that do not are off.
        """
        if len(line) <= MAX_DATAGRAM_BYTES and "" not in self._recent.hosts and self._line_noise(line):
            return Verdict(Refusal.NOT_LOGIN)
        message = parse(line, needs_priority=False)
        now = time_of(message.timestamp if isinstance(message, Message) else b"")
        return self._judge(message, Peer("", b"", needs_priority=False, escaped=escaped), "", now)

    def _admit(self, host: str) -> Peer | None:
        """The peer behind a sender's address, remembered; None where it is not listed."""
        if len(self._peers) >= REMEMBERED_PEERS:
            self._peers.clear()
        address = pack(host.partition("%")[0])
        name = self.sources.peers.find(address) if address else None
        with_priority = address not in self.sources.without_priority if address else True
        peer = Peer(name, address, with_priority, self.sources.escape(address, with_priority)) if name and address else None
        self._peers[host] = peer
        if peer and len(self._own_addresses) < REMEMBERED_PEERS:
            self._own_addresses.add(peer.address)
        return peer

    def _judge(self, message: Message | Refusal, peer: Peer, host: str, now: float) -> Verdict:
        if isinstance(message, Refusal):
            self._recent.came(host, message, now)
            return Verdict(message)
        if message.facility is not None and message.facility not in self.sources.facilities:
            self._recent.came(host, message, now)
            return Verdict(Refusal.UNLISTED_FACILITY, message=message)
        if message.repeats:
            return self._repeat(message, peer, host, now)
        if self._recent.came(host, message, now):
            if isinstance(self.recogniser.recognise(message), Cut):  # it is a first half itself, or the same one twice
                self._recent.cut(host, message, now)
            return Verdict(Refusal.CUT, message=message)
        if message.app_name == OWN_APP_NAME:
            return Verdict(Refusal.OWN_MESSAGE, message=message)
        if peer.name and message.app_name in self.recogniser.file_app_names:  # of a server's own log file, which no syslogd sends
            return Verdict(Refusal.NOT_LOGIN, message=message)
        found = self.recogniser.recognise(message, escaped=peer.escaped)
        if isinstance(found, Authenticated):
            found = self._joins.authenticated(host, message, found, now)
        if isinstance(found, Login):
            return self._login(found, message, peer, host, now)
        if isinstance(found, Refusal):
            if found is Refusal.BAD_ADDRESS:  # perhaps a first line: what another process of that pid said before is void
                self._joins.failed(host, message)
            return Verdict(found, message=message)
        if isinstance(found, Logout) and self.policy.holds:
            return Verdict(Refusal.LOGOUT, message=message, session=self._closed(found.server, found.end_key, message, peer, now))
        if isinstance(found, Connected):
            self._joins.connected(host, message, found, now)
            return Verdict(Refusal.CONNECTED, message=message)
        if isinstance(found, Cut):
            self._recent.cut(host, message, now)
            return Verdict(Refusal.CUT, message=message)
        if isinstance(found, Failed):
            self._joins.failed(host, message)
        return Verdict(Refusal.NOT_LOGIN, message=message)

    def _login(self, login: Login, message: Message, peer: Peer, host: str, now: float) -> Verdict:
        verdict = self._decide(login, message, peer, now)
        if verdict.grant and not login.session:
            self._recent.remember(host, message.hostname, login, now)
        if login.session_end:
            return replace(verdict, session=self._closed(login.server, login.end_key, message, peer, now))
        if verdict.grant and login.end_key and self.policy.holds:
            grace_seconds = verdict.grant.expires_at - now
            until = now + self.policy.hold_max_seconds + grace_seconds
            key = _key(peer, message, login.server, login.end_key)
            return replace(verdict, session=Opened(key, login.address, now, until, grace_seconds, login.counted))
        return verdict

    def _closed(self, server: str, end_key: str, message: Message, peer: Peer, now: float) -> Closed | None:
        return Closed(_key(peer, message, server, end_key), now) if end_key and self.policy.holds else None

    def _look_again(self, verdict: Verdict, peer: Peer) -> None:
        """Count what no format believes and yet looks like a login, and what was not believed for the sake of its sender."""
        message = verdict.message
        if message is None:
            return
        if verdict.outcome == Refusal.UNESCAPED_SOURCE:
            self.tally.unescaped.setdefault(peer.name, (canonical(peer.address), message.app_name.decode("ascii")))
        elif self.recogniser.overlooks(message):
            name = self.recogniser.known_as(message).decode("ascii")
            self.tally.unrecognised[name] = self.tally.unrecognised.get(name, 0) + 1

    def _decide(self, login: Login, message: Message, peer: Peer, now: float) -> Verdict:
        hostname = message.hostname.decode("ascii", "backslashreplace")
        decision = self.policy.decide(login, self._own_addresses, hostname, peer.name, now)
        if isinstance(decision, Refusal):
            return Verdict(decision, login, None, message)
        return Verdict(GRANT, login, decision, message)

    def _repeat(self, message: Message, peer: Peer, host: str, now: float) -> Verdict:
        known = self._recent.repeatable(host, message.hostname, now)
        if known is None:
            self._recent.came(host, message, now)
            self._recent.summed_up(host, message, now)
            return Verdict(Refusal.REPEATED, message=message)
        verdict = self._decide(known.login, message, peer, now)
        return replace(verdict, grant=replace(verdict.grant, granted_at=known.login_at)) if verdict.grant else verdict

    def _sweep(self, now: float) -> None:
        """Forget, once in a while, what nothing can refer to any more."""
        self._next_sweep = now + SWEEP_SECONDS
        self._joins.sweep(now)
        self._recent.sweep(now)

    def _count(self, login: Login, peer: Peer, now: float) -> None:
        key = (login.server, login.service)
        self.tally.logins[key] = self.tally.logins.get(key, 0) + 1
        self.tally.last_login[peer.name] = now


def _key(peer: Peer, message: Message, server: str, end_key: str) -> bytes:
    """Which session, of which server on which host: 16 bytes, because names may be long and the table keeps one for each session.

    The peer by its packed address: after a restart on another socket it may be written as an IPv4-mapped one.
    """
    names = (message.hostname, server.encode(), end_key.encode())
    return blake2b(bytes((len(peer.address),)) + peer.address + b"\0".join(names), digest_size=16).digest()
