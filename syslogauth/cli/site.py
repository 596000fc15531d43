"""What most commands begin with: the configuration, the table, an address; and the audit line that a change leaves."""

import json
import os
import pwd
import time

from syslogauth.cli import CommandError
from syslogauth.cli.owner import act_as_owner
from syslogauth.config import Config, ConfigError, load
from syslogauth.core.address import pack
from syslogauth.record import Bounds
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
        bounds = Bounds(login_seconds=config.policy.grace_seconds, manual_seconds=config.policy.max_manual_seconds)
        return Table(directory / "table", config.policy.max_addresses, bounds, readonly)
    except FileNotFoundError:
        raise CommandError(f"{directory}: does not exist; start the daemon once, or name another with --config") from None
    except (TableError, OSError) as error:
        raise CommandError(f"{directory}: the table cannot be opened: {error}; run as root or as the directory's owner") from None


def audit(config: Config, verb: str, **what: object) -> None:
    """One line in the state directory's audit.log: who, when, what."""
    line = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "who": invoker(), "verb": verb, **what}
    file = os.open(config.state_directory / "audit.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)


def invoker() -> str:
    """The user who asked: the one behind sudo or doas where there is one."""
    behind = os.environ.get("SUDO_USER") or os.environ.get("DOAS_USER")
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"{behind} as {name}" if behind else name
