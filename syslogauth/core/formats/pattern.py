"""What a pattern is made of: its faults by the rules of a format, and its pieces, to say where a line stops to fit.

The standard library's own parser takes the pattern apart (`re._parser`, and `re._compiler` for a part of it: private, yet what hypothesis
and regexploit build on, and unchanged since Python 2.0 but for its name; a second parser of the same syntax would be one that errs).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from re import _compiler, _parser  # type: ignore[attr-defined] # see above
from typing import Any

LONGEST = 1024  # a field with a larger bound is as good as unbounded: a datagram holds 8192 bytes
GROUPS = frozenset(("user", "address", "service", "local_address", "session"))
REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a pattern in order. `upto` matches a text from its start to the end of this part."""

    words: str  # what it is, for a reader
    field: str  # the group that it is, or is in front of; empty for other parts
    upto: re.Pattern[bytes]


def faults(pattern: re.Pattern[bytes]) -> list[str]:
    """What the rules forbid in the pattern of a line that yields an address, a sentence each."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    names = {number: name for name, number in tree.state.groupdict.items()}
    found: list[str] = []
    before = "address" in pattern.groupindex
    for operation, argument, depth in _walk(tree):
        if operation == "SUBPATTERN" and names.get(argument[0]) == "address":
            before = False
        elif operation == "GROUPREF" or operation == "GROUPREF_EXISTS":
            found.append("refers back to a group, which no line needs")
        elif operation == "ANY" and before:
            found.append("`.` stands before the address; name the characters, without those that separate the fields")
        elif operation in REPEATS:
            least, most, _ = argument
            if before and most > LONGEST:
                found.append(
                    f"nothing without a bound may stand before the address; write {{{least},64}}, say, instead of *, + or {{{least},}}"
                )
            if depth and most > 1:
                found.append("a quantifier stands inside another one, which can cost quadratic time; write the inner part out")
    return list(dict.fromkeys(found))


def pieces(pattern: re.Pattern[bytes]) -> list[Piece]:
    """The parts of a pattern in order, literal text as one."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    names = {number: name for name, number in tree.state.groupdict.items()}
    found: list[Piece] = []
    at = 0
    while at < len(tree):
        end = at + 1
        if str(tree[at][0]) == "LITERAL":
            while end < len(tree) and str(tree[end][0]) == "LITERAL":
                end += 1
        name = names.get(tree[at][1][0], "") if str(tree[at][0]) == "SUBPATTERN" else ""
        found.append(
            Piece(f"the {name.replace('_', ' ')}" if name else _words(tree[at:end]), name, _compiler.compile(tree[:end], pattern.flags))
        )
        at = end
    return found


def _walk(tree: Any, depth: int = 0) -> Iterator[tuple[str, Any, int]]:
    """Every operation in order, with the number of repeats of more than one that it stands in."""
    for operation, argument in tree:
        name = str(operation)
        yield name, argument, depth
        if name in REPEATS:
            yield from _walk(argument[2], depth + (argument[1] > 1))
        elif name == "SUBPATTERN":
            yield from _walk(argument[3], depth)
        elif name == "ATOMIC_GROUP":
            yield from _walk(argument, depth)
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from _walk(branch, depth)
        elif name in ("ASSERT", "ASSERT_NOT"):
            yield from _walk(argument[1], depth)


def _words(tree: Any) -> str:
    """A part in words: the literal text, the alternatives, or that something optional or of some kind stands there."""
    parts = []
    at = 0
    while at < len(tree):
        end = at + 1
        while str(tree[at][0]) == "LITERAL" and end < len(tree) and str(tree[end][0]) == "LITERAL":
            end += 1
        parts.append(_word(tree[at:end]))
        at = end
    return " ".join(parts)


def _word(tree: Any) -> str:
    operation, argument = str(tree[0][0]), tree[0][1]
    if operation == "LITERAL":
        return repr(bytes(code for _, code in tree).decode("ascii", "backslashreplace"))
    if operation == "BRANCH":
        return " or ".join(_words(branch) for branch in argument[1])
    if operation == "SUBPATTERN":
        return _words(argument[3])
    if operation == "ATOMIC_GROUP":
        return _words(argument)
    if operation in REPEATS:
        least, most, inner = argument
        if (least, most) == (0, 1):
            return f"(perhaps {_words(inner)})"
        one = len(inner) == 1 and str(inner[0][0]) in ("IN", "ANY", "NOT_LITERAL", "CATEGORY")
        return (
            f"{least} to {most} characters"
            if one and most <= LONGEST
            else "characters"
            if one
            else f"{least} to {most} times {_words(inner)}"
        )
    return "a character" if operation in ("IN", "ANY", "NOT_LITERAL", "RANGE", "CATEGORY") else ""


def literal_start(pattern: re.Pattern[bytes]) -> bytes:
    """A pattern for how every text begins that this one takes: its literal beginning, if it has one."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    start = bytearray()
    for operation, argument in tree:
        if str(operation) != "LITERAL":
            break
        start.append(argument)
    return re.escape(bytes(start))
