"""What becomes of one message: repeated? -> formats -> joined? -> policy -> grant. Nothing is counted here, and no noise kept away.

When the repeated logins were of which a summary speaks is unknown: the renewed grant counts as granted when the line itself came, so that
a revocation since then voids it.
"""

import re
from hashlib import blake2b
from typing import NamedTuple

from syslogauth.core.formats import Recogniser
from syslogauth.core.login import GRANT, Authenticated, Closed, Connected, Cut, Failed, Grant, Login, Logout, Opened, Refusal
from syslogauth.core.message import FACILITIES, OWN_APP_NAME, Message
from syslogauth.core.peers import Peer
from syslogauth.core.policy import Policy
from syslogauth.core.recent import Recent
from syslogauth.core.sessions import Joins

UNBELIEVED = frozenset((Refusal.NOT_LOGIN, Refusal.AMBIGUOUS, Refusal.BAD_ADDRESS))


class Verdict(NamedTuple):
    """What became of one datagram: `outcome` is `grant` or the refusal's reason."""

    outcome: str
    login: Login | None = None
    grant: Grant | None = None
    message: Message | None = None
    session: Opened | Closed | None = None  # what begins or ends with it, where grants are held while a session is open


class Judge:
    """What it has judged counts for what it judges next. `own_addresses`, of the peers, may grow meanwhile."""

    def __init__(self, policy: Policy, recogniser: Recogniser, facilities: frozenset[str], own_addresses: set[bytes]) -> None:
        self.policy = policy
        self.recogniser = recogniser
        self.own_addresses = own_addresses
        self.joins = Joins()
        self.recent = Recent()
        self._priorities = {None, *(8 * FACILITIES.index(name) + severity for name in facilities for severity in range(8))}

    def judge(self, message: Message | Refusal, peer: Peer, now: float) -> Verdict:
        if isinstance(message, Refusal):
            self.recent.came(peer.host, message, now)
            return Verdict(message)
        if message.priority not in self._priorities:
            self.recent.came(peer.host, message, now)
            return Verdict(Refusal.UNLISTED_FACILITY, message=message)
        if message.repeats:
            return self._repeat(message, peer, now)
        if self.recent.came(peer.host, message, now):
            if isinstance(self.recogniser.recognise(message), Cut):  # it is a first half itself, or the same one twice
                self.recent.cut(peer.host, message, now)
            return Verdict(Refusal.CUT, message=message)
        if message.app_name == OWN_APP_NAME:
            return Verdict(Refusal.OWN_MESSAGE, message=message)
        if peer.address and message.app_name in self.recogniser.file_app_names:  # of a server's own log file, which no syslogd sends
            return Verdict(Refusal.NOT_LOGIN, message=message)
        found = self.recogniser.recognise(message, escaped=peer.escaped)
        if isinstance(found, Authenticated):
            found = self.joins.authenticated(peer.host, message, found, now)
        if isinstance(found, Login):
            return self._login(found, message.hostname, peer, now, message)
        if isinstance(found, Refusal):
            if found is Refusal.BAD_ADDRESS:  # perhaps a first line: what another process of that pid said before is void
                self.joins.failed(peer.host, message)
            return Verdict(found, message=message)
        if isinstance(found, Logout) and self.policy.holds:
            return Verdict(Refusal.LOGOUT, message=message, session=self._closed(found.server, found.end_key, message.hostname, peer, now))
        if isinstance(found, Connected):
            self.joins.connected(peer.host, message, found, now)
            return Verdict(Refusal.CONNECTED, message=message)
        if isinstance(found, Cut):
            self.recent.cut(peer.host, message, now)
            return Verdict(Refusal.CUT, message=message)
        if isinstance(found, Failed):
            self.joins.failed(peer.host, message)
        return Verdict(Refusal.NOT_LOGIN, message=message)

    def judge_usual(self, login: Login | Refusal, found: re.Match[bytes], peer: Peer, now: float) -> Verdict | None:
        """What becomes of a line that is a usual login (usual.py); None where the long way must say it, or what came before it counts."""
        if peer.host in self.recent.hosts or not isinstance(login, Login):
            return None
        return self._login(login, found["host"] or found["origin"] or b"", peer, now)

    def sweep(self, now: float) -> None:
        """Forget what nothing can refer to any more."""
        self.joins.sweep(now)
        self.recent.sweep(now)

    def _login(self, login: Login, hostname: bytes, peer: Peer, now: float, message: Message | None = None) -> Verdict:
        verdict = self._decide(login, hostname, peer, now, message)
        if verdict.grant and not login.session:
            self.recent.remember(peer.host, hostname, login, now)
        if login.session_end:
            return verdict._replace(session=self._closed(login.server, login.end_key, hostname, peer, now))
        if verdict.grant and login.end_key and self.policy.holds:
            grace_seconds = verdict.grant.expires_at - now
            until = now + self.policy.hold_max_seconds + grace_seconds
            key = _key(peer, hostname, login.server, login.end_key)
            return verdict._replace(session=Opened(key, login.address, now, until, grace_seconds, login.counted))
        return verdict

    def _closed(self, server: str, end_key: str, hostname: bytes, peer: Peer, now: float) -> Closed | None:
        return Closed(_key(peer, hostname, server, end_key), now) if end_key and self.policy.holds else None

    def _decide(self, login: Login, hostname: bytes, peer: Peer, now: float, message: Message | None) -> Verdict:
        decision = self.policy.decide(login, self.own_addresses, hostname.decode("ascii", "backslashreplace"), peer.name, now)
        if isinstance(decision, Refusal):
            return Verdict(decision, login, None, message)
        return Verdict(GRANT, login, decision, message)

    def _repeat(self, message: Message, peer: Peer, now: float) -> Verdict:
        known = self.recent.repeatable(peer.host, message.hostname, now)
        if known is None:
            self.recent.came(peer.host, message, now)
            self.recent.summed_up(peer.host, message, now)
            return Verdict(Refusal.REPEATED, message=message)
        verdict = self._decide(known.login, message.hostname, peer, now, message)
        return verdict._replace(grant=verdict.grant._replace(granted_at=known.login_at)) if verdict.grant else verdict


def _key(peer: Peer, hostname: bytes, server: str, end_key: str) -> bytes:
    """Which session, of which server on which host: 16 bytes, because names may be long and the table keeps one for each session.

    The peer by its packed address: after a restart on another socket it may be written as an IPv4-mapped one.
    """
    names = (hostname, server.encode(), end_key.encode())
    return blake2b(bytes((len(peer.address),)) + peer.address + b"\0".join(names), digest_size=16).digest()
