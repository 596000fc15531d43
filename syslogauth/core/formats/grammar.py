"""What every format file is made of: the `Format` record and its `Line`s, the classes of their fields, how a line is read.

The rules (laws 2 and 12): the app_name is matched exactly, the *whole* text by `fullmatch`, nothing unbounded stands before the
address, and each field that a client controls is bounded by a class that cannot hold the separators of its line. They are held against
every format, a site's own too, by check.py. A format without samples and near misses is an error, found when the daemon starts.

A line's pattern names its fields by groups, all of them optional but what its kind needs:

    user            who logged in                       address         the client's
    service         imap, imaps, pop3 ... in any case   local_address   the server's own end
    session         the server's id of the session, never used twice
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from syslogauth.core.address import REMEMBERED_ADDRESSES, UNUSABLE, pack
from syslogauth.core.login import Authenticated, Connected, Cut, Failed, Login, Logout, Refusal, Report
from syslogauth.core.message import Message

ADDRESS = rb"[0-9A-Fa-f:.]{2,45}"  # what inet_pton is then asked to read
PTR_NAME = rb"[A-Za-z0-9._-]{1,255}"  # a reverse DNS name: its owner chooses it

SERVICES = {
    **dict.fromkeys((b"imap", b"imaps", b"imap4", b"imap4s", b"imapd", b"imapds"), "imap"),
    **dict.fromkeys((b"pop", b"pops", b"pop3", b"pop3s", b"pop3d", b"pop3ds"), "pop3"),
    **dict.fromkeys((b"submission", b"submissions", b"smtp", b"smtps"), "submission"),
    **dict.fromkeys((b"managesieve", b"sieve"), "managesieve"),
}


PREFIXED = re.compile(rb"(?!postfix/)[\w.-]{1,64}/([\w.-]{1,64})")


class Kind(Enum):
    """What a line reports."""

    LOGIN = "login"
    CONNECTED = "connected"  # who connected: the first line of a login that takes several
    AUTHENTICATED = "authenticated"  # which user was let in: the later line, of the same process
    FAILED = "failed"  # the later line of one that was not let in
    LOGOUT = "logout"
    CUT = "cut"  # the rest of it will come as a line of its own, and is wholly a client's text


Read = Callable[[Message, re.Match[bytes]], Report | Refusal]
Explain = Callable[[Message, re.Match[bytes]], str]


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of line a server writes.

    `service`: where neither a group nor the app_name says. `app_names`: the tags that have this line, where not all of the format's do.
    `own_keys`: what must not occur in a user's name, being a key of the line itself: such a line is AMBIGUOUS. `read`: for what a
    pattern alone cannot tell; it may call `Format.report` for the rest. `explain`: why `read` refused, in words; empty for
    what nearest.py can say by itself.
    """

    kind: Kind
    pattern: re.Pattern[bytes]
    service: str = ""
    app_names: frozenset[bytes] | None = None
    own_keys: tuple[bytes, ...] = ()
    proxied: bool = False
    session_end: bool = False
    read: Read | None = None
    explain: Explain | None = None


@dataclass(frozen=True, slots=True)
class Usual:
    """A short way to the commonest login of a server that escapes what its clients say.

    `pattern` is one for a whole text under one of the tags, of which no other format may be. `read` says what a match of it means. What
    it takes a line of the format takes too, with the same answer, which tests hold; what it refuses the line is asked about.
    """

    app_names: frozenset[bytes]
    pattern: bytes
    read: Callable[[re.Match[bytes]], Login | Refusal]


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
class Sequence:
    """A login that takes several lines of one process, and what the last of them must yield."""

    app_name: str
    texts: tuple[str, ...]
    address: str
    user: str
    service: str


@dataclass(frozen=True, slots=True)
class Format:
    """How one family of servers logs a login.

    `app_names`: tag -> service, "" where the line says. A tag `*/imap` stands for any `PREFIX/imap`. `begins` is a pattern for how the
    text of every line begins that is a login or a part of one, `logout_begins` for the ends of sessions: the gate refuses the rest.
    `others` is one for how texts begin that the server writes too and that are no login: what is none of all these but looks like a
    login is counted as unrecognised. `file_app_names` are tags that only the server's own log file has: never taken from the network.
    `escapes` is False for a server that logs a client's line feeds as they are: where a source may split a message there, its second
    half is the client's own line (law 2). `ends`: how the end of a session names it: "" (it is not logged), "session" (group),
    "process" (the same pid), "client" (the session where the line names one, else user and address, which may name several).
    `facility` and `notes` are for the administrator.
    """

    name: str
    app_names: Mapping[bytes, str]
    lines: tuple[Line, ...]
    begins: bytes
    samples: tuple[Sample, ...]
    near_misses: tuple[tuple[str, str], ...]  # (app_name, text): lines that must yield no login, attacks above all
    sources: tuple[str, ...]
    others: bytes = b""
    logout_begins: bytes = b""
    sequences: tuple[Sequence, ...] = ()
    logouts: tuple[tuple[str, str], ...] = ()  # (app_name, text): lines that must be read as the end of a session
    usual: Usual | None = None
    file_app_names: Mapping[bytes, str] = field(default_factory=dict)
    escapes: bool = True
    ends: str = ""
    site: bool = False  # of the configuration, not of the program
    facility: str = "mail"
    notes: str = ""

    def recognise(self, message: Message) -> Report | Refusal:
        """What the message reports; NOT_LOGIN for what the format does not know."""
        for line in self.lines:
            if (line.app_names is None or message.app_name in line.app_names) and (found := line.pattern.fullmatch(message.text)):
                return line.read(message, found) if line.read else self.report(line, message, found)
        return Refusal.NOT_LOGIN

    def report(self, line: Line, message: Message, found: re.Match[bytes]) -> Report | Refusal:
        """What a line of the format says, by its kind and groups."""
        part = found.groupdict(b"")
        if line.kind is Kind.FAILED:
            return Failed(self.name)
        if line.kind is Kind.CUT:
            return Cut(self.name)
        address = client_address(part["address"]) if "address" in part else None
        if "address" in part and address is None:
            return Refusal.BAD_ADDRESS
        if line.kind is Kind.CONNECTED:
            return Connected(self.name, address) if address else Refusal.BAD_ADDRESS
        user = part.get("user", b"")
        if user.lower() == b"anonymous":
            return Refusal.ANONYMOUS
        if any(key in user for key in line.own_keys):
            return Refusal.AMBIGUOUS
        end_key, counted = self.end_key(message, part)
        if line.kind is Kind.LOGOUT:
            return Logout(self.name, end_key) if end_key else Refusal.NOT_LOGIN
        service = self.service(line, message, part)
        if not service:
            return Refusal.NOT_LOGIN
        if line.kind is Kind.AUTHENTICATED:
            return Authenticated(self.name, service, printable(user), end_key)
        if not address:
            return Refusal.BAD_ADDRESS
        return Login(
            *(self.name, service, printable(user), address),
            local_address=local_address(part.get("local_address", b"")),
            session=part.get("session", b"").decode("ascii", "backslashreplace"),
            proxied=line.proxied,
            session_end=line.session_end,
            end_key=end_key,
            counted=counted,
        )

    def service(self, line: Line, message: Message, part: Mapping[str, bytes]) -> str:
        """By the line's group, else the line, else the tag; empty where that is no service that we know."""
        if part.get("service"):
            return SERVICES.get(part["service"].lower(), "")
        tag = message.app_name
        return line.service or self.app_names.get(tag) or self.file_app_names.get(tag) or self.app_names.get(any_prefix(tag), "")

    def end_key(self, message: Message, part: Mapping[str, bytes]) -> tuple[str, bool]:
        """What the line of the session's end will name it by, and whether that may name several at once."""
        if self.ends in ("session", "client") and part.get("session"):
            return part["session"].decode("ascii", "backslashreplace"), False
        if self.ends == "process" and message.procid:
            return (message.app_name + b"[" + message.procid + b"]").decode("ascii", "backslashreplace"), False
        if self.ends == "client" and part.get("user") and (address := client_address(part.get("address", b""))):
            return f"{printable(part['user'])}@{address.hex()}", True
        return "", False


def any_prefix(app_name: bytes) -> bytes:
    """`sloti30t15/imap` as formats list it: `*/imap`."""
    return b"*/" + found[1] if (found := PREFIXED.fullmatch(app_name)) else app_name


def message_of(app_name: str, text: str, procid: str = "") -> Message:
    return Message(None, b"", b"", app_name.encode(), procid.encode(), text.encode())


@lru_cache(maxsize=REMEMBERED_ADDRESSES)  # clients come again and again
def client_address(text: bytes) -> bytes | None:
    """The packed address that a server logged; None where it is no address that a mail client can have."""
    address = pack(text.decode("ascii", "replace"))
    return None if address is None or address in UNUSABLE else address


@lru_cache(maxsize=REMEMBERED_ADDRESSES)
def local_address(text: bytes) -> bytes | None:
    """The packed address of the server's own end; None where it is none, or was not logged."""
    return pack(text.decode("ascii", "replace")) if text else None


def printable(field: bytes) -> str:
    """A client's text for the table: UTF-8 where it is, the rest as backslash escapes, so that no terminal is driven by it."""
    text = field.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def quoted(field: bytes) -> str:
    """The same in quotes, for a sentence."""
    return repr(field.decode("utf-8", "backslashreplace"))


def compiled(*patterns: bytes) -> tuple[re.Pattern[bytes], ...]:
    return tuple(map(whole, patterns))


def whole(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)
