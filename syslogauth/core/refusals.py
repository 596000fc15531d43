"""Refusals that somebody may have to mend, summed up by reason and peer with one example each, for the log.

Told are: who may not send, what is no syslog, what would be a login if it came otherwise, and lines that look like logins and are none that
is known. What the policy refuses by the administrator's own word, and what is no login, is ordinary: it is counted in the metrics alone.

Bounded: MOST_PEERS of a reason have a row each, the others share one, and an example is cut. A client wrote the text of an example, so that
it holds printable ASCII alone; it may name a user.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from syslogauth.core.login import Refusal
from syslogauth.core.message import Message

UNRECOGNISED = "unrecognised"  # beside the reasons of Refusal: what Recogniser.overlooks() says of a NOT_LOGIN
TOLD = frozenset(
    (
        *(Refusal.UNLISTED_PEER, Refusal.SOURCE_PORT, Refusal.UNLISTED_FACILITY, Refusal.NO_PRIORITY, Refusal.MALFORMED),
        *(Refusal.OVERSIZE, Refusal.CONTROL_BYTES, Refusal.AMBIGUOUS, Refusal.BAD_ADDRESS, Refusal.UNESCAPED_SOURCE),
        Refusal.UNTRUSTED_PROXY,
    )
)
OTHERS = "others"
MOST_PEERS = 16
MOST_TEXT_BYTES = 200
ESCAPES = {byte: f"\\x{byte:02x}" for byte in (*range(32), *range(127, 256))} | {ord("\\"): "\\\\"}


class Example(NamedTuple):
    """One datagram that was refused. Empty where it said nothing of it, or could not be read."""

    sender: str  # as Peer.sender has it
    size: int
    facility: str = ""
    app_name: str = ""
    text: str = ""  # the datagram, as escaped() makes it
    listed_in: str = ""  # the key of [[listen.source]] that could speak of the sender
    via: str = ""  # the proxy that a login came by


@dataclass(slots=True)
class Summary:
    count: int
    example: Example


@dataclass(slots=True)
class Refusals:
    """What has been refused since it was last taken. The keys: reason and peer, `others` where there are too many."""

    rows: dict[tuple[str, str], Summary] = field(default_factory=dict)

    def more(self, reason: str, peer: str, count: int = 1) -> bool:
        """Count so many in the row of this peer, or that of the others. False where there is none yet: begin() it."""
        row = self.rows.get((reason, peer)) or self.rows.get((reason, OTHERS))
        if row is None:
            return False
        row.count += count
        return True

    def begin(self, reason: str, peer: str, example: Example, count: int = 1) -> None:
        crowded = sum(of == reason for of, _ in self.rows) >= MOST_PEERS
        self.rows[reason, OTHERS if crowded else peer] = Summary(count, example)

    def take(self) -> list[tuple[str, str, int, Example]]:
        """The rows, as told() reads them on the other side of JSON. Begins anew."""
        rows, self.rows = self.rows, {}
        return [(reason, peer, row.count, row.example) for (reason, peer), row in rows.items()]


def told(rows: Iterable[Any]) -> Iterator[tuple[str, str, int, Example]]:
    """take() of another process."""
    return ((reason, peer, count, Example(*example)) for reason, peer, count, example in rows)


def example_of(datagram: bytes, sender: str, message: Message | None = None, listed_in: str = "", via: str = "") -> Example:
    facility, app_name = (message.facility or "", escaped(message.app_name)) if message else ("", "")
    return Example(sender, len(datagram), facility, app_name, escaped(datagram), listed_in, via)


def escaped(text: bytes) -> str:
    """The beginning of a client's text as printable ASCII: any other byte as `\\x1b`, a backslash doubled."""
    return text[:MOST_TEXT_BYTES].decode("latin-1").translate(ESCAPES) + ("..." if len(text) > MOST_TEXT_BYTES else "")
