"""When which address is to be looked at again: a queue by time, for millions that wait and thousands that are due.

What is due in the second that has begun is a heap. The later ones wait by second, unsorted, as bytes: u16 milliseconds, u8 length, address;
that is 7 bytes for an IPv4 address, where an entry of a heap takes 150.
"""

import heapq
import struct

HEAD = struct.Struct("=HB")


class Agenda:
    """Times are Unix milliseconds. An address may wait several times."""

    __slots__ = ("_begun", "_count", "_later", "_seconds", "_soon")

    def __init__(self) -> None:
        self._soon: list[tuple[int, bytes]] = []
        self._begun = -1  # the last second that lies in the heap
        self._later: dict[int, bytearray] = {}
        self._seconds: list[int] = []  # a heap of the keys of `_later`
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, at_ms: int, address: bytes) -> None:
        self._count += 1
        second = at_ms // 1000
        waiting = self._later.get(second)
        if waiting is None:
            if second <= self._begun:
                heapq.heappush(self._soon, (at_ms, address))
                return
            waiting = self._later[second] = bytearray()
            heapq.heappush(self._seconds, second)
        waiting += HEAD.pack(at_ms % 1000, len(address)) + address

    def next_ms(self) -> int | None:
        """When the first is due; None where nobody waits."""
        while not self._soon and self._seconds:
            self._begin()
        return self._soon[0][0] if self._soon else None

    def pop(self, now_ms: int, most: int) -> list[tuple[int, bytes]]:
        """Those that are due by then, with their times, the earliest first; not more than that many."""
        due: list[tuple[int, bytes]] = []
        while len(due) < most and (first := self.next_ms()) is not None and first <= now_ms:
            due.append(heapq.heappop(self._soon))
        self._count -= len(due)
        return due

    def _begin(self) -> None:
        """Move the first second into the heap."""
        self._begun = heapq.heappop(self._seconds)
        waiting, at = self._later.pop(self._begun), 0
        while at < len(waiting):
            milliseconds, length = HEAD.unpack_from(waiting, at)
            at += HEAD.size + length
            self._soon.append((1000 * self._begun + milliseconds, bytes(waiting[at - length : at])))
        heapq.heapify(self._soon)
