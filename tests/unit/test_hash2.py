import struct
from dataclasses import replace
from itertools import pairwise

import pytest

from syslogauth.exports import buckets, hash2
from tests.keys import nested_keys, overwrite, page, pages, random_keys

PAGE = 4096
ONE = hash2.render([b"192.0.2.1"])


def colliding_keys(count: int, bits: int) -> set[bytes]:
    """Keys whose hash ends in that many zero bits, so that all lie in bucket 0."""
    return {key for key in random_keys(count << bits, seed=2) if not hash2._hash(key) & (1 << bits) - 1}


CHAINED_KEYS = colliding_keys(700, 5)
CHAINED = hash2.render(CHAINED_KEYS)
ABSENT = next(key for key in random_keys(100_000, seed=4) if not hash2._hash(key) & 0xFF)  # in bucket 0, at the end of every chain


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
    image = hash2.render(keys)
    assert keys == hash2.read(image)
    assert {b"OK"} >= {hash2.get(image, key) for key in keys}
    assert {None} == {hash2.get(image, key) for key in random_keys(500, seed=3) - keys}


@pytest.mark.parametrize(
    ("offset", "expected", "what"),
    [
        (0, 0x061561, "magic"),
        (4, 2, "version"),
        (12, 4096, "bsize"),
        (16, 12, "bshift"),
        (32, 1, "ovfl_point"),
        (40, 1, "max_bucket"),
        (44, 3, "high_mask"),
        (48, 1, "low_mask"),
        (56, 1, "nkeys"),
        (60, 1, "hdrpages"),
        (64, 0x956E7DE3, "hash of the check key"),
        (68, 0, "spares[0]"),
        (72, 1, "spares[1]: the bitmap page"),
    ],
)
def test_header_of_a_map_with_one_key(offset: int, expected: int, what: str) -> None:
    assert (expected,) == struct.unpack_from(">I", ONE, offset), what


def test_the_byte_order_of_the_pages_is_the_hosts() -> None:
    (lorder,) = struct.unpack_from(">I", ONE, 8)
    used = next(content for content in pages(ONE)[1:] if b"192" in content)
    assert (2, 4087, 4085) == struct.unpack_from({1234: "<3H", 4321: ">3H"}[lorder], used)
    assert (4085 - 10, 4085) == struct.unpack_from({1234: "<2H", 4321: ">2H"}[lorder], used, 6), "free bytes, lowest offset"
    assert used.endswith(b"\0OK192.0.2.1")


def test_the_check_key_hashes_to_what_the_library_expects() -> None:
    assert hash2.CHECK_KEY_HASH == hash2._hash(b"%$sniglet^&\0")


def test_an_empty_map_is_valid() -> None:
    image = hash2.render([])
    assert 16_384 == len(image)
    assert frozenset() == hash2.read(image)


@pytest.mark.parametrize("image", [hash2.render([]), ONE, CHAINED, hash2.render(random_keys(3000))], ids=["empty", "one", "chains", "many"])
def test_every_page_is_written(image: bytes) -> None:
    assert 0 == len(image) % PAGE
    assert all(any(content) for content in pages(image))


def test_the_order_of_the_keys_does_not_matter() -> None:
    keys = sorted(random_keys(2000))
    assert hash2.render(keys) == hash2.render(keys[::-1]) == hash2.render(set(keys)) == hash2.render(keys + keys)


def test_one_key_more_changes_its_page_and_the_header() -> None:
    keys = random_keys(20_000)
    before = hash2.render(keys)
    after = hash2.render(keys | {b"192.0.2.1"}, hash2.bucket_count(before))
    assert 2 == sum(old != new for old, new in zip(pages(before), pages(after), strict=True))


def test_more_buckets_are_taken_where_the_overflow_addresses_would_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(pages(CHAINED)) - hash2.bucket_count(CHAINED) - 2 == 5
    monkeypatch.setattr(hash2, "LAYOUT", replace(hash2.LAYOUT, most_overflow_pages=4))
    image = hash2.render(CHAINED_KEYS)
    assert hash2.bucket_count(image) > hash2.bucket_count(CHAINED)
    assert CHAINED_KEYS == hash2.read(image)
    assert hash2.bucket_count(image) == hash2.bucket_count(hash2.render(CHAINED_KEYS, hash2.bucket_count(image)))


def test_keys_that_no_number_of_buckets_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash2, "LAYOUT", replace(hash2.LAYOUT, most_overflow_pages=0))
    monkeypatch.setattr(buckets, "MOST", 4)
    with pytest.raises(ValueError, match="do not fit"):
        hash2.render(CHAINED_KEYS)


@pytest.mark.parametrize("key", [b"", b"x" * 1001], ids=["empty", "too long"])
def test_a_key_that_the_library_would_store_otherwise_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 1000 bytes"):
        hash2.render([key])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(b"", "0 bytes are no hash image", id="empty file"),
        pytest.param(ONE[:259], "259 bytes are no hash image", id="not even the header"),
        pytest.param(bytes(12_288), "magic number 0x0", id="zeros"),
        pytest.param(overwrite(ONE, 4, ">I", 1), "version 1", id="the version before"),
        pytest.param(overwrite(ONE, 64, ">I", 1), "not a Berkeley DB 1.85", id="another hash function"),
        pytest.param(overwrite(ONE, 8, ">I", 1), "byte order 1", id="no byte order"),
        pytest.param(overwrite(ONE, 12, ">I", 0), "pages of 0", id="no page size"),
        pytest.param(overwrite(ONE, 12, ">I", 4095), "pages of 4095", id="odd page size"),
        pytest.param(ONE[:-1], "16383 bytes in pages", id="a byte missing"),
        pytest.param(overwrite(ONE, 48, ">I", 7), "masks", id="masks crossed"),
        pytest.param(overwrite(ONE, 60, ">I", 0), "masks", id="no page for the header"),
    ],
)
def test_a_damaged_header_is_a_value_error(image: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hash2.read(image)
    with pytest.raises(ValueError, match=message):
        hash2.get(image, ABSENT)


def numbers_of(content: bytes) -> tuple[int, ...]:
    """The numbers at the start of a page, their count first."""
    (count,) = struct.unpack_from("=H", content)
    return struct.unpack_from(f"={count + 1}H", content)


LINK = PAGE + 2 * (len(numbers_of(page(CHAINED, 1))) - 2)  # where page 1 says which page is next


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(
            overwrite(CHAINED, LINK, "=H", 0), r"chain of bucket 0 leads to page \d+", id="a chain that leads out of the overflow pages"
        ),
        pytest.param(overwrite(CHAINED, LINK, "=H", 0xFFFF), "leads to page", id="a chain that leads nowhere"),
        pytest.param(overwrite(CHAINED, PAGE, "=H", 3), "page 1 has 3 numbers", id="a key without a value"),
        pytest.param(overwrite(CHAINED, PAGE, "=H", 60_000), "page 1 has 60000 numbers", id="more items than fit"),
        pytest.param(overwrite(CHAINED, PAGE + 2, "=H", 5000), "lies at 5000", id="an item behind the page"),
        pytest.param(overwrite(CHAINED, PAGE + 4, "=H", 3), "lies at", id="a key kept outside of its page"),
    ],
)
def test_a_damaged_chain_is_a_value_error(image: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hash2.read(image)
    with pytest.raises(ValueError, match=message):
        hash2.get(image, ABSENT)


def test_a_lost_key_is_noticed_by_the_count() -> None:
    with pytest.raises(ValueError, match="holds 1 keys, but 0 are there"):
        hash2.read(overwrite(overwrite(ONE, PAGE, "=H", 0), 2 * PAGE, "=H", 0))


def test_pages_of_the_last_buckets_may_be_missing_as_the_library_leaves_them() -> None:
    empty = hash2.render([])
    assert frozenset() == hash2.read(empty[:PAGE])
    assert None is hash2.get(empty[:PAGE], ABSENT)


def test_keys_are_in_order_within_a_page() -> None:
    content = page(CHAINED, 1)
    texts = [content[start:end] for end, start in pairwise((PAGE, *numbers_of(content)[1:-2]))][::2]
    assert texts == sorted(texts, reverse=True)
    assert len(texts) > 100
