"""How a value of the configuration file is read: a function of the TOML value that returns ours, or raises ValueError.

The ValueError's text is what the user reads: "what is wrong; how to mend it".
"""

import difflib
import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syslogauth.core.address import Networks, canonical, pack
from syslogauth.core.message import FACILITIES

SERVICES = ("imap", "pop3", "submission", "managesieve")
Reader = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A literal address and a port to listen on; the text is `192.0.2.1:514` or `[2001:db8::1]:514`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _of(kind: type, name: str) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{value!r} is not {name}; write {name}")
        return value

    return read


text, flag, whole = _of(str, "a string in double quotes"), _of(bool, "true or false"), _of(int, "a whole number")


def number(least: float, most: float, unit: str, integer: bool = False) -> Reader:
    def read(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int if integer else (int, float)):
            raise ValueError(f"{value!r} is not a {'whole ' if integer else ''}number of {unit}; write it without quotes")
        if not least <= value <= most:
            raise ValueError(f"{value} {unit} is out of range; write one from {least} to {most}")
        return value if integer else float(value)

    return read


def one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is not known{near(value, words)}; write one of {', '.join(words)}")
        return str(value)

    return read


def list_of(read_item: Reader) -> Callable[[Any], tuple[Any, ...]]:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f'{value!r} is not a list; write it in brackets: ["..."]')
        return tuple(read_item(item) for item in value)

    return read


def network(value: Any) -> str:
    try:
        Networks((text(value),))
    except ValueError as error:
        raise ValueError(f"{error}; write networks such as 192.0.2.0/24 or 2001:db8::/32, host bits zero") from None
    return str(value)


def networks(value: Any) -> Networks:
    return Networks(list_of(network)(value))


def network_lines(text: str, file: str) -> tuple[str, ...]:
    """The networks of a file: one a line, or an address; `#` begins a comment. ValueError says the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if word := line.partition("#")[0].strip():
            try:
                found.append(network(word))
            except ValueError as error:
                raise ValueError(f"{file}: line {number}: {error}") from None
    return tuple(found)


def client(value: Any) -> bytes:
    if (packed := pack(text(value))) is None:
        raise ValueError(
            f"{value!r} is no address; write one such as 192.0.2.25 or 2001:db8::25 (a network cannot be looked up in the map)"
        )
    return packed


def app_names(value: Any) -> dict[bytes, bytes]:
    if not isinstance(value, dict) or not all(isinstance(known, str) for known in value.values()):
        raise ValueError(f'{value!r} is not a table of tags; write {{ "dovecot-front" = "dovecot" }}')
    for tag in value:
        if not re.fullmatch(r"[\w./+-]{1,64}", tag, re.ASCII):
            raise ValueError(f"{tag!r} is no tag; write it as syslog shows it before `[pid]:`")
        if tag == "syslogauth":
            raise ValueError("'syslogauth' is the tag of this program, whose messages are never read; give the server another")
    return {tag.encode(): known.encode() for tag, known in value.items()}


def users(value: Any) -> tuple[re.Pattern[str], ...]:
    """Shell patterns, without regard to case: `*@example.org`."""
    return tuple(re.compile(fnmatch.translate(word), re.IGNORECASE) for word in list_of(text)(value))


def endpoint(value: Any) -> Endpoint:
    host, colon, port = text(value).rpartition(":")
    address = pack(host[1:-1]) if host.startswith("[") and host.endswith("]") else pack(host) if ":" not in host else None
    if not colon or address is None or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f'{value!r} is not ADDRESS:PORT; write "127.0.0.1:5140" or "[::1]:5140", with a literal address')
    return Endpoint(canonical(address), int(port))


def endpoints(value: Any) -> tuple[Endpoint, ...]:
    found = list_of(endpoint)(value)
    if twice := [where for where in found if found.count(where) > 1]:
        raise ValueError(f"{twice[0]} is listed twice; write it once")
    return found


def name(value: Any) -> str:
    """Of a peer: the label of a metric."""
    if not re.fullmatch(r"[!-~]{1,64}", text(value)):
        raise ValueError(f"{value!r} is no name; write 1 to 64 letters, digits, dots and the like, without blanks")
    return str(value)


def names(value: Any) -> frozenset[str]:
    return frozenset(list_of(name)(value))


def subjects(value: Any) -> tuple[str, ...]:
    """DNS names as certificates have them (RFC 5280 4.2.1.6), in small letters; `*.` for any one label at the left (RFC 5425 5.2)."""
    for word in list_of(text)(value):
        if not re.fullmatch(r"(\*\.)?([\w-]{1,63}\.)*[\w-]{1,63}", word, re.ASCII) or (word.startswith("*.") and "." not in word[2:]):
            raise ValueError(f"{word!r} is no DNS name; write one such as mail1.example.org, or *.example.org for all of a domain")
    return tuple(word.lower() for word in value)


def fingerprints(value: Any) -> tuple[str, ...]:
    """SHA-256 sums as openssl(1) writes them, as 64 small digits."""
    found = []
    for word in list_of(text)(value):
        algorithm, _, digits = word.partition(":")
        if algorithm.lower() != "sha256" or not re.fullmatch(r"[0-9a-f]{64}", digits := digits.replace(":", "").lower()):
            raise ValueError(f"{word!r} is no fingerprint; write sha256: and what `openssl x509 -noout -fingerprint -sha256` says")
        found.append(digits)
    return tuple(found)


def absolute_path(value: Any) -> Path:
    if "\0" in text(value):
        raise ValueError(f"{value!r} holds a NUL; write the path without it")
    path = Path(value)
    if not path.is_absolute():
        raise ValueError(f"{value!r} is not an absolute path; begin it with /")
    return path


def map_path(value: Any) -> Path:
    path = absolute_path(value)
    if not path.name:
        raise ValueError(f"{value!r} names no file; write the map's path, without .db")
    return path


def map_file(path: Path) -> Path:
    """The file of a map: `.db` is appended unless it is there, as makemap and sendmail do."""
    return path if path.name.endswith(".db") else path.with_name(path.name + ".db")


def paths(value: Any) -> tuple[Path, ...]:
    return tuple(list_of(absolute_path)(value))


def log_files(value: Any) -> tuple[Path, ...]:
    found = paths(value)
    if twice := [path for path in found if found.count(path) > 1]:
        raise ValueError(f"{twice[0]} is listed twice, so that each line would count twice; write it once")
    return found


def mode(value: Any) -> int:
    if not isinstance(value, str) or not value.isdecimal() or len(value) not in (3, 4) or not set(value) <= set("01234567"):
        raise ValueError(f'{value!r} is not a file mode; write it as octal digits in quotes: "0640"')
    bits = int(value, 8)
    if bits & ~0o644 or bits & 0o600 != 0o600:
        raise ValueError(f"mode {value} would let others write the map or keep syslogauth from it; write 0640, 0600 or 0644")
    return bits


def key_prefix(value: Any) -> str:
    if any(c.isspace() or not c.isprintable() for c in text(value)):
        raise ValueError(f'{value!r} holds a blank or a control character; write a prefix such as "POP:"')
    return str(value)


def services(value: Any) -> frozenset[str]:
    return frozenset(list_of(one_of(*SERVICES))(value))


def servers(value: Any) -> frozenset[str]:
    return frozenset(list_of(text)(value))


def facilities(value: Any) -> frozenset[str]:
    if not (names := frozenset(list_of(one_of(*FACILITIES))(value))):
        raise ValueError('the list is empty, so that every message would be refused; write ["mail"] at least')
    return names


def near(word: Any, known: Any) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
