"""The mail servers whose logins are recognised: one file a family, one name here.

A message goes to every format that lists its app_name (Courier and UW share `imapd`). Where two formats know the same line, it is
AMBIGUOUS and refused, whatever each makes of it: an odd but genuine login may be lost, a forged one is never granted.
"""

from syslogauth.core.formats import dovecot, qpopper, uw
from syslogauth.core.formats.grammar import Format
from syslogauth.core.login import Login, Refusal
from syslogauth.core.message import Message

FORMATS: tuple[Format, ...] = (dovecot.FORMAT, qpopper.FORMAT, uw.FORMAT)

_BY_APP_NAME = {tag: tuple(f for f in FORMATS if tag in f.app_names) for f in FORMATS for tag in f.app_names}
_BY_FILE_APP_NAME = {tag: tuple(f for f in FORMATS if tag in f.file_app_names) for f in FORMATS for tag in f.file_app_names}
APP_NAMES = frozenset(_BY_APP_NAME)
FILE_APP_NAMES = frozenset(_BY_FILE_APP_NAME)


def recognise(message: Message, *, escaped: bool = True) -> Login | Refusal:
    """The login that the message reports, or why it reports none. Tags of log files count only where there was no <PRI>.

    `escaped`: the source cannot have split a message at a client's line feed.
    """
    formats = _BY_APP_NAME.get(message.app_name, ())
    if message.priority is None:
        formats += _BY_FILE_APP_NAME.get(message.app_name, ())
    taken = [(form, found) for form in formats if (found := form.recognise(message)) is not Refusal.NOT_LOGIN]
    if len(taken) > 1:
        return Refusal.AMBIGUOUS
    for form, found in taken:
        return Refusal.UNESCAPED_SOURCE if isinstance(found, Login) and not (escaped or form.escapes) else found
    return Refusal.NOT_LOGIN


def check() -> list[str]:
    """What is wrong with any format, a sentence each: asked when the daemon starts, and by the tests."""
    return [fault for form in FORMATS for fault in form.check()]
