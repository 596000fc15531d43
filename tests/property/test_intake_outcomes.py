"""Invariant: each datagram has exactly one outcome (law 1).

received == sum(outcomes) and no exception, whatever the bytes, the sender, the order and the size of the batches; also where logins take
several lines and sessions hold their grants. What is remembered between datagrams stays bounded, and a batch is no more than its datagrams.
"""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.core import formats
from syslogauth.core.address import Networks
from syslogauth.core.batch import Batch
from syslogauth.core.intake import Intake
from syslogauth.core.linetime import LineClock
from syslogauth.core.login import GRANT, OUTCOMES, Closed, Opened, Refusal
from syslogauth.core.message import Message, parse
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy, Rule
from tests.headers import HEADERS

POLICY = Policy(1800.0, frozenset({"imap", "pop3", "submission"}), Networks(("127.0.0.0/8", "198.51.100.0/24")))
SOURCES = Sources(Networks(("10.0.0.0/8", "2001:db8::/32")), frozenset({"mail", "local0"}), Networks(("10.9.0.0/16",)))
TEXTS = [(sample.app_name.encode(), sample.text.encode()) for form in formats.FORMATS for sample in form.samples]
TEXTS += [(app_name.encode(), text.encode()) for form in formats.FORMATS for app_name, text in form.near_misses]
SEQUENCES = [
    (sequence.app_name.encode(), text.encode()) for form in formats.FORMATS for sequence in form.sequences for text in sequence.texts
]
LOGOUTS = [(app_name.encode(), text.encode()) for form in formats.FORMATS for app_name, text in form.logouts]
HOLDING = replace(POLICY, hold_max_seconds=3600.0, rules=(Rule(services=frozenset({"pop3"}), grace_seconds=60.0),))
SUMMARIES = [b"<22>Nov 22 10:28:45 last message repeated 3 times", b"<22>Nov 22 10:28:45 mail1 syslogd: last message repeated 1 times"]

lines = st.builds(lambda header, text: header % text[0] + text[1], st.sampled_from(HEADERS), st.sampled_from(TEXTS))


@st.composite
def altered(draw: st.DrawFn) -> bytes:
    """A real line with some bytes of it cut out or replaced by others."""
    line = draw(lines)
    start, length = draw(st.integers(0, len(line))), draw(st.integers(0, 12))
    return line[:start] + draw(st.binary(max_size=12)) + line[start + length :]


long_ones = st.builds(lambda line, length: line + b"x" * length, lines, st.integers(7900, 8300))
datagrams = st.one_of(
    st.binary(max_size=80), lines, altered(), st.sampled_from(SUMMARIES), long_ones, lines.map(lambda line: line.partition(b">")[2])
)
hosts = st.sampled_from(["10.0.0.1", "::ffff:10.0.0.2", "10.9.0.1", "2001:db8::1%em0", "192.0.2.25", "203.0.113.1", "", "x"])
batches = st.lists(st.tuples(datagrams, st.tuples(hosts, st.sampled_from([514, 40000]))), max_size=12)


@settings(deadline=None, max_examples=400)
@given(batch=batches, now=st.floats(0, 1e10), require_514=st.booleans())
def test_each_datagram_has_one_outcome(batch: list[tuple[bytes, tuple[str, int]]], now: float, require_514: bool) -> None:
    one = Intake(Sources(SOURCES.peers, SOURCES.facilities, SOURCES.without_priority, require_514), POLICY)
    grants = one.feed(Batch.of(batch), now)
    tally = one.tally
    assert set(OUTCOMES) == set(tally.outcomes)
    assert len(batch) == tally.received == sum(tally.outcomes.values())
    assert sum(len(datagram) for datagram, _ in batch) == tally.received_bytes
    assert len(grants) == tally.outcomes[GRANT]
    assert {now + POLICY.grace_seconds} >= {grant.expires_at for grant in grants}


# Few processes, hosts and senders, so that lines meet what was before them
of_process = st.builds(
    lambda hostname, pid, text: b"<22>Nov 22 10:28:45 %s%s[%d]: %s" % (hostname, text[0], pid, text[1]),
    st.sampled_from([b"", b"mail1 "]),
    st.integers(1, 2),
    st.one_of(st.sampled_from(SEQUENCES), st.sampled_from(LOGOUTS), st.sampled_from(TEXTS)),
)
streams = st.lists(
    st.tuples(
        st.one_of(of_process, of_process, st.sampled_from(SUMMARIES), altered()), st.sampled_from([("10.0.0.1", 514), ("10.0.0.2", 514)])
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=250)
@given(stream=streams, steps=st.lists(st.floats(-100, 100), min_size=30, max_size=30))
def test_each_datagram_of_a_stream_has_one_outcome_and_each_session_its_login_or_logout(
    stream: list[tuple[bytes, tuple[str, int]]], steps: list[float]
) -> None:
    one, now = Intake(SOURCES, HOLDING), 1e9
    for item, step in zip(stream, steps, strict=False):
        now += step
        before = dict(one.tally.outcomes)
        grants = one.feed(Batch.of([item]), now)
        [outcome] = [name for name, count in one.tally.outcomes.items() if count != before[name]]
        assert 1 == one.tally.outcomes[outcome] - before[outcome]
        assert (outcome == GRANT) == bool(grants)
        sessions, one.sessions = one.sessions, []
        assert len(sessions) <= 1
        for event in sessions:
            if isinstance(event, Opened):
                [grant] = grants
                assert (grant.address, now, grant.expires_at + HOLDING.hold_max_seconds) == (
                    event.address,
                    event.opened_at,
                    event.held_until,
                )
            else:
                assert isinstance(event, Closed)
                assert outcome in (Refusal.LOGOUT, Refusal.SESSION_END)
    assert len(stream) == one.tally.received == sum(one.tally.outcomes.values())
    assert len(one._judge.joins) <= one.tally.outcomes[Refusal.CONNECTED]


@settings(deadline=None, max_examples=200)
@given(stream=streams, holds=st.booleans(), cuts=st.lists(st.integers(0, 30), max_size=4))
def test_how_a_stream_falls_into_batches_makes_no_difference(
    stream: list[tuple[bytes, tuple[str, int]]], holds: bool, cuts: list[int]
) -> None:
    policy = HOLDING if holds else replace(HOLDING, hold_max_seconds=0.0)
    together, apart = Intake(SOURCES, policy), Intake(SOURCES, policy)
    places = [0, *sorted(cuts), len(stream)]
    grants = [grant for start, end in pairwise(places) for grant in together.feed(Batch.of(stream[start:end]), 0.0)]
    assert [grant for item in stream for grant in apart.feed(Batch.of([item]), 0.0)] == grants
    assert apart.tally == together.tally
    assert apart.sessions == together.sessions
    assert holds or not together.sessions


@settings(deadline=None, max_examples=200)
@given(batch=batches)
def test_how_datagrams_fall_into_batches_makes_no_difference(batch: list[tuple[bytes, tuple[str, int]]]) -> None:
    together, apart = Intake(SOURCES, POLICY), Intake(SOURCES, POLICY)
    assert together.feed(Batch.of(batch), 0.0) == [grant for item in batch for grant in apart.feed(Batch.of([item]), 0.0)]
    assert together.tally == apart.tally


@settings(deadline=None, max_examples=400)
@given(line=datagrams, escaped=st.booleans())
def test_a_line_of_a_file_has_one_outcome_and_a_time(line: bytes, escaped: bool) -> None:
    assert Intake(SOURCES, POLICY).lines.judge(line, lambda stamp: 0.0, escaped=escaped).outcome in OUTCOMES
    message = parse(line, needs_priority=False)
    clock = LineClock(1e9)
    assert isinstance(clock.at(message.timestamp if isinstance(message, Message) else line), float)
