"""From a batch of datagrams to grants: who may send, the gate, what the judge says. Each gets exactly one outcome, and is counted.

    peer known? -> source port? -> GATE (gate.py) -> parse -> facility? -> repeated? -> formats -> joined? -> policy -> grant
                                                              `---------------------- judge.py -----------------------'
Lines of a followed file come past a gate of their own (lines.py).
"""

from collections import Counter
from collections.abc import Hashable

from syslogauth.core import formats
from syslogauth.core.address import canonical, pack
from syslogauth.core.batch import Batch, Source
from syslogauth.core.formats import Recogniser
from syslogauth.core.gate import gate_pattern
from syslogauth.core.judge import UNBELIEVED, Judge, Verdict
from syslogauth.core.lines import LineReader, TimeOf
from syslogauth.core.login import Closed, Grant, Login, Opened, Refusal
from syslogauth.core.message import parse
from syslogauth.core.peers import SYSLOG_PORT, Peer, Sources, file_peer
from syslogauth.core.policy import Policy
from syslogauth.core.refusals import TOLD, UNRECOGNISED, example_of
from syslogauth.core.tally import Tally
from syslogauth.core.usual import usual_login

REMEMBERED_PEERS = 65536  # addresses whose verdict is kept; forged ones must not fill the memory
SWEEP_SECONDS = 20.0

LOOKED_AT = UNBELIEVED | TOLD


class Intake:
    """`sessions` fills while grants are held: what began and ended, in the order of arrival. Whoever commits the grants takes them.

    `lines` judges lines of log files without counting them.
    """

    def __init__(self, sources: Sources, policy: Policy, recogniser: Recogniser = formats.ALL) -> None:
        self.sources = sources
        self.recogniser = recogniser
        self.tally = Tally()
        self.sessions: list[Opened | Closed] = []
        self._peers: dict[Hashable, Peer] = {}
        self.own_addresses: set[bytes] = {
            packed for text in sources.peers.texts if (packed := pack(text.removesuffix("/32").removesuffix("/128"))) is not None
        }
        self._judge = Judge(policy, recogniser, sources.facilities, self.own_addresses)
        self.lines = LineReader(self._judge)
        self._gate = gate_pattern(recogniser, sources.facilities, logouts=policy.holds).match
        self._usual, self._read_usual = usual_login(recogniser, sources.facilities)
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
        count, attentive = len(batch), self._judge.recent.hosts
        suspects = batch.suspects(self._gate)
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
        recent = self._judge.recent
        for number in range(first, last):
            host = self._peers[batch.senders[number]].host
            if host in recent.hosts:
                recent.came(host, parse(batch.datagram(number)), now)

    def feed_lines(self, batch: Batch, path: str, time_of: TimeOf, now: float, *, escaped: bool, live: bool) -> list[Grant]:
        """feed() for lines of a followed file, each judged at its own time (law 4): see lines.py. What is over by now is not given,
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
        for number, verdict in self.lines.judge_those_of(peer, batch, time_of):
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
                verdict = self._judge.judge_usual(self._read_usual(found), found, peer, now)
            if verdict is None:
                verdict = self._judge.judge(parse(batch.datagram(number), peer.needs_priority), peer, now)
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
        return Verdict(peer.refusal) if peer.refusal else self._judge.judge(parse(datagram, peer.needs_priority), peer, now)

    def _admit(self, source: Source | Peer) -> Peer:
        peer = source if isinstance(source, Peer) else self.sources.admit(*source)
        if peer.address and len(self.own_addresses) < REMEMBERED_PEERS:
            self.own_addresses.add(peer.address)
        return peer

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

    def _sweep(self, now: float) -> None:
        """Forget, once in a while, what nothing can refer to any more."""
        self._next_sweep = now + SWEEP_SECONDS
        self._judge.sweep(now)
        self.tally.skews.turn()

    def _count(self, login: Login, peer: Peer, now: float) -> None:
        key = (login.server, login.service)
        self.tally.logins[key] = self.tally.logins.get(key, 0) + 1
        self.tally.last_login[peer.name] = now
