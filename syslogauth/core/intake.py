"""From a batch of datagrams to grants: the gate, the formats, the policy. Every datagram gets exactly one outcome.

    peer known? -> source port? -> GATE -> parse -> facility? -> repeated? -> formats -> joined? -> policy -> grant

`last message repeated N times` names no message. It renews the grant that the datagram directly before it made, from the same peer
and hostname, or that the summary before it renewed, within REPEAT_SECONDS; otherwise it is only counted. When in that time the repeated
logins were is unknown: the renewed grant counts as granted when the line itself came, so that a revocation since then voids it. Only
logins whose line can repeat are remembered: one with a session id (Dovecot since 2.2) never does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from syslogauth.core import formats
from syslogauth.core.address import Networks, pack
from syslogauth.core.formats import Recogniser
from syslogauth.core.formats.looks import looks_like_login
from syslogauth.core.gate import line_noise_pattern, noise_pattern
from syslogauth.core.login import GRANT, OUTCOMES, Authenticated, Closed, Connected, Failed, Grant, Login, Logout, Opened, Refusal
from syslogauth.core.message import MAX_DATAGRAM_BYTES, OWN_APP_NAME, Message, parse
from syslogauth.core.policy import Policy
from syslogauth.core.sessions import Joins

REPEAT_SECONDS = 660.0  # FreeBSD and inetutils write a summary at the latest 600 s after the line: repeatinterval[] = {30, 120, 600}
REMEMBERED_PEERS = 65536  # addresses whose verdict is kept; forged ones must not fill the memory
SWEEP_SECONDS = 60.0
REMEMBERED_HOSTNAMES = 1024  # of one peer, whose last login may be repeated
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


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A login whose line may be summed up: when it came, and when it or a summary of it came last."""

    login: Login
    login_at: float
    last_at: float


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
    unescaped: dict[str, str] = field(default_factory=dict)  # peer -> the server whose login was refused because the peer may split
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
        self._repeatable: dict[str, dict[bytes, Repeatable]] = {}
        self._next_sweep = 0.0

    def feed(self, batch: Iterable[tuple[bytes, Source]], now: float) -> list[Grant]:
        """The grants that a batch gives, in the order of arrival. Counts one outcome for each datagram. `now`: Unix seconds."""
        grants = []
        tally, peers, noise, repeatable = self.tally, self._peers, self._noise, self._repeatable
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
                if host in repeatable:
                    self._forget(host, parse(datagram))
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
        if now >= self._next_sweep:
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
        if len(line) <= MAX_DATAGRAM_BYTES and "" not in self._repeatable and self._line_noise(line):
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
            self._forget(host, message)
            return Verdict(message)
        if message.facility is not None and message.facility not in self.sources.facilities:
            self._forget(host, message)
            return Verdict(Refusal.UNLISTED_FACILITY, message=message)
        if message.repeats:
            return self._repeat(message, peer, host, now)
        self._forget(host, message)
        if message.app_name == OWN_APP_NAME:
            return Verdict(Refusal.OWN_MESSAGE, message=message)
        found = self.recogniser.recognise(message, escaped=peer.escaped)
        if isinstance(found, Authenticated):
            found = self._joins.authenticated(host, message, found, now)
        if isinstance(found, Login):
            return self._login(found, message, peer, host, now)
        if isinstance(found, Refusal):
            return Verdict(found, message=message)
        if isinstance(found, Logout) and self.policy.holds:
            return Verdict(Refusal.LOGOUT, message=message, session=self._closed(found.server, found.end_key, message, host, now))
        if isinstance(found, Connected):
            self._joins.connected(host, message, found, now)
            return Verdict(Refusal.CONNECTED, message=message)
        if isinstance(found, Failed):
            self._joins.failed(host, message)
        return Verdict(Refusal.NOT_LOGIN, message=message)

    def _login(self, login: Login, message: Message, peer: Peer, host: str, now: float) -> Verdict:
        verdict = self._decide(login, message, peer, now)
        if verdict.grant and not login.session:
            self._remember(host, message.hostname, Repeatable(login, now, now))
        if login.session_end:
            return replace(verdict, session=self._closed(login.server, login.end_key, message, host, now))
        if verdict.grant and login.end_key and self.policy.holds:
            grace_seconds = verdict.grant.expires_at - now
            until = now + self.policy.hold_max_seconds + grace_seconds
            key = _key(host, message, login.server, login.end_key)
            return replace(verdict, session=Opened(key, login.address, now, until, grace_seconds, login.counted))
        return verdict

    def _closed(self, server: str, end_key: str, message: Message, host: str, now: float) -> Closed | None:
        return Closed(_key(host, message, server, end_key), now) if end_key and self.policy.holds else None

    def _look_again(self, verdict: Verdict, peer: Peer) -> None:
        """Count what no format believes and yet looks like a login, and what was not believed for the sake of its sender."""
        message = verdict.message
        if message is None:
            return
        if verdict.outcome == Refusal.UNESCAPED_SOURCE:
            self.tally.unescaped.setdefault(peer.name, message.app_name.decode("ascii"))
        elif self.recogniser.of(message) and looks_like_login(message.text):
            name = self.recogniser.known_as(message).decode("ascii")
            self.tally.unrecognised[name] = self.tally.unrecognised.get(name, 0) + 1

    def _decide(self, login: Login, message: Message, peer: Peer, now: float) -> Verdict:
        hostname = message.hostname.decode("ascii", "backslashreplace")
        decision = self.policy.decide(login, self._own_addresses, hostname, peer.name, now)
        if isinstance(decision, Refusal):
            return Verdict(decision, login, None, message)
        return Verdict(GRANT, login, decision, message)

    def _repeat(self, message: Message, peer: Peer, host: str, now: float) -> Verdict:
        known = self._repeatable.get(host, {}).get(message.hostname)
        if known is None or not 0 <= now - known.last_at <= REPEAT_SECONDS:
            self._forget(host, message)
            return Verdict(Refusal.REPEATED, message=message)
        self._repeatable[host][message.hostname] = replace(known, last_at=now)
        verdict = self._decide(known.login, message, peer, now)
        return replace(verdict, grant=replace(verdict.grant, granted_at=known.login_at)) if verdict.grant else verdict

    def _remember(self, host: str, hostname: bytes, known: Repeatable) -> None:
        if host not in self._repeatable and len(self._repeatable) >= REMEMBERED_PEERS:
            return
        remembered = self._repeatable.setdefault(host, {})
        if len(remembered) < REMEMBERED_HOSTNAMES:
            remembered[hostname] = known

    def _forget(self, host: str, message: Message | Refusal) -> None:
        """Another message of the same peer and hostname came between: a summary after it speaks of that one."""
        if (remembered := self._repeatable.get(host)) is None:
            return
        if isinstance(message, Refusal):
            remembered.clear()
        else:
            remembered.pop(message.hostname, None)
        if not remembered:
            del self._repeatable[host]

    def _sweep(self, now: float) -> None:
        """Forget what no summary can renew any more, once in a while: each of them costs the reading of noise from its peer."""
        self._next_sweep = now + SWEEP_SECONDS
        self._joins.sweep(now)
        for host, remembered in list(self._repeatable.items()):
            for hostname in [name for name, known in remembered.items() if now - known.last_at > REPEAT_SECONDS]:
                del remembered[hostname]
            if not remembered:
                del self._repeatable[host]

    def _count(self, login: Login, peer: Peer, now: float) -> None:
        key = (login.server, login.service)
        self.tally.logins[key] = self.tally.logins.get(key, 0) + 1
        self.tally.last_login[peer.name] = now


def _key(host: str, message: Message, server: str, end_key: str) -> bytes:
    """Which session, of which server on which host: 16 bytes, because names may be long and the table keeps one for each session."""
    return blake2b(b"\0".join((host.encode(), message.hostname, server.encode(), end_key.encode())), digest_size=16).digest()
