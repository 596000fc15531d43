"""A set of packed addresses that takes little more than their bytes: a million of IPv4 in 6 MB, where a set of objects takes 80.

They lie in SHARDS strings of bytes, by their hash, which Python keys anew in each process: nobody can choose addresses that share one. To
find one is a search through some hundred bytes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, MutableSet

SHARDS = 4096
WIDTHS = 32  # more than an address has bytes: a shard holds addresses of one length


class Addresses(MutableSet[bytes]):
    """As a set; iterating over it while it changes gives some state or other of each shard, never an error."""

    __slots__ = ("_count", "_shards")

    def __init__(self, addresses: Iterable[bytes] = ()) -> None:
        self._count = 0
        self._shards: defaultdict[int, bytearray] = defaultdict(bytearray)
        for address in addresses:
            self.add(address)

    def __contains__(self, address: object) -> bool:
        return isinstance(address, bytes) and _find(self._shards.get(_shard(address), b""), address) >= 0

    def __iter__(self) -> Iterator[bytes]:
        for number in list(self._shards):
            width, shard = number % WIDTHS, bytes(self._shards[number])
            for at in range(0, len(shard), width):
                yield shard[at : at + width]

    def __len__(self) -> int:
        return self._count

    def add(self, address: bytes) -> None:
        shard = self._shards[_shard(address)]
        if _find(shard, address) < 0:
            shard += address
            self._count += 1

    def discard(self, address: bytes) -> None:
        shard = self._shards.get(_shard(address))
        if shard is None or (at := _find(shard, address)) < 0:
            return
        shard[at : at + len(address)] = shard[-len(address) :]  # the last one takes its place
        del shard[-len(address) :]
        self._count -= 1


def _shard(address: bytes) -> int:
    return hash(address) % SHARDS * WIDTHS + len(address)


def _find(shard: bytes | bytearray, address: bytes) -> int:
    """Where it begins; -1 where it is not. What is found across two addresses is not one."""
    at = shard.find(address)
    while at > 0 and at % len(address):
        at = shard.find(address, at + 1)
    return at
