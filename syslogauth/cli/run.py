"""`run`, and the children that it starts."""

import argparse
import asyncio
import os

from syslogauth.cli import CommandError
from syslogauth.config import ConfigError, load


def main(arguments: argparse.Namespace) -> int:
    if arguments.verb == "receiver":
        from syslogauth.children import receiver

        return receiver(arguments.control, arguments.socket or [])
    if arguments.verb == "streams":
        from syslogauth.children import streams

        return streams(arguments.control, arguments.socket or [])
    if arguments.verb == "exporter":
        from syslogauth.children import exporter

        return exporter(arguments.control)
    if arguments.demo:
        from syslogauth.cli.demo import demo

        return demo(keep=arguments.keep)
    return _run(arguments.config)


def _run(path: str | None) -> int:
    from syslogauth.assembly import recogniser_of
    from syslogauth.daemon import Daemon
    from syslogauth.places import Unavailable

    try:
        config, text, file = load(path, check_paths=True)
    except ConfigError as error:
        raise CommandError("\n".join(error.mistakes), os.EX_CONFIG) from None
    if faults := recogniser_of(config).check():
        raise CommandError("\n".join(faults), os.EX_SOFTWARE)
    # the children must read the same defaults: a file that was not there is not read again
    daemon = Daemon(config, text, "" if file == "defaults" else file)
    try:
        return asyncio.run(daemon.run())
    except Unavailable as error:
        raise CommandError(str(error), error.code) from None
