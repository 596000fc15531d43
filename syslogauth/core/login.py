"""What a line can turn out to be: a `Login` (a success in the log), a part of one, the end of a session, or a `Refusal`.

What follows from it: a `Grant` (the permission), and, where grants are held while a session is open, `Opened` and `Closed`.

Those that are made of every login are named tuples: a frozen dataclass of ten fields takes 2.5 us to make, a named tuple 0.4.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Refusal(StrEnum):
    """Why a datagram gave no grant. Closed: these are the label values of `syslogauth_outcomes_total`, beside `grant`."""

    UNLISTED_PEER = "unlisted_peer"
    SOURCE_PORT = "source_port"
    OVERSIZE = "oversize"
    NO_PRIORITY = "no_priority"
    MALFORMED = "malformed"
    CONTROL_BYTES = "control_bytes"
    UNLISTED_FACILITY = "unlisted_facility"
    OWN_MESSAGE = "own_message"
    NOT_LOGIN = "not_login"
    REPEATED = "repeated"
    CONNECTED = "connected"
    UNJOINED = "unjoined"
    CUT = "cut"
    LOGOUT = "logout"
    AMBIGUOUS = "ambiguous"
    UNESCAPED_SOURCE = "unescaped_source"
    ANONYMOUS = "anonymous"
    BAD_ADDRESS = "bad_address"
    PROXIED = "proxied"
    SESSION_END = "session_end"
    SERVICE = "service"
    NEVER_NETWORK = "never_network"
    OWN_ADDRESS = "own_address"
    UNTRUSTED_PROXY = "untrusted_proxy"
    RULE = "rule"


GRANT = "grant"
OUTCOMES = (GRANT, *Refusal)


class Login(NamedTuple):
    """One successful POP or IMAP login of a named user, as a server logged it."""

    server: str  # the format's name: dovecot, qpopper, uw
    service: str  # imap, pop3, submission, managesieve
    user: str
    address: bytes  # of the client, packed, IPv4-mapped folded
    local_address: bytes | None = None  # the server's own end, where it is logged
    session: str = ""  # the server's id of it, never used twice: such a line does not repeat
    proxied: bool = False  # handed on by a proxy after its backend said yes
    session_end: bool = False  # logged when the session ended, not when it began
    end_key: str = ""  # what the line of the session's end will name it by, on the same host; empty: no such line is known
    counted: bool = False  # the end_key may name several sessions at once
    via: bytes | None = None  # who named the address, where it was not the server that saw it


@dataclass(frozen=True, slots=True)
class Connected:
    """The first line of a login that takes several: who connected. The later one comes from the same process."""

    server: str
    address: bytes


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The later line: a named user was let in; the address is that of the `Connected` line of the same process."""

    server: str
    service: str
    user: str
    end_key: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The later line of a login that failed: what its process said before is void."""

    server: str


@dataclass(frozen=True, slots=True)
class Logout:
    """The end of a session, named as its login's `end_key` said."""

    server: str
    end_key: str


@dataclass(frozen=True, slots=True)
class Cut:
    """A line that its server's logger cut: its next line is the rest of this one, and wholly a client's text."""

    server: str


Report = Login | Connected | Authenticated | Failed | Logout | Cut


class Grant(NamedTuple):
    """The permission for one address. Times are Unix seconds; `granted_at` is when the login was received."""

    address: bytes
    expires_at: float
    granted_at: float
    service: str
    server: str
    user: str
    hostname: str
    peer: str
    count: int = 1  # type: ignore[assignment] # logins merged into it; hides tuple.count(), which nobody asks for


class Opened(NamedTuple):
    """A session that holds its address's grant while it is open (policy.hold_while_connected). Times are Unix seconds."""

    key: bytes  # 16 bytes: which session, of which server on which host
    address: bytes
    opened_at: float
    held_until: float  # a lost logout must not hold it for ever
    grace_seconds: float  # runs from the last close
    counted: bool = False  # the key may name several sessions at once


class Closed(NamedTuple):
    """The end of the session with this key; nothing where none is known."""

    key: bytes
    closed_at: float
