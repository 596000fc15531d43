"""What the receiving path counts: plain figures, read once a second by whoever publishes them (metrics.py)."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from syslogauth.core.address import canonical
from syslogauth.core.linetime import DAY_SECONDS, time_of
from syslogauth.core.login import OUTCOMES
from syslogauth.core.message import Message, parse
from syslogauth.core.peers import Peer
from syslogauth.core.refusals import Refusals

HALF_A_YEAR_SECONDS = 183 * DAY_SECONDS  # a stamp without a year is of the year that puts it nearest


@dataclass(slots=True)
class Skews:
    """How far the clocks of the senders of each peer's entry are off, in seconds; of several senders the one furthest from zero.

    Each sender is looked at once in a turn. The figure is the worst of this turn and of the last one that had any, so that neither the
    order of arrival nor a quiet minute moves it, and a clock that was put right is forgotten after two turns.
    """

    looked_at: set[Hashable] = field(default_factory=set)  # senders, in this turn
    _now: dict[str, float] = field(default_factory=dict)
    _before: dict[str, float] = field(default_factory=dict)

    def look(self, sender: Hashable, datagram: bytes, peer: Peer, now: float) -> None:
        """By this message, which may be any. One that was held up on its way says too little, one without a stamp nothing."""
        self.looked_at.add(sender)
        message = parse(datagram, peer.needs_priority)
        if isinstance(message, Message) and (at := time_of(message.timestamp, now, HALF_A_YEAR_SECONDS)) is not None:
            self._now[peer.name] = furthest(self._now.get(peer.name, 0.0), at - now)

    def turn(self) -> None:
        """Begin the next one."""
        self.looked_at.clear()
        self._before |= self._now
        self._now.clear()

    def by_peer(self) -> dict[str, float]:
        return {peer: furthest(self._before.get(peer, 0.0), self._now.get(peer, 0.0)) for peer in self._before | self._now}


@dataclass(slots=True)
class Tally:
    """Plain counters of the hot path. A peer is the text of its configured entry."""

    received: int = 0
    received_bytes: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    logins: dict[tuple[str, str], int] = field(default_factory=dict)
    datagrams: dict[str, int] = field(default_factory=dict)  # by peer
    repeated: dict[str, int] = field(default_factory=dict)  # by peer: summaries that name no message
    skews: Skews = field(default_factory=Skews)
    last_message: dict[str, float] = field(default_factory=dict)
    last_login: dict[str, float] = field(default_factory=dict)
    unrecognised: dict[str, int] = field(default_factory=dict)  # by app_name: look like logins of a known server, and were refused
    first_senders: dict[str, str] = field(default_factory=dict)  # peer -> the address that its first message came from; of a file its path
    refusals: Refusals = field(default_factory=Refusals)

    def came(self, peer: Peer, count: int, now: float) -> None:
        """So many messages of a peer came in a batch."""
        name = peer.name
        if name not in self.last_message:
            self.first_senders[name] = canonical(peer.address) if peer.address else peer.host
        self.last_message[name] = now
        self.datagrams[name] = self.datagrams.get(name, 0) + count


def furthest(one: float, other: float) -> float:
    """The one that is further from zero."""
    return max(one, other, key=abs)
