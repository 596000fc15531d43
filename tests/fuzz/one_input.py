"""What one input of the fuzzer stands for, and what must hold for it: no I/O, and nothing of the fuzzer.

An input is a few datagrams with SEPARATOR between them. Each begins with two bytes that the fuzzer chooses like any other:

    0   bits 0-2 which peer, bits 3-4 how much later than the datagram before, bit 5 whether it begins another batch
    1   which header goes before `TAG|TEXT`, modulo their number and one: the last stands for none, the datagram is as it is

Six receivers live as long as the process. Each input begins so much later than the one before it that nothing which they remember
counts any more, so that an input gives the same alone: building their gates anew for each would take longer than the input.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from syslogauth.core import formats
from syslogauth.core.address import Networks, canonical, pack
from syslogauth.core.batch import Batch, Source
from syslogauth.core.formats import Recogniser
from syslogauth.core.intake import Intake, Tally
from syslogauth.core.judge import Verdict
from syslogauth.core.login import GRANT, OUTCOMES, Login, Refusal
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from tests.headers import HEADERS

SEPARATOR = b"\x1e\x1e"
DATAGRAMS = 8  # of one input that are read
LISTED, SPLITS, ESCAPES_WITHOUT_PRIORITY = "10.0.0.1", "10.8.0.1", "10.7.0.1"
PEERS = (LISTED, "10.0.0.2", SPLITS, ESCAPES_WITHOUT_PRIORITY, "10.9.0.1", "2001:db8::1%em0", "::ffff:10.0.0.3", "203.0.113.1")
LATER_SECONDS = (0.0, 1.0, 61.0, 700.0)
BETWEEN_INPUTS_SECONDS = 100_000.0
SOURCES = Sources(
    peers=Networks(("10.0.0.0/8", "2001:db8::/32")),
    facilities=frozenset({"mail", "local0"}),
    without_priority=Networks(("10.7.0.0/16", "10.9.0.0/16")),
    escaping=Networks(("10.7.0.0/16",)),
    splitting=Networks(("10.8.0.0/16",)),
)
POLICY = Policy(
    grace_seconds=1800.0,
    services=frozenset({"imap", "pop3", "submission", "managesieve"}),
    never=Networks(("127.0.0.0/8", "203.0.113.0/24")),
    never_own=False,
    qpopper_stats=True,
    hold_max_seconds=3600.0,
)
NOISE = {Refusal.NOT_LOGIN, Refusal.MALFORMED, Refusal.CONTROL_BYTES, Refusal.OWN_MESSAGE}  # to the gate they are all alike
ADDRESS_LIKE = re.compile(rb"[0-9A-Fa-f:.]{2,}")


@dataclass(frozen=True, slots=True)
class Event:
    """A datagram and how it comes. `later`: seconds since the one before."""

    datagram: bytes
    host: str
    later: float
    begins_batch: bool


def encode(*events: tuple[bytes, bytes], peer: int = 0, header: int = len(HEADERS)) -> bytes:
    """An input of (tag, text) under one header, or, by default, of whole datagrams, whose tag is empty."""
    bodies = [text if header == len(HEADERS) else tag + b"|" + text for tag, text in events]
    return SEPARATOR.join(bytes((peer, header)) + body for body in bodies)


def decode(data: bytes) -> Iterator[Event]:
    for record in data.split(SEPARATOR)[:DATAGRAMS]:
        if len(record) < 2:
            continue
        how, which = record[0], record[1] % (len(HEADERS) + 1)
        body = record[2:]
        if which < len(HEADERS):
            tag, _, text = body.partition(b"|")
            body = HEADERS[which] % tag + text
        yield Event(body, PEERS[how & 7], LATER_SECONDS[how >> 3 & 3], bool(how & 32))


class Receivers:
    """One fed each datagram on its own, one in batches, one that reads without the gate. The same bytes as lines of a file: one, one
    without the gate, and one whose file may hold split messages."""

    def __init__(self, recogniser: Recogniser = formats.ALL) -> None:
        self.single, self.batched, self.strict, self.strict_lines = (Intake(SOURCES, POLICY, recogniser) for _ in range(4))
        self.lines, self.split_lines = (Intake(SOURCES, POLICY, recogniser).lines for _ in range(2))
        self.now = 0.0

    def check(self, data: bytes) -> list[Verdict]:
        """What the strict reader makes of each datagram. AssertionError where an invariant does not hold."""
        self.now += BETWEEN_INPUTS_SECONDS
        verdicts, batch, seen = [], [], dict.fromkeys(PEERS, b"")
        grants, batch_grants = [], []
        for event in decode(data):
            if event.later or event.begins_batch:
                batch_grants += self._feed_batch(batch)
                batch = []
            self.now += event.later
            batch.append((event.datagram, (event.host, 514)))
            seen[event.host] += event.datagram + b"\n"
            verdict = self.strict.judge(event.datagram, event.host, self.now)
            grants += self._feed_one(event, verdict)
            self._read_line(event.datagram)
            if verdict.login:
                holds_address(verdict.login, seen[event.host])
            verdicts.append(verdict)
        assert grants == batch_grants + self._feed_batch(batch), "how datagrams fall into batches made a difference"
        expected = [verdict.session for verdict in verdicts if verdict.session]
        assert expected == self.single.sessions == self.batched.sessions, "sessions that begin and end depend on the gate or on batches"
        self.single.sessions.clear()
        self.batched.sessions.clear()
        return verdicts

    def _feed_one(self, event: Event, verdict: Verdict) -> list[object]:
        tally = self.single.tally
        before = dict(tally.outcomes)
        grants = self.single.feed(Batch.of([(event.datagram, (event.host, 514))]), self.now)
        changed = {name: count - before[name] for name, count in tally.outcomes.items() if count != before[name]}
        assert [*changed.values()] == [1], f"not one outcome: {changed}"
        (outcome,) = changed
        assert outcome == verdict.outcome or (outcome == Refusal.NOT_LOGIN and self._is_noise(verdict)), (
            f"{outcome} behind the gate, {verdict.outcome} without it"
        )
        assert grants == ([verdict.grant] if verdict.grant else [])
        assert (verdict.grant is not None) == (verdict.outcome == GRANT)
        return list(grants)

    def _is_noise(self, verdict: Verdict) -> bool:
        """Whether the gate may take it for noise: also the rest of a cut line that would be noise if it came alone."""
        if verdict.outcome == Refusal.CUT and verdict.message:
            return self.strict.recogniser.recognise(verdict.message) == Refusal.NOT_LOGIN
        return verdict.outcome in NOISE

    def _feed_batch(self, batch: list[tuple[bytes, Source]]) -> list[object]:
        grants = self.batched.feed(Batch.of(batch), self.now)
        tally: Tally = self.batched.tally
        assert tally.received == sum(tally.outcomes.values()), "a datagram has no outcome, or two"
        return list(grants)

    def _read_line(self, line: bytes) -> None:
        read = self.lines.judge(line, lambda stamp: self.now, escaped=True)
        strict = self.strict_lines.judge(line, ESCAPES_WITHOUT_PRIORITY, self.now)
        assert read.outcome in OUTCOMES
        same = (read.outcome, read.login) == (strict.outcome, strict.login)
        noise = strict.outcome == Refusal.UNLISTED_FACILITY or self._is_noise(strict)  # a file's gate takes any <PRI>
        assert same or (read.outcome == Refusal.NOT_LOGIN and noise), f"{read} of a line, {strict} without the gate"
        split = self.split_lines.judge(line, lambda stamp: self.now, escaped=False)
        assert split.login in (None, read.login), "what may be split gave a login that what is whole does not give"


def holds_address(login: Login, seen: bytes) -> None:
    """The address of a login stands in what its peer has sent, in whatever spelling."""
    if any(login.address == pack(text) for found in ADDRESS_LIKE.findall(seen) for text in _spellings(found.decode())):
        return
    raise AssertionError(f"{canonical(login.address)} of {login} stands nowhere in what came")


def _spellings(found: str) -> Iterator[str]:
    """Each stretch of it that begins and ends at a colon or a dot: `d:192.0.2.25:143` holds one that is an address."""
    starts = [0, *(at + 1 for at, letter in enumerate(found) if letter in ":.")]
    ends = [len(found), *(at for at, letter in enumerate(found) if letter in ":.")]
    return (found[start:end] for start in starts for end in ends if 2 <= end - start <= 45)
