"""The configuration file: TOML in, frozen dataclasses out. Every setting, its default, its limits and the words about a mistake.

Files that it names (never_networks_files) are read with it, and handed on with it, so that every process sees the same.

Mistakes are collected and reported together, one line each: `FILE: key: what is wrong; how to mend it` (ConfigError, exit code 78).
Nothing here opens a socket or a table; besides, only the modes of the directories that a map lies in are looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syslogauth import blocks, settings, where
from syslogauth.blocks import Export, Source, unsafe
from syslogauth.core.address import Networks
from syslogauth.core.formats.grammar import Format
from syslogauth.core.peers import Certified
from syslogauth.core.policy import Rule
from syslogauth.reading import Reading
from syslogauth.settings import Endpoint
from syslogauth.where import ConfigError

__all__ = ["Config", "ConfigError", "Endpoint", "Export", "Listen", "Log", "Metrics", "Policy", "load", "parse", "unsafe"]

FORMATS = ("auto", "hash9", "hash2", "makemap")
LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Listen:
    udp: tuple[Endpoint, ...]
    tcp: tuple[Endpoint, ...]
    tls: tuple[Endpoint, ...]
    file: tuple[Path, ...]
    max_connections: int
    max_connections_per_peer: int
    peers: Networks
    facilities: frozenset[str]
    receive_buffer_bytes: int
    workers: int
    accept_without_pri: Networks
    require_source_port_514: bool
    app_names: dict[bytes, bytes]
    source: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    grace_seconds: float
    services: frozenset[str]
    never_networks: Networks
    never_networks_files: tuple[Path, ...]
    never_own: bool
    proxied: bool
    trusted_proxies: Networks
    qpopper_stats: bool
    hold_while_connected: bool
    hold_max_seconds: float
    max_addresses: int
    max_addresses_per_user: int
    max_addresses_per_ipv6_64: int
    max_new_grants_per_minute: int
    max_manual_seconds: float
    on_stop: str
    rule: tuple[Rule, ...]
    always: dict[bytes, str]
    store_users: bool

    @property
    def longest_grace_seconds(self) -> float:
        return max(self.grace_seconds, *(rule.grace_seconds or 0.0 for rule in self.rule), 0.0)


@dataclass(frozen=True, slots=True)
class Tls:
    """Our certificate and its key, and who signs those of the peers, which are these; no paths where nothing listens for them."""

    certificate: Path | None
    key: Path | None
    client_ca: Path | None
    peer: tuple[Certified, ...]


@dataclass(frozen=True, slots=True)
class Metrics:
    listen: Endpoint | None


@dataclass(frozen=True, slots=True)
class Log:
    format: str
    level: str
    users: bool
    silent_after_seconds: float


@dataclass(frozen=True, slots=True)
class Config:
    state_directory: Path
    listen: Listen
    policy: Policy
    export: tuple[Export, ...]
    metrics: Metrics
    log: Log
    tls: Tls
    format: tuple[Format, ...] = ()  # the site's own
    files: dict[str, str] = field(default_factory=dict)  # path -> text of the files that it names


SECTIONS: dict[str, dict[str, tuple[settings.Reader, Any]]] = {  # section -> setting -> (how it is read, its default as TOML has it)
    "listen": {
        "udp": (settings.endpoints, ["127.0.0.1:5140"]),
        "tcp": (settings.endpoints, []),
        "tls": (settings.endpoints, []),
        "file": (settings.log_files, []),
        "max_connections": (settings.number(1, 65536, "connections", integer=True), 1024),
        "max_connections_per_peer": (settings.number(1, 65536, "connections", integer=True), 128),
        "peers": (settings.networks, ["127.0.0.0/8", "::1/128"]),
        "facilities": (settings.facilities, ["mail", "local0"]),
        "receive_buffer_bytes": (settings.number(4096, 1 << 30, "bytes", integer=True), 16777216),
        "workers": (settings.number(1, 64, "receiving processes", integer=True), 1),
        "accept_without_pri": (settings.networks, []),
        "require_source_port_514": (settings.flag, False),
        "app_names": (settings.app_names, {}),
    },
    "listen.source": {
        "peers": (settings.networks, []),
        "tls_peers": (settings.names, []),
        "files": (settings.paths, []),
        "escapes": (settings.flag, None),
    },
    "tls": {
        "certificate": (settings.absolute_path, None),
        "key": (settings.absolute_path, None),
        "client_ca": (settings.absolute_path, None),
    },
    "tls.peer": {
        "name": (settings.name, None),
        "subjects": (settings.subjects, []),
        "fingerprints": (settings.fingerprints, []),
    },
    "policy": {
        "grace_seconds": (settings.number(1, 86400 * 31, "seconds"), 1800),
        "services": (settings.services, ["imap", "pop3"]),
        "never_networks": (settings.networks, ["127.0.0.0/8", "::1/128"]),
        "never_networks_files": (settings.paths, []),
        "never_own": (settings.flag, True),
        "proxied": (settings.flag, True),
        "trusted_proxies": (settings.networks, []),
        "qpopper_stats": (settings.flag, False),
        "hold_while_connected": (settings.flag, False),
        "hold_max_seconds": (settings.number(1, 86400 * 31, "seconds"), 43200),
        "max_addresses": (settings.number(1, 100_000_000, "addresses", integer=True), 5_000_000),
        "max_addresses_per_user": (settings.number(0, 100_000_000, "addresses", integer=True), 256),
        "max_addresses_per_ipv6_64": (settings.number(0, 100_000_000, "addresses", integer=True), 1024),
        "max_new_grants_per_minute": (settings.number(0, 100_000_000, "grants", integer=True), 0),
        "max_manual_seconds": (settings.number(1, 86400 * 3660, "seconds"), 31536000),
        "on_stop": (settings.one_of("empty", "keep"), "empty"),
        "store_users": (settings.flag, True),
    },
    "policy.rule": {
        "service": (settings.services, None),
        "server": (settings.servers, None),
        "networks": (settings.networks, None),
        "user": (settings.users, None),
        "grace_seconds": (settings.number(1, 86400 * 31, "seconds"), None),
        "refuse": (settings.flag, False),
    },
    "policy.always": {
        "address": (settings.client, None),
        "comment": (settings.text, ""),
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
    "log": {
        "format": (settings.one_of("auto", "console", "json"), "auto"),
        "level": (settings.one_of(*LEVELS), "info"),
        "users": (settings.flag, False),
        "silent_after_seconds": (settings.number(0, 86400 * 31, "seconds"), 900),
    },
}
LISTS = ("export", "listen.source", "tls.peer", "policy.rule", "policy.always")  # written with two brackets
TOP = {"state_directory", "format", *(name for name in SECTIONS if "." not in name)}


def parse(
    text: str,
    file: str = "defaults",
    *,
    check_paths: bool = False,
    state_directory: Path | None = None,
    files: Mapping[str, str] | None = None,
) -> Config:
    """The configuration of a TOML text; `file` names it in messages. Raises ConfigError with every mistake found.

    `state_directory` is the default of that setting: a child must not find another one than its parent, who may have been root then.
    `files` are the texts of the files that it names, where they have been read already: a child must not read others than its parent.

    `check_paths`: also whether sendmail would read maps there. Asked before a start or a reload only: a directory that somebody has
    made writable since must not keep `deny` from working, nor a dead process from coming back.
    """
    reading = Reading(file, check_paths, SECTIONS, LISTS)
    document = where.document(text, file)
    for key in [key for key in document if key not in TOP]:
        reading.unknown(key, key, TOP)
    state_directory = state_directory or Path(where.default_state_directory())
    try:
        state_directory = settings.absolute_path(document.get("state_directory", str(state_directory)))
    except ValueError as error:
        reading.wrong("state_directory", str(error))
    sites = blocks.own_formats(reading, document.get("format", []))
    sections = {name: reading.section(name, document.get(name, {})) for name in SECTIONS if name not in LISTS}
    lists = {name: reading.tables(name, _inner(document, name)) for name in LISTS}
    exports = blocks.exports(reading, lists["export"], state_directory)
    read = blocks.never_files(reading, sections["policy"], files)
    tls = sections["tls"] | {"peer": blocks.certified(reading, lists["tls.peer"])}
    blocks.places(reading, sections["listen"], tls, document)
    listen = sections["listen"] | {"source": blocks.sources(reading, lists["listen.source"], tls["peer"])}
    policy = sections["policy"]
    policy |= {"rule": blocks.rules(reading, lists["policy.rule"]), "always": blocks.always(reading, lists["policy.always"])}
    blocks.known_servers(reading, lists["policy.rule"], listen.get("app_names", {}), sites)
    if sections["log"].get("users") and policy.get("store_users") is False:
        reading.wrong("log.users", "would write the names that policy.store_users = false keeps out; set one of them the other way")
    if reading.mistakes:
        raise ConfigError(reading.mistakes)
    return Config(
        *(state_directory, Listen(**listen), Policy(**policy), exports, Metrics(**sections["metrics"]), Log(**sections["log"])),
        tls=Tls(**tls),
        format=sites,
        files=read,
    )


def _inner(document: Mapping[str, Any], name: str) -> Any:
    if name == "export":
        return document.get(name, [{}])
    section, _, key = name.partition(".")
    table = document.get(section, {})
    return table.get(key, []) if isinstance(table, Mapping) else []


def load(path: str | None = None, *, check_paths: bool = False) -> tuple[Config, str, str]:
    """The configuration, its text and the name of its file: see where.read() and parse(). Raises ConfigError."""
    text, file = where.read(path)
    return parse(text, file, check_paths=check_paths), text, file
