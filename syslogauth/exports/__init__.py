"""The map formats: from a set of keys to the bytes of a finished file. No file is opened here, except by makemap for itself.

Each entry is `render(keys, buckets) -> bytes`, where `buckets` is the bucket_count() of the image before it, 0 for none.
LAYOUTS has those whose image can be kept up to date (image.py); another is rendered as a whole each time.
A format is added in a file of its own and one entry here, or two.
"""

from collections.abc import Callable, Collection

from syslogauth.exports import hash2, hash9, makemap
from syslogauth.exports.image import Layout

EXPORTS: dict[str, Callable[[Collection[bytes], int], bytes]] = {
    "hash9": hash9.render,
    "hash2": hash2.render,
    "makemap": makemap.render,
}

LAYOUTS: dict[str, Layout] = {
    "hash9": hash9.LAYOUT,
    "hash2": hash2.LAYOUT,
}
