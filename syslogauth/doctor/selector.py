"""Which facilities a line of syslog.conf(5) or rsyslog.conf(5) selects, at priority info: `mail.info;local0.notice`, `*.*;mail.none`.

The selectors of a line count from left to right. A priority means itself and the worse ones; `=` (both), `<`, `>` (the BSDs) before it say
otherwise, and `!` takes away what it matches.
"""

import re

from syslogauth.core.message import FACILITIES, SEVERITIES

INFO = SEVERITIES.index("info")
NAMES = {**{name: number for number, name in enumerate(SEVERITIES)}, "panic": 0, "error": 3, "warn": 4}
PRIORITY = re.compile(r"(?P<not>!?)(?P<how>[<=>]*)(?P<name>\*|\w+)")
SELECTOR = re.compile(r"[\w*,-]+\.[!<=>]*[\w*]+(?:;[\w*,-]+\.[!<=>]*[\w*]+)*;?")


def selected(text: str) -> frozenset[str]:
    """The facilities whose messages of priority info the selectors select."""
    found = set[str]()
    for part in text.split(";"):
        names, _, level = part.strip().rpartition(".")
        priority = PRIORITY.fullmatch(level.lower())
        if not names or priority is None:
            continue
        of = set(FACILITIES) if "*" in names.split(",") else set(names.lower().split(","))
        if priority["name"] == "none" or (priority["not"] and _fits(priority["how"], priority["name"])):
            found -= of
        elif not priority["not"] and _fits(priority["how"], priority["name"]):
            found |= of
    return frozenset(found)


def _fits(how: str, name: str) -> bool:
    """Whether a message of priority info fits; a smaller number is the worse one."""
    if name == "*":
        return True
    number = NAMES.get(name, -1)
    at_least = {"=": False, ">": number > INFO, "<": number < INFO}
    return (number == INFO and "=" in (how or "=")) or any(at_least[sign] for sign in how or ">")
