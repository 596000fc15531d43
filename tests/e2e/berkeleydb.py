"""The libraries that a sendmail reads its maps with, asked for one key after another: libdb 5.3, and Berkeley DB 1.85 as glibc kept it.

Both are called through ctypes. libdb's methods lie in a structure whose layout no header promises to ctypes, but the library exports the
functions behind them by name (Debian's libdb-5.3.so; symbol version DB5_3).
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.needs import missing, need_library

LIBDB = "libdb-5.3.so"  # Debian: libdb5.3
LIBDB_185 = "libdb1.so.2"  # Debian: libdb1-compat
DB_HASH_53, DB_RDONLY_53, DB_NOTFOUND = 2, 0x400, -30988
DB_HASH_185 = 1


class Reader(Protocol):
    """An open map."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, None where there is none. AssertionError when the library fails."""


class _Dbt53(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
        ("ulen", ctypes.c_uint32),
        ("dlen", ctypes.c_uint32),
        ("doff", ctypes.c_uint32),
        ("app_data", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
    )


def _pointer(text: bytes) -> ctypes.c_void_p:
    """To the bytes themselves: they must live as long as it is used."""
    return ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p)


class _Libdb53:
    def __init__(self, library: ctypes.CDLL, path: Path) -> None:
        self.libdb = library
        self.db = ctypes.c_void_p()
        assert 0 == library.db_create(ctypes.byref(self.db), None, 0)
        failed = library["__db_open_pp"](self.db, None, bytes(path), None, DB_HASH_53, DB_RDONLY_53, 0)
        assert 0 == failed, f"libdb does not open {path}: {failed}"

    def get(self, key: bytes) -> bytes | None:
        asked, found = _Dbt53(_pointer(key), len(key)), _Dbt53()
        failed = self.libdb["__db_get_pp"](self.db, None, ctypes.byref(asked), ctypes.byref(found), 0)
        assert failed in (0, DB_NOTFOUND), f"libdb fails on {key!r}: {failed}"
        return None if failed else ctypes.string_at(found.data, found.size)

    def close(self) -> None:
        self.libdb["__db_close_pp"](self.db, 0)


class _Dbt185(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t))


_METHOD = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Dbt185), ctypes.POINTER(_Dbt185), ctypes.c_uint)


class _Db185(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("close", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)),
        ("del_", ctypes.c_void_p),
        ("get", _METHOD),
        ("put", _METHOD),
    )


class Libdb185:
    """An open file of the 1.85 library, to read and to write."""

    def __init__(self, library: ctypes.CDLL, path: Path, flags: int, mode: int = 0o600) -> None:
        dbopen = library["__dbopen"]
        dbopen.restype = ctypes.POINTER(_Db185)
        self.db = dbopen(bytes(path), flags, mode, DB_HASH_185, None)
        assert self.db, f"Berkeley DB 1.85 does not open {path}"

    def get(self, key: bytes) -> bytes | None:
        asked, found = _Dbt185(_pointer(key), len(key)), _Dbt185()
        failed = self.db.contents.get(self.db, asked, found, 0)
        assert failed in (0, 1), f"Berkeley DB 1.85 fails on {key!r}: {failed}"
        return None if failed else ctypes.string_at(found.data, found.size)

    def put(self, key: bytes, value: bytes) -> None:
        """Store a value."""
        asked, stored = (_Dbt185(_pointer(text), len(text)) for text in (key, value))
        assert 0 == self.db.contents.put(self.db, asked, stored, 0)

    def close(self) -> None:
        """Write what was put and end."""
        assert 0 == self.db.contents.close(self.db)


@contextmanager
def libdb_53(path: Path) -> Iterator[Reader]:
    """The map as libdb 5.3 reads it; skips the test where the library is missing."""
    library = need_library(LIBDB)
    if not hasattr(library, "__db_get_pp"):
        missing(f"a {LIBDB} that exports its methods")
    reader = _Libdb53(library, path)
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def libdb_185(path: Path, flags: int = 0) -> Iterator[Libdb185]:
    """The map as Berkeley DB 1.85 reads it; `flags` as of os.open(). Skips the test where the library is missing."""
    database = Libdb185(need_library(LIBDB_185), path, flags)
    try:
        yield database
    finally:
        database.close()
