"""Which logins become grants: services, networks that never authorise, our own addresses, the site's rules, and for how long.

A policy is pure: the login, the sending peer and `now` go in, a `Grant` or a `Refusal` comes out. `deny` and `revoke` are not
here but in the table, because they are commands of an operator that every process must see at once.
"""

import re
from dataclasses import dataclass, field
from hashlib import blake2b

from syslogauth.core.address import Networks
from syslogauth.core.login import Grant, Login, Refusal

PSEUDONYM_BYTES = 17


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done with the logins that it matches in each of its parts; None is no condition.

    `services` None stands for policy.services: a rule opens another service only by its name. `users` are compared without regard to
    case. `grace_seconds` None refuses.
    """

    services: frozenset[str] | None = None
    servers: frozenset[str] | None = None
    networks: Networks | None = None
    users: tuple[re.Pattern[str], ...] | None = None
    grace_seconds: float | None = None

    def matches(self, login: Login, services: frozenset[str]) -> bool:
        return (
            login.service in (services if self.services is None else self.services)
            and (self.servers is None or login.server in self.servers)
            and (self.networks is None or login.address in self.networks)
            and (self.users is None or any(user.fullmatch(login.user) for user in self.users))
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """`grace_seconds` runs from the moment of receipt (law 4), or from the last close of a session where grants are held meanwhile."""

    grace_seconds: float
    services: frozenset[str]
    never: Networks = field(default_factory=Networks)
    never_own: bool = True
    proxied: bool = True
    qpopper_stats: bool = False
    trusted_proxies: Networks = field(default_factory=Networks)
    rules: tuple[Rule, ...] = ()
    hold_max_seconds: float = 0.0  # 0: a grant is not held while a session is open
    pseudonym_key: bytes | None = None  # None: grants name their users; otherwise they bear their pseudonym(), which is none without a key

    @property
    def holds(self) -> bool:
        return self.hold_max_seconds > 0

    def decide(self, login: Login, own_addresses: frozenset[bytes] | set[bytes], hostname: str, peer: str, now: float) -> Grant | Refusal:
        """The grant for a login received at `now` (Unix seconds), or why there is none. The first rule that matches decides.

        `own_addresses` are those of the sending peers: a login from one of them is a webmail's, and relaying for it would relay
        for everybody who can reach the webmail. No rule overrides that, nor the never networks.
        """
        if login.session_end and not self.qpopper_stats:
            return Refusal.SESSION_END
        if login.proxied and not self.proxied:
            return Refusal.PROXIED
        if login.via is not None and login.via not in self.trusted_proxies:
            return Refusal.UNTRUSTED_PROXY
        rule = next((rule for rule in self.rules if rule.matches(login, self.services)), None) if self.rules else None
        if rule is None and login.service not in self.services:
            return Refusal.SERVICE
        if self.never_own and (login.address == login.local_address or login.address in own_addresses):
            return Refusal.OWN_ADDRESS
        if login.address in self.never:
            return Refusal.NEVER_NETWORK
        grace_seconds = self.grace_seconds if rule is None else rule.grace_seconds
        if grace_seconds is None:
            return Refusal.RULE
        user = login.user if self.pseudonym_key is None else pseudonym(self.pseudonym_key, login.user)
        return Grant(login.address, now + grace_seconds, now, login.service, login.server, user, hostname, peer)


def pseudonym(key: bytes, user: str) -> str:
    """What stands for a user whose name is not to be stored: `#` and 16 hexadecimal digits, the same for the same key alone, which nobody
    keeps; empty without a key or a name."""
    if not key or not user:
        return ""
    return "#" + blake2b(user.encode("utf-8", "replace"), digest_size=(PSEUDONYM_BYTES - 1) // 2, key=key).hexdigest()
