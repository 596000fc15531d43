"""Where the configuration file and the state directory are. Apart from config.py, so that `syslogauth test` need not read all of it."""

import os
import sys
import tomllib
from typing import Any

FILE = "/usr/local/etc/syslogauth.toml" if sys.platform.startswith("freebsd") else "/etc/syslogauth.toml"


class ConfigError(Exception):
    """What is wrong with a configuration: `mistakes` are whole lines."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


def default_state_directory() -> str:
    """/var/lib/syslogauth on Linux, /var/db/syslogauth elsewhere; the user's own state folder when not root."""
    if os.geteuid() == 0:
        return "/var/lib/syslogauth" if sys.platform == "linux" else "/var/db/syslogauth"
    return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "syslogauth")


def read(path: str | None) -> tuple[str, str]:
    """Text and name of the configuration: `path`, else SYSLOGAUTH_CONFIG, else FILE; "" and `defaults` where there is none.

    Raises ConfigError where a file was named that cannot be read.
    """
    named = path or os.environ.get("SYSLOGAUTH_CONFIG")
    file = named or FILE
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read(), file
    except FileNotFoundError:
        if named:
            raise ConfigError([f"{file}: file: does not exist; name another with --config or SYSLOGAUTH_CONFIG"]) from None
        return "", "defaults"
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: file: cannot be read ({error}); make it a UTF-8 text that this user may read"]) from None


def document(text: str, file: str) -> dict[str, Any]:
    """The TOML of a configuration. Raises ConfigError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{file}: syntax: {error}; mend the TOML there"]) from None
