"""syslog-ng.conf(5): log paths whose destination is udp(), tcp(), network() or syslog(), by the facilities that their filters let through.

destination d { network("192.0.2.1" port(5140) transport("udp")); };     named, or inline in log { }
filter f { facility(mail, local0) and level(info..emerg); };
log { source(s); filter(f); destination(d); };                            @include "conf.d/*.conf"
"""

import re
from collections.abc import Iterator

from syslogauth.core.message import FACILITIES, SEVERITIES
from syslogauth.doctor.forward import FILES_AT_MOST, Forward, Found, Texts, port_of

CONF = "/etc/syslog-ng/syslog-ng.conf"
BSD_CONF = "/usr/local/etc/syslog-ng.conf"
DRIVERS = re.compile(r"\b(?P<driver>udp6?|tcp6?|network|syslog)\s*\(")
BLOCK = re.compile(r"\b(?P<kind>destination|filter|log)\b\s*(?P<name>[\w.-]+)?\s*\{")
INCLUDE = re.compile(r"^\s*@include\s+[\"']?([^\"'\n]+)", re.MULTILINE)
LEVELS = {**{name: number for number, name in enumerate(SEVERITIES)}, "warn": 4, "error": 3, "panic": 0}


def read(texts: Texts, first: str = CONF) -> Found:
    found, blocks, waiting = Found(), list[tuple[str, str, str, str]](), [first]
    while waiting and len(found.files) < FILES_AT_MOST:
        for path, text in texts(waiting.pop(0)):
            if path in found.files:
                continue
            found.files.append(path)
            text = re.sub(r"(?m)(^|\s)#.*$", lambda match: match[1], text)
            folder = path.rpartition("/")[0]
            waiting += [include if include.startswith("/") else f"{folder}/{include.strip()}" for include in INCLUDE.findall(text)]
            blocks += [(kind, name, body, f"{path}:{line}") for kind, name, body, line in _blocks(text)]
    _paths(blocks, found)
    return found


def _blocks(text: str) -> Iterator[tuple[str, str, str, int]]:
    """(kind, name, what is between its braces, line) of each block at the top."""
    at = 0
    while match := BLOCK.search(text, at):
        end = _closing(text, match.end() - 1)
        yield match["kind"], match["name"] or "", text[match.end() : end], text.count("\n", 0, match.start()) + 1
        at = end


def _closing(text: str, opening: int) -> int:
    """Where the bracket that opens there is closed; the end of the text where it is not."""
    pairs = {"{": "}", "(": ")"}
    close, depth = pairs[text[opening]], 0
    for at in range(opening, len(text)):
        depth += (text[at] == text[opening]) - (text[at] == close)
        if depth == 0:
            return at
    return len(text)


def _paths(blocks: list[tuple[str, str, str, str]], found: Found) -> None:
    destinations = {name: (body, where) for kind, name, body, where in blocks if kind == "destination"}
    filters = {name: body for kind, name, body, _ in blocks if kind == "filter"}
    for kind, _, body, where in blocks:
        if kind != "log":
            continue
        facilities = frozenset(FACILITIES)
        for name in re.findall(r"\bfilter\s*\(\s*[\"']?([\w.-]+)", body):
            facilities &= passed(filters.get(name, ""))
        for inline in re.finditer(r"\bfilter\s*\{", body):
            facilities &= passed(body[inline.end() : _closing(body, inline.end() - 1)])
        named = [destinations[name] for name in re.findall(r"\bdestination\s*\(\s*[\"']?([\w.-]+)", body) if name in destinations]
        inline_bodies = [(body[match.end() : _closing(body, match.end() - 1)], where) for match in re.finditer(r"\bdestination\s*\{", body)]
        for text, place in (*named, *inline_bodies):
            for host, port, transport, summed in _drivers(text):
                found.forwards.append(Forward(host, port, transport, facilities, place))
                found.summed_up += [place] if summed else []


def passed(text: str) -> frozenset[str]:
    """The facilities that a filter lets through at info. What is not understood lets everything through."""
    return frozenset[str]().union(*map(_all_of, re.split(r"\bor\b", text)))


def _all_of(text: str) -> frozenset[str]:
    """Of words without an `or`."""
    facilities = frozenset(FACILITIES)
    for negated, names in re.findall(r"(\bnot\s+)?\bfacility\s*\(([^)]*)\)", text):
        of = {name.strip("\"' ") for name in re.split(r"[,\s]+", names)} & set(FACILITIES)
        facilities &= frozenset(FACILITIES) - of if negated else of
    for negated, names in re.findall(r"(\bnot\s+)?\b(?:level|priority)\s*\(([^)]*)\)", text):
        if any(map(_holds_info, re.split(r"[,\s]+", names.strip()))) is bool(negated):
            facilities = frozenset()
    return facilities


def _holds_info(text: str) -> bool:
    first, _, last = text.partition("..")
    low, high = sorted((LEVELS.get(first, 0), LEVELS.get(last or first, 0)))
    return low <= LEVELS["info"] <= high


def _drivers(text: str) -> Iterator[tuple[str, int, str, bool]]:
    for match in DRIVERS.finditer(text):
        words = text[match.end() : _closing(text, match.end() - 1)]
        host = re.match(r"\s*[\"']?([^\"'\s()]+)", words)
        port = re.search(r"\bport\s*\(\s*[\"']?(\d+)", words)
        said = re.search(r"\btransport\s*\(\s*[\"']?([\w-]+)", words)
        transport = said[1] if said else "udp" if match["driver"].startswith("udp") else "tcp"
        suppress = re.search(r"\bsuppress\s*\(\s*(\d+)", words)
        default = 601 if match["driver"] in ("network", "syslog") and transport == "tcp" else 514
        if host:
            yield host[1], port_of(port[1] if port else "", default), transport, bool(suppress and suppress[1] != "0")
