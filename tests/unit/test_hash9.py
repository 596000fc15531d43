import struct
import sys
from itertools import pairwise

import pytest

from syslogauth.exports import hash9
from tests.keys import nested_keys, overwrite, page, pages, random_keys

PAGE = 4096
ONE = hash9.render([b"192.0.2.1"])


def colliding_keys(count: int, bits: int) -> set[bytes]:
    """Keys whose hash ends in that many zero bits, so that all lie in bucket 0."""
    return {key for key in random_keys(count << bits, seed=2) if not hash9._hash(key) & (1 << bits) - 1}


def keys_of(content: bytes) -> list[bytes]:
    """The keys of a page in their order, read by the page's table of offsets."""
    items, _ = struct.unpack_from("=2H", content, 20)
    offsets = [len(content), *struct.unpack_from(f"={items}H", content, 26)]
    return [content[start + 1 : end] for end, start in pairwise(offsets)][::2]


CHAINED_KEYS = colliding_keys(700, 5)
CHAINED = hash9.render(CHAINED_KEYS)
ABSENT = next(key for key in random_keys(100_000, seed=4) if not hash9._hash(key) & 0xFF)  # in bucket 0, at the end of every chain


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(set(), id="no key"),
        pytest.param({b"192.0.2.1"}, id="one key"),
        pytest.param({b"192.0.2.1", b"ipv6:2001:db8:0:0:0:0:0:1", b"pop:192.0.2.1"}, id="one of each kind"),
        pytest.param(nested_keys(), id="keys that begin with other keys"),
        pytest.param(random_keys(20_000), id="many keys"),
        pytest.param(CHAINED_KEYS, id="chains that overflow"),
        pytest.param({b"x" * 1000, b"x" * 999, b"\0", b"\xff", b"\xff\xff"}, id="long and odd keys"),
    ],
)
def test_every_key_is_found_and_no_other(keys: set[bytes]) -> None:
    image = hash9.render(keys)
    assert keys == hash9.read(image)
    assert {b"OK"} >= {hash9.get(image, key) for key in keys}
    assert {None} == {hash9.get(image, key) for key in random_keys(500, seed=3) - keys}


@pytest.mark.parametrize(
    ("offset", "layout", "expected", "what"),
    [
        (8, "=I", 0, "pgno"),
        (12, "=I", 0x061561, "magic"),
        (16, "=I", 9, "version"),
        (20, "=I", 4096, "page size"),
        (24, "=B", 0, "encryption"),
        (25, "=B", 8, "page type"),
        (28, "=I", 0, "free list"),
        (32, "=I", 2, "last pgno"),
        (72, "=I", 1, "max_bucket"),
        (76, "=I", 1, "high_mask"),
        (80, "=I", 0, "low_mask"),
        (88, "=I", 1, "nelem"),
        (92, "=I", 0x5E688DD1, "hash of the check key"),
        (96, "=I", 1, "spares[0]"),
        (100, "=I", 1, "spares[1]"),
        (104, "=I", 0, "spares[2]"),
    ],
)
def test_metadata_of_a_map_with_one_key(offset: int, layout: str, expected: int, what: str) -> None:
    assert (expected,) == struct.unpack_from(layout, ONE, offset), what


def test_a_page_is_laid_out_as_libdb_does() -> None:
    used = next(content for content in pages(ONE)[1:] if b"192" in content)
    assert (2, 4083) == struct.unpack_from("=2H", used, 20)
    assert (4086, 4083) == struct.unpack_from("=2H", used, 26)
    assert used.endswith(b"\0\x01OK\x01192.0.2.1")


def test_where_a_key_is_the_beginning_of_another_the_longer_comes_first() -> None:
    neighbours = [pair for content in pages(hash9.render(nested_keys()))[1:] for pair in pairwise(keys_of(content))]
    nested = [(first, second) for first, second in neighbours if first.startswith(second)]
    assert len(nested) > 50
    assert [] == [(first, second) for first, second in neighbours if second.startswith(first)]
    assert [] == [(first, second) for first, second in set(neighbours) - set(nested) if first > second]


def test_the_check_key_hashes_to_what_libdb_expects() -> None:
    assert hash9.CHECK_KEY_HASH == hash9._hash(b"%$sniglet^&\0")


def test_an_empty_map_is_valid() -> None:
    image = hash9.render([])
    assert 12_288 == len(image)
    assert frozenset() == hash9.read(image)


@pytest.mark.parametrize("image", [hash9.render([]), ONE, CHAINED, hash9.render(random_keys(3000))], ids=["empty", "one", "chains", "many"])
def test_every_page_is_written(image: bytes) -> None:
    assert all(any(content) for content in pages(image))
    assert len(image) == (struct.unpack_from("=I", image, 32)[0] + 1) * PAGE


def test_a_chain_is_linked_both_ways() -> None:
    number, previous, length = 1, 0, 0
    while number:
        assert (number, previous) == struct.unpack_from("=2I", page(CHAINED, number), 8)
        previous, number, length = number, struct.unpack_from("=I", page(CHAINED, number), 16)[0], length + 1
    assert length >= 3


def test_the_order_of_the_keys_does_not_matter() -> None:
    keys = sorted(random_keys(2000))
    assert hash9.render(keys) == hash9.render(keys[::-1]) == hash9.render(set(keys)) == hash9.render(keys + keys)


def test_one_key_more_changes_its_page_and_the_metadata() -> None:
    keys = random_keys(20_000)
    before = hash9.render(keys)
    after = hash9.render(keys | {b"192.0.2.1"}, hash9.bucket_count(before))
    assert 2 == sum(old != new for old, new in zip(pages(before), pages(after), strict=True))


def test_the_number_of_buckets_stays_while_the_table_shrinks_a_little() -> None:
    keys = sorted(random_keys(20_000))
    buckets = hash9.bucket_count(hash9.render(keys))
    assert buckets == hash9.bucket_count(hash9.render(keys[:8000], buckets))
    assert buckets > hash9.bucket_count(hash9.render(keys[:8000]))
    assert buckets > hash9.bucket_count(hash9.render(keys[:1000], buckets))


@pytest.mark.parametrize("key", [b"", b"x" * 1001], ids=["empty", "too long"])
def test_a_key_that_libdb_would_store_otherwise_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 1000 bytes"):
        hash9.render([key])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(b"", "0 bytes are no hash image", id="empty file"),
        pytest.param(ONE[:511], "511 bytes are no hash image", id="not even the metadata"),
        pytest.param(bytes(12_288), "wrong magic number", id="zeros"),
        pytest.param(overwrite(ONE, 16, "=I", 10), "version 10", id="version of libdb 6"),
        pytest.param(overwrite(ONE, 24, "=B", 1), "not of the kind", id="encrypted"),
        pytest.param(overwrite(ONE, 92, "=I", 1), "not of the kind", id="another hash function"),
        pytest.param(overwrite(ONE, 20, "=I", 0), "pages of 0 bytes", id="no page size"),
        pytest.param(overwrite(ONE, 20, "=I", 4095), "pages of 4095 bytes", id="odd page size"),
        pytest.param(ONE[:8192], "its last page", id="cut off"),
        pytest.param(ONE + bytes(1), "its last page", id="a byte too many"),
        pytest.param(overwrite(ONE, 72, "=2I", 1 << 31, 1 << 31), "buckets", id="more buckets than pages"),
        pytest.param(overwrite(ONE, 80, "=I", 7), "buckets", id="masks crossed"),
        pytest.param(overwrite(ONE, 96, "=2I", 9, 9), "leads to page", id="bucket behind the end"),
        pytest.param(overwrite(CHAINED, PAGE + 16, "=I", 1), "leads to page 1", id="a chain that bites its tail"),
        pytest.param(overwrite(CHAINED, PAGE + 16, "=I", 1 << 30), "leads to page", id="a chain that leads nowhere"),
        pytest.param(overwrite(CHAINED, PAGE + 8, "=I", 7), "page 1 says that it is page 7", id="another page's number"),
        pytest.param(overwrite(CHAINED, PAGE + 25, "=B", 7), "type 7", id="not a hash page"),
        pytest.param(overwrite(CHAINED, PAGE + 20, "=H", 3), "with 3 items", id="a key without a value"),
        pytest.param(overwrite(CHAINED, PAGE + 20, "=H", 60_000), "with 60000 items", id="more items than fit"),
        pytest.param(overwrite(CHAINED, PAGE + 20, "=2H", 20_000, 65_535), "with 20000 items", id="more items than the page has bytes"),
        pytest.param(overwrite(CHAINED, PAGE + 26, "=H", 5000), "lies at 5000", id="an item behind the page"),
    ],
)
def test_a_damaged_image_is_a_value_error(image: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hash9.read(image)
    with pytest.raises(ValueError, match=message):
        hash9.get(image, ABSENT)


def test_an_item_kept_outside_of_its_page_is_a_value_error() -> None:
    (lowest,) = struct.unpack_from("=H", CHAINED, PAGE + 22)
    with pytest.raises(ValueError, match="of type 3"):
        hash9.read(overwrite(CHAINED, PAGE + lowest, "=B", 3))


def test_a_key_out_of_order_is_listed_but_not_found_as_with_libdb() -> None:
    last_page = page(CHAINED, len(CHAINED) // PAGE - 1)
    first, *_, last = [key for key in keys_of(last_page) if len(key) == 13]
    image = CHAINED.replace(first, b"*" * 13).replace(last, first).replace(b"*" * 13, last)
    assert CHAINED_KEYS == hash9.read(image)
    assert [None, None] == [hash9.get(image, first), hash9.get(image, last)]


def test_an_image_in_the_other_byte_order_is_read() -> None:
    other = ">" if sys.byteorder == "little" else "<"
    assert frozenset({b"192.0.2.1"}) == hash9.read(foreign(ONE, other))
    assert b"OK" == hash9.get(foreign(ONE, other), b"192.0.2.1")


def foreign(image: bytes, order: str) -> bytes:
    """The image with all its numbers in that byte order."""
    for offset in [*range(8, 24, 4), 32, *range(72, 224, 4)]:
        image = overwrite(image, offset, f"{order}I", *struct.unpack_from("=I", image, offset))
    for start in range(PAGE, len(image), PAGE):
        items = struct.unpack_from("=H", image, start + 20)[0]
        for offset in range(start + 8, start + 20, 4):
            image = overwrite(image, offset, f"{order}I", *struct.unpack_from("=I", image, offset))
        for offset in [start + 20, start + 22, *range(start + 26, start + 26 + 2 * items, 2)]:
            image = overwrite(image, offset, f"{order}H", *struct.unpack_from("=H", image, offset))
    return image
