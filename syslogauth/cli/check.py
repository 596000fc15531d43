"""`check-config`: exit 0 and what the configuration means, or 78 and every mistake in it."""

import argparse
import os

from syslogauth.cli import CommandError
from syslogauth.cli.site import configuration
from syslogauth.core import formats
from syslogauth.maps import map_file


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config, check_paths=True)
    if faults := formats.check():
        raise CommandError("\n".join(faults), os.EX_SOFTWARE)
    where = str(config.listen.udp[0]) if config.listen.udp else "HOST:PORT"
    print("the configuration is right")
    print(f"  listens on    {', '.join(map(str, config.listen.udp))}, for {', '.join(config.listen.peers.texts)}")
    print(f"  keeps         {config.state_directory}")
    for export in config.export:
        print(f"  writes        {map_file(export.path)} ({export.format})")
    print(f"  syslog.conf   mail.info<TAB>@{where}")
    for export in config.export:
        print(f"  sendmail.mc   Kpopauth hash -a<OK> {export.path}")
    return os.EX_OK
