"""What a test needs of the machine it runs on.

A test whose tool is missing is skipped and says which tool that is. With SYSLOGAUTH_PEERS=1 in the environment, as in CI, where all of
them have been installed, it fails instead: there nothing may be skipped unseen.
"""

import os
import shutil
from ctypes.util import find_library

import pytest

# Daemons lie here on Debian and the BSDs, whether or not the tester's PATH says so.
SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/local/sbin:/usr/libexec"


def need(tool: str) -> str:
    """Path of a program, by name; skips or fails the test where there is none. `root` is the privilege, not a program."""
    if tool == "root":
        return missing(tool) if os.geteuid() else tool
    return shutil.which(tool, path=SYSTEM_PATH) or missing(tool)


def need_library(name: str) -> str:
    """What ctypes can load for a shared library, by the name that follows `lib`; skips or fails the test where there is none."""
    return find_library(name) or missing(f"lib{name}")


def missing(tool: str) -> str:
    """Skip the test for want of the tool, or fail it where everything is meant to be installed."""
    if os.environ.get("SYSLOGAUTH_PEERS") == "1":
        pytest.fail(f"{tool} is missing, and SYSLOGAUTH_PEERS=1 allows no test to be skipped")
    pytest.skip(f"{tool} is missing")
