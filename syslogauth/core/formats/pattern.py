"""What a pattern is made of: its faults by the rules of a format, and its pieces, to say where a line stops to fit.

The standard library's own parser takes the pattern apart (`re._parser`, and `re._compiler` for a part of it: private, yet what hypothesis
and regexploit build on, and unchanged since Python 2.0 but for its name; a second parser of the same syntax would be one that errs).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from re import _compiler, _parser  # type: ignore[attr-defined] # see above
from typing import Any

from syslogauth.core.formats.cost import may_run_over, steps

LONGEST = 1024  # a field with a larger bound is as good as unbounded: a datagram holds 8192 bytes
MOST_STEPS = 1 << 17  # on a client's worst line: about two milliseconds
GROUPS = frozenset(("user", "address", "service", "local_address", "session"))
SHOWN = 6  # of the texts that a part may be
REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a pattern in order. `upto` matches a text from its start to the end of this part."""

    words: str  # what it takes, for a reader; empty for what takes nothing
    field: str  # the group that it is; empty for other parts
    optional: bool
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
            least, most, inner = argument
            if operation == "POSSESSIVE_REPEAT" and (len(inner) > 1 or str(inner[0][0]) in ("SUBPATTERN", "BRANCH")):
                found.append("a possessive group stands in it, which Python before 3.11.5 matches wrongly; write (?>...) instead")
            if before and most > LONGEST:
                found.append(
                    f"nothing without a bound may stand before the address; write {{{least},64}}, say, instead of *, + or {{{least},}}"
                )
            if depth and most > 1:
                found.append("a quantifier stands inside another one, which can cost quadratic time; write the inner part out")
    if not found and "address" in pattern.groupindex and may_run_over(pattern, "address"):
        found.append(
            "a field before the address may hold all that separates it from the address, so that a client's text could hold one; "
            "exclude from each the character that follows it"
        )
    if (ways := steps(pattern)) > MOST_STEPS:
        found.append(f"its quantifiers can share a text in {ways} ways, one by one tried; exclude from each the character that follows it")
    return list(dict.fromkeys(found))


def pieces(pattern: re.Pattern[bytes]) -> list[Piece]:
    """The parts of a pattern in order: literal text as one, a field as one, other groups taken apart."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    names = {number: name for name, number in tree.state.groupdict.items() if name in GROUPS}
    found = []
    for part, upto in _steps(tree, names):
        operation, argument = str(part[0][0]), part[0][1]
        name = names.get(argument[0], "") if operation == "SUBPATTERN" else ""
        optional = operation in REPEATS and argument[0] == 0
        found.append(Piece(_words(part, names), name.replace("_", " "), optional, _compiler.compile(upto, pattern.flags)))
    return found


def _steps(tree: Any, names: Mapping[int, str]) -> Iterator[tuple[Any, Any]]:
    """Each part of a tree, and the tree up to its end."""
    at = 0
    while at < len(tree):
        operation, argument = str(tree[at][0]), tree[at][1]
        end = at + 1
        if operation == "SUBPATTERN" and argument[0] not in names:
            *group, inner = argument
            for part, upto in _steps(inner, names):
                yield part, _parser.SubPattern(tree.state, [*tree[:at], (tree[at][0], (*group, upto))])
        else:
            while _letter(tree[at]) and end < len(tree) and _letter(tree[end]):
                end += 1
            if _letter(tree[at]) and end < len(tree) and str(tree[end][0]) == "BRANCH":
                # the parser takes what all alternatives begin with out of them: `Log` from (?:Login|Logged in)
                word = end
                while word > at and _letter(tree[word - 1]).isalnum():
                    word -= 1
                if at < word < end:
                    yield tree[at:word], tree[:word]
                at, end = (word, end + 1) if word < end else (at, end)
            yield tree[at:end], _greedy(tree[:end])
        at = end


def _greedy(tree: Any) -> Any:
    """The tree, its last part taking all that it can: how far a text fits is to be seen."""
    operation, argument = tree[-1]
    return tree if str(operation) != "MIN_REPEAT" else _parser.SubPattern(tree.state, [*tree[:-1], (_parser.MAX_REPEAT, argument)])


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


def _words(part: Any, names: Mapping[int, str]) -> str:
    """A part in words: the texts that it may be, or how many of which characters."""
    operation, argument = str(part[0][0]), part[0][1]
    if operation == "SUBPATTERN" and (name := names.get(argument[0])):
        what = "an IPv4 or IPv6 address" if name.endswith("address") else _words(argument[3], names)
        return f"the {name.replace('_', ' ')} ({what})"
    if operation == "ASSERT_NOT":
        inner = argument[1]
        if len(inner) == 1 and str(inner[0][0]) in REPEATS and len(inner[0][1][2]) == 1 and (kind := _kind(inner[0][1][2][0])):
            return f"at most {inner[0][1][0] - 1} {kind}"
        return f"anything but {_words(inner, names)}"
    if len(part) == 1 and operation in REPEATS and len(argument[2]) == 1 and (kind := _kind(argument[2][0])):
        least, most = argument[0], argument[1]
        return f"{least} to {most} {kind}" if most <= LONGEST else kind
    if len(part) == 1 and not _letter(part[0]) and (kind := _kind(part[0])):
        return f"one of: {kind}"
    templates = [template for template in _templates(part, names) if template]
    more = " or the like" if len(templates) > SHOWN else ""
    return " or ".join(map(repr, templates[:SHOWN])) + more


def _templates(tree: Any, names: Mapping[int, str]) -> list[str]:
    """The texts that a part may be: NAMES for fields, N for a number, ... for other characters, without what is optional in it."""
    found = [""]
    for item in tree:
        ends = _ends(item, names, alone=len(tree) == 1)
        found = [start if end == "N" and start.endswith("N") else start + end for start in found for end in ends][: SHOWN + 1]
    return list(dict.fromkeys(found))


def _ends(item: Any, names: Mapping[int, str], *, alone: bool) -> list[str]:
    """`alone`: asked for by itself, so that being optional does not matter."""
    operation, argument = str(item[0]), item[1]
    if letter := _letter(item):
        return [letter]
    if operation == "BRANCH":
        return [template for branch in argument[1] for template in _templates(branch, names)]
    if operation == "SUBPATTERN" and argument[0] in names:
        return [names[argument[0]].upper().replace("_", " ")]
    if operation in ("SUBPATTERN", "ATOMIC_GROUP"):
        return _templates(argument[3] if operation == "SUBPATTERN" else argument, names)
    if operation in REPEATS and len(argument[2]) > 1:
        return [""] if argument[0] == 0 and not alone else _templates(argument[2], names)
    kind = _kind(argument[2][0] if operation in REPEATS else item)
    few = _members(argument) if operation == "IN" else []
    if 0 < len(few) <= SHOWN:
        return few
    if operation in REPEATS and not kind:
        return [""] if argument[0] == 0 and not alone else _ends(argument[2][0], names, alone=True)
    return ["N" if kind == "digits" else "..." if kind else ""]


def _letter(item: Any) -> str:
    """The character that an item is, in either case of it; empty where it is something else."""
    operation, argument = str(item[0]), item[1]
    if operation == "LITERAL":
        return bytes((argument,)).decode("ascii", "backslashreplace")
    both = _members(argument) if operation == "IN" else []
    return both[0] if len(both) == 2 and both[0].lower() == both[1].lower() else ""


def _members(items: Any) -> list[str]:
    """The characters of a set that lists each of them."""
    if any(str(operation) != "LITERAL" for operation, _ in items):
        return []
    return [bytes((code,)).decode("ascii", "backslashreplace") for _, code in items]


def _kind(item: Any) -> str:
    """Which characters a set takes; empty for what is no set."""
    operation, argument = str(item[0]), item[1]
    if operation == "ANY" or (operation == "IN" and str(argument[0]) == "(RANGE, (0, 255))"):
        return "characters of any kind"
    if operation == "NOT_LITERAL":
        return f"characters other than {chr(argument)!r}"
    if operation != "IN":
        return ""
    negated = str(argument[0][0]) == "NEGATE"
    kinds = list(dict.fromkeys(word for kind, value in argument[negated:] for word in _range(kind, value).split(", ")))
    if negated:
        return f"characters other than {', '.join(kinds)}"
    plain = [kind for kind in kinds if not kind.startswith("'")]
    return ", ".join((*plain, *(kind for kind in kinds if kind not in plain)))


def _range(kind: Any, value: Any) -> str:
    known = {(0, 31): "control bytes", (0, 32): "blanks, control bytes", (127, 127): "control bytes", (32, 32): "blanks"}
    known |= {(48, 57): "digits", (65, 90): "capital letters", (97, 122): "small letters", (65, 70): "A to F", (97, 102): "a to f"}
    if str(kind) == "CATEGORY":
        return {"CATEGORY_DIGIT": "digits", "CATEGORY_WORD": "letters, digits, _", "CATEGORY_SPACE": "blanks"}.get(str(value), "others")
    first, last = value if str(kind) == "RANGE" else (value, value)
    return known.get((first, last)) or (repr(chr(first)) if first == last else f"{chr(first)!r} to {chr(last)!r}")


def literal_start(pattern: re.Pattern[bytes]) -> bytes:
    """A pattern for how every text begins that this one takes: its literal beginning, if it has one."""
    if pattern.flags & re.IGNORECASE:
        return b""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    start = bytearray()
    for operation, argument in tree:
        if str(operation) != "LITERAL":
            break
        start.append(argument)
    return re.escape(bytes(start))
