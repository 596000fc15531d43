"""What the parent tells the log of its peers and of refusals: once, however many processes read, and of one thing at most once a minute.

    first message of a peer   since the start of the daemon, with the address that sent it
    peer gone silent          after log.silent_after_seconds without a message; and one line when it speaks again
    refused: ...              how many by reason and peer, with one example; what goes on is told again after 1 minute, 2, 4, up to 60

A peer is an entry of the configuration. One that has never sent is not missed here: `syslogauth doctor` knows which. While the receivers
are not at work themselves, nobody is silent. An example's text is left out unless log.users is set, for it may name a user.

No I/O and no clock: the times that are passed in are monotonic seconds, but for those of messages, which are Unix seconds.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from syslogauth.core.refusals import MOST_PEERS, OTHERS, Example, told

MINUTE_SECONDS, HOUR_SECONDS = 60.0, 3600.0

REFUSED: dict[str, tuple[str, str]] = {  # reason -> event, how to mend it
    "unlisted_peer": ("sender not in listen.peers", 'if it is one of your mail servers, add "{sender}" to listen.peers'),
    "source_port": ("not sent from port 514", "where its syslogd sends from another port: listen.require_source_port_514 = false"),
    "unlisted_facility": ("facility not in listen.facilities", 'where logins come by it, add "{facility}" to listen.facilities'),
    "no_priority": ("message without a <PRI>", 'where its syslogd is socklog: listen.accept_without_pri = ["{sender}"]'),
    "malformed": ("no syslog message", ""),
    "oversize": ("message too long", ""),
    "control_bytes": ("control bytes in a message", ""),
    "ambiguous": ("login that can be read in two ways", ""),
    "bad_address": ("login without an address that can be granted", ""),
    "unescaped_source": (
        "logins of a server that does not escape line feeds",
        'where its syslogd escapes line feeds, say so: [[listen.source]] {listed_in} = ["{sender}"], escapes = true',
    ),
    "untrusted_proxy": ("logins behind a proxy that is not trusted", 'if it is one of yours, add "{via}" to policy.trusted_proxies'),
    "unrecognised": ("looks like a login, and no format knows it", "syslogauth match --missed FILE shows such lines of a log"),
}


class Tiding(NamedTuple):
    """A line of the log."""

    level: str
    event: str
    fields: dict[str, Any]


@dataclass(slots=True)
class _Peer:
    last_message: float  # as it was when it last changed
    changed_at: float
    silent: bool = False


@dataclass(slots=True)
class _Refused:
    messages: int
    example: Example
    due: float  # not told before
    pause_seconds: float = MINUTE_SECONDS  # until it is told again


class Refused:
    """The refusals of all processes."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Refused] = {}

    def add(self, rows: Iterable[tuple[str, str, int, Example]], now: float) -> None:
        for reason, peer, messages, example in rows:
            row = self._rows.get((reason, peer)) or self._rows.get((reason, OTHERS))
            if row is None:
                crowded = sum(of == reason for of, _ in self._rows) >= MOST_PEERS
                row = self._rows[reason, OTHERS if crowded else peer] = _Refused(0, example, now)
            if not row.messages:
                row.example = example
            row.messages += messages

    def due(self, now: float, *, users: bool) -> Iterator[Tiding]:
        """What is to be told now; what did not go on is forgotten."""
        for (reason, peer), row in list(self._rows.items()):
            if now < row.due:
                continue
            if not row.messages:
                del self._rows[reason, peer]
                continue
            yield _refused(reason, peer, row, users)
            row.messages, row.due = 0, now + row.pause_seconds
            row.pause_seconds = min(2 * row.pause_seconds, HOUR_SECONDS)


class Tidings:
    """All of them, as lines of the log."""

    def __init__(self) -> None:
        self._refused = Refused()
        self._peers = Peers()
        self._first: list[Tiding] = []

    def hear(self, message: Mapping[str, Any], now: float) -> None:
        """Take in what a child says of its peers: see control.py."""
        self._first += self._peers.first(message["first_senders"], now)
        self._refused.add(told(message["refused"]), now)

    def keep(self, configured: Collection[str]) -> None:
        """Forget who is no peer any more, after a reload."""
        self._peers.keep(configured)

    def due(
        self, last_message: Mapping[str, float], now: float, *, silent_after_seconds: float, users: bool, at_work: bool
    ) -> Iterator[Tiding]:
        """What is to be told now. `at_work`: the receivers read; `users`: examples are given with their text."""
        first, self._first = self._first, []
        yield from first
        yield from self._peers.due(last_message, now, silent_after_seconds, at_work=at_work)
        yield from self._refused.due(now, users=users)


class Peers:
    """Who has spoken, and who does no longer."""

    def __init__(self) -> None:
        self._known: dict[str, _Peer] = {}

    def first(self, senders: Mapping[str, str], now: float) -> Iterator[Tiding]:
        """Of these peers a process has its first message; each with its sender."""
        for peer, sender in senders.items():
            if peer not in self._known:
                self._known[peer] = _Peer(0.0, now)
                yield Tiding("info", "first message of a peer", {"peer": peer, "sender": sender})

    def keep(self, configured: Collection[str]) -> None:
        self._known = {peer: of for peer, of in self._known.items() if peer in configured}

    def due(self, last_message: Mapping[str, float], now: float, silent_after_seconds: float, *, at_work: bool) -> Iterator[Tiding]:
        """Who has fallen silent or speaks again, by the time of each peer's last message. 0 s: nobody ever falls silent."""
        for peer, known in self._known.items():
            at, quiet_seconds = last_message.get(peer, 0.0), now - known.changed_at
            if at != known.last_message:
                if known.silent:
                    yield Tiding("info", "peer speaks again", {"peer": peer, "silent_seconds": round(quiet_seconds)})
                known.last_message, known.changed_at, known.silent = at, now, False
            elif known.silent:
                continue
            elif not at_work:
                known.changed_at = now
            elif 0 < silent_after_seconds <= quiet_seconds:
                known.silent = True
                spoke = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
                yield Tiding("warning", "peer gone silent", {"peer": peer, "last_message": spoke, "silent_seconds": round(quiet_seconds)})


def _refused(reason: str, peer: str, row: _Refused, users: bool) -> Tiding:
    words, mend = REFUSED[reason]
    example = row.example._asdict()
    fields = {"reason": reason, "peer": peer, "messages": row.messages, "sender": example["sender"], "bytes": example["size"]}
    fields |= {name: example[name] for name in ("facility", "app_name", "via") if example[name]}
    fields |= {"example": example["text"]} if users else {}
    return Tiding("warning", f"refused: {words}", fields | ({"mend": mend.format_map(example)} if mend else {}))
