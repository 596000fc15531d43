"""Invariant: the gate is a pure saving.

What it takes for noise is neither a login nor a summary for the strict reader, whatever the header.
And it does save: an ordinary line of another program passes no header."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.core import formats
from syslogauth.core.address import Networks
from syslogauth.core.batch import Batch
from syslogauth.core.gate import gate_pattern, line_gate_pattern
from syslogauth.core.intake import Intake
from syslogauth.core.login import Refusal
from syslogauth.core.message import MAX_DATAGRAM_BYTES
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from tests.headers import HEADERS

FACILITIES = frozenset({"mail", "local0"})
POLICY = Policy(1800.0, frozenset({"imap", "pop3", "submission", "managesieve"}), qpopper_stats=True, hold_max_seconds=3600.0)
SOURCES = Sources(Networks(("10.0.0.0/8",)), FACILITIES)
GATE = gate_pattern(formats.ALL, FACILITIES, logouts=True)
NOISE = {Refusal.NOT_LOGIN, Refusal.MALFORMED, Refusal.CONTROL_BYTES, Refusal.OWN_MESSAGE}
SAMPLES = [(sample.app_name.encode(), sample.text.encode()) for form in formats.FORMATS for sample in form.samples if not sample.own_log]
SAMPLES += [
    (sequence.app_name.encode(), text.encode()) for form in formats.FORMATS for sequence in form.sequences for text in sequence.texts[:1]
]
SAMPLES += [(app_name.encode(), text.encode()) for form in formats.FORMATS for app_name, text in form.logouts]
SUMMARY = b"last message repeated 3 times"

# A header put together from pieces that the senders use, and some that none does, in any order.
WORDS = (
    b"mail1",
    b"9mail",
    b"192.0.2.5",
    b"2001:db8::5",
    b"1",
    b"-",
    b"Nov",
    b"22",
    b"2026-11-22",
    b"10:28:45",
    b"2026-11-22T10:28:45Z",
    b"syslogd:",
)
STAMPS = (
    b"",
    b"Nov 22 10:28:45 ",
    b"Nov  2 2026 10:28:45.1, ",
    b"2026-11-22T10:28:45Z ",
    b"2026-11-22 10:28:45,1 ",
    b"Nov 22 ",
    b"2026-11-22 ",
)
RELAYS = (b"", b"", b"<mail.info> ", b"Forwarded from m2: ", b"Message forwarded from 2001:db8::1: ", b"[m2]: ")
HOSTS = (b"", b"mail1 ", b"9mail ", b"192.0.2.5 ", b"2001:db8::5 ", b"Nov ", b"1 ", b"- ", b"a.b@c/d ")
NESTED = (b"", b"1 2026-11-22T10:28:45Z ", b"1 2026-11-22 10:28:45Z ", b"1 - ")

text = st.sampled_from([*SAMPLES, (b"syslogd", SUMMARY), (b"sendmail", b"x")])
tag_form = st.sampled_from(
    [b"%s: ", b"%s[7]: ", b"%s[7] ", b"%s 7 - - ", b"%s - - - ", b"- - - - %s[7]: ", b"%s:", b"%s", b"%s: [ID 7 mail.info] "]
)
priority = st.sampled_from([b"<22>", b"<22>", b"<16>", b"<134>", b"<38>", b"<022>", b""])


@st.composite
def composed(draw: st.DrawFn) -> bytes:
    app_name, body = draw(text)
    parts = [draw(priority), *(draw(st.sampled_from(choice)) for choice in (STAMPS, RELAYS, HOSTS, NESTED, HOSTS))]
    return b"".join(parts) + draw(tag_form) % app_name + body


@st.composite
def strewn(draw: st.DrawFn) -> bytes:
    app_name, body = draw(text)
    words = draw(st.lists(st.sampled_from(WORDS), max_size=7))
    return draw(priority) + b" ".join([*words, draw(tag_form) % app_name]) + body


@st.composite
def altered(draw: st.DrawFn) -> bytes:
    app_name, body = draw(text)
    line = draw(st.sampled_from(HEADERS)) % app_name + body
    start, length = draw(st.integers(0, 70)), draw(st.integers(0, 4))
    return line[:start] + draw(st.one_of(st.binary(max_size=4), st.sampled_from(WORDS))) + line[start + length :]


@settings(deadline=None, max_examples=2000)
@given(datagram=st.one_of(composed(), strewn(), altered()))
def test_what_the_gate_takes_for_noise_is_noise(datagram: bytes) -> None:
    verdict = Intake(SOURCES, POLICY).judge(datagram, "10.0.0.1", 0.0)
    if not GATE.match(datagram):
        assert verdict.outcome in NOISE
        assert verdict.login is None
    fed = Intake(SOURCES, POLICY).feed(Batch.of([(datagram, ("10.0.0.1", 514))]), 0.0)
    assert ([verdict.grant] if verdict.grant else []) == fed


@pytest.mark.parametrize("header", HEADERS, ids=repr)
def test_a_login_and_a_summary_pass_under_every_header(header: bytes) -> None:
    for app_name, body in SAMPLES:
        assert GATE.match(header % app_name + body)
    assert GATE.match(header % b"syslogd" + SUMMARY)


@pytest.mark.parametrize("header", [header for header in HEADERS if b" - - - %s" not in header], ids=repr)
@pytest.mark.parametrize("app_name", [b"sendmail", b"sm-mta", b"postfix/smtpd", b"spamd", b"dovecot-lda"])
def test_an_ordinary_line_is_stopped_by_the_gate(header: bytes, app_name: bytes) -> None:
    expected = Refusal.NOT_LOGIN
    datagram = header % app_name + b"connect from imapd: Login user=bob host=[192.0.2.25]"
    assert not GATE.match(datagram)
    assert expected == Intake(SOURCES, POLICY).judge(datagram, "10.0.0.1", 0.0).outcome


@pytest.mark.parametrize("priority", [b"", b"<38>", b"<022>", b"<192>", b"<>"])
def test_what_has_no_listed_priority_is_left_to_the_reader(priority: bytes) -> None:
    """So that its outcome is the reader's: no_priority, unlisted_facility, malformed."""
    assert GATE.match(priority + b"Nov 22 10:28:45 sendmail: x")


def test_an_oversize_line_of_noise_is_oversize() -> None:
    one = Intake(SOURCES, POLICY)
    start = b"<22>Nov 22 10:28:45 sendmail: "
    one.feed(Batch.of([(start + b"x" * (MAX_DATAGRAM_BYTES - len(start) + more), ("10.0.0.1", 514)) for more in (0, 1)]), 0.0)
    assert (one.tally.outcomes[Refusal.NOT_LOGIN], one.tally.outcomes[Refusal.OVERSIZE]) == (1, 1)


@settings(deadline=None, max_examples=500)
@given(datagram=st.one_of(composed(), altered()), before=st.binary(max_size=30), after=st.binary(max_size=30))
def test_what_lies_beside_a_datagram_in_the_buffer_changes_nothing(datagram: bytes, before: bytes, after: bytes) -> None:
    alone = bool(GATE.match(datagram))
    assert alone == bool(GATE.match(bytearray(before + datagram + after), len(before), len(before) + len(datagram)))


LINE_GATE = line_gate_pattern(formats.ALL, logouts=True)
FILE_HEADERS = (
    b"Nov 22 10:28:45 mail1 %s: ",
    b"Nov  2 10:28:45 mail1 %s[7]: ",
    b"2026-11-22T10:28:45Z mail1 %s: ",
    b"<22>Nov 22 10:28:45 %s: ",
)


@pytest.mark.parametrize("header", FILE_HEADERS)
def test_a_login_of_a_file_passes_its_gate(header: bytes) -> None:
    of_files = [(sample.app_name.encode(), sample.text.encode()) for form in formats.FORMATS for sample in form.samples if sample.own_log]
    for app_name, body in SAMPLES + of_files:
        assert LINE_GATE.match(header % app_name + body)


@settings(deadline=None, max_examples=1000)
@given(datagram=st.one_of(composed(), strewn(), altered()))
def test_what_the_gate_of_files_takes_for_noise_is_noise(datagram: bytes) -> None:
    for line in (datagram, datagram.removeprefix(b"<22>")):
        verdict = Intake(SOURCES, POLICY).lines.judge(line, lambda stamp: 0.0, escaped=True)
        if not LINE_GATE.match(line):
            assert verdict.outcome in NOISE | {Refusal.UNLISTED_FACILITY}  # of a file every facility is looked at
            assert verdict.login is None
