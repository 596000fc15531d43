"""The configuration file: TOML in, frozen dataclasses out. Every setting, its default, its limits and the words about a mistake.

Mistakes are collected and reported together, one line each: `FILE: key: what is wrong; how to mend it` (ConfigError, exit code 78).
Nothing here opens a socket or a table; the only thing read besides the file is the mode of the directories that a map lies in.
"""

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syslogauth import where
from syslogauth.core.address import Networks, canonical, pack
from syslogauth.core.message import FACILITIES
from syslogauth.where import ConfigError

__all__ = ["Config", "ConfigError", "Endpoint", "Export", "Listen", "Log", "Metrics", "Policy", "load", "parse", "unsafe"]

SERVICES = ("imap", "pop3", "submission", "managesieve")
FORMATS = ("auto", "hash9", "hash2", "makemap")
LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A literal address and a port to listen on; the text is `192.0.2.1:514` or `[2001:db8::1]:514`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listen:
    udp: tuple[Endpoint, ...]
    peers: Networks
    facilities: frozenset[str]
    receive_buffer_bytes: int
    workers: int
    accept_without_pri: Networks
    require_source_port_514: bool


@dataclass(frozen=True, slots=True)
class Policy:
    grace_seconds: float
    services: frozenset[str]
    never_networks: Networks
    never_own: bool
    proxied: bool
    qpopper_stats: bool
    max_addresses: int
    max_manual_seconds: float
    on_stop: str


@dataclass(frozen=True, slots=True)
class Export:
    type: str
    path: Path
    format: str
    ipv6_form: str
    key_prefix: str
    min_interval_seconds: float
    mode: int


@dataclass(frozen=True, slots=True)
class Metrics:
    listen: Endpoint | None


@dataclass(frozen=True, slots=True)
class Log:
    format: str
    level: str


@dataclass(frozen=True, slots=True)
class Config:
    state_directory: Path
    listen: Listen
    policy: Policy
    export: tuple[Export, ...]
    metrics: Metrics
    log: Log


# how a value is read: a function of the TOML value that returns ours or raises ValueError("what is wrong; how to mend it")


def _of(kind: type, name: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{value!r} is not {name}; write {name}")
        return value

    return read


_text, _flag, _whole = _of(str, "a string in double quotes"), _of(bool, "true or false"), _of(int, "a whole number")


def _number(least: float, most: float, unit: str, whole: bool = False) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise ValueError(f"{value!r} is not a {'whole ' if whole else ''}number of {unit}; write it without quotes")
        if not least <= value <= most:
            raise ValueError(f"{value} {unit} is out of range; write one from {least} to {most}")
        return value if whole else float(value)

    return read


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is not known{_near(value, words)}; write one of {', '.join(words)}")
        return str(value)

    return read


def _list_of(read_item: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f'{value!r} is not a list; write it in brackets: ["..."]')
        return tuple(read_item(item) for item in value)

    return read


def _network(value: Any) -> str:
    text = _text(value)
    try:
        Networks((text,))
    except ValueError as error:
        raise ValueError(f"{error}; write networks such as 192.0.2.0/24 or 2001:db8::/32, host bits zero") from None
    return str(text)


def _networks(value: Any) -> Networks:
    return Networks(_list_of(_network)(value))


def _endpoint(value: Any) -> Endpoint:
    host, colon, port = _text(value).rpartition(":")
    address = pack(host[1:-1]) if host.startswith("[") and host.endswith("]") else pack(host) if ":" not in host else None
    if not colon or address is None or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f'{value!r} is not ADDRESS:PORT; write "127.0.0.1:5140" or "[::1]:5140", with a literal address')
    return Endpoint(canonical(address), int(port))


def _path(value: Any) -> Path:
    path = Path(_text(value))
    if not path.is_absolute():
        raise ValueError(f"{value!r} is not an absolute path; begin it with /")
    return path


def _mode(value: Any) -> int:
    if not isinstance(value, str) or not value.isdecimal() or len(value) not in (3, 4) or not set(value) <= set("01234567"):
        raise ValueError(f'{value!r} is not a file mode; write it as octal digits in quotes: "0640"')
    mode = int(value, 8)
    if mode & 0o133 or not mode & 0o600 == 0o600:
        raise ValueError(f"mode {value} would let others write the map or keep syslogauth from it; write 0640, 0600 or 0644")
    return mode


def _key_prefix(value: Any) -> str:
    if any(c.isspace() or not c.isprintable() for c in _text(value)):
        raise ValueError(f'{value!r} holds a blank or a control character; write a prefix such as "POP:"')
    return str(value)


def _workers(value: Any) -> int:
    if _whole(value) != 1:
        raise ValueError(f"{value} receiving processes are not supported by this version; write 1")
    return 1


def _services(value: Any) -> frozenset[str]:
    return frozenset(_list_of(_one_of(*SERVICES))(value))


def _facilities(value: Any) -> frozenset[str]:
    if not (names := frozenset(_list_of(_one_of(*FACILITIES))(value))):
        raise ValueError('the list is empty, so that every message would be refused; write ["mail"] at least')
    return names


Reader = Callable[[Any], Any]
SECTIONS: dict[str, dict[str, tuple[Reader, Any]]] = {  # section -> setting -> (how it is read, its default as TOML has it)
    "listen": {
        "udp": (_list_of(_endpoint), ["127.0.0.1:5140"]),
        "peers": (_networks, ["127.0.0.0/8", "::1/128"]),
        "facilities": (_facilities, ["mail", "local0"]),
        "receive_buffer_bytes": (_number(4096, 1 << 30, "bytes", whole=True), 16777216),
        "workers": (_workers, 1),
        "accept_without_pri": (_networks, []),
        "require_source_port_514": (_flag, False),
    },
    "policy": {
        "grace_seconds": (_number(1, 86400 * 31, "seconds"), 1800),
        "services": (_services, ["imap", "pop3"]),
        "never_networks": (_networks, ["127.0.0.0/8", "::1/128"]),
        "never_own": (_flag, True),
        "proxied": (_flag, True),
        "qpopper_stats": (_flag, False),
        "max_addresses": (_number(1, 100_000_000, "addresses", whole=True), 5_000_000),
        "max_manual_seconds": (_number(1, 86400 * 3660, "seconds"), 31536000),
        "on_stop": (_one_of("empty", "keep"), "empty"),
    },
    "export": {
        "type": (_one_of("sendmail-hash"), "sendmail-hash"),
        "path": (_path, None),
        "format": (_one_of(*FORMATS), "auto"),
        "ipv6_form": (_one_of("full", "compressed", "both"), "full"),
        "key_prefix": (_key_prefix, ""),
        # sendmail compares mtimes in whole seconds: a map that changes more often would run ahead of the clock (law 8)
        "min_interval_seconds": (_number(1, 3600, "seconds"), 1.0),
        "mode": (_mode, "0640"),
    },
    "metrics": {"listen": (lambda value: None if value == "" else _endpoint(value), "127.0.0.1:9514")},
    "log": {"format": (_one_of("auto", "console", "json"), "auto"), "level": (_one_of(*LEVELS), "info")},
}
TOP = {"state_directory", *SECTIONS}


@dataclass(slots=True)
class _Reading:
    """One pass over a document, collecting its mistakes."""

    file: str
    mistakes: list[str] = field(default_factory=list)

    def wrong(self, key: str, text: str) -> None:
        self.mistakes.append(f"{self.file}: {key}: {text}")

    def section(self, name: str, document: Any) -> dict[str, Any]:
        known = SECTIONS[name.partition("[")[0]]
        if not isinstance(document, Mapping):
            self.wrong(name, f"is not a table; write it as [{name}] with its settings below")
            document = {}
        for key in document.keys() - known.keys():
            self.unknown(f"{name}.{key}", key, known)
        values = {}
        for key, (read, default) in known.items():
            try:
                given = document.get(key, default)
                values[key] = None if given is None else read(given)
            except ValueError as error:
                self.wrong(f"{name}.{key}", str(error))
        return values

    def unknown(self, where: str, key: str, known: Any) -> None:
        if where == "log.facility":  # asked for often enough: its own lines would come back to it
            self.wrong(where, "syslogauth logs to standard error alone, never to facility mail; remove the key")
        else:
            self.wrong(where, f"no such setting{_near(key, known)}; known here: {', '.join(sorted(known))}")


def _near(word: Any, known: Any) -> str:
    import difflib  # only where something is wrong: `test` must start fast

    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def parse(text: str, file: str = "defaults") -> Config:
    """The configuration of a TOML text; `file` names it in messages. Raises ConfigError with every mistake found."""
    reading = _Reading(file)
    document = where.document(text, file)
    for key in document.keys() - TOP:
        reading.unknown(key, key, TOP)
    try:
        state_directory = _path(document["state_directory"]) if "state_directory" in document else Path(where.default_state_directory())
    except ValueError as error:
        reading.wrong("state_directory", str(error))
        state_directory = Path(where.default_state_directory())
    sections = {name: reading.section(name, document.get(name, {})) for name in SECTIONS if name != "export"}
    exports = _exports(reading, document.get("export", [{}]), state_directory)
    if reading.mistakes:
        raise ConfigError(reading.mistakes)
    return Config(
        state_directory,
        Listen(**sections["listen"]),
        Policy(**sections["policy"]),
        exports,
        Metrics(**sections["metrics"]),
        Log(**sections["log"]),
    )


def _exports(reading: _Reading, document: Any, state_directory: Path) -> tuple[Export, ...]:
    if not isinstance(document, list):
        reading.wrong("export", "is not a list of tables; write it as [[export]], with two brackets")
        return ()
    before = len(reading.mistakes)
    found = []
    for number, table in enumerate(document):
        name = f"export[{number}]" if len(document) > 1 else "export"
        values = reading.section(name, table)
        if "path" in values:
            if values["path"] is None:
                values["path"] = state_directory / "popauth"
            elif fault := unsafe(values["path"].parent):
                reading.wrong(f"{name}.path", fault)
            found.append(values)
    paths = [values["path"] for values in found]
    for path in {path for path in paths if paths.count(path) > 1}:
        reading.wrong("export", f"two exports write {path}; give each a path of its own")
    return () if len(reading.mistakes) > before else tuple(Export(**values) for values in found)


def unsafe(directory: Path) -> str | None:
    """Why sendmail would not read a map in this directory (libsmutil/safefile.c); None where it would.

    Sticky directories pass: Debian's and FreeBSD's sendmail.cf have TrustStickyBit.
    """
    for folder in (directory, *directory.parents):
        try:
            mode = folder.stat().st_mode
        except OSError:
            continue
        if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
            return f"{folder} is writable by group or others, so sendmail would not read the map; run: chmod go-w {folder}"
    return None


def load(path: str | None = None) -> tuple[Config, str, str]:
    """The configuration, its text and the name of its file: see where.read(). Raises ConfigError."""
    text, file = where.read(path)
    return parse(text, file), text, file
