"""What the rules forbid in a pattern, what it may cost, and what the gate is told of how its texts begin."""

import time

import pytest

from syslogauth.core import formats
from syslogauth.core.formats.cost import may_run_over, steps
from syslogauth.core.formats.grammar import whole
from syslogauth.core.formats.pattern import MOST_STEPS, faults, literal_start


def row(name: str, *values: object) -> object:
    return pytest.param(*values, id=name)


@pytest.mark.parametrize(
    "pattern",
    [
        row("bounded", "a{1,1024} (?P<address>x)"),
        row("unbounded behind the address", "(?P<address>x).*"),
        row("no address: the later line of a login", "a+ (?P<user>.)"),
        row("an atomic group", "(?>a|ab)(?P<address>x)"),
        row("a possessive class", "[^ ]{1,9}+ (?P<address>x)"),
        row("optional inside repeated", "(?P<address>x)(?:ab?){1,9}"),
        row("an optional group with a quantifier in it", "(?:, [a-z]{1,9})?; (?P<address>x)"),
    ],
)
def test_what_keeps_the_rules(pattern: str) -> None:
    assert [] == faults(whole(pattern.encode()))


@pytest.mark.parametrize(
    "pattern",
    [
        row("in a group", "(?:a+)(?P<address>x)"),
        row("in an alternative", "(?:b|a+)(?P<address>x)"),
        row("in an atomic group", "(?>a+)(?P<address>x)"),
        row("looked ahead for", "(?=a+)(?P<address>x)"),
        row("possessive", "a++(?P<address>x)"),
        row("lazy", "a*?(?P<address>x)"),
        row("a bound as good as none", "a{1,1025}(?P<address>x)"),
    ],
)
def test_nothing_unbounded_hides_before_the_address(pattern: str) -> None:
    [fault] = faults(whole(pattern.encode()))
    assert fault.startswith("nothing without a bound may stand before the address")


@pytest.mark.parametrize(
    ("pattern", "start"),
    [
        (rb"login: user=(?P<user>x)", rb"login:\ user="),
        (rb"a\.b[xy]", rb"a\.b"),
        (rb"(?:a|b)c", b""),
        (rb"ab?", b"a"),
        (rb"(?i)login", b""),
        (rb"^login", b""),
    ],
)
def test_how_all_texts_begin_that_a_pattern_takes(pattern: bytes, start: bytes) -> None:
    assert start == literal_start(whole(pattern))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        row("literals", rb"login", 1),
        row("one", rb"a{1,64}", 64),
        row("no bound", rb"a*", 8192),
        row("behind one another", rb"a{1,64}a{1,64}a{1,64}", 64**3),
        row("of different characters", rb"[a-y]{1,64}z{1,64}", 64),
        row("lazy, too", rb"a{1,64}?a{1,64}?", 64**2),
        row("what stands between is in neither", rb"[^ ]{1,64} [^ ]{1,64}", 64),
        row("what stands between is in both", rb".{1,64} .{1,64}", 64**2),
        row("what stands between may be missing", rb"[^ ]{1,64} ?[^ ]{1,64}", 64**2),
        row("what stands between, in a group that may be missing", rb"[^ ]{1,64}(?: [^ ]{1,64})?", 64),
        row("in groups", rb"(?P<user>.{1,64})(?:(?P<address>.{1,45}))", 64 * 45),
        row("in alternatives", rb".{1,64}(?:a|.{1,45})", 64 * 45),
        row("in an alternative and behind it", rb"(?:a|.{1,64}).{1,45}", 64 * 45),
        row("in an alternative that ends otherwise", rb"(?:a|[^ ]{1,64} )[^ ]{1,45}", 64),
        row("a group that is repeated", rb"(?:.;){1,9}.{1,64}", 9 * 64),
        row("possessive", rb"a{1,64}+a{1,64}", 64),
        row("atomic", rb"(?>a{1,64})a{1,64}", 64),
        row("atomic, what is in it", rb"(?>a{1,64}a{1,64})", 64**2),
        row("looked ahead for", rb"(?=a{1,64}a{1,64}b)", 64**2),
        row("in any case", rb"(?i)a{1,64}A{1,64}", 64**2),
    ],
)
def test_how_many_ways_quantifiers_may_share_a_text(pattern: bytes, expected: int) -> None:
    assert expected == steps(whole(pattern))


@pytest.mark.parametrize("form", formats.FORMATS, ids=lambda form: form.name)
def test_no_known_format_costs_more_than_a_site_s_may(form: formats.Format) -> None:
    assert max(steps(line.pattern) for line in form.lines) <= MOST_STEPS


def test_a_pattern_of_the_most_steps_is_tried_in_milliseconds() -> None:
    pattern = whole(rb"[ab]{1,362}[ab]{1,362}[cd]")
    assert MOST_STEPS * 0.99 < steps(pattern) <= MOST_STEPS
    began = time.perf_counter()
    assert not pattern.fullmatch(b"ab" * 400)
    assert time.perf_counter() - began < 0.5


RUNS_OVER = (
    "a field before the address may hold all that separates it from the address, so that a client's text could hold one; "
    "exclude from each the character that follows it"
)


@pytest.mark.parametrize(
    "pattern",
    [
        row("a user with blanks, before one", r"ok (?P<user>[^\x00-\x1f]{1,64}) (?P<address>[0-9.]{7,15}) [^\x00-\x1f]{1,64}"),
        row(
            "a user that may hold the key of the address",
            r"ok user=(?P<user>[^\x00-\x1f]{1,64}) ip=(?P<address>[0-9.]{7,15})(?: x=.{0,99})?",
        ),
        row("a field without a name", r"ok user=(?P<user>\w{1,64}) host=[^\x00-\x1f]{1,64} ip=(?P<address>[0-9.]{7,15})"),
        row("possessive: its bound ends it in the client's text", r"ok (?P<user>[^\x00-\x1f]{1,64}+) (?P<address>[0-9.]{7,15})"),
    ],
)
def test_no_field_before_the_address_may_run_over_into_it(pattern: str) -> None:
    assert [RUNS_OVER] == faults(whole(pattern.encode()))


def test_no_format_of_ours_runs_over() -> None:
    patterns = [line.pattern for form in formats.FORMATS for line in form.lines if "address" in line.pattern.groupindex]
    assert not [pattern for pattern in patterns if may_run_over(pattern, "address")]
