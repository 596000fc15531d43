"""Where the configuration file and the state directory are. Apart from config.py, so that `syslogauth test` need not read all of it."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
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


def document(text: str, file: str) -> "dict[str, Any]":
    """The TOML of a configuration. Raises ConfigError."""
    import tomllib  # 20 ms, with all that it imports: not for those who ask state_directory() alone

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{file}: syntax: {error}; mend the TOML there"]) from None


def state_directory(text: str, file: str) -> "Any":
    """The `state_directory` of a configuration; None where there is none. Raises ConfigError on any mistake of syntax, wherever it is."""
    found = plain_state_directory(text)
    return document(text, file).get("state_directory") if found is None else found or None


def plain_state_directory(text: str) -> str | None:
    """The same of a file that keeps to plain TOML, as the one that is shipped does; empty where it names none. None for any other file.

    tomllib and what it imports take 20 ms, half of what `syslogauth test` has. Plain are comments, [a], [[a]], [[a.b]] below [a], and on
    one line each a bare key with a text in double quotes without a backslash, a list of those, a number, true, false, [] or {}.
    """
    if not text.replace("\n", "").isprintable():
        return None
    section, directory = "", ""
    names, tables, arrays = set[str](), set[str](), dict[str, int]()
    for line in text.split("\n"):
        line = line.partition("#")[0].strip(" ")  # a text with a # in it loses its second quotation mark, and is not plain then
        if line.startswith("["):
            brackets = 2 if line.startswith("[[") else 1
            section = line[brackets:-brackets]
            parent, _, name = section.rpartition(".")
            if line != "[" * brackets + section + "]" * brackets or not _bare(name) or section == "state_directory":
                return None
            if (parent and parent not in tables) or (section in names and not (brackets == 2 and section in arrays)):
                return None
            names.add(section)
            if brackets == 2:
                arrays[section] = arrays.get(section, 0) + 1
                section += f" {arrays[section]}"  # its keys are its own
            elif not parent:
                tables.add(section)
        elif line:
            key, equals, value = (part.strip(" ") for part in line.partition("="))
            name = f"{section}.{key}" if section else key
            if not equals or not _bare(key) or name in names or not _plain(value):
                return None
            names.add(name)
            if name == "state_directory":
                if not _quoted(value):
                    return None
                directory = value[1:-1]
    return directory


def _bare(key: str) -> bool:
    return key.isascii() and key.replace("_", "").isalnum()


def _quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] == '"' and not ('"' in value[1:-1] or "\\" in value)


def _plain(value: str) -> bool:
    if value in ("true", "false", "[]", "{}") or _quoted(value):
        return True
    if value.startswith("["):
        return value.endswith("]") and all(_quoted(item.strip(" ")) for item in value[1:-1].split(","))
    whole, dot, rest = value.partition(".")
    return value.isascii() and whole.isdigit() and (whole == "0" or whole[0] != "0") and len(value) < 19 and (not dot or rest.isdigit())
