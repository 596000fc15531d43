"""What a test needs of the machine it runs on.

A test whose tool is missing is skipped and says which tool that is. With SYSLOGAUTH_PEERS=1 in the environment, as in CI, where all of
them have been installed, it fails instead: there nothing may be skipped unseen.
"""

import ctypes
import os
import shutil
from typing import NoReturn

import pytest

# Daemons lie here on Debian and the BSDs, whether or not the tester's PATH says so.
SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/local/sbin:/usr/libexec"


def need(tool: str) -> str:
    """Path of a program, by name; skips or fails the test where there is none. `root` is the privilege, not a program."""
    found = tool if tool == "root" and not os.geteuid() else shutil.which(tool, path=SYSTEM_PATH)
    if found is None:
        missing(tool)
    return found


def need_library(file: str) -> ctypes.CDLL:
    """A shared library, by its file's name; skips or fails the test where there is none."""
    try:
        return ctypes.CDLL(file)
    except OSError:
        missing(file)


def missing(tool: str) -> NoReturn:
    """Skip the test for want of the tool, or fail it where everything is meant to be installed."""
    if os.environ.get("SYSLOGAUTH_PEERS") == "1":
        pytest.fail(f"{tool} is missing, and SYSLOGAUTH_PEERS=1 allows no test to be skipped")
    pytest.skip(f"{tool} is missing")
