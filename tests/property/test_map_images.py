"""Invariants of the map images, for any set of keys, and of the live map.

An image holds exactly the keys it was made from, each where its reader looks for it. The same keys and number of buckets give the same
bytes, whether they came in one go or one after the other; the pages that an image says have changed are all that have. A damaged image
is a ValueError or reads as some other table; nothing else ever happens. Whatever happened to the live map, it is the published image
after the next publication.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.exports import hash2, hash9
from syslogauth.exports.image import Image, render
from syslogauth.exports.sendmail_hash import HEAD_BYTES, identify
from syslogauth.publish import Publisher, differing, read_locked
from tests.keys import pages

FORMATS = pytest.mark.parametrize("module", [hash9, hash2], ids=["hash9", "hash2"])
PAGE = 4096

any_bytes = st.binary(min_size=1, max_size=40).filter(lambda key: b"OK" not in key)
# Few letters make keys that begin with other keys, and many that share a bucket.
nested = st.text("01.", min_size=1, max_size=12).map(str.encode)
address_keys = st.ip_addresses(v=4).map(lambda address: str(address).encode())
long_keys = st.builds(lambda letter, length: letter * length, any_bytes, st.integers(1, 25))
key_sets = st.sets(st.one_of(any_bytes, nested, address_keys, long_keys), max_size=120)
previous_counts = st.sampled_from([0, 2, 8, 64, 3, 1 << 30])


@FORMATS
@given(keys=key_sets, others=key_sets, buckets=previous_counts)
def test_an_image_holds_exactly_its_keys(module: ModuleType, keys: set[bytes], others: set[bytes], buckets: int) -> None:
    image = module.render(keys, buckets)
    assert keys == module.read(image)
    assert dict.fromkeys(keys, b"OK") == {key: module.get(image, key) for key in keys}
    assert {None} >= {module.get(image, key) for key in others - keys}
    assert module.__name__.endswith(str(identify(image[:HEAD_BYTES])))
    assert all(any(content) for content in pages(image))
    assert 0 == len(image) % PAGE


@FORMATS
@given(keys=st.lists(address_keys, max_size=200), buckets=previous_counts, order=st.randoms(use_true_random=False))
def test_the_same_keys_give_the_same_bytes(module: ModuleType, keys: list[bytes], buckets: int, order: Random) -> None:
    image = module.render(keys, buckets)
    order.shuffle(keys)
    assert image == module.render(keys, buckets)
    assert image == module.render(keys, module.bucket_count(image))


@FORMATS
@given(keys=key_sets, one=any_bytes)
def test_one_key_more_changes_few_pages(module: ModuleType, keys: set[bytes], one: bytes) -> None:
    before = module.render(keys)
    after = module.render(keys | {one}, module.bucket_count(before))
    if len(before) == len(after):
        assert 2 >= sum(old != new for old, new in zip(pages(before), pages(after), strict=True))


crowded = st.builds(lambda letter, length: b"%c" % letter * length, st.integers(97, 122), st.integers(200, 1000))


@FORMATS
@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.tuples(st.one_of(key_sets, st.sets(crowded, max_size=80)), st.floats(0, 1)), min_size=1, max_size=8),
    most_overflow_pages=st.sampled_from([2, 2046]),
    order=st.randoms(use_true_random=False),
)
def test_an_image_that_is_kept_up_to_date_is_the_one_that_is_made_in_one_go(
    module: ModuleType, steps: list[tuple[set[bytes], float]], most_overflow_pages: int, order: Random
) -> None:
    layout = replace(module.LAYOUT, most_overflow_pages=most_overflow_pages)
    image, keys, live = Image(layout), set[bytes](), b""
    for entered, share_that_leaves in steps:
        buckets = image.buckets
        left = {key for key in sorted(keys) if order.random() < share_that_leaves} - entered
        keys = (keys | entered) - left
        image.update(entered, left)
        assert render(layout, keys, buckets) == image.content
        assert len(keys) == image.keys
        assert set(differing(live, image.content)) <= image.changed <= set(range(len(image.content) // PAGE))
        live = bytes(image.content)
        image.changed.clear()
        image.update(entered, left)
        assert (live, set()) == (image.content, image.changed)


BASES = {
    module: module.render({b"192.0.2.%d" % end for end in range(256)} | {bytes([65 + end]) * 900 for end in range(26)})
    for module in (hash9, hash2)
}
bytes_at = st.tuples(st.one_of(st.integers(0, 600), st.integers(0, 80_000)), st.binary(min_size=1, max_size=4))


@FORMATS
@settings(max_examples=400)
@given(changes=st.lists(bytes_at, min_size=1, max_size=6), cut=st.one_of(st.just(0), st.integers(0, 80_000)))
def test_a_damaged_image_is_a_value_error_or_another_table(module: ModuleType, changes: list[tuple[int, bytes]], cut: int) -> None:
    image = bytearray(BASES[module])
    for offset, text in changes:
        at = offset % len(image)
        image[at : at + len(text)] = text
    damaged = bytes(image[: len(image) - cut % len(image)])
    for ask in (
        module.read,
        module.bucket_count,
        lambda image: module.get(image, b"192.0.2.7"),
        lambda image: module.get(image, b"A" * 900),
    ):
        try:
            ask(damaged)
        except ValueError:
            continue


IMAGES = [hash9.render({b"10.0.%d.%d" % (size, end) for end in range(size)}) for size in (0, 1, 40, 41, 500)]
tampering = st.sampled_from(["nothing", "cut", "append", "zero", "overwrite", "remove", "replace"])


def tamper(path: Path, how: str) -> None:
    """What somebody else, or a crash, may do to a live map."""
    size = path.stat().st_size
    match how:
        case "cut":
            os.truncate(path, size // 2)
        case "append":
            path.write_bytes(path.read_bytes() + b"?")
        case "zero":
            path.write_bytes(bytes(size))
        case "overwrite":
            path.write_bytes(path.read_bytes()[: PAGE + 7] + b"?" * (size - PAGE - 7))
        case "remove":
            path.unlink()
        case "replace":
            other = path.with_suffix(".other")
            other.write_bytes(IMAGES[-1])
            other.rename(path)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(range(len(IMAGES))), tampering), min_size=1, max_size=8))
def test_the_live_map_is_what_was_published_last(steps: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "popauth.db")
        publisher, previous = Publisher(path, 0o640), b""
        for number, how in steps:
            publisher.publish(IMAGES[number], differing(previous, IMAGES[number]))
            previous = IMAGES[number]
            assert IMAGES[number] == read_locked(path)
            tamper(path, how)
