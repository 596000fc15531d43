"""Which logins become grants: services, networks that never authorise, our own addresses, and for how long.

A policy is pure: the login, the sending peer and `now` go in, a `Grant` or a `Refusal` comes out. `deny` and `revoke` are not
here but in the table, because they are commands of an operator that every process must see at once.
"""

from dataclasses import dataclass, field

from syslogauth.core.address import Networks
from syslogauth.core.login import Grant, Login, Refusal


@dataclass(frozen=True, slots=True)
class Policy:
    """`grace_seconds` runs from the moment of receipt (law 4)."""

    grace_seconds: float
    services: frozenset[str]
    never: Networks = field(default_factory=Networks)
    never_own: bool = True
    proxied: bool = True
    qpopper_stats: bool = False

    def decide(self, login: Login, own_addresses: frozenset[bytes] | set[bytes], hostname: str, peer: str, now: float) -> Grant | Refusal:
        """The grant for a login received at `now` (Unix seconds), or why there is none.

        `own_addresses` are those of the sending peers: a login from one of them is a webmail's, and relaying for it would relay
        for everybody who can reach the webmail.
        """
        if login.session_end and not self.qpopper_stats:
            return Refusal.SESSION_END
        if login.proxied and not self.proxied:
            return Refusal.PROXIED
        if login.service not in self.services:
            return Refusal.SERVICE
        if self.never_own and (login.address == login.local_address or login.address in own_addresses):
            return Refusal.OWN_ADDRESS
        if login.address in self.never:
            return Refusal.NEVER_NETWORK
        return Grant(login.address, now + self.grace_seconds, now, login.service, login.server, login.user, hostname, peer)
