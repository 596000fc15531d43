"""The configuration file: TOML in, frozen dataclasses out. Every setting, its default, its limits and the words about a mistake.

Files that it names (never_networks_files) are read with it, and handed on with it, so that every process sees the same.

Mistakes are collected and reported together, one line each: `FILE: key: what is wrong; how to mend it` (ConfigError, exit code 78).
Nothing here opens a socket or a table; besides, only the modes of the directories that a map lies in are looked at.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syslogauth import settings, where
from syslogauth.core import formats
from syslogauth.core.address import Networks
from syslogauth.core.formats.grammar import Format
from syslogauth.core.formats.site import read as read_format
from syslogauth.core.policy import Rule
from syslogauth.settings import Endpoint
from syslogauth.where import ConfigError

__all__ = ["Config", "ConfigError", "Endpoint", "Export", "Listen", "Log", "Metrics", "Policy", "load", "parse", "unsafe"]

FORMATS = ("auto", "hash9", "hash2", "makemap")
FILES_CHARACTERS = 1 << 19  # all of them are handed on in one line, of at most control.MAX_LINE_BYTES, JSON taking 6 bytes for one
LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Source:
    """What is declared of senders and of files, by patterns of their paths: whether they escape a client's line feeds."""

    peers: Networks
    files: tuple[Path, ...]
    escapes: bool


@dataclass(frozen=True, slots=True)
class Listen:
    udp: tuple[Endpoint, ...]
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

    @property
    def longest_grace_seconds(self) -> float:
        return max(self.grace_seconds, *(rule.grace_seconds or 0.0 for rule in self.rule), 0.0)


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
    format: tuple[Format, ...] = ()  # the site's own
    files: dict[str, str] = field(default_factory=dict)  # path -> text of the files that it names


SECTIONS: dict[str, dict[str, tuple[settings.Reader, Any]]] = {  # section -> setting -> (how it is read, its default as TOML has it)
    "listen": {
        "udp": (settings.endpoints, ["127.0.0.1:5140"]),
        "peers": (settings.networks, ["127.0.0.0/8", "::1/128"]),
        "facilities": (settings.facilities, ["mail", "local0"]),
        "receive_buffer_bytes": (settings.number(4096, 1 << 30, "bytes", integer=True), 16777216),
        "workers": (settings.workers, 1),
        "accept_without_pri": (settings.networks, []),
        "require_source_port_514": (settings.flag, False),
        "app_names": (settings.app_names, {}),
    },
    "listen.source": {
        "peers": (settings.networks, []),
        "files": (settings.paths, []),
        "escapes": (settings.flag, None),
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
    "log": {"format": (settings.one_of("auto", "console", "json"), "auto"), "level": (settings.one_of(*LEVELS), "info")},
}
LISTS = ("export", "listen.source", "policy.rule", "policy.always")  # written with two brackets
TOP = {"state_directory", "format", *(name for name in SECTIONS if "." not in name)}


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
            self.wrong(name, f"is not a table; write it as [{name}] with its settings below")
            document = {}
        lists = {of.removeprefix(f"{name}.") for of in LISTS if of.startswith(f"{name}.")}
        for key in [key for key in document if key not in known and key not in lists]:
            self.unknown(f"{name}.{key}", key, {*known, *lists})
        values = {}
        for key, (read, default) in known.items():
            try:
                given = document.get(key, default)
                values[key] = None if given is None else read(given)
            except ValueError as error:
                self.wrong(f"{name}.{key}", str(error))
        return values

    def tables(self, name: str, document: Any) -> list[tuple[str, dict[str, Any]]]:
        """Each table of a list, with its name in messages."""
        if not isinstance(document, list) or not all(isinstance(table, Mapping) for table in document):
            self.wrong(name, f"is not a list of tables; write it as [[{name}]], with two brackets")
            return []
        names = [f"{name}[{number}]" if len(document) > 1 else name for number in range(len(document))]
        return [(called, self.section(called, table)) for called, table in zip(names, document, strict=True)]

    def unknown(self, where: str, key: str, known: Any) -> None:
        if where == "log.facility":  # asked for often enough: its own lines would come back to it
            self.wrong(where, "syslogauth logs to standard error alone, never to facility mail; remove the key")
        else:
            self.wrong(where, f"no such setting{settings.near(key, known)}; known here: {', '.join(sorted(known))}")


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
    reading = _Reading(file, check_paths)
    document = where.document(text, file)
    for key in [key for key in document if key not in TOP]:
        reading.unknown(key, key, TOP)
    state_directory = state_directory or Path(where.default_state_directory())
    try:
        state_directory = settings.absolute_path(document.get("state_directory", str(state_directory)))
    except ValueError as error:
        reading.wrong("state_directory", str(error))
    sites = _formats(reading, document.get("format", []))
    sections = {name: reading.section(name, document.get(name, {})) for name in SECTIONS if name not in LISTS}
    lists = {name: reading.tables(name, _inner(document, name)) for name in LISTS}
    exports = _exports(reading, lists["export"], state_directory)
    read = _never(reading, sections["policy"], files)
    listen = sections["listen"] | {"source": _sources(reading, lists["listen.source"])}
    policy = sections["policy"] | {"rule": _rules(reading, lists["policy.rule"]), "always": _always(reading, lists["policy.always"])}
    _servers(reading, lists["policy.rule"], listen.get("app_names", {}), sites)
    if reading.mistakes:
        raise ConfigError(reading.mistakes)
    return Config(
        *(state_directory, Listen(**listen), Policy(**policy), exports, Metrics(**sections["metrics"]), Log(**sections["log"])),
        format=sites,
        files=read,
    )


def _inner(document: Mapping[str, Any], name: str) -> Any:
    if name == "export":
        return document.get(name, [{}])
    section, _, key = name.partition(".")
    table = document.get(section, {})
    return table.get(key, []) if isinstance(table, Mapping) else []


def _exports(reading: _Reading, tables: list[tuple[str, dict[str, Any]]], state_directory: Path) -> tuple[Export, ...]:
    found = []
    before = len(reading.mistakes)
    for name, values in tables:
        if "path" in values:
            if values["path"] is None:
                values["path"] = state_directory / "popauth"
            elif reading.check_paths and (fault := unsafe(values["path"].parent)):
                reading.wrong(f"{name}.path", fault)
            found.append(values)
    paths = [settings.map_file(values["path"]) for values in found]
    for path in {path for path in paths if paths.count(path) > 1}:
        reading.wrong("export", f"two exports write {path}; give each a path of its own")
    return () if reading.mistakes or len(reading.mistakes) > before else tuple(Export(**values) for values in found)


def _never(reading: _Reading, policy: dict[str, Any], files: Mapping[str, str] | None) -> dict[str, str]:
    """Add the networks of never_networks_files to those of never_networks; the files' texts."""
    read: dict[str, str] = {}
    texts: tuple[str, ...] = policy["never_networks"].texts if "never_networks" in policy else ()
    key = "policy.never_networks_files"
    for path in map(str, policy.get("never_networks_files", ())):
        try:
            read[path] = _text(path) if files is None else files[path]
            texts += settings.network_lines(read[path], path)
        except OSError as error:
            reading.wrong(key, f"{path} cannot be read ({error.strerror}); make it a text with one network a line, or take it out")
        except UnicodeDecodeError:
            reading.wrong(key, f"{path} is no UTF-8; make it a text with one network a line")
        except ValueError as error:
            reading.wrong(key, str(error))
    if sum(map(len, read.values())) > FILES_CHARACTERS:
        reading.wrong(key, f"more than {FILES_CHARACTERS} characters in all; put networks together, and take comments out")
    if "never_networks" in policy:
        policy["never_networks"] = Networks(texts)
    return read


def _text(path: str) -> str:
    with Path(path).open(encoding="utf-8") as file:
        return file.read(FILES_CHARACTERS + 1)


def _sources(reading: _Reading, tables: list[tuple[str, dict[str, Any]]]) -> tuple[Source, ...]:
    for name, values in tables:
        if values.get("escapes", True) is None:
            reading.wrong(
                f"{name}.escapes", "is missing; write true where it escapes a client's line feeds (rsyslog, the BSDs'), false where not"
            )
        if values.get("files") == () and values.get("peers", Networks(("::/0",))).texts == ():
            reading.wrong(name, "names no peers and no files; write one of them")
    return () if reading.mistakes else tuple(Source(**values) for _, values in tables)


def _rules(reading: _Reading, tables: list[tuple[str, dict[str, Any]]]) -> tuple[Rule, ...]:
    for name, values in tables:
        if {"grace_seconds", "refuse"} <= values.keys() and (values["grace_seconds"] is None) is not values["refuse"]:
            reading.wrong(name, "says neither or both of grace_seconds and refuse; write grace_seconds = N, or refuse = true")
        for key in ("service", "server", "networks", "user"):
            if (value := values.get(key)) is not None and not (value.texts if isinstance(value, Networks) else value):
                reading.wrong(f"{name}.{key}", "the list is empty, so that the rule would match nothing; leave the key out for any")
    if reading.mistakes:
        return ()
    return tuple(Rule(*(values[key] for key in ("service", "server", "networks", "user", "grace_seconds"))) for _, values in tables)


def _always(reading: _Reading, tables: list[tuple[str, dict[str, Any]]]) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for name, values in tables:
        address = values.get("address")
        if address is None and "address" in values:
            reading.wrong(f"{name}.address", "is missing; write the one address that may always relay")
        elif address in found:
            reading.wrong(f"{name}.address", "is listed twice; write it once")
        elif address is not None:
            found[address] = values.get("comment", "")
    return found


def _formats(reading: _Reading, document: Any) -> tuple[Format, ...]:
    if not isinstance(document, list) or not all(isinstance(table, Mapping) for table in document):
        reading.wrong("format", "is not a list of tables; write it as [[format]], with two brackets")
        return ()
    found: list[Format] = []
    for number, table in enumerate(document):
        form = read_format(table, frozenset(form.name for form in (*formats.FORMATS, *found)))
        if isinstance(form, Format):
            found.append(form)
            continue
        name = f"format[{number}]" if len(document) > 1 else "format"
        for fault in form:
            reading.wrong(f"{name}.{fault.key}" if fault.key else name, fault.text)
    return tuple(found)


def _servers(
    reading: _Reading, rules: list[tuple[str, dict[str, Any]]], app_names: Mapping[bytes, bytes], sites: tuple[Format, ...]
) -> None:
    """Names of servers and tags are those of the formats, the site's own among them."""
    known = (*formats.FORMATS, *sites)
    servers = sorted(form.name for form in known)
    for name, values in rules:
        for server in sorted((values.get("server") or frozenset()) - set(servers)):
            reading.wrong(f"{name}.server", f"{server!r} is not known{settings.near(server, servers)}; write one of {', '.join(servers)}")
    tags = {tag for form in known for tag in form.app_names}
    for tag, instead in app_names.items():
        if instead not in tags:
            words = [known.decode() for known in tags]
            reading.wrong(
                "listen.app_names",
                f"{instead.decode()!r} is the tag of no format{settings.near(instead.decode(), words)}; see: syslogauth formats",
            )
        elif tag in tags:
            reading.wrong("listen.app_names", f"{tag.decode()!r} is a tag of its own; take it out")


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
