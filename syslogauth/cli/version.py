"""`version`: ours, and those of what it stands on. JSON: version, python, platform, and packages by name."""

import argparse
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version

from syslogauth import __version__

PACKAGES = ("asyncio-dgram", "lmdb", "prometheus-client", "rich", "shtab", "structlog")


def main(arguments: argparse.Namespace) -> int:
    packages = {name: _version(name) for name in PACKAGES}
    known = {"version": __version__, "python": platform.python_version(), "platform": platform.platform(), "packages": packages}
    if arguments.json:
        print(json.dumps(known))
    else:
        print(f"syslogauth {__version__}")
        print(f"python {known['python']} on {known['platform']}")
        print(", ".join(f"{name} {found or 'missing'}" for name, found in packages.items()))
    return os.EX_OK


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
