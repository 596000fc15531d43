"""The addresses in what another program kept: pop-before-smtp's popauth.db and its like, or a text.

A hash file is one of Berkeley DB: version 2 (1.85), 7 to 9 (libdb 3 to 5). Its keys, and the first word of each line of a text, are
`192.0.2.1`, `2001:db8::1`, `IPv6:2001:db8:0:0:0:0:0:1`, with a prefix of map keys before (`POP:192.0.2.1`), in any case, and with a NUL
(`\\00` where db_dump -p shows it), a colon or a comma behind. What follows is a value (`ok`, a time, a user), and is not read, except that
one that refuses (as in sendmail's access map: REJECT, DISCARD, ERROR, 4xx, 5xx) makes it no grant. `#` begins a comment. A part of an
address (`192.0.2`) or a network has no entry in an exact map, and is counted apart.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from syslogauth.core.address import UNUSABLE, Networks, pack
from syslogauth.exports import hash2, hash9

REFUSING = re.compile(rb"(?i)(?:reject|discard|deny|error|no)(?![\w.@-])|[45]\d\d(?!\d)|[45]\.\d\.\d")
NETWORK = re.compile(r"\d{1,3}(?:\.\d{1,3}){0,2}\.?|[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6}:?")
READERS = {"hash9": hash9.pairs, "hash2": hash2.pairs}
WRONG = ("no_address", "network", "refused", "never")
EXAMPLE_CHARACTERS = 60
MAX_LINE_BYTES = 65536


class Found(NamedTuple):
    """One entry: an address that may have a grant, or a word of WRONG and its text."""

    address: bytes | None
    wrong: str = ""
    text: str = ""


def hash_pairs(image: bytes, kind: str) -> list[tuple[bytes, bytes]]:
    """The keys and values of a hash file whose kind is one of READERS. ValueError on a damaged one."""
    return READERS[kind](image)


def text_pairs(text: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The first word of each line, and the rest of it. ValueError, with the line, on what is no text."""
    for number, line in enumerate(text, 1):
        if b"\0" in line or len(line) > MAX_LINE_BYTES:
            raise ValueError(f"line {number}: holds what no text does; say --format hash where it is a Berkeley DB file")
        words = line.partition(b"#")[0].split(None, 1)
        if words:
            yield words[0], words[1] if len(words) == 2 else b""


def find(pairs: Iterable[tuple[bytes, bytes]], prefixes: Iterable[str], never: Networks) -> Iterator[Found]:
    """What each pair is. `prefixes`: of map keys, as export.key_prefix has them; `POP:` and `IPv6:` are known."""
    known = tuple(sorted({"pop:", *(prefix.lower() for prefix in prefixes if prefix)}, key=len, reverse=True))
    for key, value in pairs:
        word = key.rstrip(b"\0").decode("utf-8", "replace").removesuffix("\\00").strip("[]\"',")
        address = _address(word, known) or _address(word.removesuffix(":"), known)
        shown = "".join(letter if letter.isprintable() else "?" for letter in word[:EXAMPLE_CHARACTERS])
        if address is None:
            yield Found(None, "network" if _is_network(word) else "no_address", shown)
        elif REFUSING.match(value.lstrip(b" \t\"':")):
            yield Found(None, "refused", shown)
        elif address in never or address in UNUSABLE:
            yield Found(None, "never", shown)
        else:
            yield Found(address)


def _address(word: str, prefixes: tuple[str, ...]) -> bytes | None:
    low = word.lower()
    for _ in range(3):  # POP:IPv6:2001:...
        if (packed := pack(low)) is not None:
            return packed
        prefix = next((prefix for prefix in ("ipv6:", *prefixes) if low.startswith(prefix)), None)
        if prefix is None:
            return None
        low = low[len(prefix) :]
    return None


def _is_network(word: str) -> bool:
    try:
        ipaddress.ip_network(word, strict=False)
    except ValueError:
        return NETWORK.fullmatch(word.lower().removeprefix("ipv6:")) is not None
    return True
