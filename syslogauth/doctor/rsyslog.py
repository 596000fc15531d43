"""rsyslog.conf(5): forwarding in its old words and in RainerScript, what is stopped before it, includes, repeated messages.

mail.info @host:port;TEMPLATE        @@ is TCP; @(z5) compresses, @@(o) counts octets
mail.info action(type="omfwd" target="host" port="5140" protocol="udp")    over several lines too, in { } too
if $syslogfacility-text == 'mail' then ...          the facilities that it names; else a doubt
mail.* stop, mail.* ~, & stop                       what comes later never sees them
$IncludeConfig PATTERN, include(file="PATTERN"); $RepeatedMsgReduction on
"""

import re
from collections.abc import Iterator

from syslogauth.core.message import FACILITIES
from syslogauth.doctor.forward import FILES_AT_MOST, Forward, Found, Texts, port_of
from syslogauth.doctor.selector import SELECTOR, selected

CONF = "/etc/rsyslog.conf"
OLD = re.compile(
    r"(?P<at>@@?)(?:\((?P<flags>[^)]*)\))?(?:\[(?P<v6>[^\]\s]+)\]|(?P<host>[^\s:;\[\]]+))(?::(?P<port>\d+))?(?:;(?P<template>\w+))?"
)
ACTION = re.compile(r"\baction\s*\((?P<words>[^)]*)\)", re.IGNORECASE)
WORD = re.compile(r"([\w.]+)\s*=\s*\"([^\"]*)\"")
INCLUDE = re.compile(r"\$IncludeConfig\s+(\S+)|include\s*\(\s*file\s*=\s*\"([^\"]+)\"", re.IGNORECASE)
STOPS = re.compile(r"(?:^|[\s{;])(?:stop|~)\s*(?:$|[};])")
QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
CUTTING = "RSYSLOG_SyslogProtocol23Format"


def read(texts: Texts, first: str = CONF) -> Found:
    found = Found()
    _file(texts, first, found, set())
    return found


def _file(texts: Texts, pattern: str, found: Found, stopped: set[str]) -> set[str]:
    """Read in the order of execution. What is stopped by then."""
    before: frozenset[str] = frozenset()  # what `&` goes on with
    for path, text in texts(pattern):
        if path in found.files or len(found.files) >= FILES_AT_MOST:
            continue
        found.files.append(path)
        for number, line in _statements(text):
            if include := INCLUDE.match(line):
                _file(texts, include[1] or include[2], found, stopped)
                continue
            if re.match(r"\$RepeatedMsgReduction\s+on\b", line, re.IGNORECASE):
                found.summed_up.append(f"{path}:{number}")
            facilities, doubt, rest = _filter(line, before)
            before = facilities
            for host, port, transport, doubts in _targets(rest):
                left = facilities - stopped
                if facilities & stopped:
                    doubts = (*doubts, f"{', '.join(sorted(facilities & stopped)[:3])} is stopped before it")
                doubts = (*doubts, doubt) if doubt else doubts
                found.forwards.append(Forward(host, port, transport, left, f"{path}:{number}", doubts))
            if STOPS.search(rest) and not doubt:
                stopped |= facilities
    return stopped


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines and the number of their first: what stands in ( ) and { } is one; comments are gone."""
    open_, start, parts = 0, 1, list[str]()
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if not parts:
            start = number
        if line:
            parts.append(line)
        bare = QUOTED.sub("", line)
        open_ += sum(bare.count(sign) for sign in "({") - sum(bare.count(sign) for sign in ")}")
        if open_ <= 0 and parts and not re.fullmatch(r"(?:if\b.*\bthen|" + SELECTOR.pattern + r")", " ".join(parts)):
            yield start, " ".join(parts)
            open_, parts = 0, []
    if parts:
        yield start, " ".join(parts)


def _filter(line: str, before: frozenset[str]) -> tuple[frozenset[str], str, str]:
    """The facilities that a statement is for, a doubt about them, and what it does with them."""
    if line.startswith("&"):
        return before, "", line[1:].strip()
    if condition := re.match(r"if\b(.*?)\bthen\b(.*)", line):
        named = frozenset(re.findall(r"[\"'](\w+)[\"']", condition[1]))
        listed = named & frozenset(FACILITIES)
        if listed and "$syslogfacility-text" in condition[1] and " and " not in condition[1] and "!=" not in condition[1]:
            return listed, "", condition[2].strip()
        return listed or frozenset(FACILITIES), f"it holds under a condition that is not weighed here:{condition[1]}", condition[2].strip()
    if line.startswith(":"):
        return frozenset(FACILITIES), "it holds for some messages alone (a property filter)", line.rpartition('"')[2].strip()
    if (selector := SELECTOR.match(line)) and selector.end() < len(line) and line[selector.end()] in " \t{":
        return selected(selector[0]), "", line[selector.end() :].strip()
    return frozenset(FACILITIES), "", line


def _targets(rest: str) -> Iterator[tuple[str, int, str, tuple[str, ...]]]:
    """Host, port, transport and doubts of each action that forwards."""
    for action in ACTION.finditer(rest):
        words = {name.lower(): value for name, value in WORD.findall(action["words"])}
        if words.get("type", "").lower() == "omfwd" and "target" in words:
            transport = "tcp" if words.get("protocol", "udp").lower() == "tcp" else "udp"
            if words.get("streamdriver") in ("gtls", "ossl") and words.get("streamdrivermode") == "1":
                transport = "tls"
            doubts = _doubts(words.get("template", ""), words.get("ziplevel", "0") != "0")
            yield words["target"].strip("[]"), port_of(words.get("port", "")), transport, doubts
    if old := re.match(r"(?:-?/\S+\s+)?" + OLD.pattern + r"\s*$", rest):
        doubts = _doubts(old["template"] or "", "z" in (old["flags"] or ""))
        yield old["v6"] or old["host"], port_of(old["port"] or ""), "tcp" if old["at"] == "@@" else "udp", doubts


def _doubts(template: str, compressed: bool) -> tuple[str, ...]:
    cut = [f"the template {CUTTING} cuts program names at a slash, Cyrus's and Postfix's"] if template == CUTTING else []
    return (*cut, *(["it is compressed (z), which is not read"] if compressed else []))
