"""The image of a hash map, kept up to date bucket by bucket: what a change costs does not depend on how many keys there are.

The image is the whole state: the keys of a bucket are read back from its page, changed, and laid out anew. Only buckets that overflow keep
their keys beside it, few as they are; where one of them changes, all overflow pages are laid out anew, in the order of the buckets. So the
bytes are always those that the same keys make in one go with the same number of buckets.

    page 0   head: how many buckets, keys, overflow pages      page b + 1   bucket b      then `behind_buckets`, then the overflow pages

No key contains the value, `OK` (keys are in lower case): it parts the keys of a page, and those that wait for their bucket. ValueError on
one that does, on an empty one and on a long one, and where the keys do not fit at all; the image is not to be used any more then.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from syslogauth.exports import buckets as sizing

PAGE_BYTES = 4096
VALUE = b"OK"
LONGEST_KEY_BYTES = 1000  # libdb moves longer ones out of the page
AT_ONCE = 20_000  # keys that are objects of their own at a time while a table is laid out
BREATH_BUCKETS = 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """What tells one format from another. Keys are in the order of `sort_key`, which is that of a page's texts from low to high."""

    room_bytes: int  # of a page, for entries
    entry_overhead_bytes: int  # of an entry, beside its key
    most_overflow_pages: int
    behind_buckets: bytes
    sort_key: Callable[[bytes], bytes] | None
    bucket: Callable[[bytes, int], int]  # of a key, under a mask
    keys: Callable[[bytes], list[bytes]]  # of a page
    chain: Callable[[int, int, Sequence[Sequence[bytes]], int], list[bytes]]  # buckets, bucket, keys by page, overflow pages before
    head: Callable[[int, int, int], bytes]  # buckets, keys, overflow pages


class Image:
    """`content` are the bytes; `changed` the numbers of the pages that are other than when it was last cleared.

    `buckets` and `keys` are how many there are. `breathe` is called again and again while all of it is laid out, which takes 3 s for
    a million keys. The keys that it begins with are distinct.
    """

    def __init__(self, layout: Layout, keys: Iterable[bytes] = (), buckets: int = 0, breathe: Callable[[], object] = lambda: None) -> None:
        self.layout = layout
        self.content = bytearray()
        self.changed: set[int] = set()
        self.buckets = self.keys = self._key_bytes = 0
        self._overflowing: dict[int, list[bytes]] = {}
        self._breathe = breathe
        waiting, given, key_bytes = [], 0, 0
        source = map(_checked, keys)
        while part := list(islice(source, AT_ONCE)):
            waiting.append(VALUE.join(part))
            given, key_bytes = given + len(part), key_bytes + sum(map(len, part))
            breathe()
        count = self._bucket_count(given, key_bytes, buckets)
        self._lay_out(count, self._distributed(waiting, count))

    def update(self, entered: Iterable[bytes], left: Iterable[bytes]) -> None:
        """Keys that are to be in it, and keys that are not; it does not matter which of them already are."""
        touched: dict[int, tuple[list[bytes], list[bytes]]] = {}
        bucket_of, mask = self.layout.bucket, self.buckets - 1
        for which, some in enumerate((entered, left)):
            for key in map(_checked, some):
                touched.setdefault(bucket_of(key, mask), ([], []))[which].append(key)
        relink = False
        for bucket, (come, gone) in touched.items():
            keys = self._keys_of(bucket)
            for key in gone:
                if key in keys:
                    keys.remove(key)
                    self.keys, self._key_bytes = self.keys - 1, self._key_bytes - len(key)
            for key in come:
                if key not in keys:
                    insort(keys, key, key=self.layout.sort_key)
                    self.keys, self._key_bytes = self.keys + 1, self._key_bytes + len(key)
            relink |= self._put(bucket, keys)
        count = self._bucket_count(self.keys, self._key_bytes, self.buckets)
        if count != self.buckets:
            self._lay_out(count, self._redistributed(count))
        else:
            self._finish(relink)

    # one bucket

    def _keys_of(self, bucket: int) -> list[bytes]:
        at = PAGE_BYTES * (1 + bucket)
        return self._overflowing.get(bucket) or self.layout.keys(bytes(self.content[at : at + PAGE_BYTES]))

    def _put(self, bucket: int, keys: list[bytes]) -> bool:
        """True where the overflow pages are to be laid out anew, and the page of this bucket with them."""
        overflowed = self._overflowing.pop(bucket, None) is not None
        if not self._fits(keys):
            self._overflowing[bucket] = keys
            return True
        self._write(1 + bucket, self.layout.chain(self.buckets, bucket, (keys,), 0)[0])
        return overflowed

    def _fits(self, keys: Sequence[bytes]) -> bool:
        """Whether they fit into one page."""
        return sum(map(len, keys)) + len(keys) * self.layout.entry_overhead_bytes <= self.layout.room_bytes

    def _write(self, number: int, page: bytes) -> None:
        at = PAGE_BYTES * number
        if self.content[at : at + PAGE_BYTES] != page:
            self.content[at : at + PAGE_BYTES] = page
            self.changed.add(number)

    # all of it

    def _lay_out(self, count: int, filled: Iterator[tuple[int, list[bytes]]]) -> None:
        """With so many buckets. `filled`: each bucket and its keys in order, which may still be read from the image as it was."""
        content, overflowing = bytearray(PAGE_BYTES * (1 + count)) + self.layout.behind_buckets, {}
        total = key_bytes = 0
        for turn, (bucket, keys) in enumerate(filled):
            total, key_bytes = total + len(keys), key_bytes + sum(map(len, keys))
            if self._fits(keys):
                at = PAGE_BYTES * (1 + bucket)
                content[at : at + PAGE_BYTES] = self.layout.chain(count, bucket, (keys,), 0)[0]
            else:
                overflowing[bucket] = keys
            if turn % BREATH_BUCKETS == 0:
                self._breathe()
        self.content, self.buckets, self._overflowing = content, count, overflowing
        self.keys, self._key_bytes = total, key_bytes
        self._finish(relink=True)
        self.changed = set(range(len(self.content) // PAGE_BYTES))

    def _distributed(self, waiting: list[bytes], count: int) -> Iterator[tuple[int, list[bytes]]]:
        texts = [bytearray() for _ in range(count)]  # not lists of keys: an object of its own takes four times as much as its text
        bucket_of, mask = self.layout.bucket, count - 1
        for number, part in enumerate(waiting):
            waiting[number] = b""
            for key in part.split(VALUE):
                text = texts[bucket_of(key, mask)]
                text += key
                text += VALUE
            self._breathe()
        for bucket in range(count):
            keys, texts[bucket] = bytes(texts[bucket]).split(VALUE)[:-1], bytearray()
            yield bucket, sorted(keys, key=self.layout.sort_key)

    def _redistributed(self, count: int) -> Iterator[tuple[int, list[bytes]]]:
        """Only buckets that agree in the bits which both counts have exchange keys."""
        families = min(count, self.buckets)
        for family in range(families):
            keys = [key for bucket in range(family, self.buckets, families) for key in self._keys_of(bucket)]
            filled: dict[int, list[bytes]] = {bucket: [] for bucket in range(family, count, families)}
            for key in sorted(keys, key=self.layout.sort_key):
                filled[self.layout.bucket(key, count - 1)].append(key)
            yield from filled.items()

    def _finish(self, relink: bool) -> None:
        """The overflow pages, where they are to be laid out anew, and the head."""
        layout = self.layout
        first = 1 + self.buckets + len(layout.behind_buckets) // PAGE_BYTES
        if relink:
            chains = {
                bucket: list(sizing.split(self._overflowing[bucket], layout.entry_overhead_bytes, layout.room_bytes))
                for bucket in sorted(self._overflowing)
            }
            if sum(map(len, chains.values())) - len(chains) > layout.most_overflow_pages:
                if self.buckets == sizing.MOST:
                    raise ValueError(f"{self.keys} keys do not fit into a hash image")
                self._lay_out(2 * self.buckets, self._redistributed(2 * self.buckets))
                return
            self._link(chains, first)
        self._write(0, layout.head(self.buckets, self.keys, len(self.content) // PAGE_BYTES - first))

    def _link(self, chains: dict[int, list[Sequence[bytes]]], first: int) -> None:
        """Lay out every bucket that overflows, its overflow pages from page `first` on."""
        overflow: list[bytes] = []
        for bucket, parts in chains.items():
            page, *others = self.layout.chain(self.buckets, bucket, parts, len(overflow))
            self._write(1 + bucket, page)
            overflow += others
        del self.content[PAGE_BYTES * (first + len(overflow)) :]
        self.changed = {number for number in self.changed if number < first + len(overflow)}
        for number, page in enumerate(overflow, first):
            self._write(number, page)

    def _bucket_count(self, keys: int, key_bytes: int, previous: int) -> int:
        return sizing.bucket_count(key_bytes + keys * self.layout.entry_overhead_bytes, self.layout.room_bytes, previous)


def render(layout: Layout, keys: Iterable[bytes], buckets: int) -> bytes:
    """The image of a map that holds `keys`, in one go. `buckets`: the count of the image before it, 0 where there is none."""
    return bytes(Image(layout, set(keys), buckets).content)


def _checked(key: bytes) -> bytes:
    if not 0 < len(key) <= LONGEST_KEY_BYTES or VALUE in key:
        raise ValueError(f"a key of a hash map has 1 to {LONGEST_KEY_BYTES} bytes, and {VALUE.decode()} is not in it")
    return key
