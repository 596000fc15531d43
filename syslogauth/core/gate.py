"""The gate: one compiled pattern that finds what must be read, so that no object is made of noise. What it does not match is noise.

Noise has a listed <PRI> and a header after which no known server's text begins as its logins do (nor as the ends of its sessions, where
those count), nor looks like a login in any other words. It is a pure saving: what it lets through is read again, strictly, from the
first byte.

The pattern is `(?!NOISE)`: a pattern that fails costs 90 ns less than one that matches, which makes an object. NOISE has two parts. The
first is a short cut for nearly everything that a farm sends: the usual stamp, a host or none, then a tag that is nobody's, or a known one
and a text that is known to be no login. The second is for all the rest: whatever header leads to no known tag. It describes the header as
parse() reads it, only more loosely (a word is anything without a blank, and may be the host or not; of RFC 5424 no more than the app_name
is read), so that whatever parse() and a format take is found here too. A stamp is taken possessively: what begins like one leads to a
known tag in no other way. Atomic groups, never `(?:...)?+`: possessive groups match wrongly in Python before 3.11.5, Debian 12's among
them (CPython gh-106052). Nothing looks behind: a datagram lies in a buffer among others.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from syslogauth.core.formats import Recogniser
from syslogauth.core.formats.grammar import Format
from syslogauth.core.formats.looks import LOOKED_AT, SUCCESS
from syslogauth.core.message import BARE_TAG, FACILITIES, OWN_APP_NAME

WORD = rb"[^ ]++ "
CLOCK = rb"\d\d:\d\d:\d\d[^ ]*+ "
USUAL_STAMP = rb"[A-Z].{5} ..:..:.. "  # where the blanks and colons stand tells it from all else, in a third of the time
STAMP = rb"(?>" + USUAL_STAMP + rb"|(?:(?:[A-Z][a-z]{2} ++\d++ (?:\d{4} )?|\d{4}-\d\d-\d\d[T ])" + CLOCK + rb")?)"
RELAY = rb"(?:(?=[<FM\[])(?>(?:<[^ ]*+ )?(?:(?:Message f|F)orwarded from [^ ]++ |\[[^ ]++ )?))?"
USUAL_HOST = rb"(?!" + BARE_TAG + rb" )(?>Forwarded from [^ ]++ |[^ :\[]*+ |)"
HOST = rb"(?>(?P<host>[^ :\[]*+ )?)"  # of the first word: a tag has one of these, and an IPv6 address
AFTER_TAG = rb"(?=[\[: ])(?>(?:\[[^ \]]*+\])?)[: ]?+ ?+"
ANY_PREFIX = b"*/"
# What mail logs are full of: refused before any known tag is looked for. No format's tag begins so (postfix/imap is no Cyrus).
COMMON = (b"postfix/", b"sendmail[", b"sm-mta[", b"exim[", b"spamd[", b"rspamd[", b"amavis[", b"opendkim[", b"opendmarc[")
NEVER = rb"(?!)"
WRAPPED = rb"message repeated |Last message '|\[ID "  # of any program: rsyslog's and syslog-ng's repeats, Solaris's message id


@lru_cache(maxsize=8)  # to make it takes tens of milliseconds
def gate_pattern(recogniser: Recogniser, facilities: frozenset[str], *, logouts: bool) -> re.Pattern[bytes]:
    """The gate of a socket. `logouts`: whether the end of a session is more than noise."""
    by_frequency = (6, 5, 4, 3, 7, 2, 1, 0)  # info and notice first: the alternatives are tried in order
    priorities = b"|".join(b"%d" % (FACILITIES.index(name) * 8 + severity) for severity in by_frequency for name in sorted(facilities))
    return re.compile(rb"(?!<(?:" + priorities + rb")>" + _noise(recogniser, {b"syslogd": b"", OWN_APP_NAME: rb"[\[: ]"}, logouts) + rb")")


@lru_cache(maxsize=8)
def line_gate_pattern(recogniser: Recogniser, *, logouts: bool) -> re.Pattern[bytes]:
    """The same for a line of a file, which may begin with svlogd's stamp, and end in any facility, and be of a server's own log."""
    more = dict.fromkeys((recogniser.file_app_names - recogniser.app_names) | {b"syslogd", OWN_APP_NAME}, rb"[\[: ]")
    before = rb"(?><\d{1,3}>|(?:@[0-9a-f]{24} |\d{4}-\d\d-\d\d_\S{8,20} )?(?:[a-z0-9]{2,8}\.[a-z]{3,7}: )?)"
    return re.compile(rb"(?!" + before + _noise(recogniser, more, logouts) + rb")")


def _noise(recogniser: Recogniser, more: Mapping[bytes, bytes], logouts: bool) -> bytes:
    """What follows a <PRI> and is noise. `more`: tags, and what follows them, which are no format's and must be read all the same."""
    forms_by_tag = {tag: tuple(form for form in recogniser.formats if tag in form.app_names) for tag in recogniser.app_names}
    tags = {tag: AFTER_TAG + rb"(?:" + _texts(forms, logouts) + rb")" for tag, forms in forms_by_tag.items()}
    tags.update(more)
    short_cut = USUAL_STAMP + USUAL_HOST + rb"(?:" + _other_business(forms_by_tag, more, logouts) + rb")"
    return rb"(?:" + short_cut + rb"|(?!" + _leads_to(tags) + rb"))"


def _other_business(forms_by_tag: Mapping[bytes, tuple[Format, ...]], more: Iterable[bytes], logouts: bool) -> bytes:
    """A tag that is no known server's; or one that is, and how its texts begin that are known to be no login."""
    by_rest: dict[bytes, list[bytes]] = {}
    for tag, forms in forms_by_tag.items():
        if known := _known_texts(forms, logouts):
            by_rest.setdefault(AFTER_TAG + rb"(?!" + b"|".join(_read_texts(forms, logouts)) + rb")(?:" + known + rb")", []).append(tag)
    common = _trie(word for word in COMMON if not any(tag.startswith(word) for tag in forms_by_tag))
    nobodys = rb"(?!" + _any_of([*forms_by_tag, *more]) + rb"[\[: ])[^ :\[/]++(?:\[|: )"
    dovecot = [_any_of(tags) + rest for rest, tags in by_rest.items() if b"dovecot" in tags]  # the commonest of them first
    others = [_any_of(tags) + rest for rest, tags in by_rest.items() if b"dovecot" not in tags]
    return b"|".join([common, *dovecot, nobodys, *others])


def _texts(forms: tuple[Format, ...], logouts: bool) -> bytes:
    """How the texts begin that must be read under a tag that these formats share, or what in them looks like a login."""
    known = _known_texts(forms, logouts)
    looks = (rb"(?!" + known + rb")" if known else b"") + rb"[^\n]{0,%d}?(?:" % LOOKED_AT + SUCCESS + rb")"
    return b"|".join((*_read_texts(forms, logouts), looks))


def _read_texts(forms: tuple[Format, ...], logouts: bool) -> tuple[bytes, ...]:
    """How the texts begin that must be read."""
    ends = (form.logout_begins for form in forms if logouts and form.logout_begins)
    return (*(form.begins for form in forms), *ends, WRAPPED)


def _known_texts(forms: tuple[Format, ...], logouts: bool) -> bytes:
    """How the texts begin that are known and no login; empty where none are. Those to be read come before them."""
    return b"|".join(others for form in forms for others in (form.others, b"" if logouts else form.logout_begins) if others)


def _leads_to(tags: Mapping[bytes, bytes]) -> bytes:
    """A pattern for each header that leads to a tag and what is to come after it, or to syslogd's own words."""
    by_rest: dict[bytes, list[bytes]] = {}
    for tag, rest in sorted(tags.items(), key=lambda item: (item[0] != b"dovecot", item)):  # the commonest of them first
        by_rest.setdefault(rest, []).append(tag)
    known = _any_of(tags)
    texts = b"|".join(_any_of(of) + rest for rest, of in by_rest.items())
    tagged = rb"(?=" + known + rb"[\[: ])(?:" + texts + rb")"
    rfc5424 = rb"1 (?>(?:\d{4}-\d\d-\d\d )?)" + WORD * 2 + rb"(?:" + known + rb"|-) "  # the stamp may hold a blank; nil is an app_name
    bare = rb"last message |" + BARE_TAG + rb" |" + rfc5424
    after_host = rb"(?:" + tagged + rb"|" + bare + rb")"
    return (
        STAMP + RELAY + rb"(?:" + bare + rb"|" + HOST + rb"(?(host)" + after_host + rb"|(?:" + tagged + rb"|" + WORD + after_host + rb")))"
    )


def _any_of(tags: Iterable[bytes]) -> bytes:
    """One of the tags; `*/imap` is any word, a slash, and imap."""
    tags = tuple(tags)
    services = [tag.removeprefix(ANY_PREFIX) for tag in tags if tag.startswith(ANY_PREFIX)]
    prefixed = rb"|[\w.-]++/" + _trie(services) if services else b""
    return rb"(?:" + _trie(tag for tag in tags if not tag.startswith(ANY_PREFIX)) + prefixed + rb")"


def _trie(words: Iterable[bytes]) -> bytes:
    """The alternatives by common beginnings: a word that is none of them is refused at its first byte, however many they are."""
    words = sorted(set(words))
    if not words:
        return NEVER
    branches = []
    for first in sorted({word[:1] for word in words}):
        rests = [word[1:] for word in words if word[:1] == first]
        branches.append(re.escape(first) + (b"" if rests == [b""] else _trie(rests)) if first else b"")
    branches.sort(key=lambda branch: branch == b"")  # the empty one last: the longest word first
    return branches[0] if len(branches) == 1 else rb"(?:" + b"|".join(branches) + rb")"
