"""What a check found: one line, how bad it is, and the one command or line of configuration that mends it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """OK: looked at, and right. WARN: may be right here, or was not seen. FAIL: does not work, or is not safe."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    subject: str
    text: str
    mend: str = ""


def ok(subject: str, text: str) -> Finding:
    return Finding(Level.OK, subject, text)


def warn(subject: str, text: str, mend: str = "") -> Finding:
    return Finding(Level.WARN, subject, text, mend)


def fail(subject: str, text: str, mend: str) -> Finding:
    return Finding(Level.FAIL, subject, text, mend)
