"""The image of a Berkeley DB 1.85 hash file, version 2: what the C library of FreeBSD, OpenBSD and NetBSD reads, and sendmail there.

The image is pages of 4096 bytes (hash.h and page.h of 4.4BSD's libc/db/hash):

  page 0, header     always big-endian, u32 each: magic 0x061561 | version 2 | lorder 1234 or 4321, the byte order of all other pages |
                     bsize | bshift | dsize | ssize | sshift | ovfl_point | last_freed | max_bucket | high_mask | low_mask | ffactor |
                     nkeys | hdrpages | hash of the check key | spares[32]; then u16 bitmaps[32]
  page b + 1         bucket b, of N = 2**L
  page N + 1         bitmap of the overflow pages in use, itself the first of them; then the others
                     an overflow address is L << 11 | n, with n from 1: page N + n

A bucket or overflow page is u16: how many numbers follow, then (offset of key, offset of value) by turns, free bytes, lowest offset used.
Texts fill the page from its end. The last pair of a page with a successor is (overflow address, 0).

n has 11 bits, so there are at most 2046 overflow pages for data; a table that wants more gets more buckets.
Every value is `OK`, without a NUL. Every page is written; the same keys and the same number of buckets give the same bytes.
The readers take what the library itself wrote too; they raise ValueError on a damaged image.
"""

import struct
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from syslogauth.exports import image
from syslogauth.exports.image import PAGE_BYTES, VALUE, Layout

MAGIC = 0x061561
VERSION = 2
LITTLE, BIG = 1234, 4321
ORDERS = {LITTLE: "<", BIG: ">"}
CHECK_KEY_HASH = 0x956E7DE3  # of "%$sniglet^&\0": which hash function the file uses
SEGMENT_ENTRIES = 256  # dsize and ssize, which the library wants to see and recomputes
MOST_OVERFLOW_PAGES = 2046
SPLIT_SHIFT, OVERFLOW_MASK = 11, 0x7FF
SUCCESSOR, FIRST_PLAIN_OFFSET = 0, 4  # the second number of a pair: OVFLPAGE, REAL_KEY

HEADER = ">17I 32I 32H"
HEADER_BYTES = struct.calcsize(HEADER)
ENTRY_OVERHEAD_BYTES = len(VALUE) + 4
SUCCESSOR_BYTES = 4
ROOM_BYTES = PAGE_BYTES - 6 - SUCCESSOR_BYTES  # count, free, lowest; the library keeps room for a successor in every page


def render(keys: Collection[bytes], buckets: int = 0) -> bytes:
    """The image of a map that holds `keys`. `buckets`: bucket_count() of the image before it, 0 for none. ValueError as Image."""
    return image.render(LAYOUT, keys, buckets)


def read(image: bytes) -> frozenset[bytes]:
    """Every key of the image. ValueError on a damaged one."""
    return frozenset(key for key, _ in pairs(image))


def pairs(image: bytes) -> list[tuple[bytes, bytes]]:
    """Every key and its value. ValueError on a damaged image."""
    header = _header(image)
    # The library writes no page for the last buckets while they are empty.
    found = [pair for bucket in range(min(header.max_bucket + 1, header.pages)) for pair in _chain(image, header, bucket)]
    if len(found) != header.keys:
        raise ValueError(f"damaged map: it says that it holds {header.keys} keys, but {len(found)} are there")
    return found


def get(image: bytes, key: bytes) -> bytes | None:
    """The value that the library would find, by its own way: bucket by hash, then along the chain."""
    header = _header(image)
    bucket = _hash(key) & header.high_mask
    if bucket > header.max_bucket:
        bucket &= header.low_mask
    return next((value for found, value in _chain(image, header, bucket) if found == key), None)


def bucket_count(image: bytes) -> int:
    """Number of buckets, for the render() of the next image."""
    return _header(image).max_bucket + 1


def _hash(key: bytes) -> int:
    """hash4 of the library: 33 * hash + byte, 32 bits."""
    hashed = 0
    for byte in key:
        hashed = (hashed * 33 + byte) & 0xFFFFFFFF
    return hashed


def _bucket(key: bytes, mask: int) -> int:
    """The low bits of _hash()."""
    bucket = 0
    for byte in key:
        bucket = (bucket * 33 + byte) & mask
    return bucket


def _chain_pages(count: int, bucket: int, parts: Sequence[Sequence[bytes]], overflow_before: int) -> list[bytes]:
    """Its overflow pages have the addresses from 2 on: the bitmap page is number 1."""
    level = count.bit_length() - 1
    successors = [level << SPLIT_SHIFT | 2 + overflow_before + number for number in range(len(parts) - 1)]
    return [_page(part, *successors[number : number + 1]) for number, part in enumerate(parts)]


def _page(keys: Sequence[bytes], successor: int | None = None) -> bytes:
    numbers = []
    lowest = PAGE_BYTES
    for key in reversed(keys):
        lowest -= len(key)
        numbers.append(lowest)
        lowest -= len(VALUE)
        numbers.append(lowest)
    if successor is not None:
        numbers += (successor, SUCCESSOR)
    free = lowest - 2 * len(numbers) - 6
    head = struct.pack(f"={len(numbers) + 3}H", len(numbers), *numbers, free, lowest)
    return head.ljust(lowest, b"\0") + (VALUE + VALUE.join(keys) if keys else b"")


def _keys(page: bytes) -> list[bytes]:
    """The keys of a page that _page() made, as they were given to it."""
    (count,) = struct.unpack_from("=H", page)
    (lowest,) = struct.unpack_from("=H", page, 2 * count + 4)
    return page[lowest:].split(VALUE)[1:]


def _header_page(count: int, keys: int, overflow_pages: int) -> bytes:
    level = count.bit_length() - 1
    spares, bitmaps = [0] * 32, [0] * 32
    spares[level] = spares[level + 1] = overflow_pages + 1
    bitmaps[0] = level << SPLIT_SHIFT | 1
    lorder = LITTLE if sys.byteorder == "little" else BIG
    per_bucket = ROOM_BYTES // (ENTRY_OVERHEAD_BYTES + 16)
    numbers = (
        MAGIC,
        VERSION,
        lorder,
        PAGE_BYTES,
        PAGE_BYTES.bit_length() - 1,
        SEGMENT_ENTRIES,
        SEGMENT_ENTRIES,
        8,
        level,
        overflow_pages + 1,
    )
    sizes = (count - 1, 2 * count - 1, count - 1, per_bucket, keys, 1, CHECK_KEY_HASH)
    return struct.pack(HEADER, *numbers, *sizes, *spares, *bitmaps).ljust(PAGE_BYTES, b"\0")


LAYOUT = Layout(
    room_bytes=ROOM_BYTES,
    entry_overhead_bytes=ENTRY_OVERHEAD_BYTES,
    most_overflow_pages=MOST_OVERFLOW_PAGES,
    behind_buckets=b"\xff" * PAGE_BYTES,  # the bitmap: none of the overflow pages is free
    sort_key=None,
    bucket=_bucket,
    keys=_keys,
    chain=_chain_pages,
    head=_header_page,
)


@dataclass(frozen=True, slots=True)
class _Header:
    order: str
    page_bytes: int
    pages: int
    max_bucket: int
    high_mask: int
    low_mask: int
    keys: int
    header_pages: int
    spares: tuple[int, ...]

    def bucket_page(self, bucket: int) -> int:
        """The page of a bucket."""
        return bucket + self.header_pages + (self.spares[bucket.bit_length() - 1] if bucket else 0)

    def overflow_page(self, address: int) -> int:
        """The page of an overflow address."""
        return self.bucket_page((1 << (address >> SPLIT_SHIFT)) - 1) + (address & OVERFLOW_MASK)


def _header(image: bytes) -> _Header:
    if len(image) < HEADER_BYTES:
        raise ValueError(f"damaged map: {len(image)} bytes are no hash image")
    numbers = struct.unpack_from(HEADER, image)
    magic, version, lorder, page_bytes = numbers[:4]
    max_bucket, high_mask, low_mask, _, keys, header_pages, check = numbers[10:17]
    if magic != MAGIC or version != VERSION or check != CHECK_KEY_HASH:
        raise ValueError(f"not a Berkeley DB 1.85 hash image: magic number {magic:#x}, version {version}")
    if lorder not in ORDERS or page_bytes.bit_count() != 1 or not 64 <= page_bytes <= 32768 or len(image) % page_bytes:
        raise ValueError(f"damaged map: byte order {lorder}, {len(image)} bytes in pages of {page_bytes}")
    pages = len(image) // page_bytes
    if not low_mask <= max_bucket <= high_mask or not header_pages:
        raise ValueError(f"damaged map: {max_bucket + 1} buckets under the masks {low_mask:#x} and {high_mask:#x}")
    return _Header(ORDERS[lorder], page_bytes, pages, max_bucket, high_mask, low_mask, keys, header_pages, numbers[17:49])


def _chain(image: bytes, header: _Header, bucket: int) -> Iterator[tuple[bytes, bytes]]:
    number: int | None = header.bucket_page(bucket)
    if number is not None and number >= header.pages:
        return
    seen = set()
    while number is not None:
        if number >= header.pages or number in seen:
            raise ValueError(f"damaged map: the chain of bucket {bucket} leads to page {number}")
        seen.add(number)
        entries, successor = _parse(image[number * header.page_bytes : (number + 1) * header.page_bytes], number, header.order)
        yield from entries
        number = None if successor is None else header.overflow_page(successor)


def _parse(page: bytes, number: int, order: str) -> tuple[list[tuple[bytes, bytes]], int | None]:
    (count,) = struct.unpack_from(order + "H", page)
    if count % 2 or 2 * count + 6 > len(page):
        raise ValueError(f"damaged map: page {number} has {count} numbers")
    numbers = struct.unpack_from(f"{order}{count}H", page, 2)
    entries: list[tuple[bytes, bytes]] = []
    end = len(page)
    for key_at, value_at in zip(numbers[::2], numbers[1::2], strict=True):
        if value_at == SUCCESSOR:
            return entries, key_at
        if not max(FIRST_PLAIN_OFFSET, 2 * count + 6) <= value_at <= key_at <= end:
            raise ValueError(f"damaged map: an item of page {number} lies at {key_at} and {value_at}")
        entries.append((page[key_at:end], page[value_at:key_at]))
        end = value_at
    return entries, None
