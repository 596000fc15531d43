"""`test ADDRESS`: silent; exit 0 if the address may relay, 1 if not, 69 if that cannot be told."""

import argparse
import os
import time

from syslogauth.cli import EX_NO, CommandError
from syslogauth.cli.site import address_of, configuration, open_table
from syslogauth.table import TableError


def main(arguments: argparse.Namespace) -> int:
    address = address_of(arguments.address)
    table = open_table(configuration(arguments.config), readonly=True)
    try:
        live = table.live(address, time.time())
    except (TableError, OSError) as error:
        raise CommandError(f"the table cannot be read: {error}") from None
    return EX_NO if live is None else os.EX_OK
