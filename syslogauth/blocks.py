"""What the configuration has several of: [[export]], [[listen.source]], [[tls.peer]], [[policy.rule]], [[policy.always]], [[format]],
files of networks.

Each function makes ours of what was read, and says what is wrong between one setting and another.
"""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syslogauth import settings
from syslogauth.core import formats
from syslogauth.core.address import Networks
from syslogauth.core.formats.grammar import Format
from syslogauth.core.formats.site import read as read_format
from syslogauth.core.peers import Certified
from syslogauth.core.policy import Rule
from syslogauth.reading import Reading

FILES_CHARACTERS = 1 << 19  # all of them are handed on in one line, of at most control.MAX_LINE_BYTES, JSON taking 6 bytes for one


@dataclass(frozen=True, slots=True)
class Source:
    """What is declared of senders, by address or by their name in [[tls.peer]], and of files, by patterns of their paths: whether
    they escape a client's line feeds."""

    peers: Networks
    tls_peers: frozenset[str]
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


def certified(reading: Reading, tables: list[tuple[str, dict[str, Any]]]) -> tuple[Certified, ...]:
    before, seen = len(reading.mistakes), set[str]()
    for called, values in tables:
        name = values.get("name")
        if name is None and "name" in values:
            reading.wrong(f"{called}.name", "is missing; write what metrics and logs shall call this peer")
        elif name in seen:
            reading.wrong(f"{called}.name", f"{name!r} is there twice; put both into one block, or give each a name of its own")
        elif name is not None:
            seen.add(name)
        if values.get("subjects") == () == values.get("fingerprints"):
            reading.wrong(called, "lists no subjects and no fingerprints, so that no certificate is this peer's; write one of them")
    return () if len(reading.mistakes) > before else tuple(Certified(**values) for _, values in tables if len(values) == 3)


def places(reading: Reading, listen: dict[str, Any], tls: dict[str, Any], document: Mapping[str, Any]) -> None:
    """Where messages come from, and what listen.tls needs."""
    if not any(listen.get(key, True) for key in ("udp", "tcp", "tls", "file")):
        reading.wrong("listen", 'udp, tcp, tls and file are all empty, so that nothing would be read; write udp = ["127.0.0.1:5140"]')
    for place in sorted(map(str, {*listen.get("tcp", ())} & {*listen.get("tls", ())})):
        reading.wrong("listen.tls", f"{place} is listed in listen.tcp too; give each a port of its own")
    if not listen.get("tls"):
        return
    if "tls" not in document:
        reading.wrong("listen.tls", "needs [tls] with certificate, key and client_ca, and a [[tls.peer]] for each peer; write them")
        return
    paths = {key: tls[key] for key in ("certificate", "key", "client_ca") if key in tls}
    for key in [key for key, path in paths.items() if path is None]:
        reading.wrong(f"tls.{key}", "is missing, and listen.tls needs it; write the path of a PEM file")
    if not tls["peer"] and not reading.mistakes:
        reading.wrong("tls.peer", "there is none, so that every certificate would be refused; write a [[tls.peer]] with name and subjects")
    if reading.check_paths and len(paths) == 3 and None not in paths.values():
        from syslogauth.certificates import fault  # OpenSSL takes 10 ms to load, which no command needs

        if found := fault(**paths):
            reading.wrong(*found)


def sources(reading: Reading, tables: list[tuple[str, dict[str, Any]]], peers: Sequence[Certified]) -> tuple[Source, ...]:
    known = {peer.name for peer in peers}
    for name, values in tables:
        for word in sorted(values.get("tls_peers", frozenset()) - known):
            reading.wrong(f"{name}.tls_peers", f"{word!r} is the name of no [[tls.peer]]{settings.near(word, known)}; write one that is")
        if values.get("escapes", True) is None:
            reading.wrong(
                f"{name}.escapes", "is missing; write true where it escapes a client's line feeds (rsyslog, the BSDs'), false where not"
            )
        if values.get("files") == () and not values.get("tls_peers", True) and values.get("peers", Networks(("::/0",))).texts == ():
            reading.wrong(name, "names no peers, no tls_peers and no files; write one of them")
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
