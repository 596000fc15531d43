"""What the configuration has several of: [[export]], [[listen.source]], [[policy.rule]], [[policy.always]], [[format]], files of networks.

Each function makes ours of what was read, and says what is wrong between one setting and another.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syslogauth import settings
from syslogauth.core import formats
from syslogauth.core.address import Networks
from syslogauth.core.formats.grammar import Format
from syslogauth.core.formats.site import read as read_format
from syslogauth.core.policy import Rule
from syslogauth.reading import Reading

FILES_CHARACTERS = 1 << 19  # all of them are handed on in one line, of at most control.MAX_LINE_BYTES, JSON taking 6 bytes for one


@dataclass(frozen=True, slots=True)
class Source:
    """What is declared of senders and of files, by patterns of their paths: whether they escape a client's line feeds."""

    peers: Networks
    files: tuple[Path, ...]
    escapes: bool


@dataclass(frozen=True, slots=True)
class Export:
    type: str
    path: Path
    format: str
    ipv6_form: str
    key_prefix: str
    min_interval_seconds: float
    mode: int


def exports(reading: Reading, tables: list[tuple[str, dict[str, Any]]], state_directory: Path) -> tuple[Export, ...]:
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


def never_files(reading: Reading, policy: dict[str, Any], files: Mapping[str, str] | None) -> dict[str, str]:
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


def sources(reading: Reading, tables: list[tuple[str, dict[str, Any]]]) -> tuple[Source, ...]:
    for name, values in tables:
        if values.get("escapes", True) is None:
            reading.wrong(
                f"{name}.escapes", "is missing; write true where it escapes a client's line feeds (rsyslog, the BSDs'), false where not"
            )
        if values.get("files") == () and values.get("peers", Networks(("::/0",))).texts == ():
            reading.wrong(name, "names no peers and no files; write one of them")
    return () if reading.mistakes else tuple(Source(**values) for _, values in tables)


def rules(reading: Reading, tables: list[tuple[str, dict[str, Any]]]) -> tuple[Rule, ...]:
    for name, values in tables:
        if {"grace_seconds", "refuse"} <= values.keys() and (values["grace_seconds"] is None) is not values["refuse"]:
            reading.wrong(name, "says neither or both of grace_seconds and refuse; write grace_seconds = N, or refuse = true")
        for key in ("service", "server", "networks", "user"):
            if (value := values.get(key)) is not None and not (value.texts if isinstance(value, Networks) else value):
                reading.wrong(f"{name}.{key}", "the list is empty, so that the rule would match nothing; leave the key out for any")
    if reading.mistakes:
        return ()
    return tuple(Rule(*(values[key] for key in ("service", "server", "networks", "user", "grace_seconds"))) for _, values in tables)


def always(reading: Reading, tables: list[tuple[str, dict[str, Any]]]) -> dict[bytes, str]:
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


def own_formats(reading: Reading, document: Any) -> tuple[Format, ...]:
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


def known_servers(
    reading: Reading, rules: list[tuple[str, dict[str, Any]]], app_names: Mapping[bytes, bytes], sites: tuple[Format, ...]
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
