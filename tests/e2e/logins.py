"""Logins to be tried on a mail server, each from an address of its own: the grants then tell which of them opened the relay.

What a server is to make of each is written beside it, so that a table of them is a test. Every attempt must show in the log that the
syslog daemon sends on: one that the server does not log would prove nothing.
"""

import hashlib
import hmac
import ipaddress
import re
import ssl
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle, product

from tests.deadline import wait_until
from tests.e2e.dovecot import Dialogue
from tests.e2e.netns import HOSTNAME, Netns
from tests.e2e.rig import SERVER4, SERVER6, Rig
from tests.e2e.syslogds import SENT
from tests.needs import need

USER = "bob"
PASSWORD = "correct horse"  # noqa: S105 - everybody's
FORGED = "9.9.9.9"
WITNESS = "203.0.113.1"
WITNESS_LINE = f"imap-login: Login: user=<witness>, method=PLAIN, rip={WITNESS}, lip={SERVER4}, mpid=1, session=<witness>"
TLS_PORTS = (993, 995)
FAMILIES = ("IPv4", "IPv6", "mapped")
FIRST_CLIENT = 10  # the servers have lower numbers
AT_ONCE = 64  # a server lets a refused client wait: all of them wait together

Method = Callable[[Dialogue, str, str], bool]


def quoted(text: str) -> str:
    """RFC 3501 section 9, `quoted`."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def imap_login(server: Dialogue, user: str, password: str) -> bool:
    server.hear()
    return server.ask(f"a LOGIN {quoted(user)} {quoted(password)}").startswith("a OK")


def imap_plain(server: Dialogue, user: str, password: str) -> bool:
    """RFC 4616, in two steps."""
    server.hear()
    server.ask("a AUTHENTICATE PLAIN")
    return server.ask(b64encode(f"\0{user}\0{password}".encode()).decode()).startswith("a OK")


def imap_cram_md5(server: Dialogue, user: str, password: str) -> bool:
    server.hear()
    return server.ask(_cram_md5(server.ask("a AUTHENTICATE CRAM-MD5"), user, password)).startswith("a OK")


def pop3_user_pass(server: Dialogue, user: str, password: str) -> bool:
    server.hear()
    return server.ask(f"USER {user}").startswith("+OK") and server.ask(f"PASS {password}").startswith("+OK")


def pop3_plain(server: Dialogue, user: str, password: str) -> bool:
    server.hear()
    server.ask("AUTH PLAIN")
    return server.ask(b64encode(f"\0{user}\0{password}".encode()).decode()).startswith("+OK")


def pop3_cram_md5(server: Dialogue, user: str, password: str) -> bool:
    server.hear()
    return server.ask(_cram_md5(server.ask("AUTH CRAM-MD5"), user, password)).startswith("+OK")


def pop3_apop(server: Dialogue, user: str, password: str) -> bool:
    """RFC 1939 section 7: MD5 of the greeting's time stamp and the password."""
    stamp = re.search("<.*>", server.hear())
    assert stamp, "the greeting has no time stamp: APOP is not offered"
    digest = hashlib.md5((stamp[0] + password).encode(), usedforsecurity=False).hexdigest()
    return server.ask(f"APOP {user} {digest}").startswith("+OK")


def _cram_md5(challenge: str, user: str, password: str) -> str:
    """RFC 2195: HMAC-MD5 of the challenge, keyed with the password."""
    digest = hmac.new(password.encode(), b64decode(challenge.removeprefix("+ ")), "md5").hexdigest()
    return b64encode(f"{user} {digest}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Service:
    """A port of a server's and the ways to log in there; the first one writes the name as the client sent it into the log."""

    name: str
    port: int
    methods: tuple[Method, ...]
    after_address: str | None = "]"  # in the server's lines, "\n" at their end; None where they do not name the client


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login with what is to come of it: whether the server lets the client in, whether its address may relay afterwards."""

    what: str
    service: Service
    method: Method
    family: str  # IPv4, IPv6, or mapped: an IPv6 socket of the client's, to an IPv4 address
    number: int = 0  # of the client: everybody's is another, see numbered()
    user: str = USER
    password: str = PASSWORD
    welcome: bool = True
    granted: bool = True
    logged: str = ""  # words of the line that the server writes about it

    @property
    def address(self) -> str:
        """The client as it is granted. Those of IPv6 share no /64."""
        return f"2001:db8:0:{self.number:x}::25" if self.family == "IPv6" else f"192.0.2.{self.number}"

    def make(self, host: Netns) -> bool:
        """Whether the server lets the client in. The session ends before this returns."""
        mapped = "::ffff:" if self.family == "mapped" else ""
        server = SERVER6 if self.family == "IPv6" else SERVER4
        with host.connect(mapped + self.address, (mapped + server, self.service.port), timeout_seconds=20) as plain:
            if self.service.port not in TLS_PORTS:
                return self.method(Dialogue(plain), self.user, self.password)
            with _unverified().wrap_socket(plain) as connection:
                return self.method(Dialogue(connection), self.user, self.password)

    def shows_in(self, line: str) -> bool:
        ends = self.service.after_address
        return (ends is None or f"{self.address}{ends}" in f"{line}\n") and self.logged in line


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ordinary(services: Iterable[Service]) -> Iterator[Attempt]:
    """Every service in every way from every kind of address: with success, with a wrong password, as an unknown user."""
    for service, family in product(services, FAMILIES):
        for method in service.methods:
            yield Attempt(f"{service.name}, {family}, {method.__name__}", service, method, family)
        refused = Attempt(f"{service.name}, {family}", service, service.methods[0], family, welcome=False, granted=False)
        yield replace(refused, what=f"{refused.what}, wrong password", password="wrong")  # noqa: S106
        yield replace(refused, what=f"{refused.what}, unknown user", user="nobody")


def odd(services: Iterable[Service], name: str, *, welcome: bool, granted: bool) -> Iterator[Attempt]:
    """A user name at each of the services, with the right password and with a wrong one."""
    logged = name if name.isascii() else ""  # each server has its own way with the rest
    for service, family in zip(services, cycle(FAMILIES), strict=False):
        right = Attempt(f"{service.name}, user {name:.60}", service, service.methods[0], family, user=name, logged=logged)
        yield replace(right, welcome=welcome, granted=granted)
        yield replace(right, what=f"{right.what}, wrong password", password="wrong", welcome=False, granted=False)  # noqa: S106


def numbered(attempts: Iterable[Attempt]) -> list[Attempt]:
    """The attempts, each from an address of its own."""
    return [replace(attempt, number=number) for number, attempt in enumerate(attempts, FIRST_CLIENT)]


def addresses(attempts: Iterable[Attempt]) -> dict[str, str]:
    """The addresses of a mail host and of all the clients, with their names."""
    clients = {attempt.address: f"client{attempt.number}.example.net" for attempt in attempts}
    return {SERVER4: HOSTNAME, SERVER6: HOSTNAME, **clients}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of some attempts: whom the server let in, which addresses may relay."""

    welcome: frozenset[str]
    granted: frozenset[str]


def make_all(mail: Rig, attempts: Iterable[Attempt], witness: Attempt | None, at_once: int = AT_ONCE) -> Outcome:
    """Make them all at the same time, wait until the server has logged each, and until the appliance has dealt with what it was sent.

    `witness` is sure to be granted, and logs in last: lines keep their order, so what came before its line has been dealt with too.
    Where no login can be granted there is none, and logger(1) writes the line of a Dovecot.
    """
    attempts = [*attempts]
    with ThreadPoolExecutor(at_once) as threads:
        let_in = [*threads.map(lambda attempt: attempt.make(mail.host), attempts)]
    for attempt in attempts:
        wait_until(lambda: any(map(attempt.shows_in, sent(mail))), f"the line about {attempt}")  # noqa: B023
    if witness:
        bear_witness(mail, witness)
    else:
        subprocess.run(mail.host.command(need("logger"), "-p", "mail.info", "-t", "dovecot", "--", WITNESS_LINE), check=True, timeout=10)
        wait_until(lambda: WITNESS in granted(mail), f"the grant of {WITNESS}")
    welcome = frozenset(attempt.address for attempt, welcome in zip(attempts, let_in, strict=True) if welcome)
    return Outcome(welcome, granted(mail) - {WITNESS})


def bear_witness(mail: Rig, witness: Attempt) -> None:
    """Log in and wait for the grant."""
    assert witness.make(mail.host)
    wait_until(lambda: witness.address in granted(mail), f"the grant of {witness}")


def sent(mail: Rig) -> tuple[str, ...]:
    """What the syslog daemon has sent to the appliance so far; beside the stamp and the name of the host, byte for byte."""
    log = mail.host.directory / "syslogd" / SENT
    return tuple(log.read_text(errors="surrogateescape").split("\n")) if log.exists() else ()


def granted(mail: Rig) -> frozenset[str]:
    """The addresses that may relay, an IPv6 one in its short form."""
    return frozenset(str(ipaddress.ip_address(entry["address"])) for entry in mail.appliance.listed())
