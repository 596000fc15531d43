"""What every format file is made of: the `Format` record, the classes of its fields, and the check of a format against itself.

The rules (laws 2 and 12): the app_name is matched exactly, the *whole* text by `fullmatch`, nothing unbounded stands before the
address, and each field that a client controls is bounded by a class that cannot hold the separators of its line. A format without
samples and near misses is an error, found when the daemon starts.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from syslogauth.core.address import UNUSABLE, canonical, pack
from syslogauth.core.login import Login, Refusal
from syslogauth.core.message import Message

ADDRESS = rb"[0-9A-Fa-f:.]{2,45}"  # what inet_pton is then asked to read
PTR_NAME = rb"[A-Za-z0-9._-]{1,255}"  # a reverse DNS name: its owner chooses it


@dataclass(frozen=True, slots=True)
class Sample:
    """One real line and what it must yield, written as the text after the header."""

    app_name: str
    text: str
    address: str
    user: str
    service: str
    own_log: bool = False  # of the server's own log file, which never meets the gate


@dataclass(frozen=True, slots=True)
class Format:
    """How one family of servers logs a login.

    `begins` is a pattern for how the text of every login line begins: the gate refuses the rest. `recognise` gets a message whose
    app_name is one of `app_names`; it answers NOT_LOGIN for what the format does not know. `file_app_names` are tags that only the
    server's own log file has: never taken from the network. `escapes` is False for a server that logs a client's line feeds as they
    are: where a source may split a message there, its second half is the client's own line (law 2).
    """

    name: str
    app_names: frozenset[bytes]
    begins: bytes
    recognise: Callable[[Message], Login | Refusal]
    samples: tuple[Sample, ...]
    near_misses: tuple[tuple[str, str], ...]  # (app_name, text): lines that must yield no login, attacks above all
    sources: tuple[str, ...]
    file_app_names: frozenset[bytes] = frozenset()
    escapes: bool = True

    def check(self) -> list[str]:
        """What is wrong with the format, a sentence each; empty where every sample and near miss holds."""
        faults = [f"{self.name}: a format needs samples, near misses and sources"] if not self._documented() else []
        begins = re.compile(self.begins)
        for sample in self.samples:
            if not sample.own_log and not begins.match(sample.text.encode()):
                faults.append(f"{self.name}: the gate would refuse sample {sample.text!r}")
            login = self.recognise(message_of(sample.app_name, sample.text))
            found = (canonical(login.address), login.user, login.service) if isinstance(login, Login) else login
            if found != (sample.address, sample.user, sample.service):
                faults.append(f"{self.name}: sample {sample.text!r} gave {found}")
        for app_name, text in self.near_misses:
            if isinstance(login := self.recognise(message_of(app_name, text)), Login):
                faults.append(f"{self.name}: near miss {text!r} gave {canonical(login.address)}")
        return faults

    def _documented(self) -> bool:
        return bool(self.samples and self.near_misses and self.sources and self.app_names)


def message_of(app_name: str, text: str) -> Message:
    return Message(None, b"", b"", app_name.encode(), b"", text.encode())


def client_address(text: bytes) -> bytes | None:
    """The packed address that a server logged; None where it is no address that a mail client can have."""
    address = pack(text.decode("ascii"))
    return None if address is None or address in UNUSABLE else address


def printable(field: bytes) -> str:
    """A client's text for the table: UTF-8 where it is, the rest as backslash escapes, so that no terminal is driven by it."""
    text = field.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def compiled(*patterns: bytes) -> tuple[re.Pattern[bytes], ...]:
    return tuple(re.compile(pattern, re.DOTALL) for pattern in patterns)
