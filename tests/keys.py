"""Keys as they lie in a map, for tests that want many of them."""

import random
import struct

from syslogauth.exports.sendmail_hash import map_keys


def random_keys(count: int, seed: int = 1, ipv6_share: float = 0.3) -> set[bytes]:
    """That many keys of random addresses; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    keys: set[bytes] = set()
    while len(keys) < count:
        keys.update(map_keys(chance.randbytes(16 if chance.random() < ipv6_share else 4), "full", ""))
    return keys


def nested_keys() -> set[bytes]:
    """x.y.z.1, x.y.z.1d and x.y.z.1dd: one key the beginning of many, which libdb sorts behind them, dense enough to share pages."""
    ends = [1, *range(10, 20), *range(100, 200)]
    return {b"192.0.2.%d" % end for end in ends} | {b"ipv6:2001:db8:0:0:0:0:0:%x" % end for end in range(0x1000)}


def page(image: bytes, number: int, page_bytes: int = 4096) -> bytes:
    """One page of an image."""
    return image[number * page_bytes : (number + 1) * page_bytes]


def pages(image: bytes, page_bytes: int = 4096) -> list[bytes]:
    """All pages of an image."""
    return [page(image, number, page_bytes) for number in range(len(image) // page_bytes)]


def overwrite(image: bytes, offset: int, layout: str, *numbers: int) -> bytes:
    """The image with these numbers at that offset."""
    changed = bytearray(image)
    struct.pack_into(layout, changed, offset, *numbers)
    return bytes(changed)
