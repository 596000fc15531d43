"""The usual login: header, tag and text of the commonest line read by one pattern, where it lies in the buffer.

A saving like the gate's, at the other end: the long way makes a message of the line, asks each line of its format, and takes three times as
long. What the pattern does not take, or reads as anything but a login, goes the long way; what it takes comes out of both the same, for
it is put together from the classes of the header (message.py) and of the format.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from syslogauth.core.formats import Recogniser
from syslogauth.core.login import Login, Refusal
from syslogauth.core.message import FACILITIES, USUAL_HEADER

Read = Callable[[re.Match[bytes]], Login | Refusal]
NOTHING = re.compile(rb"(?!)")


@lru_cache(maxsize=8)
def usual_login(recogniser: Recogniser, facilities: frozenset[str] | None) -> tuple[re.Pattern[bytes], Read]:
    """The pattern of a whole datagram of these facilities, or of a line without a <PRI> (None), and what a match of it says.

    Groups: `stamp`, `host` or `origin`, and those of the format.
    """
    usual = recogniser.usual
    if usual is None:
        return NOTHING, lambda found: Refusal.NOT_LOGIN
    numbers = (8 * FACILITIES.index(name) + severity for name in sorted(facilities or ()) for severity in range(8))
    priority = b"" if facilities is None else rb"<(?:" + b"|".join(b"%d" % number for number in numbers) + rb")>"
    tags = b"|".join(map(re.escape, sorted(usual.app_names)))
    return re.compile(priority + USUAL_HEADER + rb"(?:" + tags + rb")(?:\[\d{1,10}\])?: " + usual.pattern, re.DOTALL), usual.read
