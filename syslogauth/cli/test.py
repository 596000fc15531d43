"""`test ADDRESS`: silent; exit 0 if the address may relay, 1 if not, 69 if that cannot be told, and never 0 then.

`--json` says it too: one object of address, live, and expires_at, Unix seconds (null: it may not, or for ever).

fail2ban asks it for every ban: so it reads one setting, opens the table and gets one record, and imports nothing else.
"""

import os
import time
from _socket import AF_INET, AF_INET6, inet_pton  # socket itself takes 10 ms: it imports selectors and makes enums

from syslogauth import where
from syslogauth.cli import EX_NO, CommandError
from syslogauth.environment import Environment, TableError
from syslogauth.ownership import act_as_owner
from syslogauth.record import FOR_EVER_MS, ms
from syslogauth.standing import kept_bounds, live_until

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def main(arguments: "argparse.Namespace") -> int:
    if not arguments.json:
        return answer(arguments.address, arguments.config)
    import json

    from syslogauth.core.address import canonical

    address = _packed(arguments.address)
    until_ms = until(address, arguments.config)
    known = until_ms / 1000 if 0 < until_ms < FOR_EVER_MS else None
    print(json.dumps({"address": canonical(address), "live": until_ms > 0, "expires_at": known}))
    return os.EX_OK if until_ms else EX_NO


def answer(text: str, config: str | None) -> int:
    """The exit code for an address. `config`: a file other than the usual one."""
    return os.EX_OK if until(_packed(text), config) else EX_NO


def until(address: bytes, config: str | None) -> int:
    """Until when a packed address may relay, Unix ms; 0 where it may not."""
    try:
        directory = where.state_directory(*where.read(config)) or where.default_state_directory()
        act_as_owner(directory)
        with Environment(f"{directory}/table", 0, readonly=True).begin() as view:
            return live_until(view, kept_bounds(view), address, ms(time.time()))
    except where.ConfigError as error:
        raise CommandError(str(error), os.EX_CONFIG) from None
    except (TableError, OSError, TypeError, ValueError) as error:
        raise CommandError(f"the table cannot be read: {error}") from None


def _packed(text: str) -> bytes:
    try:
        packed = inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        raise CommandError(f"{text!r} is no address; write one such as 192.0.2.25 or 2001:db8::25", os.EX_USAGE) from None
    return packed[12:] if packed.startswith(b"\0" * 10 + b"\xff\xff") else packed
