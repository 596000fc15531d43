"""How far followed log files have been read (listen.file). Committed with what their lines gave, so that no line counts twice (law 9).

    positions   blake2b of the path, 16 bytes -> version (u8, 1), looked_at (u64, Unix milliseconds), then a mark for each generation of
                the file that is still read, the oldest first: device, inode, offset (u64 each), in_line (u8), head, tail (8 bytes each)

All numbers are big endian. Head and tail are blake2b of the first and of the last 512 bytes before the offset (of all where there are
fewer): by them a generation is known again under another name, in a copy, or compressed. `in_line`: the offset lies within a line that
was given up, and what follows up to its end is no line. What cannot be read raises ValueError, and the file is read as at a first start.
"""

import struct
from dataclasses import dataclass
from hashlib import blake2b
from os import fsencode

from syslogauth.environment import View

EDGE_BYTES = 512
VERSION = 1
HEAD = struct.Struct(">BQ")
MARK = struct.Struct(">QQQB8s8s")
U64_MASK = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one generation was read. Head and tail are digests: see the module."""

    device: int
    inode: int
    offset: int
    in_line: bool
    head: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """Every generation that is still read, the oldest first, as it was at `looked_at`, Unix seconds."""

    looked_at: float = 0.0
    marks: tuple[Mark, ...] = ()

    def packed(self) -> bytes:
        rows = (MARK.pack(m.device & U64_MASK, m.inode & U64_MASK, m.offset, m.in_line, m.head, m.tail) for m in self.marks)
        return HEAD.pack(VERSION, round(self.looked_at * 1000)) + b"".join(rows)

    @classmethod
    def unpacked(cls, stored: bytes) -> "Position":
        """Raises ValueError where it is of another version, or damaged."""
        if stored[:1] != bytes((VERSION,)) or (len(stored) - HEAD.size) % MARK.size:
            raise ValueError(f"a position of version {stored[:1].hex() or 'none'}; this syslogauth reads {VERSION}")
        marks = (Mark(device, inode, offset, bool(in_line), head, tail) for device, inode, offset, in_line, head, tail in
                 MARK.iter_unpack(stored[HEAD.size :]))  # fmt: skip
        return cls(HEAD.unpack_from(stored)[1] / 1000, tuple(marks))


def digest(edge: bytes) -> bytes:
    """Of the first or the last bytes before an offset, at most EDGE_BYTES."""
    return blake2b(edge, digest_size=8).digest()


def kept(view: View, path: str) -> bytes | None:
    return view.get("positions", _key(path))


def keep(view: View, path: str, position: bytes) -> None:
    view.put("positions", _key(path), position)


def _key(path: str) -> bytes:
    return blake2b(fsencode(path), digest_size=16).digest()  # LMDB takes keys of 511 bytes
