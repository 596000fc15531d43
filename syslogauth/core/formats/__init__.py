"""The mail servers whose logins are recognised: one file a family, one name here.

A message goes to every format that lists its app_name (Courier and UW share `imapd`). Where two formats know the same line, it is
AMBIGUOUS and refused, whatever each makes of it: an odd but genuine login may be lost, a forged one is never granted. Only a site's own
format may take what the others find ambiguous: its administrator knows what their server writes.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from syslogauth.core.formats import (
    apple,
    courier,
    cucipop,
    cyrus,
    dbmail,
    dovecot,
    imapproxy,
    mailutils,
    nginx,
    perdition,
    popa3d,
    qpopper,
    solid_pop3d,
    stalwart,
    teapop,
    tpop3d,
    uw,
    vm_pop3d,
    vpopmail,
    zimbra,
)
from syslogauth.core.formats.check import faults
from syslogauth.core.formats.grammar import Format, Line, Usual, any_prefix
from syslogauth.core.formats.looks import looks_like_login
from syslogauth.core.login import Cut, Failed, Logout, Refusal, Report
from syslogauth.core.message import Message

FORMATS: tuple[Format, ...] = (
    apple.FORMAT,
    courier.FORMAT,
    cucipop.FORMAT,
    cyrus.FORMAT,
    dbmail.FORMAT,
    dovecot.FORMAT,
    imapproxy.FORMAT,
    mailutils.FORMAT,
    nginx.FORMAT,
    perdition.FORMAT,
    popa3d.FORMAT,
    qpopper.FORMAT,
    solid_pop3d.FORMAT,
    stalwart.FORMAT,
    teapop.FORMAT,
    tpop3d.FORMAT,
    uw.FORMAT,
    vm_pop3d.FORMAT,
    vpopmail.FORMAT,
    zimbra.FORMAT,
)


class Recogniser:
    """Several formats together: which of them a message goes to, and what it then reports.

    `app_names`: further tags, each read as the known one that it stands for (`dovecot-front`, of Dovecot's instance_name, as `dovecot`).
    """

    def __init__(self, formats: Iterable[Format] = FORMATS, app_names: Mapping[bytes, bytes] | None = None) -> None:
        self.formats = tuple(_under(form, app_names or {}) for form in formats)
        self._by_app_name = _by_tag((form, form.app_names) for form in self.formats)
        self._by_file_app_name = _by_tag((form, form.file_app_names) for form in self.formats)
        self.app_names = frozenset(self._by_app_name)
        self.file_app_names = frozenset(self._by_file_app_name)

    def of(self, message: Message) -> tuple[Format, ...]:
        """The formats that the message's app_name names. Tags of log files count only where there was no <PRI>."""
        app_name = message.app_name
        formats = self._by_app_name.get(app_name) or self._by_app_name.get(any_prefix(app_name), ())
        if message.priority is None:
            formats += self._by_file_app_name.get(app_name, ())
        return formats

    def known_as(self, message: Message) -> bytes:
        """The app_name as the formats list it: a metric's label, since a prefix is anybody's choice."""
        app_name = message.app_name
        return app_name if app_name in self._by_app_name else any_prefix(app_name)

    def recognise(self, message: Message, *, escaped: bool = True) -> Report | Refusal:
        """What the message reports, or why it reports nothing. `escaped`: its source cannot have split it at a client's line feed."""
        if len(forms := self.of(message)) == 1:
            return self._believed(forms[0], forms[0].recognise(message), escaped)
        taken = [(form, found) for form in forms if (found := form.recognise(message)) is not Refusal.NOT_LOGIN]
        if len(taken) > 1:
            taken = [(form, found) for form, found in taken if form.site or found is not Refusal.AMBIGUOUS]
            if len(taken) != 1 or not taken[0][0].site:
                return Refusal.AMBIGUOUS
        for form, found in taken:
            return self._believed(form, found, escaped)
        return Refusal.NOT_LOGIN

    def _believed(self, form: Format, found: Report | Refusal, escaped: bool) -> Report | Refusal:
        if escaped or form.escapes or isinstance(found, Refusal | Failed | Cut):
            return found
        return Refusal.UNESCAPED_SOURCE

    def overlooks(self, message: Message) -> bool:
        """Whether the message looks like a login of a server that we know, and none of its formats knows what it is."""
        forms = self.of(message)
        if not forms or not looks_like_login(message.text):
            return False
        return not any(
            (form.others and re.match(form.others, message.text)) or isinstance(form.recognise(message), Failed | Logout | Cut)
            for form in forms
        )

    @property
    def usual(self) -> Usual | None:
        """The short way to the commonest login, where nothing else can be meant by it."""
        for form in self.formats:
            usual = form.usual
            if usual and form.escapes and all(self._by_app_name[tag] == (form,) for tag in usual.app_names):
                return None if usual.app_names & self.file_app_names else usual
        return None

    def check(self) -> list[str]:
        """What is wrong with any format, a sentence each: asked when the daemon starts, and by the tests."""
        return [fault for form in self.formats for fault in faults(form)]


def _under(form: Format, app_names: Mapping[bytes, bytes]) -> Format:
    """The format with the tags that stand for one of its own."""
    more = {tag: form.app_names[known] for tag, known in app_names.items() if known in form.app_names}
    if not more:
        return form

    def wider(tags: frozenset[bytes]) -> frozenset[bytes]:
        return tags | {tag for tag in more if app_names[tag] in tags}

    def with_more(line: Line) -> Line:
        return line if line.app_names is None else replace(line, app_names=wider(line.app_names))

    usual = form.usual and replace(form.usual, app_names=wider(form.usual.app_names))
    return replace(form, app_names={**form.app_names, **more}, lines=tuple(map(with_more, form.lines)), usual=usual)


def _by_tag(formats: Iterable[tuple[Format, Mapping[bytes, str]]]) -> dict[bytes, tuple[Format, ...]]:
    found: dict[bytes, tuple[Format, ...]] = {}
    for form, tags in formats:
        for tag in tags:
            found[tag] = (*found.get(tag, ()), form)
    return found


ALL = Recogniser()
