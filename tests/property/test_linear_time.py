"""Invariant: reading costs time in proportion to the length, for any bytes. No pattern backtracks its way to more.

Each pattern of core is held against a plain scan of as many bytes on the same machine, at lengths that grow sixteenfold up to 64 KiB. Both
are CPU time of this thread. A pattern may cost many times the scan; one that backtracks costs thousands of times as much.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from time import thread_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.core import formats, intake, linetime, message
from syslogauth.core.address import Networks
from syslogauth.core.formats import dovecot, grammar, qpopper, uw
from syslogauth.core.intake import Intake, Sources
from syslogauth.core.message import MAX_DATAGRAM_BYTES
from syslogauth.core.policy import Policy
from tests.headers import HEADERS

LENGTHS = (4096, 65536)
TIMES_THE_SCAN = 40.0
BOUNDED_SECONDS = 0.003  # fields are bounded at 64 to 1024 bytes: what their combinations cost does not grow with the length
RUNS = 7  # of what seemed slow: the least of them counts

SCAN = re.compile(rb"(?:[a-z]|[^a-z])*+")


def patterns() -> Iterator[tuple[str, re.Pattern[bytes]]]:
    """Every compiled pattern of core, wherever it lies in its module, and the gate."""
    for module in (message, linetime, intake, grammar, dovecot, qpopper, uw):
        for name, value in vars(module).items():
            held = value.values() if isinstance(value, dict) else (value,)
            yield from ((f"{module.__name__.rpartition('.')[2]}.{name}", found) for found in held if isinstance(found, re.Pattern))
    yield "gate.noise_pattern", gate.noise_pattern(formats.ALL, {"mail", "local0"}, logouts=True)
    yield "gate.line_noise_pattern", gate.line_noise_pattern(formats.ALL)


PATTERNS = list(patterns())

# Lines that are cut where a part of them may begin that repeats: behind each separator.
SAMPLES = [sample.text.encode() for form in formats.FORMATS for sample in form.samples]
OTHERS = (
    b"Last message 'a' repeated 4 times",
    b"message repeated 4 times: [ a",
    b"Nov 22 10:28:45.1",
    b'[a b="c" d="',
    b"<22>[a]: b",
    b"PLAIN",
)
WHOLE = [*SAMPLES, *OTHERS, *(header % b"dovecot" for header in HEADERS), HEADERS[0] % b"dovecot" + SAMPLES[0]]
SEPARATOR = re.compile(rb'[ <>=:,(\["\'.]|$')
HEADS = sorted(
    {start for line in WHOLE for cut in SEPARATOR.finditer(line) for start in (line[: cut.end()], line[: cut.end()].partition(b">")[2])}
)
UNITS = (
    *(
        b"a",
        b"1",
        b" ",
        b":",
        b".",
        b"-",
        b"\\",
        b'"',
        b"]",
        b"[",
        b"<",
        b">",
        b",",
        b"/",
        b"%",
        b"\xff",
        b"\t",
        b"a ",
        b"1 ",
        b": ",
        b", ",
        b"a:",
    ),
    *(
        b"[a]",
        b"[7]: ",
        b' a="b"',
        b'="',
        b'\\"',
        b"][",
        b"user=<a>, ",
        b"a=",
        b"secured, ",
        b", TLS",
        b"TLSv1",
        b"): ",
        b",a:1",
        b" host=",
        b"::",
    ),
    *(b"Forwarded from a: ", b"1 - a dovecot - - ", b"mail1 ", b"2026-11-22T10:28:45Z ", b"message repeated 2 times: [ ", b"last message "),
)


def stretched(head: bytes, unit: bytes, length: int) -> bytes:
    return (head + unit * (length // len(unit)))[:length] + b"\0"


def seconds(run: Callable[[], object], runs: int = 1) -> float:
    """CPU time of the quickest of several runs."""
    best = float("inf")
    for _ in range(runs):
        begun = thread_time()
        run()
        best = min(best, thread_time() - begun)
    return best


SCANS = {length: seconds(partial(SCAN.fullmatch, b"a" * length), RUNS) for length in (MAX_DATAGRAM_BYTES, *LENGTHS)}


def quick(run: Callable[[], object], length: int) -> bool:
    """Whether it costs no more than it may. What seemed slow is run again, beside a new measurement of the scan."""
    if seconds(run) <= BOUNDED_SECONDS + TIMES_THE_SCAN * SCANS[length]:
        return True
    scan = max(SCANS[length], seconds(partial(SCAN.fullmatch, b"a" * length), RUNS))
    return seconds(run, RUNS) <= BOUNDED_SECONDS + TIMES_THE_SCAN * scan


def test_the_patterns_of_core_are_found() -> None:
    expected = {"message.HEADER", "message.REPEATED_TEXT", "dovecot.LINE", "dovecot.PROXIED", "dovecot.VALUES", "qpopper.LOGIN", "uw.LINE"}
    assert {*expected, "gate.noise_pattern"} <= {name for name, _ in PATTERNS}


@pytest.mark.parametrize("backtracks", [rb"a*a*b", rb".*,.*,b", rb"[a,]*a[a,]*b"], ids=repr)
def test_the_measure_finds_what_backtracks(backtracks: bytes) -> None:
    """Otherwise the tests below would show nothing."""
    pattern = re.compile(backtracks)
    assert not all(quick(partial(pattern.fullmatch, stretched(b"", unit, LENGTHS[0])), LENGTHS[0]) for unit in (b"a", b",", b"a,"))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("unit", UNITS, ids=repr)
def test_no_pattern_backtracks_over_what_repeats(unit: bytes, length: int) -> None:
    for head in HEADS:
        line = stretched(head, unit, length)
        for name, pattern in PATTERNS:
            assert quick(partial(pattern.fullmatch, line), length), f"{name} on {head!r} and then {unit!r} for ever"


@settings(deadline=None, max_examples=100)
@given(
    head=st.sampled_from(HEADS),
    units=st.lists(st.one_of(st.sampled_from(UNITS), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3),
)
def test_no_pattern_backtracks_over_what_chance_repeats(head: bytes, units: list[bytes]) -> None:
    for length in LENGTHS:
        line = stretched(head, b"".join(units), length)
        for name, pattern in PATTERNS:
            assert quick(partial(pattern.match, line), length), name


@pytest.mark.parametrize("unit", UNITS, ids=repr)
def test_no_datagram_takes_the_whole_path_long(unit: bytes) -> None:
    policy = Policy(1800.0, frozenset({"imap", "pop3"}))
    one = Intake(Sources(Networks(("10.0.0.0/8",)), frozenset({"mail"}), Networks(("10.0.0.0/8",))), policy)
    for head in HEADS:
        line = stretched(head, unit, MAX_DATAGRAM_BYTES - 1)[:-1]
        assert quick(partial(one.judge, line, "10.0.0.1", 0.0), MAX_DATAGRAM_BYTES), f"{head!r} and then {unit!r} for ever"
