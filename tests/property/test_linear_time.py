"""Invariant: reading costs time in proportion to the length, for any bytes. No pattern backtracks its way to more.

Each pattern of core is held against a plain scan of as many bytes on the same machine, at lengths up to 64 KiB. Both are CPU time of this
thread. A pattern may cost many times the scan; one that backtracks costs thousands of times as much. A format's patterns are tried on its
own lines, cut where a part of them may begin that repeats; the readers of headers on every line that any server writes.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import partial
from time import thread_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth import core
from syslogauth.core import formats, gate
from syslogauth.core.address import Networks
from syslogauth.core.batch import Batch
from syslogauth.core.formats.grammar import Format
from syslogauth.core.formats.looks import looks_like_login, shape
from syslogauth.core.intake import Intake
from syslogauth.core.login import Connected
from syslogauth.core.message import MAX_DATAGRAM_BYTES, Message
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from syslogauth.core.sessions import CAPACITY, Joins
from tests.headers import HEADERS

LENGTHS = (2048, 65536)
DOUBLING = (1024, 2048, 4096, MAX_DATAGRAM_BYTES - 1, 16384, 32768, 65536)  # beyond the limit all are refused alike
TIMES_THE_SCAN = 40.0
BOUNDED_SECONDS = 0.003  # fields are bounded at 64 to 1024 bytes: what their combinations cost does not grow with the length
THIRD = 3  # of the units are tried behind each head, in turn: all of them behind some, for the sake of time
RUNS = 7  # of what seemed slow: the least of them counts

SCAN = re.compile(rb"(?:[a-z]|[^a-z])*+")
SEPARATOR = re.compile(rb'[ <>=:,(\["\'.]|$')
PEER = ("10.0.0.1", 514)

OTHERS = (
    b"Last message 'a' repeated 4 times",
    b"message repeated 4 times: [ a",
    b"Nov 22 10:28:45.1",
    b'[a b="c" d="',
    b"<22>[a]: b",
    b"@400000004c91b044077a9e94 mail.info: a",
)
UNITS = (
    *(b"a", b"1", b" ", b":", b".", b"-", b"\\", b'"', b"]", b"[", b"<", b">", b",", b"/", b"%", b"\xff", b"\t", b"@", b"'", b"A", b")"),
    *(b"a ", b"1 ", b": ", b", ", b"a:", b"[a]", b"[7]: ", b' a="b"', b'="', b'\\"', b"][", b"user=<a>, ", b"a=", b"a=1 ", b"secured, "),
    *(b", TLS", b"TLSv1", b"): ", b",a:1", b" host=", b"::", b" [", b"' ", b"Forwarded from a: ", b"1 - a dovecot - - ", b"mail1 "),
    *(b"2026-11-22T10:28:45Z ", b"message repeated 2 times: [ ", b"last message ", b"login", b"192.0.2.25", b"a.b/imap "),
)


def modules() -> Iterator[object]:
    yield from (importlib.import_module(found.name) for found in pkgutil.walk_packages(core.__path__, "syslogauth.core."))


def module_patterns() -> Iterator[tuple[str, re.Pattern[bytes]]]:
    """Every compiled pattern of bytes that lies in a module of core, and the gates."""
    for module in modules():
        for name, value in vars(module).items():
            held = value.values() if isinstance(value, dict) else (value,)
            yield from (
                (f"{module.__name__}.{name}", one) for one in held if isinstance(one, re.Pattern) and isinstance(one.pattern, bytes)
            )
    for logouts in (False, True):
        yield f"gate.gate_pattern {logouts}", gate.gate_pattern(formats.ALL, frozenset({"mail", "local0"}), logouts=logouts)
    yield "gate.line_gate_pattern", gate.line_gate_pattern(formats.ALL, logouts=True)


def patterns_of(form: Format) -> dict[str, re.Pattern[bytes]]:
    lines = {f"line {number}": line.pattern for number, line in enumerate(form.lines)}
    if form.usual:
        lines["usual"] = re.compile(form.usual.pattern, re.DOTALL)
    return lines | {name: re.compile(getattr(form, name)) for name in ("begins", "others", "logout_begins") if getattr(form, name)}


def texts_of(form: Format) -> list[bytes]:
    """For each of the format's lines one text that it takes; and the first near misses."""
    shown = [text for sequence in form.sequences for text in sequence.texts] + [text for _, text in form.logouts]
    texts = [text.encode() for text in [sample.text for sample in form.samples] + shown]
    taken = [next((text for text in texts if line.pattern.fullmatch(text)), b"") for line in form.lines]
    return [*dict.fromkeys([*filter(None, taken), *(text.encode() for _, text in form.near_misses[:1])])]


def cut_at_separators(*lines: bytes) -> list[bytes]:
    return sorted({line[: cut.end()] for line in lines for cut in SEPARATOR.finditer(line)})


MODULE_PATTERNS = dict(module_patterns())
HEADS = cut_at_separators(*OTHERS, *(header % b"dovecot" for header in HEADERS))
HEADS = sorted({*HEADS, *(head.partition(b">")[2] for head in HEADS)})


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


SCANS = {length: seconds(partial(SCAN.fullmatch, b"a" * length), RUNS) for length in {*LENGTHS, *DOUBLING}}


def quick(run: Callable[[], object], length: int) -> bool:
    """Whether it costs no more than it may. What seemed slow is run again, beside a new measurement of the scan."""
    if seconds(run) <= BOUNDED_SECONDS + TIMES_THE_SCAN * SCANS[length]:
        return True
    scan = max(SCANS[length], seconds(partial(SCAN.fullmatch, b"a" * length), RUNS))
    return seconds(run, RUNS) <= BOUNDED_SECONDS + TIMES_THE_SCAN * scan


def test_the_patterns_of_core_are_found() -> None:
    expected = {"message.HEADER", "message.REPEATED_TEXT", "message.USUAL", "formats.dovecot.VALUES"}
    assert {f"syslogauth.core.{name}" for name in expected} <= MODULE_PATTERNS.keys()
    for form in formats.FORMATS:
        assert {"begins", *(f"line {number}" for number in range(len(form.lines)))} <= patterns_of(form).keys()
        assert len(form.lines) <= sum(any(line.pattern.fullmatch(text) for text in texts_of(form)) for line in form.lines) + 3


@pytest.mark.parametrize("backtracks", [rb"a*a*b", rb".*,.*,b", rb"[a,]*a[a,]*b"], ids=repr)
def test_the_measure_finds_what_backtracks(backtracks: bytes) -> None:
    """Otherwise the tests below would show nothing."""
    pattern = re.compile(backtracks)
    assert not all(quick(partial(pattern.fullmatch, stretched(b"", unit, 4096)), LENGTHS[0]) for unit in (b"a", b",", b"a,"))


@pytest.mark.parametrize("form", formats.FORMATS, ids=lambda form: form.name)
def test_no_pattern_of_a_format_backtracks_over_what_repeats(form: Format) -> None:
    patterns = patterns_of(form)
    for length in LENGTHS:
        for number, head in enumerate(cut_at_separators(*texts_of(form))):
            for unit in UNITS[number % THIRD :: THIRD]:
                text = stretched(head, unit, length)
                for name, pattern in patterns.items():
                    assert quick(partial(pattern.fullmatch, text), length), f"{name} on {head!r} and then {unit!r} for ever"


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("unit", UNITS, ids=repr)
def test_no_pattern_of_a_header_backtracks_over_what_repeats(unit: bytes, length: int) -> None:
    for head in HEADS:
        line = stretched(head, unit, length)
        for name, pattern in MODULE_PATTERNS.items():
            assert quick(partial(pattern.fullmatch, line), length), f"{name} on {head!r} and then {unit!r} for ever"


ALL_PATTERNS = MODULE_PATTERNS | {f"{form.name} {name}": one for form in formats.FORMATS for name, one in patterns_of(form).items()}


@settings(deadline=None, max_examples=60)
@given(
    head=st.sampled_from(sorted({*HEADS, *(head for form in formats.FORMATS for head in cut_at_separators(*texts_of(form)))})),
    units=st.lists(st.one_of(st.sampled_from(UNITS), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3),
)
def test_no_pattern_backtracks_over_what_chance_repeats(head: bytes, units: list[bytes]) -> None:
    for length in LENGTHS:
        line = stretched(head, b"".join(units), length)
        for name, pattern in ALL_PATTERNS.items():
            assert quick(partial(pattern.match, line), length), name


@pytest.mark.parametrize("read", [looks_like_login, shape], ids=lambda read: read.__name__)
@pytest.mark.parametrize("form", formats.FORMATS, ids=lambda form: form.name)
def test_no_look_at_a_text_takes_long(form: Format, read: Callable[[bytes], object]) -> None:
    for unit in UNITS[formats.FORMATS.index(form) % THIRD :: THIRD]:
        for length in LENGTHS:
            assert quick(partial(read, stretched(texts_of(form)[0], unit, length)), length), f"{unit!r} for ever"


@pytest.mark.parametrize("form", formats.FORMATS, ids=lambda form: form.name)
def test_no_datagram_takes_the_whole_path_long(form: Format) -> None:
    """Through the gate, and as a line of a file: cut everywhere, at the greatest length that is read, and whole, by doubling it."""
    policy = Policy(1800.0, frozenset({"imap", "pop3"}), hold_max_seconds=3600.0)
    one = Intake(Sources(Networks(("10.0.0.0/8",)), frozenset({"mail"}), Networks(("10.0.0.0/8",))), policy)
    tag = (form.samples or form.sequences)[0].app_name.encode()
    header, text = HEADERS[2] % tag, texts_of(form)[0]
    for number, unit in enumerate(UNITS):
        tried = [(head, MAX_DATAGRAM_BYTES - 1) for head in cut_at_separators(text)[number % THIRD :: THIRD]]
        for head, length in [*tried, *((text, length) for length in DOUBLING)]:
            line = stretched(header + head, unit, length)[:-1]
            assert quick(partial(one.feed, Batch.of([(line, PEER)]), 0.0), length), f"{head!r} and then {unit!r} for ever"
            assert quick(partial(one.lines.judge, line, lambda stamp: 0.0, escaped=True), length), f"{head!r} and then {unit!r} for ever"


def test_a_flood_of_first_lines_costs_the_same_for_each() -> None:
    """Beyond what is kept the oldest are forgotten: with no more work than keeping a new one."""
    joins = Joins()
    line = Connected("popa3d", b"\xc0\x00\x02\x19")

    def connect(first: int) -> None:
        for number in range(first, first + CAPACITY // 4):
            joins.connected("10.0.0.1", Message(22, b"", b"", b"popa3d", b"%d" % number, b""), line, 0.0)

    quarters = [seconds(partial(connect, number * CAPACITY // 4)) for number in range(12)]
    assert CAPACITY == len(joins)
    assert max(quarters[4:]) < 6 * max(quarters[:4])
