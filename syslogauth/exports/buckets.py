"""How many buckets a hash image gets, and how a bucket's entries are laid over its pages. Both Berkeley DB formats use it.

The count is a power of two with hysteresis: the count of the previous image stays until the table outgrows 75 % of its pages or falls
under an eighth of them. Images of one count differ in the pages of the changed buckets alone, so little is written to the live map, and
a write that is torn half way spoils the changed entries alone; with another count it would hide about half of all keys.
"""

from collections.abc import Iterator, Sequence

FULLEST = 0.75
EMPTIEST = 1 / 8
FEWEST = 2
MOST = 1 << 24  # the hash functions of the writers compute 24 bits


def bucket_count(stored_bytes: int, page_room_bytes: int, previous: int = 0) -> int:
    """Number of buckets of one page each for entries of that size. `previous`: the count of the image before, 0 where there is none."""
    if FEWEST <= previous <= MOST and previous.bit_count() == 1:
        fill = stored_bytes / (previous * page_room_bytes)
        if fill <= FULLEST and (fill >= EMPTIEST or previous == FEWEST):
            return previous
    count = FEWEST
    while count < MOST and stored_bytes > count * page_room_bytes * FULLEST:
        count *= 2
    return count


def split(keys: Sequence[bytes], entry_overhead_bytes: int, page_room_bytes: int) -> Iterator[Sequence[bytes]]:
    """The keys of one bucket, page by page; one page without keys for an empty bucket."""
    first = used = 0
    for position, key in enumerate(keys):
        size = len(key) + entry_overhead_bytes
        if used + size > page_room_bytes:
            yield keys[first:position]
            first, used = position, 0
        used += size
    yield keys[first:]
