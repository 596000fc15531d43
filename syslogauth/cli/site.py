"""What most commands begin with: the configuration, the table, an address; and the audit line that a change leaves."""

import json
import os
import pwd
import sys
import time

from syslogauth.assembly import table_directory, table_of
from syslogauth.cli import CommandError
from syslogauth.config import Config, ConfigError, load
from syslogauth.core.address import pack
from syslogauth.ownership import act_as_owner, take_lock
from syslogauth.table import Table, TableError


def configuration(path: str | None, *, check_paths: bool = False) -> Config:
    """The configuration, or CommandError with every mistake (78)."""
    try:
        return load(path, check_paths=check_paths)[0]
    except ConfigError as error:
        raise CommandError("\n".join(error.mistakes), os.EX_CONFIG) from None


def address_of(text: str) -> bytes:
    packed = pack(text)
    if packed is None:
        raise CommandError(f"{text!r} is no address; write one such as 192.0.2.25 or 2001:db8::25", os.EX_USAGE)
    return packed


def open_table(config: Config, *, readonly: bool = False) -> Table:
    """The table, as the owner of the state directory where we are root. CommandError (69) where it cannot be opened."""
    directory = config.state_directory
    try:
        act_as_owner(directory)
        return table_of(config, readonly=readonly)
    except FileNotFoundError:
        raise CommandError(f"{directory}: does not exist; start the daemon once, or name another with --config") from None
    except (TableError, OSError) as error:
        if not table_directory(config).is_dir():
            raise CommandError(f"{directory}: no table yet; start the daemon once") from None
        raise CommandError(f"{directory}: the table cannot be opened: {error}; run as root or as the directory's owner") from None


def warn_without_keeper(config: Config) -> None:
    """Say so on standard error where no exporter is at work: a change of the table then changes no map."""
    held = take_lock(config.state_directory / "exporter.lock")
    if held is not None:
        os.close(held)
        print("the daemon does not run: the maps stay as they are until it does, or until: syslogauth export", file=sys.stderr)


def audit(config: Config, verb: str, **what: object) -> None:
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
