"""What sendmail looks up in `Kpopauth hash -a<OK> /etc/mail/popauth`, and which file format the host's sendmail reads there.

Keys (sendmail 8.17, map.c and daemon.c): `192.0.2.1`; for IPv6 `ipv6:2001:db8:0:ab:0:0:0:c0de`, eight groups without leading zeros, where
sendmail was built with IPV6_FULL or UseCompressedIPv6Addresses is off (Debian), else `ipv6:2001:db8:0:ab::c0de`. The hash map folds what it
is asked for to lower case, the prefix `IPv6:` too. A client that is mapped to IPv6 arrives as a dotted quad.
"""

import re
import struct
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop
from threading import Timer

from syslogauth.core.address import MAPPED

HEAD_BYTES = 2048  # what identify() wants of a file
BERKELEY_KINDS = {0x061561: "hash", 0x053162: "btree", 0x042253: "queue", 0x074582: "heap"}
OLDEST_LIBDB_HASH = 4
BTREE_185 = (bytes.fromhex("00053162"), bytes.fromhex("62310500"))
CDB_HEADER = struct.Struct("<512I")
WRITTEN_BY_MAKEMAP = ("hash9", "hash2", "cdb")

DEBUG_LIMIT_SECONDS = 3
NEWDB = re.compile(r"\bNEWDB(?:=(\d+)(?:\.(\d+))?)?(?=\s|$)")
CDB = re.compile(r"\bCDB(?:=\d+)?(?=\s|$)")


def map_keys(address: bytes, ipv6_form: str, key_prefix: str) -> tuple[bytes, ...]:
    """The keys under which sendmail finds a packed address (4 or 16 bytes). `ipv6_form`: full, compressed or both; else ValueError."""
    prefix = key_prefix.lower().encode()
    if len(address) == 16 and address.startswith(MAPPED):
        address = address[12:]
    if len(address) == 4:
        return (prefix + inet_ntop(AF_INET, address).encode(),)
    prefix += b"ipv6:"
    full = prefix + b"%x:%x:%x:%x:%x:%x:%x:%x" % struct.unpack(">8H", address)
    if ipv6_form == "full":
        return (full,)
    compressed = prefix + inet_ntop(AF_INET6, address).encode()
    if ipv6_form == "compressed":
        return (compressed,)
    if ipv6_form != "both":
        raise ValueError(f"{ipv6_form!r} is no form of IPv6 keys: full, compressed or both")
    return (full,) if full == compressed else (full, compressed)


def identify(head: bytes) -> str | None:
    """The kind of a map file by its first HEAD_BYTES: hash9 (libdb, 7 to 9), hash2 (1.85), cdb, btree, hash10 and so on.

    None for anything else. Berkeley DB 2 and later have a magic number at byte 12 in the writer's byte order, 1.85 at byte 0,
    for a hash always big-endian. cdb has none; its head is 256 pairs of (position, slots), each table beginning where the last one ended.
    """
    if len(head) >= 20:
        for order in "<>":
            magic, version = struct.unpack_from(order + "2I", head, 12)
            kind = BERKELEY_KINDS.get(magic)
            if kind == "hash" and version >= OLDEST_LIBDB_HASH:
                return "hash9" if 7 <= version <= 9 else f"hash{version}"
            if kind not in (None, "hash"):
                return kind
        magic, version = struct.unpack_from(">2I", head)
        if BERKELEY_KINDS.get(magic) == "hash":
            return f"hash{version}"
        if head[:4] in BTREE_185:
            return "btree"
    if len(head) >= CDB_HEADER.size:
        numbers = CDB_HEADER.unpack_from(head)
        tables = list(zip(numbers[::2], numbers[1::2], strict=True))
        follow_on = all(start + 8 * slots == following for (start, slots), (following, _) in pairwise(tables))
        if tables[0][0] >= CDB_HEADER.size and follow_on:
            return "cdb"
    return None


def read_by(debug_output: str, platform: str) -> str | None:
    """The format that a sendmail reads for `hash`, by what `sendmail -d0.1` prints; None where it was built without Berkeley DB.

    NEWDB=5.3 names the version of libdb; a sendmail that prints NEWDB alone was built before 8.16 or with 1.85: the platform decides.
    """
    found = NEWDB.search(debug_output)
    if found is None:
        return "cdb" if CDB.search(debug_output) else None
    if found[1] is None:
        return by_platform(platform)
    version = int(found[1]), int(found[2] or 0)
    if version < (2, 0):
        return "hash2"
    # Other versions of libdb write a hash of their own, which only their own makemap is sure to write.
    return "hash9" if (4, 6) <= version < (6, 0) else "makemap"


def by_platform(platform: str) -> str:
    """The format of the system's own Berkeley DB, by sys.platform."""
    return "hash2" if "bsd" in platform or platform.startswith("dragonfly") else "hash9"


def detect(map_path: Path, directory: Path = Path("/etc/mail"), sendmail: str = "/usr/sbin/sendmail", platform: str = sys.platform) -> str:
    """Which format the host's sendmail reads: a name of EXPORTS, or `cdb`, which is not written here.

    By the map that is there already (its whole path, with .db), by the other *.db in sendmail's directory, by sendmail itself, by the
    platform: the first of them that knows. Never raises; what cannot be read or run counts as not there.
    """
    if (kind := _kind(map_path)) in WRITTEN_BY_MAKEMAP:
        return kind
    siblings = Counter(kind for path in sorted(directory.glob("*.db")) if (kind := _kind(path)) in WRITTEN_BY_MAKEMAP)
    if siblings:
        return siblings.most_common(1)[0][0]
    return read_by(_debug_output(sendmail), platform) or by_platform(platform)


def _kind(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return identify(file.read(HEAD_BYTES))
    except OSError:
        return None


def _debug_output(sendmail: str) -> str:
    """The version and the compile options. Where its host has no qualified name, sendmail goes on to wait for a minute: not waited for."""
    try:
        process = subprocess.Popen(
            [sendmail, "-d0.1", "-bt"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
    except OSError:
        return ""
    limit = Timer(DEBUG_LIMIT_SECONDS, process.kill)
    limit.start()
    said = ""
    with process:
        for line in process.stdout or ():
            said += line
            if NEWDB.search(line):
                break
        limit.cancel()
        process.kill()
    return said
