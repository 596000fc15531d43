"""Invariant: reading costs time in proportion to the length, for any bytes. No pattern backtracks its way to more.

Each pattern of core is held against a plain scan of as many bytes, measured on the same machine in the same moment, at lengths that grow
fourfold up to 64 KiB. Both are CPU time of this thread, the least of several runs. What a pattern may cost is many times the scan; what
backtracks costs thousands of times as much at 4 KiB already, and each fourfold length makes it worse.
"""

import re
from collections.abc import Callable, Iterator
from time import thread_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.core import formats, intake, linetime, message
from syslogauth.core.address import Networks, pack
from syslogauth.core.formats import dovecot, qpopper, uw
from syslogauth.core.intake import Intake, Sources
from syslogauth.core.message import MAX_DATAGRAM_BYTES
from syslogauth.core.policy import Policy
from tests.headers import HEADERS

LENGTHS = (256, 1024, 4096, 16384, 65536)
TIMES_THE_SCAN = 40.0
BOUNDED_SECONDS = 0.003  # fields are bounded at 64 to 1024 bytes: what their combinations cost does not grow
RUNS = 7

SCAN = re.compile(rb"(?:[a-z]|[^a-z])*")


def patterns() -> Iterator[tuple[str, re.Pattern[bytes]]]:
    """Every compiled pattern of core, wherever it lies in its module, and the gate."""
    for module in (message, linetime, dovecot, qpopper, uw, intake, formats.grammar):
        for name, value in vars(module).items():
            held = value.values() if isinstance(value, dict) else (value,)
            yield from ((f"{module.__name__.rpartition('.')[2]}.{name}", found) for found in held if isinstance(found, re.Pattern))
    yield "intake.noise_pattern", intake.noise_pattern({"mail", "local0"})


PATTERNS = list(dict.fromkeys(patterns()))

TEXTS = [sample.text.encode() for form in formats.FORMATS for sample in form.samples] + [
    b"pop3-login: proxy(bob,",
    b"imap-login: proxy(bob,h:1): started proxying to ",
    b"message repeated 2 times: [ ",
    b"Last message '",
    b"last message repeated 3 times",
]
# Where an unbounded or repeated part may begin: the start of each header and text, and each place behind a separator in it.
HEADS = [header % b"dovecot" for header in HEADERS] + [b"<22>1 - m dovecot - - [a", b'<22>1 - m dovecot - - [a b="', b"<22>Forwarded from ", b"<22>["]
UNITS = (
    *(b"a", b"1", b" ", b":", b".", b"-", b"\\", b'"', b"]", b"[", b"<", b">", b",", b"/", b"%", b"\xff", b"\t", b"a ", b"1 ", b": ", b", ", b"a:"),
    *(b"[a]", b"[7]: ", b' a="b"', b'="', b'\\"', b"][", b"user=<a>, ", b"a=", b"secured, ", b", TLS", b"TLSv1", b"): ", b",a:1", b" host=", b"::"),
    *(b"Forwarded from a: ", b"1 - a dovecot - - ", b"mail1 ", b"2026-11-22T10:28:45Z ", b"message repeated 2 times: [ ", b"last message "),
)
SUFFIXES = (b"", b"\0", b"!")


def starts(of: bytes) -> list[bytes]:
    return [of[: found.end()] for found in re.finditer(rb"[ <>=:,(\[\"]|$", of)]


def seconds(run: Callable[[], object], runs: int) -> float:
    """CPU time of the quickest of several runs."""
    best = float("inf")
    for _ in range(runs):
        begun = thread_time()
        run()
        best = min(best, thread_time() - begun)
    return best


SCANS = {length: seconds(lambda data=b"a" * length: SCAN.fullmatch(data), RUNS) for length in LENGTHS}  # type: ignore[misc]


def allowed(length: int) -> float:
    return BOUNDED_SECONDS + TIMES_THE_SCAN * SCANS[length]


def holds(run: Callable[[], object], length: int) -> bool:
    """One run is enough where it is quick; a slow one is repeated, beside a new measurement of the scan."""
    if seconds(run, 1) <= allowed(length):
        return True
    data = b"a" * length
    return seconds(run, RUNS) <= BOUNDED_SECONDS + TIMES_THE_SCAN * max(SCANS[length], seconds(lambda: SCAN.fullmatch(data), RUNS))


def test_the_patterns_of_core_are_found() -> None:
    expected = {"message.HEADER", "message.CONTROL", "dovecot.LINE", "dovecot.PROXIED", "dovecot.VALUES", "qpopper.LOGIN", "uw.LINE", "intake.noise_pattern"}
    assert expected <= {name for name, _ in PATTERNS}


@pytest.mark.parametrize("backtracks", [rb"(?:a|a)*b", rb"a*a*a*b", rb"(?:a+)+b", rb".*,.*,.*b"], ids=repr)
def test_the_measure_finds_what_backtracks(backtracks: bytes) -> None:
    """Otherwise the tests below would show nothing. Lengths stay short enough for the worst of them to end."""
    pattern = re.compile(backtracks)
    lengths = [length for length in LENGTHS if length <= 1024] if b"," not in backtracks and backtracks != rb"(?:a|a)*b" else LENGTHS
    units = [b"a", b","]
    if backtracks in (rb"(?:a|a)*b", rb"(?:a+)+b"):
        assert seconds(lambda: pattern.fullmatch(b"a" * 24), 1) > 20 * seconds(lambda: pattern.fullmatch(b"a" * 16), 3)
        return
    assert not all(holds(lambda d=unit * length: pattern.fullmatch(d), length) for length in lengths for unit in units)  # type: ignore[misc]
