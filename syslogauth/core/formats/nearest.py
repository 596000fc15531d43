"""Why a message gave no login, in words that an administrator can act on: which format came nearest, and where the text stopped to fit.

Only asked for by a command: a line's pattern is taken apart (pattern.py) and tried piece by piece, which costs a hundred times what
recognising costs. Positions are bytes of the text, which begins after the header. Whatever is quoted of a line is made fit for a terminal.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from syslogauth.core.formats import Recogniser
from syslogauth.core.formats.grammar import SERVICES, Format, Kind, Line, any_prefix, client_address, printable, quoted
from syslogauth.core.formats.looks import FAILURE, speaks_of_success
from syslogauth.core.formats.pattern import Piece, pieces
from syslogauth.core.login import Authenticated, Connected, Cut, Failed, Logout, Refusal, Report
from syslogauth.core.message import Message

SHOWN_BYTES = 40  # of what stands at the wrong place
LOGINS = (Kind.LOGIN, Kind.CONNECTED, Kind.AUTHENTICATED)
DECLARE = "[[listen.source]] with its peers or files and escapes = true"


@dataclass(frozen=True, slots=True)
class Explanation:
    """`nearest` is the name of a format; empty where none comes near."""

    words: str
    nearest: str = ""


def explain(recogniser: Recogniser, message: Message, outcome: str) -> Explanation:
    """Why the message came to this outcome, no login having been read in it."""
    forms = recogniser.of(message)
    if not forms:
        return Explanation(_unknown(recogniser, message))
    taken = [(form, found) for form in forms if (found := form.recognise(message)) is not Refusal.NOT_LOGIN]
    if outcome == Refusal.CUT and not any(isinstance(found, Cut) for _, found in taken):
        return Explanation("the line before it of the same server was cut: this is the rest of that one, and a client's text")
    if len(taken) > 1 and outcome == Refusal.AMBIGUOUS:
        names = " and ".join(form.name for form, _ in taken)
        return Explanation(f"it is a line of {names} alike: which of them wrote it cannot be told", taken[0][0].name)
    if taken:
        form, found = taken[0]
        words = _refused(form, message, found) if isinstance(found, Refusal) else _reported(form, message, found, outcome)
        return Explanation(words, form.name)
    return _nearest(forms, message)


def _unknown(recogniser: Recogniser, message: Message) -> str:
    tag = printable(message.app_name)
    if not tag:
        return "it has no tag, so that its server is unknown"
    if message.app_name in recogniser.file_app_names:
        return f"{tag} is a tag of a server's own log file alone: that is read (replay), and never taken from the network"
    if close := _closest(tag, recogniser.app_names):
        return f'no format has the tag {tag}; if it stands for {close}, write listen.app_names = {{ "{tag}" = "{close}" }}'
    return f"no format has the tag {tag} (syslogauth formats lists those that there are; a [[format]] of your own adds one)"


@lru_cache(1024)
def _closest(tag: str, app_names: frozenset[bytes]) -> str:
    """The tag that this one is likely to stand for: one with something behind it (dovecot-front), or one much alike."""
    known = sorted(name.decode() for name in app_names if not name.startswith(b"*"))
    start = [name for name in known if len(name) > 4 and "/" not in tag and tag.lower().startswith(name)]
    return max(start, key=len, default="") or next(iter(get_close_matches(tag, known, n=1, cutoff=0.85)), "")


def _reported(form: Format, message: Message, found: Report, outcome: str) -> str:
    """What is known of a line that is a part of a login, the end of a session, or a login that its sender made doubtful."""
    if outcome == Refusal.UNESCAPED_SOURCE:
        return (
            "it logs a client's line feeds as they are, and the sender may make a second line of what follows one; "
            f"where it escapes them (rsyslog, the BSDs' syslogd), declare so: {DECLARE}"
        )
    without_procid = "" if message.procid else "; without a [pid] nothing can be joined: let the server's syslog write it"
    match found:
        case Connected():
            return f"the first line of a login: who connected; the user is to follow from the same process{without_procid}"
        case Authenticated():
            first = f"but no line of the same process ({_process(message)}) within 60 s before it said from where"
            return f"it let {found.user!r} in, {first}{without_procid}{_note(form)}"
        case Failed():
            return "a line about a login that was not let in"
        case Logout():
            return "the end of a session, which counts where policy.hold_while_connected is true"
        case Cut():
            return "a line that its logger cut: the next one is the rest of it, and a client's text"
    return ""


def _process(message: Message) -> str:
    return printable(message.app_name + b"[" + message.procid + b"]")


def _refused(form: Format, message: Message, refusal: Refusal) -> str:
    """Why a line whose form is right was refused."""
    if refusal is Refusal.ANONYMOUS:
        return "the user is anonymous"
    for line in _lines(form, message):
        if not (found := line.pattern.fullmatch(message.text)):
            continue
        part = found.groupdict()
        user, address, service = (part.get(name) or b"" for name in ("user", "address", "service"))
        if line.explain and (words := line.explain(message, found)):
            return words
        if address and client_address(address) is None:
            return f"the address, after {found.start('address')} bytes of the text, is {quoted(address)}: none that a client can have"
        if key := next((key for key in line.own_keys if key in user), None):
            return f"the user {quoted(user)} holds {quoted(key)}, which is a key of the line itself: a client's text may stand there"
        if service and service.lower() not in SERVICES:
            return f"its service {quoted(service)} is none that is known: imap, pop3, submission, managesieve"
        return f"the form is that of its {line.kind.value} line, but it holds what this server does not write so"
    return ""


def _nearest(forms: tuple[Format, ...], message: Message) -> Explanation:
    """For a message that no line of these formats takes."""
    text = message.text
    begun = [form for form in forms if re.match(form.begins, text)]
    known = [form for form in forms if _is_other(form, text)]
    for form in begun + known:
        if speaks_of_success(text) and not _logins(form, message):
            return Explanation(f"it names no address in the logins of this tag{_note(form)}", form.name)
    if known and not begun:
        return Explanation("one of its other lines, which are no logins", known[0].name)
    if not begun and FAILURE.search(text):
        return Explanation(f"it speaks of a failure, and begins as no login of {_names(forms)} does")
    stops = []
    for form in begun or forms:
        for line in _logins(form, message):
            if (stop := _stop(line, text)) is None:
                return Explanation(_refused(form, message, Refusal.NOT_LOGIN), form.name)
            stops.append((stop, form))
    if not stops:
        form = (known or list(forms))[0]
        return Explanation(f"it has no login under this tag{_note(form)}", form.name)
    stop, form = max(stops, key=lambda pair: pair[0].position)
    if stop.last is None:
        wanted = dict.fromkeys(words for other, _ in stops for words in other.wanted if words)
        if begun:
            return Explanation(f"the text begins as its logins do, but has to be {' or '.join(wanted)}", form.name)
        return Explanation(f"it begins as no login of {_names(forms)} does, which is: {', '.join(wanted)}")
    return Explanation(_words(stop, text), form.name)


def _names(forms: Iterable[Format]) -> str:
    return " or ".join(form.name for form in forms)


def _logins(form: Format, message: Message) -> list[Line]:
    return [line for line in _lines(form, message) if line.kind in LOGINS]


def _note(form: Format) -> str:
    return f". {form.notes}" if form.notes else ""


def _is_other(form: Format, text: bytes) -> bool:
    return any(pattern and re.match(pattern, text) for pattern in (form.others, form.logout_begins))


def _lines(form: Format, message: Message) -> list[Line]:
    tags = (message.app_name, any_prefix(message.app_name))
    return [line for line in form.lines if line.app_names is None or any(tag in line.app_names for tag in tags)]


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where a text stops to fit: after which piece, that took which bytes, and what may follow there."""

    position: int
    last: Piece | None
    taken: bytes
    wanted: tuple[str, ...]


def _stop(line: Line, text: bytes) -> _Stop | None:
    """None where the text fits to its end."""
    last, taken, position = None, b"", 0
    wanted: list[str] = []
    for piece in _pieces(line.pattern):
        if not (found := piece.upto.match(text)):
            return _Stop(position, last, taken, (*wanted, piece.words))
        if found.end() > position:
            last, taken, position, wanted = piece, text[position : found.end()], found.end(), []
        elif piece.optional and piece.words:
            wanted.append(piece.words)
    return _Stop(position, last, taken, (*wanted, "the end")) if position < len(text) else None


_pieces = lru_cache(256)(pieces)


def _words(stop: _Stop, text: bytes) -> str:
    left = text[stop.position : stop.position + SHOWN_BYTES]
    there = f"{quoted(left)}{'...' if len(text) > stop.position + SHOWN_BYTES else ''} stands there" if left else "the text ends there"
    field = stop.last.field if stop.last else ""
    behind = f"the {field} {quoted(stop.taken)}" if field else quoted(stop.taken[-SHOWN_BYTES:])
    failure = "it speaks of a failure: " if FAILURE.search(left) else ""
    return (
        f"{failure}after {stop.position} bytes of the text, behind {behind}, {' or '.join(filter(None, stop.wanted))} is expected; {there}"
    )
