"""`backup FILE`, `restore FILE`: the table as a text (syslogauth/backup.py), while the daemon runs and while it is down.

The file is written beside its place, 0600 and its directory's owner's, and renamed when it is whole; `.gz` by name is compressed. It is
read to its end before anything of it is stored: a damaged one is exit 65, and changes nothing. `-` is standard output or input.
JSON, one object: `backup` file, rows, unreadable; `restore` file, stored, and by kind of row what became of how many.
"""

import argparse
import gzip
import json
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from syslogauth.backup import NAMES, DamageError, lines_of, read
from syslogauth.cli import CommandError
from syslogauth.cli.listing import escaped
from syslogauth.cli.site import audit, configuration, open_table, warn_without_keeper
from syslogauth.config import Config
from syslogauth.merge import OUTCOMES
from syslogauth.nameless import without_users
from syslogauth.ownership import act_as_invoker, act_as_owner, owner_of
from syslogauth.table import TableError

GZIP = b"\x1f\x8b"
GZIP_LEVEL = 1  # level 6 takes three times as long for a tenth less
SPOOLED_BYTES = 1 << 20


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config)
    try:
        return backup(arguments, config) if arguments.verb == "backup" else restore(arguments, config)
    except TableError as error:
        raise CommandError(f"the table: {error}") from None


def backup(arguments: argparse.Namespace, config: Config) -> int:
    path, line = arguments.file, b""
    with _written(path) as text:
        for line in open_table(config, readonly=True).backup():
            text.write(line)
    last = json.loads(line)
    act_as_owner(config.state_directory)
    audit(config, "backup", file=path, rows=last["rows"])
    if last["unreadable"]:
        print(f"syslogauth: {last['unreadable']} records of the table cannot be read, and are not in the backup", file=sys.stderr)
    if path != "-":
        print(json.dumps({"file": path, **last}) if arguments.json else f"{path}: {last['rows']} rows")
    return os.EX_OK


def restore(arguments: argparse.Namespace, config: Config) -> int:
    path = arguments.file
    with opened(path) as text:  # before the table, which makes root its owner: who may not read the file
        try:
            counts = Counter(NAMES[type(row)] for row in read(lines_of(text)))
        except DamageError as error:
            raise CommandError(f"{path}: {escaped(str(error))}; nothing of it is stored", os.EX_DATAERR) from None
        except (OSError, EOFError, zlib.error) as error:
            raise CommandError(f"{path}: {getattr(error, 'strerror', None) or error}; nothing of it is stored", os.EX_DATAERR) from None
        if arguments.nowrite:
            done = {"file": path, "stored": False, **counts}
            said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            print(json.dumps(done) if arguments.json else f"{path}: {said or 'nothing'}; nothing stored (--nowrite)")
            return os.EX_OK
        text.seek(0)
        rows = read(lines_of(text))
        if not config.policy.store_users:
            rows = without_users(rows)
        became = open_table(config).merge(rows, time.time())
    audit(config, "restore", file=path, rows=counts.total())
    warn_without_keeper(config)
    kinds = {kind: {word: became[kind, word] for word in OUTCOMES if became[kind, word]} for kind in counts}
    if arguments.json:
        print(json.dumps({"file": path, "stored": True, **kinds}))
    else:
        print(f"{path}: {counts.total()} rows")
        for kind, words in kinds.items():
            print(f"  {kind}: " + ", ".join(f"{count} {WORDS[word]}" for word, count in words.items()))
    return os.EX_OK


WORDS = {
    "new": "new",
    "later": "that last longer now",
    "same": "that were as long already",
    "over": "over by now",
    "void": "revoked or flushed since",
    "full": "without room (policy.max_addresses)",
}


@contextmanager
def _written(path: str) -> Iterator[IO[bytes]]:
    """Where a backup is written to: whole at the end of the block, and not there at all where the block raises."""
    if path == "-":
        yield sys.stdout.buffer
        return
    target = Path(path).absolute()
    try:
        owner = owner_of(target.parent)
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # 0600
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror}", os.EX_CANTCREAT) from None
    try:
        with os.fdopen(number, "wb") as file:
            if os.geteuid() == 0:
                os.fchown(number, *owner)
            if target.name.endswith(".gz"):
                with gzip.GzipFile(target.name, "wb", GZIP_LEVEL, file) as packed:
                    yield packed  # type: ignore[misc]
            else:
                yield file
            file.flush()
            os.fsync(number)
        act_as_invoker()
        Path(name).replace(target)
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror or error}", os.EX_CANTCREAT) from None
    finally:
        act_as_invoker()
        Path(name).unlink(missing_ok=True)


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """A file, plain or gzip, or all of standard input (`-`), to be read more than once. CommandError (66) where it cannot be opened."""
    try:
        file = _spooled() if path == "-" else Path(path).open("rb")  # noqa: SIM115 - see below
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", os.EX_NOINPUT) from None
    with file:
        packed = file.read(2) == GZIP
        file.seek(0)
        yield gzip.GzipFile(fileobj=file, mode="rb") if packed else file  # type: ignore[misc]


def _spooled() -> IO[bytes]:
    spool = tempfile.SpooledTemporaryFile(SPOOLED_BYTES)  # noqa: SIM115 - opened() closes it
    shutil.copyfileobj(sys.stdin.buffer, spool)
    spool.seek(0)
    return spool
