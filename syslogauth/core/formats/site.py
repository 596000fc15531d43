"""A site's own format: a `[[format]]` table of the configuration, held to the same rules as those that come with the program.

name        what the table and the metrics call it             app_name    the tags, exactly; or one of them
pattern     a regular expression (Python's re, over bytes) for the whole text, with the groups user and address, and perhaps service,
            local_address and session                          service     where the pattern has no such group
escapes     whether the server escapes a client's line feeds (default false: not believed from a source that may split there)
samples     tables of text, address and user, and of service and app_name where those differ: lines that are logins
near_misses texts that are not, a failed login first           sources     for whoever reads it next
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syslogauth.core.formats.check import faults
from syslogauth.core.formats.grammar import Format, Kind, Line, Sample, whole
from syslogauth.core.formats.pattern import GROUPS, literal_start

TAG = re.compile(r"[\w./+-]{1,64}", re.ASCII)
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
KEYS = {"name", "app_name", "pattern", "service", "escapes", "samples", "near_misses", "sources"}
SAMPLE_KEYS = {"text", "address", "user", "service", "app_name"}
SERVICE_NAMES = ("imap", "pop3", "submission", "managesieve")


@dataclass(frozen=True, slots=True)
class Fault:
    """A user's mistake: in which key, and what to do."""

    key: str
    text: str


def read(table: Mapping[str, Any], taken: frozenset[str]) -> Format | list[Fault]:
    """The format of one `[[format]]` table, or everything that is wrong with it. `taken`: names that other formats have."""
    wrong = [Fault(key, f"no such setting; known here: {', '.join(sorted(KEYS))}") for key in table if key not in KEYS]
    name, tags, pattern = table.get("name"), table.get("app_name"), table.get("pattern")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        wrong.append(Fault("name", f"{name!r} is no name; write a word of small letters, digits, - and _"))
    elif name in taken:
        wrong.append(Fault("name", f"{name} is the name of a format that there is already; write another"))
    tags = [tags] if isinstance(tags, str) else tags
    if not isinstance(tags, list) or not tags or not all(isinstance(tag, str) and TAG.fullmatch(tag) for tag in tags):
        wrong.append(Fault("app_name", f"{tags!r} is no tag; write it as syslog shows it before `[pid]:`, or a list of such"))
    service = table.get("service", "")
    if service not in ("", *SERVICE_NAMES):
        wrong.append(Fault("service", f"{service!r} is not known; write one of {', '.join(SERVICE_NAMES)}"))
    if not isinstance(table.get("escapes", False), bool):
        wrong.append(Fault("escapes", f"{table['escapes']!r} is not true or false; write true or false"))
    if not isinstance(table.get("sources", ""), str):
        wrong.append(Fault("sources", f"{table['sources']!r} is not a string in double quotes; write a string in double quotes"))
    compiled = _pattern(pattern, bool(service), wrong)
    samples, near_misses = _samples(table, tags, wrong), _texts(table, wrong)
    if wrong or compiled is None or not isinstance(tags, list):
        return wrong
    form = Format(
        name=str(name),
        app_names={tag.encode(): str(service) for tag in tags},
        lines=(Line(Kind.LOGIN, compiled),),
        begins=literal_start(compiled),
        samples=tuple(
            Sample(sample.get("app_name", tags[0]), sample["text"], sample["address"], sample["user"], sample.get("service", service))
            for sample in samples
        ),
        near_misses=tuple((tags[0], text) for text in near_misses),
        sources=(table.get("sources") or "the site's own",),
        escapes=table.get("escapes", False),
        site=True,
    )
    return [Fault("", fault.removeprefix(f"{name}: ")) for fault in faults(form)] or form


def _pattern(pattern: Any, has_service: bool, wrong: list[Fault]) -> re.Pattern[bytes] | None:
    if not isinstance(pattern, str) or not pattern:
        wrong.append(Fault("pattern", "is missing; write a regular expression for the whole text, in single quotes"))
        return None
    try:
        compiled = whole(pattern.encode())
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        wrong.append(Fault("pattern", f"{error}; write it as Python's re takes it, groups as (?P<user>...)"))
        return None
    before = len(wrong)
    wrong += [
        Fault("pattern", f"has the group {group}; known are {', '.join(sorted(GROUPS))}")
        for group in compiled.groupindex
        if group not in GROUPS
    ]
    wrong += [
        Fault("pattern", f"needs the group {group}: (?P<{group}>...)") for group in ("user", "address") if group not in compiled.groupindex
    ]
    if not has_service and "service" not in compiled.groupindex:
        wrong.append(Fault("service", f"is missing, and the pattern has no such group; write one of {', '.join(SERVICE_NAMES)}"))
    return compiled if len(wrong) == before else None


def _samples(table: Mapping[str, Any], tags: Any, wrong: list[Fault]) -> list[dict[str, str]]:
    samples = table.get("samples")
    if not isinstance(samples, list) or not samples or not all(isinstance(sample, dict) for sample in samples):
        wrong.append(Fault("samples", 'are missing; write a list of { text = \'...\', address = "...", user = "..." }'))
        return []
    for number, sample in enumerate(samples):
        where = f"samples[{number}]"
        wrong += [
            Fault(f"{where}.{key}", f"no such setting; known here: {', '.join(sorted(SAMPLE_KEYS))}")
            for key in sample
            if key not in SAMPLE_KEYS
        ]
        wrong += [
            Fault(f"{where}.{key}", "is missing; write it as a string")
            for key in ("text", "address", "user")
            if not isinstance(sample.get(key), str)
        ]
        if sample.get("service", "imap") not in SERVICE_NAMES:
            wrong.append(Fault(f"{where}.service", f"{sample['service']!r} is not known; write one of {', '.join(SERVICE_NAMES)}"))
        if "app_name" in sample and isinstance(tags, list) and sample["app_name"] not in tags:
            wrong.append(Fault(f"{where}.app_name", f"{sample['app_name']!r} is not in app_name; write one of {', '.join(map(str, tags))}"))
    return samples


def _texts(table: Mapping[str, Any], wrong: list[Fault]) -> list[str]:
    texts = table.get("near_misses")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        wrong.append(Fault("near_misses", "are missing; write a list of texts that must yield no login: the server's failed logins"))
        return []
    return texts
