"""What most commands begin with: the configuration, the table, an address; and the audit line that a change leaves."""

import errno
import json
import os
import pwd
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from syslogauth import settings, where
from syslogauth.assembly import TABLE, table_of
from syslogauth.cli import CommandError
from syslogauth.config import Config, ConfigError, load
from syslogauth.core.address import pack
from syslogauth.environment import NewerFormatError, addresses_of
from syslogauth.ownership import act_as_owner, take_lock
from syslogauth.table import Table, TableError


def configuration(path: str | None, *, check_paths: bool = False) -> Config:
    """The configuration, or CommandError with every mistake (78)."""
    try:
        return load(path, check_paths=check_paths)[0]
    except ConfigError as error:
        raise CommandError("\n".join(error.mistakes), os.EX_CONFIG) from None


class Place(NamedTuple):
    """What is left of a configuration that has mistakes: where its table is. Sizes and bounds the table has from its daemon."""

    state_directory: Path


def place(path: str | None) -> Config | Place:
    """The configuration; of one with mistakes the place of its table, and the mistakes on standard error.

    So for what takes rights away or only looks. CommandError (78) where that place cannot be told for sure: the file is not there, is no
    TOML, or names a wrong place. A guess would let `deny` say that it has denied, in another table.
    """
    try:
        return load(path)[0]
    except ConfigError as error:
        mistakes = error.mistakes
    try:
        text, file = where.read(path)
        named = where.state_directory(text, file)
        directory = Path(where.default_state_directory()) if named is None else settings.absolute_path(named)
    except (ConfigError, ValueError):
        raise CommandError("\n".join(mistakes), os.EX_CONFIG) from None
    print(*mistakes, f"syslogauth: going on all the same, with the table in {directory}", sep="\n", file=sys.stderr)
    return Place(directory)


def address_of(text: str) -> bytes:
    packed = pack(text)
    if packed is None:
        raise CommandError(f"{text!r} is no address; write one such as 192.0.2.25 or 2001:db8::25", os.EX_USAGE)
    return packed


def open_table(config: Config | Place, *, readonly: bool = False) -> Table:
    """The table, as the owner of the state directory where we are root. CommandError (69, 77) where it cannot be opened."""
    directory = config.state_directory
    try:
        act_as_owner(directory)
        return table_of(config, readonly=readonly) if isinstance(config, Config) else _kept(directory / TABLE, readonly)
    except FileNotFoundError:
        raise CommandError(f"{directory}: does not exist; start the daemon once, or name another with --config") from None
    except NewerFormatError as error:
        raise CommandError(f"the table: {error}") from None
    except (TableError, OSError) as error:
        refused = os.strerror(errno.EACCES) in str(error)  # lmdb's errors have no errno
        if not refused and not (directory / TABLE).is_dir():
            raise CommandError(f"{directory}: no table yet; start the daemon once") from None
        raise CommandError(
            f"{directory}: the table cannot be opened: {error}; run as root or as the directory's owner",
            os.EX_NOPERM if refused else os.EX_UNAVAILABLE,
        ) from None


def _kept(directory: Path, readonly: bool) -> Table:
    """The table as its daemon has made it."""
    table = Table(directory, readonly=True)
    if readonly:
        return table
    size = table.sizes()["map_size_bytes"]
    table.close()
    return Table(directory, addresses_of(size))


@contextmanager
def speaking_of_the_table() -> Iterator[None]:
    """An error of the table becomes one line, 69. ValueError: a record of another version."""
    try:
        yield
    except (TableError, ValueError) as error:
        raise CommandError(f"the table: {error}") from None


def warn_without_keeper(config: Config | Place) -> bool:
    """Say so on standard error where no exporter is at work: a change of the table then changes no map. Whether one is."""
    held = take_lock(config.state_directory / "exporter.lock")
    if held is None:
        return True
    os.close(held)
    print("the daemon does not run: the maps stay as they are until it does, or until: syslogauth export", file=sys.stderr)
    return False


def audit(config: Config | Place, verb: str, **what: object) -> None:
    """One line in the state directory's audit.log: who, when, what."""
    line = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "who": invoker(), "verb": verb, **what}
    try:
        file = os.open(config.state_directory / "audit.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            os.write(file, json.dumps(line).encode() + b"\n")
        finally:
            os.close(file)
    except OSError as error:
        raise CommandError(f"{verb}: done, but not written to {config.state_directory}/audit.log: {error.strerror}", os.EX_IOERR) from None


def invoker() -> str:
    """The user who asked: the one behind sudo or doas where there is one."""
    behind = os.environ.get("SUDO_USER") or os.environ.get("DOAS_USER")
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"{behind} as {name}" if behind else name
