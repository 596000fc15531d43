"""The table as a text that outlives its bytes: taken at one moment, and merged into a table at any time.

JSON, an object a line:

    {"syslogauth": version of the program, "backup": 1, "record": version of the records, "at": Unix seconds}
    {"flushed": milliseconds}                              everything that was granted at or before then is void
    {"revoked": address, "at": ms}                         the same of one address
    {"denied": address or network, "until": ms or null}    null: for ever
    {"grant": address, "kind", "expires", "granted", "refreshed", "count", "service", "server", "user", "hostname", "peer"}
    {"session": key, "address", "opened", "held_until", "grace", "sessions"}    as in holds.py
    {"rows": how many lines lie between the first and this one, "unreadable": how many records could not be written}

All times are Unix milliseconds but the first line's. What voids and denies comes first, so that a merge is never ahead of it. What the
configuration says (policy.always, bounds) is not in it. A text that is damaged, cut off, or of a newer form is a DamageError that says
the line, before anything of it is stored.
"""

import ipaddress
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from tempfile import TemporaryDirectory
from typing import IO, Any, NamedTuple

from syslogauth import __version__, denials, holds
from syslogauth.core.address import canonical, pack
from syslogauth.denials import Network
from syslogauth.environment import Environment
from syslogauth.holds import SESSION, Session
from syslogauth.record import FOR_EVER_MS, HEAD, KINDS, MAX_COUNT, TEXTS_AT, U64, VERSION, decode, texts

FORM = 1
TEXTS = ("service", "server", "user", "hostname", "peer")
MAX_LINE_BYTES = 16384


class DamageError(ValueError):
    """What is wrong with a text, and in which line."""


class Flushed(NamedTuple):
    at_ms: int


class Revoked(NamedTuple):
    address: bytes
    at_ms: int


class Denied(NamedTuple):
    network: Network
    until_ms: int


class Granted(NamedTuple):
    """A record, as its module has it."""

    address: bytes
    record: bytes


class Held(NamedTuple):
    key: bytes
    session: Session


Row = Flushed | Revoked | Denied | Granted | Held
NAMES: dict[type[Row], str] = {Flushed: "flushes", Revoked: "revocations", Denied: "denials", Granted: "grants", Held: "sessions"}


def lines(environment: Environment) -> Iterator[bytes]:
    """The text, of the table as it is now.

    It is made from a copy of the environment in a temporary directory ($TMPDIR), so that no slow reader of it pins pages of the
    living one. Raises TableError, OSError.
    """
    encode = json.JSONEncoder(separators=(",", ":")).encode
    with TemporaryDirectory(prefix="syslogauth-backup-") as directory:
        environment.copy(directory)
        copy = Environment(directory, 0, readonly=True)
        try:
            rows = unreadable = 0
            yield encode({"syslogauth": __version__, "backup": FORM, "record": VERSION, "at": time.time()}).encode() + b"\n"
            for row in _rows(copy):
                if row is None:
                    unreadable += 1
                    continue
                rows += 1
                yield encode(row).encode() + b"\n"
            yield encode({"rows": rows, "unreadable": unreadable}).encode() + b"\n"
        finally:
            copy.close()


def _rows(environment: Environment) -> Iterator[dict[str, Any] | None]:
    """None stands for a record that cannot be read."""
    with environment.begin() as view:
        if flushed := view.time("meta", b"flushed_at"):
            yield {"flushed": flushed}
    for address, at in environment.scan("revoked"):
        yield {"revoked": canonical(address), "at": U64.unpack(at)[0]}
    for network, until in denials.scan(environment):
        yield {"denied": network_text(network), "until": None if until == FOR_EVER_MS else until}
    for address, record in environment.scan("grants"):
        try:
            entry = decode(address, record)
        except ValueError:
            yield None
            continue
        _, _, expires, granted, refreshed, count = HEAD.unpack_from(record)
        yield {"grant": canonical(address), "kind": entry.kind, "expires": expires, "granted": granted, "refreshed": refreshed} | {
            "count": count,
            **dict(zip(TEXTS, entry[-len(TEXTS) :], strict=True)),
        }
    for key, packed in environment.scan("sessions"):
        with environment.begin() as view:
            if not holds.holding(view, packed):
                continue
        opened, until, grace, sessions = SESSION.unpack_from(packed)
        who = canonical(packed[SESSION.size :])
        yield {"session": key.hex(), "address": who, "opened": opened, "held_until": until, "grace": grace, "sessions": sessions}


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """Its lines, for read(). Of one that is too long no more than shows it: a small `.gz` may hold one of any length."""
    return iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")


def read(text: Iterable[bytes]) -> Iterator[Row]:
    """The rows of a text. Raises DamageError where it is met: who must not store half of it reads it to its end before."""
    header: Mapping[str, Any] | None = None
    rows, ended, number = 0, False, 0
    for number, line in enumerate(text, 1):
        try:
            if ended:
                raise ValueError("goes on behind its last line")
            if len(line) > MAX_LINE_BYTES:
                raise ValueError(f"longer than {MAX_LINE_BYTES} bytes")
            found = json.loads(line)
            if not isinstance(found, dict):
                raise ValueError("no object")
            if header is None:
                header = _header(found)
            elif "rows" in found:
                ended = True
                if found["rows"] != rows:
                    raise ValueError(f"says that {found['rows']} rows are before it, but {rows} are; the file has been cut or mixed up")
            else:
                rows += 1
                yield _row(found)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            what = f"has no {error}" if isinstance(error, KeyError) else str(error)
            raise DamageError(f"line {number}: {what}") from None
    if header is None:
        raise DamageError("line 1: there is none: the file is empty")
    if not ended:
        raise DamageError(f"line {number}: the text ends here, without the count that ends a backup; the file has been cut off")


def _header(found: Mapping[str, Any]) -> Mapping[str, Any]:
    form = found.get("backup")
    if "syslogauth" not in found or type(form) is not int:
        raise ValueError('this is no backup: syslogauth backup writes {"syslogauth": ...} there')
    if form > FORM:
        raise ValueError(f"a backup of form {form}, made by syslogauth {found['syslogauth']}; this one reads {FORM}: use the newer program")
    return found


def _row(found: Mapping[str, Any]) -> Row:
    if "grant" in found:
        return _granted(found)
    if "denied" in found:
        return Denied(network(found["denied"]), FOR_EVER_MS if found["until"] is None else _time(found["until"]))
    if "revoked" in found:
        return Revoked(_address(found["revoked"]), _time(found["at"]))
    if "session" in found:
        key = bytes.fromhex(found["session"])
        if len(key) != 16:
            raise ValueError(f"{found['session']!r} is no session")
        opened, until, grace, sessions = (_time(found[name]) for name in ("opened", "held_until", "grace", "sessions"))
        return Held(key, Session(opened, until, grace, max(1, min(sessions, MAX_COUNT)), _address(found["address"])))
    if "flushed" in found:
        return Flushed(_time(found["flushed"]))
    raise ValueError(f"a row of an unknown kind: {', '.join(map(str, found))[:60]}")


def _granted(found: Mapping[str, Any]) -> Granted:
    if found["kind"] not in KINDS:
        raise ValueError(f"{found['kind']!r} is no kind of grant")
    said = [found[name] for name in TEXTS]
    if not all(isinstance(text, str) for text in said):
        raise ValueError("a text is none")
    times = (_time(found[name]) for name in ("expires", "granted", "refreshed"))
    head = HEAD.pack(VERSION, KINDS.index(found["kind"]), *times, min(_time(found["count"]), MAX_COUNT))
    return Granted(_address(found["grant"]), head + texts(*said))


def merged(one: bytes | None, other: bytes) -> bytes:
    """The record of both: the later expiry with what belongs to it, the whole span, the most logins. In any order, any number of times."""
    if one is None:
        return other
    (_, kind, expires, granted, refreshed, count), said = HEAD.unpack_from(one), one[TEXTS_AT:]
    (_, kind2, expires2, granted2, refreshed2, count2), said2 = HEAD.unpack_from(other), other[TEXTS_AT:]
    expires, kind, said = max((expires, kind, said), (expires2, kind2, said2))
    return HEAD.pack(VERSION, kind, expires, min(granted, granted2), max(refreshed, refreshed2), max(count, count2)) + said


def network(text: Any) -> Network:
    """An address or a network with its prefix, from its text."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no network")
    if "/" not in text:
        return denials.whole(_address(text))
    found = ipaddress.ip_network(text)
    return found.network_address.packed, found.prefixlen


def network_text(network: Network) -> str:
    first, prefix = network
    return canonical(first) if network == denials.whole(first) else f"{canonical(first)}/{prefix}"


def _address(text: Any) -> bytes:
    packed = pack(text) if isinstance(text, str) else None
    if packed is None:
        raise ValueError(f"{text!r} is no address")
    return packed


def _time(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= FOR_EVER_MS:
        raise ValueError(f"{value!r} is no time or number")
    return value
