"""The configuration file: TOML in, frozen dataclasses out. Every setting, its default, its limits and the words about a mistake.

Mistakes are collected and reported together, one line each: `FILE: key: what is wrong; how to mend it` (ConfigError, exit code 78).
Nothing here opens a socket or a table; the only thing read besides the file is the mode of the directories that a map lies in.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syslogauth import settings, where
from syslogauth.core.address import Networks
from syslogauth.settings import Endpoint
from syslogauth.where import ConfigError

__all__ = ["Config", "ConfigError", "Endpoint", "Export", "Listen", "Log", "Metrics", "Policy", "load", "parse", "unsafe"]

FORMATS = ("auto", "hash9", "hash2", "makemap")
LEVELS = ("debug", "info", "warning", "error")


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


SECTIONS: dict[str, dict[str, tuple[settings.Reader, Any]]] = {  # section -> setting -> (how it is read, its default as TOML has it)
    "listen": {
        "udp": (settings.endpoints, ["127.0.0.1:5140"]),
        "peers": (settings.networks, ["127.0.0.0/8", "::1/128"]),
        "facilities": (settings.facilities, ["mail", "local0"]),
        "receive_buffer_bytes": (settings.number(4096, 1 << 30, "bytes", integer=True), 16777216),
        "workers": (settings.workers, 1),
        "accept_without_pri": (settings.networks, []),
        "require_source_port_514": (settings.flag, False),
    },
    "policy": {
        "grace_seconds": (settings.number(1, 86400 * 31, "seconds"), 1800),
        "services": (settings.services, ["imap", "pop3"]),
        "never_networks": (settings.networks, ["127.0.0.0/8", "::1/128"]),
        "never_own": (settings.flag, True),
        "proxied": (settings.flag, True),
        "qpopper_stats": (settings.flag, False),
        "max_addresses": (settings.number(1, 100_000_000, "addresses", integer=True), 5_000_000),
        "max_manual_seconds": (settings.number(1, 86400 * 3660, "seconds"), 31536000),
        "on_stop": (settings.one_of("empty", "keep"), "empty"),
    },
    "export": {
        "type": (settings.one_of("sendmail-hash"), "sendmail-hash"),
        "path": (settings.map_path, None),
        "format": (settings.one_of(*FORMATS), "auto"),
        "ipv6_form": (settings.one_of("full", "compressed", "both"), "full"),
        "key_prefix": (settings.key_prefix, ""),
        # sendmail compares mtimes in whole seconds: a map that changes more often would run ahead of the clock (law 8)
        "min_interval_seconds": (settings.number(1, 60, "seconds"), 1.0),
        "mode": (settings.mode, "0640"),
    },
    "metrics": {"listen": (lambda value: None if value == "" else settings.endpoint(value), "127.0.0.1:9514")},
    "log": {"format": (settings.one_of("auto", "console", "json"), "auto"), "level": (settings.one_of(*LEVELS), "info")},
}
TOP = {"state_directory", *SECTIONS}


@dataclass(slots=True)
class _Reading:
    """One pass over a document, collecting its mistakes."""

    file: str
    check_paths: bool
    mistakes: list[str] = field(default_factory=list)

    def wrong(self, key: str, text: str) -> None:
        self.mistakes.append(f"{self.file}: {key}: {text}")

    def section(self, name: str, document: Any) -> dict[str, Any]:
        known = SECTIONS[name.partition("[")[0]]
        if not isinstance(document, Mapping):
            written = "[[export]]" if name.startswith("export") else f"[{name}]"
            self.wrong(name, f"is not a table; write it as {written} with its settings below")
            document = {}
        for key in [key for key in document if key not in known]:
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
            self.wrong(where, f"no such setting{settings.near(key, known)}; known here: {', '.join(sorted(known))}")


def parse(text: str, file: str = "defaults", *, check_paths: bool = False, state_directory: Path | None = None) -> Config:
    """The configuration of a TOML text; `file` names it in messages. Raises ConfigError with every mistake found.

    `state_directory` is the default of that setting: a child must not find another one than its parent, who may have been root then.

    `check_paths`: also whether sendmail would read maps there. Asked before a start or a reload only: a directory that somebody has
    made writable since must not keep `deny` from working, nor a dead process from coming back.
    """
    reading = _Reading(file, check_paths)
    document = where.document(text, file)
    for key in [key for key in document if key not in TOP]:
        reading.unknown(key, key, TOP)
    state_directory = state_directory or Path(where.default_state_directory())
    try:
        state_directory = settings.absolute_path(document.get("state_directory", str(state_directory)))
    except ValueError as error:
        reading.wrong("state_directory", str(error))
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
            elif reading.check_paths and (fault := unsafe(values["path"].parent)):
                reading.wrong(f"{name}.path", fault)
            found.append(values)
    paths = [settings.map_file(values["path"]) for values in found]
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


def load(path: str | None = None, *, check_paths: bool = False) -> tuple[Config, str, str]:
    """The configuration, its text and the name of its file: see where.read() and parse(). Raises ConfigError."""
    text, file = where.read(path)
    return parse(text, file, check_paths=check_paths), text, file
