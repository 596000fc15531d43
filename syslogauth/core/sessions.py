"""Logins that take several lines: the first says who connected, a later one of the same process that a user was let in.

The two are joined by (peer, hostname, app_name, procid), within JOIN_SECONDS of receipt and once: the same pid on two hosts never joins,
and a pid that comes again does not join what another process said before, because its own first line takes that one's place. What
remains: a first line lost on the way, and its pid used by another client less than JOIN_SECONDS before, which then had not logged in.

Bounded: beyond CAPACITY the oldest first line is forgotten, so that a flood of connections costs a login, never memory.
"""

from collections import OrderedDict

from syslogauth.core.login import Authenticated, Connected, Login, Refusal
from syslogauth.core.message import Message

JOIN_SECONDS = 60.0
CAPACITY = 65536

Process = tuple[str, bytes, bytes, bytes]


class Joins:
    def __init__(self) -> None:
        # in the order of arrival; a plain dict walks over all that it has forgotten to find the oldest, 100 us a line in a flood
        self._connected: OrderedDict[Process, tuple[Connected, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._connected)

    def connected(self, host: str, message: Message, line: Connected, now: float) -> None:
        """Remember who is at the other end of the process. Without a procid nothing could join it."""
        process = _process(host, message)
        self._connected.pop(process, None)
        if not message.procid:
            return
        if len(self._connected) >= CAPACITY:
            self._connected.popitem(last=False)
        self._connected[process] = (line, now)

    def authenticated(self, host: str, message: Message, line: Authenticated, now: float) -> Login | Refusal:
        """The login of both lines, or UNJOINED where the first did not come, or came too long ago."""
        first, at = self._connected.pop(_process(host, message), (None, 0.0))
        if first is None or first.server != line.server or not 0 <= now - at <= JOIN_SECONDS:
            return Refusal.UNJOINED
        return Login(line.server, line.service, line.user, first.address, end_key=line.end_key)

    def failed(self, host: str, message: Message) -> None:
        self._connected.pop(_process(host, message), None)

    def sweep(self, now: float) -> None:
        """Forget what nothing can join any more: the oldest come first, unless the clock was set."""
        for process, (_, at) in list(self._connected.items()):
            if 0 <= now - at <= JOIN_SECONDS:
                break
            del self._connected[process]


def _process(host: str, message: Message) -> Process:
    return host, message.hostname, message.app_name, message.procid
