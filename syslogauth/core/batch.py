"""Datagrams as a listener hands them over: many in one buffer, for one look at all of them.

The gate reads a datagram where it lies, so that no object is ever made of noise; `datagram()` copies out the few that must be read again.
A batch is valid until its listener reads the next one into the same buffer.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, compress, repeat
from operator import add

from syslogauth.core.message import MAX_DATAGRAM_BYTES
from syslogauth.core.peers import Peer

Source = tuple[str, int]  # what recvfrom() gives: host and port; IPv6 adds flow and scope, which are not read


@dataclass(frozen=True, slots=True)
class Batch:
    """`senders` has a key for each datagram, the same for the same host and port; `source` says who that is, and is asked once a key."""

    buffer: bytes | bytearray
    starts: Sequence[int]  # may be longer than the others
    lengths: Sequence[int]
    senders: Sequence[Hashable]
    source: Callable[[int], Source | Peer]  # by the datagram's number; a Peer where whoever read it knows already who may send

    @classmethod
    def of(cls, datagrams: Iterable[tuple[bytes, Source]]) -> "Batch":
        """A batch of what recvfrom() gave, in that order."""
        pairs = list(datagrams)
        lengths = [len(datagram) for datagram, _ in pairs]
        sources = [source[:2] for _, source in pairs]
        starts = list(accumulate(lengths, initial=0))
        return cls(b"".join(datagram for datagram, _ in pairs), starts, lengths, sources, sources.__getitem__)

    @classmethod
    def of_lines(cls, block: bytes) -> "Batch":
        """A batch of the lines of a log file, without their line feeds. Nobody sent them."""
        lengths = list(map(len, block.removesuffix(b"\n").split(b"\n")))
        starts = list(accumulate(map(add, lengths, repeat(1)), initial=0))
        return cls(block, starts, lengths, (), lambda number: ("", 0))

    @classmethod
    def of_peer(cls, messages: Sequence[bytes], key: str, peer: Peer) -> "Batch":
        """A batch of what came from one peer that is known. `key` is the peer's, and nobody else's."""
        lengths = list(map(len, messages))
        starts = list(accumulate(lengths, initial=0))
        return cls(b"".join(messages), starts, lengths, [key] * len(messages), lambda number: peer)

    def __len__(self) -> int:
        return len(self.lengths)

    def datagram(self, number: int) -> bytes:
        start = self.starts[number]
        return bytes(self.buffer[start : start + self.lengths[number]])

    def suspects(self, gate: Callable[..., object]) -> list[int]:
        """The numbers of the datagrams that must be read. What is too long is no noise either, whatever it is."""
        ends = map(add, self.starts, self.lengths)
        suspects = list(compress(range(len(self)), map(gate, repeat(self.buffer), self.starts, ends)))
        if max(self.lengths, default=0) > MAX_DATAGRAM_BYTES:
            suspects = sorted({*suspects, *(number for number, length in enumerate(self.lengths) if length > MAX_DATAGRAM_BYTES)})
        return suspects

    def found(self, pattern: re.Pattern[bytes], number: int) -> re.Match[bytes] | None:
        """The whole datagram as the pattern has it, matched where it lies."""
        start = self.starts[number]
        return pattern.fullmatch(self.buffer, start, start + self.lengths[number])

    def of_these(self, numbers: Sequence[int]) -> "Batch":
        """Only the datagrams with these numbers."""
        return Batch(
            self.buffer,
            [self.starts[number] for number in numbers],
            [self.lengths[number] for number in numbers],
            [self.senders[number] for number in numbers],
            lambda number: self.source(numbers[number]),
        )
