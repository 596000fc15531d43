"""What a line can turn out to be: a `Login` (a success in the log), a `Grant` (the permission that follows), or a `Refusal`."""

from dataclasses import dataclass
from enum import StrEnum


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
    AMBIGUOUS = "ambiguous"
    UNESCAPED_SOURCE = "unescaped_source"
    ANONYMOUS = "anonymous"
    BAD_ADDRESS = "bad_address"
    PROXIED = "proxied"
    SESSION_END = "session_end"
    SERVICE = "service"
    NEVER_NETWORK = "never_network"
    OWN_ADDRESS = "own_address"


GRANT = "grant"
OUTCOMES = (GRANT, *Refusal)


@dataclass(frozen=True, slots=True)
class Login:
    """One successful POP or IMAP login of a named user, as a server logged it."""

    server: str  # the format's name: dovecot, qpopper, uw
    service: str  # imap, pop3, submission, managesieve
    user: str
    address: bytes  # of the client, packed, IPv4-mapped folded
    local_address: bytes | None = None  # the server's own end, where it is logged
    session: str = ""
    proxied: bool = False  # handed on by a proxy after its backend said yes
    session_end: bool = False  # logged when the session ended, not when it began


@dataclass(frozen=True, slots=True)
class Grant:
    """The permission for one address. Times are Unix seconds; `granted_at` is when the login was received."""

    address: bytes
    expires_at: float
    granted_at: float
    service: str
    server: str
    user: str
    hostname: str
    peer: str
    count: int = 1  # logins merged into it
