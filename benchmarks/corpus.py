"""The mail.info messages that every benchmark sends: 20,000 distinct ones of about thirty kinds, the same for the same arguments.

A message is a hostname, a tag and a text, written in the wording of the daemon that its tag names. As a datagram it has one of three
headers (80 of 100 with the hostname, 13 without, 7 `Forwarded from`); as a line of a log file always the hostname and no <PRI>. Logins
are Dovecot's, of 2.3 and 2.4 alike, spread evenly, each from an address of its own (198.18.0.0/15, RFC 2544; one in ten 2001:db8::/32).
Of the rest, one in six is of a server that syslogauth knows, and so must be read to the end before it is refused.
"""

import random
from dataclasses import dataclass
from functools import cache

SIZE = 20_000
SEED = 5424

NOISE: tuple[tuple[int, str, str], ...] = (  # weight, tag, text
    (7, "postfix/smtpd[{pid}]", "connect from {name}[{address}]"),
    (7, "postfix/smtpd[{pid}]", "disconnect from {name}[{address}] ehlo=2 starttls=1 mail=1 rcpt={few} data=1 quit=1 commands={few}"),
    (6, "postfix/smtpd[{pid}]", "{queue}: client={name}[{address}], sasl_method=PLAIN, sasl_username={user}@{domain}"),
    (6, "postfix/cleanup[{pid}]", "{queue}: message-id=<{id}@{name}>"),
    (7, "postfix/qmgr[{pid}]", "{queue}: from=<{user}@{domain}>, size={size}, nrcpt={few} (queue active)"),
    (
        8,
        "postfix/smtp[{pid}]",
        (
            "{queue}: to=<{user}@{domain}>, relay={name}[{address}]:25, delay={few}.{few}, delays=0.1/0.02/0.{few}/1.{few}, dsn=2.0.0, "
            "status=sent (250 2.0.0 Ok: queued as {id})"
        ),
    ),
    (5, "postfix/qmgr[{pid}]", "{queue}: removed"),
    (
        4,
        "postfix/smtpd[{pid}]",
        (
            "NOQUEUE: reject: RCPT from {name}[{address}]: 554 5.7.1 <{user}@{domain}>: Relay access denied; from=<{user}@{name}> "
            "to=<{user}@{domain}> proto=ESMTP helo=<{name}>"
        ),
    ),
    (3, "postfix/smtpd[{pid}]", "warning: {name}[{address}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6"),
    (2, "postfix/anvil[{pid}]", "statistics: max connection rate {few}/60s for (smtp:{address}) at Nov 22 10:{few}0:00"),
    (3, "postfix/smtp[{pid}]", "Trusted TLS connection established to {name}[{address}]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384"),
    (
        4,
        "sendmail[{pid}]",
        (
            "{queue}: from=<{user}@{domain}>, size={size}, class=0, nrcpts={few}, msgid=<{id}@{name}>, proto=ESMTPS, daemon=MTA, "
            "relay={name} [{address}]"
        ),
    ),
    (
        4,
        "sendmail[{pid}]",
        (
            "{queue}: to=<{user}@{domain}>, delay=00:00:0{few}, xdelay=00:00:01, mailer=esmtp, pri={size}, relay={name}. [{address}], "
            "dsn=2.0.0, stat=Sent ({id} accepted for delivery)"
        ),
    ),
    (
        3,
        "sm-mta[{pid}]",
        "STARTTLS=server, relay={name} [{address}], version=TLSv1.3, verify=NO, cipher=TLS_AES_256_GCM_SHA384, bits=256/256",
    ),
    (2, "sm-mta[{pid}]", "{queue}: ruleset=check_rcpt, arg1=<{user}@{domain}>, relay={name} [{address}], reject=550 5.7.1 Relaying denied"),
    (2, "sm-mta[{pid}]", "{queue}: {name} [{address}] did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA"),
    (3, "spamd[{pid}]", "spamd: processing message <{id}@{name}> for {user}:1002"),
    (
        3,
        "spamd[{pid}]",
        (
            "spamd: result: . {few} - BAYES_00,DKIM_SIGNED,DKIM_VALID,HTML_MESSAGE scantime=1.{few},size={size},user={user},uid=1002,"
            "required_score=5.0,rhost=127.0.0.1,rport={pid},mid=<{id}@{name}>,autolearn=ham"
        ),
    ),
    (3, "opendkim[{pid}]", "{queue}: DKIM-Signature field added (s=mail{few}, d={domain})"),
    (2, "opendkim[{pid}]", "{queue}: {name} [{address}] not internal"),
    (2, "opendmarc[{pid}]", "{queue}: {domain} pass"),
    (
        2,
        "amavis[{pid}]",
        "({pid}-0{few}) Passed CLEAN {{RelayedInbound}}, [{address}] <{user}@{domain}> -> <{user}@{domain}>, Hits: -0.{few}",
    ),
    (2, "clamd[{pid}]", "/var/spool/scan/{queue}/parts/p00{few}: OK"),
    (2, "postgrey[{pid}]", "action=pass, reason=client whitelist, client_name={name}, client_address={address}, sender={user}@{domain}"),
    # the servers that syslogauth knows, at their other business
    (7, "dovecot", "imap({user})<{pid}><{id}>: Disconnected: Logged out in={size} out={size} deleted=0 expunged={few} hdr_count={few}"),
    (3, "dovecot", "lmtp({user})<{pid}><{id}>: msgid=<{id}@{name}>: saved mail to INBOX"),
    (2, "dovecot", "pop3({user})<{pid}><{id}>: Disconnected: Logged out top=0/0, retr={few}/{size}, del=0/{few}, size={size}"),
    (
        2,
        "dovecot",
        "imap-login: Disconnected: Connection closed (no auth attempts in {few} secs): user=<>, rip={address}, lip=192.0.2.1, TLS",
    ),
    (
        2,
        "dovecot",
        "imap-login: Disconnected (auth failed, {few} attempts in {few} secs): user=<{user}>, method=PLAIN, rip={address}, lip=192.0.2.1",
    ),
    (1, "imapd[{pid}]", "Logout user={user} host={name} [{address}]"),
    (1, "qpopper[{pid}]", "{user} at {name} ({address}): -ERR [AUTH] Password supplied for {user} is incorrect."),
)
LOGINS = (
    "imap-login: Login: user=<{user}@{domain}>, method=PLAIN, rip={client}, lip=192.0.2.1, mpid={pid}, TLS, session=<{id}>",
    "pop3-login: Login: user=<{user}@{domain}>, method=APOP, rip={client}, lip=192.0.2.1, mpid={pid}, session=<{id}>",
    "imap-login: Logged in: user=<{user}@{domain}>, method=SCRAM-SHA-256, rip={client}, lip=192.0.2.1, mpid={pid}, TLS, session=<{id}>",
)
DOMAINS = ("example.org", "example.net", "post.example.com", "mail.example.edu")
SYLLABLES = ("an", "be", "dor", "el", "fi", "gus", "ha", "ju", "ka", "lin", "mo", "ne", "ri", "so", "tu", "wil")
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Entry:
    """One message. `form` chooses its header as a datagram: 0 to 79 with hostname, to 92 without, to 99 forwarded."""

    second: int
    hostname: str
    tag: str
    text: str
    form: int
    login: bool

    @property
    def forwarded(self) -> bool:
        return self.form >= 93

    def datagram(self) -> bytes:
        header = f"{self.hostname} " if self.form < 80 else f"Forwarded from {self.hostname}: " if self.forwarded else ""
        return f"<22>{self._stamp()} {header}{self.tag}: {self.text}".encode()

    def line(self, timestamp: str = "") -> bytes:
        return f"{timestamp or self._stamp()} {self.hostname} {self.tag}: {self.text}\n".encode()

    def _stamp(self) -> str:
        return f"Nov 22 10:{self.second // 60 % 60:02}:{self.second % 60:02}"


@cache
def corpus(login_share: float, size: int = SIZE, seed: int = SEED) -> tuple[Entry, ...]:
    """`size` distinct messages; of the first n, floor(n * login_share) are logins, for each n."""
    chance = random.Random(seed)  # noqa: S311 - the same messages each time are what is wanted
    weights = [weight for weight, _, _ in NOISE]
    entries = []
    for number, (_, tag, text) in enumerate(chance.choices(NOISE, weights, k=size)):
        login = logins_among(number + 1, login_share) > logins_among(number, login_share)
        if login:
            tag, text = "dovecot", chance.choice(LOGINS)
        fields = _fields(chance, number)
        entries.append(
            Entry(
                number // 50, f"mail{chance.randrange(1, 5)}", tag.format_map(fields), text.format_map(fields), chance.randrange(100), login
            )
        )
    return tuple(entries)


def fresh_login(number: int) -> bytes:
    """A login datagram of an address of its own, 10.0.0.0/8; a hundred of them have one user."""
    client = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return (
        f"<22>Nov 22 10:28:45 mail1 dovecot: imap-login: Login: user=<u{number // 100:x}@example.org>, method=PLAIN, rip={client}, "
        f"lip=192.0.2.1, mpid={number & 65535}, TLS, session=<fresh{number:08x}>"
    ).encode()


def logins_among(count: int, login_share: float) -> int:
    """How many of the first `count` messages are logins, where they do not outnumber the corpus."""
    return int(count * login_share + 1e-9)


def counted(flags: list[bool], count: int) -> int:
    """How many of the first `count` are true, of flags that begin anew where they end."""
    whole, rest = divmod(count, len(flags))
    return whole * sum(flags) + sum(flags[:rest])


def _fields(chance: random.Random, number: int) -> dict[str, str | int]:
    client = (
        f"2001:db8:{number >> 12:x}:{number & 4095:x}::{chance.randrange(1, 65536):x}"
        if chance.random() < 0.1
        else f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    )
    return {
        "pid": chance.randrange(1000, 65000),
        "name": f"{_word(chance)}-{number}.{_word(chance)}.example",
        "address": f"203.0.113.{chance.randrange(1, 255)}",
        "client": client,
        "user": _word(chance),
        "domain": chance.choice(DOMAINS),
        "queue": f"{chance.getrandbits(40):010X}",
        "id": "".join(chance.choices(BASE64, k=16)),
        "size": chance.randrange(800, 90000),
        "few": chance.randrange(1, 6),
    }


def _word(chance: random.Random) -> str:
    return "".join(chance.choices(SYLLABLES, k=3))
