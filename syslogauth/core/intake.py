"""From a batch of datagrams to grants: the gate, the formats, the policy. Every datagram gets exactly one outcome.

    peer known? -> source port? -> GATE (gate.py) -> parse -> facility? -> repeated? -> formats -> joined? -> policy -> grant

When the repeated logins were of which a summary speaks is unknown: the renewed grant counts as granted when the line itself came, so that
a revocation since then voids it.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from hashlib import blake2b
from itertools import compress, repeat
from operator import add
from typing import NamedTuple

from syslogauth.core import formats
from syslogauth.core.address import canonical, pack
from syslogauth.core.batch import Batch, Source
from syslogauth.core.formats import Recogniser
from syslogauth.core.gate import gate_pattern, line_gate_pattern
from syslogauth.core.login import GRANT, Authenticated, Closed, Connected, Cut, Failed, Grant, Login, Logout, Opened, Refusal
from syslogauth.core.message import FACILITIES, MAX_DATAGRAM_BYTES, OWN_APP_NAME, Message, parse
from syslogauth.core.peers import SYSLOG_PORT, Peer, Sources, file_peer
from syslogauth.core.policy import Policy
from syslogauth.core.recent import Recent
from syslogauth.core.refusals import TOLD, UNRECOGNISED, example_of
from syslogauth.core.sessions import Joins
from syslogauth.core.tally import Tally
from syslogauth.core.usual import usual_login

REMEMBERED_PEERS = 65536  # addresses whose verdict is kept; forged ones must not fill the memory
SWEEP_SECONDS = 20.0

UNBELIEVED = frozenset((Refusal.NOT_LOGIN, Refusal.AMBIGUOUS, Refusal.BAD_ADDRESS))
LOOKED_AT = UNBELIEVED | TOLD


class Verdict(NamedTuple):
    """What became of one datagram: `outcome` is `grant` or the refusal's reason."""

    outcome: str
    login: Login | None = None
    grant: Grant | None = None
    message: Message | None = None
    session: Opened | Closed | None = None  # what begins or ends with it, where grants are held while a session is open


class Intake:
    """`sessions` fills while grants are held: what began and ended, in the order of arrival. Whoever commits the grants takes them."""

    def __init__(self, sources: Sources, policy: Policy, recogniser: Recogniser = formats.ALL) -> None:
        self.sources = sources
        self.policy = policy
        self.recogniser = recogniser
        self.tally = Tally()
        self.sessions: list[Opened | Closed] = []
        self._joins = Joins()
        self._peers: dict[Hashable, Peer] = {}
        self.own_addresses: set[bytes] = {
            packed for text in sources.peers.texts if (packed := pack(text.removesuffix("/32").removesuffix("/128"))) is not None
        }
        self._priorities = {None, *(8 * FACILITIES.index(name) + severity for name in sources.facilities for severity in range(8))}
        self._gate = gate_pattern(recogniser, sources.facilities, logouts=policy.holds).match
        self._line_gate = line_gate_pattern(recogniser, logouts=policy.holds).match
        self._usual, self._read_usual = usual_login(recogniser, sources.facilities)
        self._usual_line, _ = usual_login(recogniser, None)
        self._recent = Recent()
        self._next_sweep = 0.0

    def feed(self, batch: Batch, now: float) -> list[Grant]:
        """The grants that a batch gives, in the order of arrival. Counts one outcome for each datagram. `now`: Unix seconds.

        What is done for every datagram is done by C functions over the whole batch: a turn of a loop in Python costs as much as the gate.
        """
        self.tally.received += len(batch)
        self.tally.received_bytes += sum(batch.lengths)
        if not 0 < self._next_sweep - now <= SWEEP_SECONDS:  # or the clock was set back
            self._sweep(now)
        batch = self._listed(batch, now)
        grants: list[Grant] = []
        if not batch:
            return grants
        count, attentive = len(batch), self._recent.hosts
        suspects = _suspects(self._gate, batch)
        self.tally.outcomes[Refusal.NOT_LOGIN] += count - len(suspects)
        seen = 0
        for number in suspects:
            if attentive:
                self._read_noise(batch, seen, number, now)
            self._take(batch, number, now, grants)
            seen = number + 1
        if attentive:
            self._read_noise(batch, seen, count, now)
        return grants

    def _listed(self, batch: Batch, now: float) -> Batch:
        """The datagrams of those who may send; the others are counted as refused."""
        peers, tally, refused = self._peers, self.tally, False
        senders = set(batch.senders)
        if unknown := senders.difference(peers):
            if len(peers) + len(unknown) > REMEMBERED_PEERS:
                peers.clear()
                tally.skews.looked_at.clear()
                unknown = senders
            for sender in unknown:
                peers[sender] = self._admit(batch.source(batch.senders.index(sender)))
        counts = Counter(batch.senders) if len(senders) > 1 else {sender: len(batch) for sender in senders}
        for sender, count in counts.items():  # in the order of arrival, as a set has none
            peer = peers[sender]
            if peer.refusal is not None:
                refused = True
                self._refuse(peer, batch, batch.senders.index(sender), count)
                continue
            tally.came(peer, count, now)
            if sender not in tally.skews.looked_at:
                tally.skews.look(sender, batch.datagram(batch.senders.index(sender)), peer, now)
        if not refused:
            return batch
        return batch.of_these([number for number, sender in enumerate(batch.senders) if peers[sender].refusal is None])

    def _refuse(self, peer: Peer, batch: Batch, first: int, count: int) -> None:
        """Count so many datagrams of one who may not send. What they say is not read."""
        reason, sender = str(peer.refusal), peer.sender
        self.tally.outcomes[reason] += count
        if not self.tally.refusals.more(reason, sender, count):
            self.tally.refusals.begin(reason, sender, example_of(batch.datagram(first), sender), count)

    def _read_noise(self, batch: Batch, first: int, last: int, now: float) -> None:
        """Tell of the noise from `first` to before `last` that came from hosts whose every message must be read."""
        for number in range(first, last):
            host = self._peers[batch.senders[number]].host
            if host in self._recent.hosts:
                self._recent.came(host, parse(batch.datagram(number)), now)

    def feed_lines(
        self, batch: Batch, path: str, time_of: Callable[[bytes], float], now: float, *, escaped: bool, live: bool
    ) -> list[Grant]:
        """feed() for lines of a followed file, each judged at its own time (law 4): see judge_lines(). What is over by now is not given,
        unless its session may still be open. `live`: the last of them has just been written."""
        self.tally.received += len(batch)
        self.tally.received_bytes += sum(batch.lengths)
        if live and not 0 < self._next_sweep - now <= SWEEP_SECONDS:  # else what came just before these is as old as they are
            self._sweep(now)
        peer, read = file_peer(path, escaped), 0
        self.tally.came(peer, len(batch), now)
        if live and path not in self.tally.skews.looked_at:
            self.tally.skews.look(path, batch.datagram(len(batch) - 1), peer, now)
        grants: list[Grant] = []
        for number, verdict in self._judge_lines(batch, time_of, peer):
            read += 1
            self._take(batch, number, now, grants, (peer, verdict))
        self.tally.outcomes[Refusal.NOT_LOGIN] += len(batch) - read
        held = {event.address for event in self.sessions if isinstance(event, Opened) and event.held_until > now}
        return [grant for grant in grants if grant.expires_at > now or grant.address in held]

    def _take(self, batch: Batch, number: int, now: float, grants: list[Grant], judged: tuple[Peer, Verdict] | None = None) -> None:
        """Judge a datagram, unless that was done already, and count what became of it."""
        verdict: Verdict | None = None
        if judged is not None:
            peer, verdict = judged
        else:
            peer = self._peers[batch.senders[number]]
            if found := batch.found(self._usual, number):
                verdict = self._usual_login(self._read_usual(found), found, peer, now)
            if verdict is None:
                verdict = self._judge(parse(batch.datagram(number), peer.needs_priority), peer, now)
        outcome, login, grant, message, session = verdict
        self.tally.outcomes[outcome] += 1
        if message is not None and message.repeats:
            self.tally.repeated[peer.name] = self.tally.repeated.get(peer.name, 0) + 1
        if login is not None:
            self._count(login, peer, now)
        if session is not None:
            self.sessions.append(session)
        if grant is not None:
            grants.append(grant)
        elif outcome in LOOKED_AT:
            self._look_again(verdict, peer, batch, number)

    def judge(self, datagram: bytes, host: str, now: float) -> Verdict:
        """What one datagram from `host` becomes, without the gate and without counting."""
        peer = self._admit((host, SYSLOG_PORT))
        return Verdict(peer.refusal) if peer.refusal else self._judge(parse(datagram, peer.needs_priority), peer, now)

    def judge_line(self, line: bytes, time_of: Callable[[bytes], float], *, escaped: bool) -> Verdict:
        """What one line of a log file becomes: no peer, and no <PRI> asked for. `time_of` gives the line's time for its stamp.

        `escaped`: the syslogd that wrote the file escapes line feeds; otherwise formats of servers that do not are off.
        """
        message = parse(line, needs_priority=False)
        return self._judge(message, file_peer("", escaped), time_of(_stamp(message)))

    def judge_lines(self, batch: Batch, time_of: Callable[[bytes], float], *, escaped: bool) -> Iterator[tuple[int, Verdict]]:
        """The same for many lines, by their number in the batch. Those that are not given are noise: NOT_LOGIN."""
        return self._judge_lines(batch, time_of, file_peer("", escaped))

    def _judge_lines(self, batch: Batch, time_of: Callable[[bytes], float], peer: Peer) -> Iterator[tuple[int, Verdict]]:
        seen, attentive = 0, self._recent.hosts
        for number in (*_suspects(self._line_gate, batch), len(batch)):
            for noise in range(seen, number) if peer.host in attentive else ():
                message = parse(batch.datagram(noise), needs_priority=False)
                self._recent.came(peer.host, message, time_of(_stamp(message)))
            if number == len(batch):
                return
            verdict = None
            if found := batch.found(self._usual_line, number):
                verdict = self._usual_login(self._read_usual(found), found, peer, time_of(found["stamp"]))
            if verdict is None:
                message = parse(batch.datagram(number), needs_priority=False)
                verdict = self._judge(message, peer, time_of(_stamp(message)))
            yield number, verdict
            seen = number + 1

    def _admit(self, source: Source | Peer) -> Peer:
        peer = source if isinstance(source, Peer) else self.sources.admit(*source)
        if peer.address and len(self.own_addresses) < REMEMBERED_PEERS:
            self.own_addresses.add(peer.address)
        return peer

    def _judge(self, message: Message | Refusal, peer: Peer, now: float) -> Verdict:
        if isinstance(message, Refusal):
            self._recent.came(peer.host, message, now)
            return Verdict(message)
        if message.priority not in self._priorities:
            self._recent.came(peer.host, message, now)
            return Verdict(Refusal.UNLISTED_FACILITY, message=message)
        if message.repeats:
            return self._repeat(message, peer, now)
        if self._recent.came(peer.host, message, now):
            if isinstance(self.recogniser.recognise(message), Cut):  # it is a first half itself, or the same one twice
                self._recent.cut(peer.host, message, now)
            return Verdict(Refusal.CUT, message=message)
        if message.app_name == OWN_APP_NAME:
            return Verdict(Refusal.OWN_MESSAGE, message=message)
        if peer.address and message.app_name in self.recogniser.file_app_names:  # of a server's own log file, which no syslogd sends
            return Verdict(Refusal.NOT_LOGIN, message=message)
        found = self.recogniser.recognise(message, escaped=peer.escaped)
        if isinstance(found, Authenticated):
            found = self._joins.authenticated(peer.host, message, found, now)
        if isinstance(found, Login):
            return self._login(found, message.hostname, peer, now, message)
        if isinstance(found, Refusal):
            if found is Refusal.BAD_ADDRESS:  # perhaps a first line: what another process of that pid said before is void
                self._joins.failed(peer.host, message)
            return Verdict(found, message=message)
        if isinstance(found, Logout) and self.policy.holds:
            return Verdict(Refusal.LOGOUT, message=message, session=self._closed(found.server, found.end_key, message.hostname, peer, now))
        if isinstance(found, Connected):
            self._joins.connected(peer.host, message, found, now)
            return Verdict(Refusal.CONNECTED, message=message)
        if isinstance(found, Cut):
            self._recent.cut(peer.host, message, now)
            return Verdict(Refusal.CUT, message=message)
        if isinstance(found, Failed):
            self._joins.failed(peer.host, message)
        return Verdict(Refusal.NOT_LOGIN, message=message)

    def _usual_login(self, login: Login | Refusal, found: re.Match[bytes], peer: Peer, now: float) -> Verdict | None:
        """What becomes of a line that is a usual login; None where the long way must say it, or what came before it counts."""
        if peer.host in self._recent.hosts or not isinstance(login, Login):
            return None
        return self._login(login, found["host"] or found["origin"] or b"", peer, now)

    def _login(self, login: Login, hostname: bytes, peer: Peer, now: float, message: Message | None = None) -> Verdict:
        verdict = self._decide(login, hostname, peer, now, message)
        if verdict.grant and not login.session:
            self._recent.remember(peer.host, hostname, login, now)
        if login.session_end:
            return verdict._replace(session=self._closed(login.server, login.end_key, hostname, peer, now))
        if verdict.grant and login.end_key and self.policy.holds:
            grace_seconds = verdict.grant.expires_at - now
            until = now + self.policy.hold_max_seconds + grace_seconds
            key = _key(peer, hostname, login.server, login.end_key)
            return verdict._replace(session=Opened(key, login.address, now, until, grace_seconds, login.counted))
        return verdict

    def _closed(self, server: str, end_key: str, hostname: bytes, peer: Peer, now: float) -> Closed | None:
        return Closed(_key(peer, hostname, server, end_key), now) if end_key and self.policy.holds else None

    def _look_again(self, verdict: Verdict, peer: Peer, batch: Batch, number: int) -> None:
        """Count what no format believes and yet looks like a login, and sum up what somebody may have to mend."""
        reason, message = verdict.outcome, verdict.message
        if message is not None and reason in UNBELIEVED and self.recogniser.overlooks(message):
            name = self.recogniser.known_as(message).decode("ascii")
            self.tally.unrecognised[name] = self.tally.unrecognised.get(name, 0) + 1
            reason = UNRECOGNISED if reason == Refusal.NOT_LOGIN else reason
        if reason == Refusal.NOT_LOGIN or (reason == Refusal.UNLISTED_FACILITY and message and not self.recogniser.of(message)):
            return
        if not self.tally.refusals.more(reason, peer.name):
            via = canonical(verdict.login.via) if verdict.login and verdict.login.via else ""
            self.tally.refusals.begin(reason, peer.name, example_of(batch.datagram(number), peer.sender, message, peer.listed_in, via))

    def _decide(self, login: Login, hostname: bytes, peer: Peer, now: float, message: Message | None) -> Verdict:
        decision = self.policy.decide(login, self.own_addresses, hostname.decode("ascii", "backslashreplace"), peer.name, now)
        if isinstance(decision, Refusal):
            return Verdict(decision, login, None, message)
        return Verdict(GRANT, login, decision, message)

    def _repeat(self, message: Message, peer: Peer, now: float) -> Verdict:
        known = self._recent.repeatable(peer.host, message.hostname, now)
        if known is None:
            self._recent.came(peer.host, message, now)
            self._recent.summed_up(peer.host, message, now)
            return Verdict(Refusal.REPEATED, message=message)
        verdict = self._decide(known.login, message.hostname, peer, now, message)
        return verdict._replace(grant=verdict.grant._replace(granted_at=known.login_at)) if verdict.grant else verdict

    def _sweep(self, now: float) -> None:
        """Forget, once in a while, what nothing can refer to any more."""
        self._next_sweep = now + SWEEP_SECONDS
        self._joins.sweep(now)
        self._recent.sweep(now)
        self.tally.skews.turn()

    def _count(self, login: Login, peer: Peer, now: float) -> None:
        key = (login.server, login.service)
        self.tally.logins[key] = self.tally.logins.get(key, 0) + 1
        self.tally.last_login[peer.name] = now


def _suspects(gate: Callable[..., object], batch: Batch) -> list[int]:
    """The numbers of the datagrams that must be read. What is too long is no noise either, whatever it is."""
    ends = map(add, batch.starts, batch.lengths)
    suspects = list(compress(range(len(batch)), map(gate, repeat(batch.buffer), batch.starts, ends)))
    if max(batch.lengths, default=0) > MAX_DATAGRAM_BYTES:
        suspects = sorted({*suspects, *(number for number, length in enumerate(batch.lengths) if length > MAX_DATAGRAM_BYTES)})
    return suspects


def _stamp(message: Message | Refusal) -> bytes:
    return message.timestamp if isinstance(message, Message) else b""


def _key(peer: Peer, hostname: bytes, server: str, end_key: str) -> bytes:
    """Which session, of which server on which host: 16 bytes, because names may be long and the table keeps one for each session.

    The peer by its packed address: after a restart on another socket it may be written as an IPv4-mapped one.
    """
    names = (hostname, server.encode(), end_key.encode())
    return blake2b(bytes((len(peer.address),)) + peer.address + b"\0".join(names), digest_size=16).digest()
