"""`check-config`: exit 0 and what the configuration means, or 78 and every mistake in it."""

import argparse
import os

from syslogauth import where
from syslogauth.assembly import recogniser_of
from syslogauth.cli import CommandError
from syslogauth.cli.site import configuration
from syslogauth.config import Config
from syslogauth.settings import map_file


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config, check_paths=True)
    if faults := recogniser_of(config).check():
        raise CommandError("\n".join(faults), os.EX_SOFTWARE)
    file = where.read(arguments.config)[1]
    print("no file: the defaults" if file == "defaults" else f"{file} is right")
    print(f"  listens on    {', '.join(map(str, config.listen.udp))}, for {', '.join(config.listen.peers.texts)}")
    print(f"  keeps         {config.state_directory}")
    for export in config.export:
        print(f"  writes        {map_file(export.path)} ({export.format})")
    for endpoint in config.listen.udp:
        for facility in sorted(config.listen.facilities):
            print(f"  syslog.conf   {facility}.info<TAB>@{endpoint}")
    for export in config.export:
        print(f"  sendmail.mc   Kpopauth hash -a<OK> {export.path}")
    for note in _notes(config):
        print(f"  to do         {note}")
    return os.EX_OK


def _notes(config: Config) -> list[str]:
    """What the administrator still has to make, once, as root."""
    homeless = not config.state_directory.is_dir()
    missing = [map_file(e.path) for e in config.export if e.path.parent != config.state_directory and not map_file(e.path).exists()]
    return [
        *([f"install -d -o syslogauth -g 0 -m 0750 {config.state_directory}"] if homeless else []),
        *(f"install -o syslogauth -g 0 -m 0640 /dev/null {path}" for path in missing),
    ]
