"""The image of a Berkeley DB hash file, version 9: what libdb 4.6 to 5.3 reads, and so every Linux sendmail with NEWDB=5.3.

The image is pages of 4096 bytes, all numbers in the host's byte order (db_page.h of libdb 5.3):

  page 0, metadata   8 pgno | 12 magic 0x061561 | 16 version | 20 page size | 25 page type 8 | 32 last pgno | 52 file id, 20 bytes |
                     72 max_bucket | 76 high_mask | 80 low_mask | 84 ffactor | 88 nelem | 92 hash of the check key | 96 spares[32]
  page b + 1         bucket b, of a power of two; then the pages of chains that overflow
                     8 pgno | 12 previous | 16 next | 20 u16 items | 22 u16 lowest offset used | 25 page type 13 | 26 u16 offsets of items
                     items, filled from the page's end downwards, key and value by turns: a byte 1, then the text

libdb finds a key in its bucket by binary search in each page of the chain, so a page must be sorted as libdb compares: byte by byte,
and where one key is the beginning of another, the *longer first* (hash_page.c). In plain byte order a few keys in 10^5 are never found,
while db5.3_verify still says that all is well.

Every value is `OK`, without a NUL. Every page is written; the same keys and the same number of buckets give the same bytes.
The readers take what libdb itself wrote too, in either byte order, and raise ValueError on anything that libdb would stumble over.
"""

import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from syslogauth.exports import image
from syslogauth.exports.image import PAGE_BYTES, VALUE, Layout

MAGIC = 0x061561
VERSION = 9
READABLE_VERSIONS = (7, 8, 9)
METADATA_TYPE, PAGE_TYPE, UNSORTED_PAGE_TYPE = 8, 13, 2
PLAIN_ITEM = 1
CHECK_KEY_HASH = 0x5E688DD1  # __ham_func5 of "%$sniglet^&\0": which hash function the file uses
FILE_ID = b"syslogauth hash v9\0\0"  # libdb tells files apart by it within one shared environment; sendmail's are private
BETWEEN_KEYS = bytes([PLAIN_ITEM]) + VALUE + bytes([PLAIN_ITEM])  # upwards: the value of one, the key of the one before
METADATA = "8x 4I 2B 6x I 16x 20s 6I 32I"
PAGE_HEADER = "8x 3I 2H x B"
METADATA_BYTES = 512
LARGEST_PAGE_BYTES = 32768  # offsets in a page have 16 bits
HEADER_BYTES = struct.calcsize("=" + PAGE_HEADER)
LOWEST_AT = 22
MOST_OVERFLOW_PAGES = 1 << 31  # page numbers have 32 bits
ROOM_BYTES = PAGE_BYTES - HEADER_BYTES
ENTRY_OVERHEAD_BYTES = len(BETWEEN_KEYS) + 4  # and two offsets

# From the end of a page downwards libdb wants ascending order, and the longer first: upwards it is ascending order of the inverted bytes.
INVERTED = bytes(range(255, -1, -1))


def render(keys: Collection[bytes], buckets: int = 0) -> bytes:
    """The image of a map that holds `keys`. `buckets`: bucket_count() of the image before it, 0 for none. ValueError as Image."""
    return image.render(LAYOUT, keys, buckets)


def read(image: bytes) -> frozenset[bytes]:
    """Every key of the image. ValueError on a damaged one."""
    return frozenset(key for key, _ in pairs(image))


def pairs(image: bytes) -> list[tuple[bytes, bytes]]:
    """Every key and its value. ValueError on a damaged image."""
    header = _header(image)
    pages = [page for bucket in range(header.max_bucket + 1) for page in _chain(image, header, bucket)]
    return [pair for page in pages for pair in zip(page.items[::2], page.items[1::2], strict=True)]


def get(image: bytes, key: bytes) -> bytes | None:
    """The value that libdb would find, by its own way: bucket by hash, then a binary search in each page of the chain."""
    header = _header(image)
    hashed = _hash(key)
    bucket = hashed & header.high_mask
    if bucket > header.max_bucket:
        bucket &= header.low_mask
    for page in _chain(image, header, bucket):
        if (value := page.find(key)) is not None:
            return value
    return None


def bucket_count(image: bytes) -> int:
    """Number of buckets, for the render() of the next image."""
    return _header(image).max_bucket + 1


def _hash(key: bytes) -> int:
    """FNV-1 with a basis of 0, __ham_func5 of libdb."""
    hashed = 0
    for byte in key:
        hashed = (hashed * 16777619 & 0xFFFFFFFF) ^ byte
    return hashed


def _bucket(key: bytes, mask: int) -> int:
    """The low bits of _hash(). There are 24 of them at most, and modulo 2**24 the FNV prime is 403."""
    bucket = 0
    for byte in key:
        bucket = (bucket * 403 ^ byte) & mask
    return bucket


def _chain_pages(count: int, bucket: int, parts: Sequence[Sequence[bytes]], overflow_before: int) -> list[bytes]:
    first = count + 1 + overflow_before
    numbers = [0, bucket + 1, *range(first, first + len(parts) - 1), 0]
    links = zip(numbers, numbers[1:], numbers[2:], strict=False)
    return [_page(previous, number, following, part) for (previous, number, following), part in zip(links, parts, strict=True)]


def _page(previous: int, number: int, following: int, keys: Sequence[bytes]) -> bytes:
    offsets = []
    lowest = PAGE_BYTES
    for key in reversed(keys):
        lowest -= len(key) + 1
        offsets.append(lowest)
        lowest -= 1 + len(VALUE)
        offsets.append(lowest)
    head = struct.pack(f"={PAGE_HEADER}{len(offsets)}H", number, previous, following, len(offsets), lowest, PAGE_TYPE, *offsets)
    items = BETWEEN_KEYS + BETWEEN_KEYS.join(keys) if keys else b""
    return head.ljust(lowest, b"\0") + items


def _keys(page: bytes) -> list[bytes]:
    """The keys of a page that _page() made, as they were given to it."""
    (lowest,) = struct.unpack_from("=H", page, LOWEST_AT)
    return page[lowest:].split(BETWEEN_KEYS)[1:]


def _metadata(count: int, keys: int, overflow_pages: int) -> bytes:
    # Bucket b lies on page b + spares[bits of b]; the rest of spares belongs to buckets that are not there yet.
    spares = [1 if bits < count.bit_length() else 0 for bits in range(32)]
    per_bucket = ROOM_BYTES // (ENTRY_OVERHEAD_BYTES + 16)
    sizes = (count - 1, count - 1, count // 2 - 1, per_bucket, keys, CHECK_KEY_HASH)
    head = struct.pack("=" + METADATA, 0, MAGIC, VERSION, PAGE_BYTES, 0, METADATA_TYPE, count + overflow_pages, FILE_ID, *sizes, *spares)
    return head.ljust(PAGE_BYTES, b"\0")


LAYOUT = Layout(
    room_bytes=ROOM_BYTES,
    entry_overhead_bytes=ENTRY_OVERHEAD_BYTES,
    most_overflow_pages=MOST_OVERFLOW_PAGES,
    behind_buckets=b"",
    sort_key=lambda key: key.translate(INVERTED),
    bucket=_bucket,
    keys=_keys,
    chain=_chain_pages,
    head=_metadata,
)


@dataclass(frozen=True, slots=True)
class _Header:
    order: str
    page_bytes: int
    last_page: int
    max_bucket: int
    high_mask: int
    low_mask: int
    spares: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Page:
    following: int
    items: tuple[bytes, ...]
    is_sorted: bool

    def find(self, key: bytes) -> bytes | None:
        """The value of the key, if this page has it where libdb looks."""
        items = self.items
        if not self.is_sorted:
            return next((items[at + 1] for at in range(0, len(items), 2) if items[at] == key), None)
        sought = key.translate(INVERTED)
        base, left = 0, len(items) // 2
        while left:
            at = base + left // 2
            here = items[2 * at]
            if here == key:
                return items[2 * at + 1]
            if sought < here.translate(INVERTED):
                base = at + 1
                left -= 1
            left //= 2
        return None


def _header(image: bytes) -> _Header:
    if len(image) < METADATA_BYTES:
        raise ValueError(f"damaged map: {len(image)} bytes are no hash image")
    order = next((order for order in "<>" if struct.unpack_from(order + "I", image, 12)[0] == MAGIC), None)
    if order is None:
        raise ValueError("not a Berkeley DB hash image: wrong magic number")
    _, _, version, page_bytes, encryption, kind, last_page, _, max_bucket, high_mask, low_mask, _, _, check, *spares = struct.unpack_from(
        order + METADATA, image
    )
    if version not in READABLE_VERSIONS or kind != METADATA_TYPE or encryption or check != CHECK_KEY_HASH:
        raise ValueError(f"a Berkeley DB hash of version {version}, page type {kind}: not of the kind that is read here")
    if page_bytes.bit_count() != 1 or not METADATA_BYTES <= page_bytes <= LARGEST_PAGE_BYTES:
        raise ValueError(f"damaged map: pages of {page_bytes} bytes")
    if len(image) != (last_page + 1) * page_bytes:
        raise ValueError(f"damaged map: {len(image)} bytes, but its last page of {page_bytes} bytes is number {last_page}")
    if not low_mask <= max_bucket <= high_mask or max_bucket >= last_page:
        raise ValueError(f"damaged map: {max_bucket + 1} buckets on {last_page + 1} pages")
    return _Header(order, page_bytes, last_page, max_bucket, high_mask, low_mask, tuple(spares))


def _chain(image: bytes, header: _Header, bucket: int) -> Iterator[_Page]:
    number = bucket + header.spares[bucket.bit_length()]
    seen = set()
    while number:
        if number > header.last_page or number in seen:
            raise ValueError(f"damaged map: the chain of bucket {bucket} leads to page {number}")
        seen.add(number)
        page = _parse(image[number * header.page_bytes : (number + 1) * header.page_bytes], number, header.order)
        yield page
        number = page.following


def _parse(page: bytes, number: int, order: str) -> _Page:
    found, _, following, count, lowest, kind = struct.unpack_from(order + PAGE_HEADER, page)
    if kind == 0 and not any(page):
        return _Page(0, (), is_sorted=True)  # libdb reserves pages for buckets to come
    if found != number or kind not in (PAGE_TYPE, UNSORTED_PAGE_TYPE) or count % 2 or HEADER_BYTES + 2 * count > min(lowest, len(page)):
        raise ValueError(f"damaged map: page {number} says that it is page {found}, type {kind}, with {count} items from {lowest}")
    items = []
    end = len(page)
    for start in struct.unpack_from(f"{order}{count}H", page, HEADER_BYTES):
        if not lowest <= start < end:
            raise ValueError(f"damaged map: an item of page {number} lies at {start}")
        if page[start] != PLAIN_ITEM:
            raise ValueError(f"damaged map: an item of page {number} is of type {page[start]}")
        items.append(page[start + 1 : end])
        end = start
    return _Page(following, tuple(items), kind == PAGE_TYPE)
