"""What the messages just before say of this one: a login that a summary may repeat, and a line that was cut in two.

**Repeats.** `last message repeated N times` names no message. It renews the grant that the datagram directly before it made, from the same
peer and hostname, or that the summary before it renewed, within REPEAT_SECONDS; otherwise it is only counted. Only logins whose line can
repeat are remembered: one with a session id (Dovecot since 2.2) never does.

**Cut lines.** Courier's logger writes a line of more than 511 bytes as two messages of the same tag, and the second holds nothing but the
client's text, which may be a whole login. The next message of the same peer, hostname and app_name is therefore the rest of a cut one,
whatever it says, if it comes within CUT_SECONDS and its stamp is of the same instant (a client can have a line taken for a first half and
so somebody's login for its rest: not one of a later second, however). So is what repeats that rest word for word: a message may come
twice, by two rules of a syslogd or doubled on the network. A summary may stand for a first half, which a syslogd does not send again then:
it renews the mark. A first half lost on the way cannot be known of: the format says so.

Bounded in hosts and in hostnames; swept once in a while, because each host in here costs the reading of its noise.
"""

import re
from dataclasses import dataclass, field, replace

from syslogauth.core.login import Login, Refusal
from syslogauth.core.message import Message

REPEAT_SECONDS = 660.0  # FreeBSD and inetutils write a summary at the latest 600 s after the line: repeatinterval[] = {30, 120, 600}
CUT_SECONDS = 60.0  # the halves leave in one instant; a syslogd may hold them up
INSTANT_SECONDS = 1  # by their stamps, which a second may begin between
CLOCK = re.compile(rb"(\d\d):(\d\d):(\d\d)")
DAY_SECONDS = 86400
CAPACITY_HOSTS = 65536
CAPACITY_OF_ONE = 1024  # hostnames, and cut lines, of one peer


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A login whose line may be summed up: when it came, and when it or a summary of it came last."""

    login: Login
    login_at: float
    last_at: float


@dataclass(frozen=True, slots=True)
class _CutLine:
    """The first half of a line, and its rest once that has come."""

    at: float
    stamp: bytes
    rest: bytes | None = None

    def goes_on(self, message: Message, now: float) -> bool:
        """Whether this message is the rest of it."""
        return 0 <= now - self.at <= CUT_SECONDS and _one_instant(self.stamp, message.timestamp) and self.rest in (None, message.text)


@dataclass(slots=True)
class _Host:
    repeatable: dict[bytes, Repeatable] = field(default_factory=dict)  # by hostname
    cut: dict[tuple[bytes, bytes], _CutLine] = field(default_factory=dict)  # by hostname and app_name

    def __bool__(self) -> bool:
        return bool(self.repeatable or self.cut)


class Recent:
    """`hosts` are those whose every message must be read, noise too."""

    def __init__(self) -> None:
        self.hosts: dict[str, _Host] = {}

    def repeatable(self, host: str, hostname: bytes, now: float) -> Repeatable | None:
        """The login that a summary of now speaks of, which then came now."""
        if (of := self.hosts.get(host)) is None or (known := of.repeatable.get(hostname)) is None:
            return None
        if not 0 <= now - known.last_at <= REPEAT_SECONDS:
            return None
        of.repeatable[hostname] = replace(known, last_at=now)
        return known

    def remember(self, host: str, hostname: bytes, login: Login, now: float) -> None:
        if (of := self._host(host)) is not None and len(of.repeatable) < CAPACITY_OF_ONE:
            of.repeatable[hostname] = Repeatable(login, now, now)

    def cut(self, host: str, message: Message, now: float) -> None:
        """This message is the first half of one."""
        if (of := self._host(host)) is not None and len(of.cut) < CAPACITY_OF_ONE:
            of.cut[message.hostname, message.app_name] = _CutLine(now, message.timestamp)

    def came(self, host: str, message: Message | Refusal, now: float) -> bool:
        """A message came: a summary after it speaks of this one. True where it is the rest of one that was cut."""
        if (of := self.hosts.get(host)) is None:
            return False
        rest = False
        if isinstance(message, Refusal):
            of.repeatable.clear()
        else:
            of.repeatable.pop(message.hostname, None)
            key = message.hostname, message.app_name
            if (known := of.cut.pop(key, None)) is not None and known.goes_on(message, now):
                of.cut[key] = replace(known, rest=message.text)
                rest = True
        if not of:
            del self.hosts[host]
        return rest

    def summed_up(self, host: str, summary: Message, now: float) -> None:
        """A summary came: what it repeats may be the first half of a cut line."""
        if (of := self.hosts.get(host)) is None:
            return
        for key, known in of.cut.items():
            if key[0] == summary.hostname and known.rest is None and 0 <= now - known.at <= REPEAT_SECONDS:
                of.cut[key] = _CutLine(now, summary.timestamp)

    def sweep(self, now: float) -> None:
        for host, of in list(self.hosts.items()):
            for hostname in [name for name, known in of.repeatable.items() if not 0 <= now - known.last_at <= REPEAT_SECONDS]:
                del of.repeatable[hostname]
            for key in [key for key, known in of.cut.items() if not 0 <= now - known.at <= REPEAT_SECONDS]:
                del of.cut[key]
            if not of:
                del self.hosts[host]

    def _host(self, host: str) -> _Host | None:
        if host not in self.hosts and len(self.hosts) >= CAPACITY_HOSTS:
            return None
        return self.hosts.setdefault(host, _Host())


def _one_instant(stamp: bytes, later: bytes) -> bool:
    """Whether two stamps of one sender are as near as the halves of a line; so too where one of them has no time of the day."""
    found, then = CLOCK.search(stamp), CLOCK.search(later)
    if found is None or then is None:
        return True
    seconds, later_seconds = (int(hours) * 3600 + int(minutes) * 60 + int(rest) for hours, minutes, rest in (found.groups(), then.groups()))
    return (later_seconds - seconds) % DAY_SECONDS <= INSTANT_SECONDS
